"""The JSON API: what it answers, what it refuses, and in which words."""

import asyncio
import io
import json

import pytest

from mailbridge.model.state import State
from tests.support.api import api_section, asking
from tests.support.house import id_of, running_house

MAIL = "From: nagios@example.org\r\nSubject: PROBLEM\r\n\r\ndisk full\r\n"
PHONE = "+79991234567"


class TestSending:
    async def test_a_text_is_queued_for_each_recipient_and_sent(self, house, ask):
        """Phones in any spelling and names alike; the answer is the message objects."""
        said = await ask("POST", "/messages", json={"to": ["8 (999) 123-45-67", "oncall"], "text": "disk full"})
        assert said.status == 202
        assert [(one["phone"], one["text"], one["id"][-2:]) for one in said.json] == [
            (PHONE, "disk full", ".1"), ("+79991112233", "disk full", ".2"),
        ]  # fmt: skip
        for one in said.json:
            await house.state(one["id"], State.SENT, State.DELIVERED)

    async def test_options_are_those_of_a_mail(self, ask):
        order = {"to": [PHONE], "text": "Привет " * 40, "sender": "NAGIOS", "translit": "1", "max_parts": 1}
        (one,) = (await ask("POST", "/messages", json=order)).json
        assert (one["sender"], one["translit"], one["parts"], one["alphabet"]) == ("NAGIOS", 1, 1, "gsm7")

    async def test_a_text_is_data_whatever_it_looks_like(self, ask):
        (one,) = (await ask("POST", "/messages", json={"to": [PHONE], "text": "<b>{{ 7*7 }}</b>\n~~~"})).json
        assert one["text"] == "<b>{{ 7*7 }}</b>\n~~~"

    async def test_a_recipient_nobody_can_be_is_refused_and_nothing_is_sent(self, house, ask):
        said = await ask("POST", "/messages", json={"to": [PHONE, "nobody"], "text": "x"})
        assert (said.status, said.headers["Content-Type"]) == (422, "application/problem+json")
        assert said.json["reply"].startswith("550 5.1.1 ")
        assert await house.store.count_states() == {}

    async def test_a_request_repeated_with_its_key_sends_once(self, house, ask):
        """The second answer is the same messages, as they are by now; another request with that key is refused."""
        order = {"to": [PHONE], "text": "once"}
        first, second = [
            await ask("POST", "/messages", json=order, headers={"Idempotency-Key": "k-1"}) for _ in range(2)
        ]
        other = await ask("POST", "/messages", json={**order, "text": "other"}, headers={"Idempotency-Key": "k-1"})
        assert [one["id"] for one in first.json] == [one["id"] for one in second.json]
        assert (second.status, second.headers["Idempotent-Replayed"]) == (202, "true")
        assert "Idempotent-Replayed" not in first.headers
        assert other.status == 422
        assert sum((await house.store.count_states()).values()) == 1

    async def test_the_same_request_many_times_at_once_sends_once(self, house, ask):
        order = {"to": [PHONE], "text": "once"}
        said = await asyncio.gather(
            *(ask("POST", "/messages", json=order, headers={"Idempotency-Key": "k-2"}) for _ in range(8))
        )
        assert {one.status for one in said} == {202}
        assert len({one.json[0]["id"] for one in said}) == 1
        assert sum((await house.store.count_states()).values()) == 1

    async def test_a_key_belongs_to_its_token(self, house, ask, ask_as):
        order = {"to": [PHONE], "text": "once"}
        headers = {"Idempotency-Key": "k-3"}
        await ask("POST", "/messages", json=order, headers=headers)
        other = await ask_as("sender", "POST", "/messages", json={**order, "text": "mine"}, headers=headers)
        assert other.status == 202
        assert sum((await house.store.count_states()).values()) == 2

    async def test_after_a_restart_the_key_still_holds(self, house, ask):
        order, headers = {"to": [PHONE], "text": "once"}, {"Idempotency-Key": "k-4"}
        first = await ask("POST", "/messages", json=order, headers=headers)
        await house.restart()
        async with asking(f"http://127.0.0.1:{house.bridge.web.port}") as again:
            second = await again("POST", "/messages", json=order, headers=headers)
        assert second.json[0]["id"] == first.json[0]["id"]

    async def test_a_full_queue_says_when_to_come_again(self):
        async with (
            running_house(api=api_section(), queue={"url": "memory:", "max_waiting": 1}) as house,
            asking(f"http://127.0.0.1:{house.bridge.web.port}") as ask,
        ):
            await ask("POST", "/gateways/main/suspend")
            await ask("POST", "/messages", json={"to": [PHONE], "text": "one"})
            said = await ask("POST", "/messages", json={"to": [PHONE], "text": "two"})
        assert (said.status, said.headers["Retry-After"]) == (503, "5")


class TestReading:
    async def test_pages_follow_one_another_by_cursor(self, house, ask):
        for n in range(5):
            await house.mail(PHONE, text=f"alert {n}")
            await house.pass_s(1)
        seen, cursor = [], ""
        while True:
            page = (await ask("GET", f"/messages?limit=2{cursor and '&cursor=' + cursor}")).json
            seen += [one["text"] for one in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert seen == [f"alert {n}" for n in (4, 3, 2, 1, 0)]

    async def test_filters_are_those_of_the_verb(self, house, ask):
        await house.mail(PHONE, text="disk FULL", sender="nagios@example.org")
        await house.mail("+79990000007", text="Привет", sender="cron@example.org")

        async def found(query):
            return [one["text"] for one in (await ask("GET", f"/messages?{query}")).json["items"]]

        assert await found("phone=8-999-123-45-67") == ["disk FULL"]
        assert await found("q=full") == ["disk FULL"]
        assert await found("q=ПРИВЕТ") == ["Привет"]
        assert await found("sender=cron@*") == ["Привет"]
        assert await found("state=failed,held") == []
        assert len(await found("state=queued&state=sent&state=delivered,sending")) == 2
        assert await found("since=2h&until=1h") == []
        assert len(await found("since=2000-01-01")) == 2

    async def test_a_message_has_its_history_a_mail_its_messages(self, house, ask):
        mail_id = id_of(await house.mail(PHONE, "+79990000007", subject="PROBLEM", text="disk"))
        one = (await ask("GET", f"/messages/{mail_id.lower()}.1")).json
        both = (await ask("GET", f"/messages/{mail_id}")).json
        assert (one["subject"], one["mail_from"], one["history"][0]["event"]) == (
            "PROBLEM", "nagios@example.org", "queued",
        )  # fmt: skip
        assert [message["phone"] for message in both] == [PHONE, "+79990000007"]

    async def test_gateways_duty_and_sums(self, house, ask, ask_as):
        """Who may only look is not shown where callbacks come in."""
        (row,) = await house.rows(await house.mail(PHONE, text="disk"))
        await house.state(row.id, State.DELIVERED)
        (gateway,) = (await ask("GET", "/gateways")).json
        assert (gateway["name"], gateway["state"], gateway["spend"]["today"][0]["messages"]) == ("main", "up", 1)
        (roster,) = (await ask("GET", "/oncall?alias=oncall&days=7")).json
        assert (roster["now"], roster["phones"]) == (["anna"], ["+79991112233"])
        assert (await ask("GET", "/oncall?alias=nobody")).status == 404
        stats = (await ask("GET", "/stats?by=hour&since=3h")).json
        assert sum(bucket["messages"].get("delivered", 0) for bucket in stats["buckets"]) == 1
        assert len(stats["buckets"]) in {3, 4}
        (last,) = [bucket for bucket in stats["buckets"] if bucket["messages"]]
        assert last["arrived_s"]["p50"] > 0
        assert (await ask_as("reader", "GET", "/gateways")).json[0]["callback"] is None

    async def test_the_balance_is_asked_of_the_gateway(self, house, ask):
        said = await ask("GET", "/balance?gateway=main")
        assert (said.status, said.json["gateway"]) == (200, "main")
        assert float(said.json["balance"]) > 0
        assert (await ask("GET", "/balance?gateway=nosuch")).status == 404

    async def test_preview_takes_a_mail_or_json(self, ask):
        """The same mail both ways gives the same answer; a text alone is previewed, too."""
        headers = {"Content-Type": "message/rfc822"}
        raw = await ask("POST", "/preview?to=89991234567@sms.local", data=MAIL.encode(), headers=headers)
        as_json = await ask("POST", "/preview", json={"mail": MAIL, "to": ["89991234567@sms.local"]})
        text = await ask("POST", "/preview", json={"to": ["oncall"], "text": "disk full"})
        assert raw.json == as_json.json
        assert raw.json["messages"][0]["phone"] == PHONE
        assert text.json["messages"][0]["text"] == "disk full"

    async def test_explain_names_the_steps(self, ask):
        headers = {"Content-Type": "message/rfc822"}
        said = await ask(
            "POST", f"/explain?to={PHONE.strip('+')}@sms.local&client=192.0.2.1", data=MAIL.encode(), headers=headers
        )
        assert (said.status, said.json["verdict"]) == (200, "refused")
        assert said.json["steps"][0]["stage"] == "client"


class TestActing:
    async def test_hold_release_cancel_and_resend(self, house, ask):
        await ask("POST", "/gateways/main/suspend")
        await house.pass_s(2)
        mail_id = id_of(await house.mail(PHONE, text="disk"))
        states = [
            (await ask("POST", f"/messages/{mail_id}/{action}")).json[0]["state"]
            for action in ("hold", "release", "cancel")
        ]
        assert states == ["held", "queued", "cancelled"]
        again = (await ask("POST", f"/messages/{mail_id}.1/resend")).json[0]
        assert (again["mail"] != mail_id, again["text"], again["state"]) == (True, "disk", "queued")
        await ask("POST", "/gateways/main/resume")
        await house.state(again["id"], State.SENT, State.DELIVERED)

    async def test_what_the_state_does_not_allow_is_a_conflict(self, house, ask):
        (row,) = await house.rows(await house.mail(PHONE, text="disk"))
        await house.state(row.id, State.DELIVERED)
        said = await ask("POST", f"/messages/{row.id}/hold")
        assert (said.status, said.json["title"]) == (409, "Conflict")
        assert (await ask("POST", "/messages/NOSUCH/hold")).status == 404

    async def test_the_history_says_which_program_it_was(self, house, ask):
        await ask("POST", "/gateways/main/suspend")
        await house.pass_s(2)
        mail_id = id_of(await house.mail(PHONE, text="disk"))
        await ask("POST", f"/messages/{mail_id}/hold")
        assert (await house.store.history(f"{mail_id}.1"))[-1].detail["by"] == "api:operator"


class TestRefusing:
    @pytest.mark.parametrize(
        ("name", "method", "path", "status"),
        [
            (None, "GET", "/messages", 401),
            ("nobody", "GET", "/messages", 401),
            ("reader", "POST", "/messages", 403),
            ("sender", "POST", "/messages/X/retry", 403),
            ("sender", "POST", "/gateways/main/suspend", 403),
            ("reader", "GET", "/nosuch", 404),
            ("reader", "DELETE", "/messages", 405),
            (None, "GET", "/openapi.json", 200),
        ],
    )
    async def test_tokens_and_their_scopes(self, ask_as, name, method, path, status):
        said = await ask_as(name, method, path, json={"to": [PHONE], "text": "x"} if method == "POST" else None)
        assert said.status == status
        if status >= 400:
            assert said.headers["Content-Type"] == "application/problem+json"
            assert said.json["status"] == status
        if status in {401, 403}:
            assert said.headers["WWW-Authenticate"].startswith('Bearer realm="mailbridge"')

    @pytest.mark.parametrize(
        ("path", "at"),
        [
            ("/messages?limit=0", "query.limit"),
            ("/messages?limit=9999999999999999999", "query.limit"),
            ("/messages?state=lost", "query.state.0"),
            ("/messages?pge=1", "query.pge"),
            ("/stats?by=year", "query.by"),
            ("/oncall?days=0", "query.days"),
            ("/events?event=nosuch", "query.event.0"),
        ],
    )
    async def test_a_question_that_cannot_be_meant_says_where(self, ask, path, at):
        said = await ask("GET", path)
        assert (said.status, [error["at"] for error in said.json["errors"]]) == (400, [at])

    @pytest.mark.parametrize(
        "path",
        ["/messages?phone=nobody", "/messages?since=yesterday", "/messages?cursor=x", "/messages?limit=1&limit=2",
         "/stats?since=2000-01-01", "/stats?since=9999999d"],
    )  # fmt: skip
    async def test_other_nonsense_is_told_in_words(self, ask, path):
        said = await ask("GET", path)
        assert said.status == 400
        assert said.json["detail"]

    async def test_every_mistake_of_a_body_is_told_at_once(self, ask):
        said = await ask("POST", "/messages", json={"to": [], "text": "", "max_parts": 99, "txt": "x"})
        assert {error["at"] for error in said.json["errors"]} == {
            "body.to", "body.text", "body.max_parts", "body.txt",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b'"x"', b"[" * 5000, b'{"to":["x"],"text":"\\ud800"}', b"\xff"]
    )
    async def test_what_is_no_request_changes_nothing(self, house, ask, body):
        for path in ("/messages", "/preview", "/explain"):
            said = await ask("POST", path, data=body, headers={"Content-Type": "application/json"})
            assert said.status == 400, said
        assert await house.store.count_states() == {}

    async def test_other_types_and_huge_bodies(self, ask):
        assert (await ask("POST", "/messages", data=b"to=x")).status == 415
        huge = json.dumps({"to": [PHONE], "text": "x" * 70_000}).encode()
        assert (await ask("POST", "/messages", data=huge, headers={"Content-Type": "application/json"})).status == 413
        mail = await ask(
            "POST",
            "/preview?to=x@sms.local",
            data=io.BytesIO(b"x" * 10_000_001),
            headers={"Content-Type": "message/rfc822"},
        )
        assert mail.status == 413

    async def test_an_address_that_guesses_tokens_is_not_listened_to(self, ask, ask_as):
        """The eleventh guess costs no hashing. A token that is known goes on."""
        await ask("GET", "/gateways")
        guesses = [(await ask_as(f"guess{n}", "GET", "/gateways")).status for n in range(11)]
        assert guesses == [401] * 10 + [429]
        assert (await ask("GET", "/gateways")).status == 200

    async def test_a_reload_changes_the_tokens(self, house, ask):
        assert (await ask("GET", "/gateways")).status == 200
        config = house.bridge._config
        tokens = [token for token in config.api.tokens if token.name == "reader"]
        api = config.api.model_copy(update={"tokens": tokens})
        await house.bridge.reload(config.model_copy(update={"api": api}))
        assert (await ask("GET", "/gateways")).status == 401


async def test_without_tokens_there_is_no_api():
    """The page is not there, and nothing of it is loaded."""
    async with (
        running_house() as house,
        asking(f"http://127.0.0.1:{house.bridge.web.port}") as ask,
    ):
        assert (await ask("GET", "/messages")).status == 404
        assert (await ask("GET", "/openapi.json")).status == 404
