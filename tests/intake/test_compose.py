"""From a mail and a recipient to a message."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.config.model import MessageDefaults
from mailbridge.errors import Rejected
from mailbridge.intake.compose import Composer, candidates, compose, write
from mailbridge.intake.fold import gateway_translit
from mailbridge.intake.options import Options
from mailbridge.intake.segments import count_segments
from mailbridge.model.mail import Attachment, Mail, Recipient
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.phone import Phone
from mailbridge.model.reply import BAD_OPTION, BAD_TIME

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PHONE = Phone("+79991234567")


def mail(subject="Disk", body="is full", *, sender="nagios@mon.example.org", **headers):
    """Return a mail; ``X_SMS_Flash="1"`` is a header."""
    return Mail(
        subject=subject, body=body, from_address=sender, from_name="", to="79991234567@sms.local", message_id="<1@x>",
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
    )  # fmt: skip


def to(*options, phone=PHONE, channel="sms"):
    """Return a recipient with *options*."""
    return Recipient(address=f"{phone}@sms.local", channel=channel, phone=phone, options=options)


def composed(letter, recipient=None, **settings):
    """Compose *letter* under a configuration of *settings*."""
    return compose(letter, recipient or to(), MessageDefaults(**settings), NOW)


def test_a_plain_mail():
    """Defaults alone: the text of the template, the configured sender, nothing else asked for."""
    assert composed(mail(), sender="ALERT") == Message(
        phone=PHONE, channel="sms", sender="ALERT", text="Disk: is full", alphabet=Alphabet.GSM7, parts=1
    )


def test_options_by_strength():
    """Headers win over address options, address options over rules, rules over defaults."""
    composer = Composer(MessageDefaults(sender="DEFAULT"))
    rule = Options(sender="RULE")
    assert composer.compose(mail(), to(), NOW).sender == "DEFAULT"
    assert composer.compose(mail(), to(), NOW, set_by_rule=rule).sender == "RULE"
    assert composer.compose(mail(), to(("sender", "ADDRESS")), NOW, set_by_rule=rule).sender == "ADDRESS"
    headed = mail(X_SMS_Sender="HEADER")
    assert composer.compose(headed, to(("sender", "ADDRESS")), NOW, set_by_rule=rule).sender == "HEADER"


def test_every_option_reaches_the_message():
    """Each header is found in the message."""
    letter = mail(
        X_SMS_Sender="NAGIOS", X_SMS_Translit="1", X_SMS_Text="Привет", X_SMS_Time="2026-03-01T16:00:00+03:00", X_SMS_Valid="90m",
        X_SMS_Flash="1", X_SMS_Max_Parts="1", X_SMS_Channel="sms", X_SMS_Id="job-7",
    )  # fmt: skip
    assert composed(letter) == Message(
        phone=PHONE, channel="sms", sender="NAGIOS", text="Привет", translit=1, alphabet=Alphabet.GSM7, parts=1, flash=True,
        time=f"0{int(NOW.timestamp()) + 3600}", valid="01:30", wanted_id="job-7",
    )  # fmt: skip


def test_every_address_option():
    """``79991234567+flash+sender=NAGIOS+translit=1`` is a flash message from NAGIOS, left to the gateway to write."""
    message = composed(mail(body="диск"), to(("flash", ""), ("sender", "NAGIOS"), ("translit", "1")))
    assert (message.flash, message.sender, message.translit) == (True, "NAGIOS", 1)
    assert message.text == "Disk: диск"


def test_a_header_can_take_flash_back():
    """A header's no beats the address's yes."""
    assert composed(mail(X_SMS_Flash="0"), to(("flash", ""))).flash is False


def test_the_flash_channel_is_flash():
    """The domain's channel, or the one asked for, makes a message flash."""
    assert composed(mail(), to(channel="flash")).flash is True
    message = composed(mail(X_SMS_Channel="flash"))
    assert (message.channel, message.flash) == ("flash", True)


def test_a_wrong_look_goes_out_with_a_note():
    """An alert is not stopped by a bad translit or an odd sender name."""
    message = composed(mail(X_SMS_Translit="x", X_SMS_Sender="A very long sender name"))
    assert message.text == "Disk: is full"
    assert message.translit == 0
    assert message.sender == "A very long sender name"
    assert message.notes[0] == "X-SMS-Translit: 'x' ignored: write 0, 1, 2 or auto"
    assert "A very long sender name" in message.notes[1]


def test_a_header_left_empty_asks_for_nothing():
    """A template that a device did not fill in stops no alert."""
    message = composed(mail(X_SMS_Time="", X_SMS_Valid=" ", X_SMS_Channel="", X_SMS_Text="", X_SMS_Max_Parts=""))
    assert (message.text, message.time, message.valid, message.channel) == ("Disk: is full", "", "", "sms")


def test_a_misunderstood_time_refuses_the_mail():
    """So does an address option that the door should not have let in."""
    for letter, recipient, reply in (
        (mail(X_SMS_Time="soon"), to(), BAD_TIME),
        (mail(), to(("nosuch", "")), BAD_OPTION),
    ):
        with pytest.raises(Rejected) as caught:
            composed(letter, recipient)
        assert caught.value.reply is reply


def test_mail_text_is_data():
    """What looks like a template in a mail, in a header or in X-SMS-Text stays as it is."""
    assert composed(mail("{{ 7*7 }}", "{% set x = 1 %}")).text == "{{ 7*7 }}: {% set x = 1 %}"
    assert composed(mail(X_SMS_Text="{{ 7*7 }}")).text == "{{ 7*7 }}"


@pytest.mark.parametrize(
    "text", ["__CALL__ text", "first\n~~~\nsecond", "79000000001:first\n79000000002:second", "G5;x", "@file", "a&psw=b"]
)
def test_the_gateways_own_markup_is_text(text):
    """What the gateway would read as a command is passed on as it is; shielding it is the gateway room's work."""
    assert composed(mail(X_SMS_Text=text)).text == text
    assert composed(mail("", text)).text == text


@pytest.mark.parametrize(
    ("letter", "text"),
    [
        (mail("", ""), "nagios@mon.example.org (no text)"),
        (mail(" ", "\n"), "nagios@mon.example.org (no text)"),
        (mail("", "", sender=""), "(no text)"),
        (mail("Disk", ""), "Disk"),
        (mail("", "is full"), "is full"),
    ],
)
def test_empty_mails(letter, text):
    """There is always something to send."""
    assert composed(letter).text == text


def test_a_template_that_breaks_falls_back():
    """Subject and body go out, with a note."""
    message = composed(mail(), text="{{ 1/0 }}")
    assert message.text == "Disk: is full"
    assert message.notes == ("the template failed on this mail: subject and body instead",)
    with pytest.raises(ValueError, match="not a template"):
        Composer(MessageDefaults(text="{{"))


def test_names_in_templates():
    """Mail, headers in any case, and the recipient are at hand."""
    text = "{{ from }} {{ to }} {{ headers['x-host'] }} {{ headers.get('X-None', '-') }} {{ short }} {{ sms.phone }} {{ headers|length }}"
    assert composed(mail(X_Host="web1"), text=text).text == (
        "nagios@mon.example.org 79991234567@sms.local web1 - Disk +79991234567 1"
    )
    assert composed(mail("", "one\ntwo"), text="{{ short }}").text == "one"
    assert composed(mail(X_Host="web1"), text="{% for name in headers %}{{ name }}{% endfor %}").text == "X-Host"


def test_recipients_of_one_mail():
    """Each gets a message in order with its own options; a template that shows the phone shows its own."""
    other = Phone("+79990000001")
    composer = Composer(MessageDefaults(text="{{ subject }} {{ sms.phone }}"))
    first, second, third = composer.compose_all(mail(), (to(), to(phone=other), to(("translit", "2"))), NOW)
    assert (first.text, second.text) == ("Disk +79991234567", "Disk +79990000001")
    assert (first.translit, third.translit) == (0, 2)
    plain = Composer(MessageDefaults())
    one, two = plain.compose_all(mail(), (to(), to(phone=other)), NOW)
    assert one.text is two.text


def test_a_long_text_is_cut_with_a_note():
    """max_parts holds, and the history tells what was cut."""
    message = composed(mail("", "слово " * 200), max_parts=2)
    assert message.parts == 2
    assert message.text.endswith("слово…")
    assert message.notes == (f"cut from 1199 to {len(message.text)} characters to fit 2 parts",)
    (note,) = composed(mail("", "слово " * 200), max_parts=1).notes
    assert note.endswith(" to fit 1 part")
    (note,) = composed(mail("", "word " * 400), max_parts=10).notes
    assert note.endswith(" to fit 1000 characters")


def test_translit_counts_what_the_gateway_will_write():
    """The original text goes out whole where its Latin form fits, and is cut where even that does not."""
    message = composed(mail("", "проверка " * 16), translit="1", max_parts=1)
    assert message.text == ("проверка " * 16).strip()
    assert (message.alphabet, message.parts, message.translit) == (Alphabet.GSM7, 1, 1)
    long = composed(mail("", "щ" * 100), translit="1", max_parts=1)
    assert long.text == "щ" * 52 + "..."
    assert len(gateway_translit(long.text, 1)) == 159


@pytest.mark.parametrize(
    ("text", "written", "notes"),
    [
        # fits as it is: nothing is touched
        ("«Привет»", "«Привет»", 0),
        # folding is enough
        ("“quoted” " * 10, '"quoted" ' * 10, 1),
        # only Latin letters save a part
        ("диск " * 20, "disk " * 20, 1),
        # Latin letters would need as many parts
        ("щ" * 70, "щ" * 70, 0),
    ],
)
def test_auto_takes_the_most_faithful_of_the_cheapest(text, written, notes):
    """Raw where that is cheapest, else folded, else transliterated, always with translit 0 for the gateway."""
    result = write(text, "auto", 5)
    assert (result.text, result.translit, len(result.notes)) == (written, 0, notes)


text_of_mails = st.text(
    alphabet=st.one_of(st.sampled_from("aЯщё«» …\n{€😀"), st.characters(codec="utf-8")), max_size=400
)


@given(text_of_mails, st.integers(1, 4))
def test_auto_never_costs_more_than_raw(text, max_parts):
    """Whatever the text, auto needs no more parts than leaving it alone, and never more than allowed."""
    raw, auto = write(text, "0", max_parts), write(text, "auto", max_parts)
    assert auto.parts <= raw.parts <= max_parts
    assert count_segments(auto.text)[1] == auto.parts


@given(text_of_mails, text_of_mails, st.sampled_from(["0", "1", "2", "auto"]), st.integers(1, 3))
def test_a_message_is_always_sendable(subject, body, translit, max_parts):
    """Any mail gives a text that is not empty, within the parts, with parts and alphabet as counted."""
    message = composed(mail(subject, body), translit=translit, max_parts=max_parts)
    assert message.text
    assert len(message.text) <= 1000
    alphabet, parts, _ = count_segments(gateway_translit(message.text, message.translit))
    assert (message.alphabet, message.parts) == (alphabet, parts)
    assert parts <= max_parts


def test_candidates():
    """The ways to write a text, most faithful first, equal ones once."""
    assert [(c.name, c.text, c.alphabet, c.parts) for c in candidates("Диск «а»")] == [
        ("faithful", "Диск «а»", Alphabet.UCS2, 1),
        ("folded", 'Диск "а"', Alphabet.UCS2, 1),
        ("transliterated", 'Disk "a"', Alphabet.GSM7, 1),
    ]
    assert [c.name for c in candidates("plain")] == ["faithful"]
    composer = Composer(MessageDefaults())
    assert [c.text for c in composer.candidates(mail("Диск", ""), to(), NOW)] == ["Диск", "Disk"]
    assert [c.text for c in composer.candidates(mail(X_SMS_Text="x"), to(), NOW)] == ["x"]


@pytest.mark.slow
def test_composing_is_cheap():
    """A message costs well under a millisecond of CPU, even of a mail of megabytes."""
    composer = Composer(MessageDefaults(translit="auto"))
    for letter in (mail("PROBLEM: db1 is down", "диск\n" * 40), mail("x", "слово " * 1_000_000)):
        started = time.process_time()
        for _ in range(100):
            composer.compose(letter, to(), NOW)
        assert (time.process_time() - started) / 100 < 0.02


# ---------------------------------------------------------------------------------------------- attachments
def with_files(letter, *names, kind="image/jpeg", is_inline=False):
    """Return *letter* with attachments of these names."""
    files = tuple(Attachment(name=name, content_type=kind, size_bytes=1, is_inline=is_inline) for name in names)
    return replace(letter, attachments=files)


@pytest.mark.parametrize(("names", "text"), [
    (["a.jpg"], "Disk: is full\n[a.jpg]"),
    (["a.jpg", "a.jpg", "b.pdf"], "Disk: is full\n[a.jpg, b.pdf]"),
    (["a", "b", "c", "d"], "Disk: is full\n[a, b, c, ...]"),
    (["report of the whole year 2026.pdf"], "Disk: is full\n[report of the whol...pdf]"),
    ([""], "Disk: is full"),
])  # fmt: skip
def test_attachments_are_named_at_the_end(names, text):
    """Once each, three at most, a long name by its beginning and its ending, and none that has no name."""
    assert composed(with_files(mail(), *names)).text == text


def test_a_name_costs_no_part():
    """Where it would need one more, or be cut, the text goes without it."""
    body = "x" * 155
    assert composed(with_files(mail(body=body), "a.jpg"), text="{{ body }}").text == body
    assert composed(with_files(mail(body=body), "a.jpg"), text="{{ body }}", max_parts=1).text == body
    assert composed(with_files(mail(body="x" * 140), "a.jpg"), text="{{ body }}").text.endswith("x\n[a.jpg]")


def test_a_scan_alone_is_named_whatever_it_costs():
    """A mail that is nothing but a file says which."""
    assert composed(with_files(mail(subject="", body=""), "scan.pdf")).text == "[scan.pdf]"


def test_what_nobody_looks_for_is_not_named():
    """Logos of a page, signatures and the like; and a text of the sender's own is left as it is."""
    assert composed(with_files(mail(), "logo.png", is_inline=True)).text == "Disk: is full"
    assert composed(with_files(mail(), "smime.p7s", kind="application/pkcs7-signature")).text == "Disk: is full"
    assert composed(with_files(mail(X_SMS_Text="Call me"), "a.jpg")).text == "Call me"


# ------------------------------------------------------------------------------------------------ a last line
@given(
    st.text(st.sampled_from("ab Яё«»€\n{\U0001f600"), max_size=400),
    st.sampled_from(["0", "1", "2", "auto"]),
    st.sampled_from([None, "faithful", "folded", "cheapest"]),
    st.integers(1, 3),
    st.sampled_from(["Reply OK 4721", "Ответьте OK 4721"]),
)
def test_a_last_line_stands_whatever_is_cut(text, translit, fit, max_parts, ending):
    """It is counted with the rest, and the text gives way to it."""
    written = write(text, translit, max_parts, fit=fit, ending=ending)
    head, _, last = written.text.rpartition("\n")
    assert last.endswith("OK 4721")
    assert written.parts <= max_parts
    assert count_segments(gateway_translit(written.text, written.translit))[1] == written.parts
    if not written.is_cut and fit is None and translit == "0":
        assert (head, last) == (text, ending)


def test_without_a_last_line_nothing_is_added():
    """Whoever asks for no answer pays no character."""
    assert write("down", "0", 1).text == "down"
    assert write("down", "0", 1, ending="Reply OK 4721").text == "down\nReply OK 4721"
