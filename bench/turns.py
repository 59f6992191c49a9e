"""Turns: one load of one server, and the rounds in which several servers take theirs one after the other.

All servers of a comparison run from the start. A turn ends when what it brought is done with, so that no backlog weighs
on the next one's; what is compared are the turns of one round, a few seconds apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import load, rig

Say = Callable[[str], None]

#: mails of the first trial, and of the shortest turn
TRIAL_MAILS = 320
#: no turn has more, however fast the server is
MOST_MAILS = 40_000
_REST_S = 0.3


@dataclass(frozen=True)
class Turn:
    """One load of one server."""

    mails: int
    #: until the last 250
    accepted_s: float
    #: until the gateway had the last message; None where nothing is sent on
    sent_s: float | None
    #: of all the server's processes, until then
    cpu_s: float
    requests: int | None
    rss_mb: float

    @property
    def rate(self) -> float:
        """Mails taken in a second."""
        return self.mails / self.accepted_s

    @property
    def sent_rate(self) -> float:
        """Messages taken and sent in a second."""
        assert self.sent_s is not None
        return self.mails / self.sent_s

    def as_json(self) -> dict[str, Any]:
        """Return it with digits enough."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Contestant:
    """A server under load."""

    servers: Sequence[rig.Server]
    #: where its messages arrive; None where it sends none
    gateway: rig.Gateway | None = None
    #: called after each turn
    tidy: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Pressure:
    """How a server is loaded."""

    #: about how long the accepting part of a turn takes
    seconds: float
    rounds: int
    sessions: int = 32
    client: str = "auto"


def take_turn(one: Contestant, pressure: Pressure, *, mails: int, keep: bool) -> Turn:
    """Load *one* with about *mails* mails and wait until it is done with them."""
    before = one.gateway.seen() if one.gateway else {}
    cpu_s, start = _cpu_s(one), time.monotonic()
    ports = [server.port for server in one.servers]
    count, accepted_s = load.run(*ports, mails=mails, sessions=pressure.sessions, keep=keep, client=pressure.client)
    sent_s = requests = None
    rss_mb = sum(server.rss_mb() for server in one.servers)
    if one.gateway:
        one.gateway.wait_for(before["messages"] + count)
        sent_s = time.monotonic() - start
        requests = one.gateway.seen()["requests"] - before["requests"]
    # what is settled after the answer of the last request belongs to the turn
    time.sleep(_REST_S)
    turn = Turn(count, accepted_s, sent_s, _cpu_s(one) - cpu_s, requests, rss_mb)
    one.tidy()
    return turn


def take_rounds(
    field: Mapping[str, Contestant], pressure: Pressure, *, keep: bool, say: Say
) -> dict[str, list[dict[str, Any]]]:
    """Let each contestant take a turn in each round; return their turns by name, as JSON has them."""
    sizes = {name: _size(one, pressure, keep=keep) for name, one in field.items()}
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in field}
    for number in range(pressure.rounds):
        rates = []
        for name, one in field.items():
            turn = take_turn(one, pressure, mails=sizes[name], keep=keep)
            taken[name].append(turn.as_json())
            rates.append(f"{name} {turn.rate:.0f}" + (f"/{turn.sent_rate:.0f}" if turn.sent_s else ""))
        say(f"round {number + 1} of {pressure.rounds}, {MODES[keep]}: " + ", ".join(rates))
    return taken


def _size(one: Contestant, pressure: Pressure, *, keep: bool) -> int:
    """Return how many mails fill a turn, from two trials: a few mails tell little of how many do."""
    mails = TRIAL_MAILS
    for _ in range(2):
        trial = take_turn(one, pressure, mails=mails, keep=keep)
        # where it sends on slowly, half as many again as it can send in that time: nobody waits for a long queue
        rate = trial.rate if one.gateway is None else min(trial.rate, 1.5 * trial.sent_rate)
        mails = int(max(TRIAL_MAILS, min(MOST_MAILS, rate * pressure.seconds)))
    return mails


#: by whether connections are kept
MODES = {False: "a connection each", True: "kept connections"}


def _cpu_s(one: Contestant) -> float:
    return sum(server.cpu_s() for server in one.servers)
