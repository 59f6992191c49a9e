"""Every code and every status of the gateway, through the whole bridge: reply, state, report, requests.

docs/reference/error-codes.md is the table; each row here is one of its rows.
"""

from __future__ import annotations

import email
import email.policy
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from mailbridge.gateway.smsc.codes import ERRS, STATUSES, Cause, meaning_of
from mailbridge.model.state import State
from mailbridge.queue.memory import MemoryStore
from mailbridge.simulator.magic import USUAL_ERR
from tests.support.house import House, id_of, running_house
from tests.support.programs import until

REFUSED = [
    (1, "554", "5.3.5", "1 parameters error"),
    (5, "554", "5.5.4", "5 invalid date format"),
    (6, "550", "5.7.1", "6 message is denied"),
    (7, "550", "5.1.3", "7 invalid number"),
    (8, "550", "5.1.1", "8 can't to deliver"),
]
#: code -> seconds until the first probe, and until the second
SUSPENDED = [(2, 60, 120), (3, 30, 60), (4, 300, 600)]


def number(series: int, argument: int) -> str:
    """Return the simulator's magic number of that series."""
    return f"+7999000{series:02}{argument:02}"


async def the_report(house: House) -> dict[str, str]:
    """Wait for the one bounce and return the fields of its recipient's block."""
    (mail,) = await house.reports()
    parsed = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert mail.mail_from in {"", "<>"}
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed.get_content_type() == "multipart/report"
    status = [part for part in parsed.walk() if part.get_content_type() == "message/delivery-status"]
    block = status[0].get_payload()[1]
    return dict(block.items())


@pytest.mark.parametrize(("code", "reply", "enhanced", "words"), REFUSED)
async def test_a_refusal_is_the_reply_of_a_waiting_client_and_gives_no_bounce(code, reply, enhanced, words):
    """In verdict mode the client hears the gateway's own code and words; nothing is said twice."""
    async with running_house(smtp={"reply": "verdict"}) as house:
        answer = await house.mail(number(1, code))
        row = await house.newest()
        await house.pass_s(60)

        assert (str(answer[0]), answer[1]) == (reply, f"{enhanced} SMSC error {words.replace(' ', ': ', 1)}")
        assert row.state is State.FAILED
        assert row.error is not None
        assert row.error.code == str(code)
        assert house.smarthost.mails == []
        assert len(house.requests()) == 1


@pytest.mark.parametrize(("code", "reply", "enhanced", "words"), REFUSED)
async def test_a_refusal_after_the_reply_gives_one_bounce_with_the_gateways_words(code, reply, enhanced, words):
    """With `reply: queued` the sender gets a report whose Status and Diagnostic-Code are those of the table."""
    async with running_house() as house:
        answer = await house.mail(number(1, code))
        fields = await the_report(house)
        (row,) = await house.rows(answer)

        assert reply
        assert answer[0] == 250
        assert row.state is State.FAILED
        assert fields["Action"] == "failed"
        assert fields["Status"] == enhanced
        assert fields["Diagnostic-Code"] == f"x-smsc; {words}"
        assert len(house.requests()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["queued", "verdict"])
@pytest.mark.parametrize(("code", "first_s", "second_s"), SUSPENDED)
async def test_a_suspended_gateway_gets_one_probe_at_a_growing_interval_and_nothing_else(
    code, first_s, second_s, verdict
):
    """Codes 2, 3 and 4: no attempt is spent, nothing fails, one balance question after the first wait, then double."""
    async with running_house(smtp={"reply": verdict}) as house:
        house.fault(code=code)
        first = await house.mail("+79990000001", text="one")
        await until(lambda: house.bridge.board.states["main"].suspended)
        second = await house.mail("+79990000002", text="two")
        await house.pass_s(first_s - 2)
        before = (len(house.requests()), len(house.requests("balance")))
        await house.pass_s(4)
        after_first = len(house.requests("balance"))
        await house.pass_s(second_s - 6)
        still = len(house.requests("balance"))
        await house.pass_s(4)
        after_second = len(house.requests("balance"))
        rows = [*await house.rows(first), *await house.rows(second)]

        assert (first[0], second[0]) == (250, 250)
        assert before == (1, 0)
        assert (after_first, still, after_second) == (1, 1, 2)
        assert [(row.state, row.attempts) for row in rows] == [(State.QUEUED, 0), (State.QUEUED, 0)]
        assert len(house.requests()) == 1


@pytest.mark.parametrize(("code", "first_s", "_second_s"), SUSPENDED)
async def test_a_gateway_that_is_well_again_is_resumed_by_itself_and_all_that_waited_is_sent(code, first_s, _second_s):
    """A probe that finds the account in order ends the suspension; each message goes out once."""
    async with running_house() as house:
        house.fault(code=code, times=1)
        answers = [await house.mail("+79990000001", text="one")]
        await until(lambda: house.bridge.board.states["main"].suspended)
        answers.append(await house.mail("+79990000002", text="two"))
        await house.pass_s(first_s + 2)
        rows = [row for answer in answers for row in await house.rows(answer)]

        assert {row.state for row in rows} == {State.SENT}
        assert [row.attempts for row in rows] == [1, 1]
        assert sorted(message["text"] for message in house.simulator.inbox) == ["one", "two"]


@pytest.mark.slow
async def test_no_money_is_resumed_only_when_there_is_money():
    """After code 3 a balance of zero leaves the gateway suspended; a top-up ends it."""
    async with running_house() as house:
        house.simulator.carrier.force_balance(Decimal(0), None)
        answer = await house.mail("+79990000001")
        await until(lambda: house.bridge.board.states["main"].suspended)
        await house.pass_s(35)
        suspended = house.bridge.board.states["main"].suspended
        house.simulator.carrier.force_balance(Decimal(50), None)
        await house.pass_s(65)
        (row,) = await house.rows(answer)

        assert suspended
        assert row.state in {State.SENT, State.DELIVERED}


@pytest.mark.slow
async def test_error_9_defers_by_more_than_a_minute_and_is_no_receipt():
    """Error 9 refuses that one request: the message waits 61 s or more and goes out once, the concurrency is lowered."""
    async with running_house() as house:
        limit = house.bridge.board.carriers["main"].pace.limit
        house.fault(code=9, times=1, methods=["send"])
        answer = await house.mail("+79990000001")
        await house.pass_s(59)
        early = len(house.requests())
        await house.pass_s(30)
        (row,) = await house.rows(answer)

        assert early == 1
        assert row.state is State.DELIVERED
        assert len(house.requests()) == 2
        assert house.bridge.board.carriers["main"].pace.limit < limit
        assert len(house.simulator.inbox) == 1


async def test_an_unknown_code_is_deferred():
    """A code the tables do not know is tried again, and kept in the message's error."""
    async with running_house() as house:
        answer = await house.mail(number(1, 42))
        await house.quiet()
        (row,) = await house.rows(answer)

        assert row.state is State.QUEUED
        assert row.attempts == 1
        assert row.error is not None
        assert row.error.code == "42"


@pytest.mark.parametrize("status", [1, 2, 4])
async def test_a_delivered_status_ends_in_delivered(status):
    """Statuses 1, 2 and 4 mean that the handset has it; no report unless asked for."""
    async with running_house() as house:
        answer = await house.mail(number(2, status))
        row = await house.state(f"{id_of(answer)}.1", State.DELIVERED)
        await house.pass_s(60)

        assert row.state is State.DELIVERED
        assert house.smarthost.mails == []


@pytest.mark.parametrize("status", [3, 20, 22, 23, 24, 25])
async def test_a_final_failure_status_ends_in_its_state_and_one_bounce(status):
    """Final statuses of failure: expired for 3, undelivered else, and a report by the row of the table."""
    err = USUAL_ERR[status]
    meaning = meaning_of(status, err)
    async with running_house() as house:
        answer = await house.mail(number(2, status))
        with capture_logs() as logs:
            row = await house.state(f"{id_of(answer)}.1", State.UNDELIVERED, State.EXPIRED)
        fields = await the_report(house)

        assert row.state is (State.EXPIRED if status == 3 else State.UNDELIVERED)
        assert row.error is not None
        assert row.error.code == meaning.code
        assert [line["log_level"] for line in logs if line["event"] == row.state.value] == ["warning"]
        assert fields["Action"] == "failed"
        assert fields["Status"] == meaning.enhanced
        assert fields["Diagnostic-Code"] == f"x-smsc; {meaning.code} ({meaning.words})"


@pytest.mark.parametrize("argument", [0, 99])
async def test_a_status_that_is_not_final_leaves_the_message_sent(argument):
    """Statuses 0 and -1 decide nothing."""
    async with running_house() as house:
        answer = await house.mail(number(2, argument))
        await house.pass_s(300, step_s=5)
        (row,) = await house.rows(answer)

        assert row.state is State.SENT
        assert house.smarthost.mails == []


def test_every_final_status_of_the_table_is_tested_above():
    """A status added to the table without a test here is found."""
    tested = {1, 2, 4, 3, 20, 22, 23, 24, 25}

    assert {code for code, row in STATUSES.items() if row.state is not None} == tested


#: err of a status -> Status of the report, by smsc-api.md 4.6: 4.x.x what may pass (T), 5.x.x what will not (P, C);
#: 11 is both there, and two of its three causes do not pass
ERR_ROWS = {
    1: "5.1.1", 2: "4.2.2", 3: "5.1.2", 4: "5.2.1", 6: "4.4.1", 11: "5.2.1", 12: "4.2.2", 13: "4.2.1", 21: "5.3.3",
    99: "4.0.0", 200: "5.3.5", 219: "4.7.1", 220: "4.4.5", 237: "4.4.1", 238: "5.7.1", 239: "5.7.1", 240: "4.4.1",
    241: "4.6.5", 242: "4.2.0", 243: "5.7.1", 244: "5.7.1", 245: "4.4.7", 246: "4.7.1", 247: "4.7.1", 248: "5.4.4",
    249: "5.1.3", 250: "5.7.1", 251: "4.7.1", 252: "5.7.1", 253: "5.7.1", 254: "5.7.1", 255: "5.7.1", 777: "5.0.0",
}  # fmt: skip


def blocks_of(content: bytes) -> list[dict[str, str]]:
    """Return the fields of each recipient's block of a report."""
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    (status,) = [part for part in parsed.walk() if part.get_content_type() == "message/delivery-status"]
    return [dict(block.items()) for block in status.get_payload()[1:]]


async def test_every_err_ends_in_its_state_and_its_own_line_of_the_report():
    """State, enhanced code and words of all 32 rows and of one nobody knows, through the bridge, in one report."""
    phones = {f"+79990010{err:03}": err for err in ERR_ROWS}
    async with running_house(store=MemoryStore()) as house:
        answer = await house.mail(*phones)
        await house.pass_s(90, step_s=1)
        rows = await house.rows(answer)
        (mail,) = await house.reports()
        blocks = {block["Final-Recipient"]: block for block in blocks_of(mail.content)}

        assert len(blocks) == len(rows) == len(ERR_ROWS)
        for row in rows:
            err = phones[row.message.phone]
            block = blocks[f"rfc822; {row.recipient}"]
            assert row.state is State.UNDELIVERED
            assert row.error is not None
            assert row.error.code.endswith(f" err {err}")
            assert (block["Action"], block["Status"]) == ("failed", ERR_ROWS[err])
            assert block["Diagnostic-Code"] == f"x-smsc; {row.error.code} ({row.error.text})"


def test_every_err_of_the_table_is_tested_above():
    """An err added to the table without a row here is found."""
    assert set(ERRS) - {0} == set(ERR_ROWS) - {777}
    assert all((row.cause is Cause.TEMPORARY) == ERR_ROWS[err].startswith("4") for err, row in ERRS.items() if err)


@pytest.mark.parametrize(("status", "enhanced"), [(3, "4.4.7"), (20, "5.0.0"), (22, "5.1.3"), (23, "5.7.1"),
                                                  (24, "4.3.0"), (25, "5.1.1"), (77, "5.0.0")])  # fmt: skip
def test_a_final_status_without_an_err_has_its_own_code(status, enhanced):
    """smsc-api.md 4.5: what is reported where the gateway gives no reason."""
    assert meaning_of(status).enhanced == enhanced
    assert meaning_of(status, 9999).enhanced == enhanced


@pytest.mark.parametrize("status", [22, 23, 25])
async def test_a_number_refused_within_an_accepted_request_fails_alone(status):
    """A phone with a status of 20 or more in ``phones[]`` is refused; the others of the batch are sent."""
    async with running_house(store=MemoryStore()) as house:
        answer = await house.mail("+79990000001", number(3, status), "+79990000002")
        await house.quiet()
        rows = await house.rows(answer)
        fields = await the_report(house)

        assert [row.state for row in rows] == [State.SENT, State.FAILED, State.SENT]
        assert fields["Status"].startswith("5.")
        assert len(house.requests()) == 1
