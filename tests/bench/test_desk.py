"""The benchmark of the desk asks every page of a running bridge."""

import pytest

from bench import desk

pytestmark = pytest.mark.slow


def test_every_page_is_measured(tmp_path, capsys):
    """Over a short history; the long one is for people with time."""
    assert desk.main([str(tmp_path / "queue.db"), "--count", "2000", "--rounds", "2"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in desk.PAGES)
