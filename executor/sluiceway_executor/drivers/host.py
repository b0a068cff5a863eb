"""Pods that are plain processes in a folder: for machines whose tasks are trusted. Off unless it is named.

A task is not isolated here: it runs as the user of the executor, and sees the same files, but not the executor's
environment. What is guaranteed is that every process of a pod ends with it, also one that forked twice or began a
session of its own. The first process is the reaper of all others; those that outlive it are found by a mark in their
environment. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.capabilities import HOST, Capabilities
from sluiceway_executor.drivers.pod_launch import INIT_SOCKET, Launch
from sluiceway_executor.drivers.port import Note, PodRequest, no_note
from sluiceway_executor.drivers.refusal import refuse_request
from sluiceway_executor.drivers.supervised import SupervisedPod
from sluiceway_executor.drivers.supervised_driver import SupervisedDriver

__all__ = ["HostDriver"]


class HostDriver(SupervisedDriver):
    """See the module; see `port.Driver`."""

    name = HOST.driver

    @property
    def _users(self) -> Sequence[str]:
        return (_own_name(),)

    @property
    def capabilities(self) -> Capabilities:
        return replace(HOST, users=frozenset({_own_name()}))

    async def probe(self) -> None:
        if not sys.platform.startswith("linux"):
            raise FailedPrecondition("the host driver needs Linux", reason="DRIVER_UNAVAILABLE")

    async def create_pod(self, request: PodRequest, note: Note = no_note) -> SupervisedPod:
        refuse_request(request, self.capabilities)
        user = _own_name()
        folder = await asyncio.to_thread(self._prepare, request)
        init = Path(__file__).with_name("pod_init.py")
        launch = Launch(
            argv=(sys.executable, "-I", "-S", str(init), INIT_SOCKET, "tree"),
            home=str(folder / "home"),
            script_dir=str(folder / "tmp"),
            repository=str(request.repository.folder) if request.repository else "",
            environment={
                "USER": user,
                "LOGNAME": user,
                "SHELL": "/bin/sh",
                "LANG": "C.UTF-8",
                "TMPDIR": str(folder / "tmp"),
            },
        )
        pod = self._new_pod(request, launch, folder=folder, users=(user,))
        await pod.start()
        return pod

    def _prepare(self, request: PodRequest) -> Path:
        folder = self._store.make(request)
        folder.chmod(0o700)
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        return folder


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
