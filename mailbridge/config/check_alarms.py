"""What chains of escalation mean together: each begins somewhere, leads to somebody, and can be answered."""

from __future__ import annotations

from mailbridge.config.check_people import (
    CATCH_ALL,
    bare_number,
    check_targets,
    is_fetched_safely,
    parse_days,
    parse_time_of_day,
)
from mailbridge.config.model import Config
from mailbridge.config.model_alarms import Chain
from mailbridge.config.tree import Findings, Path
from mailbridge.config.validate import suggest

#: what ends a chain
ENDS = ("delivered", "acknowledged")
#: in a rule: nobody has to answer
NO_CHAIN = "off"
PLACE = "{number}"
_MAX_ANSWER_CHARS = 60


def check_alarms(config: Config, findings: Findings) -> None:
    """Report chains that begin nowhere, lead nowhere or never end, and answers that could not come in."""
    for name, chain in config.escalation.items():
        path: Path = ("escalation", name)
        if name == NO_CHAIN:
            findings.report(path, "the name that stands for none", "choose another")
        elif not _is_used(config, name):
            words = "no mail begins it: no person, no alias and no rota of an alias has that name"
            findings.report(path, words, f"name it after one, or write escalation: {name} at an alias or a rule")
        _check_chain(config, findings, path, chain)
    for number, rule in enumerate(config.rules):
        _check_name(config, findings, ("rules", number, "escalation"), rule.escalation)
    for name, alias in config.aliases.items():
        _check_name(config, findings, ("aliases", name, "escalation"), alias.escalation)
    _check_way_in(config, findings)
    _check_self_test(config, findings)
    url = config.heartbeat.url
    if url is not None and not is_fetched_safely(url.get_secret_value()):
        findings.report(("heartbeat", "url"), "not an https:// address", "write https://…; it is a secret")


def _check_self_test(config: Config, findings: Findings) -> None:
    settings = config.self_test
    for key, text, read in (("days", settings.days, parse_days), ("time", settings.time, parse_time_of_day)):
        try:
            read(text)
        except ValueError as error:
            findings.report_error(("self_test", key), error)
    check_targets(config, findings, ("self_test", "to"), settings.to)


def _is_used(config: Config, name: str) -> bool:
    lower = name.lower()
    names = {word.lower() for word in (*config.people, *config.aliases) if word != CATCH_ALL}
    named = {rule.escalation for rule in config.rules} | {alias.escalation for alias in config.aliases.values()}
    return lower in names or name in named or any(alias.rota == name for alias in config.aliases.values())


def _check_chain(config: Config, findings: Findings, path: Path, chain: Chain) -> None:
    for number, word in enumerate(chain.unless):
        if word not in ENDS:
            place = findings.item_path((*path, "unless"), number)
            findings.report(place, f"{findings.shown(place) or 'this'} ends nothing", f"write {' or '.join(ENDS)}")
    if not chain.unless:
        findings.report((*path, "unless"), "nothing would end it", "write acknowledged, or leave it out")
    if not chain.then:
        findings.report(path, "leads to nobody", "write then: [{send: admins}]")
    for number, step in enumerate(chain.then):
        place = (*path, "then", number)
        if bool(step.call) == bool(step.send):
            findings.report(place, "not one thing to do", "write call: or send: and a name")
        _check_words(config, findings, (*place, "call"), step.call)
        _check_words(config, findings, (*place, "send"), step.send)
    if chain.answer.count(PLACE) != 1 or not chain.answer.isprintable() or len(chain.answer) > _MAX_ANSWER_CHARS:
        words = f"not a line of up to {_MAX_ANSWER_CHARS} characters with {PLACE} in it once"
        findings.report((*path, "answer"), words, f'write "Reply OK {PLACE}"')


def _check_words(config: Config, findings: Findings, path: Path, words: list[str]) -> None:
    known = {name.lower() for name in (*config.people, *config.aliases)}
    for number, word in enumerate(words):
        if bare_number(word) is None and word.lower() not in known and word not in config.rotas:
            place = findings.item_path(path, number)
            hint = suggest(word, known | set(config.rotas)) or "write a person, an alias, a rota, or a number"
            findings.report(place, f"{findings.shown(place) or 'this'} is nobody", hint)


def _check_name(config: Config, findings: Findings, path: Path, name: str) -> None:
    if name and name != NO_CHAIN and name not in config.escalation:
        hint = suggest(name, config.escalation) or "write it below escalation:"
        findings.report(path, "there is no such escalation", hint)


def _check_way_in(config: Config, findings: Findings) -> None:
    if not any("acknowledged" in chain.unless for chain in config.escalation.values()):
        return
    is_called_back = config.web.listen is not None and any(one.callback_path for one in config.gateways.values())
    if config.inbound.poll == 0 and not is_called_back:
        findings.report(("inbound", "poll"), "no answer to an escalation could come in", "write 1m, or leave it out")
