"""tinyurls.php: how often the short links of messages were followed (smsc-api.md section 8.10)."""

from __future__ import annotations

from mailbridge.simulator.answers import failure, listing
from mailbridge.simulator.calls import Call, Reply


def answer(call: Call) -> Reply:
    """Answer one request of tinyurls.php."""
    link, number = call.params.text("link").strip(), call.params.text("id").strip()
    if not call.params.flag("get") or not (link or number):
        return Reply(answer=failure(1))
    found = call.book.links.find(link=link) if link else call.book.links.get(number)
    return Reply(answer=listing([found] if found else []))
