"""The pump in plain Python: engine.process, SimExecution.process and advance, heartbeats, message by message."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from polybot._fast import event as ev
from polybot._fast.engine import Engine
from polybot._fast.event import COMMAND_DTYPE, QUOTE_DTYPE, CommandBuffer, EventBuffer
from polybot._fast.execution import SimExecution

__all__ = ["SlowPump", "messages"]

NEVER = 1 << 62
BOOK_KINDS = (ev.EV_BOOK_SNAPSHOT, ev.EV_BOOK_LEVEL, ev.EV_BOOK_DELTA, ev.EV_PUBLIC_QUOTE, ev.EV_TICK_SIZE)


def messages(events: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Runs up to F_END within one receipt; what is no venue's data stands alone."""
    first = 0
    for k, row in enumerate(events):
        alone = row["kind"] > ev.EV_RESOLVED
        ends = alone or row["flags"] & ev.F_END or k + 1 == len(events)
        if not ends:
            after = events[k + 1]
            ends = after["recv_ns"] != row["recv_ns"] or after["kind"] > ev.EV_RESOLVED
        if ends:
            yield events[first : k + 1]
            first = k + 1


class SlowPump:
    """Same interface as polybot._fast.pump.Pump, as far as tests use it."""

    def __init__(
        self,
        engine: Engine,
        venue: SimExecution,
        *,
        on_actions: Callable[[CommandBuffer, int], None],
        on_told: Callable[[EventBuffer], None] | None = None,
        on_tick_size: Callable[[int, int], None] | None = None,
        timer_ns: int = 100_000_000,
        balance_ns: int = 0,
        keep: int = 0,
        note_quotes: bool = False,
    ) -> None:
        self.engine, self.venue = engine, venue
        self.on_actions, self.on_told, self.on_tick_size = on_actions, on_told, on_tick_size
        self.timer_ns, self.balance_ns = timer_ns, balance_ns
        self.next_timer, self.next_balance = NEVER, 0
        self.keep, self.note_quotes = keep, note_quotes
        self.waiting: list[np.ndarray[Any, Any]] = []
        self.busy = False
        self.now_ns = self.messages = 0
        self.kept: list[np.ndarray[Any, Any]] = []
        self.quotes: list[tuple[int, int, int, int]] = []
        self.best: dict[int, tuple[int, int]] = {}
        self.ticks: dict[int, int] = {}

    def run(self, events: np.ndarray[Any, Any], *, market: int = -1) -> int:
        before = self.messages
        if market >= 0:
            events = events.copy()
            events["market"][events["market"] != ev.NO_MARKET] = market
        for message in messages(events):
            self.messages += bool(message["kind"][0] <= ev.EV_RESOLVED)
            self.take(message)
        return self.messages - before

    def tell(self, buffer: EventBuffer) -> None:
        if self.busy:
            self.waiting.append(buffer.to_numpy().copy())
        else:
            self.take(buffer.to_numpy().copy())

    def advance(self, now_ns: int) -> None:
        self.until(now_ns)
        self.now_ns = max(self.now_ns, now_ns)

    def take_commands(self) -> np.ndarray[Any, Any]:
        found = np.concatenate([np.empty(0, COMMAND_DTYPE), *self.kept])
        self.kept = []
        return found

    def take_quotes(self) -> np.ndarray[Any, Any]:
        found = np.array(self.quotes, QUOTE_DTYPE)
        self.quotes = []
        return found

    def forget_market(self, index: int) -> None:
        self.best.pop(index, None)
        self.ticks.pop(index, None)

    def take(self, message: np.ndarray[Any, Any]) -> None:
        at_ns = int(message["recv_ns"][0])
        self.until(at_ns - 1)
        if at_ns > self.now_ns:
            self.now_ns = at_ns
            if self.timer_ns and self.next_timer == NEVER:
                self.next_timer = (at_ns // self.timer_ns + 1) * self.timer_ns
        out = EventBuffer()
        self.venue.process(_buffer(message), out)
        self.answer(out)
        self.step(message)
        if message["kind"][0] in BOOK_KINDS:
            self.note(message)

    def until(self, last_ns: int) -> None:
        while min(due := self.venue.next_due_ns() or NEVER, self.next_timer) <= last_ns:
            if due <= self.next_timer:
                out = EventBuffer()
                self.venue.advance(due, out)
                self.now_ns = max(self.now_ns, due)
                self.answer(out)
            else:
                self.beat(self.next_timer)

    def beat(self, at_ns: int) -> None:
        self.next_timer = at_ns + self.timer_ns
        self.now_ns = max(self.now_ns, at_ns)
        if self.balance_ns and at_ns >= self.next_balance:
            self.next_balance = (at_ns // self.balance_ns + 1) * self.balance_ns
            self.step(_single(ev.EV_BALANCE, at_ns, j=self.venue.cash_usd))
        self.step(_single(ev.EV_TIMER, at_ns))

    def answer(self, out: EventBuffer) -> None:
        if not len(out):
            return
        if self.on_told is not None:
            self.on_told(out)
        self.step(out.to_numpy().copy())

    def step(self, batch: np.ndarray[Any, Any]) -> None:
        self.busy = True
        self.through(batch)
        while self.waiting:
            told, self.waiting = self.waiting, []
            self.through(np.concatenate(told))
        self.busy = False

    def through(self, batch: np.ndarray[Any, Any]) -> None:
        commands = self.engine.process(_buffer(batch))
        rows = commands.to_numpy()
        wanted = [bool(self.keep >> int(kind) & 1) for kind in rows["kind"]]
        self.kept.append(rows[wanted].copy())
        if commands.actions() & 1:
            self.on_actions(commands, max(self.now_ns, int(batch["recv_ns"][0])))

    def note(self, message: np.ndarray[Any, Any]) -> None:
        for index in dict.fromkeys(message["market"].tolist()):
            market = self.engine.markets.get(index)
            if market is None:
                continue
            tick = market.book.tick_size
            if self.on_tick_size is not None and tick > 0 and tick != self.ticks.get(index, 0):
                self.ticks[index] = tick
                self.on_tick_size(index, tick)
            best = (max(0, market.best_bid(0)), max(0, market.best_ask(0)))
            if self.note_quotes and best != self.best.get(index):
                self.best[index] = best
                self.quotes.append((int(message["recv_ns"][0]), index, *best))


def _buffer(rows: np.ndarray[Any, Any]) -> EventBuffer:
    out = EventBuffer(max(1, len(rows)))
    out.extend(rows)
    return out


def _single(kind: int, at_ns: int, **fields: int) -> np.ndarray[Any, Any]:
    out = EventBuffer(1)
    out.add(kind, recv_ns=at_ns, **fields)
    return out.to_numpy().copy()
