"""ping.php: "event notifications" (smsc-api.md section 8.8). No alert is set up here, so none is sent."""

from __future__ import annotations

from mailbridge.simulator.answers import failure, ok
from mailbridge.simulator.calls import Call, Reply


def answer(call: Call) -> Reply:
    """Answer one request of ping.php."""
    known = call.params.text("id").strip() and call.params.text("ok", "0").strip() in {"", "0", "1"}
    return Reply(answer=ok() if known else failure(1))
