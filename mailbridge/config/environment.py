"""What the environment and secret files add to the tree: ``${NAME}``, ``x_file`` and ``MAILBRIDGE__SECTION__KEY``.

Runs between merging the files and validation.
The environment comes in as a mapping; the only I/O is reading secret files.
It must not put what it read into a problem.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping as MappingABC
from dataclasses import replace
from pathlib import Path as FilePath

from mailbridge.config.model import Config
from mailbridge.config.outline import Items, Keys, Kind, Mapping, Scalar, all_entries, entry_at, known_keys
from mailbridge.config.tree import Findings, Node, Path, change_texts, dotted, drop, get, put, walk

PREFIX = "MAILBRIDGE__"
MAX_SECRET_BYTES = 64_000

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}|\$\{")


def interpolate(root: Node, environ: MappingABC[str, str], findings: Findings) -> Node:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in every value; ``$${`` stands for ``${``.

    The default serves where the variable is unset or empty, as in a shell. What an override put in (line 0) is
    left alone.
    What comes in is text and is not read as YAML again.
    """

    def changed(path: Path, text: str, node: Node) -> Node:
        if "${" not in text or node.line == 0:
            return node
        new = _REFERENCE.sub(lambda match: _value_of(match, path, environ, findings), text)
        return replace(node, value=new, echo=False)

    return change_texts(root, changed)


def _value_of(match: re.Match[str], path: Path, environ: MappingABC[str, str], findings: Findings) -> str:
    if match[0] == "$${":
        return "${"
    name, has_default, default = match[1], match[2], match[3]
    if name is None:
        fix = "write ${NAME} or ${NAME:-default}, or $${ for the text ${"
        findings.report(path, "${ without a name and a closing }", fix)
        return ""
    value = environ.get(name)
    if has_default:
        return value or str(default)
    if value is None:
        fix = f"set it, or write ${{{name}:-default}} to go without"
        findings.report(path, f"the environment variable {name} is not set", fix)
        return ""
    return value


def read_secret_files(root: Node, findings: Findings) -> Node:
    """Replace every ``x_file`` of a secret ``x`` by the content of that file, without its last line end."""
    for path, node in list(walk(root)):
        key = path[-1] if path else None
        if not isinstance(key, str) or not key.endswith("_file") or node.value is None:
            continue
        target = (*path[:-1], key.removesuffix("_file"))
        entry = entry_at(target)
        if entry is None or not entry.secret or entry_at(path) is not None:
            continue
        root = drop(root, path)
        if (twin := get(root, target)) is not None and twin.value is not None:
            findings.report(path, f"both {target[-1]} and {key} are given", "keep one of them")
            continue
        # What is wrong with the file makes the secret itself unknown, too.
        text = _read_secret(node, path, findings)
        if text is None:
            findings.broken.add(target)
        root = put(root, target, replace(node, value=text or "", echo=False))
    return root


def _read_secret(node: Node, path: Path, findings: Findings) -> str | None:
    if not isinstance(node.value, str):
        findings.report(path, "not the name of a file", "write a path such as /run/secrets/password")
        return None
    file = resolve(node.value, node)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_SECRET_BYTES + 1)
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        findings.report(path, f"the file {file} cannot be read: {error.strerror}", "make it readable for this user")
    except ValueError:
        # not UTF-8, or a NUL in the name
        findings.report(path, "the file is not UTF-8 text", "write the secret alone into it")
    else:
        if text.strip() and len(data) <= MAX_SECRET_BYTES and text.isprintable():
            return text
        findings.report(
            path, f"the file {file} is empty, too long or has more than one line", "write the secret alone into it"
        )
    return None


def resolve(name: str, node: Node) -> FilePath:
    """Return the file called *name* in the configuration: a relative name counts from the file it is written in."""
    return FilePath(name) if node.line == 0 else FilePath(node.file).parent / name


def apply_overrides(root: Node, environ: MappingABC[str, str], findings: Findings) -> Node:
    """Let ``MAILBRIDGE__SECTION__KEY`` replace scalars. Values are taken as they are, ``${`` included.

    Case does not matter. Every character of a key but letters and digits is written ``_``: the domain ``sms.local`` is
    ``MAILBRIDGE__SMTP__DOMAINS__SMS_LOCAL``. Where no such key is in the file, a new gateway gets the name in lower
    case and a new domain gets dots for its underscores. List items go by index; the next free one appends.
    """
    for name in sorted(environ):
        if not name.upper().startswith(PREFIX):
            continue
        steps = name[len(PREFIX) :].split("__")
        path = _find_path(root, steps)
        new = Node(value=environ[name], file=f"${name}", line=0, echo=False)
        if isinstance(path, str):
            _report_override(findings, new, name, path, _suggest(name))
            continue
        root = _forget_twin(root, path)
        root = put(root, path, new)
    return root


def _report_override(findings: Findings, node: Node, name: str, problem: str, instead: str) -> None:
    # There is no key to point at, so the variable itself is the place.
    own = Findings(node)
    own.report((), problem, instead)
    findings.problems.extend(replace(found, path=name) for found in own.problems)


def _find_path(root: Node, steps: list[str]) -> Path | str:
    """Return where the override goes, or what is wrong with it."""
    kind: Kind = Keys(model=Config)
    path: list[str | int] = []
    for step in steps:
        here = get(root, tuple(path))
        match kind:
            case Keys(model=model):
                key = next((key for key in known_keys(model) if _spell(key) == step.upper()), None)
                if key is None:
                    return "no such key in the configuration"
                path.append(key)
                entry = entry_at(tuple(path))
                kind = entry.kind if entry else Scalar(kind="text")
            case Mapping(value=value):
                found = _own_key(here, step, dots=isinstance(value, Scalar))
                if found is None:
                    return f"{step} stands for more than one key of {dotted(tuple(path))}"
                path.append(found)
                kind = value
            case Items(item=item):
                length = len(here.value) if here is not None and isinstance(here.value, tuple) else 0
                if not (step.isascii() and step.isdigit() and len(step) < 6 and int(step) <= length):
                    return f"{step or 'nothing'} is not an index from 0 to {length}"
                path.append(int(step))
                kind = item
            case _:
                return f"{dotted(tuple(path))} has no keys below it"
    if isinstance(kind, Scalar) or (isinstance(kind, Items) and kind.words):
        return tuple(path)
    return f"{dotted(tuple(path))} is not a single value"


def _own_key(here: Node | None, step: str, *, dots: bool) -> str | None:
    keys = list(here.value) if here is not None and isinstance(here.value, MappingABC) else []
    matching = [key for key in keys if _spell(key) == step.upper()]
    if len(matching) > 1:
        return None
    new = step.lower().replace("_", ".") if dots else step.lower()
    return matching[0] if matching else new


def _spell(key: str) -> str:
    """Write *key* as it stands in the name of a variable."""
    return re.sub(r"[^A-Z0-9]", "_", key.upper())


def _suggest(name: str) -> str:
    # without what all of them share, which would make any two alike
    known = ["__".join(_spell(step) for step in path.split(".")) for path in _override_paths()]
    wanted = re.sub(r"__\d+(?=__|$)", "__0", name.upper().removeprefix(PREFIX))
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    return f"did you mean {PREFIX}{close[0]}?" if close else "see the reference page of the configuration, or unset it"


def _override_paths() -> list[str]:
    out = []
    for path, entry in all_entries():
        if isinstance(entry.kind, Scalar) or (isinstance(entry.kind, Items) and entry.kind.words):
            out.append(path.replace("[]", ".0").replace("<name>", "main"))
    return out


def _forget_twin(root: Node, path: Path) -> Node:
    """Drop ``x`` where the environment gives ``x_file``, and the other way round."""
    key = str(path[-1])
    twin = key.removesuffix("_file") if key.endswith("_file") else f"{key}_file"
    return drop(root, (*path[:-1], twin))
