"""The words devices use for states and severities, in the few that we use.

One table; ``reader.py`` looks words up here. Pure data.
Sources: Nagios and Icinga object states, Zabbix severities in both languages, syslog levels, and what devices write.
"""

from __future__ import annotations

#: word in lower case -> the state as shown in an SMS, and its severity
STATES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("critical", "crit", "fatal", "критический", "критическая", "критично"), ("CRIT", "critical")),
    **dict.fromkeys(("emergency", "emerg", "alert", "alarm", "авария", "тревога"), ("ALARM", "critical")),
    **dict.fromkeys(("warning", "warn", "предупреждение", "attention", "caution", "внимание"), ("WARN", "warning")),
    **dict.fromkeys(("minor", "noncritical", "non-critical"), ("WARN", "warning")),
    **dict.fromkeys(("major", "severe"), ("CRIT", "critical")),
    **dict.fromkeys(("unknown", "unkn", "неизвестно"), ("UNKN", "unknown")),
    **dict.fromkeys(("ok", "okay", "resolved", "recovered", "recovery", "решено", "решена", "восстановлено"),
                    ("OK", "ok")),
    **dict.fromkeys(("success", "successful", "succeeded", "completed", "normal", "clear", "cleared", "repaired",
                     "healthy", "good", "online", "успешно", "норма", "устранено"), ("OK", "ok")),
    **dict.fromkeys(("down", "unavail", "недоступен"), ("DOWN", "critical")),
    "unreachable": ("UNREACH", "critical"),
    **dict.fromkeys(("up", "доступен"), ("UP", "ok")),
    **dict.fromkeys(("error", "err", "ошибка"), ("ERR", "critical")),
    **dict.fromkeys(("failed", "fail", "failure", "faulted", "сбой"), ("FAIL", "critical")),
    **dict.fromkeys(("degraded", "at risk"), ("DEGRADED", "warning")),
    **dict.fromkeys(("disaster", "чрезвычайная"), ("DISASTER", "critical")),
    **dict.fromkeys(("high", "высокая"), ("HIGH", "critical")),
    **dict.fromkeys(("average", "средняя"), ("AVG", "warning")),
    **dict.fromkeys(("information", "informational", "info", "notice", "not classified", "информация",
                     "не классифицировано", "debug"), ("INFO", "info")),
    "firing": ("FIRING", "critical"),
    "page": ("CRIT", "critical"),
    "pending": ("PEND", "info"),
    "onbatt": ("ONBATT", "warning"), "online power": ("ONLINE", "ok"), "lowbatt": ("LOWBATT", "critical"),
    "commbad": ("COMMBAD", "warning"), "commok": ("COMMOK", "ok"), "nocomm": ("NOCOMM", "critical"),
    "fsd": ("FSD", "critical"), "shutdown": ("SHUTDOWN", "critical"), "replbatt": ("REPLBATT", "warning"),
    "noparent": ("NOPARENT", "critical"), "ack": ("ACK", "info"), "flap": ("FLAP", "warning"),
    "downtime": ("DOWNTIME", "info"),
}  # fmt: skip

#: severities that mean that something is over
OVER = frozenset({"ok"})

#: word in lower case -> the event it tells of; any other word is kept
EVENTS: dict[str, str] = {
    **dict.fromkeys(("problem", "firing", "проблема", "down", "failure", "alert"), "problem"),
    **dict.fromkeys(("recovery", "resolved", "ok", "up", "решено", "решена", "восстановлено"), "recovery"),
    **dict.fromkeys(("acknowledgement", "ack", "acknowledged"), "acknowledgement"),
}
