"""Calls of the API server of Kubernetes, over `kubernetes-asyncio`: its configuration, connections and credentials.

Objects are the dicts of their JSON. Every call has a deadline and every error is one of ours. Calls are repeated while
the server is away or asks to wait (429 and 5xx, with `Retry-After`): all of them are written so that they may be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes_asyncio.stream import WsApiClient

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit

__all__ = ["ApiError", "ExecStream", "KubernetesApi"]

log = structlog.get_logger(__name__)

_CALL_SECONDS = 30.0
_AWAY_SECONDS = 300.0
_CONNECT_SECONDS = 10.0
_WATCH_SECONDS = 300
_SILENCE_SECONDS = 330.0
_MAX_PAUSE_SECONDS = 15.0
_REPEATED = frozenset({429, 500, 502, 503, 504})
_GONE = 410
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_MAX_ERRORS = 1 << 16

Query = Sequence[tuple[str, str]]


class ApiError(FailedPrecondition):
    """The API server refused a call, or does not respond. `status` is that of HTTP; 0: no response."""

    reason = "KUBERNETES_API"

    def __init__(self, message: str, *, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message, reason=self.reason)
        self.status = status
        self.retry_after = retry_after


class KubernetesApi:
    """A connection to an API server. It is opened by the first call."""

    def __init__(
        self,
        *,
        namespace: str = "",
        kubeconfig: Path | None = None,
        context: str = "",
        away_seconds: float = _AWAY_SECONDS,
    ) -> None:
        """Take where to connect.

        Args:
            namespace: of the pods; empty: that of the service account, or of the context.
            kubeconfig: a file; None: the service account of this pod, or else the file that `kubectl` uses.
            context: of that file; empty: the current one.
            away_seconds: how long calls wait for a server that is away.
        """
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._context = context
        self._away_seconds = away_seconds
        self._client: ApiClient | None = None
        self._streams: WsApiClient | None = None
        self._opening = asyncio.Lock()

    @property
    def namespace(self) -> str:
        """The namespace of the pods. Known after the first call."""
        return self._namespace

    @property
    def address(self) -> str:
        """The address of the server, for a person."""
        return str(self._client.configuration.host) if self._client is not None else "an unknown address"

    async def close(self) -> None:
        """Close its connections. May be repeated."""
        clients, self._client, self._streams = (self._client, self._streams), None, None
        for client in clients:
            if client is not None:
                await client.close()

    # -- objects ------------------------------------------------------------------------------------------------

    async def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object of the namespace (`pods`, `secrets`); None: there is none."""
        try:
            return await self._call("GET", f"{await self._path(kind)}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def find(self, kind: str, *labels: str) -> dict[str, Any]:
        """Return a list of the objects with all of these labels (`NAME=VALUE`)."""
        return await self._call("GET", await self._path(kind), [("labelSelector", ",".join(labels))])

    async def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes of the cluster."""
        return list((await self._call("GET", "/api/v1/nodes"))["items"])

    async def create(self, kind: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object. After a broken connection the call is repeated, and may end with 409."""
        return await self._call("POST", await self._path(kind), body=manifest)

    async def merge(self, kind: str, name: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of an object (a JSON merge patch)."""
        path = f"{await self._path(kind)}/{name}"
        return await self._call("PATCH", path, body=change, content_type="application/merge-patch+json")

    async def delete(self, kind: str, name: str, *, grace_seconds: int | None = None, uid: str = "") -> None:
        """Begin to delete an object; with `uid` only if it is that one. One that is gone is no error."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", f"{await self._path(kind)}/{name}", body=options)
        except ApiError as error:
            # 409: there is another object of that name.
            if error.status != 404 and not (error.status == 409 and uid):
                raise

    async def delete_all(self, kind: str, *labels: str) -> None:
        """Delete all objects with all of these labels."""
        await self._call("DELETE", await self._path(kind), [("labelSelector", ",".join(labels))])

    async def logs(self, pod: str, container: str, *, lines: int) -> list[str]:
        """Return the last lines of a container's output; empty: it has none."""
        query = [("container", container), ("tailLines", str(lines)), ("limitBytes", str(1 << 16))]
        try:
            data = await self._read("GET", f"{await self._path('pods')}/{pod}/log", query)
        except ApiError:
            return []
        return data.decode("utf-8", "replace").splitlines()

    async def watch(self, kind: str, revision: str, *labels: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the events (`type`, `object`) after a revision, until the server or the connection ends the stream.

        Raises:
            ApiError: 410: the revision is too old; list again. Any other: the server refuses, or cannot be reached.
        """
        query = [
            ("watch", "true"),
            ("resourceVersion", revision),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(_WATCH_SECONDS)),
            ("labelSelector", ",".join(labels)),
        ]
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._request("GET", await self._path(kind), query, timeout=timeout)
            if response.status != 200:
                raise _refusal(response, await response.read())
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(str(status.get("message", "")), status=int(status.get("code", _GONE)))
                yield event
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from error
        finally:
            if response is not None:
                response.close()

    # -- commands in containers ---------------------------------------------------------------------------------

    async def exec(self, pod: str, container: str, argv: Sequence[str], *, has_input: bool = False) -> ExecStream:
        """Start a command in a container.

        Raises:
            ApiError: it cannot be started, or the server does not respond. The call is not repeated.
        """
        await self._open()
        assert self._streams is not None  # noqa: S101 - it is open
        flags = (("stdin", has_input), ("stdout", True), ("stderr", True), ("tty", False))
        query = [("container", container), *(("command", each) for each in argv)]
        query += [(name, "true" if value else "false") for name, value in flags]
        path = f"{await self._path('pods')}/{pod}/exec"
        try:
            async with time_limit(_CALL_SECONDS):
                opening = await self._streams.call_api(
                    path, "GET", query_params=query, auth_settings=["BearerToken"], _preload_content=False
                )
                return ExecStream(await opening)
        except aiohttp.WSServerHandshakeError as error:
            raise ApiError(f"the command was not started: {error.message}", status=error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def run(self, pod: str, container: str, argv: Sequence[str], *, seconds: float = _CALL_SECONDS) -> int | None:
        """Run a command to its end; return its exit code. None: the connection ended before it did."""
        stream = await self.exec(pod, container, argv)
        try:
            async with time_limit(seconds):
                while await stream.read():
                    pass
        except TimeoutError:
            return None
        finally:
            await stream.close()
        return stream.code

    # -- calls --------------------------------------------------------------------------------------------------

    async def _path(self, kind: str) -> str:
        await self._open()
        return f"/api/v1/namespaces/{self._namespace}/{kind}"

    async def _open(self) -> ApiClient:
        async with self._opening:
            if self._client is None:
                configuration = Configuration()
                # The library repeats nothing; what is repeated is decided here.
                configuration.retries = 0
                found = await self._configure(configuration)
                self._namespace = self._namespace or found or "default"
                self._client = ApiClient(configuration)
                self._streams = WsApiClient(configuration, heartbeat=None)
            return self._client

    async def _configure(self, configuration: Configuration) -> str:
        """Load the configuration; return the namespace that it names."""
        try:
            if self._kubeconfig is None and not self._context:
                with contextlib.suppress(ConfigException):
                    load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
                    return (await asyncio.to_thread(file.read_text)).strip()
            loader = await load_kube_config(
                config_file=None if self._kubeconfig is None else str(self._kubeconfig),
                context=self._context or None,
                client_configuration=configuration,
                persist_config=False,
            )
        except (ConfigException, OSError, ValueError, TypeError) as error:
            raise ApiError(
                f"no configuration of a cluster is found: {error}; run in a pod with a service account, or name a file "
                "with --kubeconfig"
            ) from error
        context = loader.current_context or {}
        return str((context.get("context") or {}).get("namespace") or "")

    async def _call(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        data = await self._read(method, path, query, body=body, content_type=content_type)
        try:
            found = json.loads(data)
        except ValueError as error:
            raise ApiError(f"the API server at {self.address} sent no JSON") from error
        return found if isinstance(found, dict) else {}

    async def _read(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        # Without a configuration it does not help to try again.
        await self._open()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._away_seconds
        for turn in range(1000):
            try:
                async with time_limit(_CALL_SECONDS):
                    response = await self._request(method, path, query, body=body, content_type=content_type)
                    try:
                        data = await response.read()
                    finally:
                        response.release()
                if response.status >= 300:
                    raise _refusal(response, data)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = self._unreachable(error)
            except ApiError as error:
                if error.status and error.status not in _REPEATED:
                    raise
                failure = error
            else:
                return data
            pause = failure.retry_after or min(_MAX_PAUSE_SECONDS, 0.2 * 2**turn) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            if loop.time() + pause > until:
                raise failure
            log.info("kubernetes_call_repeated", method=method, path=path, error=str(failure), seconds=round(pause, 1))
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _request(
        self,
        method: str,
        path: str,
        query: Query,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.ClientResponse:
        client = await self._open()
        response: aiohttp.ClientResponse = await client.call_api(
            path,
            method,
            query_params=list(query),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=dict(body) if body is not None else None,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout or aiohttp.ClientTimeout(total=_CALL_SECONDS, sock_connect=_CONNECT_SECONDS),
        )
        return response

    def _unreachable(self, error: Exception) -> ApiError:
        why = "it did not respond in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return ApiError(f"the API server at {self.address} cannot be reached: {why}")


class ExecStream:
    """The streams of a command in a container, over a WebSocket (`v4.channel.k8s.io`). Its input cannot be closed."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._errors = bytearray()
        self.code: int | None = None
        """Its exit code, once `read` has returned nothing; None: the connection ended before it did."""

    @property
    def errors(self) -> str:
        """The text that it has written to its standard error."""
        return self._errors.decode("utf-8", "replace")

    async def read(self) -> bytes:
        """Wait for its output; empty: it has ended, or the connection has."""
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                if message.type is aiohttp.WSMsgType.TEXT:
                    continue
                return b""
            channel, data = message.data[0], message.data[1:]
            if channel == _STDOUT and data:
                return bytes(data)
            if channel == _STDERR:
                self._errors += data[: max(0, _MAX_ERRORS - len(self._errors))]
            if channel == _STATUS:
                self.code = _code_of(data)
                return b""

    async def write(self, data: bytes) -> None:
        """Write to its input.

        Raises:
            OSError: the connection has ended.
        """
        try:
            await self._socket.send_bytes(bytes((_STDIN,)) + data)
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:
            raise OSError(f"the connection to the container has ended: {error}") from error

    async def close(self) -> None:
        """Close the connection. May be repeated."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with time_limit(_CONNECT_SECONDS):
                await self._socket.close()


def _code_of(data: bytes) -> int | None:
    try:
        status = json.loads(data)
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or ()
        return next((int(each["message"]) for each in causes if each.get("reason") == "ExitCode"), None)
    except (ValueError, KeyError, AttributeError):
        return None


def _refusal(response: aiohttp.ClientResponse, data: bytes) -> ApiError:
    text = data.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, AttributeError):
        text = str(json.loads(data)["message"])
    after = response.headers.get("Retry-After", "")
    return ApiError(
        text[:2000] or f"HTTP status {response.status}",
        status=response.status,
        retry_after=float(after) if after.isdecimal() else 0.0,
    )
