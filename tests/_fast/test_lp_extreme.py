"""S5 lp_extreme: rests where the slow reference does, with its numbers; each gate blocks for its own reason."""

import pytest
from reference import strategy_reference as ref
from scenario import NS, SHARE, blocked_by, make_spec, rows
from watched import Watched

from polybot._fast.event import DOWN, GTC, UP, CommandKind
from polybot._fast.lp_extreme import LpExtreme
from polybot._fast.regime import Regime

T = 100.5
HIGH, LOW = 100_102.0, 99_899.0  # |z| a little above 1.5: the losing outcome is worth 6 cents
TENTH = 10  # a tick of 0.1 cent, the venue's beyond 0.96


def ready(strategy=None, *, price=HIGH, ask=700, bid=300, spec=None, t=T, book=None):
    """A market at t whose spot stands at `price`; ask and bid are the losing outcome's, in ticks."""
    world = Watched([strategy or LpExtreme()], spec=spec)
    world.risk.set_limits(0, per_trade_frac=0.5, total_frac=0.5, cooldown_ns=0, max_orders=50)
    world.warm(until=int(t))
    world.trade(t - 0.1, price)
    world.go()
    up = ([(bid, 500)], [(ask, 500)]) if price < 100_000 else ([(10_000 - ask, 500)], [(10_000 - bid, 500)])
    world.book(t, *(up if book is None else book))
    return world, world.go()


@pytest.mark.parametrize(("price", "outcome"), [(HIGH, DOWN), (LOW, UP)])
def test_a_bid_for_the_losing_outcome_rests_with_reference_numbers(price, outcome):
    world, commands = ready(price=price)
    walk, want = ref.lp_extreme(world.view(T))
    assert walk.blocked == blocked_by(world) == ""
    (row,) = rows(commands, CommandKind.CMD_SIGNAL)
    assert (row["outcome"], row["price_ticks"], row["order_type"]) == (outcome, 300, GTC)
    assert row["shares"] == round(want.shares * SHARE)
    assert row["usd"] == 30_000
    q = world.view(T).priced.q(outcome)
    assert row["fair"] == pytest.approx(q, rel=1e-12)
    assert row["edge"] == pytest.approx(q - 0.03, rel=1e-9)
    assert row["size_frac"] == pytest.approx(min(0.02, 0.5 * (q - 0.03) / 0.97), rel=1e-9)
    assert row["confidence"] == pytest.approx(want.confidence, rel=1e-9)
    order = world.engine.orders[1_000]
    assert (order.post_only, order.expires_ns, order.cancel_edge) == (True, world.at(T) + 30 * NS, 0.0)
    assert world.market.house == -1  # passive: it leaves the house side alone


def test_it_fires_where_inverted_odds_would_not():
    """Kelly is q - (1 - q)/b; a token bought at a wins b = (1 - a)/a.  With a/(1 - a) for b, or q (1 - a) for what
    is won, a token worth less than one half is never bought: this strategy would be dead code."""
    _, commands = ready()
    (row,) = rows(commands, CommandKind.CMD_SIGNAL)
    q, a = float(row["fair"]), row["price_ticks"] / 1e4
    assert row["size_frac"] == pytest.approx(min(0.02, 0.5 * (q - (1.0 - q) * a / (1.0 - a))), rel=1e-9)
    assert row["size_frac"] > 0.01
    for ticks in range(1, 2_500):
        a = ticks / 1e4
        assert q - (1.0 - q) * (1.0 - a) / a < 0.0
        assert q * (1.0 - a) - (1.0 - q) < 0.0


@pytest.mark.parametrize(
    ("improve", "bid", "ask", "expected"),
    [
        (0, 100, 700, 100),  # joins the best bid
        (1, 100, 700, 200),  # one tick above it
        (1, 300, 700, 400),
        (0, 500, 700, 400),  # never above q - 0.02, though others bid more
        (1, 400, 500, 400),  # never crossing: the ask is one tick away
        (100, 100, 400, 300),
        (100, 100, 2_000, 400),
    ],
)
def test_the_price_is_what_the_best_bid_needs_and_never_more_than_fair_less_its_edge(
    improve, bid, ask, expected
):
    world, commands = ready(LpExtreme(improve_ticks=improve, edge_se_multiple=0.0), bid=bid, ask=ask)
    q = world.view(T).priced.q(DOWN)
    assert 0.06 < q < 0.07
    assert list(rows(commands, CommandKind.CMD_PLACE)["price_ticks"]) == [expected]
    assert expected / 1e4 <= q - 0.02
    assert expected < ask


def test_without_a_bid_it_rests_at_fair_less_its_edge_on_the_grid():
    for tick in (100, TENTH):
        world, commands = ready(spec=make_spec(tick_size_ticks=tick), book=([(9_300, 500)], []))
        priced = world.view(T).priced
        expected = int((priced.q(DOWN) - max(0.02, priced.se)) * 1e4) // tick * tick
        assert list(rows(commands, CommandKind.CMD_PLACE)["price_ticks"]) == [expected]
    assert expected % 100 != 0


def test_a_large_standard_error_lowers_the_price():
    world, commands = ready(LpExtreme(edge_se_multiple=2.0), bid=500, ask=700)
    priced = world.view(T).priced
    assert 2.0 * priced.se > 0.03
    assert list(rows(commands, CommandKind.CMD_PLACE)["price_ticks"]) == [
        int((priced.q(DOWN) - 2.0 * priced.se) * 100) * 100
    ]


# -- one thing changed at a time: the gate that blocks -------------------------------------------------------


def test_a_trend_blocks_at_the_regime_gate():
    world, _ = ready(ask=3_000)
    for k in range(80):
        world.trade(T + 0.01 + k / 1_000, HIGH + k / 100)
    world.book(T + 0.2, [(9_300, 500)], [(9_700, 500)])
    assert len(rows(world.go(), CommandKind.CMD_SIGNAL)) == 0
    assert world.spot.regime.regime == Regime.TREND
    assert blocked_by(world) == "regime"


def test_too_near_the_strike_blocks_at_the_z_gate_with_its_value():
    world, commands = ready(price=100_060.0)
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "abs_z"
    assert world.market.gate_rows(0)[1][:2] == pytest.approx((abs(world.view(T).priced.z), 1.5), rel=1e-9)


@pytest.mark.parametrize(
    ("length", "left", "fires"),
    [(300, 60.1, True), (300, 59.9, False), (900, 90.1, True), (900, 89.9, False)],
)
def test_too_near_the_end_blocks_at_the_time_gate(length, left, fires):
    spec = make_spec(end_ns=make_spec().start_ns + length * NS, rule="point", twap_window_s=0)
    t = length - left
    world, commands = ready(LpExtreme(min_abs_z=1.0), spec=spec, t=t, price=100_000.0 + 9.5 * left**0.5)
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == (1 if fires else 0)
    assert blocked_by(world) == ("" if fires else "time_left")


@pytest.mark.parametrize(("ask", "fires"), [(2_400, True), (2_490, True), (2_500, False), (3_000, False)])
def test_an_ask_of_a_quarter_or_more_blocks_at_the_ask_gate(ask, fires):
    world, commands = ready(ask=ask, spec=make_spec(tick_size_ticks=TENTH))
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == (1 if fires else 0)
    assert blocked_by(world) == ("" if fires else "ask")


def test_no_ask_of_the_losing_outcome_blocks_at_the_ask_gate():
    world, commands = ready(book=([], [(9_700, 500)]))
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "ask"


def test_an_outcome_worth_less_than_its_edge_and_a_tick_blocks_at_the_price_gate():
    world, commands = ready(price=100_140.0, bid=100, ask=300)
    assert world.view(T).priced.q(DOWN) < 0.03
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "price"
    assert world.market.gate_rows(0)[4][:2] == (0.0, 0.01)


def test_a_size_of_nothing_blocks_at_the_size_gate():
    world, commands = ready(LpExtreme(size_cap_frac=0.0))
    assert len(rows(commands, CommandKind.CMD_SIGNAL)) == 0
    assert blocked_by(world) == "size"


def test_an_unknown_fee_schedule_does_not_stop_a_maker():
    _, commands = ready(spec=make_spec(fee_rate_ppm=None))
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 1


def test_spot_trades_ask_it_too():
    world, _ = ready(price=100_060.0)
    world.trade(T + 0.1, HIGH)
    assert len(rows(world.go(), CommandKind.CMD_SIGNAL)) == 1


@pytest.mark.parametrize("bad", [{"life_s": -1.0}, {"improve_ticks": -1}, {"improve_ticks": 101}])
def test_settings_that_mean_nothing_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LpExtreme(**bad)
