"""The three risk tables of the specification, typed here by hand, against conf/ and against what Risk is built with.

Fractions of bankroll per trade and in all, cooldown in ms, orders per market; then the portfolio's.
"""

import functools

import pytest

from polybot.assembly import build_engine, build_strategies
from polybot.cli import load_config
from polybot.compose import ENVIRONMENT
from polybot.config import StrategyConfig

STANDARD = {
    "latency_arb": (0.02, 0.08, 200, 50),
    "certainty_capture": (0.05, 0.10, 1_000, 15),
    "convexity_fade": (0.005, 0.03, 2_000, 20),
    "strike_misalign": (0.02, 0.04, 500, 5),
    "lp_extreme": (0.02, 0.05, 2_000, 10),
    "cross_timeframe": (0.005, 0.02, 2_000, 10),
}
CONSERVATIVE = {
    "latency_arb": (0.02, 0.04, 60_000, 2),
    "certainty_capture": (0.015, 0.03, 120_000, 1),
    "convexity_fade": (0.005, 0.02, 60_000, 2),
    "strike_misalign": (0.02, 0.02, 15_000, 1),
    "lp_extreme": (0.02, 0.02, 120_000, 1),
    "cross_timeframe": (0.005, 0.02, 120_000, 1),
}
AGGRESSIVE = {
    "latency_arb": (0.03, 0.12, 200, 50),
    "certainty_capture": (0.075, 0.15, 1_000, 15),
    "convexity_fade": (0.0075, 0.045, 2_000, 20),
    "strike_misalign": (0.03, 0.06, 500, 5),
    "lp_extreme": (0.03, 0.075, 2_000, 10),
    "cross_timeframe": (0.0075, 0.03, 2_000, 10),
}
TABLES = {"conservative": CONSERVATIVE, "standard": STANDARD, "aggressive": AGGRESSIVE}
# exposure in all, halt of the day, of the week, scale of the strategies' own size caps
PORTFOLIO = {
    "conservative": (0.10, 0.02, 0.05, 1.0),
    "standard": (0.15, 0.03, 0.08, 1.0),
    "aggressive": (0.225, 0.03, 0.08, 1.5),
}
# The same in every table: bankroll, spot for takers, any feed, oracle, clock; collar; orders per second; ceilings.
SHARED = {
    "bankroll_usd": 1_000.0,
    "spot_max_age_s": 1.0,
    "stale_feed_s": 5.0,
    "oracle_max_age_s": 5.0,
    "max_clock_skew_s": 1.0,
    "price_collar_ticks": 1_000,
    "orders_per_s": 10.0,
    "max_delta_shares": 0.0,
    "max_short_gamma_shares": 0.0,
}
# Fields in which smaller is stricter; 0 means "not limited" for the Greeks.
STRICTER_BELOW = ("max_exposure_frac", "daily_loss_halt_frac", "weekly_loss_halt_frac", "size_cap_scale")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in (*ENVIRONMENT, "POLYBOT_HARD_MAX_USD"):
        monkeypatch.delenv(name, raising=False)


@functools.cache
def config(name):
    return load_config([f"risk={name}"])


@pytest.mark.parametrize("name", TABLES)
def test_conf_is_the_specified_table(name):
    risk = config(name).risk
    rows = {
        key: (row.per_trade_frac, row.total_frac, row.cooldown_ms, row.max_orders_per_market)
        for key, row in risk.strategies.items()
    }
    assert rows == TABLES[name]
    portfolio = (
        risk.max_exposure_frac,
        risk.daily_loss_halt_frac,
        risk.weekly_loss_halt_frac,
        risk.size_cap_scale,
    )
    assert portfolio == PORTFOLIO[name]
    assert {key: getattr(risk, key) for key in SHARED} == SHARED


def test_aggressive_is_one_and_a_half_times_every_fraction_and_nothing_else():
    for name, row in STANDARD.items():
        assert AGGRESSIVE[name] == pytest.approx((1.5 * row[0], 1.5 * row[1], row[2], row[3]))
    standard, aggressive = PORTFOLIO["standard"], PORTFOLIO["aggressive"]
    assert aggressive == pytest.approx((1.5 * standard[0], standard[1], standard[2], 1.5))


def test_conservative_is_nowhere_looser_than_standard():
    for name, row in CONSERVATIVE.items():
        loose = STANDARD[name]
        assert (row[0] <= loose[0], row[1] <= loose[1], row[2] >= loose[2], row[3] <= loose[3]) == (True,) * 4
    strict, loose = config("conservative").risk, config("standard").risk
    for field in (*STRICTER_BELOW, *SHARED):
        assert getattr(strict, field) <= getattr(loose, field)


@pytest.mark.parametrize("name", TABLES)
def test_risk_is_built_with_the_table_in_micro_usd_and_ns(name):
    engine = build_engine(config(name))
    for strategy in engine.strategies:
        trade, total, cooldown_ms, orders = TABLES[name][strategy.name]
        assert engine.risk.row(strategy.index) == {
            "per_trade_usd": round(trade * 1e9),
            "total_usd": round(total * 1e9),
            "cooldown_ns": cooldown_ms * 1_000_000,
            "max_orders": orders,
        }
    exposure, day, week, _ = PORTFOLIO[name]
    risk = engine.risk
    found = (risk.max_exposure_usd, risk.daily_halt_usd, risk.weekly_halt_usd)
    assert found == tuple(round(part * 1e9) for part in (exposure, day, week))
    assert (risk.hard_order_usd, risk.hard_open_usd) == (500_000_000, 5_000_000_000)
    assert (risk.collar_ticks, risk.max_clock_skew_ns) == (1_000, 1_000_000_000)


def test_the_strategies_own_size_caps_follow_the_table_and_their_other_numbers_do_not():
    built = {
        name: {s.name: s for s in build_strategies(c.strategy, c.model, c.risk)}
        for name, c in ((name, config(name)) for name in TABLES)
    }
    caps = others = 0
    for name, item in config("standard").strategy.items():
        for key, value in item.params.items():
            if not isinstance(value, float) or not hasattr(built["standard"][name], key):
                continue
            cap = key.startswith("size_cap") and key.endswith("_frac")
            caps, others = caps + cap, others + (not cap)
            assert getattr(built["standard"][name], key) == getattr(built["conservative"][name], key) == value
            assert getattr(built["aggressive"][name], key) == pytest.approx(value * (1.5 if cap else 1.0))
    for name, strategy in built["aggressive"].items():
        assert strategy.kelly_cap_frac == pytest.approx(1.5 * built["standard"][name].kelly_cap_frac)
    assert caps >= len(built["standard"])
    assert others > 0


def test_the_clock_may_be_off_by_wall_seconds_on_a_fast_venue_clock_too():
    fast = build_engine(load_config(["venue.speed=20"]))
    assert fast.risk.max_clock_skew_ns == 20 * 1_000_000_000


def test_a_bankroll_a_thousand_times_too_large_meets_the_hard_ceilings():
    fat = build_engine(load_config(["risk.bankroll_usd=1000000"]))
    assert (fat.risk.hard_order_usd, fat.risk.hard_open_usd) == (500_000_000, 5_000_000_000)
    assert fat.risk.row(0)["per_trade_usd"] > fat.risk.hard_order_usd


def test_a_disabled_strategy_is_built_and_keeps_its_row():
    chosen = load_config(["strategy.latency_arb.enabled=false"])
    assert isinstance(chosen.strategy["latency_arb"], StrategyConfig)
    engine = build_engine(chosen)
    assert {s.name: s.enabled for s in engine.strategies}["latency_arb"] is False
