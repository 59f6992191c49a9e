"""Pages from templates: everything that comes from outside is text, and nothing in it steers a reader's eye."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
#: name -> content type
STATIC: Mapping[str, str] = {
    "desk.css": "text/css", "desk.js": "text/javascript", "htmx.min.js": "text/javascript",
}  # fmt: skip
#: every page: only what is ours, nothing inline, never within another page
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # not no-referrer: with it a browser hides from us, too, that a form is our own
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def static(name: str) -> tuple[bytes, str]:
    """Return a file of ours and what tells its versions apart."""
    content = (_HERE / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def shown(text: object) -> str:
    """Return *text* with nothing in it that is not seen: controls and marks of direction become a sign."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text))


def local_time(at: str | datetime | None) -> str:
    """Return a time as people here write it; empty for none."""
    if at is None:
        return ""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _asset(name: str) -> str:
    return f"/static/{name}?v={static(name)[1]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"shown": shown, "time": local_time}
    environment.globals["asset"] = _asset
    return environment


def render(name: str, **values: Any) -> str:
    """Return the page of template *name*."""
    return _environment().get_template(name).render(**values)
