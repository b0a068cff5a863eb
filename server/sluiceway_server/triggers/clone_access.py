"""What `clone` steps need to read the repositories of projects (`runs.ports.CloneAccess`).

A deploy key reads one repository, and the clone goes only to a host that has the SSH host key of the remote source. So
it does not matter which URL a run names: the key is of no use elsewhere, and is not even offered there.
"""

from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.locations import is_over_ssh
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.triggers.git_repositories import access_of, sealed_key_name
from sluiceway_server.triggers.host_keys import host_key_of
from sluiceway_server.triggers.records import LINK, REMOTE_SOURCE


class HostKeyMissing(FailedPrecondition):
    """A repository is cloned over SSH, and nobody said which SSH host key its host has."""

    reason = "SSH_HOST_KEY_MISSING"


class CloneCredentialsOf:
    """Reads the deploy keys of projects. Nothing of a key is kept."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._database = database
        self._envelope = envelope

    async def credentials(self, project_id: str, repository: str) -> executor_api.CloneCredentials | None:
        """Return what a clone of `repository` needs in a run of a project; None: nothing that the project has.

        Raises:
            HostKeyMissing: the remote source has no SSH host key.
            FailedPrecondition: `MASTER_KEY_MISSING` or `MASTER_KEY_UNKNOWN`.
            DataLoss: `SEALED_VALUE_DAMAGED`.
        """
        if not project_id:
            return None
        link = await self._database.read(lambda view: view.get(LINK, project_id))
        if link is not None and link.HasField("git"):
            return await self._with_git(link, repository)
        return await self._with_deploy_key(project_id, repository) if is_over_ssh(repository) else None

    async def _with_git(self, link: pb.LinkRecord, repository: str) -> executor_api.CloneCredentials | None:
        # A password is of use elsewhere, so it is for this URL only.
        if repository != link.git.url:
            return None
        access = await access_of(self._envelope, link)
        if access.private_key:
            return executor_api.CloneCredentials(ssh_private_key=access.private_key, ssh_host_keys=[access.host_key])
        if access.password:
            return executor_api.CloneCredentials(username=access.username, password=access.password.encode())
        return None

    async def _with_deploy_key(self, project_id: str, repository: str) -> executor_api.CloneCredentials | None:
        def read(view: View) -> tuple[pb.LinkRecord, pb.RemoteSourceRecord] | None:
            link = view.get(LINK, project_id)
            source = None if link is None else view.get(REMOTE_SOURCE, link.remote_source_id)
            return None if link is None or source is None else (link, source)

        found = await self._database.read(read)
        if found is not None and not host_key_of(found[1].source.ssh_host_key):
            # It may have been set through another server.
            found = await self._database.read(read, after=await self._database.linearize())
        if found is None:
            return None
        link, source = found
        host_key = host_key_of(source.source.ssh_host_key)
        if not host_key:
            name = source.source.name
            raise HostKeyMissing(
                f"{repository} is cloned over SSH, and the remote source {name} has no SSH host key to check its host"
                f" by; let an operator set it: sluice remote-source update {name} --ssh-host-key KEY",
                subject=name,
            )
        key = await self._envelope.opened(sealed_key_name(project_id), link.encrypted_deploy_key)
        return executor_api.CloneCredentials(ssh_private_key=key, ssh_host_keys=[host_key])
