"""P10: a backtest's cost per venue message, beside the two peers that play recorded markets, over the same events.

Ours: the whole road of a backtest in one process, six strategies asked at every message, venue model on, orders as
the strategies decide them.  Theirs: hftbacktest with one order per message (its faster market depth, its faster way of
waiting), and nautilus_trader's BacktestEngine, run() alone, with a strategy that counts messages and orders seldom.
Building, loading and compiling are nobody's.  All three by CPU time of the process, round by round.
The plant of the throughput: a Python step per message that looks at its orders, which the pump is there to avoid.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from bench.event_stream import window_events, write_mapped
from bench.gate import Gate
from bench.peer import Peer
from bench.window_player import FIRST_S, SLICE, STRATEGIES, Player, split_messages
from polybot._fast import event as ev

SHORT = os.environ.get("POLYBOT_BENCH_SHORT") == "1"
BELOW_NS = 250.0  # 4 M messages a second
SECONDS = 295.0
PEERS_S = 60.0 if SHORT else 120.0  # of the window, from FIRST_S on: nautilus_trader takes a second for it
ROUNDS = 7
ORDER_EVERY = 5_000  # messages, of the strategy in nautilus_trader: about as seldom as ours
HFT_AT_LEAST = 1.0
NAUTILUS_AT_LEAST = 20.0
KINDS = {
    "spot_trade": int(ev.EV_SPOT_TRADE),
    "spot_quote": int(ev.EV_SPOT_QUOTE),
    "oracle": int(ev.EV_ORACLE_SPOT),
    "snapshot": int(ev.EV_BOOK_SNAPSHOT),
    "level": int(ev.EV_BOOK_LEVEL),
    "print": int(ev.EV_PUBLIC_TRADE),
}

Figure = Callable[[], float]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One window in a mapped file, as a tape's decoded cache is."""
    return write_mapped(tmp_path_factory.mktemp("p10") / "events.bin", window_events(SECONDS, seed=2))


def played(tape: Any) -> tuple[Player, int]:
    """A player of the part that the peers get, and how many messages that is."""
    player = Player(tape, len(STRATEGIES), last_s=FIRST_S + PEERS_S)
    return player, int(np.count_nonzero(player.window["flags"] & ev.F_END))


def by_pump(player: Player, messages: int) -> Figure:
    """CPU ns per message of one play of the part; the world before it is not counted."""

    def one_round() -> float:
        player.begin()
        start_ns = time.process_time_ns()
        player.world.pump.run(player.window)
        took_ns = time.process_time_ns() - start_ns
        assert player.world.desk.counters()["placed"] > 0
        return took_ns / messages

    return one_round


def loaded(peer: Peer, events: Any, path: Path, messages: int) -> Peer:
    """The peer with these events in its memory, as its own kind of data."""
    np.save(path, events)
    answer = peer.ask("load", path=str(path), kinds=KINDS, last=int(ev.F_END))
    assert answer["messages"] == messages
    return peer


def asked(peer: Peer, messages: int, **fields: Any) -> dict[str, Any]:
    """One play by the peer, which must have seen every message."""
    answer = peer.ask("run", **fields)
    assert answer["messages"] == messages
    return answer


def test_four_million_venue_messages_a_second_with_six_strategies_and_the_venue_model(
    gate: Gate, tape: Any
) -> None:
    player = Player(tape, len(STRATEGIES))
    for _ in range(len(player.slices) + 1):
        player()
    assert player.orders > 0
    assert player.fills > 0
    stepped = Player(tape, len(STRATEGIES))
    singles = [split_messages(piece) for piece in stepped.slices]

    def step_by_step() -> None:
        if stepped.place == len(singles):
            stepped.begin()
        for one in singles[stepped.place]:
            stepped.world.pump.run(one)
            assert stepped.world.desk.counters()["placed"] >= 0  # what a step in Python asks, at least
        stepped.place += 1

    gate.median(
        "P10",
        "backtest: one venue message, six strategies (4 M a second)",
        player,
        below_ns=BELOW_NS,
        inner=SLICE,
        planted=step_by_step,
    )


def test_a_backtest_is_faster_than_hftbacktest_with_one_order_per_message(
    gate: Gate, tape: Any, tmp_path: Path
) -> None:
    player, messages = played(tape)
    peer = loaded(gate.peer("P10", "hft"), player.window, tmp_path / "events.npy", messages)

    def play(wake: str) -> float:
        answer = asked(peer, messages, depth="vector", wake=wake, orders=True)
        assert answer["orders"] > 0.9 * messages
        assert answer["fills"] > 0.5 * answer["orders"]
        return float(answer["cpu_ns"]) / messages

    def theirs() -> float:
        return min(play("feed"), play("time"))

    theirs()  # compiles
    ours = by_pump(player, messages)
    gate.paired(
        "P10",
        "backtest: hftbacktest, one order per message",
        ours=ours,
        theirs=theirs,
        at_least=HFT_AT_LEAST,
        rounds=ROUNDS,
    )
    gate.report("P10", "backtest: hftbacktest, one order per message", theirs(), unit="ns")
    feed_only = peer.ask("run", depth="vector", wake="time", orders=False)
    gate.report(
        "P10", "backtest: hftbacktest, the feed alone", feed_only["cpu_ns"] / feed_only["messages"], unit="ns"
    )


def test_a_backtest_is_twenty_times_as_fast_as_nautilus_trader(gate: Gate, tape: Any, tmp_path: Path) -> None:
    player, messages = played(tape)
    peer = loaded(gate.peer("P10", "nautilus"), player.window, tmp_path / "events.npy", messages)

    def theirs() -> float:
        answer = asked(peer, messages, every=ORDER_EVERY)
        assert answer["fills"] == answer["orders"] == messages // ORDER_EVERY
        return float(answer["cpu_ns"]) / messages

    theirs()
    ours = by_pump(player, messages)
    gate.paired(
        "P10",
        "backtest: nautilus_trader, a counting strategy",
        ours=ours,
        theirs=theirs,
        at_least=NAUTILUS_AT_LEAST,
        rounds=ROUNDS,
    )
    gate.report("P10", "backtest: nautilus_trader, a counting strategy", theirs(), unit="ns")
    gate.report("P10", "backtest: ours, the same part of the window", ours(), unit="ns")
