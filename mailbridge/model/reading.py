"""What a device profile took out of a mail: who wrote it, and what it says in one line."""

from __future__ import annotations

from dataclasses import dataclass

#: the event of a one-time code: it waits for nobody, and two that read alike are two
CODE = "code"
#: the profile of a mail that no other one understands
GENERIC_PROFILE = "generic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A mail as its device meant it. Fields that were not found are empty."""

    profile: str = GENERIC_PROFILE
    #: the whole in one line, of one part; empty where no profile understood the mail
    short: str = ""
    host: str = ""
    service: str = ""
    #: as people say it, short: ``CRIT``, ``WARN``, ``OK``, ``DOWN``
    state: str = ""
    #: ``critical``, ``warning``, ``info``, ``ok``, ``unknown`` or empty
    severity: str = ""
    info: str = ""
    #: ``problem``, ``recovery`` or the device's own word in lower case (``acknowledgement``)
    event: str = ""
    #: ``hh:mm`` as the device wrote it
    time: str = ""
    #: what of the host it is about, the same for a problem and its end, where that is not the service
    about: str = ""


#: nobody recognised, nothing taken out
GENERIC = Reading()
#: no profile was asked: a text of no mail
UNREAD = Reading(profile="")
