"""The real delivery on the store in memory against model gateways, in every order hypothesis can think of.

What may happen are the rules below; what must hold stands in ``tests/support/model.py``.
``scripts/model-test --steps 1000000`` makes a long run of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mailbridge.admin import Action
from mailbridge.delivery import decide, receipts
from mailbridge.queue.memory import MemoryStore
from tests.support.model import Model
from tests.support.model_gateway import (
    DELIVERED,
    ENDS,
    FAILURES,
    LATEST_ARRIVAL_S,
    PASSED_ON,
    UNDELIVERABLE,
    WAYS,
    WELL,
    Copy,
)
from tests.support.model_store import AFTERWARDS, FALLIBLE

STEPS_AT_ONCE = 50
_STEPS = 3000
#: few, so that messages to one phone meet
PHONES = [f"+7999000000{n}" for n in range(1, 4)]
#: half of what is drawn is well: else nothing would ever come through
_WAY = st.sampled_from([*WAYS, *[WELL] * len(WAYS)])
_DEATHS = (
    "before intent", "after intent", "after answer", "after settle", "before callback commit", "after callback commit",
)  # fmt: skip
#: mostly the newest
_INDEX = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 5, 7])
#: what happens to the process, the disk and the clock, each drawn with what goes with it
_EVENTS = (
    *[("kill", None)] * 6, *(("death", point) for point in _DEATHS), *[("stop", None)] * 4, ("reload", None),
    *(("fail", method) for method in (*FALLIBLE, *AFTERWARDS)),
    *(("clock", seconds) for seconds in (3600, -3600, 60, -60, 150, 2 * 86400, -10 * 365 * 86400)),
)  # fmt: skip
#: another SMS, however the first ended, is what ``resend`` is for: nothing here could tell it from a double
_ACTIONS = tuple(action for action in Action if action is not Action.RESEND)
_VERBS = (*_ACTIONS, *_ACTIONS, "reply", "probe", "suspend", "resume")


class DeliveryMachine(RuleBasedStateMachine):
    """Events in any order; after each the invariants hold, and at the end everything has ended.

    Hypothesis draws all rules alike, so what should be rare shares a rule.
    """

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        # what it would say in a long run fills memory
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.loop = asyncio.new_event_loop()
        self.model = Model()

    @initialize(
        on_unknown=st.sampled_from(["hold", "fail", "retry"]),
        poll_s=st.sampled_from([30.0, 30.0, 0.0]),
        gateways=st.integers(1, 2),
        keep_s=st.sampled_from([600, 90 * 86400]),
    )
    def begin(self, **options: Any) -> None:
        """A bridge starts."""
        self.model = Model(**options)
        self.run(self.model.up())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* in the machine's own loop."""
        self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Let everything settle, and look at the end."""
        try:
            if not self.model.violations:
                self.run(self.model.settle())
                self.model.check()
        finally:
            self.run(self.model.close())
            self.loop.close()
            structlog.reset_defaults()

    @invariant()
    def holds(self) -> None:
        """Nothing is wrong so far."""
        type(self).steps += 1
        self.model.check()

    @rule(
        phones=st.lists(st.sampled_from(PHONES), min_size=1, max_size=3),
        lifetime_s=st.sampled_from([60, 240, 1800, 86400]),
        wanted_id=st.sampled_from([None, None, None, "7"]),
        notify=st.sampled_from([None, frozenset({"SUCCESS", "FAILURE"}), frozenset({"NEVER"})]),
        waits=st.booleans(),
        ways=st.lists(_WAY, min_size=1, max_size=4),
        delay_s=st.integers(1, LATEST_ARRIVAL_S),
    )
    def mail(self, ways: list[tuple[str, str]], delay_s: int, **fields: Any) -> None:
        """A mail comes in, and from now on requests go so, in turn."""
        self.model.ways = cycle(ways)
        for gateway in self.model.gateways:
            gateway.delay_s = delay_s
        self.run(self.model.mail(**fields))

    @rule(
        seconds=st.sampled_from([1, 5, 20, 61, 100, 400, 4000]), is_frozen=st.sampled_from([False, False, False, True])
    )
    def wait(self, seconds: int, is_frozen: bool) -> None:
        """Time passes; the process may be frozen meanwhile, or not be there."""
        self.run(self.model.wait(seconds, is_frozen=is_frozen))

    @rule(seconds=st.integers(1, 30))
    def start_and_wait(self, seconds: int) -> None:
        """Some seconds pass in a process that is there."""
        self.run(self.model.live(seconds))

    @rule(index=_INDEX, verb=st.sampled_from(_VERBS))
    def person(self, index: int, verb: Action | str) -> None:
        """A person does something to a message or a gateway, or a client hears its verdict."""
        self.run(self.model.person(index, verb))

    @precondition(lambda self: any(gateway.flights or gateway.slow_answers for gateway in self.model.gateways))
    @rule(index=_INDEX, answer=st.sampled_from(ENDS))
    def answer(self, index: int, answer: str) -> None:
        """What hung is answered, cut off, or the last thing that happens."""
        flights = [(gateway, flight) for gateway in self.model.gateways for flight in gateway.flights]
        if flights:
            gateway, flight = flights[index % len(flights)]
            gateway.end(flight, answer)
        else:
            for gateway in self.model.gateways:
                gateway.time_out(0)
        self.run(self.model.quiet())

    @rule(
        index=st.integers(0, 1),
        status=st.sampled_from(["well", "well", "silent", "slow", "bug"]),
        balance=st.sampled_from(["well", "well", "empty", "silent", "odd", "2", "4", "9"]),
    )
    def pages(self, index: int, status: str, balance: str) -> None:
        """A gateway's other pages answer so from now on."""
        gateway = self.model.gateways[index % len(self.model.gateways)]
        gateway.status_page, gateway.balance_page = status, balance

    @precondition(lambda self: self.model.ledger.copies)
    @rule(
        index=_INDEX, status=st.sampled_from([PASSED_ON, DELIVERED, DELIVERED, *sorted(FAILURES)]), silent=st.booleans()
    )
    def progress(self, index: int, status: int, silent: bool) -> None:
        """What a gateway has comes to its end, and it calls back about it or does not; a failure may be taken back."""
        copy = self._copy(index)
        last = copy.statuses[-1]
        if last == PASSED_ON or (last in FAILURES and copy.is_out and status == DELIVERED):
            copy.statuses.append(status)
        if not silent:
            self.run(self.model.callback(copy, copy.statuses[-1]))

    @precondition(lambda self: self.model.ledger.copies)
    @rule(
        index=_INDEX,
        which=st.integers(0, 3),
        kind=st.sampled_from(["again", "thrice", "fallen", "other phone", "other id"]),
    )
    def callback(self, index: int, which: int, kind: str) -> None:
        """A gateway calls back late, repeatedly, out of order, about an older attempt; or somebody about nothing."""
        copy = self._copy(index)
        if kind.startswith("other"):
            self.run(self.model.forge(copy, is_phone=kind == "other phone"))
        else:
            status = copy.statuses[which % len(copy.statuses)]
            if kind == "fallen" and self.model.is_over(copy):
                status = UNDELIVERABLE  # whatever was before, it arrived
            self.run(self.model.callback(copy, status, repeat=1 if kind == "again" else 3))

    def _copy(self, index: int) -> Copy:
        copies = list(self.model.ledger.copies.values())
        return copies[-1 - index % len(copies)]

    @rule(event=st.sampled_from(_EVENTS), times=st.integers(1, 3))
    def trouble(self, event: tuple[str, Any], times: int) -> None:
        """The process is killed, now or where it passes next; stopped, reloaded; the disk fails; the clock is set."""
        self.run(self.model.trouble(*event, times=times))


def machine_settings(steps: int, **more: Any) -> settings:
    """Return settings for about so many steps. A history that fails is told as it is: to shorten it takes minutes."""
    fixed: dict[str, Any] = {
        "max_examples": max(1, steps // STEPS_AT_ONCE),
        "stateful_step_count": STEPS_AT_ONCE,
        "phases": (Phase.reuse, Phase.generate),
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "report_multiple_bugs": False,
    }
    return settings(**(fixed | more))


TestDelivery = pytest.mark.slow(DeliveryMachine.TestCase)
TestDelivery.settings = machine_settings(_STEPS)


async def _forget(_store: MemoryStore, **_named: Any) -> int:
    """Leave what was being sent as it is."""
    return 0


FAULTS = {
    "not found is believed at once": (receipts, "quarantine_over", lambda *_row_policy_at: True),
    "a restart leaves what was being sent": (MemoryStore, "recover", _forget),
    "a refusal is not told": (decide, "Report", SimpleNamespace(FAILED=None, DELAYED=None)),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_finds_faults_put_in_on_purpose(fault, monkeypatch):
    """An invariant that nothing can break would hold nothing."""
    monkeypatch.setattr(*FAULTS[fault])
    machine = seed(1)(type("Faulty", (DeliveryMachine,), {}))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=machine_settings(20_000, database=None, phases=[Phase.generate]))
