"""YAML stays text, keeps its lines, and nothing clever gets in."""

import pytest

from mailbridge.config.tree import get, plain
from mailbridge.config.yaml import MAX_BYTES, parse_yaml


def parse(text: str):
    """Parse *text*, which has no problems."""
    node, problems = parse_yaml(text.encode(), file="f.yaml")
    assert problems == []
    assert node is not None
    return node


@pytest.mark.parametrize(
    "word",
    ["off", "no", "NO", "+79991234567", "1:30", "0123", "8_800", "~", "null", "1e3", "2026-01-05", "=", "0x1F", ".inf"],
)
def test_plain_words_stay_words(word: str):
    """What YAML 1.1 would turn into something else is the text as written."""
    assert plain(parse(f"key: {word}\n")) == {"key": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: ${X}}", {"a": "${X}"}),
        ("{a: ${X}, b: ${Y:-[a, b]}, c: d}", {"a": "${X}", "b": "${Y:-[a, b]}", "c": "d"}),
        ("[${X}, x${Y}z]", ("${X}", "x${Y}z")),
        ("{a: $${X}, b: '${X} {y}'}", {"a": "$${X}", "b": "${X} {y}"}),
        ("{a: |\n  }", None),
    ],
)
def test_a_variable_needs_no_quotes_between_braces(text: str, value):
    """``{password: ${NAME}}`` is what people write, though to YAML the inner brace is another mapping."""
    node, problems = parse_yaml(f"key: {text}\n".encode(), file="f.yaml")
    assert (None if problems else plain(node)["key"]) == (list(value) if isinstance(value, tuple) else value)


def test_a_key_without_value_is_not_given():
    """An empty value leaves the default in place, an empty text in quotes does not."""
    assert plain(parse('a:\nb: ""\nc: x\n')) == {"b": "", "c": "x"}


def test_lines_are_those_of_the_keys():
    """A key's line is where the key stands, an item's where its value begins."""
    root = parse(
        "smtp:\n  listen:\n    - address: a\n      allow:\n        - x\n        - y\n  text: |\n    long\n    text\n"
    )
    lines = {
        path: get(root, path).line
        for path in [
            ("smtp",),
            ("smtp", "listen"),
            ("smtp", "listen", 0),
            ("smtp", "listen", 0, "allow", 1),
            ("smtp", "text"),
        ]
    }
    assert list(lines.values()) == [1, 2, 3, 6, 7]


def test_every_duplicate_is_reported():
    """Duplicate keys at several places are all named, with both lines."""
    _, problems = parse_yaml(b"a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n", file="f.yaml")
    assert [(problem.line, problem.path) for problem in problems] == [(2, "b.c"), (3, "a"), (4, "a")]
    assert problems[1].problem == "given twice, first in line 1"


def test_block_texts_and_quotes_are_read_as_yaml_has_them():
    """Literal and folded blocks and escapes mean what YAML says."""
    text = "a: |\n  x\n  y\nb: >-\n  x\n  y\nc: \"tab\\tend\"\nd: 'it''s'\n"
    assert plain(parse(text)) == {"a": "x\ny\n", "b": "x y", "c": "tab\tend", "d": "it's"}


@pytest.mark.parametrize(
    "data",
    [
        b"a: '" + b"x\n" * 50_000,
        b"[" * 100_000,
        b"? " * 10_000,
        b'a: "\\U7fffffff"\n',
        b"%YAML 9.9\n---\na: b\n",
        b"!<" + b"x" * 1000,
        b"a: b\n" * (MAX_BYTES // 5 + 1),
        b"a: &x [1]\nb: *x\n",
        b"a: \x85\xff\n",
        b"k: [" + b"x," * 20_001 + b"]",
        b"<<: *nothing\n",
        b": value\n",
        b"- a\nb: c\n",
        b"\x1b[31m: red\n",
        "a: \ufffe\n".encode(),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_nonsense_is_one_clean_problem(data: bytes):
    """Hostile text is refused with a place and plain words, and in bounded time."""
    node, problems = parse_yaml(data, file="f.yaml")
    assert node is None
    assert len(problems) == 1
    assert problems[0].line >= 1
    assert problems[0].problem.isprintable()
