"""S3 convexity_fade: fires with the numbers of the slow reference; each gate blocks for its own reason."""

import math

import pytest
from reference import strategy_reference as ref
from scenario import NS, SHARE, blocked_by, make_spec, rows
from watched import Watched

from polybot._fast.convexity_fade import ConvexityFade
from polybot._fast.event import DOWN, GTC, UP, CommandKind
from polybot._fast.regime import Regime

T = 40.05
FALL = {"bids": [(4_300, 400)], "asks": [(4_500, 400)]}  # Up was 0.49 to 0.51
RISE = {"bids": [(5_500, 400)], "asks": [(5_700, 400)]}


def ready(strategy=None, *, end=40.0, spec=None, beats=True):
    """A still market about the strike until `end`, its moves measured on the heartbeat from the start on."""
    world = Watched([strategy or ConvexityFade()], spec=spec)
    world.risk.set_limits(0, per_trade_frac=0.5, total_frac=0.5, cooldown_ns=0, max_orders=50)
    world.warm(until=0.0, bid=4_900, ask=5_100)
    world.price = 100_000.0
    if beats:
        world.still(0.1, end)
    else:
        for second in range(1, int(end) + 1):
            world.trade(second, 100_000.0 + second % 2)
            world.oracle(second, 100_000.0 + second % 2)
        world.book(end, [(4_900, 1_000)], [(5_100, 1_000)])
        world.go()
    return world


def book(world, t=T, *, bids, asks):
    world.book(t, bids, asks)
    return world.go()


@pytest.mark.parametrize(("change", "outcome"), [(FALL, UP), (RISE, DOWN)])
def test_an_oversold_outcome_is_bid_for_at_its_best_bid_with_reference_numbers(change, outcome):
    world = ready()
    commands = book(world, **change)
    walk, want = ref.convexity_fade(world.view(T), T)
    assert walk.blocked == ""
    (row,) = rows(commands, CommandKind.CMD_SIGNAL)
    assert (row["outcome"], row["price_ticks"], row["order_type"]) == (outcome, 4_300, GTC)
    assert row["shares"] == round(want.shares * SHARE)
    assert row["usd"] == 430_000
    assert row["fair"] == pytest.approx(world.view(T).priced.q(outcome), rel=1e-12)
    assert row["edge"] == pytest.approx(want.edge, rel=1e-9)  # fair - bid: a maker pays no fee
    assert row["edge"] > 0.065
    assert row["size_frac"] == pytest.approx(want.frac) == 0.005
    assert row["confidence"] == pytest.approx(want.confidence, rel=1e-9)
    (placed,) = rows(commands, CommandKind.CMD_PLACE)
    order = world.engine.orders[int(placed["order_seq"])]
    assert order.post_only
    assert order.expires_ns == world.at(T) + 10 * NS
    assert order.cancel_edge == -0.01
    assert world.market.house == outcome  # active: it takes part in the house side
    assert [row[3] for row in world.market.gate_rows(0)[:9]] == [1] * 9


@pytest.mark.parametrize(("swing_s", "confidence"), [(0.5, 0.65), (40.0, None), (3_000.0, 0.3)])
def test_confidence_is_edge_over_the_expected_swing_within_its_bounds(swing_s, confidence):
    world = ready(ConvexityFade(swing_s=swing_s))
    (row,) = rows(book(world, **FALL), CommandKind.CMD_SIGNAL)
    priced = world.view(T).priced
    swing = ref.norm_pdf(priced.d2) * math.sqrt(swing_s / priced.t_eff) * math.sqrt(2.0 / math.pi)
    exact = row["edge"] / swing
    assert row["confidence"] == pytest.approx(exact if confidence is None else confidence)
    assert (exact > 0.65, exact < 0.3) == (confidence == 0.65, confidence == 0.3)


# -- one thing changed at a time: the gate that blocks -------------------------------------------------------


def test_a_trend_blocks_at_the_regime_gate():
    world = ready(end=39.9)
    for k in range(60):
        world.trade(39.9 + k / 1_000, 100_000.0 + k / 100)
    world.go()
    assert world.spot.regime.regime == Regime.TREND
    assert len(rows(book(world, **FALL), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "regime"


def test_too_far_from_the_strike_blocks_at_the_distance_gate_with_its_value():
    world = ready(ConvexityFade(max_distance_frac=0.00001))
    world.trade(T - 0.01, 100_003.0)
    assert len(rows(book(world, **FALL), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "distance"
    assert world.market.gate_rows(0)[1][0] == pytest.approx(3.0 / 100_000.0)


@pytest.mark.parametrize(("t", "blocks"), [(236.9, ""), (237.1, "time_left"), (280.0, "time_left")])
def test_inside_the_averaging_window_it_blocks_at_the_time_gate(t, blocks):
    world = ready(end=math.floor(t * 10 - 0.5) / 10)
    book(world, t, **FALL)
    assert blocked_by(world) == blocks
    assert world.market.gate_rows(0)[2][1] == 63.0  # the window of 60 s and the oracle's lag of 3 s


@pytest.mark.parametrize(("t", "blocks"), [(269.9, ""), (270.1, "time_left")])
def test_without_an_averaging_window_half_a_minute_must_be_left(t, blocks):
    world = ready(end=math.floor(t * 10 - 0.5) / 10, spec=make_spec(rule="point", twap_window_s=0))
    book(world, t, **FALL)
    assert blocked_by(world) == blocks


def test_no_known_fee_blocks_at_the_ask_gate():
    world = ready(spec=make_spec(fee_rate_ppm=None))
    assert len(rows(book(world, **FALL), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "ask"


@pytest.mark.parametrize("case", ["slow", "unmeasured", "few", "other way", "hole"])
def test_without_a_measured_overreaction_it_blocks_at_that_gate(case):
    strategy = ConvexityFade(
        overreaction_min_samples=10_000 if case == "few" else 300,
        overreaction_z=0.5 if case == "other way" else 2.0,
    )
    world = ready(strategy, beats=case != "unmeasured")
    t = T
    if case == "slow":  # the book has been there for longer than the lookback
        book(world, 40.02, **FALL)
        world.still(40.1, 46.0)
        t = 46.05
    elif case == "other way":  # the cheap outcome is the one that rose
        book(world, 40.02, bids=[(3_000, 400)], asks=[(3_200, 400)])
        world.still(40.1, 46.0)
        t = 46.05
        book(world, t, bids=[(4_300, 400)], asks=[(4_500, 400)])
    elif case == "hole":  # one side of the book was missing a second ago
        book(world, 40.02, bids=[], asks=[(5_100, 400)])
        world.still(40.1, 41.0)
        t = 41.05
    before = world.market.signals[0]
    book(world, t, **FALL)
    assert world.market.signals[0] == before
    assert blocked_by(world) == "overreaction"
    value = world.market.gate_rows(0)[4][0]
    assert math.isnan(value) == (case in ("unmeasured", "few", "hole"))


def test_the_overreaction_is_told_in_its_own_standard_deviations():
    world = ready()
    for k in range(20):  # the mid swings by a cent either way: sd above the grid's own
        t = 40.0 + 3 * k
        world.book(t + 0.02, [(4_700 + 400 * (k % 2), 400)], [(4_900 + 400 * (k % 2), 400)])
        world.still(t + 0.1, t + 3.0)
    t = 100.05
    book(world, t, bids=[(4_000, 400)], asks=[(4_200, 400)])
    value, threshold = world.market.gate_rows(0)[4][:2]
    view = world.view(t)
    sd = ref.deviation(view.moves, 120.0, 300)
    assert sd > 0.01
    assert value == pytest.approx(-ref.move_beyond_model(view, t) / sd, rel=1e-9)
    assert threshold == 2.0


def test_too_small_an_edge_at_the_ask_blocks_though_the_bid_would_leave_one():
    world = ready()
    assert len(rows(book(world, bids=[(4_200, 400)], asks=[(4_700, 400)]), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "edge"
    priced = world.view(T).priced
    assert world.market.gate_rows(0)[5][0] == pytest.approx(priced.q(UP) - 0.47 - ref.fee(0.47))


def test_a_large_standard_error_blocks_at_its_own_gate():
    world = ready(ConvexityFade(edge_se_multiple=1e4))
    assert len(rows(book(world, **FALL), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "edge_se"


def test_a_book_on_no_known_grid_leaves_no_price_to_rest_at():
    world = ready(spec=make_spec(tick_size_ticks=5_000))
    assert len(rows(book(world, **FALL), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "bid"


def test_a_size_of_nothing_blocks_at_the_size_gate():
    world = ready(ConvexityFade(size_cap_frac=0.0))
    assert len(rows(book(world, **FALL), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "size"


def test_spot_trades_do_not_ask_it():
    world = ready()
    book(world, 40.02, bids=[(4_900, 1)], asks=[(5_100, 1)])
    gates = world.market.gate_rows(0)
    world.trade(40.2, 100_000.5)
    world.go()
    assert str(world.market.gate_rows(0)) == str(gates)


@pytest.mark.parametrize("bad", [{"life_s": 0.0}, {"swing_s": -1.0}])
def test_times_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="positive"):
        ConvexityFade(**bad)


@pytest.mark.parametrize(("name", "value"), [("lookback_s", 60.0), ("half_life_s", 0.0), ("min_samples", 0)])
def test_moves_that_cannot_be_measured_are_refused(name, value):
    setting = name if name == "lookback_s" else f"overreaction_{name}"
    with pytest.raises(ValueError, match=name):
        ConvexityFade(**{setting: value})


def test_an_observed_market_is_not_measured_and_a_switched_off_strategy_measures_nothing():
    world = Watched([ConvexityFade()])
    observed = world.engine.open_market(1, world.spec, order_seq_base=9_000, observed=True)
    assert (world.market.moves.lookback_ns, observed.moves.lookback_ns) == (5 * NS, 0)
    assert Watched([ConvexityFade(enabled=False)]).market.moves.lookback_ns == 0
