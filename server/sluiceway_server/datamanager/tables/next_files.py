"""The files of the next manifest: those of the one before, and new ones in place of what changes touch.

Type by type: the rules say which files are written anew, a merge writes them, the others are kept by reference. Files
of types with remote bodies that have no index dump of this server's columns get one, a few at a time: they were
written by a server of another version, or before the type was remote.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile, TypeFiles
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.model import Bodies, LogSequence, RecordType
from sluiceway_server.datamanager.tables.change_set import Changes
from sluiceway_server.datamanager.tables.compaction_plan import (
    Existing,
    FileLimits,
    OverlappingFiles,
    Rewrite,
    plan_rewrites,
)
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.merge import FilesOfType, index_of, merged, records_of

__all__ = ["NextFiles"]

_PAGE_BYTES = 128 * 1024
_DUMPS_LOOKED_AT = 64
_DUMPS_RENEWED = 16


class NextFiles:
    """Writes the files of one manifest. `made` names what it has finished, whatever happens to it."""

    def __init__(
        self,
        files: FileStore,
        catalogue: Catalogue,
        *,
        sequence: LogSequence,
        limits: FileLimits,
        known_dumps: set[str],
        still_wanted: Callable[[], None],
    ) -> None:
        """Begin nothing yet.

        Args:
            files: where they are.
            catalogue: the types that this server knows; records of others are carried through.
            sequence: of the manifest; part of their names.
            limits: how large they are.
            known_dumps: index dumps that are of this server's columns; it is kept from manifest to manifest.
            still_wanted: called after each piece of work; raises when all of it has become useless.
        """
        self._files = files
        self._catalogue = catalogue
        self._sequence = sequence
        self._limits = limits
        self._known_dumps = known_dumps
        self._still_wanted = still_wanted
        self._number = 0
        self.made: list[FileRef] = []

    async def write(self, before: Iterable[TypeFiles], changes: Changes) -> list[TypeFiles]:
        """Write what has changed.

        Args:
            before: the files of the manifest before.
            changes: what happened since.

        Returns:
            The files of the manifest, by type; types without records are left out.

        Raises:
            NotFound: a file that `before` names is gone.
            DataLoss: one is damaged, or a record is no message of its type.
            Unavailable: the storage or the scratch file is away.
        """
        live = {type_.type: list(type_.files) for type_ in before}
        changed = await changes.types()
        for name in changed:
            live[name] = await self._write_type(self._catalogue.type(name), live.get(name, []), changes)
        for name, type_ in self._catalogue.known.items():
            if type_.bodies is Bodies.REMOTE:
                live[name] = await self._with_dumps(type_, live.get(name, []))
        self._known_dumps &= {file.index.key for files in live.values() for file in files}
        return [TypeFiles(type=name, files=live[name]) for name in sorted(live) if live[name]]

    async def _write_type(self, type_: RecordType[Any], before: Sequence[LiveFile], changes: Changes) -> list[LiveFile]:
        touched = OverlappingFiles([Existing(f.data.first, f.data.last, f.data.size, f.data.records) for f in before])
        async with aclosing(changes.sizes(type_.name)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(touched.add, piece)
        live: list[LiveFile] = []
        at = 0
        for rewrite in plan_rewrites(touched, self._limits):
            live += before[at : rewrite.start]
            live += await self._rewrite(type_, before[rewrite.start : rewrite.end], rewrite, changes)
            at = rewrite.end
        return [*live, *before[at:]]

    async def _rewrite(
        self, type_: RecordType[Any], before: Sequence[LiveFile], rewrite: Rewrite, changes: Changes
    ) -> list[LiveFile]:
        made = FilesOfType(self._files, type_, cut=rewrite.cut, new_name=self._new_name)
        async with AsyncExitStack() as stack:
            stack.callback(lambda: self.made.extend(made.made))
            await stack.enter_async_context(made)
            old = await stack.enter_async_context(aclosing(records_of(self._files, before)))
            pages = changes.pages(type_.name, after=rewrite.after, before=rewrite.before, page_bytes=_PAGE_BYTES)
            new = await stack.enter_async_context(aclosing(pages))
            async for piece in await stack.enter_async_context(aclosing(merged(old, new))):
                await made.add(piece)
                self._still_wanted()
            await made.finish()
        self._known_dumps |= {file.index.key for file in made.live}
        return made.live

    async def _with_dumps(self, type_: RecordType[Any], live: Sequence[LiveFile]) -> list[LiveFile]:
        looks = renewed = 0
        found = []
        for file in live:
            stale = not file.HasField("index")
            if not stale and file.index.key not in self._known_dumps and looks < _DUMPS_LOOKED_AT:
                looks += 1
                stale = await self._is_stale(type_, file.index)
            if stale and renewed < _DUMPS_RENEWED:
                renewed += 1
                index = await index_of(self._files, type_, file, name=self._new_name())
                self.made.append(index)
                self._known_dumps.add(index.key)
                found.append(LiveFile(data=file.data, index=index))
            else:
                found.append(file)
            self._still_wanted()
        return found

    async def _is_stale(self, type_: RecordType[Any], index: FileRef) -> bool:
        columns, version = await self._files.index_columns(index)
        own = tuple(column.name for column in type_.columns)
        # One of a newer version is what newer servers want: two versions would renew each other's for ever.
        stale = version < type_.version or (version == type_.version and columns != own)
        if not stale:
            self._known_dumps.add(index.key)
        return stale

    def _new_name(self) -> str:
        self._number += 1
        return f"{self._sequence}-{self._number}-{secrets.token_hex(6)}"
