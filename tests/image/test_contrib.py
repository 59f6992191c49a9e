"""The compose files and the systemd unit: what they name exists, and the bridge in them accepts its configuration."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailbridge.config.load import load_config
from tests.support.programs import need, need_root, run_program

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "contrib/compose"
UNIT = ROOT / "contrib/systemd/mailbridge.service"
FILES = [
    ("sidecar.yaml",), ("sidecar.yaml", "rehearsal.yaml"), ("sidecar.yaml", "postfix.yaml"), ("cluster.yaml",)
]  # fmt: skip
#: what the comments in the files say to set
VARIABLES = {"SMSC_LOGIN": "acme"}


def filled_in(text: str) -> str:
    """Return *text* with its ``${NAME:-default}`` and ``${NAME:?message}`` as compose reads them."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda match: VARIABLES.get(match[1], match[2] or ""), text)


def services(*names: str) -> dict[str, Any]:
    """Return the services of compose files laid one over the other, as far as environments go."""
    merged: dict[str, Any] = {}
    for name in names:
        read = yaml.safe_load(filled_in((COMPOSE / name).read_text(encoding="utf-8")))
        for service, settings in read["services"].items():
            old = merged.setdefault(service, {})
            environment = {**old.get("environment", {}), **settings.get("environment", {})}
            old.update(settings, environment=environment)
    return merged


@pytest.mark.parametrize("files", FILES, ids="+".join)
def test_the_bridge_of_a_compose_file_accepts_its_environment(files, tmp_path):
    """With the built-in configuration, the variables of the file and its secret, nothing is missing or wrong."""
    (tmp_path / "smsc-password").write_text("secret", encoding="utf-8")
    environment = {
        name: str(value).replace("/run/secrets", str(tmp_path))
        for name, value in services(*files)["mailbridge"]["environment"].items()
    }
    config = load_config(ROOT / "contrib/docker/config.yaml", environ=environment)
    assert config.gateways["main"].login == "acme"
    assert config.gateways["main"].password.get_secret_value() == "secret"


def test_the_application_waits_for_a_bridge_that_is_well():
    """The sidecar's health check is the image's own command."""
    named = services("sidecar.yaml")
    assert named["app"]["depends_on"]["mailbridge"]["condition"] == "service_healthy"
    command = " ".join(named["mailbridge"]["healthcheck"]["test"][1:])
    assert command.split() == re.findall(r"[\w-]+", (ROOT / "Dockerfile").read_text().partition(" CMD [")[2])[:3]


def test_the_nodes_of_a_cluster_are_alike():
    """They share one database, and the balancer knows each of them."""
    named = services("cluster.yaml")
    assert named["mailbridge"] == named["mailbridge2"]
    assert named["mailbridge"]["environment"]["MAILBRIDGE__QUEUE__URL"].startswith("postgresql://mailbridge@database/")
    assert set(named["balancer"]["depends_on"]) == {"mailbridge", "mailbridge2"}


def test_the_queue_of_a_sidecar_outlives_its_container():
    """What was promised is in a named volume."""
    named = services("sidecar.yaml")
    assert named["mailbridge"]["volumes"] == ["queue:/data"]


async def test_postfix_understands_its_configuration(tmp_path):
    """Postfix reads it without a warning, and sends sms.local to the bridge by the name compose gives it."""
    postconf, postmap = need("postconf"), need("postmap")
    read = yaml.safe_load(filled_in((COMPOSE / "postfix.yaml").read_text(encoding="utf-8")))
    (tmp_path / "main.cf").write_text(read["configs"]["main.cf"]["content"], encoding="utf-8")
    (tmp_path / "master.cf").write_text("smtp inet n - n - - smtpd\n", encoding="utf-8")
    shown = await run_program(postconf, "-c", tmp_path, "-n")
    assert (shown.code, "warning" in shown.output) == (0, False), shown
    [table] = re.findall(r"^transport_maps = (.*)$", shown.output, re.MULTILINE)
    found = await run_program(postmap, "-c", tmp_path, "-q", "sms.local", table)
    assert found.output.strip() == "smtp:[mailbridge]:2525"
    assert "mailbridge" in services("sidecar.yaml", "postfix.yaml")


async def compose_command() -> list[str]:
    """Return how compose is called here, as docker's plugin or by itself; skip the test where it isn't."""
    if shutil.which("docker") and (await run_program("docker", "compose", "version")).code == 0:
        return ["docker", "compose"]
    return [need("docker-compose")]


@pytest.mark.slow
@pytest.mark.parametrize("files", FILES, ids="+".join)
async def test_compose_accepts_the_files(files):
    """Compose's own `config` reads them; it needs no engine."""
    compose = await compose_command()
    options = [word for name in files for word in ("--file", str(COMPOSE / name))]
    ended = await run_program(*compose, *options, "config", "--quiet", env=VARIABLES)
    assert ended.code == 0, ended


async def test_systemd_accepts_the_units(tmp_path):
    """`systemd-analyze verify` finds nothing to say once the programs are where the units expect them."""
    analyze = need("systemd-analyze")
    units = []
    for file in sorted(UNIT.parent.glob("*.*")):
        if file.suffix in {".service", ".socket", ".timer"}:
            units.append(tmp_path / file.name)
            text = file.read_text(encoding="utf-8").replace("/opt/mailbridge/bin", str(Path(sys.executable).parent))
            units[-1].write_text(text, encoding="utf-8")
    assert len(units) == 4
    ended = await run_program(analyze, "verify", *units)
    assert (ended.code, ended.output) == (0, "")


def with_drop_in(unit: str, drop_in: str) -> str:
    """Return *unit* with the lines of *drop_in* in place of its own of the same names, as systemd reads the two."""
    added = drop_in.partition("[Service]\n")[2]
    names = "|".join(re.findall(r"^(\w+)=", added, re.MULTILINE))
    kept = re.sub(rf"^(?:{names})=.*\n", "", unit, flags=re.MULTILINE)
    return kept.replace("[Install]", f"{added}\n[Install]")


async def test_the_units_are_as_exposed_as_the_page_says(tmp_path):
    """`systemd-analyze security` gives the unit, and the unit with its drop-in, no worse score than is written down."""
    analyze = need("systemd-analyze")
    unit, drop_in = (
        UNIT.read_text("utf-8"),
        (UNIT.parent / "mailbridge.service.d/no-capability.conf").read_text("utf-8"),
    )
    page = (ROOT / "docs/howto/install.md").read_text(encoding="utf-8")
    [written] = re.findall(r"exposure of the unit (\d\.\d) of 10, and (\d\.\d) with", page)
    scores: list[str] = []
    for name, text in (("plain", unit), ("dropped", with_drop_in(unit, drop_in))):
        file = tmp_path / f"{name}.service"
        file.write_text(text, encoding="utf-8")
        ended = await run_program(analyze, "security", "--offline=true", "--no-pager", file)
        scores += re.findall(r"Overall exposure level for \S+: (\d\.\d)", ended.output)
    # other versions of systemd weigh a little differently; none may find more than is written
    assert len(scores) == len(written)
    assert all(float(score) <= float(most) for score, most in zip(scores, written, strict=True)), scores


async def test_tmpfiles_accepts_the_spool(tmp_path):
    """`systemd-tmpfiles` makes the spool with the mode that lets everybody write and nobody read."""
    tmpfiles = need("systemd-tmpfiles")
    need_root("systemd-tmpfiles")
    text = (UNIT.parent / "mailbridge.tmpfiles.conf").read_text(encoding="utf-8")
    config = tmp_path / "mailbridge.conf"
    config.write_text(text.replace(" mailbridge mailbridge ", " root root "), encoding="utf-8")
    ended = await run_program(tmpfiles, f"--root={tmp_path}", "--create", config)
    assert ended.code == 0, ended
    assert (tmp_path / "var/spool/mailbridge").stat().st_mode & 0o7777 == 0o3777
