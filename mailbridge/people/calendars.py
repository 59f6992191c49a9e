"""Reads the rotas' calendars now and then and keeps the last good ones, over restarts, too.

I/O stands here: a file or an address is read, a child process makes shifts of it, the store keeps them. Whoever asks
who is on duty asks what was read before; no alert waits for a calendar.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import structlog

from mailbridge.clock import Clock
from mailbridge.config.model_people import Rota as RotaSettings
from mailbridge.errors import StoreError
from mailbridge.people.calendar import dump_shifts, load_shifts
from mailbridge.people.rota import Calendar, Shift
from mailbridge.queue.contract import Store
from mailbridge.queue.kept import KeptCalendar

log = structlog.get_logger()

#: a year of events with long descriptions is some hundred KB
MAX_ICS_BYTES = 4_000_000
#: what is read lies this far back, for gaps, and this far ahead, for the time when nothing can be read
_BACK = timedelta(days=60)
_AHEAD = timedelta(days=400)
_FETCH_S = 20.0
_MAX_REDIRECTS = 5
_EXPAND_S = 20.0
#: a calendar that could not be read is asked again sooner
_AGAIN_S = 60.0


class CalendarTrouble(Exception):
    """A calendar that could not be read, in fixed words that repeat no address."""


#: the bytes at a path or an address; raises CalendarTrouble
Fetch = Callable[[str], Awaitable[bytes]]


class Calendars:
    """The duty of reading; also the book of what was read, one ``Calendar`` for each rota that has one."""

    #: it looks so often whether a calendar is due
    idle_s = 10.0

    def __init__(
        self, *, store: Store, clock: Clock, fetch: Fetch | None = None, knows: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._store = store
        self._clock = clock
        self._fetch = fetch or fetch_ics
        #: tells whether a name of a calendar is somebody
        self.knows = knows
        self._settings: dict[str, RotaSettings] = {}
        self._due_s: dict[str, float] = {}
        self._told: dict[str, tuple[str, ...]] = {}
        self.by_rota: dict[str, Calendar] = {}
        #: called when something else is known of a calendar
        self.changed: Callable[[], None] = lambda: None

    def texts(self) -> Mapping[str, str]:
        """Return what is known of each rota's calendar, as ``dump_shifts`` writes it."""
        return {name: dump_shifts(calendar.known) for name, calendar in self.by_rota.items()}

    def configure(self, rotas: Mapping[str, RotaSettings]) -> Mapping[str, Calendar]:
        """Take over the rotas of a configuration; what was read of a source that stays is kept. Returns the calendars.

        The mapping returned is a new one: what an earlier configuration was built on does not change.
        """
        wanted = {name: settings for name, settings in rotas.items() if settings.ics}
        calendars = {}
        for name, settings in wanted.items():
            calendar = calendars[name] = Calendar(otherwise=settings.otherwise)
            if name in self.by_rota and self._settings[name].ics == settings.ics:
                calendar.known = self.by_rota[name].known
            self._due_s[name] = self._clock.monotonic()
        self._settings, self.by_rota = wanted, calendars
        return calendars

    async def load(self) -> None:
        """Take what was kept in the store for those of which nothing was read yet. Raises StoreError."""
        if not self._settings:
            return
        for kept in await self._store.calendars():
            settings = self._settings.get(kept.rota)
            if settings is None or kept.source != _source(settings) or self.by_rota[kept.rota].known:
                continue
            try:
                self.by_rota[kept.rota].known = load_shifts(kept.shifts)
            except ValueError:
                log.warning("calendar not kept well", rota=kept.rota)
        self.changed()

    async def step(self) -> int:
        """Read what is due. A calendar that cannot be read leaves what was read before."""
        now_s = self._clock.monotonic()
        due = [name for name in self._settings if self._due_s[name] <= now_s]
        await asyncio.gather(*(self._read(name) for name in due))
        return 0

    async def _read(self, name: str) -> None:
        settings, calendar = self._settings[name], self.by_rota[name]
        now = self._clock.now()
        self._due_s[name] = self._clock.monotonic() + min(settings.refresh, _AGAIN_S)
        try:
            text = await expand(await self._fetch(settings.ics), now=now, timezone=settings.timezone)
            shifts = load_shifts(text)
        except (CalendarTrouble, ValueError) as trouble:
            log.warning("calendar not read", rota=name, because=str(trouble), kept=len(calendar.known))
            return
        if calendar.known != shifts:
            calendar.known = shifts
            self.changed()
        self._due_s[name] = self._clock.monotonic() + settings.refresh
        self._tell_strangers(name, shifts)
        kept = KeptCalendar(rota=name, source=_source(settings), shifts=text, read_at=now)
        try:
            await self._store.keep_calendar(kept)
        except StoreError as error:
            log.warning("store trouble", doing="calendars", because=str(error))

    def _tell_strangers(self, name: str, shifts: Iterable[Shift]) -> None:
        """Log whom nobody knows, once for each change of them."""
        who = {one for shift in shifts for one in shift.who}
        strangers = tuple(sorted(one for one in who if not self.knows(one)))
        if strangers and self._told.get(name) != strangers:
            log.warning("calendar names nobody", rota=name, names=list(strangers[:20]))
        self._told[name] = strangers


async def load_calendars(rotas: Mapping[str, RotaSettings], store: Store, clock: Clock) -> Mapping[str, Calendar]:
    """Return the calendars of *rotas* as the running bridge last read them. Raises StoreError."""
    calendars = Calendars(store=store, clock=clock)
    found = calendars.configure(rotas)
    await calendars.load()
    return found


def _source(settings: RotaSettings) -> str:
    """Return what tells the calendars of two addresses apart, and of two zones: their whole days differ."""
    return hashlib.sha256(f"{settings.ics}\0{settings.timezone}".encode()).hexdigest()[:32]


async def expand(ics: bytes, *, now: datetime, timezone: str) -> str:
    """Make shifts of a calendar in a process of its own, ended where it takes too long. Raises: CalendarTrouble."""
    since, until = (now - _BACK).isoformat(), (now + _AHEAD).isoformat()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mailbridge.people.calendar", since, until, timezone,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_EXPAND_S):
            out, _ = await child.communicate(ics)
    except TimeoutError as error:
        raise CalendarTrouble("its repetitions are endless") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise CalendarTrouble("not a calendar")
    return out.decode()


async def fetch_ics(place: str) -> bytes:
    """Return the bytes at a path or an address. Raises: CalendarTrouble."""
    if "://" not in place:
        return await asyncio.to_thread(_read_file, place)
    limits = aiohttp.ClientTimeout(total=_FETCH_S, sock_connect=5.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
            session.get(place, max_redirects=_MAX_REDIRECTS) as response,
        ):
            if response.status != 200:
                raise CalendarTrouble(f"HTTP {response.status}")
            return await _read_bounded(response)
    except TimeoutError as error:
        raise CalendarTrouble("timed out") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # its own text may hold the address, which may be a secret
        raise CalendarTrouble(f"not fetched ({type(error).__name__})") from error


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    chunks, size_bytes = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > MAX_ICS_BYTES:
            raise CalendarTrouble("too big")
    return b"".join(chunks)


def _read_file(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_ICS_BYTES + 1)
    except OSError as error:
        raise CalendarTrouble(f"file not read ({error.strerror})") from error
    if len(content) > MAX_ICS_BYTES:
        raise CalendarTrouble("too big")
    return content
