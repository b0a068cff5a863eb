"""The API of the fake over HTTP: discovery, objects, watches, and what pods have beside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiodocker
import kubernetes_validate  # type: ignore[import-untyped]
from aiohttp import web

from tests.fakes.kubernetes import streams
from tests.fakes.kubernetes.faults import Faults
from tests.fakes.kubernetes.kubelet import Kubelet
from tests.fakes.kubernetes.selectors import Selector, field_selector, label_selector
from tests.fakes.kubernetes.store import ApiFault, Store, events_of, matches, now

__all__ = ["SCHEMAS", "FakeApi"]

SCHEMAS = ("1.25", "1.37")
"""The oldest and the newest published schema: pods are checked against both."""
_KINDS = {
    "pods": ("Pod", True, "po"),
    "secrets": ("Secret", True, ""),
    "namespaces": ("Namespace", False, "ns"),
    "nodes": ("Node", False, "no"),
}
_FIELDS = {
    "pods": frozenset({"metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "spec.restartPolicy"}),
    "secrets": frozenset({"metadata.name", "metadata.namespace", "type"}),
}
_NAMES = frozenset({"metadata.name"})
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_BOOKMARK_SECONDS = 1.0


class FakeApi:
    """The API server."""

    def __init__(self, store: Store, kubelet: Kubelet, *, token: str) -> None:
        self._store = store
        self._kubelet = kubelet
        self._bearer = f"Bearer {token}"
        self.faults = Faults(store)

    def application(self) -> web.Application:
        """Return it as an application of aiohttp."""
        app = web.Application(middlewares=[self._guard], client_max_size=4 << 20)
        add = app.router.add_route
        add("GET", "/version", self._version)
        add("GET", "/api", self._versions)
        add("GET", "/apis", self._groups)
        add("GET", "/api/v1", self._resources)
        add("POST", "/fake/{name}", self._fault)
        for prefix in ("/api/v1", "/api/v1/namespaces/{namespace}"):
            add("GET", prefix + "/{kind:pods|secrets|nodes|namespaces}", self._list)
            add("POST", prefix + "/{kind:pods|secrets|nodes|namespaces}", self._create)
            add("DELETE", prefix + "/{kind:pods|secrets}", self._delete_all)
            for verb in ("GET", "DELETE", "PATCH", "PUT"):
                add(verb, prefix + "/{kind:pods|secrets|nodes|namespaces}/{name}", self._one)
        add("GET", "/api/v1/namespaces/{namespace}/pods/{name}/log", self._log)
        add("*", "/api/v1/namespaces/{namespace}/pods/{name}/exec", self._exec)
        add("POST", "/api/v1/namespaces/{namespace}/pods/{name}/eviction", self._evict)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if request.path.startswith("/fake/"):
                response: web.StreamResponse = await handler(request)
                return response
            if request.transport is not None:
                self.faults.connections.add(request.transport)
            if self.faults.is_away and request.transport is not None:
                request.transport.abort()
                raise ConnectionResetError
            # `kubectl` sends no token over plain HTTP.
            if request.headers.get("Authorization", self._bearer) != self._bearer:
                raise ApiFault(401, "Unauthorized", "Unauthorized")
            self.faults.check(request)
            answered: web.StreamResponse = await handler(request)
        except ApiFault as fault:
            headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
            return _json(_status(fault), status=fault.status, headers=headers)
        else:
            return answered
        finally:
            if request.transport is None:
                self.faults.connections = {each for each in self.faults.connections if not each.is_closing()}

    # -- discovery ----------------------------------------------------------------------------------------------

    async def _version(self, _: web.Request) -> web.Response:
        return _json({"major": "1", "minor": "32", "gitVersion": "v1.32.0-fake", "platform": "linux/amd64"})

    async def _versions(self, _: web.Request) -> web.Response:
        return _json({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})

    async def _groups(self, _: web.Request) -> web.Response:
        return _json({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})

    async def _resources(self, _: web.Request) -> web.Response:
        found = [
            {
                "name": name,
                "singularName": kind.lower(),
                "namespaced": namespaced,
                "kind": kind,
                "verbs": _VERBS,
                "shortNames": [short] if short else [],
            }
            for name, (kind, namespaced, short) in _KINDS.items()
        ]
        for name, kind, verbs in (
            ("pods/log", "Pod", ["get"]),
            ("pods/exec", "PodExecOptions", ["create", "get"]),
            ("pods/eviction", "Eviction", ["create"]),
        ):
            found.append({"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs})
        return _json({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": found})

    async def _fault(self, request: web.Request) -> web.Response:
        given = await request.json() if request.can_read_body else {}
        return _json(await self.faults.do(request.match_info["name"], given))

    # -- objects ------------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        kind, namespace = request.match_info["kind"], request.match_info.get("namespace")
        selectors = _selectors(request, kind)
        if request.query.get("watch", "").lower() in {"true", "1"}:
            return await self._watch(request, kind, namespace, selectors)
        found = [each for each in self._store.all(kind, namespace) if matches(each, selectors)]
        name = _KINDS[kind][0]
        items = [{"apiVersion": "v1", "kind": name, **each} for each in found]
        metadata = {"resourceVersion": str(self._store.revision)}
        return _json({"kind": f"{name}List", "apiVersion": "v1", "metadata": metadata, "items": items})

    async def _watch(
        self, request: web.Request, kind: str, namespace: str | None, selectors: tuple[Selector, ...]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        given = request.query.get("resourceVersion", "")
        events = self._events(kind, namespace, selectors, given)
        try:
            # A revision that is too old is an event of a stream that has begun.
            await response.prepare(request)
            bookmarks = request.query.get("allowWatchBookmarks", "").lower() in {"true", "1"}
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 300))):
                async for type_, found in events:
                    if type_ == "BOOKMARK" and not bookmarks:
                        continue
                    event = {"type": type_, "object": found}
                    await response.write(json.dumps(event).encode() + b"\n")
        except ApiFault as fault:
            await response.write(json.dumps({"type": "ERROR", "object": _status(fault)}).encode() + b"\n")
        except (TimeoutError, ConnectionError):
            pass
        return response

    async def _events(
        self, kind: str, namespace: str | None, selectors: tuple[Selector, ...], given: str
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        name = _KINDS[kind][0]
        revision = int(given or 0)
        if not revision:
            revision = self._store.revision
            for each in self._store.all(kind, namespace):
                if matches(each, selectors):
                    yield "ADDED", {"apiVersion": "v1", "kind": name, **each}
        while True:
            changes, seen = self._store.changes_after(revision, kind), self._store.revision
            for change in changes:
                for type_, found in events_of(change, selectors):
                    if namespace in {None, found["metadata"].get("namespace")}:
                        yield type_, {"apiVersion": "v1", "kind": name, **found}
            revision = seen
            try:
                async with asyncio.timeout(_BOOKMARK_SECONDS):
                    await self._store.wait(seen)
            except TimeoutError:
                if self._store.revision == seen:
                    yield "BOOKMARK", {"apiVersion": "v1", "kind": name, "metadata": {"resourceVersion": str(seen)}}

    async def _create(self, request: web.Request) -> web.Response:
        kind, namespace = request.match_info["kind"], request.match_info.get("namespace", "")
        found = await request.json()
        if kind in {"pods", "secrets"}:
            _check(found)
        if namespace:
            self._store.get("namespaces", "", namespace)
        if kind == "pods":
            found["status"] = {"phase": "Pending", "conditions": []}
            found["spec"].setdefault("restartPolicy", "Always")
        made = await self._store.create(kind, namespace, found)
        return _json({"apiVersion": "v1", "kind": _KINDS[kind][0], **made}, status=201)

    async def _one(self, request: web.Request) -> web.Response:
        kind, name = request.match_info["kind"], request.match_info["name"]
        namespace = request.match_info.get("namespace", "")
        if request.method == "GET":
            found = self._store.get(kind, namespace, name)
        elif request.method == "DELETE":
            options = await request.json() if request.can_read_body else {}
            found = await self._delete(kind, namespace, name, options, request.query.get("gracePeriodSeconds"))
        else:
            given = await request.json()
            revision = given.get("metadata", {}).get("resourceVersion", "")
            change = _merge_into(given) if request.method == "PATCH" else _replace_by(given)
            found = await self._store.update(kind, namespace, name, change, revision=revision)
        return _json({"apiVersion": "v1", "kind": _KINDS[kind][0], **found})

    async def _delete_all(self, request: web.Request) -> web.Response:
        kind, namespace = request.match_info["kind"], request.match_info.get("namespace", "")
        selectors = _selectors(request, kind)
        for each in self._store.all(kind, namespace):
            if matches(each, selectors):
                await self._delete(kind, namespace, each["metadata"]["name"], {}, None)
        return _json({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    async def _delete(
        self, kind: str, namespace: str, name: str, options: Mapping[str, Any], grace_text: str | None
    ) -> dict[str, Any]:
        found = self._store.get(kind, namespace, name)
        uid = (options.get("preconditions") or {}).get("uid")
        if uid and uid != found["metadata"]["uid"]:
            raise ApiFault(409, "Conflict", f"the UID in the precondition ({uid}) does not match the UID in record")
        if kind != "pods":
            return await self._store.remove(kind, namespace, name)
        default = found["spec"].get("terminationGracePeriodSeconds", 30)
        given = options.get("gracePeriodSeconds", grace_text)
        grace = int(default if given is None else given)
        if found["metadata"].get("deletionTimestamp"):
            grace = min(grace, int(found["metadata"]["deletionGracePeriodSeconds"]))

        def begin(pod: dict[str, Any]) -> None:
            pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace}

        marked = await self._store.update(kind, namespace, name, begin)
        return await self._store.remove(kind, namespace, name) if grace == 0 else marked

    # -- what pods have -----------------------------------------------------------------------------------------

    async def _log(self, request: web.Request) -> web.StreamResponse:
        pod = self._store.get("pods", request.match_info["namespace"], request.match_info["name"])
        return await streams.log(request, self._kubelet.container(pod, _container_of(request, pod)))

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        pod = self._store.get("pods", request.match_info["namespace"], request.match_info["name"])
        container = _container_of(request, pod)
        listed = pod["status"].get("containerStatuses", ())
        if not any(each["name"] == container and "running" in each["state"] for each in listed):
            raise ApiFault(
                500, "InternalError", f'container {container} is not running in pod "{request.match_info["name"]}"'
            )
        return await streams.execute(request, self._kubelet.container(pod, container))

    async def _evict(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]

        def mark(pod: dict[str, Any]) -> None:
            pod["status"].setdefault("conditions", []).append(
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting",
                }
            )

        await self._store.update("pods", namespace, name, mark)
        await self._delete("pods", namespace, name, (await request.json()).get("deleteOptions") or {}, None)
        return _json({"kind": "Status", "apiVersion": "v1", "status": "Success"}, status=201)


def _container_of(request: web.Request, pod: Mapping[str, Any]) -> str:
    name = request.query.get("container") or pod["spec"]["containers"][0]["name"]
    every = (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
    if not any(each["name"] == name for each in every):
        raise ApiFault(400, "BadRequest", f"container {name} is not valid for pod {pod['metadata']['name']}")
    return str(name)


def _selectors(request: web.Request, kind: str) -> tuple[Selector, ...]:
    return (
        label_selector(request.query.get("labelSelector", "")),
        field_selector(request.query.get("fieldSelector", ""), _FIELDS.get(kind, _NAMES)),
    )


def _check(found: Mapping[str, Any]) -> None:
    for version in SCHEMAS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            at = ".".join(map(str, error.path))
            raise ApiFault(422, "Invalid", f"by the schema of {version}: {at}: {error.message}") from error


def _merge_into(given: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    def merge(target: dict[str, Any], change: Mapping[str, Any]) -> None:
        for name, value in change.items():
            if value is None:
                target.pop(name, None)
            elif isinstance(value, dict) and isinstance(target.get(name), dict):
                merge(target[name], value)
            else:
                target[name] = value

    return lambda target: merge(target, given)


def _replace_by(given: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    def replace(target: dict[str, Any]) -> None:
        kept = {name: target["metadata"][name] for name in ("uid", "creationTimestamp", "resourceVersion")}
        metadata, status = {**given["metadata"], **kept}, target.get("status")
        target.clear()
        target.update({**given, "metadata": metadata})
        if status is not None:
            target["status"] = status

    return replace


def _json(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response as an API server has it: the media type without a charset, which some clients compare."""
    body = json.dumps(content).encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _status(fault: ApiFault) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": fault.message,
        "reason": fault.reason,
        "code": fault.status,
        **({"details": {"retryAfterSeconds": fault.retry_after}} if fault.retry_after else {}),
    }


def docker_fault(error: aiodocker.DockerError) -> ApiFault:
    """Return an error of the daemon as one of the API."""
    return ApiFault(500, "InternalError", str(error.message))
