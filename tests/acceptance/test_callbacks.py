"""SMSC's callbacks through the whole bridge: what is believed, what is answered, and what each one changes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from pydantic import SecretStr

from mailbridge.errors import StoreError
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, StoredMessage
from mailbridge.queue.memory import MemoryStore
from tests.support.house import House, id_of, running_house
from tests.support.programs import free_port, until

SECRET, PATH = "s3cret", "4f9cab"
#: callbacks alone tell: nothing is asked
GATEWAY: Mapping[str, Any] = {"poll": "0s", "callback_path": PATH, "callback_secret": SECRET}
GOOD = "+79990000001"
#: the simulator says nothing by itself about it
SILENT = "+79990000200"


def signed(fields: Mapping[str, str], *algorithms: str, secret: str = SECRET) -> dict[str, str]:
    """Return *fields* with the signatures of smsc-api.md 5.6 beside them, computed independently of both programs."""
    text = ":".join((fields["id"], fields["phone"], fields["status"], secret)).encode()
    return {**fields, **{name: hashlib.new(name, text).hexdigest() for name in algorithms}}


def status_of(row: StoredMessage, status: int) -> dict[str, str]:
    """Return the fields of a status event about *row*, as SMSC has them."""
    return {
        "id": row.gateway_id or "", "phone": row.message.phone.removeprefix("+"), "status": str(status), "err": "0",
        "ts": "1772442000", "time": "02.03.2026 12:00:00", "cnt": "1", "cost": "1.40", "type": "0", "flag": "0",
    }  # fmt: skip


class Caller:
    """Somebody who calls the callback page."""

    def __init__(self, house: House, http: aiohttp.ClientSession) -> None:
        self.house = house
        self._http = http

    async def call(
        self, fields: Mapping[str, str], *, method: str = "POST", path: str = f"main/{PATH}", **kwargs: Any
    ) -> int:
        """Call and return the HTTP status."""
        assert self.house.bridge.web is not None
        url = f"http://127.0.0.1:{self.house.bridge.web.port}/callback/{path}"
        place = {"params": fields} if method == "GET" else {"data": fields}
        async with self._http.request(method, url, **{**place, **kwargs}) as response:
            await response.read()
            return response.status

    async def tell(self, row: StoredMessage, status_: int, **changes: str) -> int:
        """Call as SMSC does when *row* has a new status."""
        return await self.call(signed(status_of(row, status_) | changes, "md5", "sha1"))

    async def sent(self, phone: str = SILENT, **kwargs: Any) -> StoredMessage:
        """Send one mail and return its message once the gateway took it."""
        reply = await self.house.mail(phone, **kwargs)
        return await self.house.state(f"{id_of(reply)}.1", State.SENT)

    async def row(self, row: StoredMessage) -> StoredMessage:
        """Return the message as it is now."""
        return (await self.house.store.get_messages(row.id))[0]

    async def events(self, row: StoredMessage) -> list[str]:
        """Return its history, from the moment it was sent."""
        events = [line.event for line in await self.house.store.history(row.id)]
        return events[events.index("attempt") + 1 :]


@asynccontextmanager
async def calling(**sections: Any) -> AsyncIterator[Caller]:
    """Run a bridge that is called back."""
    gateway = {**GATEWAY, **sections.pop("gateway", {})}
    async with running_house(gateway=gateway, **sections) as house, aiohttp.ClientSession() as http:
        yield Caller(house, http)


class TestBelief:
    """403 forged, 404 wrong path, 200 everything else."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("algorithms", [("md5",), ("sha1",), ("md5", "sha1")], ids="+".join)
    async def test_a_signed_callback_is_believed(self, method, algorithms):
        """By md5 or sha1, in the query or in the body."""
        async with calling() as caller:
            row = await caller.sent()
            assert await caller.call(signed(status_of(row, 1), *algorithms), method=method) == 200
            assert (await caller.row(row)).state is State.DELIVERED

    @pytest.mark.parametrize(
        "forge",
        [
            lambda fields: fields,
            lambda fields: signed(fields, "md5", "sha1", secret="guess"),
            lambda fields: {**signed(fields, "md5"), "status": "1", "phone": "79990000299"},
            lambda fields: {**signed(fields | {"status": "20"}, "md5", "sha1"), "status": "1"},
            lambda fields: {**signed(fields, "md5"), "sha1": "0" * 40},
            lambda fields: {**fields, "crc32": "1144613607"},
            lambda fields: {**fields, "md5": "", "sha1": ""},
            lambda fields: {**fields, "md5": "ё" * 32},
            lambda fields: {},
        ],
        ids=["unsigned", "other secret", "other phone", "other status", "sha1 wrong", "crc32 alone", "empty",
             "not ASCII", "nothing"],
    )  # fmt: skip
    async def test_a_forged_one_changes_nothing(self, forge):
        """403, and the message stays as it was."""
        async with calling() as caller:
            row = await caller.sent()
            assert await caller.call(forge(status_of(row, 1))) == 403
            assert await caller.row(row) == row

    @pytest.mark.parametrize("path", [f"main/{PATH}x", "main/", "main/x", f"other/{PATH}", "main", f"main/{PATH}/x"])
    async def test_a_wrong_path_is_no_page(self, path):
        """404, whatever was sent to it."""
        async with calling() as caller:
            row = await caller.sent()
            assert await caller.call(signed(status_of(row, 1), "sha1"), path=path) == 404
            assert await caller.row(row) == row

    async def test_without_a_path_there_is_no_page(self):
        """A gateway without callback_path has none at all."""
        async with calling(gateway={"callback_path": None, "callback_secret": None}) as caller:
            assert await caller.call({}, path="main/None") == 404
            assert await caller.call({}, path="main/") == 404

    async def test_without_a_secret_the_path_is_the_key(self):
        """An unsigned callback to the right path is believed."""
        async with calling(gateway={"callback_secret": None}) as caller:
            row = await caller.sent()
            assert await caller.call(status_of(row, 1)) == 200
            assert (await caller.row(row)).state is State.DELIVERED

    @pytest.mark.parametrize("path", ["4f9c…", "кот", "a+b", "a%b", "x?y#z", "50%25", "ab:c@d"])
    async def test_the_path_may_hold_any_characters(self, path):
        """They come percent-encoded, as every client writes them; another spelling of them is the same path."""
        async with calling(gateway={"callback_path": path}) as caller:
            row = await caller.sent()
            assert await caller.call(signed(status_of(row, 1), "sha1"), path=f"main/{quote(path[:-1])}") == 404
            assert await caller.call(signed(status_of(row, 1), "sha1"), path=f"main/{quote(path, safe='')}") == 200
            assert (await caller.row(row)).state is State.DELIVERED
            assert await caller.call(signed(status_of(row, 1), "sha1"), path=f"main/{quote(path).lower()}") == 200

    async def test_what_is_about_nothing_of_ours_is_answered_200(self):
        """An unknown id, a right id with another phone, an unknown kind of event, fields that make no sense."""
        async with calling() as caller:
            row = await caller.sent()
            for changes in (
                {"id": "987654321"}, {"phone": "79990000002"}, {"status": "abc"}, {"phone": "a@b"}, {"id": ""},
                {"status": "9" * 5000}, {"id": "x" * 2000}, {"phone": "\0"},
            ):  # fmt: skip
                assert await caller.tell(row, 1, **changes) == 200
            assert await caller.call({"mes": "hi", "phone": "1", "to": "2", "sha1": _sha1("1:hi:2")}) == 200
            assert await caller.call({"waitcall": "1", "phone": "1", "ts": "2", "sha1": _sha1("1:2")}) == 200
            assert await caller.row(row) == row

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"data": b"id=\xff&phone=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            {"data": b"id=1", "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=klingon"}},
            {"data": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            {"data": b"{}", "headers": {"Content-Type": "application/json"}},
        ],
        ids=["octets", "charset", "multipart", "json"],
    )
    async def test_a_body_that_cannot_be_read_is_a_forged_one(self, kwargs):
        """403, never an error of ours."""
        async with calling() as caller:
            assert await caller.call({}, **kwargs) == 403

    async def test_a_body_too_large_is_not_read(self):
        """413 beyond 64 KB; the next callback is taken."""
        async with calling() as caller:
            row = await caller.sent()
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert await caller.call({}, data=b"x=" + b"y" * 100_000, headers=form) == 413
            assert await caller.tell(row, 1) == 200


def _sha1(text: str) -> str:
    return hashlib.sha1(f"{text}:{SECRET}".encode()).hexdigest()


class TestOrder:
    """Repeated, late, early and shuffled: the same end, one line of history for each change."""

    async def test_a_hundred_repetitions_are_one_change(self):
        """SMSC repeats what it thinks was not heard; at the same time, too."""
        async with calling() as caller:
            row = await caller.sent()
            answers = await asyncio.gather(*(caller.tell(row, 1) for _ in range(100)))
            assert set(answers) == {200}
            assert await caller.events(row) == ["sent", "delivered"]

    async def test_two_hours_late(self):
        """A message nobody asks about waits for its callback as long as it takes."""
        async with calling() as caller:
            row = await caller.sent()
            await caller.house.pass_s(2 * 3600)
            assert await caller.tell(row, 1) == 200
            assert (await caller.row(row)).state is State.DELIVERED
            assert caller.house.requests("status") == []

    @pytest.mark.parametrize("late", [0, -1, 20, 3, 25])
    async def test_a_delivered_message_stays_delivered(self, late):
        """Whatever comes afterwards, in whatever order it was sent."""
        async with calling() as caller:
            row = await caller.sent()
            assert await caller.tell(row, 1) == 200
            assert await caller.tell(row, late, err="1") == 200
            assert (await caller.row(row)).state is State.DELIVERED
            assert await caller.events(row) == ["sent", "delivered"]
            await caller.house.pass_s(60)
            assert caller.house.smarthost.mails == []

    async def test_delivered_overrides_an_earlier_failure(self):
        """A report that went out is not taken back; the state and the history tell the truth."""
        async with calling() as caller:
            row = await caller.sent()
            assert await caller.tell(row, 20, err="1") == 200
            await caller.house.reports()
            assert await caller.tell(row, 1) == 200
            assert (await caller.row(row)).state is State.DELIVERED
            assert await caller.events(row) == ["sent", "undelivered", "bounced", "delivered"]

    async def test_shuffled_callbacks_end_the_same(self):
        """20 messages, each told 0, 1 and 1 again, all in a random order among forged ones."""
        random = Random(7)
        async with calling() as caller:
            rows = [await caller.sent(text=f"text {n}") for n in range(20)]
            calls = [(row, status, True) for row in rows for status in (0, 1, 1)]
            calls += [(row, 20, False) for row in rows]
            random.shuffle(calls)
            for row, status, genuine in calls:
                fields = status_of(row, status)
                expected = 200 if genuine else 403
                assert await caller.call(signed(fields, "sha1") if genuine else fields) == expected
            for row in rows:
                assert (await caller.row(row)).state is State.DELIVERED
                assert await caller.events(row) == ["sent", "delivered"]

    @pytest.mark.slow
    async def test_before_the_answer_of_send(self):
        """The callback overtakes the HTTP answer: the message is delivered, and the answer changes nothing."""
        async with calling(gateway={"timeout": "20s"}) as caller:
            caller.house.fault(wire="hang", stage="after", methods=["send"])
            reply = await caller.house.mail(SILENT)
            await until(lambda: caller.house.simulator.inbox)
            (row,) = await caller.house.rows(reply)
            assert row.state is State.SENDING
            assert await caller.tell(row, 0) == 200
            assert (await caller.row(row)).state is State.SENT
            assert await caller.tell(row, 1) == 200
            assert await caller.tell(row, 0) == 200
            row = await caller.row(row)
            assert (row.state, str(row.price), row.parts) == (State.DELIVERED, "1.40", 1)
            assert await caller.events(row) == ["sent", "delivered"]

    async def test_an_answer_that_comes_in_the_same_moment_loses_no_receipt(self):
        """The row moves on between looking it up and writing: the receipt is decided again, not dropped."""
        store = SlowToApply()
        async with calling(store=store) as caller:
            row = await caller.sent()
            store.before_next = Change(
                message_id=row.id, expect=frozenset({State.SENT}), to=State.UNDELIVERED, at=caller.house.clock.now(),
                event="undelivered",
            )  # fmt: skip
            assert await caller.tell(row, 1) == 200
            assert (await caller.row(row)).state is State.DELIVERED

    async def test_for_an_earlier_attempt(self):
        """A request that was given up for lost arrived after all, when a second attempt was already made."""
        async with calling(gateway={"quarantine": "20s", "timeout": "1s"}) as caller:
            caller.house.fault(wire="close", times=1, methods=["send"])
            reply = await caller.house.mail(SILENT)
            row = await caller.house.state(f"{id_of(reply)}.1", State.SENT)
            first, second = await caller.house.store.attempts_of(row.id)
            assert row.gateway_id == second.gateway_id != first.gateway_id
            assert await caller.tell(row, 1, id=first.gateway_id) == 200
            row = await caller.row(row)
            assert (row.state, row.gateway_id) == (State.DELIVERED, first.gateway_id)


class SlowToApply(MemoryStore):
    """A store in which somebody else comes first once."""

    before_next: Change | None = None

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        first, self.before_next = self.before_next, None
        if first is not None:
            await super().apply([first])
        return await super().apply(changes)


class Breakable(MemoryStore):
    """A store whose disk can be taken away."""

    broken = ""

    async def find_attempts(self, keys):
        if self.broken == "find_attempts":
            raise StoreError
        return await super().find_attempts(keys)

    async def apply(self, changes):
        if self.broken == "apply":
            raise StoreError
        return await super().apply(changes)


@pytest.mark.parametrize("broken", ["find_attempts", "apply"])
async def test_a_store_that_is_down_makes_the_gateway_call_again(broken):
    """503 means: not heard. The repetition, when the disk is back, is taken."""
    store = Breakable()
    async with calling(store=store) as caller:
        row = await caller.sent()
        store.broken = broken
        assert await caller.tell(row, 1) == 503
        store.broken = ""
        assert await caller.tell(row, 1) == 200
        assert await caller.events(row) == ["sent", "delivered"]


@pytest.mark.parametrize("verdict", ["queued", "verdict"])
async def test_the_simulators_own_callbacks(verdict):
    """The two programs agree on address, fields and signatures; with `poll: 0` nothing else is asked."""
    port = free_port()
    account = {"callback_url": f"http://127.0.0.1:{port}/callback/main/{PATH}", "callback_secret": SECRET}
    sections = {"web": {"listen": f"127.0.0.1:{port}"}, "smtp": {"reply": verdict}}
    async with calling(account=account, **sections) as caller:
        house = caller.house
        good = await house.mail((GOOD, "NOTIFY=SUCCESS"))
        bad = await house.mail("+79990000225")
        await house.reports(2)
        await house.pass_s(3600)
        assert [(await house.rows(reply))[0].state for reply in (good, bad)] == [State.DELIVERED, State.UNDELIVERED]
        assert [await caller.events(row) for reply in (good, bad) for row in await house.rows(reply)] == [
            ["sent", "delivered", "bounced"], ["sent", "undelivered", "bounced"]
        ]  # fmt: skip
        assert house.requests("status") == []
        assert len(house.smarthost.mails) == 2


async def test_a_reload_changes_path_and_secret():
    """The old path is gone and the new secret is in force without a restart."""
    async with calling() as caller:
        row = await caller.sent()
        config = caller.house.bridge._config
        main = config.gateways["main"].model_copy(
            update={"callback_path": SecretStr("newpath"), "callback_secret": None}
        )
        await caller.house.bridge.reload(config.model_copy(update={"gateways": {"main": main}}))
        assert await caller.tell(row, 1) == 404
        assert await caller.call(status_of(row, 1), path="main/newpath") == 200
        assert (await caller.row(row)).state is State.DELIVERED
