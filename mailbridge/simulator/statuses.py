"""Statuses as status.php and callbacks tell them: names, fields and dates (smsc-api.md sections 4.2 to 4.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from mailbridge.simulator.answers import id_value, money
from mailbridge.simulator.messages import NOT_FOUND, TYPES, Step, Stored
from mailbridge.simulator.phones import operator_of

#: smsc.ru tells local times in Moscow's
MOSCOW = timezone(timedelta(hours=3))

NAMES: dict[int, str] = {
    -3: "Сообщение не найдено",
    -2: "Остановлено",
    -1: "Ожидает отправки",
    0: "Передано оператору",
    1: "Доставлено",
    2: "Прочитано",
    3: "Просрочено",
    4: "Нажата ссылка",
    20: "Невозможно доставить",
    22: "Неверный номер",
    23: "Запрещено",
    24: "Недостаточно средств",
    25: "Недоступный номер",
}


def local_date(timestamp: float) -> str:
    """Return a Unix time as ``DD.MM.YYYY hh:mm:ss`` in Moscow's time."""
    return datetime.fromtimestamp(timestamp, UTC).astimezone(MOSCOW).strftime("%d.%m.%Y %H:%M:%S")


def moment_of(message: Stored, step: Step) -> int:
    """Return when *step* began, Unix time."""
    return int(step.at or message.received_at)


def status_fields(message: Stored, now: float, *, level: int) -> dict[str, Any]:
    """Return what status.php tells of *message* for ``all=level``, under the names of JSON."""
    step = message.step_at(now)
    moment = moment_of(message, step)
    fields: dict[str, Any] = {
        "status": step.status,
        "last_date": local_date(moment),
        "last_timestamp": moment,
        "flag": TYPES[message.kind],
        "err": step.err,
    }
    operator = operator_of(message.phone)
    if message.kind == "hlr":
        found = step.status == 1
        fields |= {
            "imsi": f"{operator.mccmnc}0000000001" if found else "",
            "msc": "79160000000" if found else "",
            "mcc": operator.mcc,
            "mnc": operator.mnc,
            "cn": operator.country,
            "net": operator.name,
            "rcn": "",
            "rnet": "",
        }
    if level:
        fields |= {
            "send_date": local_date(message.send_at),
            "send_timestamp": int(message.send_at),
            "phone": message.phone,
        }
        if level == 2:
            fields |= {
                "country": operator.country,
                "operator": operator.name,
                "operator_orig": operator.name,
                "region": operator.region,
            }
        fields |= {
            "cost": money(message.cost),
            "sender_id": "HLR" if message.kind == "hlr" else message.sender,
            "status_name": NAMES.get(step.status, ""),
            "message": message.text,
            "comment": message.comment,
            "mccmnc": operator.mccmnc,
            "type": TYPES[message.kind],
            "sms_cnt": message.parts,
        }
    return fields


def unknown_fields() -> dict[str, Any]:
    """Return what status.php tells of a message it does not know."""
    return {"status": NOT_FOUND, "last_date": "", "last_timestamp": 0, "flag": 0, "err": 0}


_CSV_HEAD = ("status", "last_timestamp", "err")
_CSV_HLR = ("imsi", "msc", "mcc", "mnc", "cn", "net", "rcn", "rnet")
_CSV_PLACE = ("country", "operator", "region")
_CSV_TAIL = ("cost", "sender_id", "status_name", "message")


def csv_row(fields: dict[str, Any], *, level: int) -> list[object]:
    """Return the fields in fmt 1's order (smsc-api.md section 4.3); what an HLR's sender is called tells it apart."""
    names = [*_CSV_HEAD, *(name for name in _CSV_HLR if name in fields)]
    if level:
        names += ["send_timestamp", "phone", *(_CSV_PLACE if level == 2 else ()), *_CSV_TAIL]
    return [fields.get(name, "") for name in names]


def address_fields(phone: str, message_id: str) -> dict[str, Any]:
    """Return what tells the answers of a list apart."""
    return {"id": id_value(message_id) if message_id else 0, "phone": phone}
