"""The administrator's template."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from mailbridge.config.template import FILTERS, VARIABLES
from mailbridge.intake.template import MAX_OUTPUT_CHARS, NAMES, compile_template, fold_blanks

DEFAULT = "{{ subject }}: {{ body }}"


def fill(source, **values):
    """Compile *source* and fill it with *values*."""
    return compile_template(source).render(
        {"headers": {}, "sms": {"phone": "+79991234567", "alias": "oncall"}, **values}
    )


@pytest.mark.parametrize(
    ("subject", "body", "text"),
    [
        ("Disk", "is full", "Disk: is full"),
        ("Disk", "", "Disk"),
        ("", "is full", "is full"),
        ("", "", ""),
        ("Disk", "line 1\n\n  line  2  \n", "Disk: line 1\nline 2"),
        ("{{ 7*7 }}", "{% for x in y %}", "{{ 7*7 }}: {% for x in y %}"),
        ("Disk:", "is full", "Disk: is full"),
        ("Disk;", "is full", "Disk;: is full"),
        # said twice
        ("Disk full", "Disk full", "Disk full"),
        ("Disk", "disk\non db1", "disk\non db1"),
        ("Disk is full", "Disk is full: 98% of /", "Disk is full: 98% of /"),
        ("Disk is full", "Disk is fuller", "Disk is full: Disk is fuller"),
        ("Disk", "Disk failure imminent", "Disk: Disk failure imminent"),
        ("Test", "Test message", "Test: Test message"),
        ("Disk full on db1 now", "Disk", "Disk full on db1 now: Disk"),
    ],
)
def test_the_default_template(subject, body, text):
    """The colon stands only between two things, and nothing is said twice."""
    assert fill(DEFAULT, subject=subject, body=body) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ body }}", "B"),
        ("[{{ host }}] {{ subject }}", "[] S"),
        ("{{ host }}: {{ service }}: {{ subject }}", "S"),
        ("{{ subject }} / {{ host }} / {{ body }}", "S / B"),
        ("{{ subject }} on {{ host }}: {{ body }}", "S on B"),
        ("{{ subject }}\n{{ body }}", "S\nB"),
        ("Alert! {{ subject }} - {{ host }}", "Alert! S"),
        ("{{ sms.phone }} {{ sms.alias }} {{ from }}", "+79991234567 oncall a@b"),
        ("{{subject}}{{body}}", "SB"),
        ("{{ subject|lower }}: {{ body }}", "s: B"),
        ("{{ subject }}: {{ host|upper }}", "S:"),
        ("{% if host %}{{ host }}{% else %}no host{% endif %}", "no host"),
        ("{{ host.name.first }}{{ nothing }}|{{ none }}", "|"),
        ("{{ headers['X-Host'] }} {{ headers['X-None'] }}", "web1"),
        ("{# note #}{{ subject }}", "S"),
        ("{{- subject -}} {{ body }}", "SB"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_templates(source, text):
    """Plain names go the short way, everything else through Jinja2; what a mail lacks is empty."""
    values = {"subject": "S", "body": "B", "from": "a@b", "headers": {"X-Host": "web1"}}
    assert fill(source, **values) == text


def test_an_empty_side_leaves_no_joint_behind_in_any_template():
    """Where subject or body is empty, joints at the ends go, whatever the template."""
    assert fill("{{ subject|upper }}: {{ body }}", subject="disk", body="") == "DISK"
    assert fill("{{ subject|upper }}: {{ body }}", subject="", body="full") == "full"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"sms", "headers"}])
def test_every_name_may_be_used(name):
    """Each documented name is filled in both ways, and may be missing."""
    plain, filtered = "{{ " + name + " }}", "{{ " + name + "|trim }}"
    assert fill(plain, **{name: "v"}) == "v"
    assert fill(filtered, **{name: "v"}) == "v"
    assert fill(plain + filtered) == ""


def test_filters():
    """The five filters."""
    assert fill("{{ subject|fold }}", subject="«a» — №") == '"a" - No.'
    assert fill("{{ subject|translit }}", subject="Щи") == "Schi"
    assert fill("{{ body|fit(1) }}", body="я" * 100) == "я" * 69 + "…"
    assert fill("{{ body|first_line }}", body="\n\n one \ntwo") == "one"
    assert fill("{{ body|lines(2) }}", body="one\n\ntwo\nthree") == "one\ntwo"
    assert fill("{{ body|first_line }}{{ body|lines(0) }}", body="") == ""


@pytest.mark.parametrize(
    "source", ["{{ subject", "{% if %}", "{{ subject|nosuch }}", "{% for %}", "{{ subject|fold( }}"]
)
def test_a_broken_template_is_told_when_compiled(source):
    """Syntax and unknown filters are found at load, with the reason."""
    with pytest.raises(ValueError, match="not a template"):
        compile_template(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1/0 }}", "{{ subject.__class__.__mro__ }}{{ ''.__class__.__base__.__subclasses__() }}", "{{ 'a' * 300000000 }}",
        "{{ 300000000 * 'a' }}", "{{ [1] * 300000000 }}", "{{ 9 ** 99999999 }}", "{{ '%999999999d' % 1 }}", "{{ range(9999999) }}",
        "{{ body|fit('x') }}", "{{ subject + 1 }}", "{{ subject|int + body }}",
    ],
)  # fmt: skip
def test_a_template_that_breaks_or_floods(source):
    """A failing or abusive expression yields None, or something harmless, never an exception or a flood."""
    text = fill(source, subject="S", body="B")
    assert text is None or len(text) < 100


def test_modest_expressions_work():
    """The bounds leave common expressions alone."""
    assert (
        fill("{{ '-' * 3 }} {{ 2 ** 3 }} {{ '%s of %d' % (subject, 5) }} {{ 3 * 4 }}", subject="S", body="B")
        == "--- 8 S of 5 12"
    )


def test_output_is_bounded():
    """A loop that writes without end is cut."""
    text = fill("{% for a in range(9000) %}{% for b in range(9000) %}xxxxxxxxxx{% endfor %}{% endfor %}")
    assert text is not None
    assert len(text) == MAX_OUTPUT_CHARS
    assert len(fill(DEFAULT, subject="s" * 10**6, body="b" * 10**6)) <= MAX_OUTPUT_CHARS


def test_the_configuration_checks_what_templates_have():
    """The names and filters that ``check-config`` lets pass are those that are filled here."""
    assert frozenset(NAMES) == VARIABLES
    assert all(compile_template("{{ subject|%s }}" % name) for name in FILTERS)  # noqa: UP031 - braces are the template's


def test_templates_are_compiled_once():
    """The same source gives the same object."""
    assert compile_template(DEFAULT) is compile_template(DEFAULT)


@pytest.mark.parametrize(
    ("text", "folded"),
    [(" a \t b ", "a b"), ("a\r\n\r\n b\rc\n", "a\nb\nc"), ("", ""), ("\n", ""), ("a\u00a0 b\n\tc", "a b\nc")],
)
def test_blanks(text, folded):
    """Runs of blanks become one blank, runs of line ends one line end."""
    assert fold_blanks(text) == folded


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x",
    "{% for a in body %}{% for b in body %}{% for c in body %}{% endfor %}{% endfor %}{% endfor %}x",
    "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(300) }}",
    "{% set n = namespace(a='x') %}{% for i in range(40) %}{% set n.a = n.a ~ n.a %}{% endfor %}{{ n.a|length }}",
    "{% set n = namespace(a='x') %}{% for i in range(40) %}{% set n.a = n.a + n.a %}{% endfor %}{{ n.a|length }}",
    "{% set n = namespace(a=9) %}{% for i in range(99) %}{% set n.a = n.a * n.a %}{% endfor %}{{ n.a > 1 }}",
    "{{ body|replace('a', body)|length }}",
    "{{ body.replace('a', body)|length }}",
    "{{ body|join(body)|length }}",
    "{{ body.join(body)|length }}",
    "{{ body|center(999999999)|length }}",
    "{{ body.ljust(999999999)|length }}",
    "{{ body.expandtabs(999999999)|length }}",
    "{{ body|indent(999999999)|length }}",
    "{{ '%999999999d'|format(1)|length }}",
    "{{ '{:999999999}'.format(1)|length }}",
    "{{ '{:{}}'.format(1, 999999999)|length }}",
]


@pytest.mark.parametrize("source", ENDLESS)
def test_no_template_takes_long_or_much(source: str):
    """A template that would run for ever, or fill the memory, breaks within moments instead."""
    values = {"subject": "s", "body": "a\t" * 10_000}
    template = compile_template(source)
    tracemalloc.start()
    began_s = time.process_time()
    try:
        assert template.render(values) is None
        assert time.process_time() - began_s < 3
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_useful_templates_stay_within_the_bounds():
    """Each line of a long body may be looked at, again in the next mail."""
    source = (
        "{% for line in body.splitlines() if 'x' not in line %}{{ line|upper ~ ';' }}{{ loop.length }} {% endfor %}"
    )
    values = {"subject": "s", "body": "line of it\n" * 1500}
    for _ in range(20):
        shown = compile_template(source).render(values)
        assert shown is not None
        assert shown.startswith("LINE OF IT;1500 LINE OF IT;1500")


def test_recursive_loops_are_refused():
    """They would be counted by nothing."""
    with pytest.raises(ValueError, match="line 1: recursive loops are not taken"):
        compile_template("{% for a in body recursive %}{{ loop(a) }}{% endfor %}")
