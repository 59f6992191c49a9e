"""The queue's tables, written once for every SQL engine.

Times are integers: microseconds since 1970 UTC, so that they sort, compare and index the same everywhere.
Money is text, lists and details are JSON text. Every index serves one named question.
``migrations/`` repeats the tables as they were made; a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    event,
    text,
)

#: of the newest migration; a file without it is migrated, a file with one unknown to us is refused
SCHEMA_REVISION = "0007"

#: in ``meta``, the oldest revision whose nodes work on these tables; a migration that does more than add raises it
WORKS_WITH = "works_with"

#: in an index's ``info``, its condition on PostgreSQL where that is written another way
IN_POSTGRESQL = "in_postgresql"

metadata = MetaData()

#: SQLite numbers rows by itself only where the type is its own INTEGER
_Serial = BigInteger().with_variant(Integer, "sqlite")

#: PostgreSQL's texts hold no NUL, those of a mail may: a code point that Unicode promises never to use stands for it
NUL_STAND_IN = "\ufdd0"


class _WithNul(TypeDecorator[str]):
    """Text that came from outside as it was."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, _dialect: Dialect) -> str | None:
        return value.replace(NUL_STAND_IN, "\0") if value and NUL_STAND_IN in value else value


_Foreign = Text().with_variant(_WithNul(), "postgresql")

#: all but queued, sending, unknown
_CLOSED = ("sent", "delivered", "undelivered", "expired", "failed", "cancelled", "held", "suppressed")
#: queued, sending, unknown. Literal, so that the planner can match the partial indexes below; by what they are not, so
#: that it does not take ``messages_due`` instead; with ``sending``, so that a claim leaves those indexes alone. Not as
#: NOT IN: SQLite makes that list anew for each row it writes
_OPEN = " AND ".join(f"state <> '{state}'" for state in _CLOSED)
OPEN_STATES = text(_OPEN)
WARNABLE = text(f"warnable = 1 AND {_OPEN}")
#: the same, as the indexes of PostgreSQL have it, which finds that one follows from the other
_OPEN_AS_LIST = f"state NOT IN ({', '.join(repr(state) for state in _CLOSED)})"
UNREPORTED = text("done_at IS NULL")
#: the states of ``browsing.RARE_STATES``, written like those above and for the same reason
IS_RARE = text(" AND ".join(f"state <> '{state}'" for state in ("queued", "sending", "sent", "delivered")))
LOOKED_AT = text("due_at IS NOT NULL")
UNHANDLED = text("result = ''")

mails = Table(
    "mails",
    metadata,
    Column("id", Text, primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Column("sender", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("user", Text),
    Column("message_id", _Foreign, nullable=False),
    Column("subject", _Foreign, nullable=False),
    Column("envid", Text),
    Column("ret", Text),
    Column("reportable", Integer, nullable=False),
    Column("original", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("hold_reports_until", BigInteger),
    Index("mails_received", "received_at", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("mail_id", Text, ForeignKey("mails.id"), nullable=False),
    #: place in the mail, from 1
    Column("number", Integer, nullable=False),
    # as composed
    Column("phone", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("text", _Foreign, nullable=False),
    Column("translit", Integer, nullable=False),
    Column("alphabet", Text, nullable=False),
    Column("composed_parts", Integer, nullable=False),
    Column("flash", Integer, nullable=False),
    Column("time", Text, nullable=False),
    Column("valid", Text, nullable=False),
    Column("wanted_id", Text),
    Column("rule", Text),
    Column("profile", Text),
    Column("notes", Text),
    # for reports
    Column("recipient", Text, nullable=False),
    Column("notify", Text),
    Column("orcpt", Text),
    #: 1 while a warning of delay may be sent and was not yet
    Column("warnable", Integer, nullable=False),
    # where it stands
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", Text),
    Column("gateway", Text),
    Column("gateway_id", Text),
    Column("attempted_at", BigInteger),
    Column("unknown_since", BigInteger),
    Column("asked", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("price", Text),
    Column("currency", Text),
    Column("error_code", Text),
    Column("error_text", Text),
    Column("error_class", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("next_attempt_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    # claim, due_questions, next_due_at, recover, count_states, count_waiting
    Index("messages_due", "state", "next_attempt_at", "id"),
    # find
    Index("messages_newest", "created_at", "id"),
    Index("messages_phone", "phone", "created_at", "id"),
    # get_messages, prune, due_reports
    Index("messages_mail", "mail_id", "number"),
    Index("messages_expiry", "expires_at", "id", sqlite_where=OPEN_STATES, info={IN_POSTGRESQL: _OPEN_AS_LIST}),
    Index(
        "messages_warnable",
        "created_at",
        "id",
        sqlite_where=WARNABLE,
        info={IN_POSTGRESQL: f"warnable = 1 AND {_OPEN_AS_LIST}"},
    ),
    # page
    Index("messages_rare", "created_at", "id", sqlite_where=IS_RARE),
)

#: append-only: a trigger refuses updates; only pruning deletes
history = Table(
    "history",
    metadata,
    Column("n", _Serial, primary_key=True),
    Column("message_id", Text, ForeignKey("messages.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("history_message", "message_id"),
)

#: frozen like the tables: also part of migration 0001
HISTORY_IS_APPEND_ONLY = (
    "CREATE TRIGGER history_append_only BEFORE UPDATE ON history "
    "BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"
)
HISTORY_IS_APPEND_ONLY_IN_POSTGRESQL = (
    "CREATE FUNCTION history_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN RAISE EXCEPTION ''the history is append-only''; END'; "
    "CREATE TRIGGER history_append_only BEFORE UPDATE ON history "
    "FOR EACH STATEMENT EXECUTE FUNCTION history_append_only()"
)
for _engine, _statement in (
    ("sqlite", HISTORY_IS_APPEND_ONLY),
    ("postgresql", HISTORY_IS_APPEND_ONLY_IN_POSTGRESQL),
):
    _append_only = DDL(_statement)  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
    event.listen(history, "after_create", _append_only.execute_if(dialect=_engine))

attempts = Table(
    "attempts",
    metadata,
    Column("n", _Serial, primary_key=True),
    Column("message_id", Text, ForeignKey("messages.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("gateway", Text, nullable=False),
    Column("gateway_id", Text, nullable=False),
    #: digits only, as answers and callbacks carry it
    Column("phone", Text, nullable=False),
    Column("intent_at", BigInteger, nullable=False),
    Index("attempts_gateway", "gateway", "gateway_id", "phone", unique=True),
    Index("attempts_message", "message_id"),
)

dedupe = Table(
    "dedupe",
    metadata,
    Column("key", Text, primary_key=True),
    Column("message_id", Text, ForeignKey("messages.id"), nullable=False),
    Column("until", BigInteger, nullable=False),
    Index("dedupe_message", "message_id"),
    sqlite_with_rowid=False,
)

report_items = Table(
    "report_items",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("mail_id", Text, ForeignKey("mails.id"), nullable=False),
    Column("message_id", Text, ForeignKey("messages.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("diagnostic", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Index("report_items_once", "message_id", "action", unique=True),
    Index("report_items_mail", "mail_id"),
    Index("report_items_waiting", "mail_id", "at", sqlite_where=UNREPORTED),
)

#: *mail_id* refers to a mail that may be pruned before its report has left
outgoing = Table(
    "outgoing",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("mail_id", Text),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("next_attempt_at", BigInteger, nullable=False),
    Column("last_error", Text, nullable=False),
    Index("outgoing_due", "next_attempt_at", "id"),
)

gateway_states = Table(
    "gateway_states",
    metadata,
    Column("name", Text, primary_key=True),
    Column("suspended", Integer, nullable=False),
    Column("by_hand", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger),
    Column("probe_at", BigInteger),
    Column("probes", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: messages that wait for each other: when they are due
gatherings = Table(
    "gatherings",
    metadata,
    Column("key", _Foreign, primary_key=True),
    Column("rule", _Foreign),
    Column("opened_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    #: milliseconds
    Column("window_ms", BigInteger, nullable=False),
    Column("digest", Text),
    Column("quiet", Text, nullable=False),
    # due_gatherings, next_gathering_at
    Index("gatherings_due", "due_at", "key"),
    sqlite_with_rowid=False,
)

#: who waits, while ``messages`` has it queued without a time; rows of others are left over
waits = Table(
    "waits",
    metadata,
    Column("message_id", Text, ForeignKey("messages.id"), primary_key=True),
    Column("key", _Foreign, nullable=False),
    Column("alert", Text, nullable=False),
    Column("is_repeat", Integer, nullable=False),
    # due_gatherings, close_gathering
    Index("waits_key", "key", "message_id"),
    sqlite_with_rowid=False,
)

#: the last that was heard of what alerts are about
seen = Table(
    "seen",
    metadata,
    Column("key", _Foreign, primary_key=True),
    Column("subject", _Foreign, primary_key=True),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    # close_gathering
    Index("seen_at", "at"),
    sqlite_with_rowid=False,
)

#: alerts that somebody has to answer. Neither these tables nor ``inbound`` refer to others: an older node that prunes
#: mails knows nothing of them
escalations = Table(
    "escalations",
    metadata,
    Column("id", _Foreign, primary_key=True),
    Column("mail_id", Text, nullable=False),
    Column("chain", _Foreign, nullable=False),
    Column("number", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("touched_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("steps", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("by_whom", _Foreign, nullable=False),
    Column("ended_at", BigInteger),
    Column("turn", BigInteger, nullable=False),
    # due_escalations
    Index("escalations_due", "due_at", "id", sqlite_where=LOOKED_AT),
    # taken numbers, find_escalations
    Index("escalations_number", "number", "opened_at", "id"),
    Index("escalations_mail", "mail_id"),
    Index("escalations_newest", "opened_at", "id"),
    sqlite_with_rowid=False,
)

escalated = Table(
    "escalated",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("escalation_id", _Foreign, nullable=False),
    Column("step", Integer, nullable=False),
    # due_escalations
    Index("escalated_of", "escalation_id", "step"),
    sqlite_with_rowid=False,
)

#: SMS that came in; *key* tells one from others that came the same way
inbound = Table(
    "inbound",
    metadata,
    Column("n", _Serial, primary_key=True),
    Column("gateway", Text, nullable=False),
    Column("key", _Foreign, nullable=False),
    Column("via", Text, nullable=False),
    Column("gateway_id", _Foreign, nullable=False),
    #: that of the other way; NULL while that has not told of it
    Column("twin", _Foreign),
    Column("phone", Text, nullable=False),
    Column("to_number", _Foreign, nullable=False),
    Column("text", _Foreign, nullable=False),
    Column("received_at", BigInteger),
    Column("stored_at", BigInteger, nullable=False),
    #: empty while nothing was made of it
    Column("result", Text, nullable=False),
    Index("inbound_once", "gateway", "key", unique=True),
    # take_inbound
    Index("inbound_phone", "gateway", "phone", "stored_at"),
    # unhandled_inbound
    Index("inbound_unhandled", "n", sqlite_where=UNHANDLED),
    # forget
    Index("inbound_stored", "stored_at"),
)

#: how far each gateway's inbox was read
inbox_cursors = Table(
    "inbox_cursors",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("after_id", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

calendars = Table(
    "calendars",
    metadata,
    Column("rota", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("shifts", Text, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: requests that are carried out once, however often they come
requests = Table(
    "requests",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("mail_id", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    # ask_once
    Index("requests_until", "until"),
    sqlite_with_rowid=False,
)

sequences = Table(
    "sequences",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: messages that limits were asked about when they first left; *counters* is a JSON list of the budgets they draw on
charges = Table(
    "charges",
    metadata,
    Column("message_id", Text, ForeignKey("messages.id"), primary_key=True),
    Column("counters", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: what limits have counted, as ``model.limits`` writes it; *until* is when it is worth nothing any more
counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Index("counters_until", "until"),
    sqlite_with_rowid=False,
)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: one row for each node of several that share a queue; times are the database's
nodes = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("joined_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    # how far its clock is ahead of the database's
    Column("ahead_us", BigInteger, nullable=False),
    # pid and start of the server's process that hears its signs of life: it ends with the node's own
    Column("heard_by", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: one row for each process that writes to a queue on a server: by its number it learns what became of a commit whose
#: answer was lost
writers = Table(
    "writers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("commits", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: several nodes: until when a gateway wants to hear nothing, by the database's clock
silences = Table(
    "silences",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("until_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: what a new queue begins with
FIRST_ROWS: tuple[tuple[Table, dict[str, object]], ...] = (
    (sequences, {"name": "gateway_id", "next": 1}),
    # its row is what numbers of escalations are chosen under
    (sequences, {"name": "escalation", "next": 1}),
    (meta, {"name": "ping", "value": "0"}),
    (meta, {"name": WORKS_WITH, "value": "0001"}),
)
