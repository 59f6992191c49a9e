"""status.php, balance.php, get.php and info.php answer as smsc-api.md sections 4 and 6 say."""

import pytest

from tests.support.clock import START

T0 = int(START.timestamp())
PHONE = "79990000001"


@pytest.fixture
async def sent(client):
    """A client that has sent one message, long enough ago."""
    await client.send("+" + PHONE, "Hello", id=5001, sender="ACME")
    client.clock.advance(4)
    return client


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        (0, "Status = 1, check_time = 02.03.2026 12:00:03"),
        (1, f"1,{T0 + 3},0"),
        (
            2,
            (
                "<status><status>1</status><last_date>02.03.2026 12:00:03</last_date>"
                f"<last_timestamp>{T0 + 3}</last_timestamp><flag>0</flag><err>0</err></status>"
            ),
        ),
        (3, f'{{"status":1,"last_date":"02.03.2026 12:00:03","last_timestamp":{T0 + 3},"flag":0,"err":0}}'),
    ],
)
async def test_single(sent, fmt, expected):
    """Section 4.2: one message, all=0."""
    assert await sent.text("status", phone=PHONE, id=5001, fmt=fmt) == expected


async def test_life(client):
    """Section 10: -1 at once, 0 after a second, final after three."""
    await client.send("+" + PHONE, id=1)
    seen = []
    for _ in range(5):
        answer = await client.json("status", phone="+" + PHONE, id=1)
        seen.append((answer["status"], answer["last_timestamp"] - T0))
        client.clock.advance(1)
    assert seen == [(-1, 0), (0, 1), (0, 1), (1, 3), (1, 3)]


async def test_scheduled(client):
    """A message for later stays queued until then."""
    await client.send("+" + PHONE, id=1, time="+5")
    client.clock.advance(299)
    assert (await client.json("status", phone=PHONE, id=1))["status"] == -1
    client.clock.advance(5)
    assert (await client.json("status", phone=PHONE, id=1))["status"] == 1


async def test_all(sent):
    """Section 4.3: the fields of all=2, in order."""
    answer = await sent.json("status", phone=PHONE, id=5001, all=2)
    assert list(answer) == [
        "status", "last_date", "last_timestamp", "flag", "err", "send_date", "send_timestamp", "phone", "country",
        "operator", "operator_orig", "region", "cost", "sender_id", "status_name", "message", "comment", "mccmnc", "type",
        "sms_cnt",
    ]  # fmt: skip
    assert answer["status_name"] == "Доставлено"
    assert answer["sender_id"] == "ACME"
    xml = await sent.text("status", phone=PHONE, id=5001, all=1, fmt=2)
    assert xml.startswith("<sms><status>1</status>")


@pytest.mark.parametrize(("level", "text_at"), [(1, 8), (2, 11)])
async def test_csv_all(sent, level, text_at):
    """Section 4.3: the text stands last, at its documented place."""
    fields = (await sent.text("status", phone=PHONE, id=5001, all=level, fmt=1)).split(",")
    assert len(fields) == text_at + 1
    assert fields[text_at] == "Hello"
    assert fields[4] == PHONE


@pytest.mark.parametrize(("level", "mark_at"), [(1, 16), (2, 19)])
async def test_csv_hlr(client, level, mark_at):
    """Section 4.3: an HLR has eight more fields and the word HLR where a sender name would stand."""
    await client.json("send", phones=PHONE, hlr=1, id=3)
    client.clock.advance(4)
    assert (await client.text("status", phone=PHONE, id=3, fmt=1)).split(",")[3] == "250010000000001"
    fields = (await client.text("status", phone=PHONE, id=3, all=level, fmt=1)).split(",")
    assert fields[{1: 14, 2: 17}[level]] == "HLR"
    assert len(fields) == mark_at + 1


async def test_list(client):
    """Section 4.4: an array in the request's order, each with id and phone; unknown ones are -3."""
    await client.send("79990000001,79990000225", id=5001)
    client.clock.advance(4)
    answer = await client.json("status", phone="79990000001, 79990000225,79990000009", id="5001,5001,77")
    assert [(one["status"], one["err"], one["id"], one["phone"]) for one in answer] == [
        (1, 0, 5001, "79990000001"),
        (25, 248, 5001, "79990000225"),
        (-3, 0, 77, "79990000009"),
    ]
    lines = await client.text("status", phone="79990000001,79990000225", id="5001,5001", fmt=1)
    assert lines.splitlines() == [f"1,{T0 + 3},0,5001,79990000001", f"25,{T0 + 1},248,5001,79990000225"]


async def test_trailing_comma(sent):
    """Section 4.1: it forces the shape of a list."""
    assert isinstance(await sent.json("status", phone=f"{PHONE},", id="5001,"), list)


@pytest.mark.parametrize("wrong", [{"id": "1,2"}, {"phone": ""}, {"id": ""}, {"all": 3}, {"id": ",,"}])
async def test_unpaired(client, wrong):
    """Section 4.4: lists that don't pair are error 1, as an object."""
    assert (await client.json("status", **({"phone": PHONE, "id": "1"} | wrong)))["error_code"] == 1


async def test_not_found_is_a_status(client):
    """Section 4.2: -3 is no error."""
    assert (await client.json("status", phone=PHONE, id=1))["status"] == -3
    assert (await client.text("status", phone=PHONE, id=1, fmt=0)).startswith("Status = -3")
    assert (await client.text("status", phone=PHONE, id=1, fmt=1, all=2)) == "-3,0,0"


async def test_newest_of_equals(client):
    """Section 10: the same phone and id twice tells of the newest."""
    await client.send("+79990000220,+79990000001", id=1)
    client.clock.advance(100)
    await client.send("+79990000001,+79990000220", "again", id=1)
    assert (await client.json("status", phone="79990000220", id=1))["status"] == -1


async def test_string_ids(client):
    """Section 2.4: a string id stays a string."""
    assert (await client.send("+" + PHONE, id="K7Q2.a-1_b"))["id"] == "K7Q2.a-1_b"
    assert (await client.json("status", phone=f"{PHONE},", id="K7Q2.a-1_b,"))[0]["id"] == "K7Q2.a-1_b"


async def test_deletion(sent):
    """Section 4.7: OK once, error 5 afterwards."""
    assert await sent.json("status", phone=PHONE, id=5001, **{"del": 1}) == {"result": "OK"}
    assert (await sent.json("status", phone=PHONE, id=5001, **{"del": 1}))["error_code"] == 5
    assert (await sent.json("status", phone=PHONE, id=5001))["status"] == -3


async def test_another_accounts_messages_are_unknown(client):
    """Messages belong to a login."""
    await client.send("+" + PHONE, id=1)
    assert client.simulator.carrier.store.find("other", PHONE, "1") is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"fmt": 0}, "1000.00"), ({"fmt": 1}, "1000.00"), ({"fmt": 2}, "<balance>1000.00</balance>"),
        ({"fmt": 3}, '{"balance":"1000.00"}'), ({"fmt": 3, "cur": 1}, '{"balance":"1000.00","currency":"RUR"}'),
        ({"fmt": 1, "cur": 1}, "1000.00,RUR"),
    ],
)  # fmt: skip
async def test_balance(client, params, expected):
    """Section 6.1, in every format."""
    assert await client.text("balance", **params) == expected


async def test_operator(client):
    """Section 6.5: one number an object, several an array, an unknown one error 3."""
    one = {"country": "Россия", "operator": "МТС", "region": "Москва", "mcc": "250", "mnc": "01", "tz": "0"}
    assert await client.json("info", get_operator=1, phone=PHONE) == one
    assert len(await client.json("info", get_operator=1, phone=f"{PHONE},+84912345678")) == 2
    assert (await client.json("info", get_operator=1, phone="+299123456"))["error_code"] == 3
    assert (await client.json("info", phone=PHONE))["error_code"] == 1


async def test_history(client):
    """Section 6.3: newest first, paged by int_id, by day and phone; nothing is error 3."""
    assert (await client.json("get", get_messages=1))["error_code"] == 3
    for number in range(3):
        await client.send(f"+7999000000{number}", id=number + 1)
    page = await client.json("get", get_messages=1, cnt=2)
    assert [one["id"] for one in page] == ["3", "2"]
    assert [one["id"] for one in await client.json("get", get_messages=1, prev_id=page[-1]["int_id"])] == ["1"]
    assert [one["id"] for one in await client.json("get", get_messages=1, phone="79990000001")] == ["2"]
    assert len(await client.json("get", get_messages=1, start="02.03.2026", end="02.03.2026")) == 3
    assert (await client.json("get", get_messages=1, start="03.03.2026"))["error_code"] == 3
    assert (await client.json("get", get_messages=1, start="yesterday"))["error_code"] == 1


async def test_inbox(client):
    """Section 6.2: what came in through the control page, after a cursor."""
    assert await client.json("get", get_answers=1) == []
    url = client.simulator.url + "/control/answers"
    for text in ("STOP", "Да"):
        async with client.http.post(url, json={"phone": "+79991234567", "mes": text}) as response:
            assert response.status == 201
    both = await client.json("get", get_answers=1)
    assert [(one["phone"], one["message"], one["to_phone"]) for one in both] == [
        ("79991234567", "STOP", "79037672215"),
        ("79991234567", "Да", "79037672215"),
    ]
    assert [one["message"] for one in await client.json("get", get_answers=1, after_id=both[0]["id"])] == ["Да"]
    client.clock.advance(7200)
    assert await client.json("get", get_answers=1, hour=1) == []


async def test_other_data(client):
    """Section 6.4: statistics, prices and sender names."""
    await client.send("+" + PHONE)
    assert (await client.json("get", get_stat=1))[0] | {} == {
        "login": "demo", "cnt": 1, "credit": "1.40", "debit": "0.00", "currency": "RUR",
    }  # fmt: skip
    assert (await client.json("get", get_price=1))[0]["price"] == "1.40"
    assert await client.json("get", get_senders=1) == [{"sender": "SMSC.RU"}]
    assert (await client.json("get"))["error_code"] == 1
