"""Completions in real shells, and the manual pages in man(1)."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from mailbridge.cli.main import cli
from mailbridge.cli.sendmail import parse_call
from mailbridge.model.state import State
from scripts.shell import bash, fish, man, man_sendmail, verbs, zsh
from tests.support.documents import ROOT
from tests.support.programs import need, run_program

COMPLETIONS = ROOT / "contrib/completions"
MAN = ROOT / "contrib/man"
MADE = {
    COMPLETIONS / "mailbridge.bash": bash, COMPLETIONS / "_mailbridge": zsh, COMPLETIONS / "mailbridge.fish": fish,
    MAN / "mailbridge.1": man, MAN / "mailbridge-sendmail.8": man_sendmail,
}  # fmt: skip

STATES = sorted(state.value for state in State)
#: what was typed, and what is offered for its last word
TYPED = {
    "mailbridge que": ["queue"],
    "mailbridge queue rel": ["release"],
    "mailbridge queue list --st": ["--state"],
    "mailbridge queue list --state ": STATES,
    "mailbridge queue list --state un": ["undelivered", "unknown"],
    "mailbridge --config x.yaml gateways pr": ["probe"],
    "mailbridge doctor --j": ["--json"],
}


@pytest.mark.parametrize("file", MADE, ids=lambda file: file.name)
def test_what_is_in_contrib_is_what_the_verbs_say(file: Path):
    """Each file is as scripts/generate would write it now."""
    assert file.read_text(encoding="utf-8") == MADE[file](), "run scripts/generate"


def test_every_verb_is_walked():
    """Verbs, and verbs below verbs, each with its options."""
    paths = {verb.path for verb in verbs()}
    assert set(cli.list_commands(click.Context(cli))) < paths
    assert {"queue list", "config schema", "tls self-signed"} < paths
    assert all(verb.options for verb in verbs())


@pytest.mark.parametrize(("typed", "offered"), TYPED.items())
async def test_bash_offers(typed: str, offered: list[str]):
    """The function is called as bash calls it at a press of TAB."""
    words = [*typed.split(" ")]
    script = (
        f"source {COMPLETIONS}/mailbridge.bash; COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
        f'COMP_CWORD={len(words) - 1}; _mailbridge; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    ended = await run_program(need("bash"), "--norc", "-c", script)
    assert (ended.code, sorted(ended.output.split())) == (0, offered)


@pytest.mark.slow
async def test_fish_offers(tmp_path: Path):
    """By its own ``complete -C``."""
    program = need("fish")
    for typed, offered in TYPED.items():
        # files are offered beside the words; here are none
        script = f"cd {tmp_path}; source {COMPLETIONS}/mailbridge.fish; complete -C {shlex.quote(typed)}"
        ended = await run_program(program, "--no-config", "-c", script)
        got = sorted(line.partition("\t")[0] for line in ended.output.splitlines())
        assert (ended.code, got) == (0, offered), typed


@pytest.mark.slow
async def test_zsh_offers(tmp_path: Path):
    """In a real line editor behind zpty: TAB after what is typed; what zsh is about to insert is told by its own hook."""
    program = need("zsh")
    (tmp_path / "_mailbridge").write_bytes((COMPLETIONS / "_mailbridge").read_bytes())
    inner = tmp_path / "inner.zsh"
    inner.write_text(f"""
        fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D
        compadd() {{
            # -O gives what matches the word under the cursor, without adding it
            local -a found; builtin compadd -O found "$@" 2>/dev/null; print -l -- $found >>{tmp_path}/offered
        }}
        _files() {{ : }}
        bindkey '^I' complete-word; PS1=READY
    """)
    for typed, offered in TYPED.items():
        (tmp_path / "offered").unlink(missing_ok=True)
        outer = f"""
            zmodload zsh/zpty
            zpty z {program} -f -i
            zpty -w z 'source {inner}'
            zpty -r z out '*READY*'
            zpty -n -w z $'{typed}\\t'
            repeat 100 {{ [[ -s {tmp_path}/offered ]] && break; sleep 0.05 }}
            sleep 0.2
            zpty -d z
        """
        ended = await run_program(program, "-f", "-c", outer)
        got = (tmp_path / "offered").read_text().split() if (tmp_path / "offered").exists() else []
        assert sorted(set(got)) == offered, (typed, ended)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["mailbridge.1", "mailbridge-sendmail.8"])
async def test_man_reads_the_pages_without_a_warning(page: str):
    """Groff finds nothing to say, and the text is there."""
    env = {"LC_ALL": "C.UTF-8", "MANWIDTH": "120", "MAN_KEEP_FORMATTING": ""}
    ended = await run_program(need("man"), "--warnings", "-E", "UTF-8", "-l", MAN / page, env=env)
    assert ended.code == 0
    assert "troff:" not in ended.output
    assert "SYNOPSIS" in ended.output
    if page == "mailbridge.1":
        assert all(f"mailbridge {verb.path}" in " ".join(ended.output.split()) for verb in verbs() if verb.path)


def test_the_flags_of_the_page_about_sendmail_are_understood():
    """Each flag the page explains is one that means something to the program."""
    plain = parse_call(["a@b"])
    for flag in (["-t"], ["-i"], ["-oi"], ["-f", "x@y"], ["-bs"], ["-bp"], ["-q"], ["-q5m"]):
        assert parse_call([*flag, "a@b"]) != plain
        assert flag[0].replace("-", "\\-").removesuffix("5m") in man_sendmail()
