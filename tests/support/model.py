"""The whole delivery on a watched store against model gateways, one event at a time, with invariants I1 to I6.

``Model`` makes the events, ``Truth`` holds each move of each message against what really happened.
``tests/delivery/test_model.py`` and ``scripts/model-test`` let hypothesis choose the events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import cycle
from typing import Any

from mailbridge import admin
from mailbridge.carriers import read_receipt
from mailbridge.config.model import Queue
from mailbridge.delivery.audit import Audit
from mailbridge.delivery.board import Board, Carrier
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.delivery.keeper import Keeper
from mailbridge.delivery.poll import is_given_up
from mailbridge.delivery.questions import Prober, Questions, Receipts
from mailbridge.delivery.rush import Rush
from mailbridge.delivery.watch import Watch
from mailbridge.errors import StoreError
from mailbridge.model.outcome import Receipt
from mailbridge.model.state import State
from mailbridge.queue.contract import Report, StoredMessage
from mailbridge.report.dsn import ReportSettings
from mailbridge.report.reporter import Reporter
from tests.support.delivery import POLICY
from tests.support.model_gateway import (
    DELIVERED,
    PRICE,
    QUARANTINE_S,
    TIMEOUT_S,
    WELL,
    Copy,
    ModelGateway,
)
from tests.support.model_store import Died
from tests.support.model_truth import Truth
from tests.support.queue import new_mail, new_message

#: the longest interval between two questions about what is unknown
#: questions put off while a gateway was shut come back after that
_SHUT_S = 60
_POLL_S = 120
_TICK_S = 15
_OPEN = frozenset({State.QUEUED, State.SENDING, State.UNKNOWN})
_IN_DOUBT = frozenset({State.SENDING, State.UNKNOWN})


class Model(Truth):
    """One life of a bridge: deaths, stops and starts included."""

    def __init__(
        self, *, on_unknown: str = "hold", poll_s: float = 30.0, gateways: int = 1, keep_s: int = 3600
    ) -> None:
        super().__init__()
        self.gateways = [
            ModelGateway(name, self.ledger, draw=lambda: next(self.ways), die=self._die)
            for name in ("main", "second")[:gateways]
        ]
        self.policy = replace(POLICY, quarantine_s=QUARANTINE_S, on_unknown=on_unknown, poll_s=poll_s, currency="RUR")
        self.settings = Queue(lifetime=3600, keep_history=keep_s, delay_warning=900)
        self.ways = cycle([WELL])
        #: where the process dies next
        self.death: str | None = None
        self.is_up = False
        #: message id -> text
        self.texts: dict[str, str] = {}
        self._duties: dict[str, asyncio.Task[None]] = {}
        self._number = 0

    # -------------------------------------------------------------------------------------------- lifetimes
    async def start(self) -> None:
        """Start the process, as ``app.Bridge.start`` does."""
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self._look_at(context.get("exception")))
        store, clock = self.store, self.clock
        store.failing.clear()
        self.board = Board(self._carriers(), store=store, clock=clock, announce=lambda _before, _after: None)
        rush, self.audit = Rush(clock), Audit(store=store, board=self.board)
        self.dispatcher = Dispatcher(
            store=store, board=self.board, watch=Watch(), clock=clock, random=lambda: 0.5, node="n1", rush=rush,
            failpoint=self._failpoint,
        )  # fmt: skip
        wake = self.dispatcher.wake
        self.questions = Questions(store=store, board=self.board, clock=clock, wake=wake, audit=self.audit, rush=rush)
        self.keeper = Keeper(
            store=store, board=self.board, clock=clock, settings=self.settings, wake=wake,
            alarm=lambda row: self.known_held.add(row.id),
        )  # fmt: skip
        self.prober = Prober(board=self.board, clock=clock, wake=wake)
        self.receipts = Receipts(
            store=store, board=self.board, clock=clock, audit=self.audit, failpoint=self._failpoint
        )
        self.reporter = Reporter(
            store=store, clock=clock, by_mail=True,
            settings=ReportSettings(hostname="sms.example.org", from_address="mailer-daemon@sms.example.org"),
        )  # fmt: skip
        self.death, self.is_up = None, True
        self.ledger.disturbed()
        await store.recover(node="n1", now=clock.now())
        await store.clock_set_back(now=clock.now())
        await self.board.load()
        self._running = asyncio.create_task(self.dispatcher.run())
        await self.quiet()

    def _carriers(self) -> list[Carrier]:
        return [Carrier(one, policy=self.policy, read=read_receipt, max_in_flight=4) for one in self.gateways]

    async def kill(self) -> None:
        """End the process as ``kill -9`` does; what is on its way to a gateway may still arrive."""
        self.store.is_dead = True
        tasks = [self._running, *self.dispatcher._attempts, *self._duties.values()]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            self._look_at(result)
        self._duties.clear()
        self.store.is_dead, self.is_up = False, False

    async def stop(self) -> None:
        """Stop as designed, with the time for what is in flight used up."""
        self.dispatcher._stop.set()
        self.dispatcher.wake()
        await self.quiet()
        await self.dispatcher.stop(0)
        await self.kill()

    async def trouble(self, what: str, which: Any, *, times: int) -> None:
        """Something happens to the process, the disk or the clock."""
        match what:
            case "kill":
                await self.close()
            case "death":
                self.death = which
            case "fail":
                self.store.failing[which] = times
            case "clock":
                await self.set_clock(which)
            case "stop":
                await self.up()
                await self.stop()
            case "reload":
                await self.up()
                await self.reload()

    async def reload(self) -> None:
        """Exchange the gateways' settings, with requests in flight."""
        self.board.replace(self._carriers())
        await self._try(self.board.load())
        self.dispatcher.wake()
        await self.quiet()

    def _failpoint(self, name: str) -> None:
        if name == self.death:
            self._die()

    def _die(self) -> None:
        self.store.is_dead = True
        raise Died

    async def up(self) -> None:
        """Start unless it runs."""
        if self.store.is_dead:
            await self.kill()
        if not self.is_up:
            await self.start()

    async def quiet(self) -> None:
        """Let everything go as far as it can; bury the process if it died of it."""
        loop: Any = asyncio.get_running_loop()
        while loop._ready:
            await asyncio.sleep(0)
        if self.store.is_dead and self.is_up:
            await self.kill()

    # -------------------------------------------------------------------------------------------------- time
    async def wait(self, seconds: float, *, ticks: int = 4, is_frozen: bool = False) -> None:
        """Let time pass, with every duty in its turn. Frozen: the process sees nothing of it until the end."""
        if is_frozen:
            await self.tick(seconds, is_reverse=True)
            return
        for _ in range(ticks):
            await self.tick(seconds / ticks)

    async def live(self, seconds: float) -> None:
        """Let some time pass in a process that is there."""
        await self.up()
        await self.tick(seconds)

    async def tick(self, seconds: float, *, is_reverse: bool = False) -> None:
        """Let *seconds* pass at once."""
        self.clock.advance(seconds)
        self.ledger.arrive()
        for gateway in self.gateways:
            gateway.time_out()
        await self.quiet()
        await self.duties(is_reverse=is_reverse)

    async def duties(self, *, is_reverse: bool = False) -> None:
        """Give every duty its turn."""
        names = ("questions", "keeper", "prober", "reporter")
        for name in reversed(names) if is_reverse else names:
            running = self._duties.get(name)
            if not self.is_up or (running is not None and not running.done()):
                continue
            self._duties[name] = asyncio.create_task(self._try(getattr(self, name).step()))
            await self.quiet()

    async def _try(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except StoreError:
            pass
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is what the test looks for
            self._look_at(exc)

    def _look_at(self, result: object) -> None:
        if isinstance(result, Exception) and not isinstance(result, StoreError):
            self.violations.append(f"an error nobody foresaw: {result!r}")

    async def set_clock(self, seconds: int) -> None:
        """Set the wall clock."""
        self.clock.jump_wall(seconds)
        self.ledger.disturbed()
        await self.duties()

    # ------------------------------------------------------------------------------------- mails and people
    async def mail(
        self, phones: Sequence[str], *, lifetime_s: int, wanted_id: str | None = None, **fields: Any
    ) -> None:
        """A mail comes in; it counts once it is acknowledged."""
        await self.up()
        if self.settings.keep_history < 86400:
            wanted_id = (
                None  # a client's id used again when we have forgotten it, and the gateway has not, is its own risk
            )
        self._number += 1
        id_, now = f"M{self._number}", self.clock.now()
        messages = [
            new_message(
                f"{id_}.{n}", phone=phone, text=f"text {id_}.{n}", next_attempt_at=now,
                expires_at=now + timedelta(seconds=lifetime_s), sms={"wanted_id": wanted_id}, notify=fields.get("notify"),
            )
            for n, phone in enumerate(phones, 1)
        ]  # fmt: skip
        held_until = now + timedelta(seconds=15) if fields.get("waits") else None
        try:
            await self.store.put(new_mail(id_, *messages, received_at=now, hold_reports_until=held_until))
        except StoreError:
            return
        self.texts |= {message.id: message.message.text for message in messages}
        self.dispatcher.mail_arrived()
        await self.quiet()

    async def reply(self, index: int) -> None:
        """Some mail's client hears in its reply what has failed by now, instead of in a report."""
        row = self.pick(index)
        if row is None:
            return
        held = self.store._t.hold.get(row.mail_id)
        failed = {
            one.id for one in self.store.rows.values() if one.mail_id == row.mail_id and one.state is State.FAILED
        }
        if held is None or held <= self.clock.now():
            return
        for id_ in failed:
            self._check_told(self.store.rows[id_])
            self.told[Report.FAILED][id_] += 1
            self.replied.add(id_)
        await self.store.release_reports(row.mail_id, told=failed)

    async def person(self, index: int, verb: admin.Action | str) -> None:
        """A person does something, or hears something."""
        await self.up()
        if verb == "reply":
            await self.reply(index)
        elif isinstance(verb, admin.Action):
            await self.verb(index, verb)
        else:
            await self.command(index, verb)

    async def verb(self, index: int, action: admin.Action) -> None:
        """A person does something to a message."""
        row = self.pick(index)
        if row is not None:
            await self._try(admin.act(self.store, [row.id], action, lifetime_s=3600, by="anna", clock=self.clock))
            self.store.has_changed_outside = True
            await self.duties()

    async def command(self, index: int, command: str) -> None:
        """A person does something to a gateway."""
        name = self.gateways[index % len(self.gateways)].name
        await self._try(admin.command_gateway(self.store, name, command, clock=self.clock))
        self.store.has_changed_outside = True
        await self.duties()

    def pick(self, index: int) -> StoredMessage | None:
        """Return some message, the newest for 0."""
        rows = list(self.store.rows.values())
        return rows[-1 - index % len(rows)] if rows else None

    # -------------------------------------------------------------------------------------------- callbacks
    async def callback(self, copy: Copy, status: int, *, repeat: int = 1) -> None:
        """A gateway calls back about what it has."""
        await self.up()
        gateway, gateway_id, phone = copy.key
        receipt = Receipt(gateway=gateway, gateway_id=gateway_id, phone=phone, status=status, err=0)
        for _ in range(repeat):
            await self._call(receipt)

    def is_over(self, copy: Copy) -> bool:
        """Tell whether the bridge has heard that this SMS arrived."""
        return any(
            row.message is copy.message and row.state is State.DELIVERED and row.gateway_id == copy.key[1]
            for row in self.store.rows.values()
        )

    async def forge(self, copy: Copy, *, is_phone: bool) -> None:
        """Somebody calls back about nothing of ours: a known id with another phone, or a known phone with another id."""
        await self.up()
        gateway, gateway_id, phone = copy.key
        phone, gateway_id = ("+79990009999", gateway_id) if is_phone else (phone, "31337")
        before = dict(self.store.rows)
        await self._call(Receipt(gateway=gateway, gateway_id=gateway_id, phone=phone, status=DELIVERED, err=0))
        if before != self.store.rows:
            self.violations.append("a forged callback changed something")

    async def _call(self, receipt: Receipt) -> None:
        if not self.is_up:
            return
        with suppress(Died):
            await self._try(self.receipts.take(receipt))
        await self.quiet()

    def check(self) -> None:
        """Raise AssertionError where anything was wrong so far."""
        wrong = [*self.violations, *(words for gateway in self.gateways for words in gateway.wrong)]
        assert not wrong, "\n".join(wrong)

    # -------------------------------------------------------------------------------------------------- end
    async def settle(self) -> None:
        """With gateways that are well, everything comes to an end without a step from outside."""
        # before a start, which sends at once
        self.ways, self.death = cycle([WELL]), None
        self.store.failing.clear()
        await self.up()
        for gateway in self.gateways:
            gateway.status_page = gateway.balance_page = "well"
            if self.board.states[gateway.name].by_hand:
                await admin.command_gateway(self.store, gateway.name, "resume", clock=self.clock)
        self.store.has_changed_outside = True
        # who refuses us as such is asked nothing until a probe finds it well: after an hour at the latest
        await self._until(lambda: not any(map(self.board.is_shut, self.board.states)), 60, times=62)
        await self._settle_doubts()
        await self._until(lambda: not any(row.state in _OPEN for row in self.store.rows.values()), 120, times=120)
        # reports wait for each other, and a sent message is asked about after four hours at the latest
        for seconds in (60, 60, 5000, 5000, 5000, 60, 60):
            await self.tick(seconds)
        self._look_at_the_end()

    async def _settle_doubts(self) -> None:
        open_ = {row.id: row.attempts for row in self.store.rows.values() if row.state in _IN_DOUBT}

        def is_over() -> bool:
            rows = (self.store.rows.get(id_) for id_ in open_)
            return not any(row and row.state in _IN_DOUBT and row.attempts == open_[row.id] for row in rows)

        limit_s = TIMEOUT_S + QUARANTINE_S + _POLL_S + _SHUT_S
        if not await self._until(is_over, _TICK_S, times=limit_s // _TICK_S + 2):
            self.violations.append(f"I6: in doubt for more than {limit_s} s: {self.store.rows}")

    async def _until(self, is_over: Callable[[], bool], tick_s: float, *, times: int) -> bool:
        for _ in range(times):
            if is_over():
                return True
            await self.tick(tick_s)
        return is_over()

    def _look_at_the_end(self) -> None:
        for id_ in self.texts:
            row = self.store.rows.get(id_)
            if row is None:
                continue  # looked at when it was pruned
            self._ended(row)
            is_late = row.attempted_at is not None and is_given_up(since=row.attempted_at, now=self.clock.now())
            is_polled = row.state is State.SENT and self.policy.poll_s and not is_late
            if is_polled and not self.ledger.may_arrive(row.message.text):
                self._wrong("I1: failed, and nobody noticed", row)
        prices = [row.price for row in self.store.rows.values() if row.price is not None]
        if sum(prices) > sum(self.ledger.out.values()) * PRICE:
            self.violations.append("I5: more was booked than charged")

    async def close(self) -> None:
        """End all tasks."""
        if self.is_up:
            await self.kill()
