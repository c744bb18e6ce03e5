"""S6 cross_timeframe: fed through the engine, window by window, against the slow reference; each gate alone."""

import math

import numpy as np
import pytest
from reference import surface_reference as ref
from scenario import SHARE, rows
from surfaces import NOW_S, Leg, Surface

from polybot._fast.cross_timeframe import CrossTimeframe, look_at
from polybot._fast.event import FAK, CommandKind, EventKind
from polybot._fast.risk import Denial

# Six ends, three rules, three windows above and three below their strikes.
LEGS = [
    Leg(240.0, 0.8),
    Leg(600.0, -0.9),
    Leg(900.0, 0.7, "point"),
    Leg(1_500.0, -1.2, "candle"),
    Leg(2_700.0, 0.6, "candle"),
    Leg(9_000.0, -1.0),
]
SHIFT = 0.08


def turned(legs: list[Leg]) -> list[Leg]:
    """The same windows with spot on the other side of every strike."""
    return [Leg(leg.tau, -leg.z, leg.rule) for leg in legs]


def expected(surface: Surface, k: int, outcome: int) -> ref.Bet | None:
    """What the reference would do: all others, then every one of them left out."""
    answer = surface.reference(k)
    ask = (
        surface.mids[k] + surface.half_spread
        if outcome == 0
        else 10_000 - surface.mids[k] + surface.half_spread
    )
    floor = max(0.01, 1.5 * answer.sd)
    q = answer.q if outcome == 0 else 1.0 - answer.q
    return ref.bet(q, [(ask, 1_000.0)], outcome=outcome, bankroll=1_000.0, cap=0.005, floor=floor)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("legs", [LEGS, turned(LEGS)], ids=["as is", "spot on the other side"])
@pytest.mark.parametrize("ours", range(len(LEGS)))
def test_one_shifted_window_gives_exactly_one_signal_with_the_references_numbers(ours, legs, side):
    surface = Surface(legs, forward=1.2)
    surface.shift(ours, side * SHIFT)
    signals = surface.signals()
    outcome = 0 if side < 0 else 1  # too cheap: buy Up; too dear: buy Down
    assert [(int(row["market"]), int(row["outcome"])) for row in signals] == [(ours, outcome)]
    (row,) = signals
    answer, want = surface.reference(ours), expected(surface, ours, outcome)
    q = answer.q if outcome == 0 else 1.0 - answer.q
    assert row["fair"] == pytest.approx(q, abs=2e-7)
    assert row["edge"] == pytest.approx(want.edge, abs=2e-7)
    assert row["price_ticks"] == want.limit_ticks
    assert row["shares"] / SHARE == pytest.approx(want.shares, abs=0.0101)
    assert row["usd"] == round(want.price * 1e6)
    assert row["order_type"] == FAK
    assert row["confidence"] == pytest.approx(min(0.9, max(0.3, want.edge / (4.0 * answer.sd))), rel=1e-3)
    assert row["size_frac"] == pytest.approx(0.005)


def test_the_gates_hold_the_references_numbers():
    surface = Surface(LEGS, forward=1.2)
    surface.shift(1, -SHIFT)
    surface.signals()
    answer = surface.reference(1)
    assert surface.gate(1, "windows")[0] == 5.0
    assert surface.gate(1, "quality")[0] == pytest.approx(answer.sd, rel=1e-4)
    ask = (surface.mids[1] + surface.half_spread) * 1e-4
    edge = answer.q - ask - ref.fee(ask)
    assert surface.gate(1, "edge")[0] == pytest.approx(edge, abs=2e-7)
    assert surface.gate(1, "edge_se")[1] == pytest.approx(1.5 * answer.sd, rel=1e-4)
    without = [surface.reference(1, skip=k) for k in range(len(LEGS)) if k != 1]
    weakest = min(other.q - ask - ref.fee(ask) - max(0.01, 1.5 * other.sd) for other in without)
    assert surface.gate(1, "robust")[0] == pytest.approx(weakest, abs=5e-6)


def random_surface(rng: np.random.Generator) -> Surface:
    """A consistent surface: any level, forward variances within a tenth of it, mids wrong by up to half a spread."""
    count = int(rng.integers(3, 9))
    ends = sorted(float(end) for end in rng.choice(np.arange(100, 14_000, 20), size=count, replace=False))
    ends[-1] = ends[int(rng.integers(count - 1))]  # two windows end together
    legs = [
        Leg(
            end,
            float(rng.choice([-1, 1]) * rng.uniform(0.35, 2.0)),
            str(rng.choice(["twap", "point", "candle"])),
        )
        for end in sorted(ends)
    ]
    level = math.exp(rng.normal(0.0, 0.3))
    forward = [level * float(rng.uniform(0.9, 1.1)) for _ in set(ends)]
    half_spread = int(rng.choice([10, 20, 50, 100]))
    noise = rng.uniform(-1.0, 1.0, size=count) * (half_spread - 5) * 1e-4
    return Surface(legs, forward=forward, half_spread=half_spread, noise=noise)


def test_consistent_surfaces_give_no_signal_whichever_window_is_ours():
    rng = np.random.default_rng(11)
    asked = fired = reached = 0
    for _ in range(500):
        surface = random_surface(rng)
        fired += len(surface.signals())
        asked += len(surface.legs)
        reached += sum(surface.gate(k, "edge")[3] >= 0 for k in range(len(surface.legs)))
    assert fired == 0
    assert asked > 2_500
    assert reached > 2_000  # most were judged by their edge, and not turned away before


def test_one_wrong_window_among_the_others_gives_no_signal_in_a_right_one_even_where_the_plain_fit_would():
    rng = np.random.default_rng(12)
    fooled = wrong = asked = 0
    for _ in range(300):
        surface = random_surface(rng)
        bad = int(rng.integers(len(surface.legs)))
        usd = float(rng.choice([-1, 1]) * rng.uniform(0.04, 0.15))
        if not 0.05 < surface.mids[bad] * 1e-4 + usd < 0.95:
            continue
        surface.shift(bad, usd)
        signals = surface.signals()
        for k in range(len(surface.legs)):
            if k != bad:
                asked += 1
                fooled += surface.gate(k, "edge_se")[3] == 1
        wrong += sum(int(row["market"]) != bad for row in signals)
    assert asked > 700
    assert fooled > 20  # edge and sd alone would have been taken in
    assert wrong == 0


def test_an_observed_window_is_used_and_never_asked():
    surface = Surface(LEGS, forward=1.2, observed=frozenset({1, 2, 3, 4, 5}))
    surface.shift(1, SHIFT)
    assert len(surface.signals()) == 0
    assert surface.engine.markets[1].stats()["blocked"] == {
        int(Denial.OBSERVED): surface_evaluations(surface, 1)
    }
    assert surface.gate(0, "windows")[0] == 5.0
    shifted = Surface(LEGS, forward=1.2, observed=frozenset({1, 2, 3, 4, 5}))
    shifted.shift(0, -SHIFT)
    assert [int(row["market"]) for row in shifted.signals()] == [0]


def surface_evaluations(surface: Surface, k: int) -> int:
    """How often a window was up for evaluation: all its blocked ones, being blocked always."""
    blocked = surface.engine.markets[k].stats()["blocked"]
    assert sum(blocked.values()) >= 1
    assert surface.engine.markets[k].stats()["signals"][0] == 0
    return sum(blocked.values())


def test_a_book_of_any_window_asks_and_a_spot_trade_does_not():
    surface = Surface(LEGS, forward=1.2)
    surface.shift(0, -SHIFT)
    assert len(surface.signals()) == 1
    surface.scenario.trade(NOW_S + 0.1, 100_000.0)
    assert len(rows(surface.scenario.go(), CommandKind.CMD_SIGNAL)) == 0
    surface.quote(5, at=NOW_S + 0.2)
    assert [int(row["market"]) for row in rows(surface.scenario.go(), CommandKind.CMD_SIGNAL)] == [0]


def test_what_spot_did_a_moment_ago_makes_the_others_quotes_less_sure_and_a_small_edge_is_left():
    legs = [Leg(600.0, 0.8), Leg(620.0, 0.9), Leg(900.0, 1.0)]
    surface = Surface(legs)
    surface.shift(0, -0.06)
    assert len(surface.signals()) == 1
    calm = surface.gate(0, "quality")[0], surface.gate(0, "robust")[0]
    surface.scenario.trade(NOW_S + 0.10, 100_200.0)
    surface.scenario.trade(NOW_S + 0.15, 100_000.0)
    surface.quote(2, at=NOW_S + 0.6)
    assert len(rows(surface.scenario.go(), CommandKind.CMD_SIGNAL)) == 0
    assert surface.blocked_by(0, "robust")
    assert surface.gate(0, "quality")[0] > 1.5 * calm[0]
    assert surface.gate(0, "robust")[0] < 0.0 < calm[1]


def test_quotes_that_spot_left_behind_say_nothing_against_one_that_followed():
    """Spot jumps for good; our quote follows at once, the others stand as they were: they must not call ours wrong."""
    surface = Surface(LEGS, forward=1.2)
    assert len(surface.signals()) == 0
    spot = 100_000.0 * math.exp(6.0 * surface.spot.sigma)
    surface.scenario.trade(NOW_S + 0.5, spot)
    x = surface.window(0).x + math.log(spot / 100_000.0)
    surface.mids[0] = round(ref.up_probability(x, surface.true_v2[0]) * 1e3) * 10
    surface.quote(0, at=NOW_S + 0.6)
    surface.scenario.trade(NOW_S + 2.0, spot)
    surface.quote(0, at=NOW_S + 2.1)  # the jump is no longer a matter of the last second
    signals = rows(surface.scenario.go(), CommandKind.CMD_SIGNAL)
    assert 0 not in [int(row["market"]) for row in signals]  # the stale ones may well be called wrong
    assert surface.gate(0, "edge_se")[3] != 1


def test_a_signal_becomes_an_order_of_the_risk_rows_size():
    surface = Surface(LEGS, forward=1.2)
    surface.shift(1, -SHIFT)
    surface.scenario.risk.set_limits(0, per_trade_frac=0.005, total_frac=0.02, cooldown_ns=0, max_orders=10)
    surface.signals()
    (order,) = surface.engine.orders.values()
    assert (order.market, order.strategy) == (1, 0)
    cost = order.shares / SHARE * order.price_ticks * 1e-4
    assert 0.004 * 1_000 < cost <= 0.005 * 1_000


# -- gates ------------------------------------------------------------------------------------------


def blocked(name: str, *, strategy: CrossTimeframe | None = None, legs: list[Leg] = LEGS) -> Surface:
    """A surface whose first window is 8 cents too cheap, asked once under a strategy of the test's choosing."""
    surface = Surface(legs, forward=1.2, strategy=strategy)
    surface.shift(0, -SHIFT)
    assert len(surface.signals()) == 0
    assert surface.blocked_by(0, name)
    return surface


def test_too_few_usable_windows_block_at_the_windows_gate():
    surface = blocked("windows", strategy=CrossTimeframe(others_count=6))
    assert surface.gate(0, "windows")[:2] == (5.0, 6.0)


def test_windows_too_near_or_too_far_from_their_strikes_do_not_count():
    legs = [LEGS[0], Leg(600.0, 0.2), Leg(900.0, 2.4), Leg(1_500.0, 0.9)]
    assert blocked("windows", legs=legs).gate(0, "windows")[0] == 1.0


def test_an_uncertain_surface_blocks_at_the_quality_gate():
    value, threshold, _, _ = blocked("quality", strategy=CrossTimeframe(max_fair_sd=0.001)).gate(0, "quality")
    assert value > threshold == 0.001


def test_no_ask_blocks_at_the_ask_gate():
    surface = Surface(LEGS, forward=1.2)
    surface.prepare()
    surface.scenario.book(NOW_S, [], [], market=0)
    surface.quote(5)
    assert len(rows(surface.scenario.go(), CommandKind.CMD_SIGNAL)) == 0
    assert surface.blocked_by(0, "ask")


def test_a_fair_quote_blocks_at_the_edge_gate():
    surface = Surface(LEGS, forward=1.2)
    assert len(surface.signals()) == 0
    assert surface.blocked_by(0, "edge")
    assert surface.gate(0, "edge")[0] < 0.01 == surface.gate(0, "edge")[1]


def test_an_edge_within_the_predictive_sd_blocks_at_the_edge_se_gate():
    value, threshold, _, _ = blocked("edge_se", strategy=CrossTimeframe(min_edge_sd=20.0)).gate(0, "edge_se")
    assert 0.01 < value < threshold


def test_the_models_multiple_of_the_error_holds_here_too_when_it_is_stricter():
    strict = blocked("edge_se", strategy=CrossTimeframe(edge_se_multiple=20.0)).gate(0, "edge_se")
    assert strict == blocked("edge_se", strategy=CrossTimeframe(min_edge_sd=20.0)).gate(0, "edge_se")


def test_a_disagreement_that_hangs_on_one_other_window_blocks_at_the_robust_gate():
    legs = [Leg(600.0, 0.8), Leg(600.0, -0.9), Leg(9_000.0, -1.0)]
    surface = Surface(legs)
    surface.shift(1, -0.12)  # the only other window of our own end
    assert [int(row["market"]) for row in surface.signals()] == [1]
    assert surface.blocked_by(0, "robust")
    assert surface.gate(0, "edge_se")[3] == 1
    assert surface.gate(0, "robust")[0] < 0.0


def test_a_bankroll_that_cannot_hold_a_lot_blocks_at_the_size_gate():
    assert blocked("size", strategy=CrossTimeframe(size_cap_frac=1e-6)).gate(0, "size")[0] == 0.0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s.scenario.book(NOW_S, [(6_000, 10)], [(5_000, 10)], market=1),  # crossed
        lambda s: s.scenario.book(NOW_S, [(3_000, 10)], [], market=1),  # one-sided
        lambda s: s.quote(1, at=NOW_S - 6.0),  # too old
        lambda s: s.scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=s.scenario.at(NOW_S), market=1),
    ],
    ids=["crossed", "one-sided", "stale", "closed"],
)
def test_a_window_without_a_fresh_two_sided_uncrossed_book_is_not_used(spoil):
    surface = Surface(LEGS, forward=1.2)
    for k in range(len(LEGS)):
        surface.strike(k)
        if k != 1:
            surface.quote(k)
    spoil(surface)
    surface.quote(5)
    surface.scenario.go()
    assert surface.gate(0, "windows")[0] == 4.0


def test_a_window_without_a_strike_and_one_in_its_last_seconds_are_not_used():
    legs = [*LEGS[:5], Leg(9.0, 0.9, "point")]
    surface = Surface(legs, forward=1.2)
    surface.signals()
    assert surface.gate(0, "windows")[0] == 4.0
    unknown = Surface(LEGS, forward=1.2)
    for k in (0, 2, 3, 4, 5):
        unknown.strike(k)
    for k in range(6):
        unknown.quote(k)
    unknown.scenario.go()
    assert unknown.gate(0, "windows")[0] == 4.0


# -- pairs, observation -----------------------------------------------------------------------------


def test_the_pair_gate_shows_the_cheapest_pair_never_blocks_and_a_find_is_told_and_not_traded():
    legs = [Leg(600.0, 0.9), Leg(600.0, -0.9), Leg(1_500.0, 1.0, "candle"), Leg(9_000.0, -1.0)]
    surface = Surface(legs)
    surface.signals()
    value, threshold, _, result = surface.gate(0, "pair")
    assert value > 1.0 == threshold
    assert result == 1
    assert surface.strategy.take_notes() == []
    # window 0 has the lower strike: its Up and the other's Down, both far too cheap
    surface = Surface(legs)
    surface.shift(0, -0.5)
    surface.shift(1, 0.5)
    surface.prepare()
    surface.quote(3)
    commands = surface.scenario.go()
    up, down = surface.mids[0] + 50, 10_000 - surface.mids[1] + 50
    cost = up * 1e-4 + down * 1e-4 + ref.fee(up * 1e-4) + ref.fee(down * 1e-4)
    assert cost < 0.9
    assert surface.gate(0, "pair")[0] == pytest.approx(cost)
    assert surface.gate(0, "pair")[3] == 1
    (note,) = surface.strategy.take_notes()
    assert "window-0 Up" in note
    assert "window-1 Down" in note
    assert surface.strategy.pairs.found == 1
    assert all(int(row["strategy"]) == 0 for row in rows(commands, CommandKind.CMD_PLACE))
    assert all(row["size_frac"] <= 0.005 for row in rows(commands, CommandKind.CMD_SIGNAL))


def test_looking_at_a_window_gives_its_mid_the_models_fair_and_the_volatility_its_price_implies():
    surface = Surface(LEGS, forward=1.44, half_spread=10)
    surface.signals()
    now_ns = surface.scenario.at(NOW_S)
    for k in range(len(LEGS)):
        mid, fair, sigma = look_at(surface.engine.markets[k], surface.spot, now_ns)
        window = surface.window(k)
        v2 = surface.spot.sigma**2 * ref.length(window, 0.0, window.tau) + window.extra
        assert mid == pytest.approx(surface.mids[k] * 1e-4)
        assert fair == pytest.approx(ref.up_probability(window.x, v2), abs=1e-9)
        assert sigma == pytest.approx(1.2 * surface.spot.sigma, rel=0.02)


def test_looking_at_a_window_without_a_strike_or_a_book_gives_what_there_is():
    surface = Surface(LEGS)
    assert all(
        math.isnan(x) for x in look_at(surface.engine.markets[1], surface.spot, surface.scenario.at(NOW_S))
    )
    surface.quote(1)
    surface.scenario.go()
    mid, fair, sigma = look_at(surface.engine.markets[1], surface.spot, surface.scenario.at(NOW_S))
    assert mid == pytest.approx(surface.mids[1] * 1e-4)
    assert math.isnan(fair)
    assert math.isnan(sigma)


def test_a_window_inside_its_averaging_window_is_priced_by_its_own_rule():
    """40 s left of a twap: part of the average is locked, and what is random counts with a falling weight."""
    legs = [Leg(40.0, 1.0), Leg(600.0, -0.9), Leg(1_500.0, 0.9, "candle"), Leg(9_000.0, -1.0)]
    surface = Surface(legs, half_spread=10, strategy=CrossTimeframe(max_fair_sd=0.2))
    surface.signals()
    answer = surface.reference(0)
    ask = (surface.mids[0] + 10) * 1e-4
    assert surface.gate(0, "windows")[0] == 3.0
    assert surface.gate(0, "quality")[0] == pytest.approx(answer.sd, rel=0.02)
    assert surface.gate(0, "edge")[0] + ask + ref.fee(ask) == pytest.approx(answer.q, abs=0.004)
    as_point = ref.up_probability(surface.window(0).x, surface.spot.sigma**2 * 40.0)
    assert abs(as_point - answer.q) > 0.1


def test_so_near_its_end_the_shared_error_of_spot_is_too_much_for_the_quality_gate():
    legs = [Leg(40.0, 1.0), Leg(600.0, -0.9), Leg(1_500.0, 0.9, "candle"), Leg(9_000.0, -1.0)]
    surface = Surface(legs, half_spread=10)
    surface.signals()
    assert surface.blocked_by(0, "quality")


def test_far_in_the_tail_the_sd_is_nothing_and_the_confidence_the_most_there_is():
    surface = Surface([Leg(240.0, 45.0), *LEGS[1:]], forward=1.2)
    surface.shift(0, -0.05)
    (row,) = surface.signals()
    assert (int(row["market"]), int(row["outcome"])) == (0, 0)
    assert surface.gate(0, "quality")[0] == 0.0
    assert row["confidence"] == surface.strategy.confidence_max
