"""mailbridge: a local SMTP server that turns mail into SMS through an SMS gateway, durably."""

__version__ = "0.1.0"
