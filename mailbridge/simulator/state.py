"""Where an application keeps the simulator's parts."""

from __future__ import annotations

from aiohttp import web

from mailbridge.simulator.callbacks import Callbacks
from mailbridge.simulator.carrier import Carrier
from mailbridge.simulator.ledger import Ledger

CARRIER = web.AppKey("carrier", Carrier)
LEDGER = web.AppKey("ledger", Ledger)
CALLBACKS = web.AppKey("callbacks", Callbacks)
