"""What the operator and telemetry hear regularly: changes at each heartbeat, freshness, ages of the feeds.

Owns what was told last, so that a change is said once.  Reads the engine and changes nothing in it but the list
of alerts, which it empties.  Must not decide.  Called by polybot.trader: its heartbeat and its second.
"""

from collections.abc import Callable

from polybot._fast.cross_timeframe import CrossTimeframe
from polybot._fast.engine import Engine
from polybot.feeds.tally import FeedTally
from polybot.telemetry.inbox import TelemetryInbox

__all__ = ["Teller"]

NS = 1_000_000_000
HALT_NAMES = ("manual", "daily loss", "weekly loss")


class Teller:
    """One engine's news; `notice(level, text)` reaches the operator."""

    def __init__(
        self, engine: Engine, inbox: TelemetryInbox, tally: FeedTally, *, notice: Callable[[str, str], None]
    ) -> None:
        self._engine = engine
        self._inbox = inbox
        self._tally = tally
        self._notice = notice
        self._halts = (False, False, False)
        self._fresh_second: dict[int, int] = {}  # the last second told fresh, by market

    def changes(self) -> None:
        """Alerts, what strategies noted, halts set and lifted."""
        while self._engine.alerts:
            self._notice("ERROR", self._engine.alerts.pop(0))
        for strategy in self._engine.strategies:
            for text in strategy.take_notes() if isinstance(strategy, CrossTimeframe) else ():
                self._notice("WARNING", text)
        risk = self._engine.risk
        halts = (risk.halted_manual, risk.halted_daily, risk.halted_weekly)
        for before, after, name in zip(self._halts, halts, HALT_NAMES, strict=True):
            if before != after:
                self._notice("WARNING", f"{name} halt {'set' if after else 'lifted'}")
        self._halts = halts

    def freshness(self, now_ns: int) -> None:
        """Tell each live market's freshness and numbers until its second is told fresh: once a second as a rule."""
        spot, risk = self._engine.spot, self._engine.risk
        second = now_ns // NS
        for index, market in self._engine.markets.items():
            if market.observed or not market.start_ns <= now_ns < market.end_ns:
                continue
            if self._fresh_second.get(index) == second:
                continue
            spot_fresh = now_ns - spot.data_ns <= risk.spot_max_age_ns
            book_fresh = market.book.has_snapshot and now_ns - market.book_ns <= risk.stale_feed_ns
            if spot_fresh and book_fresh:
                self._fresh_second[index] = second
            self._inbox.second(
                index,
                now_ns=now_ns,
                spot_fresh=spot_fresh,
                book_fresh=book_fresh,
                spot=market.spot,
                fair=market.fair_up if market.priced else float("nan"),
                bid_ticks=market.best_bid(0),
                ask_ticks=market.best_ask(0),
            )

    def feeds(self, now_ns: int) -> None:
        """Once a venue second: feed ages, and what the feeds had to refuse."""
        spot = self._engine.spot
        ages = {"spot": (now_ns - spot.data_ns) / NS, "oracle": (now_ns - spot.oracle_ns) / NS}
        for index, market in self._engine.markets.items():
            if market.start_ns <= now_ns < market.end_ns and not market.observed:
                ages[f"book {index}"] = (now_ns - market.book_ns) / NS
        self._inbox.feed_ages(ages)
        for line in self._tally.news(now_ns):
            self._notice("WARNING", line)

    def forget(self, index: int) -> None:
        """A market is gone."""
        self._fresh_second.pop(index, None)
