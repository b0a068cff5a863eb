"""The SDK without `await`: the same methods, and iterators instead of asynchronous ones.

    with connect("127.0.0.1:7070", token=token) as client:
        for run in client.runs.list(limit=10):
            print(run.number, run.name, RunPhase(run.phase))
        for chunk in client.runs.logs(run_id, task_id, follow=True):
            ...

A thread runs the event loop, and every call waits for it. A client may be used by several threads. In a program that
has an event loop of its own, use `sluiceway.client`.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sluiceway.client import (
    audit,
    configs,
    database,
    deliveries,
    executors,
    holds,
    identity,
    invitations,
    logins,
    projects,
    quotas,
    remote_sources,
    runs,
    schedules,
    secrets,
    tokens,
    webhooks,
)
from sluiceway.client.client import Client as AsyncClient
from sluiceway.client.client import Duration
from sluiceway.client.client import connect as connect_async
from sluiceway.client.connection import DEFAULT_PATIENCE, DEFAULT_TIMEOUT, Connection
from sluiceway_common.foundation.errors import FailedPrecondition

__all__ = [
    "Audit",
    "Client",
    "Configs",
    "Database",
    "Deliveries",
    "Executors",
    "Holds",
    "LinkedAccounts",
    "Organizations",
    "ProjectGroups",
    "Projects",
    "RemoteSources",
    "Runs",
    "Tokens",
    "Users",
    "connect",
]

P = ParamSpec("P")
T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own. The methods of the classes below wait for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sluiceway-client", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end.

        Raises:
            FailedPrecondition: reason `CONNECTION_CLOSED`: the loop has ended.
        """
        if self._loop.is_closed():
            work.close()
            raise FailedPrecondition("this connection is closed; connect again", reason="CONNECTION_CLOSED")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Waiting was interrupted (Ctrl-C): cancel the call. Without effect when it has ended.
            future.cancel()
            raise

    def call(self, method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        """Convert a coroutine method to a blocking one."""

        @functools.wraps(method)
        def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.wait(method(*args, **kwargs))

        return waiting

    def stream(self, method: Callable[P, AsyncGenerator[T]]) -> Callable[P, Iterator[T]]:
        """Convert a method with a stream to one with an iterator. Closing the iterator ends the call."""

        @functools.wraps(method)
        def iterating(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            stream = method(*args, **kwargs)

            async def following() -> tuple[T, ...]:
                try:
                    return (await anext(stream),)
                except StopAsyncIteration:
                    return ()

            try:
                while found := self.wait(following()):
                    yield found[0]
            finally:
                # A stream that outlives the connection was closed with it.
                if not self._loop.is_closed():
                    self.wait(_closing(stream))

        return iterating

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            # Streams that were not read to their end.
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class Runs:
    """`sluiceway.client.runs.Runs`, blocking."""

    def __init__(self, runs: runs.Runs, loop: _Loop) -> None:
        self.create = loop.call(runs.create)
        self.get = loop.call(runs.get)
        self.resolve = loop.call(runs.resolve)
        self.list = loop.call(runs.list)
        self.tasks = loop.call(runs.tasks)
        self.task = loop.call(runs.task)
        self.stop = loop.call(runs.stop)
        self.cancel = loop.call(runs.cancel)
        self.restart = loop.call(runs.restart)
        self.approve = loop.call(runs.approve)
        self.reject = loop.call(runs.reject)
        self.retry = loop.call(runs.retry)
        self.find_log_error = loop.call(runs.find_log_error)
        self.tests = loop.call(runs.tests)
        self.artifacts = loop.call(runs.artifacts)
        self.delete_logs = loop.call(runs.delete_logs)
        self.log_index = loop.call(runs.log_index)
        self.explain = loop.call(runs.explain)
        self.explain_task = loop.call(runs.explain_task)
        self.history = loop.call(runs.history)
        self.watch = loop.stream(runs.watch)
        self.watch_all = loop.stream(runs.watch_all)
        self.logs = loop.stream(runs.logs)
        self.log_messages = loop.stream(runs.log_messages)
        self.search_logs = loop.stream(runs.search_logs)
        self.artifact = loop.stream(runs.artifact)


class Holds:
    """`sluiceway.client.holds.Holds`, blocking."""

    def __init__(self, holds: holds.Holds, loop: _Loop) -> None:
        self.continue_task = loop.call(holds.continue_task)
        self.release = loop.call(holds.release)
        self.shell = loop.stream(holds.shell)


class Executors:
    """`sluiceway.client.executors.Executors`, blocking."""

    def __init__(self, executors: executors.Executors, loop: _Loop) -> None:
        self.list = loop.call(executors.list)
        self.get = loop.call(executors.get)
        self.groups = loop.call(executors.groups)
        self.group = loop.call(executors.group)
        self.create_group = loop.call(executors.create_group)
        self.update_group = loop.call(executors.update_group)
        self.delete_group = loop.call(executors.delete_group)
        self.drain = loop.call(executors.drain)
        self.undrain = loop.call(executors.undrain)
        self.drain_matching = loop.call(executors.drain_matching)
        self.undrain_matching = loop.call(executors.undrain_matching)
        self.delete = loop.call(executors.delete)


class Projects:
    """`sluiceway.client.projects.Projects`, blocking."""

    def __init__(self, of: projects.Projects, loop: _Loop) -> None:
        self.create = loop.call(of.create)
        self.get = loop.call(of.get)
        self.list = loop.call(of.list)
        self.update = loop.call(of.update)
        self.delete = loop.call(of.delete)
        self.create_badge_token = loop.call(of.create_badge_token)
        self.delete_badge_token = loop.call(of.delete_badge_token)


class ProjectGroups:
    """`sluiceway.client.projects.ProjectGroups`, blocking."""

    def __init__(self, of: projects.ProjectGroups, loop: _Loop) -> None:
        self.create = loop.call(of.create)
        self.get = loop.call(of.get)
        self.list = loop.call(of.list)
        self.update = loop.call(of.update)
        self.delete = loop.call(of.delete)


class Organizations:
    """`sluiceway.client.projects.Organizations`, blocking."""

    def __init__(self, of: projects.Organizations, loop: _Loop) -> None:
        self.create = loop.call(of.create)
        self.get = loop.call(of.get)
        self.list = loop.call(of.list)
        self.update = loop.call(of.update)
        self.delete = loop.call(of.delete)
        self.members = loop.call(of.members)
        self.set_member = loop.call(of.set_member)
        self.remove_member = loop.call(of.remove_member)


class Users:
    """`sluiceway.client.projects.Users`, blocking."""

    def __init__(self, of: projects.Users, loop: _Loop) -> None:
        self.create = loop.call(of.create)
        self.get = loop.call(of.get)
        self.list = loop.call(of.list)
        self.update = loop.call(of.update)
        self.delete = loop.call(of.delete)
        self.set_password = loop.call(of.set_password)
        self.log_in = loop.call(of.log_in)
        self.begin_session = loop.call(of.begin_session)
        self.tokens = loop.call(of.tokens)
        self.create_token = loop.call(of.create_token)
        self.revoke_token = loop.call(of.revoke_token)


class Configs:
    """`sluiceway.client.configs.Configs`, blocking."""

    def __init__(self, configs: configs.Configs, loop: _Loop) -> None:
        self.check = loop.call(configs.check)
        self.render = loop.call(configs.render)
        self.graph = loop.call(configs.graph)


class Database:
    """`sluiceway.client.database.Database`, blocking."""

    def __init__(self, database: database.Database, loop: _Loop) -> None:
        self.status = loop.call(database.status)
        self.checkpoint = loop.call(database.checkpoint)
        self.rotate_master_key = loop.call(database.rotate_master_key)
        self.verify = loop.stream(database.verify)
        self.export = loop.stream(database.export)


class Tokens:
    """`sluiceway.client.tokens.Tokens`, blocking."""

    def __init__(self, tokens: tokens.Tokens, loop: _Loop) -> None:
        self.create = loop.call(tokens.create)
        self.list = loop.call(tokens.list)
        self.revoke = loop.call(tokens.revoke)


class Invitations:
    """`sluiceway.client.invitations.Invitations`, blocking."""

    def __init__(self, of: invitations.Invitations, loop: _Loop) -> None:
        self.create = loop.call(of.create)
        self.list = loop.call(of.list)
        self.received = loop.call(of.received)
        self.delete = loop.call(of.delete)
        self.accept = loop.call(of.accept)
        self.decline = loop.call(of.decline)


class Identity:
    """`sluiceway.client.identity.Identity`, blocking."""

    def __init__(self, of: identity.Identity, loop: _Loop) -> None:
        self.get_provider = loop.call(of.get_provider)
        self.get_project = loop.call(of.get_project)
        self.rotate_keys = loop.call(of.rotate_keys)


class Quotas:
    """`sluiceway.client.quotas.Quotas`, blocking."""

    def __init__(self, of: quotas.Quotas, loop: _Loop) -> None:
        self.get = loop.call(of.get)
        self.set = loop.call(of.set)


class Audit:
    """`sluiceway.client.audit.Audit`, blocking."""

    def __init__(self, audit: audit.Audit, loop: _Loop) -> None:
        self.list = loop.call(audit.list)


class Webhooks:
    """`sluiceway.client.webhooks.Webhooks`, blocking."""

    def __init__(self, webhooks: webhooks.Webhooks, loop: _Loop) -> None:
        self.create = loop.call(webhooks.create)
        self.get = loop.call(webhooks.get)
        self.list = loop.call(webhooks.list)
        self.update = loop.call(webhooks.update)
        self.rotate_secret = loop.call(webhooks.rotate_secret)
        self.delete = loop.call(webhooks.delete)
        self.deliveries = loop.call(webhooks.deliveries)
        self.redeliver = loop.call(webhooks.redeliver)


class Schedules:
    """`sluiceway.client.schedules.Schedules`, blocking."""

    def __init__(self, schedules: schedules.Schedules, loop: _Loop) -> None:
        self.create = loop.call(schedules.create)
        self.get = loop.call(schedules.get)
        self.list = loop.call(schedules.list)
        self.update = loop.call(schedules.update)
        self.delete = loop.call(schedules.delete)


class RemoteSources:
    """`sluiceway.client.remote_sources.RemoteSources`, blocking."""

    def __init__(self, sources: remote_sources.RemoteSources, loop: _Loop) -> None:
        self.create = loop.call(sources.create)
        self.get = loop.call(sources.get)
        self.list = loop.call(sources.list)
        self.update = loop.call(sources.update)
        self.delete = loop.call(sources.delete)


class LinkedAccounts:
    """`sluiceway.client.remote_sources.LinkedAccounts`, blocking."""

    def __init__(self, accounts: remote_sources.LinkedAccounts, loop: _Loop) -> None:
        self.create = loop.call(accounts.create)
        self.list = loop.call(accounts.list)
        self.delete = loop.call(accounts.delete)


class Logins:
    """`sluiceway.client.logins.Logins`, blocking."""

    def __init__(self, logins: logins.Logins, loop: _Loop) -> None:
        self.sources = loop.call(logins.sources)
        self.begin = loop.call(logins.begin)
        self.begin_link = loop.call(logins.begin_link)
        self.complete = loop.call(logins.complete)
        self.begin_device = loop.call(logins.begin_device)
        self.get_device = loop.call(logins.get_device)
        self.answer_device = loop.call(logins.answer_device)
        self.redeem_device = loop.call(logins.redeem_device)
        self.log_out = loop.call(logins.log_out)


class Deliveries:
    """`sluiceway.client.deliveries.Deliveries`, blocking."""

    def __init__(self, deliveries: deliveries.Deliveries, loop: _Loop) -> None:
        self.list = loop.call(deliveries.list)
        self.get = loop.call(deliveries.get)
        self.run = loop.call(deliveries.run)
        self.configured_runs = loop.call(deliveries.configured_runs)
        self.redeliver = loop.call(deliveries.redeliver)


class Secrets:
    """`sluiceway.client.secrets.Secrets`, blocking."""

    def __init__(self, secrets: secrets.Secrets, loop: _Loop) -> None:
        self.create = loop.call(secrets.create)
        self.get = loop.call(secrets.get)
        self.list = loop.call(secrets.list)
        self.update = loop.call(secrets.update)
        self.replace = loop.call(secrets.replace)
        self.delete = loop.call(secrets.delete)


class Variables:
    """`sluiceway.client.secrets.Variables`, blocking."""

    def __init__(self, variables: secrets.Variables, loop: _Loop) -> None:
        self.create = loop.call(variables.create)
        self.get = loop.call(variables.get)
        self.list = loop.call(variables.list)
        self.update = loop.call(variables.update)
        self.delete = loop.call(variables.delete)


class Client:
    """The API of a server, by area. See `sluiceway.client.Client`."""

    def __init__(self, client: AsyncClient, loop: _Loop) -> None:
        self.connection: Connection = client.connection
        self.runs = Runs(client.runs, loop)
        self.holds = Holds(client.holds, loop)
        self.executors = Executors(client.executors, loop)
        self.projects = Projects(client.projects, loop)
        self.project_groups = ProjectGroups(client.project_groups, loop)
        self.organizations = Organizations(client.organizations, loop)
        self.users = Users(client.users, loop)
        self.configs = Configs(client.configs, loop)
        self.database = Database(client.database, loop)
        self.tokens = Tokens(client.tokens, loop)
        self.schedules = Schedules(client.schedules, loop)
        self.webhooks = Webhooks(client.webhooks, loop)
        self.remote_sources = RemoteSources(client.remote_sources, loop)
        self.linked_accounts = LinkedAccounts(client.linked_accounts, loop)
        self.logins = Logins(client.logins, loop)
        self.deliveries = Deliveries(client.deliveries, loop)
        self.invitations = Invitations(client.invitations, loop)
        self.identity = Identity(client.identity, loop)
        self.quotas = Quotas(client.quotas, loop)
        self.audit = Audit(client.audit, loop)
        self.secrets = Secrets(client.secrets, loop)
        self.variables = Variables(client.variables, loop)
        self.version = loop.call(client.version)
        self.public_url = loop.call(client.public_url)


@contextmanager
def connect(
    server: str,
    *,
    token: str | None = None,
    tls: bool = False,
    ca_file: str | Path | None = None,
    insecure: bool = False,
    timeout: Duration = DEFAULT_TIMEOUT,
    patience: Duration = DEFAULT_PATIENCE,
) -> Iterator[Client]:
    """Connect to the gRPC port of a server. See `sluiceway.client.connect`; the thread ends with the block."""
    loop = _Loop()
    try:
        manager = connect_async(
            server, token=token, tls=tls, ca_file=ca_file, insecure=insecure, timeout=timeout, patience=patience
        )
        client = loop.wait(manager.__aenter__())
        try:
            yield Client(client, loop)
        finally:
            loop.wait(manager.__aexit__(None, None, None))
    finally:
        loop.close()


async def _closing(stream: AsyncGenerator[T]) -> None:
    await stream.aclose()
