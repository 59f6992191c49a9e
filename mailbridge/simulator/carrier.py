"""The simulated gateway itself: state, checks common to all methods, dispatch.

It does no I/O: the web layer performs its replies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from random import Random

from mailbridge.clock import Clock
from mailbridge.simulator.accounts import Account, Accounts
from mailbridge.simulator.answers import TOO_MANY, failure
from mailbridge.simulator.books import Books
from mailbridge.simulator.calls import Call, Reply, new_rates
from mailbridge.simulator.faults import Fault, Faults
from mailbridge.simulator.inbox import Answers
from mailbridge.simulator.limits import Concurrency
from mailbridge.simulator.messages import MessageStore, Stored
from mailbridge.simulator.methods import (
    balance,
    documents,
    get,
    get_mnp,
    info,
    jobs,
    op_templates,
    phones,
    ping,
    receive_phones,
    send,
    senders,
    status,
    templates,
    tinyurls,
    users,
    wait_call,
)
from mailbridge.simulator.params import Params
from mailbridge.simulator.settings import SimulatorSettings

METHODS: dict[str, Callable[[Call], Reply]] = {
    "send": send.answer,
    "status": status.answer,
    "balance": balance.answer,
    "get": get.answer,
    "info": info.answer,
    "phones": phones.answer,
    "jobs": jobs.answer,
    "templates": templates.answer,
    "op_templates": op_templates.answer,
    "senders": senders.answer,
    "users": users.answer,
    "documents": documents.answer,
    "ping": ping.answer,
    "tinyurls": tinyurls.answer,
    "receive_phones": receive_phones.answer,
    "wait_call": wait_call.answer,
    "get_mnp": get_mnp.answer,
}


def _ignore(_message: Stored) -> None:
    """Tell nobody."""


class Carrier:
    """Accounts, messages, limits and faults of one simulator."""

    def __init__(self, settings: SimulatorSettings, *, clock: Clock, random: Random | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.random = random or Random()  # noqa: S311 - codes and chances of a rehearsal, no secrets
        self.accounts = Accounts(settings.accounts, settings.limits)
        self.store = MessageStore(settings.keep)
        self.inbox = Answers(settings.keep)
        self.books = Books(settings.keep)
        self.faults = Faults(self.random)
        self.concurrency = Concurrency(settings.limits.concurrent)
        #: told of every message accepted
        self.on_accepted: Callable[[Stored], None] = _ignore
        #: told of every message that will not go out after all
        self.on_stopped: Callable[[Stored], None] = _ignore
        self._rates = new_rates(settings)
        self._once: set[str] = set()
        self._balances_before: dict[str, Decimal] = {}

    def sign_in(self, params: Params, address: str) -> Account | Reply:
        """Return whose request this is, or the refusal."""
        tick = self.clock.monotonic()
        account = self.accounts.sign_in(params)
        if account is None:
            self.accounts.note_guess(address, tick)
        if self.accounts.blocked(address, tick):
            return Reply(answer=failure(4))
        return account or Reply(answer=failure(2))

    def answer(self, method: str, params: Params, account: Account, *, within_limit: bool) -> Reply:
        """Answer a request of *account*; *within_limit* tells whether it came with too many others."""
        if not within_limit:
            return Reply(answer=failure(9, TOO_MANY))
        call = self._call(params, account)
        fault = self.faults.pick(method, account.login)
        if fault is None:
            return METHODS[method](call)
        if fault.code is not None:
            with_id = method == "send" and not params.text("cost").startswith("1")
            message_id = (params.text("id").strip("0 ") and params.text("id")) or account.next_id() if with_id else None
            return _spoilt(Reply(answer=failure(fault.code, fault.text, message_id)), fault)
        if fault.wire is not None and not fault.accepted:
            return Reply(answer=failure(1), wire=fault.wire, delay_s=fault.delay_s)
        return _spoilt(METHODS[method](call), fault)

    def _call(self, params: Params, account: Account) -> Call:
        """Return what methods work on."""
        return Call(
            params=params,
            account=account,
            accounts=self.accounts,
            books=self.books,
            settings=self.settings,
            store=self.store,
            inbox=self.inbox,
            rates=self._rates,
            random=self.random,
            once=self._once,
            on_accepted=self.on_accepted,
            on_stopped=self.on_stopped,
            now=self.clock.now().timestamp(),
            tick=self.clock.monotonic(),
        )

    def force_balance(self, amount: Decimal, login: str | None) -> None:
        """Set the balance of one account or of all, until ``clear_faults``."""
        for account in self.accounts:
            if login in {None, account.login}:
                self._balances_before.setdefault(account.login, account.balance)
                account.balance = amount

    def clear_faults(self) -> None:
        """Drop all faults, blocks and counters, and give forced balances back."""
        self.faults.clear()
        self.accounts.unblock()
        self._once.clear()
        self._rates = new_rates(self.settings)
        for account in self.accounts:
            account.balance = self._balances_before.pop(account.login, account.balance)


def _spoilt(reply: Reply, fault: Fault) -> Reply:
    """Return *reply* as *fault* has it."""
    return dataclasses.replace(reply, delay_s=reply.delay_s + fault.delay_s, wire=fault.wire or reply.wire)
