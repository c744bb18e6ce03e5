"""A session beside its backtest: which fills agree, what differs, and whether the signals are the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.score_tables import NS, a_fill, a_market, a_result, random_result

from polybot._fast.event import COMMAND_DTYPE
from polybot.backtest.agreement import agreement, agreement_text
from polybot.backtest.result import Result
from polybot.backtest.score_tree import Scores
from polybot.backtest.scores import scores

MARKETS = (0, 1)


def signal_rows(count: int = 4, **given: Any) -> Any:
    table = np.zeros(count, COMMAND_DTYPE)
    table["decided_ns"], table["kind"], table["fair"] = np.arange(count) * NS, 4, 0.5
    table["market"] = np.arange(count) % len(MARKETS)
    for name, value in given.items():
        table[name] = value
    return table


def a_run(
    folder: Path, fills: list[Any], *, signals: Any = (), markets: tuple[int, ...] = MARKETS, **info: Any
) -> Result:
    return a_result(folder, markets=[a_market(k) for k in markets], fills=fills, signals=signals, info=info)


def test_run_agrees_with_itself(tmp_path: Path) -> None:
    result = random_result(tmp_path / "run", 3)
    found = agreement(result, result)
    assert found.agreed == found.fills_live == found.fills_tested > 100
    assert (found.missed, found.extra, found.agreed_frac) == (0, 0, 1.0)
    assert (found.price_difference_ticks, found.price_worst_ticks, found.pnl_difference_micro) == (
        0.0,
        0.0,
        0,
    )
    assert found.pnl_live_micro == scores(result, draws=10).totals.pnl_micro
    assert sum(row.fills_live for row in found.by_strategy) == found.fills_live


def test_agreed_missed_and_extra_are_told_apart(tmp_path: Path) -> None:
    live = [
        a_fill(0, 10.0, price_ticks=5000, shares=10),  # agreed, 2 ticks cheaper than tested
        a_fill(0, 40.0, price_ticks=5000, shares=10),  # missed: nothing within a second
        a_fill(1, 10.0, price_ticks=5000, shares=10, strategy=1),  # missed: another strategy has it
    ]
    tested = [
        a_fill(0, 10.5, price_ticks=5200, shares=8),
        a_fill(0, 41.5, price_ticks=5000, shares=10),
        a_fill(1, 10.0, price_ticks=5000, shares=10, strategy=2),
    ]
    found = agreement(a_run(tmp_path / "live", live), a_run(tmp_path / "tested", tested))
    assert (found.agreed, found.missed, found.extra) == (1, 2, 2)
    assert (found.price_difference_ticks, found.price_worst_ticks) == (200.0, 200.0)
    assert (found.shares_live_micro, found.shares_tested_micro) == (30_000_000, 28_000_000)
    assert found.pnl_live_micro == 15_000_000
    assert found.pnl_tested_micro == 3_840_000 + 5_000_000 + 5_000_000
    assert found.pnl_difference_micro == -1_160_000
    rows = {row.name: (row.agreed, row.missed, row.extra) for row in found.by_strategy}
    assert rows == {"latency_arb": (1, 1, 1), "certainty_capture": (0, 1, 0), "lp_extreme": (0, 0, 1)}


def test_one_order_with_several_prices_is_one_fill_at_their_average(tmp_path: Path) -> None:
    live = [
        a_fill(0, 10.0, price_ticks=5000, shares=10, order_seq=7),
        a_fill(0, 10.0, price_ticks=5400, shares=30, order_seq=7),
    ]
    tested = [a_fill(0, 10.0, price_ticks=5200, shares=40, order_seq=9)]
    found = agreement(a_run(tmp_path / "live", live), a_run(tmp_path / "tested", tested))
    assert (found.fills_live, found.agreed) == (1, 1)
    assert found.price_difference_ticks == pytest.approx(-100.0)


def test_dearer_sale_is_better_and_counts_as_negative(tmp_path: Path) -> None:
    sold = [a_fill(0, 10.0, price_ticks=ticks, shares=10, side=1) for ticks in (5000, 5300)]
    found = agreement(a_run(tmp_path / "live", sold[:1]), a_run(tmp_path / "tested", sold[1:]))
    assert found.price_difference_ticks == -300.0


def test_orders_of_one_instant_match_before_nearer_looking_neighbours(tmp_path: Path) -> None:
    live = [a_fill(0, at, price_ticks=5000, shares=10) for at in (10.0, 10.6)]
    tested = [a_fill(0, at, price_ticks=5000, shares=10) for at in (10.6, 11.5)]
    found = agreement(a_run(tmp_path / "live", live), a_run(tmp_path / "tested", tested))
    assert (found.agreed, found.missed, found.extra) == (1, 1, 1)


def test_only_markets_of_both_are_compared(tmp_path: Path) -> None:
    fills = [a_fill(k, 10.0, price_ticks=5000, shares=10) for k in (0, 1)]
    found = agreement(a_run(tmp_path / "live", fills), a_run(tmp_path / "tested", fills[1:], markets=(1, 2)))
    assert (found.markets, found.markets_live_only, found.markets_tested_only) == (1, 1, 1)
    assert (found.fills_live, found.fills_tested, found.agreed) == (1, 1, 1)
    assert found.pnl_difference_micro == 0


def test_signals_are_equal_whatever_risk_made_of_them(tmp_path: Path) -> None:
    live = a_run(tmp_path / "live", [], signals=signal_rows(reason=0, order_seq=5, shares=3))
    tested = a_run(tmp_path / "tested", [], signals=signal_rows(reason=12, shares=9))
    assert agreement(live, tested).signals_equal is True


def test_signals_are_compared_by_slug_and_name_not_by_number(tmp_path: Path) -> None:
    signals = signal_rows(2, market=[1, 1], strategy=[0, 1])
    live = a_run(tmp_path / "live", [], signals=signals)
    markets = [a_market(1, index=0)]  # the second window of the live session is the first here
    given = {"strategies": ["certainty_capture", "latency_arb"]}
    tested = a_result(
        tmp_path / "tested", markets=markets, signals=signal_rows(2, market=0, strategy=[1, 0]), info=given
    )
    assert agreement(live, tested).signals_equal is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fair": [0.5, 0.5, 0.5000001, 0.5]}, "signal 2: latency_arb Up on btc-updown-5m-"),
        ({"outcome": [0, 1, 0, 0]}, "signal 1: live latency_arb Up"),
    ],
)
def test_first_signal_that_differs_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    live = a_run(tmp_path / "live", [], signals=signal_rows())
    tested = a_run(tmp_path / "tested", [], signals=signal_rows(**change))
    found = agreement(live, tested)
    assert found.signals_equal is False
    assert found.first_difference.startswith(words)
    assert found.first_difference in agreement_text(found)


def test_signal_that_one_run_lacks_is_named(tmp_path: Path) -> None:
    live = a_run(tmp_path / "live", [], signals=signal_rows(4))
    tested = a_run(tmp_path / "tested", [], signals=signal_rows(3))
    found = agreement(live, tested)
    assert (found.signals_live, found.signals_tested) == (4, 3)
    assert found.first_difference.startswith("signal 3: live alone has latency_arb Up on ")


def test_signals_that_were_not_kept_are_not_called_equal(tmp_path: Path) -> None:
    live = a_run(tmp_path / "live", [], signals=signal_rows())
    tested = a_result(tmp_path / "tested", markets=[a_market(k, signals=2) for k in MARKETS])
    found = agreement(live, tested)
    assert found.signals_equal is None
    assert "not comparable" in agreement_text(found)


def test_text_and_file_carry_the_comparison(tmp_path: Path) -> None:
    live = a_run(tmp_path / "live", [a_fill(0, 10.0, price_ticks=5000, shares=10)])
    tested = a_run(tmp_path / "tested", [a_fill(0, 10.0, price_ticks=5100, shares=10)])
    found = agreement(live, tested)
    text = agreement_text(found)
    assert "live 1, tested 1: 1 agreed, 0 missed, 0 extra" in text
    assert "tested pays +1.0000 c a share more" in text
    assert "live +5.000000, tested +4.900000, difference -0.100000" in text
    whole = scores(live, agreement=found, draws=10)
    assert Scores.from_json(whole.to_json()).agreement == found


def test_sessions_without_a_settled_market_have_no_profit_to_compare(tmp_path: Path) -> None:
    runs = [a_result(tmp_path / name, markets=[a_market(0, outcome=-1)]) for name in ("live", "tested")]
    found = agreement(*runs)
    assert (found.pnl_live_micro, found.agreed_frac, found.price_difference_ticks) == (None, None, None)
    assert "no market was settled in both" in agreement_text(found)
