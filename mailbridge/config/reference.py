"""The reference page of the configuration in Markdown, made from the outline."""

from __future__ import annotations

from collections.abc import Iterator

from mailbridge.config.future import CHANNELS, GATEWAY_TYPES, KEYS
from mailbridge.config.model import Config
from mailbridge.config.outline import Entry, Items, Keys, Mapping, describe, entries, write
from mailbridge.config.sections import Section
from mailbridge.config.show import inline

_HEAD = """\
# Configuration

<!-- Made by scripts/generate from mailbridge/config/model.py and what it is made of; change it there. -->

One YAML file, or a folder of `*.yaml` files merged in name order:
mappings merge, later files win for single values, lists replace each other.
Hidden files and `sendmail.yaml`, which belongs to `mailbridge-sendmail`, are passed over in a folder.
It is looked for at `--config`, `$MAILBRIDGE_CONFIG`, `./config.yaml` and `/etc/mailbridge/config.yaml`, in this order.
`mailbridge check-config` reports every problem at once; `mailbridge config example` prints a file to begin with.

- Plain words stay words: `off`, `no`, `+79991234567`, `1:30` and `0123` are text.
- A key given twice is an error, and so is a key nobody knows. YAML anchors, aliases and tags are not taken.
- A key with nothing after it counts as not written.
- Durations are `300ms 10s 5m 4h 2d` or several of them (`1h30m`);
  sizes are `512KB 10MB`, KB being 1000 bytes and KiB 1024.
- A list of words may be written as one text with commas.
- Relative names of certificates, keys and secret files count from the file they are written in.

## Values from elsewhere

`${NAME}` takes an environment variable, `${NAME:-default}` has a default where it is unset or empty,
`$${` stands for the text `${`.
A variable that is not set and has no default is a problem.

A key marked *secret* may be given as `<key>_file`, the name of a file with the secret alone;
one line end at its end is dropped.

Every single value can be replaced by a variable named after its path, whatever the case:
`MAILBRIDGE__SMTP__REPLY`, `MAILBRIDGE__GATEWAYS__MAIN__PASSWORD`, `MAILBRIDGE__SMTP__LISTEN__0__ADDRESS`.
Its text is taken as it is; `${` means nothing there.
A character of a key that is neither letter nor digit is written `_`:
the domain `sms.local` is `MAILBRIDGE__SMTP__DOMAINS__SMS_LOCAL`.
Where the file has no such key, a new gateway gets the name in lower case,
and a new domain gets dots for its underscores.
A list's index may be the next free one, which appends. A variable that fits no key is a problem.
`MAILBRIDGE_` variables with a single underscore (`MAILBRIDGE_CONFIG`, `MAILBRIDGE_SMTP`) are something else.
"""

_SAFETY = """\
## What is refused

Beside wrong words and ranges, the bridge refuses to start with:

- a listener that lets the whole internet send (`allow` wider than a /8) without `auth: required`;
- `auth` on a listener without TLS, unless only loopback clients may connect;
- `auth` without `users`, and user passwords that are not argon2id hashes;
- TLS without a readable certificate and the key that belongs to it;
- `http://` to a gateway that is neither loopback, private nor a name without dots, unless `insecure: true`;
- a guessable `callback_path` where no `callback_secret` checks signatures;
- `bounce.mode: mail` without a smarthost.
"""


def reference() -> str:
    """Return the page."""
    later = ", ".join(f"`{key}`" for key in sorted(KEYS))
    other = ", ".join(f"`{word}`" for word in sorted(CHANNELS | GATEWAY_TYPES))
    tail = [
        _SAFETY,
        "## Not available in this version",
        "",
        f"These keys are refused as such: {later}; and so are these channels and kinds of gateway: {other}.",
    ]
    return "\n".join([_HEAD, *_sections(Config, ""), *tail]) + "\n"


def _sections(model: type[Section], path: str) -> Iterator[str]:
    found = entries(model)
    scalars = [entry for entry in found if _inner(entry) is None]
    if scalars:
        yield "| key | value | default | meaning |"
        yield "|---|---|---|---|"
        for entry in scalars:
            yield _row(entry)
        yield ""
    for entry in found:
        inner = _inner(entry)
        if inner is not None:
            here = f"{path}.{entry.key}" if path else entry.key
            name, section = inner
            yield f"## `{here}{name}`"
            yield ""
            yield entry.description
            yield ""
            yield from _sections(section, f"{here}{name}")


def _inner(entry: Entry) -> tuple[str, type[Section]] | None:
    match entry.kind:
        case Keys(model=model):
            return "", model
        case Items(item=Keys(model=model)):
            return "[]", model
        case Mapping(value=Keys(model=model)):
            return ".<name>", model
    return None


def _row(entry: Entry) -> str:
    words = describe(entry.kind).replace("|", "\\|")
    if entry.secret and "secret" not in words:
        words = f"{words} (secret)"
    return f"| `{entry.key}` | {words} | {_default(entry)} | {entry.description.replace('|', chr(92) + '|')} |"


def _default(entry: Entry) -> str:
    if entry.required:
        return "required"
    if entry.default in (None, ""):
        return "–"
    value = entry.default
    return f"`{inline(value) if isinstance(value, list | dict) else write(value, entry.kind)}`"
