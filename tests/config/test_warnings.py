"""What ``check-config`` takes and warns of: limits that some mail can never pass."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from mailbridge.cli.main import cli

HASH = '"$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"'
BASE = "gateways:\n  main: {login: acme, password: secret}\n"
LIMITED = f"""\
limits:
  client: [2/1m, 100/1h]
  budget: {{day: {{parts: 2}}, phone: {{month: {{parts: 500}}}}}}
users:
  - name: zabbix
    password: {HASH}
    limits: [1/1m]
    budget: {{month: {{parts: 3}}}}
people:
  anna: {{phone: "+79991234567"}}
aliases:
  pair: [anna, "+79990000001"]
  admins: [pair, anna, "+79990000002"]
rules:
  - set: {{max_parts: 4}}
"""


def check(folder: Path, text: str, *words: str) -> Result:
    """Run ``check-config`` on *text*."""
    file = folder / "config.yaml"
    file.write_text(BASE + text)
    return CliRunner().invoke(cli, ["check-config", "--config", str(file), *words])


def test_a_limit_that_a_mail_can_never_pass_is_warned_of_with_its_line(tmp_path: Path):
    """Budgets by the longest message that may be made, rates by the aliases, each at its own line."""
    result = check(tmp_path, LIMITED)
    assert result.exit_code == 0
    found = [line.replace(f"{tmp_path}/", "") for line in result.output.splitlines() if line.startswith("warning")]
    long = "a message of 4 parts never fits into {}; raise it, or lower max_parts"
    never = "messages, which {} never lets through; raise it, or write fewer into the alias"
    assert found == [
        f"warning: config.yaml:5: limits.budget.day: {long.format(2)}",
        f"warning: config.yaml:10: users[0].budget.month: {long.format(3)}",
        f"warning: config.yaml:4: limits.client: a mail to admins is 3 {never.format('2/1m')}",
        f"warning: config.yaml:9: users[0].limits: a mail to pair is 2 {never.format('1/1m')}",
        f"warning: config.yaml:9: users[0].limits: a mail to admins is 3 {never.format('1/1m')}",
    ]


def test_json_has_the_contracts_keys_and_the_warnings_stand_beside_it(tmp_path: Path):
    """They go to stderr, where no program reads them as data."""
    result = check(tmp_path, LIMITED, "--json")
    assert json.loads(result.stdout) == {"ok": True, "problems": []}
    assert result.stderr.count("warning: ") == 5


def test_what_every_mail_can_pass_is_not_warned_of(tmp_path: Path):
    """As large as the largest is enough."""
    result = check(
        tmp_path, "limits:\n  client: [5/1m]\n  budget: {day: {parts: 3}}\naliases:\n  one: ['+79990000001']\n"
    )
    assert "warning" not in result.output
