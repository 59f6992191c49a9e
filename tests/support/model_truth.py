"""What really happened to each message of the model test, and what must hold of each move.

I1  every acknowledged message ends: sent, told to its sender, or held for a person who was called
I2  nothing goes out twice but on a person's, or the configuration's, word
I3  no failure is told of what a gateway took and did not fail with
I4  the rank of a state never falls
I5  no cost is booked that no gateway charged
I6  without traffic nothing stays sending or unknown longer than time-out, quarantine and poll interval together
"""

from __future__ import annotations

from collections import Counter, defaultdict

from mailbridge.model.state import State
from mailbridge.queue.contract import Change, Report, ReportItem, StoredMessage
from tests.support.clock import FakeClock
from tests.support.model_gateway import DELIVERED, FAILURES, QUARANTINE_S, Ledger, ModelGateway
from tests.support.model_store import WatchedStore

_FAILED = frozenset({State.FAILED, State.EXPIRED, State.UNDELIVERED})
#: where a message may go from where it has ended; anything else is a rank that falls
_AFTER = {
    State.SENT: frozenset({State.DELIVERED, State.UNDELIVERED, State.EXPIRED}),
    State.DELIVERED: frozenset(),
    **dict.fromkeys((State.FAILED, State.EXPIRED, State.UNDELIVERED, State.CANCELLED), frozenset({State.DELIVERED})),
}


class Truth:
    """The ledger, the watched store, and who said what."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = WatchedStore(
            on_move=self._moved, on_given_up=self._given_up, on_told=self._told, on_pruned=self._ended
        )
        self.ledger = Ledger(self.clock, on_out=self._went_out)
        self.gateways: list[ModelGateway] = []
        self.violations: list[str] = []
        #: text -> how often a person or the configuration said that it may go out once more
        self.licences: Counter[str] = Counter()
        #: messages whose fate was decided without the gateway
        self.doubted: set[str] = set()
        self.given_up_s: dict[str, float] = {}
        self.told: defaultdict[Report, Counter[str]] = defaultdict(Counter)
        #: whose client heard of the failure in its reply
        self.replied: set[str] = set()
        #: held by a person, or a person was called
        self.known_held: set[str] = set()

    def _wrong(self, what: str, row: StoredMessage) -> None:
        self.violations.append(f"{what}: {row}")

    def _went_out(self, text: str) -> None:
        if self.ledger.out[text] > 1 + self.licences[text]:
            self.violations.append(f"I2: {text} went out {self.ledger.out[text]} times")

    def _given_up(self, row: StoredMessage) -> None:
        # a disk that fails may take the word of it later than it was so
        since = row.unknown_since or self.clock.now()
        self.given_up_s[row.id] = self.clock.monotonic() - max(0.0, (self.clock.now() - since).total_seconds())
        if row.state is not State.UNKNOWN:
            self._wrong("I2: was being sent, and is no longer in doubt", row)

    def _moved(self, before: StoredMessage, after: StoredMessage, change: Change) -> None:
        old, new, text = before.state, after.state, after.message.text
        if old is new:
            return
        is_person = change.detail.get("by") == "anna"
        if old in _AFTER and new not in _AFTER[old] and not (is_person and old is not State.SENT):
            self._wrong(f"I4: from {old} to {new}", after)
        is_without_answer = str(change.detail.get("because", "")).startswith("never known")
        if is_without_answer:
            self.doubted.add(after.id)
            if new is State.QUEUED:
                self.licences[text] += 1
        if old is State.UNKNOWN and (is_without_answer or new is State.QUEUED):
            self._check_quarantine(after, is_asked=not is_without_answer)
        match new:
            case State.QUEUED if is_person:
                self._note_word(before)
            case State.QUEUED | State.FAILED if old is State.SENDING:
                self._check_refused(before)
            case State.QUEUED if old is State.UNKNOWN and not is_without_answer:
                self._check_not_taken(after)
            case State.SENT if not any(copy.is_out for copy in self.ledger.of_text[text]):
                self._wrong("I1: not taken, but sent", after)
            case State.DELIVERED if not self.ledger.was(text, {DELIVERED}):
                self._wrong("I1: not delivered, but so called", after)
            case State.HELD if is_person:
                self.known_held.add(after.id)
            case State.HELD | State.CANCELLED if not (is_person or is_without_answer):
                self._wrong("nobody said so", after)
        if new in _FAILED:
            self._check_told(after)

    def _note_word(self, before: StoredMessage) -> None:
        """A person lets go again what may have arrived: that is a licence. What fails anew is news to who had a reply."""
        text = before.message.text
        if before.id in self.replied:
            self.replied.remove(before.id)
            self.told[Report.FAILED][before.id] -= 1
        if before.id in self.doubted or (before.state in _FAILED and self.ledger.was(text, FAILURES)):
            self.licences[text] += 1

    def _check_quarantine(self, row: StoredMessage, *, is_asked: bool) -> None:
        """Nothing is decided before the quarantine's end, nor by an answer to what was asked before."""
        asked = [one.questions.get((row.message.phone, row.gateway_id or "")) for one in self.gateways]
        last_s = max((times[-1] for times in asked if times), default=0.0)
        if (last_s if is_asked else self.clock.monotonic()) < self.given_up_s[row.id] + QUARANTINE_S:
            self._wrong("I2: decided before the quarantine's end", row)

    def _check_not_taken(self, row: StoredMessage) -> None:
        """What "not found" lets go again was not taken, but for what went out before somebody's word to send it anew.

        That word is for one SMS more: where its attempt never arrived, the next one stands in for it.
        """
        text = row.message.text
        if self.ledger.may_arrive(text) and self.ledger.out[text] > self.licences[text]:
            self._wrong("I2: to be sent again, but taken", row)

    def _check_refused(self, row: StoredMessage) -> None:
        copy = self.ledger.copies.get((row.gateway or "", row.gateway_id or "", row.message.phone))
        if copy is not None and copy.is_out:
            self._wrong("I2: taken, but treated as refused", row)

    def _check_told(self, row: StoredMessage) -> None:
        """A failure is true unless nobody could know better."""
        text = row.message.text
        is_excused = row.id in self.doubted or self.ledger.was(text, FAILURES)
        if self.ledger.may_arrive(text) and not is_excused:
            self._wrong("I3: a failure, but taken", row)

    def _told(self, item: ReportItem) -> None:
        row = self.store.rows[item.message_id]
        self.told[item.action][row.id] += 1
        if self.told[item.action][row.id] > 1:
            self._wrong(f"{item.action} told twice", row)
        match item.action:
            case Report.FAILED:
                self._check_told(row)
            case Report.DELIVERED if not self.ledger.was(row.message.text, {DELIVERED}):
                self._wrong("told that it was delivered", row)
            case Report.RELAYED if not self.ledger.out[row.message.text]:
                self._wrong("told that it was taken", row)

    def _ended(self, row: StoredMessage) -> None:
        """I1, of one message that is looked at for the last time."""
        text = row.message.text
        match row.state:
            case State.FAILED | State.EXPIRED | State.UNDELIVERED:
                if not self.told[Report.FAILED][row.id]:
                    self._wrong("I1: nobody was told", row)
            case State.SENT | State.DELIVERED:
                if not self.ledger.out[text]:
                    self._wrong("I1: never went out", row)
            case State.HELD:
                if row.id not in self.known_held:
                    self._wrong("I1: held, and nobody was called", row)
            case State.CANCELLED:
                pass
            case _:
                self._wrong("I1: not ended", row)
