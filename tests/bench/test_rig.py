"""The benchmarks' servers and loads do what the figures say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import load, paced, part_crowd, part_latency, rig
from bench.turns import Contestant, Pressure, take_rounds, take_turn

PRESSURE = Pressure(seconds=0.1, rounds=2, sessions=4, client="python")
MAILS = 40


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("keep", [False, True], ids=["a connection each", "kept connections"])
def test_a_turn_ends_when_the_gateway_has_all_of_it(tmp_path: Path, keep: bool) -> None:
    """What was taken was sent, and its time, its requests and its CPU are counted."""
    with rig.gateway(delay_ms=5) as gateway, rig.bridge(tmp_path, gateway.port) as bridge:
        turn = take_turn(Contestant([bridge], gateway), PRESSURE, mails=MAILS, keep=keep)
        seen = gateway.seen()
    assert turn.mails == seen["messages"] == MAILS
    assert turn.requests == seen["requests"] <= MAILS
    assert turn.sent_s is not None
    assert turn.sent_s >= turn.accepted_s > 0
    assert turn.cpu_s > 0
    assert turn.rss_mb > 20
    assert bridge.started_s > 0


@pytest.mark.slow
def test_contestants_take_turns_in_each_round() -> None:
    """Each has as many turns as there are rounds, and each round is told of."""
    told: list[str] = []
    with rig.floor() as floor, rig.gateway(delay_ms=5) as gateway, rig.script("plain.py", str(gateway.port)) as plain:
        field = {"bare": Contestant([floor]), "plain": Contestant([plain], gateway)}
        taken = take_rounds(field, PRESSURE, keep=True, say=told.append)
    assert {name: len(turns) for name, turns in taken.items()} == {"bare": 2, "plain": 2}
    assert all(turn["sent_s"] is None and turn["requests"] is None for turn in taken["bare"])
    assert all(turn["requests"] == turn["mails"] for turn in taken["plain"])
    assert [line.partition(",")[0] for line in told] == ["round 1 of 2", "round 2 of 2"]


@pytest.mark.slow
@pytest.mark.skipif(load.SMTP_SOURCE is None, reason="smtp-source is not installed (scripts/install-test-programs)")
@pytest.mark.parametrize("mails", [5, 64, 900])
def test_smtp_source_sends_what_is_said(mails: int) -> None:
    """The number that is returned was sent, shared among the servers."""
    with rig.gateway(delay_ms=1) as gateway:
        with (
            rig.script("plain.py", str(gateway.port)) as one,
            rig.script("plain.py", str(gateway.port)) as other,
        ):
            count, elapsed_s = load.run(one.port, other.port, mails=mails, sessions=4, keep=True, client="smtp-source")
            assert gateway.seen()["messages"] == count
            assert one.cpu_s() > 0
            assert other.cpu_s() > 0
        assert mails * 0.7 <= count <= mails * 1.1
        assert elapsed_s > 0


@pytest.mark.slow
def test_each_paced_mail_has_its_moments() -> None:
    """Mails leave at their rate, and the gateway tells when the message to each phone came."""
    with rig.gateway(delay_ms=5) as gateway, rig.script("plain.py", str(gateway.port)) as plain:
        gateway.arrivals()
        sent = paced.run(plain.port, mails=MAILS, rate=100, sessions=2, even=True)
        gateway.wait_for(MAILS)
        arrived = gateway.arrivals()
        assert gateway.arrivals() == {}
    assert len({one.phone for one in sent}) == MAILS
    # the script answers when the gateway has
    assert all(one.dot_at < arrived[one.phone] < one.answered_at for one in sent)
    assert max(one.dot_at for one in sent) - min(one.dot_at for one in sent) >= (MAILS - 2) / 100


def test_quantiles_are_values_that_were_seen() -> None:
    """Of a thousand, p50 p99 and p99.9 are the 501st, the 991st and the last."""
    found = part_latency.quantiles([n / 1000 for n in range(1000, 0, -1)])
    assert (found["0"], found["50"], found["99"], found["99.9"], found["100"]) == (1, 501, 991, 1000, 1000)


@pytest.mark.slow
def test_a_crowd_is_held_and_counted(tmp_path: Path) -> None:
    """Who was let in is in to the end; when the bridge goes, nobody is left."""
    with (
        rig.gateway() as gateway,
        rig.bridge(tmp_path, gateway.port) as bridge,
        part_crowd.crowd(bridge.port, 20, 10) as process,
    ):
        assert part_crowd.count_held(process) == 30
        mails, _ = load.run(bridge.port, mails=MAILS, sessions=4, keep=False, client="python")
        assert mails == MAILS
        assert part_crowd.count_held(process) == 30
        bridge.process.terminate()
        bridge.process.wait(30)
        assert part_crowd.count_held(process) == 0


@pytest.mark.slow
def test_a_crowd_that_is_not_let_in_is_no_result(tmp_path: Path) -> None:
    """A door that is full makes no figure look good."""
    with (
        rig.gateway() as gateway,
        rig.bridge(tmp_path, gateway.port, max_connections=5) as bridge,
        pytest.raises(RuntimeError, match="did not get in"),
        part_crowd.crowd(bridge.port, 20, 0),
    ):
        pass
