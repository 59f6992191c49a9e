"""What verbs do differently for a container: the demo behind a published port, the check a container engine asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from mailbridge.cli.check import check
from mailbridge.cli.demo import demo_listener, greeting
from mailbridge.config.addresses import TcpAddress
from tests.support.programs import free_port


@asynccontextmanager
async def readyz(state: dict[str, object]) -> AsyncIterator[int]:
    """Answer ``/readyz`` as a bridge in *state* does; gives the port."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(state)

    app = web.Application()
    app.router.add_get("/readyz", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def exit_code(*arguments: str | Path) -> int:
    """Run ``mailbridge check`` beside the loop the answers come from."""
    return (await asyncio.to_thread(CliRunner().invoke, check, list(map(str, arguments)))).exit_code


@pytest.mark.parametrize(
    ("checks", "gateway", "plain", "ready"),
    [("ok", "up", 0, 0), ("ok", "suspended", 1, 0), ("StoreError", "up", 2, 1)],
    ids=["well", "no money", "no queue"],
)
async def test_an_engine_restarts_what_is_broken_and_not_what_is_out_of_money(checks, gateway, plain, ready, tmp_path):
    """`check` warns of a suspended gateway; `check --ready` is 0 or 1 and asks whether the bridge can work."""
    config = tmp_path / "config.yaml"
    async with readyz({"checks": {"queue": checks}, "gateways": {"main": gateway}}) as port:
        config.write_text(f"web: {{listen: '127.0.0.1:{port}'}}\ngateways: {{main: {{login: a, password: b}}}}\n")
        codes = [await exit_code("--config", config, *more) for more in ((), ("--ready",))]
    assert codes == [plain, ready]


async def test_a_bridge_that_does_not_answer_is_not_ready(tmp_path):
    """An engine gets 1, never the 2 it has reserved."""
    config = tmp_path / "config.yaml"
    config.write_text(f"web: {{listen: '127.0.0.1:{free_port()}'}}\ngateways: {{main: {{login: a, password: b}}}}\n")
    assert await exit_code("--ready", "--config", config) == 1


def test_the_demo_on_loopback_is_for_this_machine():
    """Nobody else is let in unasked."""
    assert demo_listener("127.0.0.1:2525").allow == ["127.0.0.0/8", "::1"]


def test_the_demo_behind_a_published_port_lets_private_networks_in():
    """A container engine's own network is one of them; the internet is not."""
    allowed = demo_listener("0.0.0.0:2525").allow
    assert "172.16.0.0/12" in allowed
    assert "0.0.0.0/0" not in allowed


def test_the_demo_names_addresses_that_can_be_reached():
    """What listens everywhere is shown as this machine."""
    words = greeting(
        TcpAddress(host="0.0.0.0", port=2525), TcpAddress(host="::", port=8025),
        desk=TcpAddress(host="0.0.0.0", port=8080), password="once",
    )  # fmt: skip
    assert "http://127.0.0.1:8080/   sign in as admin with once" in words
    assert "smtplib.SMTP('127.0.0.1', 2525)" in words
    assert "http://[::1]:8025/" in words
    assert "0.0.0.0" not in words
