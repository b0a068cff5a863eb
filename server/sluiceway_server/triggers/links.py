"""The links of projects to their repositories: the webhook and the deploy key that Sluiceway makes at the provider.

A link is stored before anything is made there, and deleted after all of it was taken away. So at every moment the
database knows more than the provider has: a link without a project is work for `LinkCleaner`, whether the project was
deleted, its creation failed, or the server died in between.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from sluiceway.api.project.v1 import project_service_pb2 as project_api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import (
    FailedPrecondition,
    InvalidInput,
    PermissionDenied,
    SluicewayError,
    Violation,
)
from sluiceway_common.foundation.locations import is_over_ssh
from sluiceway_server.datamanager.model import Action, Decision, Delete, Put, RecordAbsent, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import ForgeRefused, NotAtForge, RightMissing
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.git_repositories import faults as git_faults
from sluiceway_server.triggers.git_repositories import keeps_password, sealed_key_name, sealed_password_name
from sluiceway_server.triggers.host_work import HostWork
from sluiceway_server.triggers.providers import AccountMissing, LinkedRepository, Providers
from sluiceway_server.triggers.records import KNOWN_REFS, LINK
from sluiceway_server.triggers.remote_sources import find_source
from sluiceway_server.triggers.settings import TriggerSettings

log = structlog.get_logger(__name__)

_SECRET_BYTES = 32
_OF_A_HOST = 4
_RETRY_FIRST_SECONDS = 5.0
_RETRY_LIMIT_SECONDS = 3600.0


def sealed_secret_name(project_id: str) -> str:
    """Return the name under which the secret of a webhook is encrypted."""
    return f"link/{project_id}/webhook_secret"


@dataclass(frozen=True, slots=True)
class LinkedProject:
    """What a project that is about to be created has at its provider.

    Attributes:
        remote_source_id: the id of the remote source.
        repository_id: the id of the repository there.
        repository_path: as the provider spells it.
        deploy_key: its public half, as one line.
        actions: to be committed together with the project.
    """

    remote_source_id: str
    repository_id: str
    repository_path: str
    deploy_key: str
    actions: tuple[Action, ...]


class RepositoryLinks:
    """Links new projects to their repositories."""

    def __init__(
        self, database: Database, providers: Providers, envelope: Envelope, clock: Clock, *, settings: TriggerSettings
    ) -> None:
        self._database = database
        self._providers = providers
        self._envelope = envelope
        self._clock = clock
        self._settings = settings

    async def install(
        self, project_id: str, *, user_id: str, remote_source: str, repository_path: str
    ) -> LinkedProject:
        """Make the webhook and the deploy key of a project that is about to be created.

        Args:
            project_id: of the project.
            user_id: whose linked account is used, now and later.
            remote_source: its id or name.
            repository_path: such as `acme/api`.

        Raises:
            FailedPrecondition: `PUBLIC_URL_MISSING`, `LINKED_ACCOUNT_MISSING`, or the master key is missing.
            NotFound: there is no such remote source or repository.
            PermissionDenied: the account may not administrate the repository.
            SluicewayError: as `forges.port`. What was made until then is taken away again, in the background.
        """
        if not self._settings.public_url:
            raise FailedPrecondition(
                "git providers cannot reach this installation: start its servers with --public-url URL",
                reason="PUBLIC_URL_MISSING",
            )
        await self._database.linearize()
        source_id, _ = await self._database.read(lambda view: find_source(view, remote_source))
        account = await self._providers.account(user_id, source_id)
        repository = await account.forge.repository(account.token, repository_path)
        if not repository.may_administrate:
            raise PermissionDenied(
                f"your linked account may not administrate {repository.path}, and so make no webhook there",
                reason="PROVIDER_RIGHT_MISSING",
            )
        secret = secrets.token_hex(_SECRET_BYTES)
        private_key, public_key = await asyncio.to_thread(_new_key)
        link = pb.LinkRecord(
            project_id=project_id,
            remote_source_id=source_id,
            user_id=user_id,
            repository_id=repository.id,
            repository_path=repository.path,
            encrypted_webhook_secret=self._envelope.seal(sealed_secret_name(project_id), secret.encode()),
            encrypted_deploy_key=self._envelope.seal(sealed_key_name(project_id), private_key),
        )
        link.create_time.FromDatetime(self._clock.now())
        await self._database.commit([Put(LINK, project_id, link)], [RecordAbsent(LINK, project_id)])
        try:
            url = webhook_url(self._settings, project_id)
            webhook_id = await account.forge.create_webhook(account.token, repository, url=url, secret=secret)
            await self._change(project_id, lambda changed: setattr(changed, "webhook_id", webhook_id))
            key_id = await account.forge.create_deploy_key(
                account.token, repository, title=_title(project_id), public_key=public_key
            )
            linked = await self._change(project_id, lambda changed: setattr(changed, "deploy_key_id", key_id))
        except SluicewayError:
            await self.abandon(project_id)
            raise
        active = pb.LinkRecord()
        active.CopyFrom(linked)
        active.is_active = True
        return LinkedProject(source_id, repository.id, repository.path, public_key, (Put(LINK, project_id, active),))

    async def install_git(self, project_id: str, *, user_id: str, git: project_api.GitRepository) -> LinkedProject:
        """Link a project that is about to be created with a repository that is read with git alone.

        A repository over http is read once, so that a wrong URL or password is found. One over SSH gets a deploy key,
        which its host does not accept before somebody has added it there.

        Raises:
            InvalidInput: the URL or a field is none that is used.
            FailedPrecondition: the master key is missing.
            SluicewayError: as `forges.port`: the repository cannot be read.
        """
        found = list(git_faults(git))
        if found:
            raise InvalidInput(found)
        link = pb.LinkRecord(project_id=project_id, user_id=user_id, repository_id=project_id, is_active=True)
        link.create_time.FromDatetime(self._clock.now())
        link.git.CopyFrom(git)
        link.git.password = ""
        if git.password:
            name = sealed_password_name(project_id)
            link.encrypted_git_password = self._envelope.seal(name, git.password.encode())
        public_key = ""
        if is_over_ssh(git.url):
            private_key, public_key = await asyncio.to_thread(_new_key)
            link.encrypted_deploy_key = self._envelope.seal(sealed_key_name(project_id), private_key)
        else:
            await self._providers.repository(link)
        return LinkedProject("", project_id, "", public_key, (Put(LINK, project_id, link),))

    async def change_git(self, project_id: str, *, git: project_api.GitRepository) -> LinkedProject:
        """Prepare another URL, or other credentials, of a project whose repository is read with git alone.

        Without a password, the stored one is kept, if the host and the user name are the same: it is sent to no other
        host than the one that it was given for. The deploy key is kept. With another URL, the first list of its refs
        shows what there is, as that of a new project.

        Raises:
            InvalidInput: the project has no such repository, or a field is none that is used.
            FailedPrecondition: the master key is missing.
            SluicewayError: as `forges.port`: the repository cannot be read.
        """
        await self._database.linearize()
        stored, has_refs = await self._database.read(
            lambda view: (view.get(LINK, project_id), view.get(KNOWN_REFS, project_id) is not None)
        )
        if stored is None or not stored.HasField("git"):
            why = "the repository of the project is none of a git URL; create another project"
            raise InvalidInput([Violation("project.git", f"cannot be changed: {why}")])
        is_kept = keeps_password(stored, git)
        found = list(git_faults(git, has_password=is_kept))
        if found:
            raise InvalidInput(found)
        link = pb.LinkRecord()
        link.CopyFrom(stored)
        link.git.CopyFrom(git)
        link.git.password = ""
        if not is_kept:
            name = sealed_password_name(project_id)
            link.encrypted_git_password = self._envelope.seal(name, git.password.encode()) if git.password else b""
        public_key = ""
        if is_over_ssh(git.url):
            name = sealed_key_name(project_id)
            if stored.encrypted_deploy_key:
                private_key = await self._envelope.opened(name, stored.encrypted_deploy_key)
                public_key = await asyncio.to_thread(_public_key, private_key)
            else:
                private_key, public_key = await asyncio.to_thread(_new_key)
                link.encrypted_deploy_key = self._envelope.seal(name, private_key)
        else:
            link.encrypted_deploy_key = b""
            await self._providers.repository(link)
        actions: list[Action] = [Put(LINK, project_id, link)]
        if has_refs and git.url != stored.git.url:
            actions.append(Delete(KNOWN_REFS, project_id))
        return LinkedProject("", project_id, "", public_key, tuple(actions))

    async def abandon(self, project_id: str) -> None:
        """Take away what was made for a project whose creation failed. Done in the background; may be repeated."""
        await self._change(project_id, lambda changed: setattr(changed, "is_abandoned", True))

    async def _change(self, project_id: str, change: Callable[[pb.LinkRecord], None]) -> pb.LinkRecord:
        def function(view: View) -> Decision[pb.LinkRecord]:
            changed = pb.LinkRecord()
            stored = view.get(LINK, project_id)
            if stored is None:
                return Decision(changed)
            changed.CopyFrom(stored)
            change(changed)
            return Decision(changed, [Put(LINK, project_id, changed)])

        return (await self._database.transact(function)).value


class LinkCleaner:
    """Takes away the webhooks and deploy keys of projects that are not there. Runs on the elected server."""

    def __init__(
        self,
        database: Database,
        providers: Providers,
        envelope: Envelope,
        clock: Clock,
        *,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._providers = providers
        self._envelope = envelope
        self._clock = clock
        self._settings = settings
        self._is_elected = is_elected
        # In memory: after a restart all are tried at once.
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._removing = HostWork(_OF_A_HOST)

    async def run(self) -> None:
        """Clean up until cancelled."""
        changes = Changes(self._database, (LINK, PROJECT), interval=self._settings.interval)
        async with asyncio.TaskGroup() as group:
            await changes.drive(partial(self._begin, group), is_elected=self._is_elected, event="links_not_cleaned")

    async def clean(self) -> None:
        """Take away what is due, once.

        Raises:
            Unavailable: the database is away.
        """
        async with asyncio.TaskGroup() as group:
            await self._begin(group)

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """Begin to take away what is due; a provider that hangs delays its own links only."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        for link in await self._database.read(lambda view: _without_project(view, now - self._settings.installing)):
            if self._not_before.get(link.project_id, 0.0) <= monotonic:
                self._removing.start(group, link.project_id, link, partial(self._remove, link))

    async def _remove(self, link: pb.LinkRecord) -> None:
        try:
            await self._remove_once(link)
        except SluicewayError as error:
            log.warning("links_not_cleaned", error=str(error))  # of the database

    async def _remove_once(self, link: pb.LinkRecord) -> None:
        try:
            await self._take_away(link)
        except (AccountMissing, NotAtForge) as error:
            # Nobody is left who could delete it, or it is gone with its repository.
            log.info("link_dropped", project=link.project_id, why=str(error))
        except SluicewayError as error:
            failures = self._failures[link.project_id] = self._failures.get(link.project_id, 0) + 1
            pause = backoff_seconds(failures, first=_RETRY_FIRST_SECONDS, limit=_RETRY_LIMIT_SECONDS)
            self._not_before[link.project_id] = self._clock.monotonic() + pause
            log.warning("link_not_removed", project=link.project_id, error=str(error), seconds=round(pause))
            return
        await self._database.commit([Delete(LINK, link.project_id)])
        self._failures.pop(link.project_id, None)
        self._not_before.pop(link.project_id, None)

    async def _take_away(self, link: pb.LinkRecord) -> None:
        if link.HasField("git"):
            return  # nothing was made at its host
        found = await self._providers.repository(link)
        forge, token, repository = found.account.forge, found.account.token, found.repository
        if link.is_active:
            webhook_id, key_id = link.webhook_id, link.deploy_key_id
        else:
            webhook_id, key_id = await self._find(link, found)
        if webhook_id:
            await forge.delete_webhook(token, repository, webhook_id)
        if key_id:
            await forge.delete_deploy_key(token, repository, key_id)

    async def _find(self, link: pb.LinkRecord, found: LinkedRepository) -> tuple[str, str]:
        """Return the ids of what may have been made before the server ended, or the provider's response was lost.

        The provider finds them by URL and key: to make them once more gives their ids.
        """
        forge, token, repository = found.account.forge, found.account.token, found.repository
        webhook_id, key_id = link.webhook_id, link.deploy_key_id
        try:
            if not webhook_id:
                url = webhook_url(self._settings, link.project_id)
                secret = secrets.token_hex(_SECRET_BYTES)
                webhook_id = await forge.create_webhook(token, repository, url=url, secret=secret)
            if not key_id:
                sealed = self._envelope.open_(sealed_key_name(link.project_id), link.encrypted_deploy_key)
                public_key = await asyncio.to_thread(_public_key, sealed)
                title = _title(link.project_id)
                key_id = await forge.create_deploy_key(token, repository, title=title, public_key=public_key)
        except (RightMissing, ForgeRefused) as error:
            log.info("link_not_searched", project=link.project_id, why=str(error))
        return webhook_id, key_id


def webhook_url(settings: TriggerSettings, project_id: str) -> str:
    """Return the URL to which the webhook of a project sends."""
    return f"{settings.public_url}/webhooks/{project_id}"


def _title(project_id: str) -> str:
    return f"sluiceway project {project_id}"


def _without_project(view: View, before: datetime) -> tuple[pb.LinkRecord, ...]:
    """Return the links whose project is not there; those of projects that are being created are left alone."""
    return tuple(
        link
        for id_, link in view.scan(LINK)
        if view.fields(PROJECT, id_) is None
        and (link.is_active or link.is_abandoned or link.create_time.ToDatetime(tzinfo=UTC) < before)
    )


def _new_key() -> tuple[bytes, str]:
    """Make an ed25519 key; return the private one in the format of OpenSSH, and the public one as one line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private, _public_key(private)


def _public_key(private: bytes) -> str:
    key = load_ssh_private_key(private, None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
