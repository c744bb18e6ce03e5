"""One event fed to an engine over and over: what the benches of strategies and engine measure.

Owns the two events a strategy is asked on and the loop that repeats one.  Must not measure: the caller's budget does.
"""

from polybot._fast.event import EventBuffer, EventFlag, EventKind

__all__ = ["BATCH", "book_change", "repeated", "spot_trade"]

BATCH = 200


def spot_trade(scenario, t, price=100_001.0):
    """A live spot trade at t seconds of the window."""
    events = EventBuffer()
    events.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=scenario.at(t),
        venue_ns=scenario.at(t),
        flags=EventFlag.F_END,
        x=price,
        y=0.01,
    )
    return events


def book_change(scenario, t):
    """Another size of one level of Up's bids at t seconds of the window; no best prices told."""
    events = EventBuffer()
    events.add(
        EventKind.EV_BOOK_DELTA,
        recv_ns=scenario.at(t),
        market=0,
        side=0,
        i=4_800,
        j=5_000_000,
        x=-1,
        y=-1,
        flags=EventFlag.F_END,
    )
    return events


def repeated(engine, events, *, times=BATCH):
    """A call that processes the events so many times."""
    process = engine.process

    def run():
        for _ in range(times):
            process(events)

    return run
