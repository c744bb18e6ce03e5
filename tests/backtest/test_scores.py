"""Scores of hand-made and random runs, each number against a slow obvious reference."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.score_tables import NS, START_S, WINDOW_S, a_fill, a_market, a_result, random_result, rows

from polybot.backtest.result import Result
from polybot.backtest.score_tree import Scores, load_scores, save_scores
from polybot.backtest.scores import scores
from polybot.errors import ConfigError, TapeError

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Result, Scores]]:
    folder = tmp_path_factory.mktemp("runs")
    made = {seed: random_result(folder / f"run{seed}", seed) for seed in SEEDS}
    return {seed: (result, scores(result, draws=200)) for seed, result in made.items()}


def counting(result: Result) -> list[tuple[Any, Any]]:
    """(market, fill) of every fill that counts, one by one."""
    markets = {int(market["index"]): market for market in result.table("markets")}
    pairs = [(markets[int(fill["market"])], fill) for fill in result.table("fills")]
    return [(m, f) for m, f in pairs if m["counted"] and m["outcome"] >= 0 and f["status"] != 5]


def pnl_of(market: Any, fill: Any) -> int:
    sign = -1 if fill["side"] else 1
    return (sign * int(fill["shares"]) if fill["outcome"] == market["outcome"] else 0) - int(fill["cost"])


# -- by hand ----------------------------------------------------------------------------------------


def hand_made(folder: Path) -> Result:
    """Up wins the first market (100 Up bought at 40 c, fee 1 USD), Down the second (50 Down at 30 c, resting)."""
    start = [(START_S + k * WINDOW_S) * NS for k in range(2)]
    fills = [
        a_fill(
            0, 100.0, price_ticks=4000, shares=100, fee=1_000_000, fair=0.45, expected_ticks=3900, edge=0.04
        ),
        a_fill(1, 50.0, price_ticks=3000, shares=50, outcome=1, strategy=1, maker=True, fair=0.33, edge=0.03),
    ]
    quotes = rows(
        "quotes",
        (start[0], 0, 3900, 4100),
        (start[0] + 100 * NS + 50_000_000, 0, 4100, 4300),  # 50 ms after the first fill
        (start[0] + 103 * NS, 0, 4500, 4700),
        (start[0] + 120 * NS, 0, 0, 4700),  # no bids from here on
        (start[1], 1, 6900, 7100),
        (start[1] + 52 * NS, 1, 6400, 6600),
    )
    samples = rows(
        "samples",
        (start[0] + 104 * NS, 0, 196.0, 0.47, 0.46, 1e5),
        (start[0] + 106 * NS, 0, 194.0, 0.90, 0.46, 1e5),  # beyond the horizon of 5 s
        (start[1] + 55 * NS, 1, 245.0, np.nan, 0.65, 1e5),  # the model says nothing: the mid does
    )
    return a_result(
        folder,
        markets=[a_market(0, outcome=0), a_market(1, outcome=1)],
        fills=fills,
        quotes=quotes,
        samples=samples,
    )


def test_hand_made_run_comes_to_the_figures_of_a_pencil(tmp_path: Path) -> None:
    found = scores(hand_made(tmp_path / "run"))
    assert (found.totals.fills, found.totals.settled, found.totals.traded) == (2, 2, 2)
    assert found.totals.pnl_micro == (100 - 40 - 1) * 1_000_000 + (50 - 15) * 1_000_000
    assert found.totals.unexplained_micro == 0
    assert found.totals.bankroll_micro == 1_000_000_000
    assert found.totals.pnl_interval.value == pytest.approx(94.0)
    first, second, _ = found.strategies
    assert (first.name, first.pnl_micro, second.pnl_micro, second.maker_fills) == (
        "latency_arb",
        59_000_000,
        35_000_000,
        1,
    )
    split = first.attribution
    assert (split.edge_micro, split.slippage_micro, split.fees_micro) == (6_000_000, -1_000_000, -1_000_000)
    assert (split.adverse_micro, split.luck_micro) == (2_000_000, 53_000_000)  # 0.45 to 0.47, then to 1
    other = second.attribution
    assert (other.edge_micro, other.adverse_micro, other.luck_micro) == (1_500_000, 1_000_000, 32_500_000)
    assert (other.horizon_mid, other.horizon_unknown) == (1, 0)


def test_hand_made_markouts_take_the_quote_in_force_and_know_when_there_is_none(tmp_path: Path) -> None:
    found = scores(hand_made(tmp_path / "run"))
    first = {row.horizon: row for row in found.strategies[0].markouts}
    assert [row.mean_usd for row in first.values()] == [
        pytest.approx(0.02),  # 42 c against 40 c
        pytest.approx(0.02),
        pytest.approx(0.06),
        None,
        pytest.approx(0.60),
    ]
    assert first["1 s"].mean_net_usd == pytest.approx(0.01)
    assert (first["30 s"].unknown, first["30 s"].unknown_frac, first["30 s"].error_usd) == (1, 1.0, None)
    second = {row.horizon: row for row in found.strategies[1].markouts}
    assert second["1 s"].mean_usd == pytest.approx(0.0)  # Down is worth 30 c while Up's mid is 70 c
    assert second["5 s"].mean_usd == pytest.approx(0.05)


def test_hand_made_equity_is_marked_between_and_booked_at_the_end(tmp_path: Path) -> None:
    curve = scores(hand_made(tmp_path / "run")).equity
    assert curve.kind == (0, 1, 0, 1)
    assert curve.booked_micro == (0, 59_000_000, 59_000_000, 94_000_000)
    assert curve.marked_micro == (-1_000_000, 59_000_000, 59_000_000, 94_000_000)  # at 40 c: the fee is gone
    assert curve.drawdown_booked.depth_micro == 0
    assert curve.drawdown_marked.depth_micro == 1_000_000
    assert curve.drawdown_marked.depth_frac == pytest.approx(0.001)
    assert curve.drawdown_marked.recovered


def test_days_add_up_and_each_is_left_out_once(tmp_path: Path) -> None:
    markets = [a_market(0, day=100), a_market(1, day=100), a_market(2, day=103)]
    fills = [a_fill(k, 10.0, price_ticks=5000, shares=10) for k in range(3)]
    found = scores(a_result(tmp_path / "run", markets=markets, fills=fills))
    assert [(row.day, row.markets, row.pnl_micro, row.pnl_without_micro) for row in found.days] == [
        ("1970-04-11", 2, 10_000_000, 5_000_000),
        ("1970-04-14", 1, 5_000_000, 10_000_000),
    ]
    assert [row.mean_without_usd for row in found.days] == [pytest.approx(5.0), pytest.approx(5.0)]


# -- runs with little in them -----------------------------------------------------------------------


def test_run_without_anything_scores_and_says_so(tmp_path: Path) -> None:
    found = scores(a_result(tmp_path / "run"))
    assert found.totals.pnl_micro == 0
    assert found.totals.mean_per_market_usd is None
    assert found.notes == ("no market was opened: there is nothing to score",)
    assert found.calibration[-1].log_loss_model is None
    assert Scores.from_json(found.to_json()) == found


def test_run_without_fills_scores_and_says_so(tmp_path: Path) -> None:
    found = scores(a_result(tmp_path / "run", markets=[a_market(0), a_market(1, outcome=1)]))
    assert any("no fill counts" in note for note in found.notes)
    assert found.all.markouts[0].mean_usd is None
    assert found.equity.at_ns == ()
    assert found.totals.pnl_interval.low == found.totals.pnl_interval.high == 0.0


def test_run_without_settled_markets_leaves_fills_out_and_says_what_they_cost(tmp_path: Path) -> None:
    fills = [a_fill(0, 10.0, price_ticks=5000, shares=10)]
    found = scores(a_result(tmp_path / "run", markets=[a_market(0, outcome=-1, counted=False)], fills=fills))
    assert (found.totals.fills, found.totals.fills_left_out, found.totals.cost_left_out_micro) == (
        0,
        1,
        5_000_000,
    )
    assert found.totals.pnl_micro == 0
    assert any("no market was settled" in note for note in found.notes)
    assert any("cost 5.00 USD" in note for note in found.notes)


def test_run_with_one_market_has_no_interval_and_no_error(tmp_path: Path) -> None:
    fills = [a_fill(0, at, price_ticks=5000, shares=10) for at in (10.0, 20.0)]
    found = scores(a_result(tmp_path / "run", markets=[a_market(0)], fills=fills))
    assert found.totals.pnl_interval.low is None
    assert found.all.markouts[-1].error_usd is None
    assert any("one settled market" in note for note in found.notes)


def test_markets_that_were_only_followed_are_no_part_of_it_and_counted_apart(tmp_path: Path) -> None:
    markets = [
        a_market(0),
        a_market(1, counted=False, observed=True),
        a_market(2, outcome=-1, counted=False, observed=True),
    ]
    found = scores(a_result(tmp_path / "run", markets=markets))
    assert (found.totals.settled, found.totals.observed, found.totals.left_out) == (1, 2, 0)
    assert "2 markets were followed and not traded, 1 of them without a known outcome" in found.notes


def test_markets_that_ran_at_the_same_time_are_said_not_to_be_independent(tmp_path: Path) -> None:
    apart = [a_market(0), a_market(1), a_market(2)]
    beside = a_market(3, start_ns=apart[1]["start_ns"][0], end_ns=apart[2]["end_ns"][0], interval="15m")
    words = "began while another ran: intervals and errors take them for independent and are too narrow"
    assert not any(words in note for note in scores(a_result(tmp_path / "apart", markets=apart)).notes)
    found = scores(a_result(tmp_path / "beside", markets=[*apart, beside]))
    assert any(note == f"2 of 4 settled markets {words}" for note in found.notes)


def test_interrupted_run_says_so(tmp_path: Path) -> None:
    found = scores(a_result(tmp_path / "run", markets=[a_market(0)], info={"state": "interrupted"}))
    assert found.notes[0].startswith("the run was interrupted")


def test_failed_fills_count_for_nothing(tmp_path: Path) -> None:
    fills = [
        a_fill(0, 10.0, price_ticks=5000, shares=10),
        a_fill(0, 11.0, price_ticks=5000, shares=99, status=5),
    ]
    found = scores(a_result(tmp_path / "run", markets=[a_market(0)], fills=fills))
    assert (found.totals.fills, found.totals.fills_failed, found.totals.pnl_micro) == (1, 1, 5_000_000)


def test_table_of_markets_that_contradicts_its_fills_is_called_a_defect(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "run")
    markets = np.array(result.table("markets"))
    markets["pnl"][0] += 3
    result._loaded["markets"] = markets
    found = scores(result)
    assert found.totals.unexplained_micro == 3
    assert any(note.startswith("DEFECT") for note in found.notes)


def test_fill_of_an_unknown_market_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="not in the table"):
        scores(
            a_result(tmp_path / "run", markets=[a_market(0)], fills=[a_fill(5, 1.0, price_ticks=1, shares=1)])
        )


# -- random runs against slow references ------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_totals_are_those_of_a_loop(runs: dict[int, tuple[Result, Scores]], seed: int) -> None:
    result, found = runs[seed]
    pairs = counting(result)
    assert found.totals.fills == len(pairs) > 50
    assert found.totals.pnl_micro == sum(pnl_of(*pair) for pair in pairs)
    standing = [fill for fill in result.table("fills") if fill["status"] != 5]
    every_cost = sum(int(fill["cost"]) for fill in standing)
    assert found.totals.fills_left_out == len(standing) - len(pairs) > 0
    assert found.totals.cost_left_out_micro == every_cost - found.totals.cost_micro
    assert found.totals.fees_micro == sum(int(fill["fee"]) for _, fill in pairs)
    assert found.totals.payout_micro - found.totals.cost_micro == found.totals.pnl_micro
    assert found.totals.unexplained_micro == 0
    assert sum(row.pnl_micro for row in found.days) == found.totals.pnl_micro
    assert sum(row.pnl_micro for row in found.strategies) == found.totals.pnl_micro
    assert found.equity.booked_micro[-1] == found.equity.marked_micro[-1] == found.totals.pnl_micro


@pytest.mark.parametrize("seed", SEEDS)
def test_file_gives_the_same_scores_back(
    runs: dict[int, tuple[Result, Scores]], seed: int, tmp_path: Path
) -> None:
    found = runs[seed][1]
    save_scores(found, tmp_path)
    assert load_scores(tmp_path) == found
    assert load_scores(tmp_path / "nowhere") is None


def test_same_run_scores_the_same_twice_and_another_seed_moves_only_intervals(tmp_path: Path) -> None:
    result = random_result(tmp_path / "run", 9)
    first, again, other = (scores(result, seed=seed, draws=100) for seed in (1, 1, 2))
    assert first == again
    assert first.totals.pnl_interval != other.totals.pnl_interval
    assert first.equity == other.equity


def test_marked_drawdown_is_no_smaller_than_that_of_the_points(
    runs: dict[int, tuple[Result, Scores]],
) -> None:
    for _, found in runs.values():
        worst, peak = 0, 0
        for value in found.equity.marked_micro:
            peak = max(peak, value)
            worst = max(worst, peak - value)
        assert found.equity.drawdown_marked.depth_micro >= worst > 0


def test_other_version_of_the_file_is_refused(runs: dict[int, tuple[Result, Scores]]) -> None:
    text = runs[1][1].to_json()
    with pytest.raises(ConfigError, match="version 99"):
        Scores.from_json(text.replace('"version": 1', '"version": 99', 1))
    with pytest.raises(ConfigError, match="no JSON"):
        Scores.from_json("{")
