"""S4 strike_misalign: fires with the numbers of the slow reference; each gate blocks for its own reason."""

import math

import pytest
from reference import strategy_reference as ref
from scenario import NS, SHARE, blocked_by, make_spec, rows
from watched import Watched

from polybot._fast.event import DOWN, FAK, FOK, GTC, UP, CommandKind
from polybot._fast.strike_misalign import StrikeMisalign

T = 5.4
# VWAP lies 40 above (below) the strike, as does the spot: the likelier outcome's ask is 0.60.
ABOVE = {"strike": 99_960.0, "bids": [(5_800, 300)], "asks": [(6_000, 300), (6_100, 300)]}
BELOW = {"strike": 100_041.0, "bids": [(4_000, 300), (3_900, 300)], "asks": [(4_200, 300)]}
FAK_ONLY = ("bid",)


def ready(strategy=None, *, strike, bids, asks, spec=None, until=5.0, t=T, price=100_000.5):
    """A market just after its start, whose book comes at t; returns it with what the engine said."""
    world = Watched([strategy or StrikeMisalign()], spec=spec)
    world.risk.set_limits(0, per_trade_frac=0.5, total_frac=0.5, cooldown_ns=0, max_orders=50)
    world.warm(until=until, strike=None)
    world.trade(t - 0.1, price)
    world.strike(strike, t - 0.05)
    world.go()
    world.book(t, bids, asks)
    return world, world.go()


@pytest.mark.parametrize(("case", "outcome"), [(ABOVE, UP), (BELOW, DOWN)])
def test_a_strike_away_from_the_vwap_is_taken_with_reference_numbers(case, outcome):
    world, commands = ready(**case)
    walk, want = ref.strike_misalign(world.view(T))
    assert walk.blocked == ""
    assert blocked_by(world, unasked=FAK_ONLY) == ""
    (row,) = rows(commands, CommandKind.CMD_SIGNAL)
    assert (row["outcome"], row["price_ticks"], row["order_type"]) == (outcome, 6_000, FAK)
    assert row["shares"] == round(want.shares * SHARE)
    assert row["usd"] == 600_000
    assert row["edge"] == pytest.approx(want.edge, rel=1e-9)
    assert row["edge"] > 0.04
    assert row["size_frac"] == pytest.approx(want.frac) == 0.02
    assert row["confidence"] == pytest.approx(want.confidence, rel=1e-9) == 0.9
    order = world.engine.orders[1_000]
    assert (order.post_only, order.expires_ns) == (False, 0)
    assert math.isnan(order.cancel_edge)
    assert world.market.house == outcome


def test_confidence_grows_with_the_shift_between_its_bounds():
    found = []
    for strike in (99_995.5, 99_990.0, 99_960.0):
        world, commands = ready(strike=strike, bids=[(3_000, 9)], asks=[(4_000, 300)])
        (row,) = rows(commands, CommandKind.CMD_SIGNAL)
        want = ref.strike_misalign(world.view(T))[1]
        found.append(float(row["confidence"]))
        assert found[-1] == pytest.approx(want.confidence, rel=1e-9)
    assert found[0] == 0.4
    assert 0.4 < found[1] < 0.9
    assert found[2] == 0.9


def test_a_candle_has_no_basis_and_an_oracle_rule_moves_the_vwap_by_it():
    shifts = []
    for rule in ("candle", "point"):
        world = Watched([StrikeMisalign()], spec=make_spec(rule=rule, twap_window_s=0))
        for second in range(-55, 6):
            world.trade(second, 100_000.0 + second % 2)
            world.oracle(second, 100_030.0 + second % 2)
        world.strike(100_000.0)
        world.book(T, [(5_800, 9)], [(6_000, 9)])
        world.go()
        value = world.market.gate_rows(0)[2][0]
        view = world.view(T)
        want = -ref.norm_pdf(view.priced.d2) / (view.vwap * view.priced.v) * (100_000.0 - view.vwap)
        assert value == pytest.approx(abs(want), rel=1e-9)
        shifts.append(view.vwap - 100_000.0)
    assert shifts == pytest.approx([0.5, 30.5], abs=0.05)


@pytest.mark.parametrize(("name", "code"), [("FAK", FAK), ("FOK", FOK)])
def test_it_takes_with_the_order_type_configured(name, code):
    _, commands = ready(StrikeMisalign(order_type=name), **ABOVE)
    assert list(rows(commands, CommandKind.CMD_PLACE)["order_type"]) == [code]


@pytest.mark.parametrize(("case", "outcome"), [(ABOVE, UP), (BELOW, DOWN)])
def test_post_only_rests_at_the_best_bid_with_a_life_of_its_own(case, outcome):
    world, commands = ready(StrikeMisalign(order_type="POST_ONLY", life_s=7.0, cancel_edge=0.005), **case)
    walk, want = ref.strike_misalign(world.view(T), post_only=True)
    assert walk.blocked == blocked_by(world) == ""
    (row,) = rows(commands, CommandKind.CMD_PLACE)
    assert (row["outcome"], row["price_ticks"], row["order_type"]) == (outcome, 5_800, GTC)
    assert row["shares"] == round(want.shares * SHARE)
    assert row["edge"] == pytest.approx(world.view(T).priced.q(outcome) - 0.58, rel=1e-9)
    assert row["confidence"] == pytest.approx(want.confidence, rel=1e-9)
    order = world.engine.orders[int(row["order_seq"])]
    assert (order.post_only, order.expires_ns, order.cancel_edge) == (True, world.at(T) + 7 * NS, 0.005)


# -- one thing changed at a time: the gate that blocks -------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "t", "fires"),
    [
        (300, 14.9, True),
        (300, 15.1, False),
        (900, 44.9, True),
        (900, 45.1, False),
        (14_400, 299.9, True),
        (14_400, 300.1, False),
    ],
)
def test_after_the_opening_part_of_the_window_it_blocks_at_the_elapsed_gate(length, t, fires):
    spec = make_spec(end_ns=make_spec().start_ns + length * NS)
    strike = {300: 99_960.0, 900: 99_920.0, 14_400: 99_700.0}[length]
    world, commands = ready(**{**ABOVE, "strike": strike}, spec=spec, until=math.floor(t - 0.2), t=t)
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == (1 if fires else 0)
    assert blocked_by(world, unasked=FAK_ONLY) == ("" if fires else "elapsed")


def test_without_a_trade_in_the_last_minute_it_blocks_at_the_vwap_gate():
    world = Watched([StrikeMisalign()])
    for second in range(-90, -59):
        world.trade(second, 100_000.0 + second % 2)
    for second in range(-90, 6):
        world.oracle(second, 100_000.0 + second % 2)
    world.strike(ABOVE["strike"])
    world.timer(T - 0.1)
    world.book(T, ABOVE["bids"], ABOVE["asks"])
    assert len(rows(world.go(), CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "vwap"


def test_a_vwap_at_the_strike_blocks_at_the_shift_gate_with_its_value():
    world, commands = ready(**{**ABOVE, "strike": 99_999.0})
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "shift"
    view = world.view(T)
    exact = ref.norm_pdf(view.priced.d2) / (view.vwap * view.priced.v) * abs(view.vwap - 99_999.0)
    assert world.market.gate_rows(0)[2][:2] == pytest.approx((exact, 0.02), rel=1e-9)


def test_no_ask_blocks_at_the_ask_gate():
    world, commands = ready(**{**ABOVE, "asks": []})
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "ask"


def test_the_past_alone_is_no_edge_the_current_spot_must_agree():
    world, commands = ready(
        **ABOVE, price=99_960.0
    )  # VWAP still far above the strike, the spot is back at it
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "edge"
    assert world.market.gate_rows(0)[4][0] == pytest.approx(world.view(T).taker_edge(UP), rel=1e-9)


def test_a_large_standard_error_blocks_at_its_own_gate():
    world, commands = ready(StrikeMisalign(edge_se_multiple=50.0), **ABOVE)
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "edge_se"


def test_post_only_without_a_bid_to_join_blocks_at_the_bid_gate():
    world, commands = ready(StrikeMisalign(order_type="POST_ONLY"), **{**ABOVE, "bids": []})
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "bid"


@pytest.mark.parametrize(("order_type", "unasked"), [("FAK", FAK_ONLY), ("POST_ONLY", ())])
def test_a_size_of_nothing_blocks_at_the_size_gate(order_type, unasked):
    world, commands = ready(StrikeMisalign(order_type=order_type, size_cap_frac=0.0), **ABOVE)
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world, unasked=unasked) == "size"


def test_spot_trades_ask_it_too():
    world, _ = ready(**{**ABOVE, "strike": 99_999.0})
    world.strike(99_960.0)
    world.trade(T + 0.1, 100_000.5)
    assert len(rows(world.go(), CommandKind.CMD_SIGNAL)) == 1


@pytest.mark.parametrize(
    ("bad", "match"), [({"order_type": "GTC"}, "POST_ONLY"), ({"life_s": -1.0}, "life_s")]
)
def test_settings_that_mean_nothing_are_refused(bad, match):
    with pytest.raises(ValueError, match=match):
        StrikeMisalign(**bad)
