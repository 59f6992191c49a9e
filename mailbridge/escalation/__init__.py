"""Alerts that somebody has to answer: who is told next, when, and what counts as an answer."""
