"""The duty of what waits for others: when a gathering's time has come, one message goes out for all of them.

Decides between the store's rows and the writer of digests, which is handed in; what it decided is one transaction, so
a bridge that dies on the way finds the gathering as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from mailbridge.clock import Clock
from mailbridge.model.ids import message_id
from mailbridge.model.message import Message
from mailbridge.model.state import State
from mailbridge.queue.contract import NewMail, NewMessage, Store
from mailbridge.queue.gathering import release, swallow
from mailbridge.queue.kept import Closing, DueGathering, Gathering, Waiting

log = structlog.get_logger()

_AT_ONCE = 50
#: what a node gathered that died is found by another after this
_LOOK_AGAIN_S = 30.0
#: one digest stands for no more; the rest of a greater storm is the next one's
MOST = 5000

#: a message, and whom of those who wait it stands for, by their places
Portion = tuple[Message, Sequence[int]]
#: the messages that stand for those who wait, oldest first, since then; none: they cancel each other
Write = Callable[[Sequence[Waiting], datetime, datetime], Sequence[Portion]]
#: until when the quiet hours of these names hold at that time; None: they do not
StillQuiet = Callable[[Sequence[str], datetime], datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherSettings:
    """What the configuration in force says."""

    write: Write
    still_quiet: StillQuiet
    lifetime_s: float
    #: users whose messages wait for others' of their own alone
    apart: frozenset[str] = frozenset()


class Gatherer:
    """Closes gatherings when they are due; looks each second while there is one, now and then while there is none.

    Of several nodes each closes what is due: the store lets the first one do it.
    """

    idle_s = 1.0

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        settings: GatherSettings,
        new_id: Callable[[float], str],
        wake: Callable[[], None],
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._store = store
        self._clock = clock
        #: exchanged by a reload
        self.settings = settings
        self._new_id = new_id
        self._wake = wake
        self._failpoint = failpoint
        #: nothing waits: nobody has to look until then, unless another node's may be left
        self._is_empty = False
        self._look_again_s = 0.0

    def something_waits(self) -> None:
        """Say that there may be a gathering now."""
        self._is_empty = False

    async def step(self) -> int:
        """Close what is due; return how many gatherings that were."""
        if self._is_empty and self._clock.monotonic() < self._look_again_s:
            return 0
        now = self._clock.now()
        due = await self._store.due_gatherings(now=now, limit=_AT_ONCE, most=MOST)
        if not due:
            # said before it is asked, so that one who comes meanwhile is not forgotten
            self._is_empty = True
            self._look_again_s = self._clock.monotonic() + _LOOK_AGAIN_S
            self._is_empty = await self._store.next_gathering_at() is None and self._is_empty
            return 0
        closed = 0
        for one in due:
            closing = decide(one, self.settings, now=now, new_id=self._new_id, user=await self._user_of(one))
            self._failpoint("before a gathering closes")
            if await self._store.close_gathering(closing):
                closed += 1
                _log(one.gathering, closing)
            self._failpoint("after a gathering closed")
        if closed:
            self._wake()
        return closed

    async def _user_of(self, due: DueGathering) -> str | None:
        """Return whose gathering it is, where its user's are gathered apart from the others'."""
        if not self.settings.apart or not due.waiting:
            return None
        mail = await self._store.get_mail(due.waiting[-1].message.mail_id)
        return mail.user if mail is not None and mail.user in self.settings.apart else None


def decide(
    due: DueGathering,
    settings: GatherSettings,
    *,
    now: datetime,
    new_id: Callable[[float], str],
    user: str | None = None,
) -> Closing:
    """Decide what becomes of a gathering that is due; pure. *user*: whose it is, where they are gathered apart."""
    gathering, waiting = due.gathering, due.waiting
    closing = Closing(key=gathering.key, opened_at=gathering.opened_at, at=now)
    if (until := _wait_on(due, settings, now)) is not None:
        # opened anew where the clock was set back, else as it was
        opened_at = min(gathering.opened_at, now)
        return replace(closing, then=replace(gathering, opened_at=opened_at, due_at=until))
    if not waiting:
        return closing
    then = _next(gathering, now, is_more=len(waiting) == MOST)
    if len(waiting) == 1 and not _has_digest_of_one(waiting[0]):
        return replace(closing, changes=(release(waiting[0].message.id, at=now),), then=then)
    began_at = min(waiting[0].message.created_at, now)
    portions = settings.write(waiting, began_at, now)
    if not portions:
        changes = tuple(swallow(one.message.id, "", count=len(waiting), at=now) for one in waiting)
        return replace(closing, changes=changes, then=then)
    mail = _mail(waiting, portions, settings, now=now, id_=new_id(now.timestamp()), user=user)
    changes = tuple(
        swallow(waiting[place].message.id, new.id, count=len(places), at=now)
        for new, (_, places) in zip(mail.messages, portions, strict=True)
        for place in places
    )
    heir = next((one.message.id for one in waiting if one.ending), "")
    return replace(closing, changes=changes, mail=mail, then=then, heir=heir)


def _has_digest_of_one(one: Waiting) -> bool:
    """Tell whether one that waited alone is told in the words of a digest: that it came again, and when."""
    return one.is_repeat


def _wait_on(due: DueGathering, settings: GatherSettings, now: datetime) -> datetime | None:
    """Return until when it waits on; None: its time has come."""
    gathering, waiting = due.gathering, due.waiting
    if gathering.digest is None:
        return settings.still_quiet(gathering.quiet, now) if waiting else None
    if not waiting or not all(one.is_repeat for one in waiting) or gathering.opened_at > now:
        return None
    # nothing new: repeats wait for something to be told with
    told_at = waiting[0].message.created_at + timedelta(seconds=gathering.digest.repeat_s)
    return min(now + timedelta(seconds=gathering.window_s), told_at) if told_at > now else None


def _next(gathering: Gathering, now: datetime, *, is_more: bool) -> Gathering | None:
    """Return the window after one in which something waited: a storm's next one is longer."""
    digest = gathering.digest
    if digest is None:
        return replace(gathering, opened_at=now, due_at=now) if is_more else None
    window_s = min(2 * gathering.window_s, digest.longest_s)
    # who came too late for this one has waited as long
    due_at = now if is_more else now + timedelta(seconds=window_s)
    return replace(gathering, opened_at=now, due_at=due_at, window_s=window_s)


def _mail(
    waiting: Sequence[Waiting], portions: Sequence[Portion], settings: GatherSettings, *, now: datetime, id_: str,
    user: str | None,
) -> NewMail:  # fmt: skip
    messages = tuple(
        NewMessage(
            id=message_id(id_, number), message=message, recipient=waiting[-1].message.recipient,
            detail={
                "digest_of": len(places), "first": waiting[places[0]].message.id,
                "last": waiting[places[-1]].message.id,
            },
            next_attempt_at=now, expires_at=now + timedelta(seconds=settings.lifetime_s),
        )
        for number, (message, places) in enumerate(portions, start=1)
    )  # fmt: skip
    return NewMail(
        id=id_, received_at=now, sender="", client="local", user=user, message_id="", subject="", envid=None, ret=None,
        reportable=False, original=b"", size_bytes=0, messages=messages,
    )  # fmt: skip


def _log(gathering: Gathering, closing: Closing) -> None:
    for change in closing.changes:
        if change.to is State.SUPPRESSED:
            log.info("suppressed", id=change.message_id, rule=gathering.rule, **change.detail)
        else:
            log.info("queued", id=change.message_id, because=change.detail.get("because"))
    for new in closing.mail.messages if closing.mail is not None else ():
        log.info(
            "queued", id=new.id, phone=new.message.phone, parts=new.message.parts,
            alphabet=new.message.alphabet.value, digest_of=new.detail["digest_of"],
        )  # fmt: skip
