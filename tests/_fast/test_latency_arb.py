"""S1 latency_arb: fires with the numbers an independent reference computes; each gate blocks for its own reason."""

import math

import pytest
from reference import strategy_reference as ref
from scenario import SHARE, Scenario, rows

from polybot._fast.event import DOWN, FAK, FOK, UP, CommandKind
from polybot._fast.latency_arb import LatencyArb

GATES = {name: place for place, name in enumerate(LatencyArb().gate_names)}


def ready(strategy=None, **warm):
    strategy = strategy or LatencyArb()
    scenario = Scenario([strategy])
    scenario.risk.set_limits(0, per_trade_frac=1.0, total_frac=1.0, cooldown_ns=0, max_orders=50)
    scenario.warm(**warm)
    return scenario


def jump(scenario, price, t=20.5):
    scenario.trade(t, price)
    return rows(scenario.go(), CommandKind.CMD_SIGNAL)


def expected(scenario, price, t=20.5):
    spot = scenario.spot
    return ref.price_twap(
        price + spot.basis.beta,
        100_000.0,
        spot.sigma,
        300.0 - t,
        var_basis=spot.basis.var_ln,
        se_ln_sigma=spot.se_ln_sigma,
    )


def blocked_by(scenario, gate):
    results = [row[3] for row in scenario.market.gate_rows(0)]
    place = GATES[gate]
    return (
        results[:place] == [1] * place and results[place] == 0 and all(r == -1 for r in results[place + 1 :])
    )


@pytest.mark.parametrize(("price", "outcome"), [(100_090.0, UP), (99_910.0, DOWN)])
def test_a_spot_jump_over_a_stale_quote_fires_on_the_right_outcome_with_reference_numbers(price, outcome):
    scenario = ready(bid=4_900, ask=5_100)
    signal = jump(scenario, price)
    priced = expected(scenario, price)
    q = priced.q(outcome)
    want = ref.take(
        q, [(5_100, 1_000.0)], bankroll=1_000.0, cap=0.15, min_edge=max(0.03, priced.se), outcome=outcome
    )
    assert len(signal) == 1
    row = signal[0]
    assert row["outcome"] == outcome
    assert row["fair"] == pytest.approx(q, rel=1e-12)
    assert row["edge"] == pytest.approx(want.edge, rel=1e-9)
    assert row["price_ticks"] == want.limit_ticks
    assert row["confidence"] == pytest.approx(min(1.0, max(0.3, want.edge / 0.10)))
    assert row["size_frac"] == pytest.approx(want.frac)
    assert scenario.market.gate_rows(0)[GATES["size"]][3] == 1


def test_the_limit_is_the_worst_level_that_still_keeps_the_edge_and_size_stops_there():
    scenario = ready()
    levels = [(5_000, 20), (5_200, 30), (5_400, 50), (9_900, 500)]
    scenario.book(20.2, [(4_900, 100)], levels)
    scenario.go()
    signal = jump(scenario, 100_150.0)[0]
    priced = expected(scenario, 100_150.0)
    want = ref.take(
        priced.q(UP),
        [(t, float(s)) for t, s in levels],
        bankroll=1_000.0,
        cap=0.15,
        min_edge=max(0.03, priced.se),
        outcome=UP,
    )
    assert (signal["price_ticks"], signal["shares"]) == (want.limit_ticks, round(want.shares * SHARE))
    assert signal["usd"] == round(want.price * 1e6)
    assert want.limit_ticks == 5_400


def test_no_ask_blocks_at_the_ask_gate():
    scenario = ready()
    scenario.book(20.2, [], [])
    scenario.go()
    assert len(jump(scenario, 100_100.0)) == 0
    assert blocked_by(scenario, "ask")


def test_a_small_move_blocks_at_the_edge_gate_with_its_value():
    scenario = ready(bid=4_900, ask=5_100)
    assert len(jump(scenario, 100_010.0)) == 0
    assert blocked_by(scenario, "edge")
    value, threshold, _, _ = scenario.market.gate_rows(0)[GATES["edge"]]
    priced = expected(scenario, 100_010.0)
    assert value == pytest.approx(max(priced.q(o) - 0.51 - ref.fee(0.51) for o in (UP, DOWN)), rel=1e-9)
    assert threshold == 0.03


def test_a_large_standard_error_blocks_at_its_own_gate():
    scenario = ready(LatencyArb(edge_se_multiple=10.0), bid=4_900, ask=5_100)
    assert len(jump(scenario, 100_060.0)) == 0
    assert blocked_by(scenario, "edge_se")


def test_a_standing_disagreement_without_a_move_blocks_at_the_move_gate():
    scenario = ready(bid=3_900, ask=4_000)
    assert len(jump(scenario, 100_001.0)) == 0
    assert blocked_by(scenario, "move")
    before = scenario.market.gate_rows(0)[GATES["move"]][0]
    assert before > 0.01


@pytest.mark.parametrize("price", [100_000.0, 100_001.0, 100_003.0, 99_999.5])
def test_a_quote_set_at_the_very_spot_of_now_has_the_very_edge_of_now(price):
    scenario = ready(bid=3_900, ask=4_000)
    scenario.trade(20.2, price)
    scenario.book(20.5, [(3_700, 1_000)], [(3_800, 1_000)])
    scenario.go()
    jump(scenario, price)
    gates = scenario.market.gate_rows(0)
    assert gates[GATES["move"]][3] == 0
    assert gates[GATES["move"]][0] == gates[GATES["edge"]][0] > 0.0


def test_require_move_off_takes_the_standing_disagreement():
    scenario = ready(LatencyArb(require_move=False), bid=3_900, ask=4_000)
    assert len(jump(scenario, 100_001.0)) == 1


def test_a_quote_that_followed_the_move_is_no_longer_stale():
    scenario = ready(bid=4_900, ask=5_100)
    scenario.trade(20.2, 100_090.0)
    scenario.book(20.3, [(5_600, 1_000)], [(5_700, 1_000)])
    scenario.go()
    assert scenario.market.best_ask(UP) == 5_700
    signal = jump(scenario, 100_091.0)
    assert len(signal) == 0


# -- which spot the owner of a quote can have seen ------------------------------------------------------------

MOVED = 100_200.0


def asks_at(scenario, t, asks, stamp=None):
    scenario.book(t, [(4_900, 1_000)], asks, stamp=stamp)
    scenario.go()


def after_the_move():
    """Asks set at 20.2 with the spot at 100,000; at 20.3 the spot moves."""
    scenario = ready(bid=4_900, ask=5_100)
    asks_at(scenario, 20.2, [(5_100, 10), (5_200, 1_000)], stamp=20.2)
    assert len(jump(scenario, MOVED, t=20.3)) == 1
    return scenario


def test_a_level_that_became_the_best_because_those_before_it_were_taken_is_as_old_as_it_was():
    scenario = after_the_move()
    asks_at(scenario, 20.35, [(5_200, 1_000)], stamp=20.35)
    (signal,) = jump(scenario, MOVED, t=20.4)
    assert signal["price_ticks"] == 5_200
    before = scenario.market.gate_rows(0)[GATES["move"]][0]
    assert before == pytest.approx(expected(scenario, 100_000.0, 20.4).q(UP) - 0.52 - ref.fee(0.52), abs=1e-9)


def test_another_size_at_the_same_price_does_not_make_a_quote_fresh():
    scenario = after_the_move()
    asks_at(scenario, 20.35, [(5_100, 700), (5_200, 900)], stamp=20.35)
    assert len(jump(scenario, MOVED, t=20.4)) == 1


def test_a_price_that_was_gone_and_came_back_is_fresh():
    scenario = after_the_move()
    asks_at(scenario, 20.33, [(5_200, 1_000)], stamp=20.33)
    asks_at(scenario, 20.35, [(5_100, 10), (5_200, 1_000)], stamp=20.35)
    assert len(jump(scenario, MOVED, t=20.4)) == 0
    assert blocked_by(scenario, "move")


@pytest.mark.parametrize(("stamp", "fires"), [(20.25, True), (20.35, False)])
def test_a_quote_set_before_the_move_and_told_after_it_is_stale_by_its_stamp(stamp, fires):
    scenario = after_the_move()
    asks_at(scenario, 20.4, [(5_300, 1_000)], stamp=stamp)
    assert (len(jump(scenario, MOVED, t=20.45)) == 1) is fires
    assert blocked_by(scenario, "move") is not fires


@pytest.mark.parametrize(("traded", "fires"), [(20.3, False), (20.5, True)])
def test_a_quote_told_before_the_trade_its_owner_had_seen_is_not_stale(traded, fires):
    scenario = ready(bid=4_900, ask=5_100)
    scenario.trade(20.2, 100_000.0)
    asks_at(scenario, 20.41, [(5_300, 1_000)], stamp=20.4)
    scenario.trade(20.6, MOVED, stamp=traded)
    assert (len(rows(scenario.go(), CommandKind.CMD_SIGNAL)) == 1) is fires
    assert blocked_by(scenario, "move") is not fires


def test_a_quote_without_a_usable_stamp_counts_as_set_when_it_came():
    for stamp in (None, -500.0):
        scenario = after_the_move()
        asks_at(scenario, 20.4, [(5_300, 1_000)], stamp=stamp)
        assert len(jump(scenario, MOVED, t=20.45)) == 0
        assert blocked_by(scenario, "move")


def test_a_size_of_nothing_blocks_at_the_size_gate():
    scenario = ready(LatencyArb(size_cap_frac=0.0), bid=4_900, ask=5_100)
    assert len(jump(scenario, 100_090.0)) == 0
    assert blocked_by(scenario, "size")


@pytest.mark.parametrize(("name", "code"), [("FAK", FAK), ("FOK", FOK)])
def test_the_order_type_is_the_one_configured(name, code):
    scenario = ready(LatencyArb(order_type=name), bid=4_900, ask=5_100)
    scenario.trade(20.5, 100_090.0)
    placed = rows(scenario.go(), CommandKind.CMD_PLACE)
    assert list(placed["order_type"]) == [code]


def test_other_order_types_are_refused_at_construction():
    with pytest.raises(ValueError, match="GTC"):
        LatencyArb(order_type="GTC")


def test_an_unknown_fee_schedule_leaves_no_edge_to_show():
    from scenario import make_spec

    scenario = Scenario([LatencyArb()], spec=make_spec(fee_rate_ppm=None))
    scenario.warm(bid=4_900, ask=5_100)
    assert len(jump(scenario, 100_090.0)) == 0
    assert math.isnan(scenario.market.gate_rows(0)[GATES["edge"]][0])
