"""``explain``: every mail's path in words, by the line of the configuration that decided; nothing is stored or made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailbridge.cli.main import cli

DATA = Path(__file__).parent.parent / "data"
MAILS = sorted((DATA / "profiles").glob("*/*.eml"))
CONFIG = """\
smtp:
  listen:
    - address: 127.0.0.1:2525
      allow: [127.0.0.0/8, 10.1.0.0/16]
  max_message_size: 100KB
gateways:
  main: {login: acme, password: secret}
queue: {url: "sqlite:///FOLDER/queue.db"}
rules:
  - name: from the lab
    match: {network: 10.1.0.0/16}
    action: drop
  - name: pages
    match: {severity: critical}
    set: {sender: NAGIOS, fit: cheapest}
users:
  - name: zabbix
    password: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"
    senders: [ZABBIX]
    numbers: [KZ]
    gateways: [main]
"""


@pytest.fixture
def ask(tmp_path):
    """Return a function that runs ``explain`` on a mail and returns exit code and JSON."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("FOLDER", str(tmp_path)))

    def run(mail: Path, *words: str, to: str = "79991234567@sms.local"):
        done = CliRunner().invoke(cli, ["explain", str(mail), "--to", to, "--config", str(config), "--json", *words])
        assert done.stderr == ""
        answer = json.loads(done.stdout)
        assert set(answer) == {"verdict", "reply", "steps"}
        for step in answer["steps"]:
            assert set(step) == {"stage", "result", "because", "config"}
            step["config"] = step["config"].replace(str(config), "config.yaml")
        # a question makes no queue
        assert not (tmp_path / "queue.db").exists()
        return done.exit_code, answer

    return run


NAGIOS = DATA / "profiles" / "nagios" / "contract-service.eml"


def test_an_accepted_mail_is_told_step_by_step(ask):
    """Each stage in order, with the key of the configuration that decided and its line."""
    code, answer = ask(NAGIOS)
    assert (code, answer["verdict"], answer["reply"]) == (0, "accepted", "250 2.0.0 Ok: queued")
    told = [(step["stage"], step["result"], step["config"]) for step in answer["steps"]]
    assert told == [
        ("client", "accepted", "config.yaml:4: smtp.listen[0].allow[0]"),
        ("size", "accepted", "config.yaml:5: smtp.max_message_size"),
        ("sender", "accepted", ""),
        ("recipient", "accepted", "smtp.domains.sms.local (default)"),
        ("rule", "does not fit", "config.yaml:10: rules[0]"),
        ("rule", "fits", "config.yaml:13: rules[1]"),
        ("profile", "nagios", "message.profile (default)"),
        ("message", "send", ""),
        ("message", "could be", ""),
        ("message", "could be", ""),
        ("gateway", "up", "config.yaml:7: gateways.main"),
    ]
    words = {(step["stage"], step["result"]): step["because"] for step in answer["steps"]}
    assert words["rule", "fits"] == "pages: severity critical"
    assert words["message", "send"].endswith("CRIT web01/HTTP: Connection refused 12:30 by rule pages")
    assert words["message", "could be"] == "abbreviated: 1 part, gsm7: CRIT web01/HTTP: Conn refused 12:30"


@pytest.mark.parametrize(
    ("words", "to", "stage", "reply", "config"),
    [
        (["--client", "192.0.2.1"], "79991234567@sms.local", "client", "550 5.7.1", "config.yaml:4: smtp.listen[0].allow"),
        (["--client", "nowhere"], "79991234567@sms.local", "client", "550 5.7.1", ""),
        (["--from", "a b@"], "79991234567@sms.local", "sender", "553 5.1.7", ""),
        ([], "79991234567@example.org", "recipient", "550 5.7.1", "smtp.domains (default)"),
        ([], "bob@sms.local", "recipient", "550 5.1.1", ""),
        ([], "380441234567@sms.local", "recipient", "550 5.7.1", "numbers.allow (default)"),
    ],
)  # fmt: skip
def test_a_refused_mail_ends_with_the_step_that_refused(ask, words, to, stage, reply, config):
    """The last step is the reason, with the reply a client would hear; exit 1."""
    code, answer = ask(NAGIOS, *words, to=to)
    last = answer["steps"][-1]
    assert (code, answer["verdict"], last["stage"], last["result"]) == (1, "refused", stage, "refused")
    assert answer["reply"].startswith(reply)
    assert last["config"] == config


def test_a_mail_too_big_and_one_that_asks_for_nonsense(ask, tmp_path):
    """Size and the mail's own header are looked at, too."""
    big, odd = tmp_path / "big.eml", tmp_path / "odd.eml"
    big.write_bytes(NAGIOS.read_bytes() + b"x" * 100_000)
    odd.write_bytes(b"X-SMS-Time: soon\r\n" + NAGIOS.read_bytes())
    assert ask(big)[1]["steps"][-1]["config"] == "config.yaml:5: smtp.max_message_size"
    assert ask(odd)[1]["reply"].startswith("554 5.5.4")


def test_the_rule_that_drops_is_named(ask):
    """The client's network decides here."""
    _, answer = ask(NAGIOS, "--client", "10.1.2.3")
    [step] = [step for step in answer["steps"] if step["stage"] == "rule"]
    assert (step["result"], step["because"]) == ("fits", "from the lab: network 10.1.0.0/16")
    assert [s["result"] for s in answer["steps"] if s["stage"] == "message"] == ["drop"]


@pytest.mark.parametrize("path", MAILS[::9], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_path_of_every_profiles_mail_is_told(ask, path):
    """Whoever recognised it stands there, and the text that goes out."""
    code, answer = ask(path)
    [step] = [step for step in answer["steps"] if step["stage"] == "profile"]
    assert (code, step["result"]) == (0, path.parent.name)


def test_words_for_people(tmp_path):
    """Without ``--json`` a line for each step, the verdict last."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    done = CliRunner().invoke(cli, ["explain", str(NAGIOS), "--to", "79991234567@sms.local", "--config", str(config)])
    lines = done.stdout.splitlines()
    assert lines[5] == f"rule      fits         pages: severity critical  [{config}:13: rules[1]]"
    assert lines[-1] == "accepted: 250 2.0.0 Ok: queued"


def test_a_users_own_rights_decide_and_are_named(ask):
    """Numbers, sender names in address and header, and gateways: each with the line of the user."""

    def last(*words, mail=NAGIOS, to="77010000001@sms.local"):
        code, answer = ask(mail, "--user", "zabbix", *words, to=to)
        return code, answer["steps"][-1]

    code, step = last(to="79991234567@sms.local")
    assert (code, step["result"], step["config"]) == (1, "refused", "config.yaml:20: users[0].numbers")
    code, step = last(to="77010000001+sender=BANK@sms.local")
    assert (code, step["stage"], step["config"]) == (1, "recipient", "config.yaml:19: users[0].senders")
    code, answer = ask(NAGIOS, "--user", "zabbix", to="77010000001@sms.local")
    assert code == 0
    limited = [step for step in answer["steps"] if step["stage"] == "gateway"]
    assert [(step["result"], step["because"]) for step in limited] == [
        ("limited", "zabbix may use main"), ("up", "main takes messages")
    ]  # fmt: skip
    assert limited[0]["config"] == "config.yaml:21: users[0].gateways"


def test_a_sender_name_in_the_header_that_is_not_the_users_is_named_too(ask, tmp_path):
    """It is refused at DATA, by the same line."""
    mail = tmp_path / "mail.eml"
    mail.write_text("Subject: x\r\nX-SMS-Sender: BANK\r\n\r\ntext\r\n")
    code, answer = ask(mail, "--user", "zabbix", "--from", "", to="77010000001@sms.local")
    assert (code, answer["reply"][:9]) == (1, "550 5.7.1")
    assert answer["steps"][-1]["config"] == "config.yaml:19: users[0].senders"


def test_it_tells_who_would_have_to_answer(ask, tmp_path):
    """The chain, in words, and its line; a recovery has none."""
    config = tmp_path / "config.yaml"
    people = 'people: {anna: {phone: "+79991234567"}}\nescalation:\n  anna: {after: 5m, then: [{call: anna}]}\n'
    config.write_text(config.read_text() + people)
    _, answer = ask(NAGIOS, to="anna@sms.local")
    [step] = [step for step in answer["steps"] if step["stage"] == "escalation"]
    assert (step["result"], step["config"]) == ("anna", "config.yaml:24: escalation.anna")
    assert step["because"] == "+79991234567: without an answer, call anna, 300 s apart"
    _, answer = ask(NAGIOS, to="79991234567@sms.local")
    assert "escalation" not in {step["stage"] for step in answer["steps"]}


def test_a_long_stage_keeps_its_distance(tmp_path):
    """``quiet hours`` is a stage of two words."""
    config = tmp_path / "config.yaml"
    night = (
        'people: {anna: {phone: "+79990000001", quiet: [am, pm]}}\n'
        'quiet_hours: {am: {from: "00:00", to: "12:00"}, pm: {from: "12:00", to: "24:00"}}\n'
    )
    config.write_text(CONFIG.replace("FOLDER", str(tmp_path)) + night)
    done = CliRunner().invoke(cli, ["explain", str(NAGIOS), "--to", "anna@sms.local", "--config", str(config)])
    [line] = [line for line in done.stdout.splitlines() if line.startswith("quiet")]
    assert line.startswith("quiet hours waits        am and pm until ")
