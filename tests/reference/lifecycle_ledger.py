"""What a market's matches come to, in plain integers: nothing is taken from polybot.

A match of n micro-shares at a price of t / 10,000 USD; money in micro-USD.  A pair of Up and Down is one dollar of
collateral, so of a half micro-USD Up pays more and Down less.  A taker pays 0.07 n p (1 - p), on a grid of ten
micro-USD: half up, and nothing below one step.
"""

from dataclasses import dataclass

ONE = 10_000
UP = 0
RATE_PERCENT = 7


def notional(outcome: int, shares: int, ticks: int) -> int:
    """Price times size: a half goes up for Up, down for Down."""
    whole, rest = divmod(shares * ticks, ONE)
    return whole + (2 * rest >= ONE if outcome == UP else 2 * rest > ONE)


def taker_fee(shares: int, ticks: int) -> int:
    """Fee of a taker's match."""
    step = 10 * 100 * ONE * ONE
    whole, rest = divmod(RATE_PERCENT * shares * ticks * (ONE - ticks), step)
    return 10 * (whole + (2 * rest >= step)) if whole else 0


@dataclass(slots=True)
class Book:
    """One strategy in one market."""

    shares: list[int]
    cost: int = 0
    fees: int = 0

    def result(self, winner: int) -> int:
        """Payout less cost."""
        return self.shares[winner] - self.cost


class Ledger:
    """Sums per strategy of every match that stands."""

    def __init__(self, strategies: int) -> None:
        self.books = [Book([0, 0]) for _ in range(strategies)]

    def book(self, strategy: int, outcome: int, shares: int, ticks: int, *, sale: bool, taker: bool) -> None:
        """One match that is final."""
        book = self.books[strategy]
        fee = taker_fee(shares, ticks) if taker else 0
        money = notional(outcome, shares, ticks)
        book.shares[outcome] += -shares if sale else shares
        book.cost += fee - money if sale else fee + money
        book.fees += fee
