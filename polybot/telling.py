"""What the operator and telemetry hear regularly: changes at each heartbeat, freshness, feeds lost and back.

Owns what was told last, so that a change is said once; a window's counts come every ten seconds.  Reads the engine
and changes nothing in it but the list of alerts, which it empties.  Must not decide.  Called by polybot.trader: its
heartbeat and its second.
"""

from polybot._fast.cross_timeframe import CrossTimeframe
from polybot._fast.engine import Engine
from polybot.control.health import followed_markets, needed_stamps
from polybot.control.why import window_counts
from polybot.feeds.tally import FeedTally
from polybot.telemetry.inbox import Notify, TelemetryInbox

__all__ = ["Teller"]

NS = 1_000_000_000
COUNTS_S = 10  # venue seconds between two looks at a window's counts: what a killed process leaves is as old at most
HALT_NAMES = {"manual": "manual", "daily": "daily loss", "weekly": "weekly loss"}


class Teller:
    """One engine's news; `notice(level, text)` reaches the operator."""

    def __init__(
        self, engine: Engine, inbox: TelemetryInbox, tally: FeedTally, *, notice: Notify, lost_after_s: float
    ) -> None:
        """A needed feed that was silent for `lost_after_s` venue seconds is told to be lost."""
        self._engine = engine
        self._inbox = inbox
        self._tally = tally
        self._notice = notice
        self._halts = (False, False, False)
        self._lost_after_ns = round(lost_after_s * NS)
        self._lost: dict[str, int] = {}  # feeds told to be lost: when their last data came
        self._since_ns: int | None = None  # the first look
        self._fresh_second: dict[int, int] = {}  # the last second told fresh, by market

    def changes(self, *, is_stopping: bool) -> None:
        """Alerts, what strategies noted, halts set and lifted; a stop sets the manual halt too."""
        while self._engine.alerts:
            self._notice("ERROR", self._engine.alerts.pop(0))
        for strategy in self._engine.strategies:
            for text in strategy.take_notes() if isinstance(strategy, CrossTimeframe) else ():
                self._notice("WARNING", text)
        risk = self._engine.risk
        halts = (risk.halted_manual, risk.halted_daily, risk.halted_weekly)
        for before, after, kind in zip(self._halts, halts, HALT_NAMES, strict=True):
            if before != after:
                self._notice(
                    "WARNING",
                    f"{HALT_NAMES[kind]} halt {'set' if after else 'lifted'}",
                    kind="halt" if after else "resume",
                    data={"halt": kind, "stopping": is_stopping},
                )
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
        for index, market in followed_markets(self._engine, now_ns):
            ages[f"book {index}"] = (now_ns - market.book_ns) / NS
        self._inbox.feed_ages(ages)
        if now_ns // NS % COUNTS_S == 0:
            self.counts(now_ns)
        self._lost_and_back(needed_stamps(self._engine, now_ns), now_ns)
        for line in self._tally.news(now_ns):
            self._notice("WARNING", line)

    def counts(self, now_ns: int, *, only: int | None = None, is_final: bool = False) -> None:
        """Tell what the engine counted in each window that began, or in one; final: nothing will be added to it."""
        for index, market in self._engine.markets.items():
            if not market.observed and now_ns >= market.start_ns and only in (None, index):
                told = window_counts(market, self._engine.strategies)
                self._inbox.market_counts(index, told, now_ns=now_ns, is_final=is_final)

    def _lost_and_back(self, needed: dict[str, int], now_ns: int) -> None:
        """Say once that a feed (by its last data, ns) went silent and once that it came back."""
        if self._since_ns is None:
            self._since_ns = now_ns
        for name, stamp_ns in needed.items():
            last_ns = max(stamp_ns, self._since_ns)
            is_lost, was_lost = now_ns - last_ns > self._lost_after_ns, name in self._lost
            if is_lost and not was_lost:
                self._lost[name] = last_ns
                text, kind = f"feed lost: {name}, no data for {(now_ns - last_ns) / NS:.0f} s", "feed_lost"
                self._notice("WARNING", text, kind=kind, data={"feed": name, "age_s": (now_ns - last_ns) / NS})
            elif was_lost and not is_lost:
                gap_s = (last_ns - self._lost.pop(name)) / NS
                text = f"feed back: {name}, after {gap_s:.0f} s without data"
                self._notice("INFO", text, kind="feed_back", data={"feed": name, "gap_s": gap_s})
        for name in self._lost.keys() - needed.keys():  # the book of a window that is over
            del self._lost[name]

    def forget(self, index: int) -> None:
        """A market is gone."""
        self._fresh_second.pop(index, None)
