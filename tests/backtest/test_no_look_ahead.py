"""Nothing of the future reaches the engine: not by an exchange's stamp, not by an outcome that stands on a tape.

The precise form: what the engine says up to a time T is a function of what was received up to T.  It is shown by
changing everything behind T, and by a strategy that would gain from the exchange's order of events and does not.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.made import NS, START_S, Script, make_tape
from backtest.recorded import backtest_config

import polybot.tape
from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventFlag, EventKind
from polybot.backtest.reel import Chunk, Open, Reel, Settle, Tell
from polybot.backtest.result import Result
from polybot.backtest.run import run_backtest
from polybot.backtest.world import TapeWorld
from polybot.config import Config, default_config
from polybot.market.spec import MarketSpec
from polybot.tape.manifest import read_manifest, write_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import EntryKind
from polybot.tape.writer import TapeSettings

JUMP_S, SEEN_S = 150.0, 158.0  # the exchange's price moves; we receive it
REPRICED_S = 154  # the makers, who saw it sooner, have moved by then


def peeking_config(tapes: Path, runs: Path, name: str, **changes: Any) -> Config:
    strategy = {"peeking": {"_target_": "backtest.peeking.Peeking", "enabled": True}}
    limits = {"per_trade_frac": 0.02, "total_frac": 0.08, "cooldown_ms": 200, "max_orders_per_market": 50}
    return default_config(
        **{
            "backtest.tapes": [str(tapes)],
            "backtest.out_dir": str(runs),
            "backtest.name": name,
            "strategy": strategy,
            "risk.strategies": {"peeking": limits},
            "risk.max_clock_skew_s": 60.0,  # or a price that is so late would stop all orders
            "risk.oracle_max_age_s": 60.0,
            **changes,
        }
    )


def jumping(*, spot_delay_s: float) -> Script:
    """The spot jumps at JUMP_S, the makers follow at REPRICED_S; a price is received spot_delay_s after its stamp."""
    return Script(
        spot=lambda at_s: 78_800.0 + (250.0 if at_s >= JUMP_S else 0.0),
        up=lambda at_s: 5_000 if at_s < REPRICED_S else 9_600,
        spot_delay_s=spot_delay_s,
        oracle_delay_s=1.3 + spot_delay_s,
        outcome=0,
    )


def test_who_peeks_at_exchange_stamps_gains_nothing_and_would_in_the_exchanges_order(tmp_path: Path) -> None:
    make_tape(tmp_path / "honest", jumping(spot_delay_s=SEEN_S - JUMP_S))
    honest = run_backtest(peeking_config(tmp_path / "honest", tmp_path, "run-honest"))
    # The same window in the order of the exchange's own stamps, as a backtester would have it that merges by them.
    make_tape(tmp_path / "cheating", jumping(spot_delay_s=0.0))
    cheating = run_backtest(peeking_config(tmp_path / "cheating", tmp_path, "run-cheating"))
    assert cheating.info["totals"]["fills"] > 0
    assert cheating.info["totals"]["pnl"] > 20_000_000  # bought at 0.51 what is worth 0.96 four seconds later
    assert honest.table("samples")["fair"][-60:-40].min() > 0.99  # it was told of the jump, later
    assert honest.info["totals"]["signals"] == honest.info["totals"]["fills"] == honest.info["totals"]["pnl"] == 0


@pytest.mark.parametrize("cut_s", [60.3, 150.0, 231.7])
def test_what_is_said_up_to_a_time_does_not_depend_on_what_is_received_after_it(
    taped: Path, tmp_path: Path, cut_s: float
) -> None:
    folder = polybot.tape.find_tapes(taped)[0]
    spec = polybot.tape.open(folder).spec
    assert spec is not None
    cut_ns = spec.start_ns + round(cut_s * NS)
    whole = run_backtest(backtest_config(folder, tmp_path, backtest__name="whole"))
    other_future(folder, tmp_path / "tapes", cut_ns)
    other = run_backtest(backtest_config(tmp_path / "tapes", tmp_path, backtest__name="other"))
    for table, column in (("signals", "decided_ns"), ("orders", "decided_ns"), ("samples", "recv_ns")):
        ours, theirs = (_up_to(result, table, column, cut_ns) for result in (whole, other))
        assert ours.tobytes() == theirs.tobytes(), table
    assert len(_up_to(whole, "samples", "recv_ns", cut_ns)) > 30
    assert whole.table("markets")["outcome"][0] != other.table("markets")["outcome"][0]
    assert whole.table("samples").tobytes() != other.table("samples").tobytes()  # and later it does differ


def _up_to(result: Result, table: str, column: str, cut_ns: int) -> np.ndarray:
    rows = result.table(table)
    return np.asarray(rows[rows[column] <= cut_ns])


def other_future(folder: Path, into: Path, cut_ns: int) -> None:
    """The same tape to cut_ns; behind it other prices of everything, and the other outcome."""
    tape = polybot.tape.open(folder)
    events = np.array(tape.events, EVENT_DTYPE)
    late = events["recv_ns"] > cut_ns
    price = late & np.isin(events["kind"], (EventKind.EV_SPOT_TRADE, EventKind.EV_ORACLE_SPOT))
    events["x"][price] *= 1.01
    events["j"][late & (events["kind"] == EventKind.EV_BOOK_DELTA)] //= 2
    events["outcome"][events["kind"] == EventKind.EV_OUTCOME] ^= 1
    manifest = {**tape.manifest, "outcome": 1 - (tape.outcome or 0)}
    packer = Packer(into, TapeSettings(tail_bytes=1 << 20, tails_count=64))
    written = packer.open(tape.name, manifest)
    start = 0
    for end in tape.units["end"].tolist():
        assert written.own(int(events["recv_ns"][start]), EntryKind.EVENTS, events[start:end].tobytes())
        start = end
    written.save(outcome=manifest["outcome"])
    written.close(int(events["recv_ns"][-1]), state="complete")


def plant(out: EventBuffer, spec: MarketSpec) -> None:
    """Everything a tape could say of its outcome too early, and of orders that are not ours."""
    for at_s in (-20, 30, 299):
        at_ns = spec.start_ns + at_s * NS
        flags = int(EventFlag.F_END)
        out.add(EventKind.EV_OUTCOME, recv_ns=at_ns, market=0, outcome=1)
        out.add(EventKind.EV_RESOLVED, recv_ns=at_ns, market=0, outcome=1, flags=flags)
        out.add(EventKind.EV_MARKET_CLOSE, recv_ns=at_ns, market=0)
        out.add(EventKind.EV_FILL, recv_ns=at_ns, market=0, seq=1, x=4.0, y=1.0, i=5_000, j=1_000_000)
        out.add(EventKind.EV_BALANCE, recv_ns=at_ns, j=10**12)
        out.add(EventKind.EV_OPERATOR, recv_ns=at_ns, i=1)


def test_an_outcome_that_was_planted_early_is_not_given_and_changes_nothing(tmp_path: Path) -> None:
    script = jumping(spot_delay_s=0.0)
    make_tape(tmp_path / "plain", script)
    script.planted = plant
    make_tape(tmp_path / "planted", script)
    world = TapeWorld(peeking_config(tmp_path / "planted", tmp_path, "x"), say=lambda text: None)
    items = list(Reel(world))
    end_ns = (START_S + 300) * NS
    for item in items:
        if isinstance(item, Chunk):
            assert not np.isin(item.events["kind"], _never_given()).any()
        elif isinstance(item, Settle):
            assert item.at_ns >= end_ns
            assert item.outcome == 0  # the manifest's
        elif isinstance(item, Tell) and item.strike is None:
            assert item.at_ns == end_ns
    assert sum(isinstance(item, Settle) for item in items) == 1
    assert any("before the window's end: not used" in text for text in world.titles[0].warnings)
    runs = [
        run_backtest(peeking_config(tmp_path / name, tmp_path, f"run-{name}")).info["tables_sha256"]
        for name in ("plain", "planted")
    ]
    assert runs[0] == runs[1]


def _never_given() -> list[int]:
    return [
        int(kind)
        for kind in (
            EventKind.EV_OUTCOME,
            EventKind.EV_RESOLVED,
            EventKind.EV_MARKET_CLOSE,
            EventKind.EV_STRIKE,
            EventKind.EV_FILL,
            EventKind.EV_ORDER_UPDATE,
            EventKind.EV_BALANCE,
            EventKind.EV_OPERATOR,
        )
    ]


def test_the_strike_is_told_when_it_was_known_and_never_before_the_start(tmp_path: Path) -> None:
    def early(out: EventBuffer, spec: MarketSpec) -> None:
        out.add(EventKind.EV_STRIKE, recv_ns=spec.start_ns - 30 * NS, market=0, x=78_800.0, i=2)

    make_tape(tmp_path, Script(planted=early))
    world = TapeWorld(peeking_config(tmp_path, tmp_path, "x"), say=lambda text: None)
    told = [item for item in Reel(world) if isinstance(item, Tell) and item.strike is not None]
    assert [item.at_ns for item in told] == [START_S * NS]


def test_a_manifest_without_a_time_of_the_outcome_tells_it_well_after_the_end(tmp_path: Path) -> None:
    folder = make_tape(tmp_path, Script(outcome=None))
    manifest = read_manifest(folder / "manifest.json")
    write_manifest(folder / "manifest.json", {**manifest, "outcome": 1})
    world = TapeWorld(peeking_config(tmp_path, tmp_path, "x"), say=lambda text: None)
    items = list(Reel(world))
    assert [type(item) for item in items if isinstance(item, Open | Settle)] == [Open, Settle]
    (settle,) = [item for item in items if isinstance(item, Settle)]
    assert (settle.outcome, settle.at_ns) == (1, (START_S + 300 + 90) * NS)


def test_spot_thirty_seconds_late_changes_what_is_signalled(taped: Path, tmp_path: Path) -> None:
    plain = run_backtest(backtest_config(taped, tmp_path, backtest__name="plain"))
    late = run_backtest(backtest_config(taped, tmp_path, backtest__name="late", backtest__spot_delay_s=30.0))
    names = ("decided_ns", "market", "strategy", "outcome", "price_ticks")
    said = [[tuple(row[name] for name in names) for row in result.table("signals")] for result in (plain, late)]
    assert len(said[0]) > 100
    assert len(said[1]) > 100  # late prices are not refused: it is their age that costs
    assert set(said[0]) != set(said[1])
    assert late.info["totals"]["pnl"] != plain.info["totals"]["pnl"]
