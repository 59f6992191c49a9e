"""``/metrics`` for Prometheus: what is at the moment of asking, and what was counted; never labelled by phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mailbridge.clock import Clock
from mailbridge.delivery.board import Board
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.errors import StoreError
from mailbridge.model.state import State
from mailbridge.queue.contract import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


#: period, unit, used, limit
Gauge = tuple[str, str, float, float]


class _Snapshot(Collector):
    def __init__(
        self, counts: Mapping[State, int], oldest_s: float, fill: float, board: Board, dispatcher: Dispatcher,
        budgets: Sequence[Gauge],
    ) -> None:  # fmt: skip
        self._counts = counts
        self._oldest_s = oldest_s
        self._fill = fill
        self._board = board
        self._dispatcher = dispatcher
        self._budgets = budgets

    def collect(self) -> Iterator[Metric]:
        messages = GaugeMetricFamily("mailbridge_messages", "Messages in the queue and its history", labels=["state"])
        for state in State:
            messages.add_metric([state.value], self._counts.get(state, 0))
        yield messages
        oldest = GaugeMetricFamily(
            "mailbridge_queue_oldest_seconds", "Age of the oldest message that is queued, sending or unknown"
        )
        oldest.add_metric([], self._oldest_s)
        yield oldest
        fill = GaugeMetricFamily("mailbridge_queue_fill_ratio", "Messages that wait, as a share of queue.max_waiting")
        fill.add_metric([], self._fill)
        yield fill
        suspended = GaugeMetricFamily(
            "mailbridge_gateway_suspended", "1 while the gateway takes no messages", labels=["gateway", "code"]
        )
        in_flight = GaugeMetricFamily("mailbridge_gateway_in_flight", "Requests under way", labels=["gateway"])
        balance = GaugeMetricFamily(
            "mailbridge_gateway_balance", "Money left on the account, as last heard", labels=["gateway"]
        )
        for name, carrier in self._board.carriers.items():
            breaker = self._board.states[name]
            suspended.add_metric([name, breaker.code if breaker.suspended else ""], float(breaker.suspended))
            in_flight.add_metric([name], carrier.pace.in_flight)
            if carrier.balance is not None:
                balance.add_metric([name], float(carrier.balance))
        yield suspended
        yield in_flight
        yield balance
        nodes = GaugeMetricFamily("mailbridge_nodes", "Nodes on this queue that live, this one included")
        nodes.add_metric([], self._board.pulse.nodes)
        yield nodes
        used = GaugeMetricFamily(
            "mailbridge_budget_used", "Used up of the budget of all messages", labels=["period", "unit"]
        )
        limit = GaugeMetricFamily(
            "mailbridge_budget_limit", "The budget of all messages, as configured", labels=["period", "unit"]
        )
        for period, unit, spent, most in self._budgets:
            used.add_metric([period, unit], spent)
            limit.add_metric([period, unit], most)
        yield used
        yield limit
        beat = GaugeMetricFamily("mailbridge_worker_beat_seconds", "Unix time of the sending loop's last turn")
        beat.add_metric([], self._dispatcher.beat_at.timestamp())
        yield beat


def add_routes(
    app: web.Application,
    *,
    store: Store,
    board: Board,
    dispatcher: Dispatcher,
    clock: Clock,
    registry: CollectorRegistry,
    fill: Callable[[], float],
    budgets: Callable[[], Sequence[Gauge]] = tuple,
) -> None:
    """Serve ``/metrics``: what is now, and the counters of *registry*; *fill*: the queue's, 1.0 at its limit."""

    async def metrics(_request: web.Request) -> web.Response:
        try:
            counts, oldest_at = await store.count_states(), await store.oldest_waiting_at()
        except StoreError:
            counts, oldest_at = {}, None
        oldest_s = 0.0 if oldest_at is None else max(0.0, (clock.now() - oldest_at).total_seconds())
        now = CollectorRegistry(auto_describe=False)
        now.register(_Snapshot(counts, oldest_s, fill(), board, dispatcher, budgets()))
        return web.Response(
            body=generate_latest(now) + generate_latest(registry), headers={"Content-Type": CONTENT_TYPE}
        )

    app.router.add_get("/metrics", metrics)
