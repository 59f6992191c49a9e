"""What the store says of a mail that would come in now: behind ``explain``.

It asks by the pure functions that ``Store.put`` and ``Store.claim`` decide with, and changes nothing; between this look
and the mail somebody else may come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailbridge.model.limits import Over, Throttle, Wanted
from mailbridge.model.state import State
from mailbridge.queue.contract import NewMail, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What would become of the messages of a mail, by their places in it."""

    #: the id of the message that it repeats
    repeats: Mapping[int, str] = field(default_factory=dict)
    #: the rate of its client, user or sender that has no room for the mail: it is refused for now
    refused: Over | None = None
    #: the rate or budget for which a message waits
    waits: Mapping[int, Over] = field(default_factory=dict)


async def look_ahead(store: Store, new: NewMail, throttle: Throttle, *, now: datetime) -> Outlook:
    """Return what would become of *new*, which limits *throttle* let leave. Raises: StoreError."""
    repeats = {}
    for place, message in enumerate(new.messages):
        original = await store.owner_of([key.key for key in message.dedupe], now=now)
        if original is not None:
            repeats[place] = original
    fresh = {place: message for place, message in enumerate(new.messages) if place not in repeats}
    if not fresh:
        return Outlook(repeats=repeats)
    counters = await store.counters([one.key for one in new.allowances])
    refusals = [one.ask(counters.get(one.key, ""), now, len(fresh)) for one in new.allowances]
    if over := max((one for one in refusals if one is not None), key=lambda one: one.until, default=None):
        return Outlook(repeats=repeats, refused=over)
    wanted = [
        Wanted(id=str(place), phone=one.message.phone, user=new.user, parts=one.message.parts)
        for place, one in fresh.items()
        if one.state is State.QUEUED
    ]
    counters = await store.counters(throttle.keys(wanted, now))
    held = throttle.hold(wanted, counters, now)
    return Outlook(repeats=repeats, waits={int(place): over for place, over in held.items()})
