"""Ten thousand trades and a thousand book messages in one second, at a real daemon's real sockets.

The last flood's trades are old already: nothing may be decided on them.  Judged by the ids of the trades and the
numbers of the book changes that the daemon's inputs log holds, by their stamps, by what it decided, and by its memory.
Then the same judgement of a daemon with a slow strategy that hoards, whose guard against old data is lifted and whose
exchange skips trades: it must find each of the four faults.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pauses import LOOPS, PauseWitness, loop_s

from polybot.replay.inputs import find_inputs, open_inputs
from polybot.replay.verify import verify
from tests.overloaded import Limits, Overload, Seen, faults, read

pytestmark = pytest.mark.alone

FLOOD = {"trades_per_s": 10_000.0, "books_per_s": 1_000.0, "seconds": 1.0, "ramp_frac": 0.001}
LATE_S = 3.0  # so old are the trades of the last flood when they leave the exchange
FLOODS = (FLOOD, FLOOD, {**FLOOD, "late_s": LATE_S})
ATTEMPTS = 3
WITHHELD_S = 0.5  # a machine that took so much from the two processes measured itself

SLOW_S = 600e-6  # what the sluggard wastes of a core per trade, in the second flood, for SLOW_CALLS of them
MODULE = '''
from polybot.strategies import Strategy, Trigger

FAST_CALLS = 5_500
SLOW_CALLS = 6_000
TURNS = {turns}


class Sluggard(Strategy):
    """Wastes time for a while, and keeps what it should not."""

    def __init__(self, *, enabled=True, edge_se_multiple=1.0):
        super().__init__("sluggard", gate_names=("awake",), triggers=Trigger.ON_SPOT_TRADE, enabled=enabled,
                         edge_se_multiple=edge_se_multiple)
        self.hoard = []

    def evaluate(self, market, spot, signal):
        self.hoard.append(bytes(8_192))
        if FAST_CALLS < len(self.hoard) < FAST_CALLS + SLOW_CALLS:
            for _ in range(TURNS):
                pass
        return 0
'''
YAML = """# @package _global_
strategy: {sluggard: {_target_: sluggard.Sluggard, enabled: true}}
risk: {strategies: {sluggard: {per_trade_frac: 0.01, total_frac: 0.02, cooldown_ms: 1000, max_orders_per_market: 5}}}
"""


def flooded(
    folder: Path, floods: Sequence[Mapping[str, float]], *settings: str
) -> tuple[list[Seen], list[int], float, dict[str, int]]:
    """(what became of each flood, memory after each in KiB, seconds the machine withheld, the feeds' own faults)."""
    folder.mkdir()
    rss_kb = []
    with Overload(folder, *settings) as overload:
        with PauseWitness() as witness:
            witness.follow(overload.daemon.pid)
            witness.follow(overload.venue_pid)
            for flood in floods:
                overload.flood(**flood)
                rss_kb.append(overload.rss_kb())
        assert overload.stop() == 0, overload.daemon.text()[-3_000:]
    return read(folder, overload.floods), rss_kb, witness.withheld_s, overload.refused


def had_something_to_decide(seen: Sequence[Seen]) -> bool:
    """Prices left slow quotes behind: orders went out, and later signals were held back for old data."""
    return sum(one.orders for one in seen[:2]) >= 1 and seen[2].too_old >= 1


def test_a_flood_is_taken_whole_and_at_once_and_nothing_is_decided_on_old_data(tmp_path):
    """A run beside which the machine stood still, or in which nothing was to be decided, is made again."""
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        seen, rss_kb, withheld_s, refused = flooded(folder, FLOODS)
        found = faults(seen, rss_kb, Limits())
        was_still = set(found) == {"backlog"} and withheld_s >= WITHHELD_S
        if not was_still and had_something_to_decide(seen):
            break
    else:
        found = faults(seen, rss_kb, Limits(drained_s=1.0 + withheld_s))
    assert (found, refused) == ({}, {}), seen
    assert had_something_to_decide(seen)
    (log,) = find_inputs(folder / "logs")
    assert verify(open_inputs(log)).is_identical


def test_the_same_judgement_finds_a_slow_daemon_old_data_lost_trades_and_growing_memory(tmp_path):
    theirs = tmp_path / "theirs"
    (theirs / "strategy").mkdir(parents=True)
    (theirs / "sluggard.py").write_text(MODULE.format(turns=round(SLOW_S / loop_s() * LOOPS)))
    (theirs / "strategy" / "sluggard.yaml").write_text(YAML)
    settings = (
        "--config-dir", str(theirs), "strategy=[latency_arb,sluggard]", "risk.max_clock_skew_s=60",
        "risk.strategies.latency_arb.total_frac=0.15",
    )  # fmt: skip
    floods = ({**FLOOD, "seconds": 0.5, "late_s": LATE_S}, {**FLOOD, "skip": 3})
    seen, rss_kb, _, refused = flooded(tmp_path / "work", floods, *settings)
    found = faults(seen, rss_kb, Limits())
    assert set(found) == {"loss", "backlog", "old", "memory"}, (found, seen)
    assert [one.missing_trades for one in seen] == [0, 3]
    assert refused["spot.missing_trades"] == 3
