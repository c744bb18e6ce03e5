"""S2 certainty_capture: fires with reference numbers by |z| band; each gate blocks for its own reason."""

import pytest
from reference import strategy_reference as ref
from scenario import Scenario, rows

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.event import DOWN, UP, CommandKind

GATES = {name: place for place, name in enumerate(CertaintyCapture().gate_names)}
T = 100.5


def ready(strategy=None, *, price=100_000.0, bids=(), asks=()):
    """A market at 100 s whose spot stands at `price`; returns the signals its book message raises."""
    scenario = Scenario([strategy or CertaintyCapture()])
    scenario.risk.set_limits(0, per_trade_frac=1.0, total_frac=1.0, cooldown_ns=0, max_orders=50)
    scenario.warm(until=100.0)
    scenario.trade(T - 0.1, price)
    scenario.go()
    scenario.book(T, list(bids), list(asks))
    return scenario, rows(scenario.go(), CommandKind.CMD_SIGNAL)


def expected(scenario, price):
    spot = scenario.spot
    return ref.price_twap(
        price + spot.basis.beta,
        100_000.0,
        spot.sigma,
        300.0 - T,
        var_basis=spot.basis.var_ln,
        se_ln_sigma=spot.se_ln_sigma,
    )


def blocked_by(scenario, gate):
    results = [row[3] for row in scenario.market.gate_rows(0)]
    place = GATES[gate]
    return results[:place] == [1] * place and results[place] == 0


@pytest.mark.parametrize(
    ("price", "outcome", "ask", "cap"),
    [
        (100_130.0, UP, 9_000, 0.02),
        (99_870.0, DOWN, 9_000, 0.02),
        (100_185.0, UP, 9_500, 0.03),
        (100_230.0, UP, 9_500, 0.05),
        (99_770.0, DOWN, 9_500, 0.05),
    ],
)
def test_a_cheap_near_certain_outcome_fires_with_reference_numbers(price, outcome, ask, cap):
    bids, asks = (
        ([(ask - 100, 500)], [(ask, 500)])
        if outcome == UP
        else ([(10_000 - ask, 500)], [(10_100 - ask, 500)])
    )
    scenario, signals = ready(price=price, bids=bids, asks=asks)
    priced = expected(scenario, price)
    q = priced.q(outcome)
    want = ref.take(
        q, [(ask, 500.0)], bankroll=1_000.0, cap=cap, min_edge=max(0.02, priced.se), outcome=outcome
    )
    assert len(signals) == 1
    row = signals[0]
    assert row["outcome"] == outcome
    assert row["fair"] == pytest.approx(q, rel=1e-12)
    assert row["edge"] == pytest.approx(want.edge, rel=1e-9)
    assert row["size_frac"] == pytest.approx(want.frac)
    assert row["confidence"] == pytest.approx(min(0.99, max(0.5, abs(priced.z) / 4.0)))
    assert (abs(priced.z) > 3.0) == (cap == 0.05)
    assert (abs(priced.z) > 2.5) == (cap >= 0.03)


def test_an_uncertain_market_blocks_at_the_z_gate_with_its_value():
    scenario, signals = ready(price=100_050.0, bids=[(5_000, 100)], asks=[(5_100, 100)])
    assert len(signals) == 0
    assert blocked_by(scenario, "abs_z")
    value, threshold, _, _ = scenario.market.gate_rows(0)[0]
    assert value == pytest.approx(abs(expected(scenario, 100_050.0).z), rel=1e-9)
    assert threshold == 1.5


def test_a_one_sided_book_blocks_at_the_ask_gate():
    scenario, signals = ready(price=100_200.0, bids=[(9_800, 100)], asks=[])
    assert len(signals) == 0
    assert blocked_by(scenario, "ask")


def test_a_fairly_priced_certainty_blocks_at_the_edge_gate():
    scenario, signals = ready(price=100_200.0, bids=[(9_800, 100)], asks=[(9_900, 100)])
    assert len(signals) == 0
    assert blocked_by(scenario, "edge")


def test_a_large_standard_error_blocks_at_its_own_gate():
    scenario, signals = ready(
        CertaintyCapture(edge_se_multiple=50.0), price=100_130.0, bids=[(8_900, 100)], asks=[(9_000, 100)]
    )
    assert len(signals) == 0
    assert blocked_by(scenario, "edge_se")


def test_a_size_of_nothing_blocks_at_the_size_gate():
    scenario, signals = ready(
        CertaintyCapture(size_cap_frac=0.0), price=100_130.0, bids=[(8_900, 100)], asks=[(9_000, 100)]
    )
    assert len(signals) == 0
    assert blocked_by(scenario, "size")


def test_it_is_allowed_down_to_the_end_guard_and_not_inside_it():
    asked = []
    for t in (294.9, 295.1):
        scenario = Scenario([CertaintyCapture()])
        scenario.warm(until=294.0)
        for second in range(230, 295):
            scenario.oracle(second, 100_200.0)
        scenario.trade(t - 0.05, 100_200.0)
        scenario.book(t, [(8_900, 100)], [(9_000, 100)])
        asked.append(len(rows(scenario.go(), CommandKind.CMD_SIGNAL)))
    assert asked == [1, 0]
