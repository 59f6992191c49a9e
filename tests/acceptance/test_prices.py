"""What a message costs is shown before it is spent, and nobody waits for it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from mailbridge.clerk import Clerk
from mailbridge.gateway.contract import Price
from mailbridge.model.mail import Client
from mailbridge.model.outcome import Accepted, ErrorClass, SmsError
from mailbridge.model.phone import Phone
from mailbridge.model.price import FRESH_FOR, PartPrice
from mailbridge.prices import Prices, ask_price, find_price, keep_price, read_prices
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.house import running_house
from tests.support.sms import message

PHONE, NEAR, FAR = Phone("+79990000001"), Phone("+79995555555"), Phone("+74950000001")


class Carrier:
    """A gateway of which only the price is asked."""

    name = "main"

    def __init__(self, answer=None):
        self.asked = 0
        self.answer = answer or Price(cost=Decimal("2.80"), parts=2)

    async def price(self, _message):
        self.asked += 1
        return self.answer


async def ask(carrier, store, clock, phone=PHONE, parts=2):
    """Ask as ``preview --cost`` does."""
    return await ask_price(
        carrier, message(phone=phone, parts=parts), currency="RUB", store=store, known=await read_prices(store),
        now=clock.now(),
    )  # fmt: skip


async def test_a_gateway_is_asked_once_a_day_for_numbers_that_begin_alike():
    """Another number of that operator costs nothing to know, another operator is asked, a day later all are again."""
    store, clock, carrier = MemoryStore(), FakeClock(), Carrier()
    assert (await ask(carrier, store, clock)).cost == Decimal("2.80")
    assert await ask(carrier, store, clock, NEAR, parts=3) == Price(cost=Decimal("4.20"), parts=3, currency="RUB")
    assert carrier.asked == 1
    await ask(carrier, store, clock, FAR)
    assert carrier.asked == 2
    clock.advance(FRESH_FOR.total_seconds())
    await ask(carrier, store, clock)
    assert carrier.asked == 3
    clock.jump_wall(-10 * 86_400)
    await ask(carrier, store, clock)
    assert carrier.asked == 4


async def test_a_gateway_that_says_no_price_leaves_what_was_known():
    """Its answer is handed on, and nothing is kept of it."""
    store, clock = MemoryStore(), FakeClock()
    trouble = SmsError(code="2", text="login", error_class=ErrorClass.DEFERRED)
    assert await ask(Carrier(trouble), store, clock) is trouble
    assert await read_prices(store) == {}


async def test_a_note_nobody_can_read_is_no_price():
    """What another version may have written is left alone."""
    store = MemoryStore()
    await store.keep_note("price:main:+7999", "{}", until=FakeClock().now())
    assert await read_prices(store) == {}


async def test_what_was_paid_is_known_and_kept_once():
    """Each message that a gateway took tells a price; the store is written when it is new, has changed or is old."""
    store, clock = MemoryStore(), FakeClock()
    prices = Prices(store=store, clock=clock)
    taken = Accepted(gateway_id="1", parts=2, price=Decimal("3.00"))
    prices.learn("main", message(phone=PHONE), Accepted(gateway_id="1", parts=1), "RUB")
    assert prices.of(["main"], PHONE) is None
    prices.learn("main", message(phone=PHONE), taken, "RUB")
    await prices.step()
    known = await read_prices(store)
    assert find_price(known, ["other", "main"], NEAR) == PartPrice(cost=Decimal("1.50"), currency="RUB", at=clock.now())
    clock.advance(3600)
    prices.learn("main", message(phone=PHONE), taken, "RUB")
    await prices.step()
    assert await read_prices(store) == known
    clock.advance(FRESH_FOR.total_seconds())
    prices.learn("main", message(phone=PHONE), taken, "RUB")
    await prices.step()
    assert (await read_prices(store))["main", "+7999"].at == clock.now()
    other = Prices(store=store, clock=clock)
    await other.load()
    assert other.of(["main"], NEAR) == prices.of(["main"], NEAR)


@pytest.mark.slow
async def test_the_log_and_explain_say_what_a_message_costs():
    """From the second message to an operator on; the bridge asks for no price itself."""
    async with running_house() as house:
        await house.mail(PHONE, subject="one")
        await house.pass_s(30)
        with capture_logs() as logs:
            await house.mail(NEAR, text="x" * 200)
        [queued] = [line for line in logs if line["event"] == "queued"]
        assert queued["price"] == "2.8"
        assert not any("cost" in request and request["cost"] == "1" for request in house.requests())
        clerk = Clerk(config=house.bridge._config, clock=house.clock)
        told = await clerk.explain(
            house.store, b"Subject: hi\r\n\r\nthere", [f"{NEAR}@sms.local"], sender="a@example.org",
            client=Client(address="127.0.0.1"),
        )  # fmt: skip
        [said] = [step.because for step in told.steps if step.stage == "message" and step.result == "send"]
        assert said.startswith(f"{NEAR}: 1 part, gsm7, 1.4 RUR: hi: there")


async def test_an_old_price_is_known_but_asked_for_again():
    """Shown where nobody may ask, for it is better than none."""
    store, clock = MemoryStore(), FakeClock()
    price = PartPrice(cost=Decimal(1), currency=None, at=clock.now() - timedelta(days=3))
    await keep_price(store, "main", PHONE, price)
    assert find_price(await read_prices(store), ["main"], PHONE).of(3) == "3"
    assert not price.is_fresh(clock.now())
