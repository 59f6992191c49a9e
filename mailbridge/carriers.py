"""The configured carriers, each of its own kind, with what delivery and callbacks keep beside them.

Called by ``app.py`` and the verbs. Must not ask a carrier anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.config.model import Gateway as GatewaySettings
from mailbridge.delivery.board import Carrier
from mailbridge.delivery.decide import Policy
from mailbridge.delivery.receipts import Verdict
from mailbridge.delivery.retry import Backoff
from mailbridge.delivery.routes import Route
from mailbridge.gateway.contract import Gateway
from mailbridge.gateway.smsc.callback import parse_event
from mailbridge.gateway.smsc.client import SmscGateway
from mailbridge.gateway.smsc.codes import meaning_of
from mailbridge.gateway.smsc.sites import currency_of
from mailbridge.meter import Meter, metered_gateway
from mailbridge.model.outcome import Receipt
from mailbridge.prices import Prices, learning_gateway
from mailbridge.web import callback


def read_receipt(receipt: Receipt) -> Verdict:
    """Read a receipt by SMSC's own tables; a carrier's own word, where it has words, stands for the code."""
    meaning = meaning_of(receipt.status, receipt.err)
    code = receipt.word or meaning.code
    return Verdict(state=meaning.state, enhanced=meaning.enhanced, code=code, text=meaning.words)


def build_carriers(
    config: Config, clock: Clock, meter: Meter | None = None, prices: Prices | None = None
) -> list[Carrier]:
    """Return the configured gateways, in their order; *meter* times their requests, *prices* hears what they cost."""
    backoff = Backoff(min_s=config.queue.retry_min, max_s=config.queue.retry_max)
    return [
        Carrier(
            _watched(gateway, currency, clock, meter, prices),
            policy=Policy(
                backoff=backoff,
                poll_s=settings.poll,
                quarantine_s=settings.quarantine,
                on_unknown=settings.on_unknown,
                kind=settings.type,
                currency=currency,
            ),
            read=read_receipt,
            max_in_flight=settings.max_in_flight,
        )
        for name, settings in config.gateways.items()
        for gateway in (build_gateway(name, settings, clock),)
        for currency in (settings.currency or ("" if settings.type == "http" else currency_of(settings.url)),)
    ]


def _watched(gateway: Gateway, currency: str, clock: Clock, meter: Meter | None, prices: Prices | None) -> Gateway:
    timed = gateway if meter is None else metered_gateway(gateway, meter, clock)
    return timed if prices is None else learning_gateway(timed, prices, currency=currency or None)


def build_routes(config: Config) -> list[Route]:
    """Return which numbers go through which gateways."""
    return [Route(prefixes=tuple(one.match.prefix), gateways=tuple(one.gateways)) for one in config.routes]


def build_gateway(name: str, settings: GatewaySettings, clock: Clock) -> Gateway:
    """Return the way to a carrier of its kind; one that nobody uses is not loaded."""
    if settings.type == "http":
        from mailbridge.gateway.http.gateway import HttpGateway  # noqa: PLC0415 - only where it is used

        return HttpGateway(name, settings, clock=clock)
    return SmscGateway(name, settings, clock=clock)


def _reader_of(settings: GatewaySettings) -> callback.ReadEvent:
    """Return how the reports of a carrier are read."""
    if settings.type != "http":
        return parse_event

    def read(fields: Mapping[str, str], name: str) -> Receipt | None:
        from mailbridge.gateway.http.gateway import read_callback  # noqa: PLC0415 - only where it is used

        return read_callback(settings, fields, name)

    return read


def build_entrances(config: Config) -> dict[str, callback.Entrance]:
    """Return where the gateways that call back do so."""
    return {
        name: callback.Entrance(
            gateway=name,
            path=settings.callback_path.get_secret_value(),
            secret=settings.callback_secret,
            read=_reader_of(settings),
        )
        for name, settings in config.gateways.items()
        if settings.callback_path
    }
