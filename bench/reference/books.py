"""One market's order book in plain dicts, in terms of Up, and how long each of the best asks has been there.

Up and Down share one book: a bid for Down at p is an ask for Up at 1 - p.  Prices in ticks of 1e-4, sizes in
micro-shares.  Best prices are looked for once per message.  Must not judge.  Called by `engine` and `strategies`.
"""

import math

__all__ = ["DOWN", "UP", "Book"]

TOP = 10_000
UP, DOWN = 0, 1
FOLLOWED = 6  # best asks of an outcome whose age is followed; one that comes up from below counts as set then

Age = tuple[int, float]  # venue ns of the message that set it, last spot when that message came


class Book:
    """Depth of one market."""

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.is_known = False
        self.best = (-1, -1)  # bid and ask of Up, -1: none
        self.prices_changed = False
        self.ages: tuple[dict[int, Age], dict[int, Age]] = ({}, {})

    def replace(self, tick: int, bids: dict[int, int], asks: dict[int, int]) -> None:
        """A snapshot is the whole book."""
        self.bids = {ticks: size for ticks, size in bids.items() if size}
        self.asks = {ticks: size for ticks, size in asks.items() if size}
        self.tick = tick or self.tick
        self.is_known = self.prices_changed = True

    def change(self, changes: list[tuple[bool, int, int]]) -> None:
        """Absolute sizes of some prices; 0 removes.  Before the first snapshot they mean nothing."""
        if not self.is_known:
            return
        for is_bid, ticks, size in changes:
            levels = self.bids if is_bid else self.asks
            if (ticks in levels) != (size > 0):
                self.prices_changed = True
            if size:
                levels[ticks] = size
            else:
                levels.pop(ticks, None)

    def end_message(self, stamp_ns: int, spot: float) -> None:
        """Find the best prices anew and note which of the best asks are new."""
        if not self.prices_changed:
            return
        self.prices_changed = False
        self.best = (max(self.bids, default=-1), min(self.asks, default=-1))
        new = (stamp_ns, spot)
        best_up = sorted(self.asks)[:FOLLOWED]
        best_down = [TOP - ticks for ticks in sorted(self.bids, reverse=True)[:FOLLOWED]]
        self.ages = (
            {ticks: self.ages[UP].get(ticks, new) for ticks in best_up},
            {ticks: self.ages[DOWN].get(ticks, new) for ticks in best_down},
        )

    @property
    def is_crossed(self) -> bool:
        bid, ask = self.best
        return bid >= 0 and ask >= 0 and bid > ask

    def best_bid(self, outcome: int) -> int:
        """Best bid in the outcome's ticks, -1 when there is none."""
        if outcome == UP:
            return self.best[0]
        return TOP - self.best[1] if self.best[1] >= 0 else -1

    def best_ask(self, outcome: int) -> int:
        """Best ask in the outcome's ticks, -1 when there is none."""
        if outcome == UP:
            return self.best[1]
        return TOP - self.best[0] if self.best[0] >= 0 else -1

    def asks_of(self, outcome: int) -> list[tuple[int, int]]:
        """(ticks, micro-shares) of everything offered, best first."""
        if outcome == UP:
            return sorted(self.asks.items())
        return sorted((TOP - ticks, size) for ticks, size in self.bids.items())

    def mid(self) -> float:
        """Mid of Up in USD; NaN unless there are two sides."""
        bid, ask = self.best
        return (bid + ask) * 0.5e-4 if bid >= 0 and ask >= 0 else math.nan

    def age_of_best_ask(self, outcome: int) -> Age | None:
        return self.ages[outcome].get(self.best_ask(outcome))
