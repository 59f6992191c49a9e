"""One worker: SMTP sessions, reading and composing; what is to be stored goes to the process with the queue.

It opens what that process has bound, does what it is told over the line between them, and ends when the line does:
a worker whose queue is gone can promise nothing, so it puts its clients off and leaves.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from mailbridge import lean
from mailbridge import log as logging_setup
from mailbridge.clock import Clock, SystemClock
from mailbridge.config.model import Config
from mailbridge.errors import IntakeError, StoreError
from mailbridge.front import build_doorman, build_reader
from mailbridge.limiter import Known, News, read_limits
from mailbridge.loops import Loop
from mailbridge.model.mail import Client, ReceivedMail, Recipient
from mailbridge.model.reply import Reply
from mailbridge.people.calendar import load_shifts
from mailbridge.people.rota import Calendar, Shift
from mailbridge.queue.contract import NewMail
from mailbridge.smtp.bans import Bans
from mailbridge.smtp.passwords import UserPasswords
from mailbridge.smtp.server import Door
from mailbridge.smtp.site import Limits
from mailbridge.workers.channel import Channel, ChannelClosed
from mailbridge.workers.parcels import pack_reply, packing_of, unpack_answer
from mailbridge.workers.seats import Courtesy, Seats, SharedRoll

log = structlog.get_logger()

#: originals on their way to the queue and not yet answered; further mails wait here until it has caught up
_MOST_UNANSWERED_BYTES = 32 * 1024 * 1024
#: when the queue is gone: for the clients to hear of it, and for the worst case
_LAST_WORDS_S, _END_S = 1.0, 10
#: password checks at a time, all workers together; each takes 64 MiB
_PASSWORD_CHECKS = 2
_NEW_MAIL = packing_of(NewMail)
_NEWS = packing_of(News)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a worker needs to know to begin."""

    #: what the door and the reading need of it; no gateway, no queue, no smarthost
    config: Config
    #: number of this worker, from 0, and how many there are
    worker: int
    workers: int
    #: which limits have no room
    news: News
    #: what is known of each rota's calendar, as ``people.calendar.dump_shifts`` writes it
    calendars: Mapping[str, str]
    #: file descriptors of the shared numbers of sessions, and of the sockets of each listener
    seats_fd: int
    listening_fds: tuple[tuple[int, ...], ...]


class Allowance:
    """Room for so many bytes: who finds none left waits, first come first served. One alone may be any size."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._taken_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def _has_room(self, size_bytes: int) -> bool:
        return not self._taken_bytes or self._taken_bytes + size_bytes <= self._most_bytes

    async def take(self, size_bytes: int) -> None:
        """Wait for room and take it; ``give`` must follow."""
        if not self._waiting and self._has_room(size_bytes):
            self._taken_bytes += size_bytes
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        await turn

    def give(self, size_bytes: int) -> None:
        """Give room back."""
        self._taken_bytes -= size_bytes
        while self._waiting and self._has_room(self._waiting[0][0]):
            size_bytes, turn = self._waiting.popleft()
            if not turn.done():
                self._taken_bytes += size_bytes
                turn.set_result(None)


class _Front:
    """What this worker's door talks to: doorman and reader here, the queue at the other end of *channel*."""

    def __init__(self, config: Config, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._allowance = Allowance(_MOST_UNANSWERED_BYTES)
        #: mails read since the start
        self.mails = 0
        self._shifts: dict[str, tuple[Shift, ...]] = {}
        self._calendars: dict[str, Calendar] = {}
        self.follow(config)

    def follow(self, config: Config) -> None:
        """Judge and read as *config* has it from now on. Raises: what a bad configuration makes the parts raise."""
        self._calendars = {name: Calendar(otherwise=rota.otherwise) for name, rota in config.rotas.items() if rota.ics}
        self._know_shifts()
        doorman = build_doorman(config, calendars=self._calendars, clock=self._clock)
        self._doorman, self._reader = doorman, build_reader(config, doorman)
        self.known = Known(read_limits(config), self._clock)

    def hear_calendars(self, texts: Mapping[str, str]) -> None:
        """Know who is on duty when, as the process that reads the calendars has it."""
        self._shifts = {name: load_shifts(text) for name, text in texts.items()}
        self._know_shifts()

    def _know_shifts(self) -> None:
        for name, calendar in self._calendars.items():
            calendar.known = self._shifts.get(name, ())

    def _count_refused(self, refusal: Reply) -> None:
        self._channel.tell("refused", pack_reply(refusal))

    def sender(self, address: str, client: Client) -> str:
        try:
            sender = self._doorman.sender(address, client)
            self.known.ask_sender(sender)
        except IntakeError as error:
            self._count_refused(error.reply)
            raise
        return sender

    def recipient(self, address: str, client: Client) -> Recipient:
        try:
            recipient = self._doorman.recipient(address, client)
            self.known.ask_recipient({one.phone for one in recipient.each()}, client)
        except IntakeError as error:
            self._count_refused(error.reply)
            raise
        return recipient

    async def receive(self, mail: ReceivedMail, *, each: bool) -> Sequence[Reply]:
        began = self._clock.monotonic()
        self.mails += 1
        try:
            new, counts = self._reader.read(mail)
        except IntakeError as error:
            self._count_refused(error.reply)
            raise
        size_bytes = len(new.original)
        await self._allowance.take(size_bytes)
        try:
            parcel = _NEW_MAIL.dump(new)
            spent_s = self._clock.monotonic() - began
            answer = await self._channel.ask("keep", (parcel, counts if each else None, spent_s, time.process_time()))
        except ChannelClosed:
            raise StoreError("the process with the queue is gone") from None
        finally:
            self._allowance.give(size_bytes)
        return unpack_answer(answer)


class _ReportedBans(Bans):
    """Tells of each wrong password, and bans whom the process with the queue, which hears of all of them, says."""

    def __init__(self, channel: Channel, *, limit: int, ban_s: float) -> None:
        super().__init__(limit=limit, ban_s=ban_s)
        self._channel = channel

    def count(self, address: str, now: float) -> bool:  # noqa: ARG002  the count is elsewhere
        self._channel.tell("guessed", address)
        return False


class _LinesToQueue:
    """Hands the log's lines to the process with the queue, which writes them between its own."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def msg(self, line: str) -> None:
        self._channel.tell("log", line)

    debug = info = warning = error = critical = msg


class _Worker:
    """The worker's side of the line: it is told to open, to follow a new configuration, and to stop."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.channel = Channel(answer=self._obey, hear=self._hear)
        self._bans: Bans | None = None
        self._front: _Front | None = None
        self._door: Door | None = None
        self._passwords: UserPasswords | None = None
        self._memory: asyncio.Task[None] | None = None
        #: it was told to
        self.is_stopped = False

    async def _obey(self, kind: str, value: Any) -> str:
        """Carry out what the process with the queue wants; return what went wrong, or nothing."""
        try:
            if kind == "open":
                await self._open(pickle.loads(value))  # noqa: S301  of the process that started this one
            elif kind == "follow":
                self._follow(pickle.loads(value))  # noqa: S301  as above
            elif kind == "leave":
                self.leave()
            elif kind == "retire":
                await self.retire(value)
            elif kind == "stop":
                self.is_stopped = True
                await self.stop(value)
        except Exception as error:
            log.exception("worker broke", doing=kind)
            return str(error) or type(error).__name__
        return ""

    def _hear(self, kind: str, value: Any) -> None:
        """Learn whom to ban, which limits have no room, or who is on duty; before the door is open, nobody asks."""
        if self._front is None or self._bans is None:
            return
        if kind == "ban":
            self._bans.ban(value, asyncio.get_running_loop().time())
        elif kind == "calendars":
            self._front.hear_calendars(value)
        else:
            self._front.known.hear(_NEWS.unpack(value))

    async def _open(self, opening: Opening) -> None:
        config = opening.config
        self._configure_log(config)
        self._front = front = _Front(config, self.channel, self._clock)
        front.known.hear(opening.news)
        front.hear_calendars(opening.calendars)
        seats = Seats(opening.workers, opening.seats_fd)
        self._passwords = UserPasswords(config.users, workers=max(1, _PASSWORD_CHECKS // opening.workers))
        self._bans = _ReportedBans(self.channel, limit=config.smtp.auth_failures, ban_s=config.smtp.auth_ban)
        limits = Limits()
        roll = SharedRoll(max_sessions=config.smtp.max_connections, seats=seats, worker=opening.worker)
        self._door = Door(
            config.smtp, reception=front, doorman=front, passwords=self._passwords, clock=self._clock,
            limits=replace(limits, buffered_bytes=limits.buffered_bytes // opening.workers),
            roll=roll, bans=self._bans,
        )  # fmt: skip
        await self._door.start([[socket.socket(fileno=fd) for fd in fds] for fds in opening.listening_fds])
        Courtesy(roll, pause=self._door.pause, resume=self._door.resume)
        lean.settle()
        duty = Loop("memory", lean.GiveBack(lambda: front.mails), clock=self._clock)
        self._memory = asyncio.create_task(duty.run(), name="memory")

    def _configure_log(self, config: Config) -> None:
        logging_setup.configure(
            fmt=config.log.format, level=config.log.level, phones=config.log.phones, lines=_LinesToQueue(self.channel)
        )

    def _follow(self, config: Config) -> None:
        assert self._front is not None
        assert self._door is not None
        assert self._passwords is not None
        self._door.reload_certificates()
        self._front.follow(config)
        self._passwords.replace(config.users)
        self._configure_log(config)

    def leave(self) -> None:
        """Take no more connections."""
        if self._door is not None:
            self._door.close()

    async def retire(self, limit_s: float) -> None:
        """Return when nobody is left, or after *limit_s*."""
        if self._door is not None:
            await self._door.wait_for_nobody(limit_s)

    async def stop(self, drain_s: float) -> None:
        """Close the door as ``Door.stop`` does."""
        if self._door is not None:
            await self._door.stop(drain_s)
        if self._passwords is not None:
            self._passwords.close()


async def run_worker(fd: int) -> None:
    """Work for the process at the other end of the socket *fd* until it hangs up or ends."""
    worker = _Worker()
    await asyncio.get_running_loop().create_unix_connection(lambda: worker.channel, sock=socket.socket(fileno=fd))
    await worker.channel.closed.wait()
    # whatever still hangs: no worker outlives its queue, or the next one could not have the port
    signal.alarm(_END_S)
    if not worker.is_stopped:
        # the other process may have left its stdout behind
        logging_setup.configure()
        log.error("worker alone", because="the process with the queue ended: clients are put off, and this one ends")
        await worker.stop(_LAST_WORDS_S)


def needs_of_door(config: Config) -> Config:
    """Return *config* without what a worker, which reads what strangers write, has no use for: accounts and places."""
    return config.model_copy(
        update={
            "gateways": {},
            "bounce": type(config.bounce).model_validate({"from": config.bounce.from_}),
            "queue": config.queue.model_copy(update={"url": ""}),
            # that there is a calendar, not where
            "rotas": {
                name: rota.model_copy(update={"ics": "elsewhere"}) if rota.ics else rota
                for name, rota in config.rotas.items()
            },
        }
    )
