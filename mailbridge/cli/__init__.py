"""Verbs, exit codes, signals, tables and progress bars; holds no logic."""
