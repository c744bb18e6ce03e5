"""Random histories of money records, seeded: markets, intents, updates, fills, outcomes, drops, and what must not be.

Most of it is what a venue does, some of it is hostile: unknown orders, prices off the grid, statuses that do not
exist, outcomes told twice.  Nothing here knows how records are folded.
"""

import itertools
from pathlib import Path
from random import Random
from typing import Any

from scenario import make_spec

from polybot._fast.event import EventBuffer, EventKind
from polybot.journal.journal import Journal
from polybot.journal.records import (
    HaltKind,
    Intent,
    Latch,
    Loss,
    MarketDrop,
    MarketOpen,
    MoneyEvent,
    Note,
    Record,
    TradeSeen,
)
from polybot.journal.writer import JournalSettings

NS = 1_000_000_000
START_NS = 1_795_337_000 * NS
SHARE = 1_000_000
ACCOUNT = "0x" + "a1" * 20
SMALL = JournalSettings(
    preallocate_bytes=1 << 16, reserve_bytes=1 << 12, sync_every_s=0.005, stop_wait_s=60.0
)
STRATEGIES = ("latency_arb", "certainty_capture", "lp_extreme")


class HandClock:
    """A clock that is set by hand and moves a little with every look."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        self.ns += 1_000
        return self.ns

    def mono_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * NS)

    def real_s(self, seconds: float) -> float:
        return seconds


def open_journal(state_dir: Path, clock: Any = None, **more: Any) -> Journal:
    """A journal with small limits."""
    given: dict[str, Any] = {
        "account": ACCOUNT,
        "venue_session": "test",
        "config_digest": "c0ffee",
        "software": "0",
        "settings": SMALL,
    }
    return Journal.open(state_dir, clock or HandClock(), **{**given, **more})


def event(kind: int, **fields: Any) -> bytes:
    """The 64 bytes of one event."""
    buffer = EventBuffer(1)
    buffer.add(kind, **fields)
    return buffer.to_bytes()


def intent(order_seq: int = 1_000, market: int = 0, **changes: Any) -> Intent:
    """An order to buy 10 Up at 0.50."""
    values: dict[str, Any] = {
        "order_seq": order_seq,
        "market": market,
        "strategy": STRATEGIES[0],
        "strategy_index": 0,
        "outcome": 0,
        "side": 0,
        "order_type": 3,
        "post_only": False,
        "price_ticks": 5_000,
        "asked_ushares": 10 * SHARE,
        "signed_ushares": 10 * SHARE,
        "maker_amount": 5 * SHARE,
        "taker_amount": 10 * SHARE,
        "salt": 7,
        "order_id": f"0x{order_seq:064x}",
        "token_id": "123",
        "expiration_s": 0,
        "expires_ns": 0,
        "cancel_edge": -1.0,
        "dispatched_ns": START_NS,
        "body": b'{"owner":"\x00","order":{"salt":7}}',
    }
    values.update(changes)
    return Intent(**values)


def fill(order_seq: int, key: int, *, status: int = 1, **more: Any) -> bytes:
    """A fill of 4 shares at 0.50."""
    given = {"recv_ns": START_NS, "i": 5_000, "j": 4 * SHARE}
    return event(EventKind.EV_FILL, seq=order_seq, x=float(status), y=float(key), **{**given, **more})


class History:
    """Makes records one after another."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.ns = START_NS
        self.live: dict[int, dict[str, Any]] = {}
        self.orders: dict[int, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._index = itertools.count()
        self._seqs = itertools.count(1_000)

    def records(self, count: int) -> list[Record]:
        """`count` records, a market first."""
        made: list[Record] = [self._open()]
        while len(made) < count:
            made += self._next()
        return made[:count]

    def _next(self) -> list[Record]:
        self.ns += self.rng.randrange(2 * 3_600 * NS if self.rng.random() < 0.05 else NS)
        kinds = (
            (self._open_record, 4), (self._intent, 20), (self._update, 25), (self._fill, 30), (self._market, 10),
            (self._drop, 4), (self._other, 5), (self._hostile, 6),
        )  # fmt: skip
        (make,) = self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        return make()

    def _open_record(self) -> list[Record]:
        return [self._open()] if len(self.live) < 4 else []

    def _open(self) -> Record:
        index, base = next(self._index), 0
        fee = self.rng.choice([None, 0, 70_000])
        spec = make_spec(
            slug=f"market-{index}",
            condition_id=f"0x{index:064x}",
            fee_rate_ppm=fee,
            fees_enabled=self.rng.random() < 0.8,
        )
        self.live[index] = {"outcome": -1}
        return MarketOpen(index, base, self.rng.random() < 0.1, spec)

    def _intent(self) -> list[Record]:
        seq, market = next(self._seqs), self.rng.choice([*self.live, 999] if self.live else [999])
        shares = self.rng.randrange(500, 5_000) * 10_000
        self.orders[seq] = {"market": market, "shares": shares, "keys": {}}
        return [
            intent(
                seq,
                market,
                strategy=self.rng.choice(STRATEGIES),
                outcome=self.rng.randrange(2),
                side=int(self.rng.random() < 0.2),
                asked_ushares=shares,
                signed_ushares=shares - self.rng.choice([0, 0, 10_000]),
                price_ticks=self.rng.randrange(1, 100) * 100,
                cancel_edge=self.rng.uniform(-1, 1),
                body=bytes(self.rng.choices(range(32, 126), k=self.rng.randrange(300))) + b"\x00",
            )
        ]

    def _seq(self) -> int:
        return self.rng.choice([*list(self.orders)[-12:], 5])

    def _update(self) -> list[Record]:
        seq = self._seq()
        shares = self.orders.get(seq, {"shares": 10})["shares"]
        return [
            MoneyEvent(
                event(
                    EventKind.EV_ORDER_UPDATE,
                    recv_ns=self.ns,
                    seq=seq,
                    i=self.rng.randrange(1, 12),
                    j=self.rng.choice([-1, 0, shares // 3, shares]),
                )
            )
        ]

    def _fill(self) -> list[Record]:
        seq = self._seq()
        order = self.orders.get(seq)
        if order is None:
            return [MoneyEvent(fill(seq, 3))]
        made: list[Record] = []
        if order["keys"] and self.rng.random() < 0.6:
            key = self.rng.choice(list(order["keys"]))
        else:
            key = self.rng.getrandbits(52)
            order["keys"][key] = (self.rng.randrange(1, 9_999), self.rng.randrange(1, order["shares"]))
            made.append(TradeSeen(key, f"trade-{key}", f"0x{seq:064x}", 0))
        price, shares = order["keys"][key]
        status = self.rng.choice([1, 1, 2, 3, 4, 4, 5])
        flags = 8 if self.rng.random() < 0.3 else 0
        raw = fill(seq, key, status=status, i=price, j=shares, flags=flags, recv_ns=self.ns)
        return [*made, *[MoneyEvent(raw)] * self.rng.choice([1, 1, 1, 2])]

    def _market(self) -> list[Record]:
        index = self.rng.choice([*self.live, 998] if self.live else [998])
        kind = self.rng.choice([EventKind.EV_STRIKE, EventKind.EV_MARKET_CLOSE, EventKind.EV_OUTCOME])
        return [
            MoneyEvent(
                event(
                    kind,
                    recv_ns=self.ns,
                    market=index,
                    outcome=self.rng.choice([0, 1, 1, 7]),
                    x=self.rng.choice([0.0, 1e5]),
                    i=2,
                )
            )
        ]

    def _drop(self) -> list[Record]:
        if len(self.live) < 2:
            return []
        index = self.rng.choice(list(self.live))
        outcome = event(EventKind.EV_OUTCOME, recv_ns=self.ns, market=index, outcome=self.rng.randrange(2))
        del self.live[index]
        settle = [MoneyEvent(outcome)] if self.rng.random() < 0.9 else []
        return [*settle, MarketDrop(index)]

    def _other(self) -> list[Record]:
        number = next(self._numbers)
        day = self.ns // (86_400 * NS)
        return [
            self.rng.choice(
                [
                    Note(f"note {number}"),
                    Loss(day, (day + 3) // 7, -number, -number, 5),
                    Latch(self.rng.choice(list(HaltKind)), self.rng.random() < 0.5, f"why {number}", "test"),
                    MoneyEvent(event(EventKind.EV_BALANCE, recv_ns=self.ns, j=number)),
                    MoneyEvent(event(EventKind.EV_OPERATOR, recv_ns=self.ns, i=1)),
                ]
            )
        ]

    def _hostile(self) -> list[Record]:
        seq = self._seq()
        nan, inf = float("nan"), float("inf")
        return [
            self.rng.choice(
                [
                    MoneyEvent(fill(seq, 1, i=0)),
                    MoneyEvent(fill(seq, 1, i=10_000)),
                    MoneyEvent(fill(seq, 1, j=-5)),
                    MoneyEvent(fill(seq, 1, j=1 << 62)),
                    MoneyEvent(event(EventKind.EV_FILL, seq=seq, i=5_000, j=SHARE, x=nan, y=1.0)),
                    MoneyEvent(event(EventKind.EV_FILL, seq=seq, i=5_000, j=SHARE, x=1.0, y=inf)),
                    MoneyEvent(event(EventKind.EV_FILL, seq=seq, i=5_000, j=SHARE, x=1.0, y=0.5)),
                    MoneyEvent(event(EventKind.EV_ORDER_UPDATE, seq=seq, i=-3)),
                    MoneyEvent(event(EventKind.EV_ORDER_UPDATE, seq=seq, i=99, j=1 << 60)),
                    TradeSeen(77, "stranger", "0x" + "ee" * 32, 3),
                    MarketDrop(64_000),
                    MarketOpen(next(iter(self.live)), 0, False, make_spec()),
                ]
            )
        ]
