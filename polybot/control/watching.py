"""What `watch` adds to a status: every followed window in detail, figures, and the events since the watcher's cursor.

Owns the shape of that part (docs/OPERATIONS.md, Watch) and the bounds of one answer.  Runs in the event loop: looks
only, at bounded things; events and figures come encoded from the telemetry thread and are handed on as they are.
Money is micro-USD, sizes micro-shares, prices ticks of 0.0001, times venue ns or seconds.  Called by control.operator.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from polybot._fast.event import Side, StrikeSource
from polybot._fast.risk import Denial
from polybot._fast.state import MarketState
from polybot.control.why import describe_strategy
from polybot.market.spec import MarketSpec
from polybot.telemetry.recent import RecentEvents, Seen
from polybot.telemetry.records import REGIMES

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["Watched"]

NS = 1_000_000_000
OUTCOMES = ("Up", "Down")
HOUSES = ("", *OUTCOMES)
# Strikes the venue itself has told; it confirms the others only after the window (event `strike`, verified).
PUBLISHED = (StrikeSource.STRIKE_WEB_API, StrikeSource.STRIKE_GAMMA)
LEVELS = 10  # of each side of a book
MAX_MARKETS = 12  # windows in one answer
# Bytes of events in one answer: together with the rest well below what a client may leave unread.
MAX_EVENT_BYTES = 256 << 10
# In the last word: several answers' worth, since there is no next one.
LAST_EVENTS, LAST_BYTES = 2_000, 768 << 10


class Watched:
    """One running trader as a watcher sees it."""

    def __init__(self, trader: "Trader", recent: RecentEvents) -> None:
        self._trader = trader
        self._recent = recent

    def describe(self, since: int | None) -> dict[str, Any]:
        """Everything but what `status` and health say."""
        trader = self._trader
        settings = trader.config.control
        seen = self._recent.since(since, limit=settings.watch_events_count, limit_bytes=MAX_EVENT_BYTES)
        return {
            "speed": 1.0 / trader.clock.real_s(1.0),
            "markets": self._markets(),
            "counters": trader.tally.totals(),
            "latency": [],
            "telemetry": None,
            "totals": None,
            **_encoded(self._recent.figures),
            **_events(seen),
        }

    def last(self, since: int) -> dict[str, Any]:
        """The events of the last word."""
        return _events(self._recent.newest(since, limit=LAST_EVENTS, limit_bytes=LAST_BYTES))

    def _markets(self) -> list[dict[str, Any]]:
        """Followed windows that are not settled: those still to end first, then those waiting for their outcome."""
        now_ns = self._trader.clock.now_ns()
        known = [one for one in self._trader.engine.markets.values() if not one.settled]
        known.sort(key=lambda one: (one.observed, one.end_ns <= now_ns, one.start_ns))
        return [self._market(one, now_ns) for one in known[:MAX_MARKETS]]

    def _market(self, market: MarketState, now_ns: int) -> dict[str, Any]:
        spot = self._trader.engine.spot
        spec: MarketSpec = market.spec
        is_priced = market.priced
        stats = market.stats()
        return {
            "slug": spec.slug,
            "asset": spec.asset,
            "interval": spec.interval,
            "observed": market.observed,
            "start_ns": market.start_ns,
            "end_ns": market.end_ns,
            "left_s": round((market.end_ns - now_ns) / NS, 3),
            "strike": market.strike,
            "strike_source": _source(market.strike_source),
            "strike_verified": market.strike_source in PUBLISHED,
            "spot": market.spot,
            "spot_raw": spot.last,
            "basis": market.spot - spot.last,
            "sigma": spot.sigma,
            "z": market.z if is_priced else None,
            "fair_up": market.fair_up if is_priced else None,
            "fair_se": market.se_fair if is_priced else None,
            "regime": REGIMES[spot.regime.regime],
            "house": HOUSES[market.house + 1],
            "up": _quotes(market, 0),
            "down": _quotes(market, 1),
            "held": dict(zip(OUTCOMES, market.shares, strict=True)),
            "cost_usd": sum(market.cost_usd),
            "blocked": Denial(market.block_reason).name if market.block_reason else "",
            "strategies": [describe_strategy(market, stats, one) for one in self._trader.engine.strategies],
        }


def _quotes(market: MarketState, outcome: int) -> dict[str, Any]:
    """One outcome's best prices (-1: none) and its levels, best first."""
    book = market.book
    return {
        "bid_ticks": market.best_bid(outcome),
        "ask_ticks": market.best_ask(outcome),
        "bids": book.levels(outcome, Side.BUY, LEVELS),
        "asks": book.levels(outcome, Side.SELL, LEVELS),
    }


def _source(code: int) -> str:
    return StrikeSource(code).name.removeprefix("STRIKE_") if code else ""


def _encoded(figures: Mapping[str, bytes]) -> dict[str, orjson.Fragment]:
    return {name: orjson.Fragment(text) for name, text in figures.items()}


def _events(seen: Seen) -> dict[str, Any]:
    return {
        "events": [orjson.Fragment(event) for event in seen.events],
        "events_next": seen.next,
        "events_missed": seen.missed,
    }
