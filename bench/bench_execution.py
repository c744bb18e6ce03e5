"""Simulated execution fed with book messages: one market and 1,000, without orders and with a few at work."""

from dataclasses import replace

import numpy as np
import pytest
from scenario import make_spec

from polybot._fast import event as ev
from polybot._fast.execution import SimExecution

SHARE = 1_000_000
START_NS = 1_795_337_100 * 10**9
EVENTS = 4_000
LEVELS = 20
SPEC = make_spec(
    slug="btc-updown-5m-1795337100",
    condition_id="0x" + "11" * 32,
    token_up="1",
    token_down="2",
    start_ns=START_NS,
    end_ns=START_NS + 10**18,
)


def snapshot(market: int) -> ev.EventBuffer:
    out = ev.EventBuffer()
    out.add(ev.EV_BOOK_SNAPSHOT, recv_ns=START_NS, market=market)
    for k in range(LEVELS):
        for side, ticks in ((0, 4_900 - 100 * k), (1, 5_100 + 100 * k)):
            last = ev.F_END if k == LEVELS - 1 and side else 0
            row = {"side": side, "i": ticks, "j": 100 * SHARE, "flags": last}
            out.add(ev.EV_BOOK_LEVEL, recv_ns=START_NS, market=market, **row)
    return out


def deltas(markets: int) -> ev.EventBuffer:
    """Every market in turn: two mirrored deltas a message, and a print every twentieth."""
    rows = np.zeros(EVENTS, dtype=ev.EVENT_DTYPE)
    n = np.arange(EVENTS)
    rows["recv_ns"] = START_NS + 10**9 + n // 2
    rows["kind"] = np.where(n % 20 == 19, int(ev.EV_PUBLIC_TRADE), int(ev.EV_BOOK_DELTA))
    rows["market"] = (n // 2) % markets
    rows["flags"] = np.where(n % 2 == 1, int(ev.F_END), 0)
    rows["side"] = n % 2
    step = (n // 2 // markets + n // 2) % LEVELS
    rows["i"] = np.where(n % 2 == 1, 5_100 + 100 * step, 4_900 - 100 * step)
    rows["j"] = (50 + n % 100) * SHARE
    out = ev.EventBuffer()
    out.extend(rows)
    return out


def venue(markets: int, orders: int) -> SimExecution:
    """`orders` resting bids and one taken level in every market, as far as the orders go round."""
    sim, out = SimExecution(cash_usd=10**15, confirm_ns=10**17), ev.EventBuffer()
    for index in range(markets):
        sim.add_market(index, replace(SPEC))
        sim.process(snapshot(index), out)
    common = {"outcome": 0, "side": 0, "ushares": 5 * SHARE, "arrive_ns": START_NS}
    for k in range(orders):
        market = k % markets
        sim.place(market, order_seq=2 * k, order_type=ev.FAK, price_ticks=5_100, **common)
        sim.place(market, order_seq=2 * k + 1, order_type=ev.GTC, price_ticks=4_800, post_only=True, **common)
    sim.advance(START_NS + 10**9 - 1, out)
    return sim


@pytest.mark.parametrize(
    ("markets", "orders", "median_ns"), [(1, 0, 60), (1000, 0, 90), (1, 4, 90), (1000, 1000, 130)]
)
def test_book_deltas(budget, markets, orders, median_ns):
    sim, events, out = venue(markets, orders), deltas(markets), ev.EventBuffer()

    def feed() -> None:
        sim.process(events, out)
        out.reset()

    feed()
    name = f"execution: book delta, {markets} markets, {orders} orders at rest"
    budget(feed, name=name, median_ns=median_ns, inner=EVENTS)


def test_taker_from_arrival_to_confirmation(budget):
    sim, out = venue(1, 0), ev.EventBuffer()
    book = snapshot(0)
    seq, now_ns = [0], [START_NS + 10**9]

    def trade() -> None:
        seq[0] += 1
        now_ns[0] += 10**9
        order = {"order_seq": seq[0], "outcome": 0, "side": 0, "order_type": ev.FAK, "price_ticks": 5_200}
        sim.place(0, ushares=150 * SHARE, arrive_ns=now_ns[0], **order)
        sim.advance(now_ns[0] + 200_000_000, out)
        sim.process(book, out)
        out.reset()

    budget(trade, name="execution: place, hold, two fills, fresh book of 40 levels", median_ns=6_000)
