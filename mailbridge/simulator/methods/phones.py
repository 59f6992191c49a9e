"""phones.php: people, groups, the black list (smsc-api.md section 8.3)."""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.simulator.answers import NOTHING_FOUND, Answer, created, failure, listing, ok
from mailbridge.simulator.books import Record
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.phones import parse_number

#: kept as they come, under the gateway's own names
_FIELDS = ("name", "fio", "lnm", "fnm", "mnm", "bd", "myid", "cmt", "tags")
_NOT_SAVED = "saving failed"


def answer(call: Call) -> Reply:
    """Answer one request of phones.php."""
    for flag, method in _ACTIONS.items():
        if call.params.flag(flag):
            try:
                return Reply(answer=method(call))
            except BadParameters:
                break
    return Reply(answer=failure(1))


def _phone(call: Call, name: str = "phone") -> str:
    """Return a phone of the request as digits; empty where there is none."""
    text = call.params.text(name).strip()
    if not text:
        return ""
    number = parse_number(text)
    if not number.good:
        raise BadParameters
    return number.digits


def _person(call: Call) -> Record | None:
    """Return the person the request names by phone or mail."""
    phone, mail = _phone(call), call.params.text("mail").strip()
    if not phone and not mail:
        raise BadParameters
    return call.book.contacts.find(phone=phone) if phone else call.book.contacts.find(mail=mail)


def _group(call: Call) -> Record | None:
    """Return the group the request names by its number or its id."""
    wanted = call.params.text("grp").strip()
    return next((g for g in call.book.groups if str(g["number"]) == wanted), None) or call.book.groups.get(wanted)


def _add(call: Call) -> Answer:
    phone, mail = _phone(call), call.params.text("mail").strip()
    if not phone and not mail:
        raise BadParameters
    group = _group(call)
    if (call.params.text("grp").strip() and group is None) or _person(call) is not None:
        return failure(5, _NOT_SAVED)
    kept = {name: call.params.text(name) for name in _FIELDS if call.params.text(name)}
    groups = [group["id"]] if group else []
    return created(call.book.contacts.add(phone=phone, mail=mail, grp=groups, **kept)["id"])


def _chg(call: Call) -> Answer:
    person = _person(call)
    if person is None:
        return failure(3, NOTHING_FOUND)
    if phone := _phone(call, "new_phone"):
        person["phone"] = phone
    if mail := call.params.text("new_mail").strip():
        person["mail"] = mail
    person.update({name: call.params.text(name) for name in _FIELDS if name in call.params.values})
    return ok()


def _move_group(call: Call) -> Answer:
    person, group = _person(call), _group(call)
    if person is None or group is None:
        return failure(3, NOTHING_FOUND)
    inside = [number for number in _groups_of(person) if number != group["id"]]
    match call.params.text("move_group").strip():
        case "1":
            person["grp"] = [group["id"]]
        case "2":
            person["grp"] = [*inside, group["id"]]
        case "3":
            person["grp"] = inside
        case _:
            raise BadParameters
    return ok()


def _groups_of(person: Record) -> list[object]:
    groups = person["grp"]
    return groups if isinstance(groups, list) else []


def _del(call: Call) -> Answer:
    person = _person(call)
    if person is None:
        return failure(3, NOTHING_FOUND)
    call.book.contacts.remove(person)
    return ok()


def _get(call: Call) -> Answer:
    search = call.params.text("search").strip().lower()
    group, limit = _group(call), call.params.number("cnt", 1, 10_000, 10_000)
    after = call.params.number("after_id", 0, 999_999_999)
    if call.params.text("grp").strip() and group is None:
        return failure(3, NOTHING_FOUND)
    found = [
        person | {"grp": ",".join(map(str, _groups_of(person)))}
        for person in call.book.contacts
        if int(str(person["id"])) > after
        and (group is None or group["id"] in _groups_of(person))
        and (not search or search in " ".join(map(str, person.values())).lower())
    ]
    return listing(found[:limit])


def _add_group(call: Call) -> Answer:
    name = call.params.text("name").strip()
    if not name:
        raise BadParameters
    number = call.params.number("num", 1, 999_999_999)
    if number and call.book.groups.find(number=number) is not None:
        return failure(5, _NOT_SAVED)
    group = call.book.groups.add(name=name)
    group["number"] = number or group["id"]
    return created(group["id"])


def _chg_group(call: Call) -> Answer:
    group = _group(call)
    if group is None:
        return failure(3, NOTHING_FOUND)
    if not call.params.text("name").strip():
        raise BadParameters
    group["name"] = call.params.text("name").strip()
    return ok()


def _del_group(call: Call) -> Answer:
    group = _group(call)
    if group is None:
        return failure(3, NOTHING_FOUND)
    call.book.groups.remove(group)
    for person in call.book.contacts:
        person["grp"] = [number for number in _groups_of(person) if number != group["id"]]
    return ok()


def _get_group(call: Call) -> Answer:
    inside = [number for person in call.book.contacts for number in _groups_of(person)]
    return listing([group | {"cnt": inside.count(group["id"])} for group in call.book.groups])


def _add_black(call: Call) -> Answer:
    phone = _phone(call)
    if not phone:
        raise BadParameters
    call.book.black.add(phone)
    return ok()


def _del_black(call: Call) -> Answer:
    phone = _phone(call)
    if phone not in call.book.black:
        return failure(3, NOTHING_FOUND)
    call.book.black.discard(phone)
    return ok()


_ACTIONS: dict[str, Callable[[Call], Answer]] = {
    "add": _add,
    "add_group": _add_group,
    "chg": _chg,
    "chg_group": _chg_group,
    "move_group": _move_group,
    "del": _del,
    "del_group": _del_group,
    "get": _get,
    "get_group": _get_group,
    "add_black": _add_black,
    "del_black": _del_black,
}
