"""Objects with revisions, and what happened to them, as etcd keeps it for an API server."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["ApiFault", "Change", "Store", "now"]

Object = dict[str, Any]


class ApiFault(Exception):
    """A refusal: its HTTP status, its reason, and its message."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.retry_after = status, reason, message, retry_after


@dataclass(frozen=True)
class Change:
    """What happened to an object: it as it was before (None: it is new) and is now (None: it is gone)."""

    revision: int
    kind: str
    before: Object | None
    after: Object | None


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects, by kind (`pods`), namespace and name."""

    def __init__(self) -> None:
        self.revision = 1000
        self.compacted = 0
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._changes: list[Change] = []
        self._changed = asyncio.Condition()

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Return a copy of an object."""
        return copy.deepcopy(self._get(kind, namespace, name))

    def _get(self, kind: str, namespace: str, name: str) -> Object:
        try:
            return self._objects[kind, namespace, name]
        except KeyError:
            raise ApiFault(404, "NotFound", f'{kind} "{name}" not found') from None

    def all(self, kind: str, namespace: str | None) -> list[Object]:
        """Return copies of the objects of a namespace, or of all."""
        found = sorted(key for key in self._objects if key[0] == kind and namespace in {None, key[1]})
        return [copy.deepcopy(self._objects[key]) for key in found]

    async def create(self, kind: str, namespace: str, found: Object) -> Object:
        """Add an object."""
        metadata = found.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        key = (kind, namespace, metadata["name"])
        if key in self._objects:
            raise ApiFault(409, "AlreadyExists", f'{kind} "{metadata["name"]}" already exists')
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if namespace:
            metadata["namespace"] = namespace
        return await self._write(key, None, found)

    async def update(
        self, kind: str, namespace: str, name: str, change: Callable[[Object], object], *, revision: str = ""
    ) -> Object:
        """Change an object by a function. With a revision it must be the present one."""
        before = self._get(kind, namespace, name)
        if revision and revision != before["metadata"]["resourceVersion"]:
            raise ApiFault(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified; please apply your '
                "changes to the latest version and try again",
            )
        after = copy.deepcopy(before)
        change(after)
        if after == before:
            return after
        return await self._write((kind, namespace, name), before, after)

    async def remove(self, kind: str, namespace: str, name: str) -> Object:
        """Remove an object, and what it owns."""
        before = self._objects.pop((kind, namespace, name), None)
        if before is None:
            raise ApiFault(404, "NotFound", f'{kind} "{name}" not found')
        await self._note(Change(self._next(), kind, before, None))
        for key, each in list(self._objects.items()):
            owners = each["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == before["metadata"]["uid"] for owner in owners):
                await self.remove(*key)
        return copy.deepcopy(before)

    def changes_after(self, revision: int, kind: str) -> list[Change]:
        """Return what happened after a revision."""
        if revision < self.compacted:
            raise ApiFault(410, "Expired", f"too old resource version: {revision} ({self.compacted})")
        return [each for each in self._changes if each.revision > revision and each.kind == kind]

    def compact(self) -> None:
        """Forget what happened so far: who watches from an earlier revision has to list again."""
        # As after a restart of the API server: also the present revision is too old.
        self.compacted = self._next()
        self._changes.clear()

    async def wait(self, revision: int) -> None:
        """Wait for a change after a revision."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.revision > revision)

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    async def _write(self, key: tuple[str, str, str], before: Object | None, after: Object) -> Object:
        revision = self._next()
        after["metadata"]["resourceVersion"] = str(revision)
        self._objects[key] = after
        await self._note(Change(revision, key[0], before, after))
        return copy.deepcopy(after)

    async def _note(self, change: Change) -> None:
        self._changes.append(change)
        async with self._changed:
            self._changed.notify_all()


def matches(found: Mapping[str, Any], selectors: tuple[Callable[[Mapping[str, Any]], bool], ...]) -> bool:
    """Return whether an object matches all selectors."""
    return all(selector(found) for selector in selectors)


def events_of(
    change: Change, selectors: tuple[Callable[[Mapping[str, Any]], bool], ...]
) -> Iterator[tuple[str, Object]]:
    """Yield the event of a watch with selectors: an object that no longer matches is deleted for it."""
    before = change.before is not None and matches(change.before, selectors)
    after = change.after is not None and matches(change.after, selectors)
    if after and change.after is not None:
        yield ("MODIFIED" if before else "ADDED"), change.after
    elif before and change.before is not None:
        gone = copy.deepcopy(change.before)
        gone["metadata"]["resourceVersion"] = str(change.revision)
        yield "DELETED", gone
