"""The in-memory twin and SQLite do the same, whatever is asked of them in whatever order."""

import asyncio
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mailbridge.errors import StoreError
from mailbridge.model.limits import Allowance, Budget, Throttle, parse_rate
from mailbridge.model.outcome import ErrorClass, SmsError
from mailbridge.model.state import State
from mailbridge.queue.contract import Assignment, Change, Filter, OutgoingMail, Report
from mailbridge.queue.memory import MemoryStore
from mailbridge.queue.sqlite import SqliteStore
from tests.support.queue import MAIN, NOW, new_mail, new_message

SHM = Path("/dev/shm")
MAILS = ["A", "B", "C", "D"]
IDS = [f"{mail}.{n}" for mail in MAILS for n in (1, 2, 3)]
PHONES = ["+79990000001", "+79990000002"]
ERROR = SmsError(code="7", text="неверный номер", error_class=ErrorClass.REFUSED)

CLIENT = Allowance("client", "192.0.2.1", (parse_rate("5/1m"), parse_rate("8/2m")))
THROTTLE = Throttle(
    phone=(parse_rate("2/20s"),),
    budgets=(
        Budget(scope="all", period="day", parts=6, money=Decimal(9)), Budget(scope="user", period="month", parts=3)
    ),
)  # fmt: skip
times = st.integers(0, 120).map(lambda s: NOW + timedelta(seconds=s))
states = st.sampled_from(State)
notifies = st.sampled_from([None, frozenset({"NEVER"}), frozenset({"FAILURE"}), frozenset({"SUCCESS", "DELAY"})])
messages = st.fixed_dictionaries(
    {
        "phone": st.sampled_from(PHONES),
        "text": st.sampled_from(["Привет", "50%", "x_y", "ПРИВЕТ"]),
        "notify": notifies,
        "state": st.sampled_from([State.QUEUED, State.QUEUED, State.HELD, State.SUPPRESSED]),
        "next_attempt_at": times,
        "expires_at": times,
        "sms": st.fixed_dictionaries({"wanted_id": st.sampled_from([None, "5"])}),
    },
    optional={"key": st.sampled_from("kl")},
)
changes = st.builds(
    Change,
    message_id=st.sampled_from(IDS),
    expect=st.frozensets(states, min_size=4),
    attempt=st.sampled_from([None, None, 0, 1, 2]),
    to=states,
    at=times,
    event=st.sampled_from(["", "event"]),
    error=st.sampled_from([None, ERROR]),
    clear_error=st.booleans(),
    parts=st.sampled_from([None, 2]),
    price=st.sampled_from([None, Decimal("1.40")]),
    next_attempt_at=st.none() | times,
    expires_at=st.none() | times,
    uncount_attempt=st.booleans(),
    report=st.none() | st.sampled_from(Report),
    asked=st.sampled_from([None, 0, 3]),
    gateway_id=st.sampled_from([None, "9"]),
)
filters = st.builds(
    Filter,
    states=st.none() | st.frozensets(states),
    phone=st.sampled_from([None, *PHONES]),
    sender=st.sampled_from([None, "*@EXAMPLE.org", "n?gios@*", "x"]),
    since=st.none() | times,
    until=st.none() | times,
    text=st.sampled_from([None, "привет", "0%", "_", "SUBJ"]),
    limit=st.integers(1, 5),
    after_id=st.sampled_from([None, *IDS]),
)


def plan(rows, next_id):
    """Plan: rows alternate between two requests; the oldest row's label names the first."""
    first = rows[0].message.wanted_id or str(next_id())
    ids = tuple(row.id for row in rows)
    return [
        Assignment(gateway="main", gateway_id=first, message_ids=ids[::2]),
        Assignment(gateway="main", gateway_id=str(next_id()), message_ids=ids[1::2]),
    ]


class Twins(RuleBasedStateMachine):
    """Ask both the same and compare all that they tell."""

    def __init__(self):
        super().__init__()
        # in memory where there is such a folder: this is about answers, not about disks
        self.folder = tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None)
        self.runner = asyncio.Runner()
        self.twin, self.real = MemoryStore(), SqliteStore(Path(self.folder.name) / "queue.db")
        self.runner.run(self.real.open())

    def teardown(self):
        self.runner.run(self.real.close())
        self.runner.close()
        self.folder.cleanup()

    def both(self, name, *args, **kwargs):
        """Call *name* on both, compare, and return the answer."""

        async def ask(store):
            try:
                return await getattr(store, name)(*args, **kwargs)
            except StoreError as exc:
                return type(exc)

        expected, got = self.runner.run(ask(self.twin)), self.runner.run(ask(self.real))
        if isinstance(expected, tuple | list):
            expected, got = list(expected), list(got)
        assert got == expected
        return got

    @rule(
        id_=st.sampled_from(MAILS), of=st.lists(messages, min_size=1, max_size=3), at=times, reportable=st.booleans(),
        hold=st.none() | times, user=st.sampled_from([None, "a"]), limited=st.booleans(),
    )  # fmt: skip
    def put(self, id_, of, at, reportable, hold, user, limited):
        new = [new_message(f"{id_}.{n}", **fields) for n, fields in enumerate(of, start=1)]
        fields = {"received_at": at, "reportable": reportable, "hold_reports_until": hold, "user": user}
        self.both("put", new_mail(id_, *new, **fields, allowances=(CLIENT,) if limited else ()))

    @rule(now=times, limit=st.integers(1, 4), node=st.sampled_from("ab"), throttle=st.sampled_from([None, THROTTLE]))
    def claim(self, now, limit, node, throttle):
        self.both("claim", now=now, limit=limit, node=node, gateways=MAIN, plan=plan, throttle=throttle)
        self.both("counters_named", "budget:")

    @rule(some=st.lists(changes, max_size=6))
    def apply(self, some):
        self.both("apply", some)

    @rule(node=st.sampled_from("ab"), now=times)
    def recover(self, node, now):
        self.both("recover", node=node, now=now)

    @rule(id_=st.sampled_from(MAILS), told=st.frozensets(st.sampled_from(IDS), max_size=3))
    def release(self, id_, told):
        self.both("release_reports", id_, told=told)

    @rule(now=times, limit=st.integers(1, 3), by_mail=st.booleans())
    def report(self, now, limit, by_mail):
        """Item numbers are each store's own: what is due is compared without them."""
        due = [self.runner.run(store.due_reports(now=now, limit=limit)) for store in (self.twin, self.real)]
        shown = [
            [(r.mail, {(i.message_id, i.action, i.at, i.expires_at) for i in r.items}) for r in one] for one in due
        ]
        assert shown[0] == shown[1]
        mail = OutgoingMail(
            id=0, mail_id=None, sender="", recipient="a", content=b"", attempts=0, created_at=now, next_attempt_at=now
        )
        for store, reports in zip((self.twin, self.real), due, strict=True):
            for report in reports:
                items = {item.item_id: {"by": "log"} for item in report.items}
                self.runner.run(store.put_outgoing(mail if by_mail else None, items=items, now=now))

    @rule(before=times, sent_before=times, limit=st.integers(1, 3))
    def prune(self, before, sent_before, limit):
        self.both("prune", before=before, sent_before=sent_before, limit=limit)

    @rule(wanted=filters)
    def find(self, wanted):
        self.both("find", wanted)

    @rule(now=times, limit=st.integers(1, 5), of=st.frozensets(st.sampled_from([State.SENT, State.UNKNOWN])))
    def ask_what_is_due(self, now, limit, of):
        self.both("due_questions", now=now, limit=limit, states=of)
        self.both("expired", now=now, limit=limit)
        self.both("due_warnings", created_before=now, limit=limit)
        self.both("next_due_at", MAIN)
        self.both("oldest_waiting_at")
        self.both("count_waiting", up_to=limit)
        self.both("nth_newest_at", limit)
        self.both("spend", since=now)
        assert len(self.runner.run(self.twin.due_outgoing(now=now, limit=99))) == len(
            self.runner.run(self.real.due_outgoing(now=now, limit=99))
        )

    @rule(wanted=filters, reach=st.integers(1, 6))
    def browse(self, wanted, reach):
        self.both("page", wanted, reach=reach)

    @rule(since=times, until=times)
    def sum_up(self, since, until):
        """The order within an hour is each store's own."""
        sums = [self.runner.run(store.tally(since=since, until=until)) for store in (self.twin, self.real)]
        assert set(sums[0]) == set(sums[1])
        assert len(sums[0]) == len(sums[1])

    @invariant()
    def they_hold_the_same(self):
        """All rows, newest first, are equal in every field."""
        self.both("count_states")
        self.both("find", Filter())

    @rule(mail_id=st.sampled_from(MAILS))
    def look_closely(self, mail_id):
        if self.both("get_mail", mail_id):
            for row in self.both("get_messages", mail_id):
                self.both("history", row.id)
                for attempt in self.both("attempts_of", row.id):
                    self.both("find_attempts", [(attempt.gateway, attempt.gateway_id, row.message.phone)])


TestTwins = pytest.mark.slow(pytest.mark.timeout(300)(Twins.TestCase))
TestTwins.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
