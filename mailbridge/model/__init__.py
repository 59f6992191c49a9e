"""Immutable values of the flow: mail, message, phone, state, outcome, reply; no clock, loop or socket."""
