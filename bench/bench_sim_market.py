"""Queue places: a print and a book change at a level where eight of our orders stand."""

from bench.bench_execution import SHARE, START_NS, venue
from polybot._fast import event as ev

ORDERS = 8


def test_print_and_book_change_with_eight_orders_in_line(budget):
    sim, out, events = venue(1, ORDERS), ev.EventBuffer(), ev.EventBuffer()
    at = {"recv_ns": START_NS + 2 * 10**9, "market": 0, "flags": int(ev.F_END)}
    for shown in (99, 100):
        events.add(ev.EV_PUBLIC_TRADE, side=1, i=4_800, j=0, **at)
        events.add(ev.EV_BOOK_DELTA, side=0, i=4_800, j=shown * SHARE, **at)

    def feed() -> None:
        sim.process(events, out)

    budget(feed, name="sim market: print or book change, 8 orders in line", median_ns=400, inner=len(events))
