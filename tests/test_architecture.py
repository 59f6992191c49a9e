"""The shape of the house: who may import whom, which library lives where, and how long a file may be.

    SMTP session -> parse -> compose -> queue -> delivery -> gateway -> report

Imports run along the flow; ``app`` is the only file that knows all parts.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mailbridge"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 500

#: room -> (what of the house it may import, why). A name allows the module or room of that name and all below it;
#: ``.`` is the package itself (its version). Rooms may import themselves.
MAY_IMPORT: dict[str, tuple[set[str], str]] = {
    "errors": ({"config.problems", "model.reply"}, "errors carry the reply or the problems they stand for"),
    "clock": (set(), "time is handed in from the top"),
    "log": ({"lines", "model.phone"}, "masks phones, in one place"),
    "lines": (set(), "knows nothing of what the lines say"),
    "failpoints": (set(), "knows only names"),
    "doctor": (
        {
            "clock", "config.addresses", "config.model", "config.smarthost", "errors", "gateway.contract", "model", "queue.contract",
            "report.relay", "smtp.tls", "spool",
        },
        "asks the parts what they offer anyway; changes nothing",
    ),
    "spool": (set(), "keeps a client's mails; knows nothing of the bridge"),
    "lean": (set(), "what the daemon does for its memory: before anything else is imported, and after a burst"),
    "loops": ({"clock", "errors"}, "the shape of a duty, not what it does"),
    "meter": (
        {"clock", "gateway.contract", "model", "queue.contract", "queue.escalations", "queue.kept"},
        "counts at the two ports and alters nothing that passes",
    ),
    "model": (set(), "values know nothing but values"),
    "config": (
        {"errors", "model.limits"},
        "reads files into one typed model, and is imported by all that are configured; how a limit is written, limits say",
    ),
    "smtp": ({"clock", "config.model", "errors", "model"}, "the door delivers nothing: its way on is smtp.contract"),
    "intake": ({"config.model", "config.units", "errors", "model"}, "pure: bytes and settings to messages"),
    "profiles": (
        {"config.patterns", "config.profiles", "errors", "intake.segments", "intake.template", "model"},
        "reads a mail as its device meant it; the devices are data",
    ),
    "rules": (
        {"config.model_people", "config.model_rules", "config.patterns", "config.times", "intake.options", "model"},
        "pure: a mail and the time to what is done with it",
    ),
    "planner": (
        {
            "errors", "escalation.chains", "intake.compose", "intake.options", "intake.rights", "model", "profiles.reader",
            "queue.escalations", "rules.engine",
        },
        "profile, rules and composing in their order",
    ),
    "escalation": (
        {
            "clock", "config.check_alarms", "config.check_people", "config.model", "config.model_alarms", "errors",
            "model", "people.directory", "queue.contract", "queue.escalations",
        },
        "who is told next and what counts as an answer; neither sends nor reads mail",
    ),
    "inbound": (
        {"clock", "delivery.board", "delivery.breaker", "gateway.contract", "model", "queue.contract", "queue.escalations"},
        "keeps what comes in, and knows of no SMS what it means",
    ),
    "vitals": (
        {
            "clock", "config.check_people", "config.model_alarms", "delivery.board", "errors", "model", "people.zones",
            "queue.contract",
        },
        "says that all is well, or keeps silent; nothing waits for it",
    ),
    "alarms": (
        {
            "clock", "config.model", "delivery.board", "delivery.dispatcher", "delivery.membership", "escalation", "front", "inbound", "loops", "meter", "model", "operator",
            "people.directory", "people.rota", "queue.contract", "queue.escalations", "report", "vitals",
        },
        "escalation, inbound and vitals, put together from the configuration; a part of ``app``",
    ),
    "queue": ({"errors", "model"}, "keeps what was promised, whoever asks; knows neither SMTP nor HTTP"),
    "gateway": (
        {
            ".", "clock", "config.answers", "config.model", "config.model_http", "config.patterns", "config.placeholders",
            "errors", "model",
        },
        "a carrier does not know who sends through it; how one is described, the configuration says",
    ),
    "delivery": (
        {"clock", "config.model", "errors", "gateway.contract", "loops", "model", "queue.cluster",
            "queue.contract", "queue.gathering", "queue.kept",
        },
        "decides between two ports and parses no answer",
    ),
    "report": (
        {"clock", "config.smarthost", "errors", "model", "queue.contract", "queue.rules"},
        "tells senders what the queue says; sends no SMS",
    ),
    "pressure": (
        {"clock", "errors", "model.reply", "queue.contract"},
        "tells the door how much the queue can still carry; asked before a mail is kept, by door and verb alike",
    ),
    "people": (
        {
            "clock", "config.check_people", "config.model", "config.model_people", "errors", "model", "queue.contract",
            "queue.kept",
        },
        "who is meant and when: knows neither mails nor gateways; the store keeps what must last",
    ),
    "foresight": (
        {"config.model", "config.tree", "model.reading", "planner", "queue.kept"}, "words for what the store foresees",
    ),
    "prices": (
        {"clock", "gateway.contract", "model", "queue.contract"}, "remembers what gateways said; sends and delays nothing",
    ),
    "outlook": ({"model", "queue.contract"}, "asks the store; decides by the functions of the model, as the store does"),
    "explain": (
        {
            "config.model", "config.tree", "errors", "foresight", "model", "outlook", "planner", "queue.contract",
            "rules.engine", "smtp.contract", "smtp.site",
        },
        "asks the parts the door asks, and decides nothing",
    ),
    "reception": (
        {
            "clock", "delivery.watch", "errors", "model", "planner", "pressure", "queue.contract", "queue.kept",
            "rules.engine",
        },
        "joins door, intake and queue by functions that are handed in, and waits for verdicts",
    ),
    "front": (
        {
            "clock", "config.model", "escalation.chains", "intake", "limiter", "model", "people.directory", "people.handling",
            "people.rota", "planner", "profiles.load", "queue.contract", "queue.kept", "reception", "report.policy",
            "rules.engine",
        },
        "what stands before the queue, in the bridge's own process or in a worker: it loads neither store nor gateway",
    ),
    "limiter": (
        {"clock", "config.model", "errors", "model", "queue.contract"},
        "knows between two commits what the store said; lets nothing through that the store would not",
    ),
    "in_force": (
        {"clock", "errors", "limiter", "meter", "model", "queue.contract", "reception", "smtp.contract"},
        "what the door talks to, exchanged by a reload",
    ),
    "operator": (
        {"clock", "errors", "queue.contract", "queue.escalations", "report.dsn", "report.notice"}, "writes notices",
    ),
    "admin": (
        {
            "clock", "config.model", "errors", "escalation.answers", "model", "queue.browsing", "queue.contract",
            "queue.escalations",
        },
        "works on a store, never on a running process",
    ),
    "listing": ({"admin", "config.units", "queue.contract"}, "how a list is asked for and written"),
    "plots": (set(), "draws what it is given"),
    "refusals": ({"model.reply"}, "hears the door's log"),
    "stats": (
        {"admin", "clock", "model", "queue.browsing", "queue.contract"}, "sums over time; asks the store alone",
    ),
    "tail": ({"clock", "queue.browsing", "queue.contract"}, "reads the history onwards, for whoever tells it"),
    "webhooks": (
        {"admin", "clock", "config.model_api", "queue.browsing", "queue.contract", "tail"},
        "tells other hosts, beside the work",
    ),
    "pages": (
        {
            "carriers", "clerk", "clock", "config.addresses", "config.model", "delivery", "meter", "model.inbound",
            "queue.contract", "refusals", "web",
        },
        "which pages there are",
    ),
    "clerk": (
        {
            "admin", "clock", "config.model", "config.tree", "errors", "explain", "foresight", "front",
            "gateway.contract", "intake.address", "intake.compose", "intake.parse", "limiter", "model", "outlook",
            "people.directory", "people.rota", "planner", "pressure", "prices", "queue.browsing", "queue.contract",
            "reception",
        },
        "asks the parts the door asks, for whoever sends no mail",
    ),
    "web": (
        {
            ".", "admin", "clerk", "clock", "config.model", "config.model_api", "config.show", "delivery.board",
            "delivery.dispatcher", "delivery.questions", "errors", "gateway.contract", "gateway.json_fields",
            "gateway.smsc.callback", "listing", "model", "plots", "queue.browsing", "queue.contract",
            "queue.escalations", "refusals", "smtp.bans", "smtp.passwords", "stats", "tail",
        },
        "shows the parts and takes callbacks; holds no logic. Who may sign in is asked as at the door",
    ),
    "simulator": ({"clock", "errors"}, "the other side of the wire: a mistake shared with the bridge would be unseen"),
    "workers": (
        {
            "clock", "config.model", "errors", "front", "lean", "limiter", "log", "loops", "model", "people.calendar",
            "people.rota", "queue.contract", "smtp",
        },
        "the door in other processes: what is to be stored goes over a line to the one with the queue",
    ),
    "carriers": (
        {"clock", "config.model", "delivery", "gateway", "meter", "model.outcome", "prices", "web.callback"},
        "builds what is configured, each carrier of its own kind",
    ),
    "app": (
        {
            "alarms", "carriers", "clerk", "clock", "config", "delivery", "explain", "front", "in_force",
            "intake.digest", "lean", "limiter", "loops", "meter", "model", "operator", "pages", "people",
            "pressure", "prices", "queue.contract", "queue.kept", "reception", "refusals", "report", "smtp", "web",
            "web.health", "webhooks", "workers.team",
        },
        "the only file that knows all parts",
    ),
    "cli": (
        {
            ".", "admin", "app", "carriers", "clerk", "clock", "config", "doctor", "errors", "explain",
            "failpoints", "gateway.contract", "lean", "limiter", "listing", "log", "model", "people",
            "prices", "queue.connect", "queue.contract", "simulator", "spool", "workers.worker",
        },
        "verbs on top of everything; the only one that starts a simulator or opens a store",
    ),
    "__main__": ({"cli.main"}, "python -m mailbridge"),
}  # fmt: skip

#: packages whose ``__init__`` hands out a name when it is asked for; test_lean holds that it is not asked at rest
LAZY = {"gateway.smsc"}

#: library -> rooms that may import it: the rest of the house would not notice its replacement
LIBRARIES: dict[str, set[str]] = {
    "aiohttp": {"cli", "gateway", "pages", "people", "simulator", "vitals", "web", "webhooks"},
    "aiosmtpd": {"smtp"},
    "aiosmtplib": {"report"},
    "alembic": {"queue"},
    "anyascii": {"intake"},
    "argon2": {"cli", "smtp"},
    "click": {"cli"},
    "holidays": {"config", "people"},
    "icalendar": {"people"},
    "jinja2": {"config", "intake", "simulator", "web"},
    "phonenumbers": {"intake"},
    "re2": {"config"},
    "prometheus_client": {"meter", "web"},
    "psycopg": {"queue"},
    "pydantic": {"cli", "config", "gateway", "web"},
    "recurring_ical_events": {"people"},
    "rich": {"cli"},
    "sqlalchemy": {"queue"},
    "structlog": {
        "app",
        "cli",
        "delivery",
        "escalation",
        "inbound",
        "lean",
        "limiter",
        "log",
        "loops",
        "operator",
        "people",
        "pressure",
        "reception",
        "report",
        "smtp",
        "vitals",
        "web",
        "webhooks",
        "workers",
    },
    "uvloop": {"cli"},
    "yaml": {"cli", "config"},
}


def name_of(file: Path) -> str:
    """Return a module's name below the package: ``queue.contract``, ``queue``; ``.`` for the package itself."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "."


def room_of(module: str) -> str:
    """Return the room or top-level module that *module* belongs to."""
    return module if module == "." else module.partition(".")[0]


def imported(file: Path) -> Iterator[str]:
    """Yield every module *file* imports, wherever in it: ``mailbridge.model.reply``, ``aiohttp.web``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            below = ROOT.joinpath(*node.module.split("."))
            # from a package: modules of it, or names it defines itself
            for alias in node.names if below.is_dir() else ():
                inner = below / alias.name
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module
            if not below.is_dir():
                yield node.module


def ours(file: Path) -> set[str]:
    """Return what *file* imports of the house outside its own room."""
    names = {
        module.removeprefix("mailbridge").removeprefix(".") or "." for module in imported(file) if _is_ours(module)
    }
    return {name for name in names if room_of(name) != room_of(name_of(file))}


def _is_ours(module: str) -> bool:
    return module == "mailbridge" or module.startswith("mailbridge.")


def is_allowed(module: str, allowed: set[str]) -> bool:
    """Tell whether *module* or a room above it is among *allowed*."""
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_run_along_the_flow(file: Path) -> None:
    """A module imports what the table allows its room, and nothing else of the house."""
    room = room_of(name_of(file))
    allowed, why = MAY_IMPORT.get(room, (set(), "the package itself is empty"))
    wrong = sorted(module for module in ours(file) if not is_allowed(module, allowed))
    assert wrong == [], f"{room}: {why}"


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_the_table_allows_nothing_that_is_not_used(room: str) -> None:
    """Each entry of the table is there because something needs it."""
    used = set().union(*(ours(file) for file in FILES if room_of(name_of(file)) == room))
    assert [name for name in MAY_IMPORT[room][0] if not any(is_allowed(module, {name}) for module in used)] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_libraries_stay_in_their_rooms(file: Path) -> None:
    """A library is imported where the table says, and every library used is in the table."""
    room = room_of(name_of(file))
    foreign = {module.partition(".")[0] for module in imported(file) if not _is_ours(module)}
    assert [name for name in foreign - sys.stdlib_module_names if room not in LIBRARIES.get(name, set())] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_modules_say_what_they_are(file: Path) -> None:
    """Each module has a docstring; an ``__init__`` holds nothing else, but for the package's version and LAZY."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    if file.name == "__init__.py" and name_of(file) not in LAZY:
        names = [ast.unparse(node) for node in tree.body[1:]]
        assert names == [] or (file.parent == PACKAGE and len(names) == 1 and names[0].startswith("__version__ = "))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_are_short(file: Path) -> None:
    """No file has grown to five hundred lines."""
    assert len(file.read_text(encoding="utf-8").splitlines()) < MAX_LINES


def test_no_two_rooms_import_each_other() -> None:
    """The rooms have an order: there is no circle among them (errors, config and model are the ground floor)."""
    rooms = {room: {room_of(name) for name in allowed} - {".", room} for room, (allowed, _) in MAY_IMPORT.items()}
    # errors name config.problems and model.reply, two modules that import nothing
    rooms["errors"] = set()
    while rooms:
        free = [room for room, needs in rooms.items() if not needs & rooms.keys()]
        assert free, f"a circle among {sorted(rooms)}"
        for room in free:
            del rooms[room]
