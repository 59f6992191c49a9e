"""Threads with a connection of their own: one that writes, with group commit, and some that read.

A lane runs whole transaction functions, one thread hop each. The writer lets calls gather while a commit is under
way and then runs all of them in one transaction: one fsync for all that wait, no delay for one that comes alone.
A server may go away meanwhile: what was not committed runs again on a new connection, and what may have been is looked
up, never repeated blindly. No SQL of ours is written here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from mailbridge.errors import StoreError, StoreFull
from mailbridge.queue.trouble import FOREIGN, concerns_all, is_lost, is_passing, spoils_connection, translate

T = TypeVar("T")

#: runs many calls of one kind together: arguments in, results out in the same order
Batch = Callable[[Connection, Sequence[Any]], Sequence[Any]]

#: may cut a connection from another thread; the flag: in any case
HangUp = Callable[[Connection, bool], None]

#: a joint transaction takes no more calls than this, so that the first of them does not wait too long
_MAX_JOBS = 256
#: so often a transaction runs that meets another process's change of the same rows
_MOST_RUNS = 3
#: so long the server is asked what became of a commit whose answer was lost: clients wait meanwhile
_FIND_OUT_S = 5.0
_FIND_OUT_PAUSE_S = 0.1


class Fate(Protocol):
    """How an engine tells what became of a commit whose answer was lost."""

    def mark(self, conn: Connection) -> str | None:
        """Leave a mark that is committed with what was written; None where nothing was."""
        ...

    def is_committed(self, conn: Connection, mark: str) -> bool | None:
        """Tell whether *mark* is there; None while that cannot be said."""
        ...


class Room(Protocol):
    """How an engine goes on with what was promised when its disk is full."""

    @property
    def stands(self) -> bool:
        """Nothing is to be done to keep room back: it is kept, or cannot be."""
        ...

    def take(self, conn: Connection) -> None:
        """Have room kept back again. Raises OSError while there is none."""
        ...

    def reuse(self, conn: Connection) -> None:
        """Make what room can be made without that which is kept back."""
        ...

    def give_up(self, conn: Connection) -> bool:
        """Let the queue have what is kept back; False where nothing is."""
        ...


class _InDoubtError(Exception):
    """The answer to a COMMIT was lost."""

    def __init__(self, mark: str, result: Any, why: BaseException) -> None:
        super().__init__(mark)
        self.mark = mark
        self.result = result
        self.why = why


class Lane:
    """One thread with one connection, opened when first needed and again after trouble with it.

    *hang_up* is told of a connection on which nothing has come to an end for *patience_s*; one that keeps the lane from
    closing is to be cut in any case.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        *,
        patience_s: float | None = None,
        hang_up: HangUp | None = None,
    ) -> None:
        self._engine = engine
        self.patience_s = patience_s
        self._hang_up = hang_up
        #: steps that came to an end so far
        self._steps = 0
        self._conn: Connection | None = None
        self._closed = self._is_ending = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"queue-{name}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in a transaction of its own. Raises: StoreError."""
        return await self._hop(self._transact, work)

    async def run_outside(self, work: Callable[[Connection], T]) -> T:
        """Run *work* on the connection without a transaction. Raises: StoreError."""
        return await self._hop(self._work, work)

    async def close(self) -> None:
        """Finish what is under way and close the connection; every later call is refused."""
        self._closed = self._is_ending = True
        loop = asyncio.get_running_loop()
        closing = loop.run_in_executor(self._thread, self._disconnect)
        if self._hang_up is not None:
            while not (await asyncio.wait({closing}, timeout=self.patience_s))[0]:
                if self._conn is not None:
                    await loop.run_in_executor(None, self._hang_up, self._conn, True)
        await closing
        self._thread.shutdown(wait=False)

    async def _hop(self, step: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise StoreError("the queue was closed")
        loop = asyncio.get_running_loop()
        hop = loop.run_in_executor(self._thread, step, work)
        if self._hang_up is None:
            return await hop
        steps = self._steps
        while not (await asyncio.wait({hop}, timeout=self.patience_s))[0]:
            if self._steps == steps and self._conn is not None:
                await loop.run_in_executor(None, self._hang_up, self._conn, self._is_ending)
            steps = self._steps
        return hop.result()

    # -- in the thread
    def _transact(self, work: Callable[[Connection], T]) -> T:
        def whole(conn: Connection) -> T:
            with conn.begin():
                return work(conn)

        return self._work(whole)

    def _work(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._on_connection(work)
        except FOREIGN as exc:
            raise translate(exc) from exc
        finally:
            self._steps += 1

    def _on_connection(self, work: Callable[[Connection], T]) -> T:
        is_kept = self._conn is not None
        try:
            if self._conn is None:
                self._conn = self._engine.connect()
            return work(self._conn)
        except FOREIGN as exc:
            if spoils_connection(exc):
                self._disconnect()
            if not is_kept or not is_lost(exc):
                raise
        # the server went away while nobody asked, or in the middle: nothing was committed
        return self._on_connection(work)

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.invalidate()
            conn.close()


@dataclass(frozen=True, slots=True)
class _Job:
    batch: Batch
    argument: Any
    future: asyncio.Future[Any]
    #: it may use the room that is kept back
    drains: bool


class WriterLane(Lane):
    """The lane that writes; calls that wait at the same time share a commit. *room* is for a full disk."""

    def __init__(
        self,
        engine: Engine,
        *,
        fate: Fate | None = None,
        room: Room | None = None,
        patience_s: float | None = None,
        hang_up: HangUp | None = None,
    ) -> None:
        # neither does a caller wait longer for a server that is silent
        super().__init__(engine, "writer", patience_s=patience_s, hang_up=hang_up)
        self._fate = fate
        self._room = room
        self._waiting: list[_Job] = []
        self._pump: asyncio.Task[None] | None = None
        #: transactions committed so far
        self.commits = 0

    async def write(self, batch: Batch, argument: Any, *, drains: bool = True) -> Any:
        """Run *batch* with *argument*, together with other calls; on disk when this returns. Raises: StoreError.

        *drains*: it belongs to what was promised, so it may use the room that is kept back on a full disk.
        A cancelled caller leaves its job to be done; one who has lost his patience takes it back, unless it has begun.
        """
        if not drains and self._room is not None and not self._room.stands:
            await self.run_outside(self._room.take)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_at)
        self._waiting.append(_Job(batch, argument, future, drains))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run_all(), name="queue-writer")
        if self.patience_s is None:
            return await asyncio.shield(future)
        # a wait that is cancelled leaves the future alone
        await asyncio.wait({future}, timeout=self.patience_s)
        if not future.done():
            future.set_exception(StoreError("the database does not answer"))
        return future.result()

    async def close(self) -> None:
        """Finish all that waits, then close the connection."""
        self._is_ending = True
        if self._pump is not None:
            await asyncio.wait([self._pump])
        await super().close()

    async def _run_all(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting[:_MAX_JOBS], self._waiting[_MAX_JOBS:]
            jobs = [job for job in jobs if not job.future.done()]
            if not jobs:
                continue
            error = await self._attempt(jobs)
            if isinstance(error, StoreFull) and self._room is not None:
                jobs, error = await self._attempt_when_full(jobs, self._room)
            if error is None:
                continue
            if len(jobs) == 1 or concerns_all(error):
                for job in jobs:
                    _fail(job, error)
                continue
            for job in jobs:  # one of them is the culprit: each alone
                if own := await self._attempt([job]):
                    _fail(job, own)

    async def _attempt_when_full(self, jobs: Sequence[_Job], room: Room) -> tuple[list[_Job], BaseException | None]:
        """Try *jobs* in the room there is, then the draining ones in what is kept back; return who failed and why."""
        await self.run_outside(room.reuse)
        error = await self._attempt(jobs)
        if not isinstance(error, StoreFull):
            return list(jobs), error
        for job in jobs:
            if not job.drains:
                _fail(job, error)
        draining = [job for job in jobs if job.drains]
        if not draining:
            return [], None
        has_more = await self.run_outside(room.give_up)
        return draining, await self._attempt(draining) if has_more else error

    async def _attempt(self, jobs: Sequence[_Job]) -> BaseException | None:
        """Run *jobs* in one transaction and answer them; return what went wrong instead, nothing being written then."""
        outcome: list[Any] | BaseException = []
        for _ in range(_MOST_RUNS):
            running = self.run(lambda conn: _run_jobs(conn, jobs))
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            if not isinstance(outcome, BaseException) or not is_passing(outcome):
                break
        if isinstance(outcome, BaseException):
            return outcome
        self.commits += 1
        for job, result in zip(jobs, outcome, strict=True):
            if not job.future.done():
                job.future.set_result(result)
        return None

    # -- in the thread
    def _transact(self, work: Callable[[Connection], T]) -> T:
        fate = self._fate
        if fate is None:
            return super()._transact(work)
        try:
            return self._work(partial(_commit_marked, fate, work))
        except _InDoubtError as doubt:
            if self._find_out(fate, doubt.mark):
                result: T = doubt.result
                return result
            raise translate(doubt.why) from doubt.why

    def _find_out(self, fate: Fate, mark: str) -> bool:
        """Ask on a new connection whether *mark* was committed; for want of an answer, say no: the caller fails."""
        self._disconnect()
        ends = time.monotonic() + _FIND_OUT_S
        while time.monotonic() < ends:
            try:
                is_committed = self._on_connection(partial(_ask, fate, mark))
            except FOREIGN:
                is_committed = None
            if is_committed is not None:
                return is_committed
            time.sleep(_FIND_OUT_PAUSE_S)
        return False


def _commit_marked(fate: Fate, work: Callable[[Connection], T], conn: Connection) -> T:
    mark = None
    try:
        with conn.begin():
            result = work(conn)
            mark = fate.mark(conn)
        return result
    except FOREIGN as exc:
        if mark is None or not is_lost(exc):
            raise
        raise _InDoubtError(mark, result, exc) from exc


def _ask(fate: Fate, mark: str, conn: Connection) -> bool | None:
    with conn.begin():
        return fate.is_committed(conn, mark)


def _run_jobs(conn: Connection, jobs: Sequence[_Job]) -> list[Any]:
    """Run *jobs*, those of one kind together, and return their results in the order of *jobs*."""
    kinds: dict[Batch, list[int]] = {}
    for place, job in enumerate(jobs):
        kinds.setdefault(job.batch, []).append(place)
    results: list[Any] = [None] * len(jobs)
    for batch, places in kinds.items():
        done = batch(conn, [jobs[place].argument for place in places])
        for place, result in zip(places, done, strict=True):
            results[place] = result
    return results


def _look_at(future: asyncio.Future[Any]) -> None:
    """Take note of an error that a cancelled caller will not see."""
    if not future.cancelled():
        future.exception()


def _fail(job: _Job, error: BaseException) -> None:
    if job.future.done():
        return
    if isinstance(error, StoreError):
        # each caller gets its own exception: a shared one would collect the traceback of all of them
        own = type(error)(str(error))
        own.__cause__ = error.__cause__
        job.future.set_exception(own)
    else:
        job.future.set_exception(error)
