"""The container image: built and tried by scripts/build-image, and what can be read off its files without building."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tomllib
from pathlib import Path

import pytest

from mailbridge.config.load import load_config
from tests.support.programs import run_program

ROOT = Path(__file__).parents[2]
BUILT_IN = ROOT / "contrib/docker/config.yaml"


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, line continuations joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def final_stage() -> dict[str, str]:
    """Return the instructions of the image that is shipped; the last of each name."""
    instructions = dockerfile()
    last_from = max(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    return dict(instructions[last_from:])


def test_the_program_runs_as_nobody_special():
    """Orchestrators that forbid root want to see a number."""
    assert final_stage()["USER"] == "10001:10001"


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD"])
def test_the_program_gets_the_signals_itself(word):
    """In the shell form a shell would be PID 1 and keep SIGTERM to itself."""
    assert isinstance(json.loads(final_stage()[word]), list)
    assert final_stage()["STOPSIGNAL"] == "SIGTERM"


async def test_the_health_check_is_a_verb_of_ours_without_a_shell():
    """The command of HEALTHCHECK is in the exec form, and its options exist."""
    command = json.loads(final_stage()["HEALTHCHECK"].partition(" CMD ")[2])
    assert command[0] == "mailbridge"
    ended = await run_program(sys.executable, "-m", *command, "--help")
    assert ended.code == 0, ended


def test_every_instruction_of_the_final_stage_works_without_a_shell():
    """So a base without one will do."""
    assert "RUN" not in final_stage()


def test_the_base_can_be_chosen_and_is_pinned():
    """A tag that moves from release to release would change Python under us."""
    base = next(rest for word, rest in dockerfile() if word == "ARG" and rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=[a-z0-9./-]+:3\.\d+-slim-[a-z]+", base)
    assert [rest.split()[0] for word, rest in dockerfile() if word == "FROM"] == ["${BASE}", "${BASE}"]


def test_dependencies_are_locked_wheels():
    """Every requirement of the image has its hashes, and pip is told to insist."""
    environment = " ".join(rest for word, rest in dockerfile() if word == "ENV")
    assert "PIP_REQUIRE_HASHES=1" in environment
    assert "PIP_ONLY_BINARY=:all:" in environment
    for name in ("build", "runtime"):
        requirements = re.split(r"\n(?=\S)", (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").strip())
        assert all("==" in line and "--hash=sha256:" in line for line in requirements if not line.startswith("#"))


def test_the_volume_and_the_ports_are_those_of_the_built_in_configuration():
    """What is exposed is listened on, and the queue is in the volume."""
    config = load_config(BUILT_IN, environ=account())
    ports = [config.smtp.listen[0].address, str(config.web.listen)]
    assert final_stage()["EXPOSE"].split() == [address.rpartition(":")[2] for address in ports]
    assert config.queue.url == f"sqlite:///{final_stage()['VOLUME']}/queue.db"


def account(**more: str) -> dict[str, str]:
    """Return the environment that the built-in configuration asks for."""
    return {"MAILBRIDGE__GATEWAYS__MAIN__LOGIN": "acme", "MAILBRIDGE__GATEWAYS__MAIN__PASSWORD": "secret", **more}


def test_the_label_has_the_version_of_the_project():
    """Whoever inspects an image sees what is in it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ("ARG", f"VERSION={project['version']}") in dockerfile()


async def test_an_account_in_the_environment_is_all_a_sidecar_needs():
    """check-config is content with the built-in configuration and two variables."""
    ended = await run_program(sys.executable, "-m", "mailbridge", "check-config", "--config", BUILT_IN, env=account())
    assert ended.code == 0, ended


def test_the_network_that_may_send_is_narrowed_by_the_environment():
    """The list of networks is one variable, with commas."""
    config = load_config(BUILT_IN, environ=account(MAILBRIDGE__SMTP__LISTEN__0__ALLOW="127.0.0.1, 172.18.0.0/16"))
    assert config.smtp.listen[0].allow == ["127.0.0.1", "172.18.0.0/16"]


def test_nothing_goes_into_the_build_but_what_is_copied():
    """.dockerignore shuts everything out and lets in what COPY names."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for word, rest in dockerfile()
        if word == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    }
    for source in copied:
        assert source in let_in or any(name.startswith(f"{source}/") for name in let_in), source
        assert (ROOT / source).exists(), source


def why_not() -> str:
    """Return why the image cannot be built here, empty where it can."""
    if os.getuid() != 0:
        return "not root: buildah without an engine needs it"
    if not shutil.which("apt-get"):
        return "no apt-get: not Debian or Ubuntu"
    return ""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_a_mail_goes_through_the_built_image():
    """The image is built, takes a mail, sends it to a simulated gateway, is well, and stops when told to."""
    process = await asyncio.create_subprocess_exec(
        ROOT / "scripts/build-image",
        env={**os.environ, "IMAGE": "localhost/mailbridge:test", "VENV": str(Path(sys.prefix))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        # a test cut short takes its containers down, too
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
    assert process.returncode == 0, output.decode()
    assert output.decode().count("became an SMS at the gateway") >= 2
