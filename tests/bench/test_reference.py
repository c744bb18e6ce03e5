"""The plain-Python decision path and the compiled one, fed the same bytes: every signal, fate and cancel must agree.

Bytes of several windows with moves, stale and wrong quotes at known places; a venue that fills, refuses, cancels and
rests orders by their number answers both alike.  Other settings open the roads that the shipped ones keep shut.
"""

from collections import Counter
from typing import Any

import pytest

from bench.reference.sides import Fast, Slow, difference, record
from bench.reference.stream import NS, START_NS, Rates, Step, World
from polybot.config import Config, default_config

CASH_USD = 1_000_000_000
FAR_HALTS = {"risk.daily_loss_halt_frac": -1.0, "risk.weekly_loss_halt_frac": -1.0}
WIDE: dict[str, Any] = {
    "strategy.strike_misalign.order_type": "POST_ONLY",
    "strategy.lp_extreme.improve_ticks": 1,
    "strategy.lp_extreme.min_abs_z": 0.8,
    "strategy.convexity_fade.overreaction_z": 1.2,
    "strategy.latency_arb.require_move": False,
    "model.edge_se_multiple": 0.3,
}
STRATEGIES = (
    "certainty_capture",
    "convexity_fade",
    "cross_timeframe",
    "latency_arb",
    "lp_extreme",
    "strike_misalign",
)


def config(**changes: Any) -> Config:
    return default_config(**{"strategy.cross_timeframe.enabled": True, **changes})


def fates(settings: Config, steps: list[Step]) -> Counter[tuple[str, str]]:
    """How often which strategy's signal met which fate, both sides having decided the same at every step."""
    seen, ours = record(Fast(settings), steps, cash_usd=CASH_USD)
    _, theirs = record(Slow(settings), steps, cash_usd=CASH_USD)
    assert difference(seen, ours, theirs) == ""
    told = [fate for decided in ours for fate in decided]
    found = Counter((fate[2], fate[10]) for fate in told if fate[0] == "signal")
    found["cancel", ""] = sum(fate[0] == "cancel" for fate in told)
    return found


def test_all_six_strategies_order_the_same_over_two_windows_beside_three_observed_ones() -> None:
    steps = World(windows=2, rates=Rates(), seed=1).steps()
    found = fates(config(**FAR_HALTS), steps)
    dispatched = {name: found[name, "DISPATCHED"] for name in STRATEGIES}
    assert min(dispatched.values()) >= 1, dispatched
    assert sum(dispatched.values()) >= 60, dispatched
    assert found["cancel", ""] >= 5


@pytest.mark.parametrize(("seed", "changes"), [(3, {}), (11, WIDE | FAR_HALTS), (14, FAR_HALTS)])
def test_signals_and_their_fates_agree_whatever_ends_them(seed: int, changes: dict[str, Any]) -> None:
    steps = World(windows=2, rates=Rates(), seed=seed, observed=False).steps()
    found = fates(config(**changes), steps)
    reasons = {fate for _, fate in found}
    assert {"DISPATCHED", "HOUSE_SIDE", "PENDING_ORDER"} <= reasons
    assert ("HALTED_DAILY" in reasons) == (not changes)
    assert found.total() > 200


def test_a_setting_that_differs_on_one_side_is_found_and_told() -> None:
    world = World(windows=1, rates=Rates(), seed=1, observed=False)
    steps = [step for step in world.steps() if step[0] < START_NS + 60 * NS]
    seen, ours = record(Fast(config(**FAR_HALTS)), steps, cash_usd=CASH_USD)
    changed = config(**FAR_HALTS, **{"strategy.latency_arb.min_edge": 0.031})
    _, theirs = record(Slow(changed), steps, cash_usd=CASH_USD)
    assert "s after the start, on spot" in difference(seen, ours, theirs)
