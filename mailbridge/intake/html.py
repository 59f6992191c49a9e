"""HTML to text as a person would read it: blocks make lines, rows one line, what is hidden stays hidden.

Used by ``parse`` for text/html parts; pure.
It must not build a tree: the work is one pass over the tokens of ``markup``, so no page can cost more than its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice

from mailbridge.intake.hidden import is_hidden, is_unsized
from mailbridge.intake.markup import Tag, tokens

#: longer pages are cut; what an SMS can hold stands in the first hundredth of it
MAX_HTML_CHARS = 512_000
#: text and tags looked at; a long newsletter has some thousands
_MAX_TOKENS = 30_000
#: tables in tables; newsletters go down to ten
_MAX_TABLES = 15
_MAX_OPEN = 300
_KEY_CHARS = 40
_SIGN_CHARS = 8


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VOID = _names("area base br col embed frame hr img input link meta param source track wbr")
_BLOCK = _names(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav ol option p pre section summary table tbody "
    "tfoot thead tr ul"
)
#: what an implied end does not reach beyond
_SCOPE = _names("ul ol menu dl table td th blockquote")
_CELLS = _names("td th tr")
_DROPPED = _names("head datalist noframes object applet canvas audio video svg math template")
#: an opened one ends these where their end tag was left out (HTML standard section 13.1.2.4)
_IMPLIED_END = {"li": ("li",), "dt": ("dt", "dd"), "dd": ("dt", "dd"), "option": ("option",), "p": ("p",)}
#: where one block ends and another begins; several together are one
_BREAK = "\0"
#: links that only a screen has a use for
_CHROME = re.compile(
    r"(?i)(?:view|open|read|see) (?:this |the |it )?(?:e-?mail |message |alert |incident )?(?:in|on) (?:your |a |the )?"
    r"(?:web )?(?:browser|alertmanager|grafana|zabbix|web)|view alert|silence|source|sent by alertmanager|unsubscribe"
    r"|отписаться(?: от рассылки)?|(?:открыть|посмотреть) (?:письмо )?в браузере|privacy policy"
    r"|политика конфиденциальности|icinga web"
)
_BLANKS = re.compile(r"[ \t\r\n\f\v]+")


@dataclass(slots=True)
class _Open:
    name: str
    unsized: bool = False
    quote: bool = False
    ordinal: int | None = None


@dataclass(slots=True)
class _Table:
    depth: int
    cells: list[str] = field(default_factory=list)
    #: no cell of the row holds data: these are the names of columns
    heads: bool = True
    outer: list[list[str]] = field(default_factory=list)


def html_to_text(markup: str) -> str:
    """Return *markup* as text, lines joined by ``\\n``; not yet tidied.

    Where everything turns out to be hidden (a hidden element never closed), it is read again with nothing hidden.
    """
    markup = markup[:MAX_HTML_CHARS]
    renderer = _Renderer(hide=True)
    text = renderer.run(markup)
    return text if text.strip() or not renderer.hid else _Renderer(hide=False).run(markup)


class _Renderer:
    """One pass over the tokens; all state of it."""

    def __init__(self, *, hide: bool) -> None:
        self.hide = hide
        # something was left out that a second look could find
        self.hid = False
        self.out: list[str] = []
        self.open: list[_Open] = []
        self.tables: list[_Table] = []
        self.alts: list[str] = []
        self.link: tuple[str, int] | None = None
        # name and depth of the hidden element we are in
        self.skip_name = ""
        self.skip_depth = 0
        self.skip_tables = 0
        self.quotes = 0
        # where the text of a list's item begins: what opens there goes on the bullet's line
        self.after_bullet = -1

    def run(self, markup: str) -> str:
        for token in islice(tokens(markup), _MAX_TOKENS):
            if isinstance(token, str):
                self._text(token)
            elif token.closing:
                self._end(token.name)
            else:
                self._start(token)
        while self.tables:
            self._end_table()
        text = _lines("".join(self.out))
        return text if text.strip() else "\n".join(self.alts)

    def _text(self, data: str) -> None:
        if self.skip_name or (self.hide and self.open and self.open[-1].unsized):
            self.hid = True
            return
        if any(element.name == "pre" for element in self.open[-4:]):
            self.out.append(data.replace(_BREAK, ""))
            return
        text = _BLANKS.sub(" ", data.replace(_BREAK, ""))
        if text != " " or len(self.out) != self.after_bullet:
            self.out.append(text)

    def _start(self, tag: Tag) -> None:
        name = tag.name
        if self.skip_name:
            self._start_inside_hidden(tag)
            if self.skip_name:
                return
        if name in _VOID:
            self._void(tag)
            return
        style = _BLANKS.sub("", tag.attributes.get("style", "")).lower()
        if self.hide and (name in _DROPPED or is_hidden(tag, style)):
            self.hid = True
            if not tag.self_closing:
                self.skip_name, self.skip_depth = name, 1
            self._break(name)
            return
        self._end_implied(_IMPLIED_END.get(name, ()))
        self._push(tag, style)
        self._break(name)
        self._structure(tag)

    def _end_implied(self, names: tuple[str, ...]) -> None:
        for element in reversed(self.open[-3:] if names else ()):
            if element.name in names:
                self._pop(element.name, 3)
                return
            if element.name in _SCOPE:
                return

    def _start_inside_hidden(self, tag: Tag) -> None:
        name = tag.name
        if self.skip_name in _CELLS and (name == "table" or self.skip_tables):
            # rows and cells of a table inside are not the next ones of ours
            self.skip_tables += name == "table"
        elif name == self.skip_name:
            if name in {"p", "li"} or name in _CELLS:
                # its end tag was left out: a new one begins, which is looked at on its own
                self.skip_name = ""
            elif not tag.self_closing:
                self.skip_depth += 1
        elif (self.skip_name == "head" and name == "body") or (
            self.skip_name == "p" and name in {"table", "div", "ul", "ol", "h1", "h2", "h3"}
        ):
            self.skip_name = ""

    def _end_inside_hidden(self, name: str) -> None:
        if self.skip_tables:
            self.skip_tables -= name == "table"
        elif name == self.skip_name:
            self.skip_depth -= 1
            if self.skip_depth <= 0:
                self.skip_name = ""
                self._break(name)
        elif self.skip_name in _CELLS and name in {"table", "tr"}:
            self.skip_name = ""

    def _push(self, tag: Tag, style: str) -> None:
        if len(self.open) >= _MAX_OPEN:
            return
        inherited = bool(self.open) and self.open[-1].unsized
        unsized = is_unsized(style, inherited=inherited)
        quote = tag.name == "blockquote" and _is_quote(tag)
        self.quotes += quote
        start = tag.attributes.get("start", "1")
        ordinal = (
            None if tag.name != "ol" else int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
        )
        self.open.append(_Open(tag.name, unsized, quote, ordinal))

    def _structure(self, tag: Tag) -> None:
        match tag.name:
            case "table":
                if len(self.tables) < _MAX_TABLES:
                    self.tables.append(_Table(depth=len(self.open)))
            case "tr":
                self._end_row()
            case "td" | "th":
                self._start_cell()
                if tag.name == "td" and self.tables:
                    self.tables[-1].heads = False
            case "li":
                self.out.append(self._bullet())
                self.after_bullet = len(self.out)
            case "a":
                self.link = (tag.attributes.get("href", "").strip(), len(self.out))
            case _:
                pass

    def _bullet(self) -> str:
        for element in reversed(self.open[-8:]):
            if element.name in {"ul", "menu", "dir"}:
                break
            if element.ordinal is not None:
                element.ordinal += 1
                return f"{element.ordinal - 1}. "
        return "- "

    def _end(self, name: str) -> None:
        if self.skip_name:
            self._end_inside_hidden(name)
            if self.skip_name or name not in {"table", "tr"}:
                return
        match name:
            case "table":
                self._end_table()
            case "tr":
                self._end_row()
            case "td" | "th":
                self._end_cell()
            case "a":
                self._end_link()
            case _:
                pass
        self._pop(name, 40)
        self._break(name)

    def _pop(self, name: str, reach: int) -> None:
        for depth in range(len(self.open) - 1, max(-1, len(self.open) - 1 - reach), -1):
            if self.open[depth].name == name:
                self.quotes -= sum(element.quote for element in self.open[depth:])
                del self.open[depth:]
                return

    def _void(self, tag: Tag) -> None:
        if tag.name == "br":
            self.out.append("\n")
            if self.quotes:
                self.out.append("> ")
        elif tag.name == "hr":
            self._break("hr")
        elif tag.name == "img":
            alt = tag.attributes.get("alt", "").strip()
            if alt and not is_hidden(tag, _BLANKS.sub("", tag.attributes.get("style", "")).lower()):
                self.alts.append(alt)
                if len(alt) <= _SIGN_CHARS and not alt.isascii() and not any(char.isalnum() for char in alt):
                    # mail clients show their own pictures of emoji
                    self.out.append(alt)
            if self.link is not None:
                # a picture is the link's text: its address is no better
                self.link = None

    def _break(self, name: str) -> None:
        if name in _BLOCK and (len(self.out) != self.after_bullet or name in _SCOPE):
            self.out.append(_BREAK)
            if self.quotes:
                self.out.append("> ")

    def _end_link(self) -> None:
        if self.link is None:
            return
        href, position = self.link
        self.link = None
        shown = "".join(self.out[position:]) if position <= len(self.out) else "shown"
        if self.hide and _CHROME.fullmatch(shown.replace(_BREAK, "").strip()) is not None:
            self.hid = True
            del self.out[position:]
        elif not shown.strip() and href.lower().startswith(("http://", "https://")):
            self.out.append(href)

    def _start_cell(self) -> None:
        self._end_cell()
        if self.tables and len(self.tables[-1].outer) == 0:
            self.tables[-1].outer.append(self.out)
            self.out = []
        elif not self.tables:
            self.out.append(" ")

    def _end_cell(self) -> None:
        if self.tables and self.tables[-1].outer:
            table = self.tables[-1]
            cell = "".join(self.out)
            self.out = table.outer.pop()
            table.cells.append(cell)

    def _end_row(self) -> None:
        self._end_cell()
        if self.tables and self.tables[-1].cells:
            table = self.tables[-1]
            line = _row([_squeeze(cell) for cell in table.cells], heads=table.heads)
            table.cells.clear()
            table.heads = True
            if line:
                self.out += [_BREAK, line, _BREAK]

    def _end_table(self) -> None:
        self._end_row()
        if self.tables:
            self.tables.pop()


def _is_quote(tag: Tag) -> bool:
    attributes = tag.attributes
    # a blockquote without these only indents
    return "cite" in attributes or attributes.get("type") == "cite" or "quote" in attributes.get("class", "")


def _squeeze(cell: str) -> str:
    lines = (_BLANKS.sub(" ", line).strip() for line in cell.replace(_BREAK, "\n").split("\n"))
    return "\n".join(line for line in lines if line)


def _lines(text: str) -> str:
    """Turn breaks between blocks, however many meet, into one line end; ``<br><br>`` keeps its blank line."""
    pieces = (piece.strip(" \n") for piece in text.split(_BREAK))
    return "\n".join(piece for piece in pieces if piece and piece != ">")


def _row(cells: list[str], *, heads: bool) -> str:
    """Join the cells of a row: ``key: value`` for a pair, spaces between short ones, lines where they hold lines.

    *heads* says that they are names of columns.
    """
    cells = [cell for cell in cells if cell and cell not in {"|", ":"}]
    if any("\n" in cell for cell in cells):
        first, *rest = cells
        if len(rest) == 1 and "\n" not in first and first.endswith(":"):
            return f"{first} {rest[0]}"
        return "\n".join(cells)
    if len(cells) == 2 and len(cells[0]) <= _KEY_CHARS and not heads:
        key, value = cells
        return f"{key} {value}" if key[-1] in ":=.!?-–—>•·*%" or key.isdigit() else f"{key}: {value}"
    return " ".join(cells)
