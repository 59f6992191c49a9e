"""What systemd hears of ``serve``: ready, reloading, alive, stopping, in the datagrams of sd_notify(3)."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import yaml

from mailbridge.cli.supervisor import Supervisor
from tests.support.bridge import Bridge, base_config, running_bridge
from tests.support.programs import until


class Ear:
    """A supervisor's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.heard: list[list[str]] = []

    def listen(self) -> list[list[str]]:
        """Return all that was heard so far, the fields of each datagram."""
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return self.heard

    def first(self, field: str) -> list[str] | None:
        """Return the first datagram with *field*."""
        return next((fields for fields in self.listen() if field in fields), None)

    def close(self) -> None:
        self._socket.close()


@pytest.mark.slow
async def test_serve_tells_its_supervisor(tmp_path: Path):
    """Ready once mail is taken, alive as often as is asked, a reload with its end, and the stop."""
    ear = Ear(str(tmp_path / "notify"))
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    async with running_bridge(tmp_path, env=env) as bridge:
        ready = await until(lambda: ear.first("READY=1"))
        assert ready == ["READY=1", "STATUS=mail on 127.0.0.1:0"]
        await until(lambda: sum(fields == ["WATCHDOG=1"] for fields in ear.listen()) > 3)
        assert bridge.process is not None
        seen = len(ear.listen())
        bridge.process.send_signal(signal.SIGHUP)
        reloading = await until(lambda: ear.first("RELOADING=1"))
        assert reloading[1].removeprefix("MONOTONIC_USEC=").isdigit()
        await until(lambda: ["READY=1"] in ear.listen()[seen:])
        await bridge.stop()
        assert ear.first("STOPPING=1")
    assert ear.listen()[0] in (["WATCHDOG=1"], ready)
    ear.close()


@pytest.mark.slow
async def test_a_start_that_fails_is_never_ready(tmp_path: Path):
    """An address in use: systemd must not take it for running."""
    ear = Ear(str(tmp_path / "notify"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bridge = Bridge(tmp_path, None, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        config = base_config(tmp_path, "http://127.0.0.1:1")
        config["smtp"]["listen"] = [{"address": f"127.0.0.1:{taken.getsockname()[1]}"}]
        bridge.config_file.write_text(yaml.safe_dump(config))
        await bridge.launch()
        assert bridge.process is not None
        assert await bridge.process.wait() == 1
    assert ear.first("READY=1") is None
    ear.close()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@nobody-listens", "vsock:2:1"])
def test_a_supervisor_that_does_not_listen_stops_nothing(address: str):
    """Nor one whose address is not understood."""
    Supervisor({"NOTIFY_SOCKET": address}, os.getpid()).ready()


def test_an_abstract_socket_is_found():
    """``@name`` is how systemd writes one."""
    ear = Ear(f"@mailbridge-test-{os.getpid()}")
    Supervisor({"NOTIFY_SOCKET": f"@mailbridge-test-{os.getpid()}"}, 1).ready()
    assert ear.listen() == [["READY=1"]]
    ear.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 60.0), ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None), ({"WATCHDOG_USEC": "x"}, None), ({}, None),
    ],
)  # fmt: skip
def test_only_who_is_watched_beats(environ: dict[str, str], seconds: float | None):
    """The time is for the process that is named, and may be nonsense."""
    assert Supervisor({"NOTIFY_SOCKET": "/x", **environ}, 7).watchdog_s == seconds
