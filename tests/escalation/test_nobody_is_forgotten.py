"""Whatever happens and whenever: steps come in their order, each once, until somebody answers, and never after."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.config.model import Config
from mailbridge.escalation.answers import Answers
from mailbridge.escalation.chains import Chains, escalate
from mailbridge.escalation.escalator import Escalator, EscalatorSettings
from mailbridge.model.inbound import InboundSms
from mailbridge.model.state import State
from mailbridge.people.directory import Directory
from mailbridge.queue.contract import Change, OutgoingMail
from mailbridge.queue.escalations import Status, Wanted
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.queue import DAY, new_mail, new_message

PHONES = ("+79990000001", "+79990000002", "+79990000003")
STRANGER = "+79990000009"
AFTER_S = 300
CONFIG = Config.model_validate(
    {
        "people": {"anna": {"phone": PHONES[0]}, "boris": {"phone": PHONES[1]}, "nobody": {"phone": PHONES[2]}},
        "rotas": {"empty": {"ics": "file.ics"}},
        "aliases": {"away": {"rota": "empty"}},
        "escalation": {
            "anna": {"after": f"{AFTER_S}s",
                     "then": [{"call": "anna"}, {"send": "away"}, {"send": ["boris", PHONES[2]]}, {"call": "boris"}]},
        },
    }
)  # fmt: skip
#: what the steps that reach somebody are, in their order
STEPS = [{(PHONES[0], "call")}, {(PHONES[1], "sms"), (PHONES[2], "sms")}, {(PHONES[1], "call")}]

events = st.lists(
    st.one_of(
        st.just(("alert",)),
        st.tuples(st.just("time"), st.sampled_from([1, 60, 299, 301, 900])),
        st.tuples(st.just("clock"), st.sampled_from([-90_000, -300, 300, 90_000])),
        st.tuples(st.just("kill"), st.sampled_from(["before an escalation step", "after an escalation step"])),
        st.tuples(st.just("state"), st.integers(0, 20), st.sampled_from(["delivered", "failed", "cancelled"])),
        st.tuples(st.just("answer"), st.integers(0, 5), st.sampled_from([*PHONES, STRANGER]), st.booleans()),
    ),
    max_size=40,
)


class Died(BaseException):
    """As ``kill -9``."""


class World:
    """A store, a clock, and the two parts that move escalations on; two escalators, as two nodes have them."""

    def __init__(self) -> None:
        self.store, self.clock, self._ids = MemoryStore(), FakeClock(), count(1)
        self.chains = Chains(CONFIG, Directory(CONFIG, {}))
        self.dies_at = ""
        self.told: list[str] = []
        self.nodes = [self.new_node(), self.new_node()]
        self.answers = Answers(store=self.store, clock=self.clock, chains=lambda: self.chains)
        #: mail id -> how many steps it had when somebody answered
        self.answered: dict[str, int] = {}
        self.cancelled: set[str] = set()

    def new_node(self) -> Escalator:
        """Return the duty of a bridge that has just started."""
        return Escalator(
            store=self.store, clock=self.clock, settings=EscalatorSettings(chains=self.chains, lifetime_s=3600),
            new_id=lambda _at: f"S{next(self._ids)}", tell=self.tell, wake=lambda: None, failpoint=self.pass_point,
        )  # fmt: skip

    def tell(self, found, then, now) -> OutgoingMail:
        """Write the mail to the sender."""
        return OutgoingMail(
            id=0, mail_id=found.escalation.mail_id, sender="", recipient="a@example.org", content=b"x", attempts=0,
            created_at=now, next_attempt_at=now, last_error=then.status.value,
        )  # fmt: skip

    def pass_point(self, name: str) -> None:
        """Die at the point that was chosen, once."""
        if name == self.dies_at:
            self.dies_at = ""
            raise Died

    async def turn(self) -> None:
        """Let both nodes look; where one dies a new one takes its place."""
        for place in range(2):
            try:
                await self.nodes[place].step()
            except Died:
                self.nodes[place] = self.new_node()

    async def happen(self, event: tuple) -> None:
        """Let one thing happen, and the nodes look after it."""
        now = self.clock.now()
        match event:
            case ("alert",):
                id_, wanted = f"M{next(self._ids)}", escalate(self.chains.get("anna"))
                text = f"down\nReply OK {wanted.numbers[0]}"
                message = new_message(
                    f"{id_}.1", text=text, escalate=wanted, next_attempt_at=now, expires_at=now + 9 * DAY
                )
                await self.store.put(new_mail(id_, message, received_at=now))
                for node in self.nodes:
                    node.something_escalates()
            case ("time", seconds):
                self.clock.advance(seconds)
            case ("clock", seconds):
                self.clock.jump_wall(seconds)
            case ("kill", point):
                self.dies_at = point
            case ("state", place, word):
                rows = [entry for found in await self.store.find_escalations(Wanted()) for entry in found.messages]
                if rows:
                    await self._move(rows[place % len(rows)].message, State(word), now)
            case ("answer", place, phone, has_number):
                await self._answer(place, phone, has_number=has_number)
        await self.turn()

    async def _move(self, row, to: State, now) -> None:
        for state in [to] if to is State.CANCELLED else [State.SENDING, to]:
            before = (await self.store.get_messages(row.id))[0].state
            change = Change(message_id=row.id, expect=frozenset({before}), to=state, at=now, event=state.value)
            (took,) = await self.store.apply([change])
            if took and state is State.CANCELLED:
                self.cancelled.add(row.id)

    async def _answer(self, place: int, phone: str, *, has_number: bool) -> None:
        found = await self.store.find_escalations(Wanted())
        if not found:
            return
        one = found[place % len(found)].escalation
        text = f"OK {one.number}" if has_number else "ok"
        sms = InboundSms(gateway="main", phone=phone, text=text, to="7")
        before = {f.escalation.mail_id: f.escalation for f in found}
        result = await self.answers.take(sms)
        # a second time nothing further happens
        again = await self.answers.take(sms) if has_number else ""
        after = {f.escalation.mail_id: f.escalation for f in await self.store.find_escalations(Wanted())}
        ended = [id_ for id_, e in after.items() if e.status is Status.ACKNOWLEDGED and id_ not in self.answered]
        assert (len(ended) == 1) == (result == "acknowledged"), result
        assert not ended or phone != STRANGER
        assert again != "acknowledged"
        self.answered |= {id_: before[id_].steps for id_ in ended}


@settings(max_examples=200, deadline=None)
@given(story=events)
async def test_nobody_is_forgotten_and_nobody_is_told_twice(story):
    """In the end each alert was answered, taken back, or went through its whole chain, and its sender heard of it."""
    world = World()
    for event in story:
        await world.happen(event)
    for _ in range(40):
        world.clock.advance(AFTER_S)
        await world.turn()
    assert not await world.store.is_anything_escalating()
    told = [(mail.mail_id, mail.last_error) for mail in world.store._t.outgoing.values()]
    assert len(told) == len(set(told))
    for found in await world.store.find_escalations(Wanted(limit=1000)):
        one = found.escalation
        steps: dict[int, set[tuple[str, str]]] = {}
        for entry in found.messages:
            if entry.step:
                place = (entry.message.message.phone, entry.message.message.channel)
                assert place not in steps.setdefault(entry.step, set())
                steps[entry.step].add(place)
        made = [steps[number] for number in sorted(steps)]
        assert made == STEPS[: len(made)]
        match one.status:
            case Status.ACKNOWLEDGED:
                assert one.steps == world.answered[one.mail_id]
                assert (one.mail_id, "acknowledged") in told
            case Status.EXHAUSTED:
                assert made == STEPS
                assert (one.mail_id, "exhausted") in told
            case _:
                assert one.status is Status.CANCELLED
                assert found.messages[0].message.id in world.cancelled


async def test_a_step_waits_its_time_and_no_longer():
    """By whichever of two nodes, to the second."""
    world = World()
    await world.happen(("alert",))
    steps = []
    for _ in range(4 * AFTER_S + 10):
        world.clock.advance(1)
        await world.turn()
        (found,) = await world.store.find_escalations(Wanted())
        steps.append(found.escalation.steps)
    assert [steps.index(number) + 1 for number in (1, 3, 4)] == [AFTER_S, 2 * AFTER_S, 3 * AFTER_S]
    assert found.escalation.status is Status.EXHAUSTED
    assert found.escalation.ended_at == found.escalation.opened_at + timedelta(seconds=4 * AFTER_S)
