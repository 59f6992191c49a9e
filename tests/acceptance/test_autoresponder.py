"""The bridge and a machine that answers every mail, facing each other: one message each, then silence."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy

import pytest

from mailbridge.queue.contract import Filter
from tests.support.house import SENDER, House, running_house

REFUSED = "+79990000107"


@dataclass(frozen=True)
class Responder:
    """How a machine answers: to whom it looks back, under whose name, and what it says about itself."""

    #: envelope sender of its answers
    sender: str = SENDER
    says_so: bool = False
    quotes: bool = False

    async def answer(self, house: House, content: bytes) -> tuple[int, str]:
        """Answer a mail to its From, as no envelope sender is there to answer to."""
        mail = message_from_bytes(content, policy=policy.default)
        to = mail["From"].addresses[0].addr_spec
        headers = f"To: {to}\r\n"
        if self.says_so:
            headers += "Auto-Submitted: auto-replied\r\n"
        if self.quotes:
            headers += f"In-Reply-To: {mail['Message-ID']}\r\n"
        return await house.mail(
            to, text="I am away", subject=f"Re: {mail['Subject']}", sender=self.sender, headers=headers
        )


@pytest.mark.parametrize(
    "responder",
    [Responder(sender="", says_so=True, quotes=True), Responder(says_so=True), Responder(quotes=True), Responder()],
    ids=["RFC 3834", "says so", "quotes", "knows nothing"],
)
@pytest.mark.slow
@pytest.mark.parametrize("own", ["mailer-daemon@sms.example.org", f"{REFUSED}@sms.local"], ids=["daemon", "a phone"])
async def test_each_sends_one_message(responder, own):
    """An hour of answering: also where our own address is a number whose SMS fails, and the answer tells nothing."""
    async with running_house(bounce={"from": own}) as house:
        assert (await house.mail(REFUSED))[0] == 250
        answered = 0
        for pause_s in [5] * 12 + [300] * 12:
            await house.pass_s(pause_s, step_s=pause_s / 5)
            while answered < len(house.smarthost.mails):
                code, _words = await responder.answer(house, house.smarthost.mails[answered].content)
                assert code == (550 if own.startswith("mailer") else 250)
                answered += 1
        assert answered == 1
        assert len(await house.store.find(Filter())) == (1 if own.startswith("mailer") else 2)
