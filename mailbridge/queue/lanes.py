"""Threads with a connection of their own: one that writes, with group commit, and some that read.

A lane runs whole transaction functions, one thread hop each. The writer lets calls gather while a commit is under
way and then runs all of them in one transaction: one fsync for all that wait, no delay for one that comes alone.
No SQL of ours is written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from mailbridge.errors import StoreError, StoreFull
from mailbridge.queue import sqlite_file
from mailbridge.queue.reserve import Reserve
from mailbridge.queue.trouble import FOREIGN, concerns_all, is_disk_trouble, translate

T = TypeVar("T")

#: runs many calls of one kind together: arguments in, results out in the same order
Batch = Callable[[Connection, Sequence[Any]], Sequence[Any]]

#: a joint transaction takes no more calls than this, so that the first of them does not wait too long
_MAX_JOBS = 256


class Lane:
    """One thread with one connection, opened when first needed and again after disk trouble."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._conn: Connection | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"queue-{name}")

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in a transaction of its own. Raises: StoreError."""
        return await self._hop(self._transact, work)

    async def run_outside(self, work: Callable[[Connection], T]) -> T:
        """Run *work* on the connection without a transaction. Raises: StoreError."""
        return await self._hop(self._work, work)

    async def close(self) -> None:
        """Finish what is under way and close the connection; every later call is refused."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    async def _hop(self, step: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise StoreError("the queue was closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, step, work)

    # -- in the thread
    def _transact(self, work: Callable[[Connection], T]) -> T:
        def whole(conn: Connection) -> T:
            with conn.begin():
                return work(conn)

        return self._work(whole)

    def _work(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._conn is None:
                self._conn = self._engine.connect()
            return work(self._conn)
        except FOREIGN as exc:
            if is_disk_trouble(exc):
                self._disconnect()
            raise translate(exc) from exc

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
    """The lane that writes; calls that wait at the same time share a commit. *reserve* is for a full disk."""

    def __init__(self, engine: Engine, reserve: Reserve | None = None) -> None:
        super().__init__(engine, "writer")
        self._reserve = reserve
        self._waiting: list[_Job] = []
        self._pump: asyncio.Task[None] | None = None
        #: transactions committed so far
        self.commits = 0

    async def write(self, batch: Batch, argument: Any, *, drains: bool = True) -> Any:
        """Run *batch* with *argument*, together with other calls; on disk when this returns. Raises: StoreError.

        *drains*: it belongs to what was promised, so it may use the room that is kept back on a full disk.
        A cancelled caller leaves its job to be done.
        """
        if not drains and self._reserve is not None and not self._reserve.stands:
            await self.run_outside(self._refill)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(batch, argument, future, drains))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run_all(), name="queue-writer")
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Finish all that waits, then close the connection."""
        if self._pump is not None:
            await asyncio.wait([self._pump])
        await super().close()

    async def _run_all(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting[:_MAX_JOBS], self._waiting[_MAX_JOBS:]
            error = await self._attempt(jobs)
            if isinstance(error, StoreFull):
                jobs, error = await self._attempt_when_full(jobs)
            if error is None:
                continue
            if len(jobs) == 1 or concerns_all(error):
                for job in jobs:
                    _fail(job, error)
                continue
            for job in jobs:  # one of them is the culprit: each alone
                if own := await self._attempt([job]):
                    _fail(job, own)

    async def _attempt_when_full(self, jobs: Sequence[_Job]) -> tuple[list[_Job], BaseException | None]:
        """Try *jobs* again in the room of the log, then the draining ones on the reserve; return who failed and why."""
        await self.run_outside(sqlite_file.reuse_log)
        error = await self._attempt(jobs)
        if not isinstance(error, StoreFull) or self._reserve is None or not self._reserve.stands:
            return list(jobs), error
        for job in jobs:
            if not job.drains:
                _fail(job, error)
        draining = [job for job in jobs if job.drains]
        if not draining:
            return [], None
        await self.run_outside(self._give_up_reserve)
        return draining, await self._attempt(draining)

    async def _attempt(self, jobs: Sequence[_Job]) -> BaseException | None:
        """Run *jobs* in one transaction and answer them; return what went wrong instead, nothing being written then."""
        running = self.run(lambda conn: _run_jobs(conn, jobs))
        outcome: list[Any] | BaseException = (await asyncio.gather(running, return_exceptions=True))[0]
        if isinstance(outcome, BaseException):
            return outcome
        self.commits += 1
        for job, result in zip(jobs, outcome, strict=True):
            if not job.future.done():
                job.future.set_result(result)
        return None

    # -- in the thread
    def _refill(self, conn: Connection) -> None:
        """Have room kept back again. Raises OSError while there is none."""
        assert self._reserve is not None
        self._reserve.take()
        sqlite_file.checkpoint_each(conn, sqlite_file.LONG_LOG_PAGES)

    def _give_up_reserve(self, conn: Connection) -> None:
        assert self._reserve is not None
        self._reserve.give_up()
        # a long log would take the reserve alone; a short one begins anew in the same place
        sqlite_file.checkpoint_each(conn, sqlite_file.SHORT_LOG_PAGES)
        sqlite_file.reuse_log(conn)


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
