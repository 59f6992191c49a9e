"""The workers as the process with the queue sees them: started, told, started again, and stopped.

It stands where a ``Door`` would: the sockets are bound here and shared by all workers, so a worker that dies closes
no port, and the others take what comes meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import structlog

from mailbridge import log as logging_setup
from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.errors import MailbridgeError
from mailbridge.limiter import News
from mailbridge.model.reply import Reply
from mailbridge.queue.contract import NewMail
from mailbridge.smtp.bans import Bans
from mailbridge.smtp.listener import BoundAddress, Handed, bind_address, places_of
from mailbridge.smtp.tls import build_context
from mailbridge.workers.channel import Channel, ChannelClosed
from mailbridge.workers.parcels import pack_error, pack_replies, packing_of, unpack_reply
from mailbridge.workers.seats import Seats
from mailbridge.workers.worker import Opening, needs_of_door

log = structlog.get_logger()

#: from its start until it takes mail, and from an order until it is carried out
_START_S, _FOLLOW_S = 30.0, 10.0
#: what a door may take beyond its draining time, and a process to end
_STOP_LATE_S, _END_S = 8.0, 3.0
#: a commit costs as much as two mails, and workers that share cores bring them one by one
_GATHER_S = 0.003
#: a worker that ended is started again after this; twice as long each time, unless it had lived for a while
_LEAST_PAUSE_S, _MOST_PAUSE_S, _GOOD_LIFE_S = 0.1, 30.0, 60.0
_NEW_MAIL = packing_of(NewMail)
_NEWS = packing_of(News)


class Keep(Protocol):
    """Commits a mail that a worker has read."""

    async def __call__(self, new: NewMail, *, each: Sequence[int] | None, spent_s: float) -> Sequence[Reply]:
        """Commit *new* and return the replies; its worker had it for *spent_s* since it was there.

        *each*: one reply for each recipient, to whom belong so many of the messages in their order.

        Raises: IntakeError, StoreError.
        """
        ...


class _Member:
    """One worker: its process and the line to it."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.process = process
        self.channel = channel
        self.is_up = False

    async def ended(self, limit_s: float) -> str:
        """Wait for the process's end, at most *limit_s* before it is made to; return how it was."""
        ends = asyncio.get_running_loop().time() + limit_s
        while (code := self.process.poll()) is None:
            if asyncio.get_running_loop().time() > ends:
                self.process.kill()
            await asyncio.sleep(0.01)
        return f"exit {code}" if code >= 0 else signal.Signals(-code).name


class Together:
    """Lets mails that come within ``_GATHER_S`` go on together, to share a commit; a lone one waits for nobody."""

    def __init__(self) -> None:
        self._turn: asyncio.Future[None] | None = None
        self._last_s = 0.0

    async def wait(self) -> None:
        """Wait for the next turn, if there was one just now."""
        if self._turn is None:
            loop = asyncio.get_running_loop()
            since_s = loop.time() - self._last_s
            if since_s >= _GATHER_S:
                self._last_s = loop.time()
                return
            self._turn = loop.create_future()
            loop.call_later(_GATHER_S - since_s, self._go, loop)
        await self._turn

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._turn is not None
        self._last_s = loop.time()
        self._turn.set_result(None)
        self._turn = None


class Team:
    """``smtp.workers`` doors on the same addresses."""

    def __init__(
        self,
        config: Config,
        *,
        keep: Keep,
        all_news: Callable[[], News],
        calendars: Callable[[], Mapping[str, str]] = dict,
        worked: Callable[[int, float], None],
        count_refused: Callable[[Reply], None],
        clock: Clock,
        inherited: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self._config = config
        self._inherited = inherited
        self._keep = keep
        self._all_news = all_news
        self._calendars = calendars
        self._worked = worked
        self._count_refused = count_refused
        self._clock = clock
        self._bound: list[BoundAddress] = []
        self._places = places_of([listener.address for listener in config.smtp.listen])
        self._seats: Seats | None = None
        self._members: dict[int, _Member] = {}
        self._attending: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self._together = Together()
        self._bans = Bans(limit=config.smtp.auth_failures, ban_s=config.smtp.auth_ban)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The bound addresses in the order of the configuration, ports as they are; empty while nobody is there."""
        if not any(member.is_up for member in self._members.values()):
            return ()
        return tuple(address for bound in self._bound for address in bound.addresses)

    # -- starting
    async def start(self, *, handed: Handed | None = None) -> None:
        """Open every listener with all workers, or none. Raises: OSError (address, certificate), ValueError.

        *handed*: what the door before has handed over; whoever hands it closes it.
        """
        self._read_certificates(self._config)
        try:
            for place in self._places:
                if handed and place in handed:
                    self._bound.append(handed[place].copy())
                else:
                    self._bound.append(await bind_address(place[0], inherited=self._inherited))
            count = self._config.smtp.workers
            self._seats = Seats(count)
            first = [asyncio.get_running_loop().create_future() for _ in range(count)]
            self._attending = [
                asyncio.create_task(self._attend(number, up), name=f"worker {number + 1}")
                for number, up in enumerate(first)
            ]
            for trouble in await asyncio.gather(*first):
                if trouble:
                    raise OSError(f"a worker did not start: {trouble}")
        except BaseException:
            # the door before still answers by that name
            pairs = zip(self._places, self._bound, strict=False)
            self._bound = [replace(one, path=None) if handed and place in handed else one for place, one in pairs]
            await self.stop(0)
            raise
        log.info("listening", addresses=list(self.addresses), workers=count)

    @staticmethod
    def _read_certificates(config: Config) -> None:
        for listener in config.smtp.listen:
            if listener.tls != "off":
                build_context(listener.certificate or "", listener.private_key, legacy=listener.legacy)

    async def _attend(self, number: int, first: asyncio.Future[str]) -> None:
        """Keep one worker running until the team is closed; *first* hears how its first start went."""
        pause_s = _LEAST_PAUSE_S
        while not self._closing.is_set():
            began_s = self._clock.monotonic()
            try:
                how = await self._run_one(number, first)
            except Exception as error:
                if not isinstance(error, OSError):
                    log.exception("worker broke", doing="start")
                how = str(error) or type(error).__name__
                if not first.done():
                    first.set_result(how)
            if self._closing.is_set():
                return
            if self._clock.monotonic() - began_s >= _GOOD_LIFE_S:
                pause_s = _LEAST_PAUSE_S
            log.error("worker ended", worker=number + 1, how=how, again_in_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    async def _run_one(self, number: int, first: asyncio.Future[str]) -> str:
        """Start a worker and wait for its end; return how it was. Raises: OSError where none can be started."""
        assert self._seats is not None
        member = self._members[number] = await self._launch(number)
        trouble = await self._open(number, member)
        member.is_up = not trouble
        if not first.done():
            first.set_result(trouble)
        if not trouble:
            await member.channel.closed.wait()
        member.is_up = False
        member.channel.close()
        how = await member.ended(_END_S)
        if not self._closing.is_set():
            self._seats.leave(number)
        return f"{how}: {trouble}" if trouble else how

    async def _launch(self, number: int) -> _Member:
        """Start a process of this very program; it hears over the line what it is to do."""
        assert self._seats is not None
        ours, theirs = socket.socketpair()
        inherited = [theirs.fileno(), self._seats.fd]
        inherited += [one.fileno() for bound in self._bound for one in bound.sockets]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109  as the import system has it
        process = subprocess.Popen(  # noqa: ASYNC220, S603  returns when the process has begun, in a few milliseconds
            [sys.executable, "-P", "-m", "mailbridge.cli.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=inherited,
            # a terminal's Ctrl-C is for the process with the queue, which stops its workers in good order
            process_group=0,
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()
        ours.setblocking(False)
        _, channel = await asyncio.get_running_loop().create_unix_connection(
            lambda: Channel(answer=partial(self._answer, number), hear=self._hear), sock=ours
        )
        member = _Member(process, channel)
        if self._closing.is_set():
            channel.close()
        return member

    async def _open(self, number: int, member: _Member) -> str:
        """Let a new worker open its door, and follow what was reloaded meanwhile; return what went wrong."""
        assert self._seats is not None
        sent = self._config
        opening = Opening(
            config=needs_of_door(sent),
            worker=number,
            workers=sent.smtp.workers,
            news=self._all_news(),
            calendars=self._calendars(),
            seats_fd=self._seats.fd,
            listening_fds=tuple(tuple(one.fileno() for one in bound.sockets) for bound in self._bound),
        )
        trouble = await _order(member, "open", pickle.dumps(opening), limit_s=_START_S)
        while not trouble and sent is not self._config:
            sent = self._config
            trouble = await _order(member, "follow", pickle.dumps(needs_of_door(sent)), limit_s=_FOLLOW_S)
        # and what was learned meanwhile
        member.channel.tell("limits", _NEWS.pack(self._all_news()))
        member.channel.tell("calendars", self._calendars())
        return trouble

    # -- what workers say
    async def _answer(self, worker: int, _kind: str, value: Any) -> Any:
        """Keep a mail; there is no other question."""
        parcel, each, spent_s, cpu_s = value
        self._worked(worker, cpu_s)
        mail_id = None
        try:
            await self._together.wait()
            new = _NEW_MAIL.load(parcel)
            mail_id = new.id
            return pack_replies(await self._keep(new, each=each, spent_s=spent_s))
        except MailbridgeError as error:
            return pack_error(error)
        except Exception as error:
            log.exception("reception_failed", id=mail_id)
            return pack_error(error)

    def _hear(self, kind: str, value: Any) -> None:
        if kind == "log":
            logging_setup.pass_on(value)
        elif kind == "guessed":
            self._count_guess(value)
        else:
            self._count_refused(unpack_reply(value))

    def spread(self, news: News) -> None:
        """Let all workers know which limits have no room."""
        parcel = _NEWS.pack(news)
        for member in self._members.values():
            member.channel.tell("limits", parcel)

    def spread_calendars(self) -> None:
        """Let all workers know who is on duty when, as it was read last."""
        texts = self._calendars()
        for member in self._members.values():
            member.channel.tell("calendars", texts)

    def _count_guess(self, address: str) -> None:
        """Count a wrong password over all workers, and let all of them know when it was one too many."""
        if self._bans.count(address, asyncio.get_running_loop().time()):
            log.warning("banned", client=address, seconds=self._config.smtp.auth_ban)
            for member in self._members.values():
                member.channel.tell("ban", address)

    # -- changing and stopping
    async def reload(self, config: Config) -> None:
        """Let the workers follow *config*, whose ``smtp`` is as it was; one that cannot is replaced by one that does.

        Raises: OSError (certificate); then everything is as before.
        """
        self._read_certificates(config)
        self._config = config
        up = [member for member in self._members.values() if member.is_up]
        await asyncio.gather(*(self._follow(member, config) for member in up))

    async def _follow(self, member: _Member, config: Config) -> None:
        if await _order(member, "follow", pickle.dumps(needs_of_door(config)), limit_s=_FOLLOW_S):
            member.process.kill()

    def hand_over(self) -> dict[tuple[str, int], BoundAddress]:
        """Return copies of what each listener has bound, for a door that takes this one's place."""
        return {place: bound.copy() for place, bound in zip(self._places, self._bound, strict=True)}

    async def leave(self, kept: Collection[tuple[str, int]] = ()) -> None:
        """Take no more connections, and return when no worker does; *kept*: listeners another door has taken over."""
        self._closing.set()
        for place, bound in zip(self._places, self._bound, strict=True):
            (replace(bound, path=None) if place in kept else bound).close()
        self._bound.clear()
        await asyncio.gather(*(self._send_off(one) for one in self._up()))

    async def _send_off(self, member: _Member) -> None:
        if await _order(member, "leave", None, limit_s=_FOLLOW_S):
            member.process.kill()

    def _up(self) -> list[_Member]:
        return [member for member in self._members.values() if member.is_up]

    async def retire(self, limit_s: float, *, drain_s: float) -> None:
        """After ``leave``: let sessions come to their own end, at most for *limit_s*, then ``stop``."""
        members = self._up()
        await asyncio.gather(*(_order(one, "retire", limit_s, limit_s=limit_s + _STOP_LATE_S) for one in members))
        await self.stop(drain_s)

    async def stop(self, drain_s: float = 10.0) -> None:
        """Close the addresses, let the workers finish as a ``Door`` does, and return when their processes have ended.

        May be called again.
        """
        self._closing.set()
        # the workers' own copies are what still listens, until they hear of it
        for bound in self._bound:
            bound.close()
        await asyncio.gather(*(self._dismiss(member, drain_s) for member in list(self._members.values())))
        await asyncio.gather(*self._attending, return_exceptions=True)
        self._bound.clear()
        self._members.clear()
        self._attending.clear()
        if self._seats is not None:
            self._seats.close()
            self._seats = None

    async def _dismiss(self, member: _Member, drain_s: float) -> None:
        if await _order(member, "stop", drain_s, limit_s=drain_s + _STOP_LATE_S):
            member.process.kill()
        member.channel.close()
        await member.channel.settle(_END_S)
        await member.ended(_END_S)


async def _order(member: _Member, kind: str, value: Any, *, limit_s: float) -> str:
    """Tell a worker what to do and return what went wrong, or nothing."""
    try:
        async with asyncio.timeout(limit_s):
            return str(await member.channel.ask(kind, value))
    except ChannelClosed:
        return "it ended"
    except TimeoutError:
        return f"no answer within {limit_s:.0f} s"
