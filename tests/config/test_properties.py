"""Whatever the file holds, loading gives a configuration or a ConfigError, and never anything else."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailbridge.config.example import example
from mailbridge.config.load import load_config
from mailbridge.config.model import Config
from mailbridge.config.outline import all_entries
from mailbridge.errors import ConfigError

KEYS = sorted(
    {step for path, _ in all_entries() for step in path.replace("[]", "").split(".")}
    | {"main", "rules", "x", "password_file"}
)
SCALARS = st.one_of(
    st.sampled_from(
        [
            "off",
            "sms",
            "10s",
            "10MB",
            "1",
            "-1",
            "${X}",
            "${",
            "***",
            "[::1]:25",
            "unix:/x",
            "http://h",
            "10.0.0.0/8",
            "{{ x }}",
            "{% raw",
            "",
            "~",
            "RU",
            "smtp://u:p@h",
        ]
    ),
    st.text(max_size=20),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=25,
)
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check(file: Path, data: bytes, environ: dict[str, str] | None = None) -> None:
    """Load *data* and look at what comes out."""
    file.write_bytes(data)
    try:
        problems = None
        config = load_config(file, environ=environ or {})
    except ConfigError as error:
        problems = error.problems
    if problems is None:
        assert isinstance(config, Config)
        return
    assert problems
    for problem in problems:
        assert problem.problem
        assert "\n" not in str(problem)
        assert "pydantic" not in str(problem).lower()


def as_yaml(tree: object) -> str:
    """Write *tree* in flow style, texts in double quotes."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(as_yaml(item) for item in tree) + "]"
    return '"' + "".join(f"\\U{ord(c):08X}" if not c.isalnum() else c for c in str(tree)) + '"'


@QUICK
@given(
    data=st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
)
def test_any_bytes(tmp_path: Path, data: bytes):
    """Any bytes at all."""
    check(tmp_path / "config.yaml", data)


@QUICK
@given(data=st.text(alphabet="ab:-#&*!|>%@`'\"{}[],?\\ \n\t~$.0", max_size=120))
def test_anything_like_yaml(tmp_path: Path, data: str):
    """Any text made of YAML's own marks."""
    check(tmp_path / "config.yaml", data.encode())


@QUICK
@given(tree=st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_any_tree_of_known_keys(tmp_path: Path, tree: dict):
    """Known keys with values of every wrong kind in every wrong place."""
    check(tmp_path / "config.yaml", as_yaml(tree).encode())


@QUICK
@given(
    steps=st.lists(
        st.one_of(st.sampled_from([key.upper() for key in KEYS]), st.sampled_from(["0", "1", "99", ""])), max_size=6
    ),
    value=st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
)
def test_any_override(tmp_path: Path, steps: list[str], value: str):
    """Any variable with our prefix."""
    check(tmp_path / "config.yaml", b"gateways: {main: {apikey: k}}\n", {"MAILBRIDGE__" + "__".join(steps): value})


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_example(tmp_path: Path, seed: int):
    """The example with characters lost, doubled or exchanged, and lines moved."""
    rng = random.Random(seed)
    text = bytearray(example().encode())
    for _ in range(rng.randint(1, 6)):
        start = rng.randrange(len(text))
        end = start + rng.randint(0, 40)
        text[start:end] = rng.choice(
            [b"", text[start:end] * 2, b":", b"\n  ", b"- ", b'"', b"\t", bytes([rng.randrange(256)])]
        )
    check(tmp_path / "config.yaml", bytes(text))
