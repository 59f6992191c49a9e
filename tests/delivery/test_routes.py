"""Which gateway carries which number, and what a gateway that is away or has no way means for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailbridge.delivery.routes import Route, choose_way, next_ways, ways_of
from mailbridge.model.outcome import ErrorClass, SmsError
from tests.support.delivery import row as new_row

ALL = ("main", "second", "third")
ROUTES = (Route(prefixes=("+7", "+375"), gateways=("main", "second")), Route(gateways=("third", "main")))


def row(phone: str = "+79990000001", *, gateway: str | None = None, error_class: ErrorClass | None = None):
    """Return a waiting message."""
    found = new_row()
    error = None if error_class is None else SmsError(code="8", text="x", error_class=error_class)
    return replace(found, message=replace(found.message, phone=phone), gateway=gateway, error=error)


@pytest.mark.parametrize(
    ("phone", "ways"),
    [("+79990000001", ("main", "second")), ("+375291234567", ("main", "second")), ("+84912345678", ("third", "main"))],
)
def test_the_first_route_that_fits_decides(phone, ways):
    """By the beginning of the number."""
    assert ways_of(row(phone), ROUTES, ALL) == ways


def test_without_routes_it_is_the_order_written():
    """And a route's gateway that is gone since a reload is left out."""
    assert ways_of(row(), (), ALL) == ALL
    assert ways_of(row(), ROUTES, ("second",)) == ("second",)


def test_the_first_that_takes_messages_now():
    """None where all of them are away: then it waits."""
    assert choose_way(("main", "second"), {"second": 1, "third": 1}) == "second"
    assert choose_way(("main", "second"), {"third"}) is None


def test_where_there_was_no_way_the_next_gateway_is_left():
    """Only for that reason, and only until the configuration is another."""
    stuck = row(gateway="main", error_class=ErrorClass.NO_ROUTE)
    assert ways_of(stuck, ROUTES, ALL) == ("second",)
    assert next_ways(stuck, ROUTES, ALL) == ("second",)
    assert ways_of(row(gateway="main", error_class=ErrorClass.DEFERRED), ROUTES, ALL) == ("main", "second")
    last = row(gateway="second", error_class=ErrorClass.NO_ROUTE)
    assert next_ways(last, ROUTES, ALL) == ()
    assert ways_of(last, ROUTES, ALL) == ("main", "second")
    assert next_ways(row(gateway="gone"), ROUTES, ALL) == ()
