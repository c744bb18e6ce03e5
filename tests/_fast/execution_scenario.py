"""A table for tests of the simulated execution: one market, messages in words, results as short tuples."""

from typing import Any

from scenario import make_spec

from polybot._fast import event as ev
from polybot._fast.execution import SimExecution
from polybot.market.spec import MarketSpec

__all__ = ["END_NS", "MS", "SHARE", "START_NS", "Table", "spec"]

MS = 1_000_000
SHARE = 1_000_000
START_NS = 1_795_337_100 * 10**9
END_NS = START_NS + 300 * 10**9


def spec(**changes: Any) -> MarketSpec:
    """A 5m market of the embedded venue: 0.01 grid, 5 shares, 7 % fee, 150 ms hold."""
    return make_spec(**{"start_ns": START_NS, "end_ns": END_NS, **changes})


class Table:
    """Drives one SimExecution; times are ms after the window's start."""

    def __init__(
        self, *, cash: float = 1_000.0, market: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self.sim = SimExecution(
            cash_usd=round(cash * SHARE), **{"confirm_ns": 5_000 * MS, "cancel_ns": 40 * MS, **settings}
        )
        self.sim.add_market(0, spec(**(market or {})))
        self.out = ev.EventBuffer()
        self._seq = 0

    def feed(self, at_ms: float, *records: dict[str, Any]) -> None:
        """One venue message: its records, the last one with F_END."""
        events = ev.EventBuffer()
        for record in records:
            last = record is records[-1]
            flags = record.get("flags", 0) | (ev.F_END if last else 0)
            events.add(**{"recv_ns": START_NS + round(at_ms * MS), "market": 0, **record, "flags": flags})
        self.sim.process(events, self.out)

    def book(
        self, at_ms: float, *, bids: dict[float, float], asks: dict[float, float], tick: int = 0
    ) -> None:
        """A full book of Up: price -> shares."""
        rows = [{"kind": ev.EV_BOOK_SNAPSHOT, "i": tick}]
        for side, levels in ((0, bids), (1, asks)):
            rows += [
                {"kind": ev.EV_BOOK_LEVEL, "side": side, "i": round(price * 1e4), "j": round(size * SHARE)}
                for price, size in levels.items()
            ]
        self.feed(at_ms, *rows)

    def level(self, at_ms: float, side: int, price: float, shares: float, *, outcome: int = 0) -> None:
        """A level's new size."""
        row = {"kind": ev.EV_BOOK_DELTA, "outcome": outcome, "side": side, "i": round(price * 1e4)}
        self.feed(at_ms, {**row, "j": round(shares * SHARE)})

    def trade(self, at_ms: float, side: int, price: float, shares: float, *, outcome: int = 0) -> None:
        """A public print in its taker's terms."""
        row = {"kind": ev.EV_PUBLIC_TRADE, "outcome": outcome, "side": side, "i": round(price * 1e4)}
        self.feed(at_ms, {**row, "j": round(shares * SHARE)})

    def place(self, at_ms: float, kind: int, side: int, price: float, shares: float, **more: Any) -> int:
        """An order that reaches the venue at at_ms; returns its order_seq."""
        self._seq += 1
        self.sim.place(
            0,
            order_seq=self._seq,
            side=side,
            order_type=kind,
            price_ticks=round(price * 1e4),
            ushares=round(shares * SHARE),
            arrive_ns=START_NS + round(at_ms * MS),
            **{"outcome": 0, **more},
        )
        return self._seq

    def cancel(self, at_ms: float, seq: int) -> bool:
        """A cancel that reaches the venue at at_ms."""
        return self.sim.cancel(seq, START_NS + round(at_ms * MS))

    def until(self, at_ms: float) -> list[tuple[Any, ...]]:
        """Carry out what is due; everything told since the last call: (ms, order, what, ...)."""
        self.sim.advance(START_NS + round(at_ms * MS), self.out)
        found = [_short(row) for row in self.out.to_numpy()]
        self.out.reset()
        return found

    def news(self, at_ms: float) -> list[tuple[Any, ...]]:
        """As until(), without the confirmations."""
        return [row for row in self.until(at_ms) if row[2] != "CONFIRMED"]


def _short(row: Any) -> tuple[Any, ...]:
    at_ms = (int(row["recv_ns"]) - START_NS) / MS
    seq = int(row["seq"])
    if row["kind"] == ev.EV_ORDER_UPDATE:
        name = ev.OrderStatus(int(row["i"])).name.removeprefix("OS_")
        reason = int(row["x"])
        matched = int(row["j"]) / SHARE if row["j"] >= 0 else None
        return (at_ms, seq, name, matched, reason) if reason else (at_ms, seq, name, matched)
    assert row["kind"] == ev.EV_FILL
    if row["x"] == ev.TS_CONFIRMED:
        return (at_ms, seq, "CONFIRMED", int(row["y"]))
    who = "maker" if row["flags"] & ev.F_MAKER else "taker"
    return (at_ms, seq, who, int(row["i"]) / 1e4, int(row["j"]) / SHARE)
