"""Makes a planned history happen: servers, clients and subscribers over the simulated network, and records it."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sluiceway.datamanager.checks import check_preconditions
from sluiceway.datamanager.database import DataManager
from sluiceway.datamanager.log.entries import Catalogue, decode_entry, decode_transactions
from sluiceway.datamanager.log.etcdlog import HeadMark
from sluiceway.datamanager.log.segments import decode_segment
from sluiceway.datamanager.model import (
    Decision,
    GroupRevision,
    LogSequence,
    Position,
    Precondition,
    RecordAbsent,
    RecordRevision,
    View,
)
from sluiceway.datamanager.operating.verify import Finding, Verifier
from sluiceway.datamanager.port import DatabaseLost
from sluiceway.datamanager.reading.tombstones import TOMBSTONE
from sluiceway.datamanager.recovery.recovery import Recovery
from sluiceway.datamanager.recovery.standing import Kind, Stores
from sluiceway.datamanager.running.opening import Never, RecoverPolicy, SeenItGoBack, WhenOwnEtcd
from sluiceway.foundation.crashpoints import Crashed
from sluiceway.foundation.errors import (
    AlreadyExists,
    Conflict,
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    SluicewayError,
    Unavailable,
)
from tests.fakes.kv import FakeKeyValueStore, Snapshot
from tests.fakes.objectstorage import FakeObjectStorage
from tests.properties.history import (
    Attempt,
    Contents,
    Delivery,
    Entry,
    Evaluation,
    Fact,
    GetRecord,
    History,
    Outcome,
    ReadRecord,
)
from tests.properties.model import Model
from tests.properties.network import KvWire, Network, StorageWire
from tests.properties.plan import Plan, PlannedStep
from tests.properties.simulation import Process, SimulatedClock, Simulation, Stuck, simulated_crash_points
from tests.properties.workload import (
    COLOURS,
    GROUPS,
    NOTE,
    TYPES,
    Look,
    Transaction,
    look,
    perform,
    type_named,
    value_of,
)

__all__ = ["PREFIX", "happen"]

PREFIX = "p"
_PATIENCE_SECONDS = 900.0
_CATALOGUE = Catalogue((*TYPES, TOMBSTONE))
_KINDS = frozenset(Kind)


def happen(plan: Plan, folder: Path, reached: set[str] | None = None) -> History:
    """Let a planned history happen.

    Args:
        plan: the history.
        folder: for the read databases; a fast one. Emptied at the end.
        reached: collects the crash points that any server came to.
    """
    history = History()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with simulated_crash_points(set() if reached is None else reached):
            Simulation(plan.seed).run(lambda: World(plan, folder, history).run())
    except Stuck as error:
        history.problems.append(f"stuck: {error}")
    except Exception as error:
        history.problems.append(f"the test itself failed: {error!r} {_where(error)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return history


class Server:
    """A server through its lives: each is a process with a folder."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.clock = SimulatedClock(world.clock)
        self.process: Process | None = None
        self.database: DataManager | None = None
        self.folder = world.folder / name / "0"
        self.lives = 0
        self.wanted = False
        self.policy: RecoverPolicy = WhenOwnEtcd() if world.plan.own_etcd else Never()
        self._backup: Path | None = None
        self._opened = asyncio.Event()
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    # -- life and death

    def start(self, *, folder: str = "same") -> None:
        """Begin a life, with what the last one left in the folder, with nothing, or with what an earlier one left."""
        if self.wanted:
            return
        self.wanted = True
        self._stop = asyncio.Event()
        live = self._live(self._running, folder, self._stop)
        self._running = asyncio.get_running_loop().create_task(live)

    def _renew_folder(self, how: str) -> None:
        self.lives += 1
        before, self.folder = self.folder, self.world.folder / self.name / str(self.lives)
        source = before
        if how == "older" and self._backup is not None:
            source = self._backup
        if how != "deleted" and source.exists():
            shutil.copytree(source, self.folder, ignore=shutil.ignore_patterns("*-shm"))
            self._backup = before

    async def _live(self, before: asyncio.Task[None] | None, folder: str, stop: asyncio.Event) -> None:
        """Keep a process running, as a supervisor does, until it is told to stop or is killed."""
        if before is not None:
            await asyncio.wait({before})
        self._renew_folder(folder)
        while not stop.is_set():
            process = self.process = Process(self.name)
            process.on_kill = self._keep_files
            self.world.processes.append(process)
            task = process.start(self._run(process, stop))
            await asyncio.wait({task})
            if process.dead:
                return
            self.database = None
            self._opened.clear()
            error = task.exception() if not task.cancelled() else asyncio.CancelledError()
            process.on_kill = _nothing
            process.kill()
            if error is not None:
                self.world.server_failed(self, error)
                await asyncio.sleep(0.2)

    async def _run(self, process: Process, stop: asyncio.Event) -> None:
        world = self.world
        async with DataManager.open(
            kv=KvWire(world.network, process),
            storage=StorageWire(world.network, process),
            prefix=PREFIX,
            path=self.folder,
            types=TYPES,
            clock=self.clock,
            settings=replace(world.plan.settings, server_id=self.name),
            recover=self.policy,
        ) as database:
            self.policy = WhenOwnEtcd() if world.plan.own_etcd else Never()
            self.database = database
            self._opened.set()
            await stop.wait()

    def _keep_files(self) -> None:
        # What is in the files at this moment is what the next life finds; the dying one may write on in its own.
        after = self.world.folder / self.name / f"{self.lives}-dead-{len(self.world.processes)}"
        if self.folder.exists():
            shutil.copytree(self.folder, after, ignore=shutil.ignore_patterns("*-shm"))
            self.folder = after

    def kill(self) -> None:
        """End it as SIGKILL does."""
        if self.process is not None:
            self.process.kill()
        self.died()

    def died(self) -> None:
        """It was killed, by whatever."""
        self.wanted = False
        self.database = None
        self._opened.clear()
        self._running = None

    async def stop(self) -> None:
        """End it in order."""
        self.wanted = False
        self._stop.set()
        running = self._running
        if running is not None:
            await asyncio.wait({running})

    def give_up(self) -> None:
        """Do not start it again."""
        self._stop.set()
        self.wanted = False

    async def opened(self) -> tuple[Process, DataManager]:
        """Wait until it serves."""
        await self._opened.wait()
        assert self.process is not None
        assert self.database is not None
        return self.process, self.database


class World:
    """See the module."""

    def __init__(self, plan: Plan, folder: Path, history: History) -> None:
        self.plan = plan
        self.folder = folder
        self.history = history
        self.clock = SimulatedClock()
        self.processes: list[Process] = []
        self.rng = random.Random(plan.seed + 1)
        self.network = Network(
            FakeKeyValueStore(self.clock), FakeObjectStorage(self.clock), random.Random(plan.seed + 2), plan.chances
        )
        self.network.on_entry = self._entry_appended
        self.network.on_object = self._object_stored
        self.servers = [Server(self, f"s{number}") for number in range(plan.servers)]
        self._clients: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._due: dict[asyncio.TimerHandle, Callable[[], None]] = {}
        self._subscribers: list[asyncio.Task[None]] = []
        self._newest: Position | None = None
        self._ending = False
        self._waiting_for = ""
        self._snapshot: Snapshot | None = None
        self._clusters = 0
        self._etcd_was_lost = False  # a restore cannot count what nobody can read any more
        self._aged = False  # whether the clock was moved so far that something may be cleaned
        chances = plan.chances
        # Whether anything may have kept a server from storing what it wanted to.
        self._storage_trouble = bool(
            chances.storage_failed
            or chances.storage_failed_applied
            or chances.storage_failed_late
            or chances.storage_slow
        )

    async def run(self) -> None:
        """Make it happen, then let everything heal, and look at what is there."""
        for server in self.servers:
            server.start()
        for number, topic in enumerate(("", "type:note", "topic/a")):
            delivery = Delivery(topic)
            self.history.deliveries.append(delivery)
            self._subscribers.append(self._begin(self._subscribe(delivery, number)))
        for step in self.plan.steps:
            await asyncio.sleep(step.after)
            getattr(self, f"_do_{step.kind}")(step)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._settle()
        except TimeoutError:
            self.problem(f"it never came to rest after the faults had stopped: {self._waiting_for}")
        for task in (*self._subscribers, *self._clients, *self._chores):
            task.cancel()
        self.history.problems += self.network.violations

    def problem(self, what: str) -> None:
        self.history.problems.append(what)

    def server_failed(self, server: Server, error: BaseException) -> None:
        """A server ended by itself. A store that is away is a reason, at the start; else only a loss of etcd is."""
        if _only(error, Unavailable | DeadlineExceeded):
            return
        if isinstance(error, DatabaseLost) and error.reason == "LOG_GAP" and self._aged:
            return  # it was behind for longer than segments are kept; it starts again from a manifest
        if self.history.losses and isinstance(error, DatabaseLost):
            self._check_saved_by(server, error)
            if error.seen is not None and not self.plan.own_etcd:
                server.policy = SeenItGoBack(error.seen)
            return
        if self.history.losses and isinstance(error, SluicewayError) and error.reason in _KINDS:
            return  # it stays up, not ready, and looks again
        self.problem(f"{server.name} ended by itself: {_describe(error)}")
        server.give_up()

    def _check_saved_by(self, server: Server, error: DatabaseLost) -> None:
        """A server that saw etcd change has stored all that it knew, if the storage let it."""
        if error.reason != "ETCD_CHANGED" or error.seen is None or self._storage_trouble:
            return
        digest = error.seen.digest
        by_digest = {entry.digest: entry for entry in self.history.entries}
        while (entry := by_digest.get(digest)) is not None:
            if entry.digest not in self.history.saved:
                self.problem(f"{server.name} gave up, and {entry.sequence}, which it knew, is not in the storage")
                return
            digest = entry.previous_digest

    def _begin(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coro)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.problem(f"the test itself failed: {error!r} {_where(error)}")

    # -- what really happens

    def _entry_appended(self, raw: bytes) -> None:
        entry = decode_entry(raw)
        facts = tuple(Fact.of(item.applied) for item in decode_transactions(entry, _CATALOGUE))
        self.history.entries.append(
            Entry(entry.sequence, entry.digest, entry.previous_digest, facts, self.history.now())
        )

    def _object_stored(self, key: str, body: bytes) -> None:
        if key.startswith(f"{PREFIX}/epoch/"):
            self.history.epochs[int(key.rpartition("/")[2], 16)] = self.history.now()
        if not key.startswith(f"{PREFIX}/wal/"):
            return
        moment = self.history.now()
        known = {entry.digest for entry in self.history.entries}
        for entry in decode_segment(key, body).entries:
            if entry.digest not in known:
                self.problem(f"{key} holds {entry.sequence}, which was never in the log")
            self.history.saved.setdefault(entry.digest, moment)

    # -- steps: clients

    def _do_wait(self, step: PlannedStep) -> None:
        pass

    def _do_transact(self, step: PlannedStep) -> None:
        name = f"t{len(self.history.attempts)}"
        server = self.servers[step.server]
        attempt = Attempt(name, step.what["transaction"], server.name, self.history.now())
        self.history.attempts.append(attempt)
        durable = bool(step.what.get("durable"))
        self._clients.add(self._begin(self._transact(server, attempt, durable=durable)))

    async def _transact(self, server: Server, attempt: Attempt, *, durable: bool) -> None:
        try:
            await self._try(server, attempt, durable=durable)
        except (AlreadyExists, Conflict) as error:
            unknown = error.reason == "OUTCOME_UNKNOWN"
            attempt.outcome = Outcome.UNKNOWN if unknown else Outcome.REFUSED
            attempt.error = str(error)
        except FailedPrecondition as error:
            attempt.error = str(error)
            if error.reason == "BEING_DELETED":
                attempt.outcome = Outcome.REFUSED
                attempt.evaluations[-1] = replace(attempt.evaluations[-1], refused=True)
            else:
                attempt.outcome = Outcome.UNKNOWN
                if not self.history.losses:
                    self.problem(f"{attempt.name} was told {error!r}")
        except (Unavailable, Exhausted) as error:
            attempt.outcome, attempt.error = Outcome.NOTHING_WRITTEN, str(error)
        except (Crashed, asyncio.CancelledError):
            attempt.outcome = Outcome.UNKNOWN
        except SluicewayError as error:
            attempt.outcome, attempt.error = Outcome.UNKNOWN, str(error)
            self.problem(f"{attempt.name} was told {error!r}")
        attempt.ended = self.history.now()

    async def _try(self, server: Server, attempt: Attempt, *, durable: bool) -> None:
        process, database = await server.opened()
        attempt.began = self.history.now()
        transaction = attempt.transaction
        preconditions: list[Precondition] = []
        if transaction.guards:
            attempt.guards = await process.call(database.read(_revisions(transaction.guards)))
            preconditions = [_precondition(name, revision) for name, revision in attempt.guards]

        def function(view: View) -> Decision[tuple[Any, ...]]:
            try:
                check_preconditions(view, preconditions)
                seen, actions = perform(view, transaction, attempt.name)
            except (Conflict, AlreadyExists):
                attempt.evaluations.append(Evaluation(view.position, (), refused=True))
                raise
            attempt.evaluations.append(Evaluation(view.position, seen, refused=False))
            return Decision(seen, actions, transaction.groups if actions else ())

        try:
            answer = await process.call(database.transact(function, durable=durable))
        except DeadlineExceeded as error:
            if "position" not in error.metadata:
                raise
            attempt.outcome, attempt.position = Outcome.DONE, Position.parse(error.metadata["position"])
            return
        attempt.outcome, attempt.position = Outcome.DONE, answer.position
        if transaction.writes:
            self._newest = answer.position if self._newest is None else max(self._newest, answer.position)
        if answer.value != attempt.evaluations[-1].seen:
            self.problem(f"{attempt.name} was answered {answer.value}, and saw {attempt.evaluations[-1].seen} last")
        if durable and transaction.writes and not self._is_saved(answer.position):
            self.problem(f"{attempt.name} is said to be durable at {answer.position}, and is not in the storage")

    def _is_saved(self, position: Position) -> bool:
        return any(
            entry.digest in self.history.saved for entry in self.history.entries if entry.sequence == position.sequence
        )

    def _do_read(self, step: PlannedStep) -> None:
        server = self.servers[step.server]
        self._clients.add(self._begin(self._read(server, **step.what)))

    async def _read(self, server: Server, *, looks: tuple[Look, ...], linear: bool, after: bool) -> None:
        with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, asyncio.CancelledError):
            process, database = await server.opened()
            began = self.history.now()
            wanted = self._newest if after else None
            if linear:
                await process.call(database.linearize())
            position, seen = await process.call(database.read(_looking(looks), after=wanted))
            self.history.reads.append(
                ReadRecord(server.name, looks, began, self.history.now(), linear, position, seen, wanted)
            )

    def _do_get(self, step: PlannedStep) -> None:
        self._clients.add(self._begin(self._get(self.servers[step.server], step.what["type"], step.what["id"])))

    async def _get(self, server: Server, type_: str, id_: str) -> None:
        with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, asyncio.CancelledError):
            process, database = await server.opened()
            record = GetRecord(server.name, type_, id_, self.history.now(), 0, None)
            with suppress(NotFound):
                record.value = value_of(await process.call(database.get(type_named(type_), id_)))
            record.ended = self.history.now()
            self.history.gets.append(record)

    async def _subscribe(self, delivery: Delivery, number: int) -> None:
        """Follow the log through one server after another, and go on where the last one ended."""
        rng = random.Random(self.plan.seed + 3 + number)
        at: Position | None = None
        while True:
            server = rng.choice(self.servers)
            if server.database is None:
                await asyncio.sleep(0.05)
                continue
            process, database = await server.opened()
            try:
                if at is None:
                    at = await process.call(database.read(lambda view: view.position))
                    delivery.starts.append((len(delivery.facts), at))
                slow = 0.0 if self._ending or rng.random() < 0.7 else 0.2
                await process.call(self._follow(process, database, delivery, at, slow))
            except OutOfRange:
                at = None
                continue
            except Exhausted as error:
                last = Position.parse(error.metadata["position"])
                if delivery.facts and delivery.facts[-1].position > last:
                    self.problem(f"a subscriber was cut after {last}, and has {delivery.facts[-1].position}")
            except (Unavailable, DeadlineExceeded, DatabaseLost, Crashed):
                await asyncio.sleep(0.02)
            if delivery.facts and len(delivery.facts) > delivery.starts[-1][0]:
                at = delivery.facts[-1].position

    async def _follow(
        self, process: Process, database: DataManager, delivery: Delivery, at: Position, slow: float
    ) -> None:
        topics = (delivery.topic,) if delivery.topic else ()
        async with aclosing(database.subscribe(after=at, topics=topics)) as applied:
            async for item in applied:
                if process.dead:
                    return
                delivery.facts.append(Fact.of(item))
                if slow and not self._ending:
                    await asyncio.sleep(slow)

    # -- steps: faults

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        def due() -> None:
            del self._due[handle]
            what()

        handle: asyncio.TimerHandle = asyncio.get_running_loop().call_later(seconds, due)
        self._due[handle] = what

    def _do_crash(self, step: PlannedStep) -> None:
        server = self.servers[step.server]
        if server.process is None or server.process.dead:
            return
        if not step.what["point"]:
            server.kill()
            self._later(step.what["again_after"], lambda: server.start(folder=step.what["folder"]))
            return
        process = server.process
        process.crash_at(step.what["point"], step.what["times"])
        kept = process.on_kill

        def on_kill() -> None:
            kept()
            server.died()
            self._later(step.what["again_after"], lambda: server.start(folder=step.what["folder"]))

        process.on_kill = on_kill

    def _do_stop(self, step: PlannedStep) -> None:
        server = self.servers[step.server]

        async def chore() -> None:
            if not server.wanted:
                return
            await server.stop()
            self._later(
                0.0 if self._ending else step.what["again_after"], lambda: server.start(folder=step.what["folder"])
            )

        self._chores.add(self._begin(chore()))

    def _do_pause(self, step: PlannedStep) -> None:
        self._storage_trouble = True
        process = self.servers[step.server].process
        if process is not None:
            process.pause()
            self._later(step.what["seconds"], process.resume)

    def _do_cut_off(self, step: PlannedStep) -> None:
        self._storage_trouble = True
        name = self.servers[step.server].name
        self.network.cut_off.add(name)
        self._later(step.what["seconds"], lambda: self.network.cut_off.discard(name))

    def _do_kv_away(self, step: PlannedStep) -> None:
        self.network.kv_away = True
        self.network.store.break_watches()

        def back() -> None:
            self.network.kv_away = False

        self._later(step.what["seconds"], back)

    def _do_storage_away(self, step: PlannedStep) -> None:
        self._storage_trouble = True

        def switch(value: bool) -> None:
            if step.what["full"]:
                self.network.storage_full = value
            else:
                self.network.storage_away = value

        switch(True)
        self._later(step.what["seconds"], lambda: switch(False))

    def _do_fates(self, step: PlannedStep) -> None:
        self.network.plans.setdefault(self.servers[step.server].name, []).extend(step.what["fates"])

    def _do_compact(self, step: PlannedStep) -> None:
        async def chore() -> None:
            store = self.network.store
            await store.compact(store.revision, timeout=timedelta(seconds=1))
            if step.what["breaks"]:
                store.break_watches()

        self._chores.add(self._begin(chore()))

    def _do_advance(self, step: PlannedStep) -> None:
        self.clock.offset += timedelta(hours=step.what["hours"])
        self._aged = self._aged or step.what["hours"] > 1

    def _do_skew(self, step: PlannedStep) -> None:
        self.servers[step.server].clock.offset = timedelta(seconds=step.what["seconds"])

    def _do_checkpoint(self, step: PlannedStep) -> None:
        async def work(process: Process, database: DataManager) -> None:
            await process.call(database.checkpoint())

        self._at_server(step.server, work)

    def _do_clean(self, step: PlannedStep) -> None:
        self.clock.offset += timedelta(hours=step.what["hours"])
        self._aged = self._aged or step.what["hours"] > 1

        async def work(process: Process, database: DataManager) -> None:
            duties = database._duties
            await process.call(duties._cleaner.run(duties._core.lineage))

        self._at_server(step.server, work)

    def _at_server(self, number: int, work: Callable[[Process, DataManager], Coroutine[Any, Any, None]]) -> None:
        async def chore() -> None:
            server = self.servers[number]
            try:
                async with asyncio.timeout(60):
                    await work(*await server.opened())
            except (Unavailable, DeadlineExceeded, Conflict, TimeoutError, asyncio.CancelledError, Crashed):
                pass
            except SluicewayError as error:
                if not self.history.losses:
                    self.problem(f"a duty of {server.name} failed: {error!r} {_where(error)}")

        self._chores.add(self._begin(chore()))

    # -- steps: etcd is lost, the database goes back

    def _do_snapshot(self, step: PlannedStep) -> None:
        self._snapshot = self.network.store.snapshot()

    def _do_loss(self, step: PlannedStep) -> None:
        """Etcd is wiped, or restored from the last snapshot; an operator recovers the database after a while."""
        self._clusters += 1
        cluster = 1001 if step.what["cluster"] == "same" else 1001 + self._clusters
        if step.what["how"] == "wiped" or self._snapshot is None:
            # With nothing stored yet it looks like a first start that did not end, and the same epoch begins again.
            unseen = step.what["cluster"] == "same" and not self.history.saved
            self.network.store.wipe(cluster_id=cluster)
        else:
            self._snapshot.cluster_id = cluster
            unseen = step.what["cluster"] == "same"
            self.network.store.restore(self._snapshot)
        if unseen:
            self.history.put_back.append(self.history.now())
        self.history.losses.append(self.history.now())
        self._etcd_was_lost = True
        self._later(step.what["recover_after"], lambda: self._chores.add(self._begin(self._recover())))

    async def _recover(self) -> None:
        """What an operator does: `sluice db recover`, again when it fails."""

        gap: LogSequence | None = None

        async def work(recovery: Recovery) -> None:
            nonlocal gap
            try:
                await recovery.recover(cause="the history says so")
            except DataLoss as error:
                # An etcd that was put back under its old cluster id, and written: a flush of the time before may have
                # trimmed what was written since. The message offers to give up what is after the gap.
                if error.reason != "LOG_GAP" or not self.history.put_back:
                    raise
                gap = LogSequence.parse(error.metadata["before"])

        async def give_up(recovery: Recovery) -> None:
            assert gap is not None
            self.history.restored.append((await recovery.restore(gap, cause="the history says so")).epoch)

        if await self._operate("recovery", work) and gap is not None:
            await self._operate("restore before a gap", give_up)

    async def _operate(self, what: str, work: Callable[[Recovery], Coroutine[Any, Any, None]]) -> bool:
        for _ in range(20):
            process = Process("operator")
            self.processes.append(process)
            settings = replace(self.plan.settings, server_id="operator")
            stores = Stores.of(
                KvWire(self.network, process),
                StorageWire(self.network, process),
                prefix=PREFIX,
                etcd_timeout=settings.etcd_timeout,
            )
            recovery = Recovery(stores, settings=settings, clock=self.clock)
            try:
                async with asyncio.timeout(100):
                    await process.call(work(recovery))
            except (Unavailable, DeadlineExceeded, Conflict, TimeoutError, Crashed):
                await asyncio.sleep(0.5)
            except DatabaseLost:
                await asyncio.sleep(0.5)
            except FailedPrecondition as error:
                if error.reason not in ("NOTHING_TO_RECOVER", "SEQUENCE_UNKNOWN", "SEQUENCE_UNREACHABLE"):
                    self.problem(f"the {what} failed: {error!r}")
                return False
            except SluicewayError as error:
                self.problem(f"the {what} failed: {error!r} {_where(error)}")
                return False
            else:
                return True
        return False

    def _do_restore(self, step: PlannedStep) -> None:
        """An operator goes back to an entry that there was."""
        entries = self.history.entries
        if not entries:
            return
        target = entries[int(len(entries) * step.what["part"])].sequence
        self.history.losses.append(self.history.now())

        async def work(recovery: Recovery) -> None:
            before, losses = len(self.history.entries), len(self.history.losses)
            done = await recovery.restore(target, cause="the history says so")
            if not done.won:
                return
            self.history.restored.append(done.epoch)
            if losses == len(self.history.losses) and not self._etcd_was_lost:
                reported = sum(void.entries for void in done.void)
                self._check_reported(done.epoch, reported, len(self.history.entries) - before)

        async def chore() -> None:
            await self._operate("restore", work)

        self._chores.add(self._begin(chore()))

    def _check_reported(self, epoch: int, reported: int, meanwhile: int) -> None:
        """A restore says how many entries it made void; those that came meanwhile it may have missed."""
        first = next(entry for entry in self.history.entries if entry.sequence == LogSequence(epoch, 1))
        before = self.history.entries[self.history.entries.index(first) - 1]
        by_digest = {entry.digest: entry for entry in self.history.entries}
        void, digest = 0, before.digest
        while digest != first.previous_digest and digest in by_digest:
            void += 1
            digest = by_digest[digest].previous_digest
        if digest == first.previous_digest and not void - meanwhile <= reported <= void:
            self.problem(f"a restore made {void} entries void, and reported {reported}")

    # -- the end

    async def _settle(self) -> None:
        """Heal everything, wait until all is answered, and write down what each server has."""
        self._ending = True
        self.network.heal()
        for process in self.processes:
            process._armed.clear()
            process.resume()
        for handle, what in list(self._due.items()):
            handle.cancel()
            what()
        self._due.clear()
        for server in self.servers:
            server.start()
        self._waiting_for = "recovery"
        if self.history.losses:
            self._chores.add(self._begin(self._recover()))
        self._waiting_for = "chores"
        while self._chores:
            await asyncio.wait(set(self._chores))
        for server in self.servers:
            if server.wanted:
                self._waiting_for = f"{server.name}, to serve the newest epoch"
                await self._serves(server)
        self._waiting_for = "clients that were not answered"
        while self._clients:
            await asyncio.wait(set(self._clients))
        for number, server in enumerate(self.servers):
            if server.wanted:
                self._waiting_for = f"the last words of {server.name}"
                await self._last_words(server, number)
        self._waiting_for = "sweepers"
        await self._is_quiet()
        self._note_head()
        self._waiting_for = "subscribers"
        await self._all_is_delivered()
        self._waiting_for = "flushes"
        await self._all_is_flushed()
        anew = Server(self, "anew")
        self.servers.append(anew)
        anew.start()
        for server in self.servers:
            if server.wanted:
                self._waiting_for = f"the contents of {server.name}"
                await self._note_contents(server)
        self._waiting_for = "verify"
        await self._verify()
        for server in self.servers:
            self._waiting_for = f"the stop of {server.name}"
            await server.stop()
        self._check_segments()

    async def _serves(self, server: Server) -> None:
        """Wait until a server has the epoch that etcd has; the operator looks again and again."""
        for turn in count(1):
            if turn % 5 == 0 and self.history.losses:
                await self._recover()
            with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, TimeoutError):
                async with asyncio.timeout(3):
                    process, database = await server.opened()
                await process.call(database.linearize())
                if database.epoch == self._head().sequence.epoch:
                    return
            await asyncio.sleep(0.1)

    def _head(self) -> HeadMark:
        raw = self.network.store.peek(f"{PREFIX}/db/head")
        if raw is None:
            raise Unavailable("there is no head")
        return HeadMark.parse(raw)

    async def _last_words(self, server: Server, number: int) -> None:
        """Each server can still write."""
        error = ""
        for _ in range(20):
            self._do_transact(PlannedStep("transact", 0, number, {"transaction": Transaction((Look("scan"),))}))
            await asyncio.wait(set(self._clients))
            attempt = self.history.attempts[-1]
            if attempt.outcome is Outcome.DONE:
                return
            # What was late may have ended it once more.
            error = attempt.error
            await asyncio.sleep(0.5)
        self.problem(f"{server.name} does not work after all faults have stopped: {error}")

    async def _is_quiet(self) -> None:
        """Wait until the log does not grow by itself any more: what was buried is swept."""
        while True:
            model = Model()
            for fact in self._history_of_the_head():
                model.apply(fact)
            if not any(type_ == "tombstone" for type_, _ in model.records):
                return
            await asyncio.sleep(0.3)

    def _history_of_the_head(self) -> list[Fact]:
        by_digest = {entry.digest: entry for entry in self.history.entries}
        found: list[Fact] = []
        digest = self._head().digest
        while (entry := by_digest.get(digest)) is not None:
            found[:0] = entry.facts
            digest = entry.previous_digest
        return found

    def _note_head(self) -> None:
        self.history.head = self._head().digest

    async def _all_is_delivered(self) -> None:
        facts = {fact.position: fact for fact in self._history_of_the_head()}
        for delivery in self.history.deliveries:
            wanted = [
                position
                for position, fact in facts.items()
                if not delivery.topic or delivery.topic in _topics(fact)
                if not delivery.starts or position > delivery.starts[-1][1]
            ]
            last = max(wanted, default=None)
            for _ in range(600):
                if last is None or (delivery.facts and delivery.facts[-1].position >= last):
                    break
                if delivery.starts and delivery.starts[-1][1] >= last:
                    break
                await asyncio.sleep(0.1)
            else:
                self.problem(f"the subscriber of {delivery.topic or 'everything'} never got {last}")

    async def _all_is_flushed(self) -> None:
        for _ in range(600):
            statuses = [server.database.status() for server in self.servers if server.database is not None]
            if all(status.flushed >= status.committed.sequence for status in statuses):
                return
            await asyncio.sleep(0.1)
        self.problem("the log is not flushed a minute after all faults have stopped")

    async def _note_contents(self, server: Server) -> None:
        process, database = await server.opened()
        await process.call(database.linearize())

        def read(view: View) -> tuple[Contents, tuple[Any, ...]]:
            records = {}
            for type_ in TYPES:
                for id_, message in view.scan(type_):
                    revision = view.revision(type_, id_)
                    assert revision is not None
                    records[type_.name, id_] = (value_of(message), revision)
            groups = {name: revision for name in GROUPS if (revision := view.group(name)) is not None}
            contents = Contents(server.name, view.position, records, groups)
            return contents, tuple(look(view, what) for what in _ALL_LISTS)

        contents, seen = await process.call(database.read(read))
        self.history.contents.append(contents)
        now = self.history.now()
        self.history.reads.append(ReadRecord(server.name, _ALL_LISTS, now, now, True, contents.position, seen))

    async def _verify(self) -> None:
        """What `sluice db verify` says of what is there."""
        process = Process("verify")
        scratch = self.folder / "verify.sqlite"

        async def run() -> list[Finding]:
            verifier = Verifier(
                KvWire(self.network, process),
                StorageWire(self.network, process),
                prefix=PREFIX,
                types=TYPES,
                scratch=scratch,
                etcd_name="the simulated etcd",
                now=self.clock.now,
                timeout=timedelta(seconds=5),
            )
            return [found async for found in verifier.run() if isinstance(found, Finding)]

        for found in await process.call(run()):
            if found.is_fault:
                self.problem(f"verify finds: {found.object}: {found.message}")

    def _check_segments(self) -> None:
        """The object storage has every entry of the history, once all is flushed."""
        by_digest = {entry.digest: entry for entry in self.history.entries}
        digest = self.history.head
        while digest in by_digest:
            entry = by_digest[digest]
            if entry.digest not in self.history.saved:
                self.problem(f"entry {entry.sequence} is not in the object storage at the end")
                return
            digest = entry.previous_digest


_ALL_LISTS = tuple(
    Look(kind, type_.name, "", colour, size)
    for type_ in TYPES
    for kind, size in (("list", 2), ("back", 3), ("count", 100))
    for colour in COLOURS
)


def _nothing() -> None:
    pass


def _topics(fact: Fact) -> set[str]:
    found = {f"type:{step[1]}" for step in fact.steps if step[0] != "emit"}
    return found.union(*(step[2] for step in fact.steps if step[0] == "emit"))


def _looking(looks: tuple[Look, ...]) -> Callable[[View], tuple[Position, tuple[Any, ...]]]:
    return lambda view: (view.position, tuple(look(view, what) for what in looks))


def _revisions(names: tuple[str, ...]) -> Callable[[View], tuple[tuple[str, Position | None], ...]]:
    def read(view: View) -> tuple[tuple[str, Position | None], ...]:
        return tuple(
            (name, view.group(name[1:]) if name.startswith("#") else view.revision(NOTE, name)) for name in names
        )

    return read


def _precondition(name: str, revision: Position | None) -> Precondition:
    if name.startswith("#"):
        return GroupRevision(name[1:], revision)
    return RecordAbsent(NOTE, name) if revision is None else RecordRevision(NOTE, name, revision)


def _only(error: BaseException, kinds: Any) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_only(item, kinds) for item in error.exceptions)
    return isinstance(error, kinds)


def _describe(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_describe(item) for item in error.exceptions)
    return f"{error!r} {_where(error)}"


def _where(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
