"""Money has a currency beside it: the configured one, the site's, or what the gateway says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mailbridge.carriers import build_carriers
from mailbridge.config.model import Config
from mailbridge.gateway.smsc.sites import currency_of
from mailbridge.model.outcome import Balance
from tests.support.clock import FakeClock
from tests.support.post import Post


@pytest.mark.parametrize(("url", "currency"), [
    ("https://smsc.ru", "RUR"), ("https://www2.smsc.ru", "RUR"), ("https://smsc.kz/", "KZT"),
    ("https://www.smsc.kz", "KZT"), ("https://smsc.ua:443", "UAH"), ("https://smscentre.com", "RUR"),
    ("http://127.0.0.1:8025", "RUR"), ("https://smsc.kz.example.org", "RUR"),
])  # fmt: skip
def test_the_national_site_tells_the_currency(url, currency):
    """Accounts belong to one site each."""
    assert currency_of([url, "https://smsc.ua"]) == currency


@pytest.mark.parametrize(("keys", "currency"), [({"currency": "eur"}, "EUR"), ({}, "KZT")])
async def test_the_configuration_wins_over_the_site(keys, currency):
    """An account may be kept in another currency."""
    config = Config.model_validate({"gateways": {"main": {"url": "https://smsc.kz", "apikey": "k", **keys}}})
    (carrier,) = build_carriers(config, FakeClock())
    await carrier.gateway.aclose()

    assert carrier.policy.currency == currency


async def test_what_the_gateway_says_with_a_balance_wins():
    """Messages sent from then on carry it."""
    post = Post(currency="RUR")
    first = await post.put(1)
    await post.send_all()
    await post.board.probed("main", Balance(gateway="main", balance=Decimal(5), currency="KZT"))
    second = await post.put(2)
    await post.restart().send_all()

    assert [(await post.row(id_)).currency for id_ in (first, second)] == ["RUR", "KZT"]
