"""What stands around a device's mail that came by way of somebody else: a mark in its subject, a mail server's banner.

Pure; for recognising alone: what no profile understands is sent whole. The header of a forwarded mail is cut by
``intake/tidy.py``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mailbridge.model.mail import Mail

#: ``FW:``, ``Fwd:`` and what other languages have; a mail server's ``[EXTERNAL]``
_MARK = re.compile(
    r"\s*(?:(?:fwd?|wg|tr|rv|пер|пересл|перенаправлено)\s*:\s*"
    r"|\[(?:ext|external|external email|внешняя почта|внешнее)\]\s*)+",
    re.IGNORECASE,
)
_BANNER = re.compile(
    r"\s*\[?(?:caution|warning|attention|external|внимание|осторожно)\b[^\n]{0,200}"
    r"(?:outside|external|организации|внешн)[^\n]*\n+",
    re.IGNORECASE,
)


def unwrap(mail: Mail) -> Mail:
    """Return *mail* as its device sent it; itself where nothing stands around it."""
    subject, body = mail.subject, mail.body
    if (mark := _MARK.match(subject)) is not None:
        subject = subject[mark.end() :]
    if (banner := _BANNER.match(body)) is not None:
        body = body[banner.end() :]
    return mail if subject is mail.subject and body is mail.body else replace(mail, subject=subject, body=body)
