"""Finding and loading the configuration: files to a ``Config``, or to every problem at once.

    files -> yaml -> merge -> MAILBRIDGE__… -> ${NAME} -> x_file -> model -> checks

The only door of this room for the rest of the program. It must not start, connect or create anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mailbridge.config.check import check
from mailbridge.config.environment import apply_overrides, interpolate, read_secret_files, resolve
from mailbridge.config.model import Config
from mailbridge.config.problems import Problem
from mailbridge.config.tree import Findings, Node, change_texts, dotted, get, merge
from mailbridge.config.tree import Path as TreePath
from mailbridge.config.validate import validate
from mailbridge.config.yaml import MAX_BYTES, parse_yaml
from mailbridge.errors import ConfigError

SYSTEM_CONFIG = Path("/etc/mailbridge/config.yaml")
#: stands beside the configuration, world-readable, and is another program's
_NOT_OURS = "sendmail.yaml"
_FILE_KEYS = ("certificate", "private_key")


def find_config(
    explicit: str | Path | None, environ: Mapping[str, str], cwd: Path, *, system: Path = SYSTEM_CONFIG
) -> Path:
    """Return where the configuration is: *explicit*, ``$MAILBRIDGE_CONFIG``, ``./config.yaml``, then *system*.

    Raises: ConfigError where there is none. What was named but is not there is not passed over for the next.
    """
    if explicit is not None:
        return Path(explicit)
    if named := environ.get("MAILBRIDGE_CONFIG"):
        return Path(named)
    for candidate in (cwd / "config.yaml", system):
        if candidate.exists():
            return candidate
    instead = f"give --config FILE or set MAILBRIDGE_CONFIG, or put one into ./config.yaml or {system}"
    raise ConfigError([Problem(file="config.yaml", line=0, path="", problem="no configuration found", instead=instead)])


def load_config(path: Path | str, *, environ: Mapping[str, str], need_gateway: bool = True) -> Config:
    """Load the file, or the folder of ``*.yaml`` files, at *path*.

    *need_gateway*: a configuration without any gateway is a problem.

    Raises: ConfigError with all problems, in the order of files and lines.
    """
    return load_with_places(path, environ=environ, need_gateway=need_gateway)[0]


def load_with_places(
    path: Path | str, *, environ: Mapping[str, str], need_gateway: bool = True
) -> tuple[Config, Callable[[TreePath], str]]:
    """Load as ``load_config``; return also where each key stands: ``config.yaml:12: rules[0]``, or ``(default)``.

    Raises: ConfigError, as ``load_config``.
    """
    root, problems, order = _read(Path(path))
    if root is None:
        raise ConfigError(_sorted(problems, order))
    findings = Findings(root)
    findings.root = apply_overrides(root, environ, findings)
    root = interpolate(findings.root, environ, findings)
    root = read_secret_files(root, findings)
    findings.root = _resolve_files(root)
    config = validate(findings)
    problems += check(config, findings, need_gateway=need_gateway)
    if problems or findings.problems:
        raise ConfigError(_sorted([*problems, *findings.problems], order))
    return _complete(config), lambda key: _place(findings.root, key)


def _place(root: Node, key: TreePath) -> str:
    node = get(root, key)
    # a list may be written as one text
    if node is None and key and isinstance(key[-1], int):
        node = get(root, key[:-1])
    return f"{dotted(key)} (default)" if node is None else f"{node.file}:{node.line}: {dotted(key)}"


def _read(path: Path) -> tuple[Node | None, list[Problem], list[str]]:
    """Return the merged tree (None where any file is unreadable), the problems, and the files in order."""
    try:
        files = _files(path)
    except (OSError, ValueError) as error:
        return None, [_unreadable(path, error)], []
    if not files:
        problem = "no *.yaml file in this folder"
        return None, [Problem(file=str(path), line=0, path="", problem=problem, instead="put one into it")], []
    merged: Node | None = None
    problems: list[Problem] = []
    is_readable = True
    for file in files:
        node, found = _read_file(file)
        problems += found
        if node is None:
            is_readable = False
            continue
        merged = node if merged is None else merge(merged, node)
    order = [str(file) for file in files]
    if merged is not None and merged.value is None:
        problem, instead = "the file is empty", "`mailbridge config example` prints one to begin with"
        problems.append(Problem(file=order[0], line=1, path="", problem=problem, instead=instead))
        is_readable = False
    return merged if is_readable else None, problems, order


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [entry for entry in path.iterdir() if entry.suffix == ".yaml" and not entry.name.startswith(".")]
    return sorted(entry for entry in found if entry.name != _NOT_OURS and not entry.is_dir())


def _read_file(file: Path) -> tuple[Node | None, list[Problem]]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return None, [_unreadable(file, error)]
    return parse_yaml(data, file=str(file))


def _unreadable(path: Path, error: OSError | ValueError) -> Problem:
    reason = (error.strerror or "unknown reason") if isinstance(error, OSError) else "not a file name"
    words = f"cannot be read: {reason}"
    return Problem(
        file=str(path), line=0, path="", problem=words, instead="name a readable YAML file or a folder of them"
    )


def _resolve_files(root: Node) -> Node:
    """Let relative names of TLS files, calendars and profiles count from the file they are written in."""

    def resolved(path: TreePath, text: str, node: Node) -> Node:
        if path[:2] == ("smtp", "listen") and path[-1] in _FILE_KEYS and text:
            return replace(node, value=str(resolve(text, node)))
        if path[:1] == ("rotas",) and path[-1] == "ics" and text and "://" not in text:
            return replace(node, value=str(resolve(text, node)))
        if path == ("profiles",) and text:
            return replace(node, value=str(resolve(text, node)))
        return node

    return change_texts(root, resolved)


def _complete(config: Config) -> Config:
    """Fill in what follows from other keys."""
    if config.bounce.mode == "mail" and not config.bounce.from_:
        bounce = config.bounce.model_copy(update={"from_": f"mailer-daemon@{config.smtp.hostname}"})
        return config.model_copy(update={"bounce": bounce})
    return config


def _sorted(problems: list[Problem], order: list[str]) -> list[Problem]:
    places = {file: number for number, file in enumerate(order)}
    return sorted(problems, key=lambda found: (places.get(found.file, len(places)), found.line))
