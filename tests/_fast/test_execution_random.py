"""The compiled execution core against a plain Python one: random books, trades, orders, cancels, lost sockets."""

import random
from dataclasses import replace

import pytest
from execution_scenario import END_NS, MS, SHARE, START_NS, spec
from reference.execution_reference import SlowExecution

from polybot._fast import event as ev
from polybot._fast.execution import SimExecution

FIELDS = ("recv_ns", "kind", "market", "outcome", "side", "flags", "seq", "x", "y", "i", "j")
STEPS = 400


class Traffic:
    """Random market data of a few markets and random orders, the same for both sides."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.grid = self.rng.choice((100, 100, 10))
        self.now_ns = START_NS
        self.mid = self.rng.choice((1_500, 5_000, 8_500))
        self.seq = 0

    def level(self) -> tuple[int, int, int]:
        """(outcome, side, price): bids around and below the mid, asks around and above; few enough to collide."""
        side = self.rng.randrange(2)
        away = self.rng.randrange(-1, 5) * self.grid
        ticks = self.mid - away if side == 0 else self.mid + away
        ticks = min(max(ticks - ticks % self.grid, self.grid), 10_000 - self.grid)
        return (0, side, ticks) if self.rng.random() < 0.5 else (1, 1 - side, 10_000 - ticks)

    def size(self) -> int:
        return self.rng.choice((1, 3, 5, 7, 20, 100)) * SHARE + self.rng.choice((0, 0, 10_000, 1, 333_333))

    def message(self, market: int) -> ev.EventBuffer:
        """One venue message."""
        out = ev.EventBuffer()
        rng, at = self.rng, self.now_ns
        roll = rng.random()
        if roll < 0.15:
            out.add(ev.EV_BOOK_SNAPSHOT, recv_ns=at, market=market, i=rng.choice((0, self.grid)))
            for _ in range(rng.randrange(9)):
                outcome, side, ticks = self.level()
                out.add(
                    ev.EV_BOOK_LEVEL,
                    recv_ns=at,
                    market=market,
                    outcome=outcome,
                    side=side,
                    i=ticks,
                    j=self.size(),
                )
        elif roll < 0.6:
            for _ in range(rng.randrange(1, 4)):
                outcome, side, ticks = self.level()
                size = 0 if rng.random() < 0.3 else self.size()
                out.add(
                    ev.EV_BOOK_DELTA, recv_ns=at, market=market, outcome=outcome, side=side, i=ticks, j=size
                )
        elif roll < 0.93:
            outcome, side, ticks = self.level()
            row = {"outcome": outcome, "side": 1 - side, "i": ticks, "j": self.size() * rng.choice((1, 4))}
            out.add(ev.EV_PUBLIC_TRADE, recv_ns=at, market=market, **row)
        elif roll < 0.96:
            out.add(
                ev.EV_FEED_STATE,
                recv_ns=at,
                market=rng.choice((market, ev.NO_MARKET)),
                i=rng.choice((ev.FEED_MARKET, ev.FEED_MARKET, ev.FEED_SPOT)),
                j=rng.choice((ev.FS_DISCONNECTED, ev.FS_STALE, ev.FS_CONNECTED)),
            )
        else:
            out.add(ev.EV_TICK_SIZE, recv_ns=at, market=market, i=rng.choice((0, self.grid, 100, 10)))
        rows = out.to_numpy().copy()
        rows["flags"][-1] |= ev.F_END
        out.reset()
        out.extend(rows)
        return out

    def order(self, market: int) -> dict[str, int]:
        outcome, side, ticks = self.level()
        if self.rng.random() < 0.3:
            side = 1 - side
        ushares = self.size()
        self.seq += 1
        return {
            "market": market,
            "order_seq": self.seq,
            "outcome": outcome,
            "side": side if self.rng.random() < 0.3 else 0,
            "order_type": self.rng.choice((ev.GTC, ev.GTC, ev.GTD, ev.FOK, ev.FAK, ev.FAK)),
            "price_ticks": ticks,
            "ushares": ushares,
            "arrive_ns": self.now_ns + self.rng.choice((0, 1, 20)) * MS,
            "asked": self.rng.choice((0, ushares, ushares + 100)),
            "post_only": self.rng.random() < 0.3,
            "expires_ns": self.rng.choice((0, self.now_ns + 3_000 * MS)),
        }


def both(seed: int) -> tuple[SimExecution, SlowExecution]:
    rng = random.Random(seed ^ 0xC0FFEE)
    settings = {
        "cash_usd": rng.choice((20, 400)) * SHARE,
        "confirm_ns": rng.choice((0, 5_000)) * MS,
        "cancel_ns": rng.choice((0, 40)) * MS,
        "queue": seed % 2,
        "extra_ticks": rng.choice((0, 0, 0, 1)),
    }
    fast, slow = SimExecution(**settings), SlowExecution(**settings)
    for index in range(2):
        listed = replace(
            spec(),
            end_ns=END_NS - index * 60_000 * MS,
            taker_delay_ms=rng.choice((0, 150)),
            fees_enabled=rng.random() < 0.8,
            fee_exponent=rng.choice((1, 2)),
        )
        fast.add_market(index, listed)
        slow.add_market(index, listed)
    return fast, slow


def step(traffic: Traffic, fast: SimExecution, slow: SlowExecution, out: ev.EventBuffer) -> None:
    rng, market = traffic.rng, traffic.rng.randrange(2)
    traffic.now_ns += rng.choice((0, 1, 10, 30, 150, 1_100)) * MS
    if rng.random() < 0.1:
        traffic.mid = min(max(traffic.mid + rng.choice((-100, 100)), 1_000), 9_000)
    roll = rng.random()
    if roll < 0.3:
        order = traffic.order(market)
        fast.place(**order)
        slow.place(**order)
    elif roll < 0.4 and fast.open_orders():
        seq = rng.choice(fast.open_orders())
        assert fast.cancel(seq, traffic.now_ns + 10 * MS) == slow.cancel(seq, traffic.now_ns + 10 * MS)
    elif roll < 0.5:
        fast.advance(traffic.now_ns, out)
        slow.advance(traffic.now_ns)
    else:
        events = traffic.message(market)
        fast.process(events, out)
        slow.process(events.to_numpy())


def told(out: ev.EventBuffer) -> list[tuple[float, ...]]:
    return [tuple(row[name].item() for name in FIELDS) for row in out.to_numpy()]


@pytest.mark.parametrize("seed", range(60))
def test_random_traffic_gives_the_events_money_and_queues_of_the_reference(seed):
    traffic = Traffic(seed)
    fast, slow = both(seed)
    out = ev.EventBuffer()
    for _ in range(STEPS):
        step(traffic, fast, slow, out)
        assert told(out) == slow.out, f"seed {seed}"
        out.reset()
        slow.out.clear()
        assert (fast.cash_usd, fast.held_usd) == (slow.cash_usd, slow.held_usd)
        assert fast.open_orders() == slow.open_orders()
        for index, market in slow.markets.items():
            found = fast.market(index)
            assert (found.cost_usd, found.fees_usd, fast.position(index)) == (
                market.cost,
                market.fees,
                tuple(market.position),
            )
            assert fast.taken(index) == slow.taken(index)
        for seq, order in slow.orders.items():
            assert (fast.order(seq).filled, fast.order(seq).ahead) == (order.filled, order.ahead), (
                f"seed {seed}"
            )
    fast.advance(END_NS + 10_000 * MS, out)
    slow.advance(END_NS + 10_000 * MS)
    assert told(out) == slow.out
    assert fast.open_orders() == []
    assert fast.held_usd == 0


def test_random_traffic_reaches_every_kind_of_end():
    """The comparison above would say little if its orders all ended alike."""
    ends: dict[tuple[int, int], int] = {}
    maker_fills = taker_fills = self_hits = 0
    for seed in range(12):
        traffic = Traffic(seed)
        fast, slow = both(seed)
        out = ev.EventBuffer()
        for _ in range(STEPS):
            step(traffic, fast, slow, out)
        fast.advance(END_NS + 10_000 * MS, out)
        for row in out.to_numpy():
            if row["kind"] == ev.EV_ORDER_UPDATE:
                key = (int(row["i"]), int(row["x"]))
                ends[key] = ends.get(key, 0) + 1
            elif row["x"] == ev.TS_MATCHED:
                maker_fills += bool(row["flags"] & ev.F_MAKER)
                taker_fills += not row["flags"] & ev.F_MAKER
        self_hits += fast.counters()["self_hits"]
    wanted = {
        *((int(ev.OS_REJECTED), reason) for reason in (207, 208, 209, 213, 215)),
        *(
            (int(status), 0)
            for status in (ev.OS_LIVE, ev.OS_PARTIAL, ev.OS_FILLED, ev.OS_MATCHED, ev.OS_DELAYED)
        ),
        *((int(status), 0) for status in (ev.OS_EXPIRED, ev.OS_CANCELED)),
        (int(ev.OS_CANCELED), 214),
    }
    assert wanted <= set(ends)
    assert min(maker_fills, taker_fills) > 50
    assert self_hits > 5


@pytest.mark.parametrize("seed", range(4))
def test_nothing_depends_on_what_comes_later(seed):
    """Cut the data at any instant: what was told up to it is what the whole run told up to it."""

    def until(cut_ns: int | None) -> list[tuple[float, ...]]:
        traffic = Traffic(seed)
        fast, slow = both(seed)
        out = ev.EventBuffer()
        for _ in range(STEPS):
            step(traffic, fast, slow, out)
            if cut_ns is not None and traffic.now_ns > cut_ns:
                fast.advance(cut_ns, out)
                break
        return told(out)

    whole = until(None)
    instants = sorted({int(row[0]) for row in whole})
    assert len(instants) > 20
    for cut_ns in instants[5::20]:
        assert [row for row in until(cut_ns) if row[0] <= cut_ns] == [row for row in whole if row[0] <= cut_ns]
