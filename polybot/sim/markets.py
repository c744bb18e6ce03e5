"""Markets of the embedded venue: their books in Up terms, who rests there, and who is told of changes.

Owns the mirrored matching book of each market and the coalescing of its changes: everything that
happens at one instant of venue time reaches the watchers as one flush.  Must not move money.
Called by exchange; watched by the market channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from polybot._fast.matching import MatchBook
from polybot.market.spec import MarketSpec
from polybot.sim.scheduler import Scheduler

if TYPE_CHECKING:
    from polybot.sim.orders import Order

__all__ = ["BUY", "DOWN", "ONE", "SELL", "UP", "BookWatcher", "MarketState", "Markets", "Print", "mirror"]

UP, DOWN = 0, 1
BUY, SELL = 0, 1
ONE = 10_000  # price 1.0 in ticks


def mirror(outcome: int, side: int, price_ticks: int) -> tuple[int, int]:
    """(side, price) of the same order in terms of the other outcome when outcome is DOWN, as is when UP."""
    return (side, price_ticks) if outcome == UP else (1 - side, ONE - price_ticks)


@dataclass(frozen=True, slots=True)
class Print:
    """One public trade, in the taker's own terms."""

    outcome: int
    side: int
    price_ticks: int
    ushares: int
    transaction_hash: str


@dataclass(slots=True, eq=False, repr=False)
class MarketState:
    """One market: what was listed, its book, and what changed since the last flush."""

    spec: MarketSpec
    number: int
    tick_ticks: int
    created_ns: int
    book: MatchBook = field(default_factory=MatchBook)
    is_open: bool = True
    winner: int | None = None
    collateral: int = 0  # micro-USD locked behind minted pairs
    resting: dict[int, "Order"] = field(default_factory=dict)  # handle -> order, ladder quotes excepted
    held: dict[str, "Order"] = field(default_factory=dict)  # taker orders waiting out the delay
    version: int = 0  # of the book, counts flushes that changed it
    last_price: int | None = None  # Up ticks
    prints: list[Print] = field(default_factory=list)
    flush_due: bool = False

    @property
    def condition_id(self) -> str:
        return self.spec.condition_id

    @property
    def tokens(self) -> tuple[str, str]:
        """(Up, Down) token ids."""
        return self.spec.token_up, self.spec.token_down

    def best(self, outcome: int = UP) -> tuple[int, int]:
        """(bid, ask) ticks of an outcome, -1 where empty."""
        bid, ask = self.book.best_bid(), self.book.best_ask()
        if outcome == UP:
            return bid, ask
        return (ONE - ask if ask >= 0 else -1), (ONE - bid if bid >= 0 else -1)

    def levels(self, outcome: int, side: int) -> list[tuple[int, int]]:
        """(price_ticks, micro-shares) of one outcome's bids or asks, best first."""
        if outcome == UP:
            return self.book.levels(side)
        return [(ONE - price, ushares) for price, ushares in self.book.levels(1 - side)]


class BookWatcher(Protocol):
    """Who is told about public market data."""

    def wants(self, market: MarketState) -> bool:
        """Whether anybody listens to this market: otherwise no text is built."""
        ...

    def on_new_market(self, market: MarketState, now_ns: int) -> None:
        """A market accepts orders from now on."""
        ...

    def on_book(self, market: MarketState, changes: Sequence[tuple[int, int, int]], now_ns: int) -> None:
        """What changed at this instant: (side, Up price, micro-shares); trades are in market.prints."""
        ...

    def on_tick_size(self, market: MarketState, old_ticks: int, now_ns: int) -> None:
        """The price grid changed."""
        ...

    def on_resolved(self, market: MarketState, now_ns: int) -> None:
        """The outcome is known."""
        ...


class Markets:
    """All markets by condition_id, slug and token_id."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._by_id: dict[str, MarketState] = {}
        self._by_slug: dict[str, MarketState] = {}
        self._by_token: dict[str, tuple[MarketState, int]] = {}
        self._listed = 0
        self.watchers: list[BookWatcher] = []

    def all(self) -> list[MarketState]:
        """Every market not yet forgotten, oldest first."""
        return list(self._by_id.values())

    def add(self, spec: MarketSpec, now_ns: int) -> MarketState:
        """List a market; raises ValueError when it is already there."""
        if spec.condition_id in self._by_id:
            raise ValueError(f"market exists: {spec.slug}")
        self._listed += 1
        market = MarketState(spec, self._listed, spec.tick_size_ticks, now_ns)
        self._by_id[spec.condition_id] = self._by_slug[spec.slug] = market
        self._by_token[spec.token_up] = (market, UP)
        self._by_token[spec.token_down] = (market, DOWN)
        return market

    def drop(self, market: MarketState) -> None:
        """Forget a market."""
        del self._by_id[market.condition_id], self._by_slug[market.spec.slug]
        for token in market.tokens:
            del self._by_token[token]

    def find(self, name: str) -> MarketState | None:
        """A market by condition_id or slug."""
        return self._by_id.get(name) or self._by_slug.get(name)

    def get(self, name: str) -> MarketState:
        """A market by condition_id or slug; raises KeyError."""
        market = self.find(name)
        if market is None:
            raise KeyError(name)
        return market

    def by_token(self, token_id: str) -> tuple[MarketState, int] | None:
        """(market, outcome) of a token_id."""
        return self._by_token.get(token_id)

    def touch(self, market: MarketState) -> None:
        """The book may have changed: flush once, after everything else due at this instant."""
        if not market.flush_due:
            market.flush_due = True
            self._scheduler.at(self._scheduler.now_ns, lambda: self._flush(market))

    def _flush(self, market: MarketState) -> None:
        market.flush_due = False
        listeners = [watcher for watcher in self.watchers if watcher.wants(market)]
        if listeners:
            changes = market.book.drain_changes()
            if not changes and not market.prints:
                return
            market.version += 1
            for watcher in listeners:
                watcher.on_book(market, changes, self._scheduler.now_ns)
        else:
            market.version += 1
            market.book.forget_changes()
        market.prints.clear()
