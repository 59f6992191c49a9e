"""When to try again: exponential back-off with jitter, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

#: SMSC refuses an identical request within a minute with error 9 (smsc-api.md 1.7)
IDENTICAL_REQUEST_S = 61.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """First wait and longest wait, in seconds; each failure doubles the wait.

    With 5 and 300: 5, 10, 20, 40, 80, 160, 300, 300 … each times 0.8 to 1.2.
    """

    min_s: float = 5.0
    max_s: float = 300.0

    def delay_s(self, failures: int, random: float) -> float:
        """Return the wait after the *failures*-th failure in a row (from 1); *random* is in [0, 1).

        The jitter keeps messages that failed together from coming back together.
        """
        exponent = min(max(failures, 1) - 1, 30)
        return float(min(self.min_s * 2**exponent, self.max_s)) * (0.8 + 0.4 * random)
