"""Attribution, markouts, calibration, equity and bootstrap against slow references, and what must hold of any table.

The references walk fill by fill and quote by quote in plain Python.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.score_tables import NS, START_S, WINDOW_S, a_fill, a_market, a_result, random_result, rows

from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE
from polybot.backtest.attribution import HORIZON_S, attribution, terms_of
from polybot.backtest.bootstrap import (
    clustered_mean,
    mean_interval,
    ratio_intervals,
    resampled_sums,
    sum_intervals,
)
from polybot.backtest.calibration import BOUNDS, TAUS_S, calibration, reliability
from polybot.backtest.conditions import denials, latency, signal_counts
from polybot.backtest.counted import Counted
from polybot.backtest.equity import MAX_POINTS, _kept, drawdown
from polybot.backtest.markouts import EDGE_BOUNDS, HORIZONS, MarkoutTable, edge_bins
from polybot.backtest.plain import from_plain, to_plain
from polybot.backtest.result import Result
from polybot.backtest.score_tree import Interval, LatencyStage
from polybot.backtest.scores import scores
from polybot.backtest.seconds import BIT_BOOK, BIT_ORACLE, BIT_SPOT, seconds_inside, seconds_of

SEEDS = (11, 12)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Result]:
    folder = tmp_path_factory.mktemp("parts")
    return {seed: random_result(folder / f"run{seed}", seed, markets=25, fills=200) for seed in SEEDS}


def counted_of(result: Result) -> Counted:
    return Counted.of(result.table("markets"), result.table("fills"))


# -- attribution ------------------------------------------------------------------------------------


def slow_terms(samples: list[Any], market: Any, fill: Any) -> dict[str, int]:
    """The formulas of the header, for one fill."""
    sign, shares = (-1 if fill["side"] else 1), int(fill["shares"])
    paid = int(fill["cost"]) - int(fill["fee"])
    ticks = int(fill["expected_ticks"])
    expected = paid
    if ticks > 0:
        own = ticks if fill["outcome"] == 0 else 10_000 - ticks
        up = math.floor(own * shares / 10_000 + 0.5)
        expected = sign * (up if fill["outcome"] == 0 else shares - up)
    fair = expected if math.isnan(fill["fair"]) else sign * round(float(fill["fair"]) * shares)
    last = None
    for at, index, _, sampled_fair, mid, _ in samples:
        inside = int(fill["recv_ns"]) < at <= int(fill["recv_ns"]) + HORIZON_S * NS and at < int(
            market["end_ns"]
        )
        if index == fill["market"] and inside:
            last = sampled_fair, mid
    later = fair
    if last is not None:
        up_worth = last[1] if math.isnan(last[0]) else last[0]
        if not math.isnan(up_worth):
            later = sign * round((up_worth if fill["outcome"] == 0 else 1.0 - up_worth) * shares)
    payout = sign * shares if fill["outcome"] == market["outcome"] else 0
    return {
        "edge": fair - expected,
        "slippage": expected - paid,
        "fees": -int(fill["fee"]),
        "adverse": later - fair,
        "luck": payout - later,
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_every_term_of_every_fill_is_that_of_the_formulas(runs: dict[int, Result], seed: int) -> None:
    result = runs[seed]
    counted = counted_of(result)
    terms = terms_of(counted, result.table("samples"))
    assert len(counted.fills) > 40
    samples = result.table("samples").tolist()
    for k, fill in enumerate(counted.fills):
        slow = slow_terms(samples, counted.markets[counted.row[k]], fill)
        assert {name: int(getattr(terms, name)[k]) for name in slow} == slow
    assert terms.fair_unknown.any()
    assert terms.horizon_mid.any()
    assert terms.horizon_unknown.any()


@pytest.mark.parametrize("seed", range(20))
def test_terms_sum_to_the_pnl_of_every_fill_whatever_the_tables_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    markets = np.concatenate([a_market(k, outcome=int(rng.integers(0, 2))) for k in range(5)])
    fills = np.concatenate(
        [
            a_fill(
                int(rng.integers(0, 5)),
                float(rng.uniform(0, 320)),
                price_ticks=int(rng.integers(1, 10_000)),
                shares=float(rng.uniform(1e-6, 1e6)),
                side=int(rng.integers(0, 2)),
                outcome=int(rng.integers(0, 2)),
                fair=float(rng.choice([np.nan, np.inf, -0.5, 0.0, 1.0, rng.random()])),
                expected_ticks=int(rng.integers(-5, 10_000)),
                fee=int(rng.integers(0, 10**7)),
                cost=int(rng.integers(-(10**12), 10**12)),
            )
            for _ in range(60)
        ]
    )
    counted = Counted.of(markets, fills)
    samples = rows("samples", (START_S * NS + 200 * NS, 0, 100.0, np.nan, 0.3, 1.0))
    terms = terms_of(counted, samples)
    parts = terms.edge + terms.slippage + terms.fees + terms.adverse + terms.luck
    assert (parts == terms.pnl).all()
    whole = attribution(terms, np.ones(60, dtype=np.bool_))
    assert whole.pnl_micro == sum(counted.pnl.tolist())


# -- markouts ---------------------------------------------------------------------------------------


def slow_markout(quotes: list[tuple[int, int, int, int]], market: Any, fill: Any, horizon_ns: int) -> float:
    at, index = int(fill["recv_ns"]) + horizon_ns, int(fill["market"])
    bid, ask = 0, 0
    for recv_ns, of, its_bid, its_ask in quotes:
        if of == index and recv_ns <= at:
            bid, ask = its_bid, its_ask
    if at >= market["end_ns"] or bid <= 0 or ask <= 0:
        return math.nan
    up = (bid + ask) / 20_000
    own = up if fill["outcome"] == 0 else 1.0 - up
    return (-1 if fill["side"] else 1) * (own - int(fill["price_ticks"]) / 10_000)


def test_markouts_are_those_of_a_walk_through_the_quotes(runs: dict[int, Result]) -> None:
    result = runs[SEEDS[0]]
    counted = counted_of(result)
    table = MarkoutTable(counted, result.table("quotes"))
    quotes = result.table("quotes").tolist()
    for name, ms in HORIZONS:
        slow = [
            slow_markout(quotes, counted.markets[row], fill, ms * 1_000_000)
            for row, fill in zip(counted.row, counted.fills, strict=True)
        ]
        assert np.allclose(table.before_fee[name], slow, equal_nan=True)
        assert np.isnan(slow).any()


def test_markout_row_is_the_weighted_mean_with_its_clustered_error(runs: dict[int, Result]) -> None:
    result = runs[SEEDS[0]]
    counted = counted_of(result)
    table = MarkoutTable(counted, result.table("quotes"))
    mask = counted.fills["strategy"] == 1
    row = next(item for item in table.rows(mask) if item.horizon == "5 s")
    values, weights, groups = [], [], []
    for k in np.flatnonzero(mask):
        value = table.before_fee["5 s"][k]
        if not math.isnan(value):
            shares = int(counted.fills["shares"][k])
            values.append(value - int(counted.fills["fee"][k]) / shares)
            weights.append(shares)
            groups.append(int(counted.row[k]))
    mean = sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)
    per = dict.fromkeys(groups, 0.0)
    for g, w, x in zip(groups, weights, values, strict=True):
        per[g] += w * (x - mean)
    error = math.sqrt(len(per) / (len(per) - 1) * sum(v * v for v in per.values())) / sum(weights)
    assert (row.fills, row.markets, row.unknown) == (len(values), len(per), int(mask.sum()) - len(values))
    assert row.mean_net_usd == pytest.approx(mean)
    assert row.error_usd == pytest.approx(error)


def test_markouts_never_look_before_the_fill_nor_after_the_horizon() -> None:
    start_ns = START_S * NS
    counted = Counted.of(a_market(0), np.concatenate([a_fill(0, 100.0, price_ticks=5000, shares=10)]))
    early = [(start_ns + second * NS, 0, 1000 + second, 3000 + second) for second in range(0, 99)]
    in_force = (start_ns + 99 * NS, 0, 4000, 4400)  # set before the fill, still there after it
    late = [(start_ns + 131 * NS + k, 0, 9000, 9100) for k in range(50)]
    wanted = MarkoutTable(counted, rows("quotes", *early, in_force, *late)).before_fee
    assert [wanted[name][0] for name, _ in HORIZONS] == [pytest.approx(-0.08)] * 4
    moved = [(at, market, 9000 - bid, 9100 - bid) for at, market, bid, _ in early]
    other = MarkoutTable(counted, rows("quotes", *moved, in_force, *late[:10])).before_fee
    assert all(np.array_equal(wanted[name], other[name]) for name in wanted)
    at_last = (start_ns + 130 * NS, 0, 6000, 6200)  # exactly fill + 30 s: in force
    seen = MarkoutTable(counted, rows("quotes", *early, in_force, at_last, *late)).before_fee
    assert seen["30 s"][0] == pytest.approx(0.11)
    for before_end_s, known in ((5.0, False), (5.1, True)):  # at the end itself there is no book any more
        late_fill = Counted.of(a_market(0), a_fill(0, WINDOW_S - before_end_s, price_ticks=5000, shares=10))
        value = MarkoutTable(late_fill, rows("quotes", in_force)).before_fee["5 s"][0]
        assert np.isfinite(value) == known
    assert seen["5 s"][0] == wanted["5 s"][0]


def test_edge_bins_hold_every_known_edge_once_and_the_realised_mean(runs: dict[int, Result]) -> None:
    counted = counted_of(runs[SEEDS[1]])
    everything = np.ones(len(counted.fills), dtype=np.bool_)
    found = edge_bins(counted, everything)
    assert (
        sum(row.fills for row in found) == int(np.isfinite(counted.fills["edge"]).sum()) < len(counted.fills)
    )
    low, high = EDGE_BOUNDS[5], EDGE_BOUNDS[6]
    assert low is not None
    assert high is not None
    mine = [k for k, edge in enumerate(counted.fills["edge"]) if low <= edge < high]
    shares = sum(int(counted.fills["shares"][k]) for k in mine)
    assert found[5].shares_micro == shares
    assert found[5].realised_usd == pytest.approx(sum(int(counted.pnl[k]) for k in mine) / shares)


# -- calibration ------------------------------------------------------------------------------------


def test_calibration_is_that_of_a_loop(runs: dict[int, Result]) -> None:
    result = runs[SEEDS[0]]
    counted = counted_of(result)
    found = calibration(counted, result.table("samples"), draws=50, seed=1)
    assert [item.label for item in found] == ["240 s", "120 s", "60 s", "30 s", "15 s", "5 s", "all"]
    outcome = {int(market["index"]): int(market["outcome"]) for market in counted.markets}
    for item, tau_s in zip(found[:-1], TAUS_S, strict=True):
        losses, briers, missing = [], [], 0
        for index, won in outcome.items():
            mine = [s for s in result.table("samples") if s["market"] == index and 0 < s["tau_s"] <= tau_s]
            mine = [s for s in mine if s["tau_s"] > tau_s - max(1.5, 0.2 * tau_s)]
            if won < 0 or not mine:
                continue
            first = max(mine, key=lambda s: s["tau_s"])
            if math.isnan(first["fair"]) or math.isnan(first["mid"]):
                missing += 1
                continue
            up = 1 - won
            p = [min(max(float(first[name]), 1e-6), 1 - 1e-6) for name in ("fair", "mid")]
            losses.append([-math.log(q if up else 1 - q) for q in p])
            briers.append([(float(first[name]) - up) ** 2 for name in ("fair", "mid")])
        assert item.n == item.markets == len(losses) > 5
        assert item.model_unknown + item.mid_unknown >= missing > 0
        assert (item.log_loss_model, item.log_loss_mid) == (
            pytest.approx(float(np.mean(losses, axis=0)[0])),
            pytest.approx(float(np.mean(losses, axis=0)[1])),
        )
        assert item.brier_mid == pytest.approx(float(np.mean(briers, axis=0)[1]))
        assert item.difference is not None
        assert item.difference.value == pytest.approx(float(np.diff(np.mean(losses, axis=0))[0]) * -1)
    everything = [s for s in result.table("samples") if outcome[int(s["market"])] >= 0 and s["tau_s"] > 0]
    known = [s for s in everything if not (math.isnan(s["fair"]) or math.isnan(s["mid"]))]
    assert (found[-1].n, found[-1].tau_s) == (len(known), None)
    assert found[-1].model_unknown == sum(math.isnan(s["fair"]) for s in everything)
    assert found[-1].brier_model == pytest.approx(
        float(np.mean([(float(s["fair"]) - 1 + outcome[int(s["market"])]) ** 2 for s in known]))
    )


def test_reliability_counts_every_forecast_once() -> None:
    p = np.array([0.0, 0.019, 0.02, 0.5, 0.55, 0.98, 1.0])
    up = np.array([0, 0, 1, 1, 0, 1, 1])
    table = {(row.low, row.high): row for row in reliability(up, p)}
    assert sum(row.n for row in table.values()) == 7
    assert (table[0.98, 1.0].n, table[0.98, 1.0].share_up) == (2, 1.0)
    assert (table[0.5, 0.6].n, table[0.5, 0.6].mean_p, table[0.5, 0.6].share_up) == (
        2,
        pytest.approx(0.525),
        0.5,
    )
    assert table[0.2, 0.3].share_up is None
    assert len(table) == len(BOUNDS) - 1


def test_perfectly_informed_model_beats_a_coin_and_the_interval_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    markets, samples = [], []
    for k in range(200):
        p = float(rng.uniform(0.1, 0.9))
        markets.append(a_market(k, outcome=int(rng.random() >= p)))
        at = (START_S + k * WINDOW_S + 240) * NS
        samples.append((at, k, 60.0, p, 0.5, 1e5))
    found = scores(a_result(tmp_path / "run", markets=markets, samples=rows("samples", *samples)))
    slice_60 = next(item for item in found.calibration if item.tau_s == 60)
    assert slice_60.difference is not None
    assert slice_60.difference.high is not None
    assert slice_60.difference.high < 0.0
    assert slice_60.brier_model is not None
    assert slice_60.brier_model < 0.23
    assert slice_60.brier_mid == 0.25


def test_coin_flips_at_fair_prices_score_no_edge(tmp_path: Path) -> None:
    """Who buys at 50 c what is worth 50 c, without a fee, earns nothing: nearly every interval must cover 0."""
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        outcomes = rng.integers(0, 2, 120)
        markets = [a_market(k, outcome=int(won)) for k, won in enumerate(outcomes)]
        fills = [
            a_fill(k, 30.0, price_ticks=5000, shares=10, outcome=int(rng.integers(0, 2))) for k in range(120)
        ]
        interval = scores(
            a_result(tmp_path / f"run{seed}", markets=markets, fills=fills), draws=300
        ).totals.pnl_interval
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < interval.value < interval.high
        covered += interval.low <= 0.0 <= interval.high
    assert covered >= 17  # of 20, 95 % each: fewer has a chance below 2 %


# -- bootstrap --------------------------------------------------------------------------------------


def test_resampled_sums_are_those_of_rows_drawn_one_by_one() -> None:
    values = np.random.default_rng(1).normal(size=(13, 3))
    found = resampled_sums(values, draws=40, seed=99)
    drawn = np.random.Generator(np.random.PCG64(99)).integers(0, 13, size=(40, 13))
    for mine, row in zip(found, drawn.tolist(), strict=True):
        assert np.allclose(mine, sum(values[k] for k in row))


def test_chunks_draw_the_same_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(10, 2))
    whole = resampled_sums(values, draws=50, seed=3)
    monkeypatch.setattr("polybot.backtest.bootstrap.CHUNK", 70)
    assert np.allclose(resampled_sums(values, draws=50, seed=3), whole, rtol=0, atol=1e-12)


def test_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(2).normal(3.0, 2.0, 400)
    found = mean_interval(values, draws=2_000, seed=1)
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    assert found.clusters == 400


def test_intervals_of_one_cluster_and_of_none_have_no_ends() -> None:
    alone = sum_intervals(np.array([[5.0]]), draws=10, seed=1)[0]
    assert (alone.value, alone.low, alone.high, alone.clusters) == (5.0, None, None, 1)
    nothing = sum_intervals(np.zeros((0, 1)), draws=10, seed=1)[0]
    assert (nothing.value, nothing.low, nothing.clusters) == (0.0, None, 0)
    assert ratio_intervals(np.zeros((3, 1)), np.zeros((3, 1)), draws=10, seed=1) == [None]


def test_cluster_repeated_within_itself_adds_no_certainty() -> None:
    values, groups = np.array([1.0, 3.0, 8.0]), np.array([0, 1, 2])
    _, once, _ = clustered_mean(values, np.ones(3), groups)
    _, often, n = clustered_mean(np.repeat(values, 50), np.ones(150), np.repeat(groups, 50))
    assert once is not None
    assert (often, n) == (pytest.approx(once), 3)
    assert once == pytest.approx(values.std(ddof=1) / math.sqrt(3))


# -- equity, latency, denials, files ----------------------------------------------------------------


def slow_marked(result: Result, market: Any, at_ns: int, count: int) -> int:
    """Micro-USD of the market's first `count` fills by its last whole quote at at_ns."""
    fills = fills_of(result, market)[:count]
    of_market = [quote for quote in result.table("quotes").tolist() if quote[1] == market["index"]]
    whole = [(bid + ask) / 20_000 for at, _, bid, ask in of_market if at <= at_ns and bid > 0 and ask > 0]
    if not whole:
        return 0
    held = [(-1 if fill["side"] else 1) * int(fill["shares"]) for fill in fills]
    worths = [
        s * (whole[-1] if f["outcome"] == 0 else 1 - whole[-1]) for s, f in zip(held, fills, strict=True)
    ]
    return round(sum(worths)) - sum(int(fill["cost"]) for fill in fills)


def fills_of(result: Result, market: Any) -> list[Any]:
    return [
        fill for fill in result.table("fills") if fill["market"] == market["index"] and fill["status"] != 5
    ]


def test_marked_curve_is_that_of_a_walk_at_every_fill(tmp_path: Path) -> None:
    result = random_result(tmp_path / "run", 21, markets=8, fills=60)
    found = scores(result, draws=10).equity
    markets = {int(market["index"]): market for market in result.table("markets")}
    sampled = {k: [int(s["recv_ns"]) for s in result.table("samples") if s["market"] == k] for k in markets}
    filled: dict[int, int] = {}  # fills so far of the markets that are open
    settled: dict[int, int] = {}
    for k, (at, index, kind) in enumerate(zip(found.at_ns, found.market, found.kind, strict=True)):
        mine = fills_of(result, markets[index])
        if kind == 0:
            filled[index] = filled.get(index, 0) + 1
        else:
            del filled[index]
            settled[index] = int(markets[index]["pnl"])
            assert at == max(int(markets[index]["end_ns"]), int(mine[-1]["recv_ns"]))
        marked = sum(settled.values())
        for other, count in filled.items():  # by the quotes at its own last fill or sample
            own = [int(fill["recv_ns"]) for fill in fills_of(result, markets[other])[:count]]
            last = max([*own, *(s for s in sampled[other] if s <= at)])
            marked += slow_marked(result, markets[other], last, count)
        assert (found.marked_micro[k], found.booked_micro[k]) == (marked, sum(settled.values()))
    assert len(settled) >= 4
    assert not filled


@pytest.mark.parametrize("seed", range(10))
def test_drawdown_is_that_of_a_walk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(-5, 6, 60)
    curve, at = np.cumsum(steps), np.cumsum(rng.integers(1, 10, 60))
    found = drawdown(at, curve, 0, 100)
    peak, peak_at, depth, longest, ended = 0, 0, 0, 0, True
    under = False
    for time, value in zip(at.tolist(), curve.tolist(), strict=True):
        if value >= peak:
            if under and time - peak_at > longest:
                longest, ended = time - peak_at, True
            peak, peak_at, under = value, time, False
        else:
            under = True
            depth = max(depth, peak - value)
    if under and int(at[-1]) - peak_at > longest:
        longest, ended = int(at[-1]) - peak_at, False
    assert (found.depth_micro, found.depth_frac) == (depth, depth / 100)
    assert (found.longest_ns, found.recovered) == (longest, ended)
    assert found.points == 60


def test_thinned_curve_keeps_its_ends_and_extremes() -> None:
    values = np.random.default_rng(1).normal(size=5 * MAX_POINTS).cumsum()
    kept = _kept(values, MAX_POINTS)
    assert len(kept) <= MAX_POINTS
    assert {0, len(values) - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    assert _kept(values[:10], MAX_POINTS).tolist() == list(range(10))


def test_latency_stages_leave_unknown_stamps_out() -> None:
    ms = 1_000_000
    table = rows(
        "latency",
        (1, 100 * ms, 140 * ms, 300 * ms),
        (2, 100 * ms, 120 * ms, 0),
        (3, 100 * ms, 99_100 * ms, 0),
    )
    to_venue, back, all_the_way = latency(table)
    assert (to_venue.n, to_venue.unknown, back.n, back.unknown, all_the_way.mean_ms) == (3, 0, 1, 2, 200.0)
    assert to_venue.percentiles_ms["50"] == pytest.approx(40.0)
    assert to_venue.percentiles_ms["max"] == pytest.approx(99_000.0)
    assert sum(to_venue.counts) == 3
    assert len(to_venue.edges_ms) == len(to_venue.counts) + 1
    assert latency(table[:0])[0] == LatencyStage(
        name="decision to venue", n=0, unknown=0, mean_ms=None, percentiles_ms={},
        edges_ms=to_venue.edges_ms[:-1], counts=(0,) * (len(to_venue.counts) - 1),
    )  # fmt: skip


def test_denials_come_from_signals_or_else_from_what_the_run_noted() -> None:
    signals = np.zeros(5, COMMAND_DTYPE)
    signals["strategy"], signals["reason"] = [0, 0, 1, 1, 1], [0, 12, 12, 12, 5]
    counts = signal_counts(signals, {}, ("a", "b", "c"))
    assert counts == {
        "a": {"DISPATCHED": 1, "HOUSE_SIDE": 1},
        "b": {"HOUSE_SIDE": 2, "STALE_BOOK": 1},
        "c": {},
    }
    assert [(row.strategy, row.reason, row.n) for row in denials(counts)] == [
        ("b", "HOUSE_SIDE", 2),
        ("a", "HOUSE_SIDE", 1),
        ("b", "STALE_BOOK", 1),
    ]
    noted = signal_counts(signals[:0], {"denials": {"a": {"COOLDOWN": 4}}}, ("a",))
    assert denials(noted)[0].n == 4


def test_coverage_counts_seconds_that_were_known(tmp_path: Path) -> None:
    start = START_S * NS
    samples = rows(
        "samples",
        *[
            (start + k * NS, 0, 300.0 - k, 0.5 if k > 50 else np.nan, 0.5 if k > 9 else np.nan, 1e5)
            for k in range(200)
        ],
        (start - 5 * NS, 0, 305.0, 0.5, 0.5, 1e5),  # joined early
        (start + 301 * NS, 0, -1.0, 0.5, 0.5, 1e5),
    )
    markets = [a_market(0, gap_ns=3 * NS), a_market(1, strike=np.nan)]
    found = scores(a_result(tmp_path / "run", markets=markets, samples=samples)).coverage
    assert (found.window_s, found.sampled_s, found.book_s, found.fair_s, found.spot_s) == (
        600,
        200,
        190,
        149,
        200,
    )
    assert (found.gap_s, found.markets_with_gaps, found.strikes_unknown, found.oracle_s) == (3, 1, 1, None)
    told = rows(
        "seconds", *[(START_S + k, BIT_ORACLE | BIT_SPOT if k % 3 else BIT_SPOT) for k in range(-9, 30)]
    )
    again = scores(a_result(tmp_path / "told", markets=[a_market(0), a_market(1)], seconds=told)).coverage
    assert again.oracle_s == 20


@pytest.mark.parametrize("seed", range(5))
def test_seconds_of_feeds_are_those_of_a_loop_and_pieces_may_repeat_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = np.zeros(400, EVENT_DTYPE)
    long_s = 90 if seed % 2 else 9_000  # more seconds than events, too
    events["recv_ns"] = START_S * NS + np.sort(rng.integers(0, long_s * NS, 400))
    events["kind"] = rng.integers(1, 23, 400)
    cut = int(rng.integers(1, 400))
    rows_of = np.concatenate([seconds_of(events[:cut]), seconds_of(events[cut:]), seconds_of(events[:0])])
    for bit, kinds in ((BIT_SPOT, (1, 2)), (BIT_ORACLE, (3, 4)), (BIT_BOOK, (5, 6, 7, 8))):
        slow = {int(row["recv_ns"]) // NS for row in events if row["kind"] in kinds}
        start_ns = (START_S + 10) * NS
        found = seconds_inside(rows_of, bit, [0, start_ns], [2**62, start_ns + 20 * NS])
        assert found.tolist() == [len(slow), len([s for s in slow if START_S + 10 <= s < START_S + 30])]


def test_plain_values_refuse_what_is_not_known_and_shapes_that_do_not_fit() -> None:
    interval = Interval(value=0.1 + 0.2, low=None, high=1.0, clusters=3, draws=2)
    assert from_plain(Interval, to_plain(interval)) == interval
    with pytest.raises(ValueError, match="None"):
        to_plain(Interval(value=math.nan, low=None, high=None, clusters=0, draws=0))
    with pytest.raises(Exception, match="without low"):
        from_plain(Interval, {"value": 1.0})
    with pytest.raises(Exception, match="has no colour"):
        from_plain(Interval, {**to_plain(interval), "colour": 1})
