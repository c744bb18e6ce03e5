"""S6 on one book message of another window: eight windows live, ours asked, nothing and something to take."""

from scenario import SHARE
from surfaces import NOW_S, Leg, Surface

from bench.one_event import repeated
from polybot._fast.event import EventBuffer, EventFlag, EventKind

LEGS = [
    Leg(240.0, 0.8),
    Leg(540.0, -0.9),
    Leg(600.0, 0.7),
    Leg(900.0, -1.2),
    Leg(1_500.0, 0.6, "candle"),
    Leg(2_700.0, -1.0, "candle"),
    Leg(3_600.0, 1.1),
    Leg(9_000.0, -0.8),
]
OBSERVED = frozenset(range(1, 8))
BATCH = 50


def asked(*, shift_usd):
    """An engine in which only the first window is traded, and a book change of the last."""
    surface = Surface(LEGS, observed=OBSERVED)
    surface.shift(0, shift_usd)
    surface.scenario.risk.set_limits(
        0, per_trade_frac=1e-9, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30
    )
    surface.signals()
    events = EventBuffer()
    events.add(
        EventKind.EV_BOOK_DELTA,
        recv_ns=surface.scenario.at(NOW_S),
        market=7,
        side=0,
        i=100,
        j=5 * SHARE,
        x=-1,
        y=-1,
        flags=EventFlag.F_END,
    )
    return surface, events


def test_a_fair_quote_among_eight_windows(budget):
    surface, events = asked(shift_usd=0.0)
    run = repeated(surface.engine, events, times=BATCH)
    budget(run, name="evaluate: cross_timeframe, 8 windows, nothing to take", median_ns=10_000, inner=BATCH)
    assert surface.blocked_by(0, "edge")


def test_a_quote_worth_taking_among_eight_windows(budget):
    surface, events = asked(shift_usd=-0.08)
    run = repeated(surface.engine, events, times=BATCH)
    budget(run, name="evaluate: cross_timeframe, 8 windows, fires", median_ns=60_000, inner=BATCH)
    assert surface.gate(0, "size")[3] == 1
