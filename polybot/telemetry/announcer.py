"""What the operator hears when something happened: one line on the console, one event for whoever watches.

Owns which words and facts belong to which happening, and its kind and level (telemetry.recent).  Without a ring only
the console is told.  Must not keep state, count or write files.  Driven by TelemetryWriter on the telemetry thread.
"""

from collections.abc import Mapping
from typing import Any

from polybot._fast.event import OrderStatus, TradeStatus
from polybot.telemetry import console_lines, event_facts, inbox, summary_lines
from polybot.telemetry.console import Console
from polybot.telemetry.market_log import MarketLog
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.records import Record, outcome_text
from polybot.telemetry.totals import MarketSummary

__all__ = ["Announcer"]

INFO, WARNING, ERROR = "INFO", "WARNING", "ERROR"
_REJECTED = int(OrderStatus.OS_REJECTED)
_FAILED = int(TradeStatus.TS_FAILED)
NOWHERE = "unassigned"  # what stands in the market's place of a line that belongs to none


class Announcer:
    """One console, and one ring of events or none."""

    def __init__(self, console: Console, recent: RecentEvents | None) -> None:
        self._console = console
        self._recent = recent

    # -- notes ------------------------------------------------------------------------------------------------

    def market_opened(self, note: inbox.MarketOpened, log: MarketLog) -> None:
        facts = event_facts.open_facts(note.spec, is_resumed=note.is_resumed)
        self._of_market(note.now_ns, log, console_lines.open_line(log), kind="market_open", data=facts)

    def strike(self, note: inbox.StrikeCaptured, log: MarketLog) -> None:
        facts = event_facts.strike_facts(note)
        self._of_market(note.now_ns, log, console_lines.strike_line(note), kind="strike", data=facts)

    def marked(self, note: inbox.MarketMarked, log: MarketLog) -> None:
        outcome = outcome_text(note.outcome)
        self._of_market(note.now_ns, log, f"MARKET    our mark is {outcome} (provisional)", data={"our_mark": outcome})

    def outcome_known(self, note: inbox.OutcomeKnown, log: MarketLog) -> None:
        outcome = outcome_text(note.outcome)
        text = f"MARKET    the venue's outcome is {outcome}  source={note.source}"
        self._of_market(note.now_ns, log, text, data={"outcome": outcome})

    def refused(self, note: inbox.MarketRefusal) -> None:
        text = f"REFUSED   {note.slug}  {note.code}  {note.detail}".rstrip()
        self._console.event(note.now_ns, "", text)
        data = {"code": note.code, "detail": note.detail}
        self._add("refused_market", text, ts_ns=note.now_ns, level=WARNING, slug=note.slug, data=data)

    def notice(self, note: inbox.Notice) -> None:
        self._console.event(note.now_ns, "", f"{note.level:<9} {note.text}")
        self._add(note.kind, note.text, ts_ns=note.now_ns, level=note.level, data=note.data)

    def milestone(self, note: inbox.Milestone) -> None:
        self._add(note.kind, note.text, ts_ns=note.now_ns, data=note.data)

    def trouble(self, now_ns: int, text: str) -> None:
        """Telemetry's own: the disk refuses, or accepts again."""
        self._console.event(now_ns, "telemetry", f"WARNING   {text}")
        self._add("notice", text, ts_ns=now_ns, level=WARNING)

    # -- records ----------------------------------------------------------------------------------------------

    def signal(self, record: Record, log: MarketLog, *, strategy: str, status: str) -> None:
        """A signal that became an order."""
        text = console_lines.signal_line(record, strategy, status)
        facts = event_facts.signal_facts(record)
        self._of_record(record, log, text, kind="signal", strategy=strategy, data=facts)

    def order(
        self,
        record: Record,
        log: MarketLog | None,
        *,
        strategy: str,
        status: int,
        matched_micro: int,
        reason: str,
        order_id: str,
        is_news: bool,
    ) -> None:
        """An order's state, for watchers only when it is a new one; a refusal by the venue is a kind of its own."""
        text = console_lines.order_line(
            record, strategy=strategy, status=status, matched_micro=matched_micro, reason=reason
        )
        facts = event_facts.order_facts(
            record, order_id=order_id, status=status, matched_micro=matched_micro, reason=reason
        )
        kind, level = ("rejection", WARNING) if status == _REJECTED else ("order", INFO)
        self._line_of(record, log, text)
        if is_news:
            slug = "" if log is None else log.spec.slug
            self._add(kind, text, ts_ns=record.decided_ns, level=level, slug=slug, strategy=strategy, data=facts)

    def fill(self, record: Record, log: MarketLog | None, *, strategy: str, is_first: bool) -> None:
        text = console_lines.fill_line(record, strategy)
        facts = event_facts.fill_facts(record, is_first=is_first)
        level = ERROR if record.reason == _FAILED else INFO
        self._of_record(record, log, text, kind="fill", level=level, strategy=strategy, data=facts)

    def settlement(self, record: Record, log: MarketLog, *, strategy: str) -> None:
        text = console_lines.settlement_line(record, strategy)
        facts = event_facts.settlement_facts(record)
        self._of_record(record, log, text, kind="settlement", strategy=strategy, data=facts)

    def market_end(self, now_ns: int, log: MarketLog, summary: MarketSummary, *, is_correction: bool) -> None:
        """A market is over; again when a late settlement corrects it."""
        lines = summary_lines.market_lines(log, summary)
        self._console.block(now_ns, log.label, lines)
        facts = event_facts.market_facts(log, summary, is_correction=is_correction)
        self._add("market_end", lines[0], ts_ns=now_ns, slug=log.spec.slug, data=facts)

    # -- both -------------------------------------------------------------------------------------------------

    def _of_market(
        self, ts_ns: int, log: MarketLog, text: str, *, kind: str = "notice", data: Mapping[str, Any]
    ) -> None:
        self._console.event(ts_ns, log.label, text)
        self._add(kind, text, ts_ns=ts_ns, slug=log.spec.slug, data=data)

    def _of_record(
        self,
        record: Record,
        log: MarketLog | None,
        text: str,
        *,
        kind: str,
        strategy: str,
        data: Mapping[str, Any],
        level: str = INFO,
    ) -> None:
        self._line_of(record, log, text)
        slug = "" if log is None else log.spec.slug
        self._add(kind, text, ts_ns=record.decided_ns, level=level, slug=slug, strategy=strategy, data=data)

    def _line_of(self, record: Record, log: MarketLog | None, text: str) -> None:
        self._console.event(record.decided_ns, NOWHERE if log is None else log.label, text)

    def _add(
        self,
        kind: str,
        text: str,
        *,
        ts_ns: int,
        level: str = INFO,
        slug: str = "",
        strategy: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        if self._recent is not None:
            self._recent.add(kind, text, ts_ns=ts_ns, level=level, slug=slug, strategy=strategy, data=data)
