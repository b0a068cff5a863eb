"""A container engine over the Docker API: Docker, or Podman's service of that API.

The version of the API is never pinned: `aiodocker` asks the engine for its own. Every call has a deadline, and every
error is one of ours. The end of a container is read with `wait`, not from events.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import aiodocker
import aiohttp
from aiodocker.stream import Stream

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit

__all__ = ["ContainerStream", "DockerEngine", "EngineError", "uncancelled"]

T = TypeVar("T")

_CALL_SECONDS = 120.0
_FIRST_BYTE_SECONDS = 30.0
_PULL_SILENCE_SECONDS = 300.0
_NOT_FOUND, _CONFLICT = 404, 409
_NOT_CONNECTED = 900
"""The status that `aiodocker` gives to an engine that it cannot connect to."""
_REMOVAL_ROUNDS = 50
_START_TRIES = 3
_EMPTY_ROOT = "no such file or directory"


class EngineError(FailedPrecondition):
    """The engine refused a call, or does not respond. `status` is that of HTTP; 0: no response."""

    reason = "CONTAINER_ENGINE"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message, reason=self.reason)
        self.status = status


async def uncancelled(call: Coroutine[Any, Any, T]) -> T:
    """Await a call that makes something; if this is cancelled, that is first made, so that it can be removed."""
    task = asyncio.create_task(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class DockerEngine:
    """A connection to an engine. It is opened by the first call."""

    def __init__(self, url: str = "") -> None:
        """Take the address (`unix:///run/docker.sock`, `tcp://host:port`). Empty: as the command `docker` finds it."""
        self._url = url
        self._client: aiodocker.Docker | None = None

    @property
    def address(self) -> str:
        """Its address, for a person."""
        return self._url or "the default address"

    async def close(self) -> None:
        """Close the connection. May be repeated."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def info(self) -> dict[str, Any]:
        """Return what the engine says of itself and its machine."""
        async with self._call("describe itself") as client:
            return dict(await client.system.info())

    # -- images -------------------------------------------------------------------------------------------------

    async def image(self, name: str) -> dict[str, Any] | None:
        """Return an image that the engine has; None: it has not."""
        try:
            async with self._call(f"inspect the image {name}") as client:
                return dict(await client.images.inspect(name))
        except EngineError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def pull(self, name: str, *, login: Mapping[str, str] | None) -> AsyncIterator[dict[str, Any]]:
        """Pull an image, and yield the messages of its progress.

        `login` has `username`, `password` and `serveraddress`.
        """
        client = self._open()
        try:
            messages = aiter(
                client.images.pull(name if login is None else _whole_name(name), auth=_auth(login), stream=True)
            )
            while True:
                async with time_limit(_PULL_SILENCE_SECONDS):
                    message = await anext(messages, None)
                if message is None:
                    return
                yield message
        except TimeoutError as error:
            raise EngineError(f"the registry or the engine was silent for {_PULL_SILENCE_SECONDS:g} s") from error
        except aiodocker.DockerError as error:
            raise EngineError(str(error.message), status=error.status) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    # -- networks and containers --------------------------------------------------------------------------------

    async def create_network(self, config: Mapping[str, Any]) -> str:
        """Create a network; return its id."""
        async with self._call("create a network") as client:
            return str((await client.networks.create(dict(config))).id)

    async def network(self, id_: str) -> dict[str, Any]:
        """Return a network."""
        async with self._call("inspect a network") as client:
            return dict(await (await client.networks.get(id_)).show())

    async def create_container(self, name: str, config: Mapping[str, Any]) -> str:
        """Create a container; return its id."""
        async with self._call("create a container") as client:
            return str((await client.containers.create(dict(config), name=name)).id)

    async def unpack(self, container: str, archive: bytes) -> None:
        """Unpack a tar archive into the root of a container, which need not run."""
        async with self._call("copy files into a container") as client:
            await client.containers.container(container).put_archive("/", io.BytesIO(archive))  # type: ignore[no-untyped-call]

    async def run_container(
        self, name: str, config: Mapping[str, Any], *, archive: bytes = b""
    ) -> tuple[str, ContainerStream | None]:
        """Create a container, unpack an archive into it, and start it.

        Returns:
            Its id, and its standard output and error if `config` has `AttachStdout`.
        """
        for tries_left in reversed(range(_START_TRIES)):
            container = await uncancelled(self.create_container(name, config))
            output = None
            try:
                if archive:
                    await self.unpack(container, archive)
                if config.get("AttachStdout"):
                    output = await self.attach(container)
                await uncancelled(self.start(container))
            except BaseException as error:
                if output is not None:
                    await output.close()
                # On a busy machine, runc sees an empty root file system once in 30 starts after an archive was unpacked
                # (Docker 20.10 on Linux 6.18): then not even what was unpacked is there.
                if not (isinstance(error, EngineError) and tries_left and _EMPTY_ROOT in str(error)):
                    raise
                await self.remove_container(container)
            else:
                return container, output
        raise AssertionError("unreachable")

    async def start(self, container: str) -> None:
        """Start a container."""
        async with self._call("start a container") as client:
            await client.containers.container(container).start()

    async def attach(self, container: str) -> ContainerStream:
        """Connect to the standard output and error of a container, which need not run yet."""
        async with self._call("attach to a container", seconds=_FIRST_BYTE_SECONDS) as client:
            return await _open(client.containers.container(container).attach(stdout=True, stderr=True))

    async def exec(self, container: str, argv: Sequence[str], *, has_input: bool = False) -> ContainerStream:
        """Start a command in a container, as root; return its standard streams."""
        async with self._call("run a command in a container", seconds=_FIRST_BYTE_SECONDS) as client:
            made = await client.containers.container(container).exec(list(argv), stdin=has_input, user="0:0")
            return await _open(made.start(detach=False))

    async def wait(self, container: str) -> int | None:
        """Wait until a container has ended; return its exit code. None: it has been removed."""
        try:
            client = self._open()
            ended = await client.containers.container(container).wait()
            return int(ended["StatusCode"])
        except aiodocker.DockerError as error:
            if error.status == _NOT_FOUND:
                return None
            raise EngineError(str(error.message), status=error.status) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """Return a container; None: there is none."""
        try:
            async with self._call("inspect a container") as client:
                return dict(await client.containers.container(container).show())
        except EngineError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def last_lines(self, container: str, count: int) -> Sequence[str]:
        """Return the end of the output of a container."""
        async with self._call("read the log of a container") as client:
            found = client.containers.container(container).log(stdout=True, stderr=True, tail=count)
            return [str(line).rstrip("\r\n") for line in await found]

    async def run_in(self, container: str, argv: Sequence[str]) -> int:
        """Run a command in a container; return its exit code. Its output is dropped."""
        async with self._call("run a command in a container") as client:
            made = await client.containers.container(container).exec(list(argv))
            async with made.start(detach=False) as stream:
                while await stream.read_out() is not None:
                    pass
            return int((await made.inspect())["ExitCode"])

    # -- what labels name ---------------------------------------------------------------------------------------

    async def containers(self, *labels: str) -> Sequence[Mapping[str, Any]]:
        """List the containers with all of these labels (`KEY` or `KEY=VALUE`), also those that do not run."""
        async with self._call("list containers") as client:
            found = await client.containers.list(all=True, filters={"label": list(labels)})
            return [each._container for each in found]

    async def networks(self, *labels: str) -> Sequence[Mapping[str, Any]]:
        """List the networks with all of these labels."""
        async with self._call("list networks") as client:
            return list(await client.networks.list(filters={"label": list(labels)}))

    async def remove_container(self, id_: str) -> None:
        """End a container and remove it with its anonymous volumes. Returns when it is gone; may be repeated."""
        for _ in range(_REMOVAL_ROUNDS):
            try:
                async with self._call("remove a container") as client:
                    await client.containers.container(id_).delete(force=True, v=True)
            except EngineError as error:
                if error.status == _NOT_FOUND:
                    return
                # It is being removed: by the engine at its end, or by another call.
                if error.status != _CONFLICT:
                    raise
            if await self.inspect(id_) is None:
                return
            await asyncio.sleep(0.1)
        raise EngineError(f"the container {id_[:12]} is not removed by the engine")

    async def remove_network(self, id_: str) -> None:
        """Remove a network whose containers are gone. May be repeated."""
        for _ in range(_REMOVAL_ROUNDS):
            try:
                async with self._call("remove a network") as client:
                    await (await client.networks.get(id_)).delete()
            except EngineError as error:
                if error.status == _NOT_FOUND:
                    return
                # For a moment after the end of its last container it still has an endpoint.
                if error.status not in {403, _CONFLICT}:
                    raise
            else:
                return
            await asyncio.sleep(0.1)
        raise EngineError(f"the network {id_[:12]} is not removed by the engine")

    async def remove_all(self, *labels: str) -> None:
        """Remove all containers and networks with all of these labels, each container before its network."""
        found = await self.containers(*labels)
        await asyncio.gather(*(self.remove_container(str(each["Id"])) for each in found))
        for network in await self.networks(*labels):
            await self.remove_network(str(network["Id"]))

    # -- calls --------------------------------------------------------------------------------------------------

    def _open(self) -> aiodocker.Docker:
        if self._client is None:
            try:
                self._client = aiodocker.Docker(self._url or None, timeout=aiohttp.ClientTimeout(sock_connect=10))
            except (AssertionError, ValueError, OSError, aiodocker.DockerError) as error:
                raise EngineError(
                    f"no container engine is found at {self.address}: start one, or name its socket with "
                    "--docker-host unix:///run/docker.sock"
                ) from error
        return self._client

    @contextlib.asynccontextmanager
    async def _call(self, what: str, *, seconds: float = _CALL_SECONDS) -> AsyncIterator[aiodocker.Docker]:
        try:
            async with time_limit(seconds):
                yield self._open()
        except TimeoutError as error:
            raise EngineError(f"the container engine did not {what} within {seconds:g} s") from error
        except aiodocker.DockerError as error:
            if error.status == _NOT_CONNECTED:
                raise self._unreachable(error) from error
            raise EngineError(
                f"the container engine did not {what}: {error.message}", status=int(error.status)
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> EngineError:
        text = error.message if isinstance(error, aiodocker.DockerError) else error
        return EngineError(f"the container engine at {self.address} does not respond: {text}")


async def _open(stream: Stream) -> ContainerStream:
    opened = ContainerStream(stream)
    try:
        await opened.open()
    except BaseException:
        await opened.close()
        raise
    return opened


class ContainerStream:
    """The standard streams of a container, or of a command in one; see `link_channel.Connection`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._errors = bytearray()
        self._closed = False

    async def open(self) -> None:
        """Connect."""
        await self._stream.__aenter__()

    @property
    def errors(self) -> str:
        """What it has written to its standard error so far."""
        return self._errors.decode("utf-8", "replace")

    async def read(self) -> bytes:
        while not self._closed:
            try:
                message = await self._stream.read_out()
            except aiohttp.ClientError as error:
                raise OSError(str(error)) from error
            if message is None:
                return b""
            if message.stream == 1:
                return bytes(message.data)
            self._errors += message.data[: max(0, 65536 - len(self._errors))]
        return b""

    async def read_all(self) -> str:
        """Wait for its end; return its standard output."""
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts).decode("utf-8", "replace")

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write_in(data)
        except (RuntimeError, AssertionError, aiohttp.ClientError) as error:
            raise OSError(f"the connection to the container has ended: {error}") from error

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            # It asserts that the connection has not ended yet.
            with contextlib.suppress(AssertionError):
                await self._stream.close()


def _whole_name(name: str) -> str:
    """Return the name of an image with its registry, which credentials are sent with."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _auth(login: Mapping[str, str] | None) -> dict[str, Any] | None:
    return None if login is None else dict(login)
