"""The services of one open database: what a server offers while it has one.

A server may lose its database and open it again (`server.py`); all of this is created again then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from sluiceway.api.config.v1 import config_service_pb2_grpc, version_service_pb2_grpc
from sluiceway.api.database.v1 import database_service_pb2_grpc
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc, executor_service_pb2_grpc
from sluiceway.api.peer.v1 import peer_service_pb2_grpc
from sluiceway.api.project.v1 import (
    audit_service_pb2_grpc,
    badge_service_pb2_grpc,
    delivery_service_pb2_grpc,
    identity_service_pb2_grpc,
    invitation_service_pb2_grpc,
    linked_account_service_pb2_grpc,
    login_service_pb2_grpc,
    organization_service_pb2_grpc,
    project_service_pb2_grpc,
    quota_service_pb2_grpc,
    remote_source_service_pb2_grpc,
    schedule_service_pb2_grpc,
    secret_service_pb2_grpc,
    token_service_pb2_grpc,
    user_service_pb2_grpc,
    variable_service_pb2_grpc,
    webhook_service_pb2_grpc,
)
from sluiceway.api.run.v1 import hold_service_pb2_grpc, run_service_pb2_grpc
from sluiceway.records.trigger.v1.records_pb2 import LinkRecord
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.rpc.offer import ServiceSet
from sluiceway_common.runmodel.model import Run
from sluiceway_server.app.config_service import ConfigServicer, VersionServicer
from sluiceway_server.app.database_service import DatabaseServicer
from sluiceway_server.app.quota_service import QuotaServicer
from sluiceway_server.app.server_keys import ServerKeys
from sluiceway_server.archives.artifacts import Artifacts
from sluiceway_server.archives.service import ExecutorArchives
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.archives.tests import Tests
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Put, View
from sluiceway_server.executors.admin_service import ExecutorAdminServicer
from sluiceway_server.executors.connection import StreamSettings
from sluiceway_server.executors.durability import DurableBarrier
from sluiceway_server.executors.failure_detector import FailureDetector
from sluiceway_server.executors.hold_service import HoldServicer
from sluiceway_server.executors.id_tokens import IdTokens
from sluiceway_server.executors.presence import GroupDirectory, GroupKeys, GroupSettings
from sluiceway_server.executors.service import ExecutorServicer
from sluiceway_server.executors.shells import Shells
from sluiceway_server.executors.stream import ExecutorStreams
from sluiceway_server.forges.addresses import AddressPolicy
from sluiceway_server.forges.http import ForgeHttp
from sluiceway_server.forges.kinds import forge_at
from sluiceway_server.forges.plain_git import GitFolders, PlainGit
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.logins.service import LoginServicer
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.owners import StoredLogOwners
from sluiceway_server.logs.peer_service import PeerServicer
from sluiceway_server.logs.peers import GrpcLogPeers, Peer, PeerAuthenticator
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.logs.store import LogStore
from sluiceway_server.notifications.badges import BadgeServicer
from sluiceway_server.notifications.queue import follow_new_run
from sluiceway_server.notifications.sending import HookHttp
from sluiceway_server.notifications.service import WebhookServicer
from sluiceway_server.notifications.worker import WebhookWorker
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.projects.audit_service import AuditServicer
from sluiceway_server.projects.auditing import AuditedDatabase
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.expiry import Expiry
from sluiceway_server.projects.guard import TREE_RESOURCES, Guard
from sluiceway_server.projects.identity_keys import IdentityKeys
from sluiceway_server.projects.invitation_service import InvitationServicer
from sluiceway_server.projects.master_key_source import MasterKeySource
from sluiceway_server.projects.organization_service import OrganizationServicer
from sluiceway_server.projects.passwords import Passwords
from sluiceway_server.projects.project_service import ProjectServicer
from sluiceway_server.projects.project_values import ProjectValues
from sluiceway_server.projects.secret_service import SecretServicer
from sluiceway_server.projects.token_service import TokenServicer
from sluiceway_server.projects.token_uses import TokenUses
from sluiceway_server.projects.tokens import TokenAuthenticator
from sluiceway_server.projects.user_service import UserServicer
from sluiceway_server.projects.variable_service import VariableServicer
from sluiceway_server.runs.access import RUN_RESOURCE, right_on_scope
from sluiceway_server.runs.archive_retention import ArchiveRetention
from sluiceway_server.runs.config_objects import ConfigObjects
from sluiceway_server.runs.config_workers import ConfigProcesses
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.identity_service import IdentityServicer
from sluiceway_server.runs.log_deletion import LogDeletion
from sluiceway_server.runs.orphans import OrphanedRuns
from sluiceway_server.runs.ports import EngineSettings
from sluiceway_server.runs.project_settings import ProjectSettings
from sluiceway_server.runs.retention import Retention
from sluiceway_server.runs.retention_rules import RetentionSettings
from sluiceway_server.runs.run_quota import check_run_quota
from sluiceway_server.runs.service import RunServicer
from sluiceway_server.triggers.audit_subjects import AUDIT_SUBJECTS
from sluiceway_server.triggers.catching_up import CatchUp
from sluiceway_server.triggers.clone_access import CloneCredentialsOf
from sluiceway_server.triggers.event_reading import EventReader
from sluiceway_server.triggers.git_repositories import access_of
from sluiceway_server.triggers.grants import Grants
from sluiceway_server.triggers.linked_accounts import LinkedAccountServicer
from sluiceway_server.triggers.links import LinkCleaner, RepositoryLinks
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.remote_sources import RemoteSourceServicer
from sluiceway_server.triggers.schedules import ScheduleServicer, ScheduleWorker
from sluiceway_server.triggers.service import DeliveryServicer
from sluiceway_server.triggers.settings import TriggerSettings
from sluiceway_server.triggers.statuses import StatusWorker, follow_run
from sluiceway_server.triggers.worker import DeliveryWorker

# Configurations of events. More than of projects that misbehave at a time; one of a project is loaded at a time.
_LOADED_AT_A_TIME, _LOADS_WAITING = 4, 1000


@dataclass(frozen=True, slots=True)
class ServerDependencies:
    """What services need beside the database.

    Attributes:
        kv: etcd.
        storage: the object storage.
        prefix: of all keys in both.
        server_id: of this process.
        own: how other servers call this one.
        peer_tls: how it calls them over TLS; None: in clear.
        etcd_name: how messages name etcd.
        scratch: a folder for temporary files.
        api_url: the gateway's, as tasks see it; empty: they do not.
        executor_times: the intervals of heartbeats, and after which an executor is lost.
        retention: how long logs and runs are kept.
        envelope: encrypts secrets in the database.
        master_keys: where its keys come from.
        triggers: how git providers are called.
        fork_groups: the groups of executors that take runs of forks.
        members_by_invitation: only operators add members to organizations; owners invite them.
        clock: for all of them.
        ids: for all of them.
    """

    kv: KeyValueStore
    storage: ObjectStorage
    prefix: str
    server_id: str
    own: Peer
    peer_tls: grpc.ChannelCredentials | None
    etcd_name: str
    scratch: Path
    api_url: str
    executor_times: ExecutorTimes
    retention: RetentionSettings
    envelope: Envelope
    master_keys: MasterKeySource
    triggers: TriggerSettings
    fork_groups: frozenset[str]
    members_by_invitation: bool
    clock: Clock
    ids: IdSource


def with_new_run(view: View, run: Run) -> tuple[Put, ...]:
    """Check the quota of a new run, and return what is stored together with it.

    Raises:
        Exhausted: `QUOTA_EXCEEDED`.
    """
    check_run_quota(view, run)
    return (*follow_run(view, run), *follow_new_run(view, run))


@asynccontextmanager
async def services(ground: ServerDependencies, database: DataManager) -> AsyncIterator[ServiceSet]:
    """Run everything that works on a database, and yield the services that are offered.

    Raises:
        ExceptionGroup: some of it failed while the body ran; the body was cancelled.
    """
    clock, ids, server_id, times = ground.clock, ground.ids, ground.server_id, ground.executor_times
    async with AsyncExitStack() as stack:
        groups = GroupSettings(prefix=ground.prefix, server_id=server_id, lease=times.lease, renew=times.lease / 3)
        keys = GroupKeys(ground.kv, clock, settings=groups)
        directory = GroupDirectory(
            ground.kv, clock, settings=groups, takes_forks=lambda group: group in ground.fork_groups
        )
        settings = EngineSettings(
            server_id=server_id, api_url=ground.api_url, prefix=ground.prefix, lost_after=times.lost_after
        )
        servers = ServerKeys(
            ground.kv, prefix=ground.prefix, server_id=server_id, lease=settings.server_lease, own=ground.own
        )
        engine = Engine(
            database,
            clock,
            ids=ids,
            settings=settings,
            executors=directory,
            servers=servers,
            scopes=ProjectSettings(),
            bodies=ground.storage,
            values=ProjectValues(database, ground.envelope),
            clone_access=CloneCredentialsOf(database, ground.envelope),
            with_new_run=with_new_run,
        )

        def is_elected() -> bool:
            return engine.is_scheduler

        store = LogStore(ground.storage, clock, prefix=ground.prefix)
        live = await stack.enter_async_context(LogBuffers(store, clock))
        peers = GrpcLogPeers(servers.peers, tls=ground.peer_tls)
        stack.push_async_callback(peers.close)
        barrier = DurableBarrier(database)
        owners = StoredLogOwners(database)
        uses = TokenUses(database, clock)
        authenticator = TokenAuthenticator(database, clock=clock, on_use=uses.note)
        detector = FailureDetector(database, engine, directory=directory, clock=clock, times=times)
        shells = Shells(ids)
        identity_keys = IdentityKeys(database, ground.envelope, clock)
        public_url = ground.triggers.public_url
        streams = ExecutorStreams(
            database,
            engine,
            keys=keys,
            directory=directory,
            barrier=barrier,
            clock=clock,
            ids=ids,
            settings=StreamSettings(server_id=server_id, times=times),
            on_assign=owners.on_assign,
            on_pods_gone=detector.pods_gone,
        )
        archives = ArchiveStore(ground.storage, prefix=ground.prefix)
        retention = Retention(
            database,
            store,
            ConfigObjects(database, ground.storage, prefix=ground.prefix),
            ArchiveRetention(database, archives, settings=ground.retention),
            clock,
            settings=ground.retention,
            is_elected=is_elected,
        )
        addresses = AddressPolicy(ground.triggers.private_networks)
        git_folders = GitFolders(ground.scratch / "git", addresses)
        http, hook_http = ForgeHttp(addresses, clock=clock), HookHttp(addresses, clock)
        stack.push_async_callback(http.close)
        stack.push_async_callback(hook_http.close)

        async def git_of(link: LinkRecord) -> PlainGit:
            access = await access_of(ground.envelope, link)
            return PlainGit(link.repository_id, link.git.url, access, git_folders)

        grants = Grants(database, ground.envelope, http, clock, ids=ids)
        stack.push_async_callback(grants.close)
        providers = Providers(
            database,
            lambda kind, api_url, through=None: forge_at(kind, api_url, http if through is None else through(http)),
            grants,
            git_of=git_of,
        )
        links = RepositoryLinks(database, providers, ground.envelope, clock, settings=ground.triggers)
        cleaner = LinkCleaner(
            database, providers, ground.envelope, clock, settings=ground.triggers, is_elected=is_elected
        )
        event_reader = EventReader(providers, ConfigProcesses(_LOADED_AT_A_TIME, waiting=_LOADS_WAITING))
        deliveries = DeliveryWorker(
            database,
            engine,
            event_reader,
            clock,
            settings=ground.triggers,
            is_elected=is_elected,
        )
        schedules = ScheduleWorker(database, clock, ids=ids, settings=ground.triggers, is_elected=is_elected)
        catch_up = CatchUp(database, providers, clock, ids=ids, settings=ground.triggers, is_elected=is_elected)
        statuses = StatusWorker(
            database, providers, clock, durable=barrier, settings=ground.triggers, is_elected=is_elected
        )
        webhooks = WebhookWorker(
            database,
            ground.envelope,
            hook_http,
            clock,
            ids=ids,
            durable=barrier,
            settings=ground.triggers,
            is_elected=is_elected,
        )
        expiry = Expiry(database, clock, is_elected=lambda: engine.is_scheduler)
        orphans = OrphanedRuns(database, engine, store, is_elected=is_elected)
        offer = ServiceSet(
            PeerAuthenticator(ground.own.token, authenticator),
            Guard(database, {**TREE_RESOURCES, "run": RUN_RESOURCE}),
        )
        # Innermost, so that they end while database and etcd are still open: the scheduler resigns, leases are
        # revoked.
        async with _background(
            keys.run(),
            directory.run(),
            barrier.run(),
            engine.run(),
            store.run(),
            detector.run(),
            retention.run(),
            orphans.run(),
            expiry.run(),
            authenticator.follow(),
            offer.recheck_callers(),
            uses.run(),
            ground.master_keys.follow(ground.envelope),
            cleaner.run(),
            deliveries.run(),
            statuses.run(),
            schedules.run(),
            webhooks.run(),
            catch_up.run(),
        ):
            await directory.ready()
            audited = AuditedDatabase(database, clock, ids=ids, subjects=AUDIT_SUBJECTS)
            reader = LogReader(store, live, StoredLogStates(database), peers=peers)
            offer.add(peer_service_pb2_grpc.add_PeerServiceServicer_to_server, PeerServicer(live))
            offer.add(
                run_service_pb2_grpc.add_RunServiceServicer_to_server,
                RunServicer(
                    database,
                    engine,
                    explainer=Explainer(directory, clock, times=times, scopes=ProjectSettings()),
                    logs=reader,
                    deletion=LogDeletion(audited, store, clock),
                    artifacts=Artifacts(database, archives),
                    tests=Tests(database, archives),
                    right_on_scope=right_on_scope,
                    ids=ids,
                ),
            )
            offer.add(
                hold_service_pb2_grpc.add_HoldServiceServicer_to_server,
                HoldServicer(
                    database,
                    engine,
                    shells,
                    is_connected=lambda id_: any(each.id == id_ for each in directory.live()),
                    clock=clock,
                    ids=ids,
                ),
            )
            offer.add(
                executor_service_pb2_grpc.add_ExecutorServiceServicer_to_server,
                ExecutorServicer(
                    database,
                    engine,
                    streams=streams,
                    logs=LogReceiver(live, owners),
                    archives=ExecutorArchives(database, archives, clock, ids=ids, config_of=engine.config_of),
                    shells=shells,
                    id_tokens=IdTokens(
                        database,
                        identity_keys,
                        clock,
                        ids=ids,
                        config_of=engine.config_of,
                        public_url=public_url,
                    ),
                ),
            )
            offer.add(
                identity_service_pb2_grpc.add_IdentityServiceServicer_to_server,
                IdentityServicer(database, identity_keys, clock, ids=ids, public_url=public_url),
            )
            offer.add(
                executor_admin_service_pb2_grpc.add_ExecutorAdminServiceServicer_to_server,
                ExecutorAdminServicer(audited, directory, detector=detector, clock=clock),
            )
            offer.add(config_service_pb2_grpc.add_ConfigServiceServicer_to_server, ConfigServicer())
            offer.add(
                version_service_pb2_grpc.add_VersionServiceServicer_to_server,
                VersionServicer(public_url=public_url),
            )
            offer.add(
                database_service_pb2_grpc.add_DatabaseServiceServicer_to_server,
                DatabaseServicer(
                    database,
                    ground.kv,
                    ground.storage,
                    prefix=ground.prefix,
                    etcd_name=ground.etcd_name,
                    scratch=ground.scratch,
                    envelope=ground.envelope,
                    clock=clock,
                ),
            )
            offer.add(
                token_service_pb2_grpc.add_TokenServiceServicer_to_server,
                TokenServicer(database, clock=clock, ids=ids, scopes=lambda: offer.scopes),
            )
            offer.add(
                remote_source_service_pb2_grpc.add_RemoteSourceServiceServicer_to_server,
                RemoteSourceServicer(audited, ground.envelope, clock, ids=ids),
            )
            offer.add(
                linked_account_service_pb2_grpc.add_LinkedAccountServiceServicer_to_server,
                LinkedAccountServicer(audited, providers, ground.envelope, clock, ids=ids),
            )
            offer.add(
                login_service_pb2_grpc.add_LoginServiceServicer_to_server,
                LoginServicer(
                    database,
                    providers,
                    grants,
                    ground.envelope,
                    clock,
                    ids=ids,
                    public_url=public_url,
                ),
            )
            offer.add(
                delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server,
                DeliveryServicer(
                    audited, providers, ground.envelope, clock, ids=ids, reader=event_reader, expect=deliveries.expect
                ),
            )
            offer.add(
                schedule_service_pb2_grpc.add_ScheduleServiceServicer_to_server,
                ScheduleServicer(audited, providers, clock, ids=ids),
            )
            offer.add(audit_service_pb2_grpc.add_AuditServiceServicer_to_server, AuditServicer(database))
            offer.add(
                secret_service_pb2_grpc.add_SecretServiceServicer_to_server,
                SecretServicer(database, ground.envelope, clock=clock, ids=ids),
            )
            offer.add(
                variable_service_pb2_grpc.add_VariableServiceServicer_to_server,
                VariableServicer(database, clock=clock, ids=ids),
            )
            offer.add(
                badge_service_pb2_grpc.add_BadgeServiceServicer_to_server,
                BadgeServicer(database, clock=clock, ids=ids),
            )
            offer.add(
                webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server,
                WebhookServicer(database, ground.envelope, clock=clock, ids=ids),
            )
            offer.add(
                project_service_pb2_grpc.add_ProjectServiceServicer_to_server,
                ProjectServicer(database, clock=clock, ids=ids, links=links, kept=ground.retention.kept),
            )
            offer.add(
                organization_service_pb2_grpc.add_OrganizationServiceServicer_to_server,
                OrganizationServicer(
                    database, clock=clock, ids=ids, members_by_invitation=ground.members_by_invitation
                ),
            )
            offer.add(
                quota_service_pb2_grpc.add_QuotaServiceServicer_to_server,
                QuotaServicer(database, clock=clock, ids=ids),
            )
            offer.add(
                invitation_service_pb2_grpc.add_InvitationServiceServicer_to_server,
                InvitationServicer(database, clock=clock, ids=ids),
            )
            offer.add(
                user_service_pb2_grpc.add_UserServiceServicer_to_server,
                UserServicer(database, clock=clock, ids=ids, passwords=Passwords(clock), scopes=lambda: offer.scopes),
            )
            yield offer


@asynccontextmanager
async def _background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside the body: cancelled and awaited at its end; if one fails, the body is cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
