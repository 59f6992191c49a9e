"""jobs.php: mailings (smsc-api.md section 8.6). One is sent as soon as its time has come; repeats are only noted."""

from __future__ import annotations

import dataclasses

from mailbridge.simulator.answers import NOTHING_FOUND, Answer, failure, listing, ok
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.messages import QUEUED, STOPPED, Step
from mailbridge.simulator.methods import send
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.statuses import local_date

_FAILED = "operation failed"


def answer(call: Call) -> Reply:
    """Answer one request of jobs.php."""
    params = call.params
    if params.flag("add"):
        return _add(call)
    if params.flag("get_all"):
        found = [job for job in call.book.jobs if job["mail"] == params.flag("mail")]
        return Reply(answer=listing([_shown(job) for job in found]))
    job = call.book.jobs.find(message_id=params.text("id").strip())
    if not any(map(params.flag, ("get", "del", "cancel"))):
        return Reply(answer=failure(1))
    if job is None:
        return Reply(answer=failure(3, NOTHING_FOUND))
    if params.flag("get"):
        return Reply(answer=listing([_shown(job)]))
    if params.flag("del"):
        call.book.jobs.remove(job)
        return Reply(answer=ok())
    return Reply(answer=_cancel(call, str(job["message_id"])))


def _add(call: Call) -> Reply:
    """Send what the mailing holds, and remember it."""
    try:
        call.params.number("rpt", 0, 7)
        call.params.number("rptn", 0, 1_000_000)
    except BadParameters:
        return Reply(answer=failure(1))
    template = call.book.templates.get(call.params.text("tpl").strip())
    if call.params.flag("tpl") and template is None:
        return Reply(answer=failure(1))
    if template is not None and not call.params.text("mes"):
        call = call.with_values(mes=str(template["message"]))
    if not call.params.text("name").strip():
        return Reply(answer=failure(1))
    sent = send.answer(call)
    if not sent.answer.code and call.params.text("cost") != "1" and isinstance(sent.answer.data, dict):
        call.book.jobs.add(
            message_id=str(sent.answer.data["id"]), name=call.params.text("name").strip(), status="started",
            date=local_date(call.now), rpt=call.params.number("rpt", 0, 7), mail=call.params.flag("mail"),
        )  # fmt: skip
    return sent


def _shown(job: dict[str, object]) -> dict[str, object]:
    shown = {"id": job["message_id"], **job, "mail": int(bool(job["mail"]))}
    return {name: value for name, value in shown.items() if name != "message_id"} | {"id": job["message_id"]}


def _cancel(call: Call, message_id: str) -> Answer:
    """Stop what has not left yet; error 5 where everything has."""
    waiting = [
        message
        for message in call.store.of_request(call.account.login, message_id)
        if message.step_at(call.now).status == QUEUED
    ]
    for message in waiting:
        stopped = dataclasses.replace(message, steps=(Step(0.0, STOPPED, 0),))
        call.store.replace(stopped)
        call.on_stopped(stopped)
    job = call.book.jobs.find(message_id=message_id)
    if not waiting or job is None:
        return failure(5, _FAILED)
    job["status"] = "cancelled"
    return ok()
