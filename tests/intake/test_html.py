"""HTML as a person would read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.intake.html import html_to_text
from mailbridge.intake.tidy import tidy_body


def read(markup: str) -> str:
    """Return *markup* as the body of a mail would show it."""
    return tidy_body(html_to_text(markup))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("One<br>Two<br/>Three", "One\nTwo\nThree"),
        ("One<br><br><br>Two", "One\n\nTwo"),
        ("<div>a <b>b</b>\n   c</div>", "a b c"),
        ("x&nbsp;&lt;y&gt; &amp;amp; &#1055;&#x440;", "x <y> &amp; Пр"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("<ul><li>one<li>two</ul>", "- one\n- two"),
        ("<ol><li>one</li><li>two</li></ol>", "1. one\n2. two"),
        ("<ol start=3><li>c</ol>", "3. c"),
        ("<table><tr><td>Host</td><td>web01</td></tr><tr><td>State:</td><td>DOWN</td></tr></table>",
         "Host: web01\nState: DOWN"),
        ("<table><tr><td>a<td>b<td>c<tr><td>d<td>e<td>f</table>", "a b c\nd e f"),
        ("<table><tr><td><table><tr><td>k</td><td>v</td></tr></table></td></tr></table>", "k: v"),
        ("<table><tr><td><p>left</p><p>more</p></td><td>right</td></tr></table>", "left\nmore\nright"),
        ("<style>p{}</style><script>alert('<p>x</p>')</script><p>y</p>", "y"),
        ("<head><title>t</title></head><body>y", "y"),
        ("<!-- c --><!--[if mso]><p>outlook</p><![endif]--><!--[if !mso]><!-->all<!--<![endif]-->", "all"),
        ("<a href='https://e.org/x'>Read</a>", "Read"),
        ("<a href='https://e.org/x'>https://e.org/x</a>", "https://e.org/x"),
        ("see <a href='https://e.org/x'></a>", "see https://e.org/x"),
        ("<p>text</p><a href='https://track/e'><img src=l></a>", "text"),
        ("<img alt='Sale 50%'>", "Sale 50%"),
        ("<p>text</p><img alt='logo'>", "text"),
        ("<pre>a\n  b</pre>", "a\nb"),
        ("<h1>Alarm</h1>now<hr>end", "Alarm\nnow\nend"),
        ("<P CLASS=x>Upper</P>", "Upper"),
        ("<p title='a > b'>quoted</p>", "quoted"),
        ("<![CDATA[x]]>", "x]]>"),
        ("<?xml version='1.0'?><p>x</p>", "x"),
        ("a<wbr>b", "ab"),
        ("<td>a</td><td>b</td>", "a b"),
        ("text <a href=x>View in browser</a>", "text"),
        ("<blockquote type=cite>a<br>b</blockquote>", "a\nb"),
        ("<ol><li>a<ul><li>b</ul><li>c</ol>", "1. a\n- b\n2. c"),
        ("</ p>x<!-->y<!-- never closed", "xy"),
        ("<table><tr><td>State:<td><p>one</p><p>two</p></table>", "State: one\ntwo"),
        ("<a href=x><table><tr><td>y</a>", "y"),
        ("<table><tr><th>Host</th><th>State</th></tr><tr><td>db01</td><td>DOWN</td></tr></table>",
         "Host State\ndb01: DOWN"),
        ("<table><tr><th>Host</th><td>db01</td></tr></table>", "Host: db01"),
        ("<ol>\n<li>\n<p>a</p>\n</li><li><div>b</div>c</ol>", "1. a\n2. b\nc"),
        ("Hi <img class=emoji alt='\U0001f525'> now <img alt='logo'>", "Hi \U0001f525 now"),
        ("a&#0;&#xD800;&#x110000;b", "ab"),
        ("<div style='overflow:hidden'>shown</div><div style='height:0'>shown</div>", "shown\nshown"),
        ("plain without tags", "plain without tags"),
        ("", ""),
    ],
)  # fmt: skip
def test_reads_as_shown(markup, text):
    """Blocks make lines, rows one line, markup leaves."""
    assert read(markup) == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<div style='display:none'>HID</div>",
        "<div style='DISPLAY : NONE !important'>HID<div>HID</div>HID</div>",
        "<span style='visibility: hidden'>HID</span>",
        "<div style='height:0;overflow:hidden'>HID</div>",
        "<div style='overflow: hidden; max-width: 0px'>HID</div>",
        "<p style='position:absolute;left:-9999px'>HID</p>",
        "<span style='mso-hide:all'>HID</span>",
        "<span style='font-size:0'>HID</span>",
        "<span style='font-size: 0px; line-height:0'>HID</span>",
        "<div style='opacity:0'>HID</div>",
        "<div style='max-height:0px;overflow:hidden'>HID</div>",
        "<div hidden>HID</div>",
        "<p hidden>HID<p>",
        "<div class='x preheader'>HID</div>",
        "<template>HID</template>",
        "<table><tr style='display:none'><td>HID<tr></table>",
        "<table><tr style='display:none'><td><table><tr><td>HID</td></tr></table>HID</td></tr><tr><td>seen</table>",
        "<table><tr><td style='display:none'>HID<td>seen</table>",
    ],
)
def test_what_is_hidden_is_not_read(hidden):
    """Preheaders and the like are for other eyes."""
    text = read(f"{hidden}<p>shown</p>")
    assert "HID" not in text
    assert text.endswith("shown")


@pytest.mark.parametrize(
    "shown",
    [
        "<td style='font-size:0px'><div style='font-size:13px'>SEEN</div></td>",
        "<div style='opacity:0.9'>SEEN</div>",
        "<div style='max-height:0.5em'>SEEN</div>",
        "<div style='font-size:0.9em'>SEEN</div>",
        "<a href=x style='mso-hide:all'>SEEN</a>",
        "<div hidden>SEEN",
    ],
)
def test_what_is_not_hidden_is_read(shown):
    """A wrapper without a font size, nearly hidden things, and a page that would be hidden whole."""
    assert "SEEN" in read(shown)


def test_quoted_mail_and_signature_of_html_clients():
    """The marks of Gmail and Thunderbird for what was written before."""
    markup = (
        "<div>Yes</div><div class='gmail_quote'><div class='gmail_attr'>On Mon, 12 Jan 2026 at 09:12, Anna "
        "&lt;anna@example.org&gt; wrote:<br></div><blockquote class='gmail_quote'>Coming?</blockquote></div>"
    )
    assert read(markup) == "Yes"
    assert read("<p>No</p><pre class='moz-signature'>-- \nIvan</pre>") == "No"


def test_indenting_is_no_quotation():
    """A blockquote without a citation only indents."""
    assert read("<p>a</p><blockquote>b</blockquote>") == "a\nb"


@given(st.text(alphabet="<>/!-'\"= abptdhrefstyle&#;x0123\n", max_size=200))
def test_any_markup_is_read(markup):
    """No markup raises."""
    assert isinstance(html_to_text(markup), str)


@given(st.lists(st.sampled_from(
    ["<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<ul>", "<ol>", "<li>", "</ul>", "<p>", "</p>", "<div hidden>",
     "</div>", "<a href='http://x'>", "</a>", "<br>", "<blockquote type=cite>", "</blockquote>", "<pre>", "</pre>", "word "]
), max_size=60))  # fmt: skip
def test_no_word_is_lost_in_wrong_nesting(pieces):
    """However tags are nested, every word outside hidden elements is in the text."""
    text = html_to_text("".join(pieces))
    if "<div hidden>" not in pieces:
        assert text.count("word") == pieces.count("word ")
