"""What the feeds took, refused and lost, in words: faults as they come, totals at the end.

Owns the list of feeds with counters, which of their counters are faults, and how often one may be told
again.  A fault is told at once when it is new, then at most once in AGAIN_NS with all that came since.
A feed that lives for one market is removed with it; its counts stay in the totals.
Must not know events, markets or consoles.  Called once a second by the trader, which prints the lines.
"""

from collections import Counter
from collections.abc import Callable, Mapping

__all__ = ["FAULTS", "FeedTally"]

Counters = Callable[[], Mapping[str, int]]

AGAIN_NS = 60_000_000_000
# Counters that say something went wrong: on the wire, at the other end, or between its messages and ours.
FAULTS = frozenset(
    {
        "closed_after_login",
        "control_errors",
        "dropped",
        "errors",
        "gaps",
        "malformed",
        "malformed_texts",
        "market_mismatch",
        "missing_trades",
        "no_first_book",
        "off_grid",
        "overlaps",
        "pong_timeouts",
        "resync_requests",
        "silences",
        "slow_malformed",
        "slow_refused",
        "tick_refetch_requests",
        "unknown_token",
        "value_mismatch",
        "warm_errors",
        "wrong_symbol",
        "wrong_window",
    }
)
# The oracle is asked for all symbols, so others than ours are what it should send.
_EXPECTED = frozenset({("oracle", "wrong_symbol")})


class FeedTally:
    """Counters of all feeds by feed name; feeds of one name are added up."""

    def __init__(self) -> None:
        self._live: dict[str, list[Counters]] = {}
        self._gone: dict[str, Counter[str]] = {}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}  # (feed, fault) -> (count, when)

    def add(self, feed: str, counters: Counters) -> None:
        """Include one more feed; `counters` are its running totals."""
        self._live.setdefault(feed, []).append(counters)
        self._gone.setdefault(feed, Counter())

    def remove(self, feed: str, counters: Counters) -> None:
        """A feed that was added is done; what it counted is kept."""
        self._live[feed].remove(counters)
        self._gone[feed].update(counters())

    def totals(self) -> dict[str, dict[str, int]]:
        """Everything counted so far, by feed, zeros included."""
        return {feed: dict(self._sum(feed)) for feed in self._live}

    def news(self, now_ns: int) -> list[str]:
        """One line per feed with faults not told yet, e.g. `feed spot: gaps=1 malformed=3`."""
        lines = []
        for feed in self._live:
            grown = [
                f"{name}={count}"
                for name, count in sorted(self._sum(feed).items())
                if name in FAULTS
                and (feed, name) not in _EXPECTED
                and self._is_news(feed, name, count, now_ns)
            ]
            if grown:
                lines.append(f"feed {feed}: {' '.join(grown)}")
        return lines

    def lines(self) -> list[str]:
        """One line per feed with all its counts that are not zero."""
        return [
            f"feed {feed} in all: "
            + (" ".join(f"{name}={count}" for name, count in counts.items() if count) or "nothing")
            for feed, counts in self.totals().items()
        ]

    def _sum(self, feed: str) -> Counter[str]:
        total = Counter(self._gone[feed])
        for counters in self._live[feed]:
            total.update(counters())
        return total

    def _is_news(self, feed: str, name: str, count: int, now_ns: int) -> bool:
        """Take note of a count; True when it is to be told now."""
        told, when_ns = self._told.get((feed, name), (0, now_ns - AGAIN_NS))
        if count <= told or now_ns - when_ns < AGAIN_NS:
            return False
        self._told[feed, name] = (count, now_ns)
        return True
