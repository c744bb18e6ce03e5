"""The single writer of telemetry: command records and notes in, CSV files, market.json and console out.

Owns which market a record belongs to, the run's totals and the count of everything that was lost.
Theory of operation of one drain: take the ring, then the notes (a note queued before a record is seen
before it), apply notes, then records; a market is finished only after the ring was emptied once more, so
that settlements pushed before market_finished are in its summary.  Orders and fills of a market nobody
announced go to the folder `unassigned`, never to nowhere.
Off the hot path: drain() runs on TelemetryThread (live) or is called by the harness.  Must not decide
anything about trading.  One thread at a time.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polybot._fast.event import COMMAND_DTYPE, CommandKind, OrderStatus, Special
from polybot.clock import Clock
from polybot.config import TelemetryConfig
from polybot.telemetry import console_lines, inbox, summary_lines
from polybot.telemetry.announcer import Announcer
from polybot.telemetry.console import Console
from polybot.telemetry.console_lines import DiagnosticBlock
from polybot.telemetry.csv_sinks import (
    FILLS_COLUMNS,
    ORDERS_COLUMNS,
    CsvSink,
    fill_cells,
    order_cells,
    signal_line,
)
from polybot.telemetry.figures import Figures
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.known_orders import KnownOrder, KnownOrders
from polybot.telemetry.latency import LatencyBook, LatencyRow
from polybot.telemetry.market_log import MarketLog, markets_columns
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.records import DISPATCHED, TERMINAL, Record, denial_text, read_records
from polybot.telemetry.summary_lines import TelemetryHealth
from polybot.telemetry.totals import RunTotals

__all__ = ["TelemetryWriter"]

# Finished markets whose late records (a trade confirmed after settlement) still find their folder.
FINISHED_KEPT = 16
# Rounds of one drain; more waits for the next one, so that a storm cannot keep a drain busy for ever.
DRAIN_ROUNDS = 64
_NEW = int(OrderStatus.OS_NEW)
_NO_STRATEGY = int(Special.NO_STRATEGY)
_CONSOLE_LATENCY = ("decide", "e2e", "ack", "binance_recv", "pm_recv", "eval_binance", "eval_pm")


class TelemetryWriter:
    """Writes everything the inbox was told."""

    def __init__(
        self,
        settings: TelemetryConfig,
        strategies: Sequence[str],
        clock: Clock,
        *,
        source: TelemetryInbox,
        console: Console,
        gates: Mapping[str, Sequence[str]],
        denials: Sequence[str],
        scrub: Callable[[str], str],
        on_error: Callable[[Exception], None] | None = None,
        recent: RecentEvents | None = None,
    ) -> None:
        """Names are the engine's: strategies by index, gates by strategy, denials by code (0 = DISPATCHED).

        on_error None lets a broken record raise (tests, harness); live it is the guard that logs and goes on.
        `recent` is filled for those who watch.
        """
        self._out_dir = Path(settings.out_dir)
        self._strategies = tuple(strategies)
        self._clock = clock
        self._inbox = source
        self._console = console
        self._gates = gates
        self._denials = tuple(denials)
        self._scrub = scrub
        self._on_error = on_error
        self._recent = recent
        self._announcer = Announcer(console, recent)
        self._figures = Figures()
        self._logs: dict[int, MarketLog] = {}
        self._finished: deque[MarketLog] = deque()
        self._late: list[MarketLog] = []
        self._orders = KnownOrders()
        self._done_orders: list[int] = []
        self._blocks: dict[int, DiagnosticBlock] = {}
        self._ages_s: dict[str, float] = {}
        self._second: inbox.Second | None = None
        self._markets_sinks: dict[str, CsvSink] = {}
        unassigned = self._out_dir / "unassigned"
        self._stray_orders = CsvSink(unassigned / "orders.csv", ORDERS_COLUMNS)
        self._stray_fills = CsvSink(unassigned / "fills.csv", FILLS_COLUMNS)
        self._unassigned = 0
        self._errors = 0
        self._rows_lost = self._rows_tried = 0  # of markets that were forgotten
        self._disk_error = ""
        self.latency = LatencyBook()
        self.totals = RunTotals()
        self._record_handlers: dict[int, Callable[[Record, int], None]] = {
            CommandKind.CMD_SIGNAL: self._on_signal,
            CommandKind.CMD_PLACE: self._on_place,
            CommandKind.CMD_ORDER: self._on_order,
            CommandKind.CMD_FILL: self._on_fill,
            CommandKind.CMD_SETTLEMENT: self._on_settlement,
            CommandKind.CMD_DIAGNOSTIC: self._on_diagnostic,
            CommandKind.CMD_GATE: self._on_gate,
        }
        self._note_handlers = self._handlers_of_notes()

    def _handlers_of_notes(self) -> dict[type[Any], Callable[[Any], None]]:
        """Who takes which note; the ends of a market and of the run wait for the records before them."""
        return {
            inbox.MarketOpened: self._on_market_opened,
            inbox.StrikeCaptured: self._on_strike,
            inbox.MarketMarked: self._on_marked,
            inbox.OutcomeKnown: self._on_outcome,
            inbox.MarketCounts: self._on_counts,
            inbox.MarketRefusal: self._announcer.refused,
            inbox.OrderHash: self._on_order_hash,
            inbox.OrderReason: self._on_order_reason,
            inbox.Stage: self._on_stage,
            inbox.Decision: self._on_decision,
            inbox.EventSample: self._on_sample,
            inbox.Second: self._on_second,
            inbox.FeedAges: self._on_feed_ages,
            inbox.Notice: self._announcer.notice,
            inbox.Milestone: self._announcer.milestone,
        }

    def drain(self) -> int:
        """Write everything queued so far; returns how many records and notes that were."""
        handled = 0
        for _ in range(DRAIN_ROUNDS):
            count = self._drain_round()
            handled += count
            if count == 0:
                break
        self._end_drain()
        return handled

    def close(self) -> None:
        """Write what is left, a row for every market that is still open, and the end summary."""
        self.drain()
        now_ns = self._clock.now_ns()
        for log in list(self._logs.values()):
            if log.finished_ns is None and now_ns >= log.spec.start_ns:
                self._finish(log, now_ns)
            log.write_json(self._scrub)
        self._end_drain()
        for sink in self._all_sinks():
            sink.close()
        table = self.latency.table()
        self._console.plain(summary_lines.final_lines(self.totals, self.health(), table))
        self._console.close()

    def health(self) -> TelemetryHealth:
        """What telemetry itself lost or could not do, since the start."""
        sinks = self._all_sinks()
        return TelemetryHealth(
            records_dropped=self._inbox.ring.dropped,
            records_lost=self._inbox.ring.lost,
            notes_dropped=self._inbox.dropped,
            notes_lost=self._inbox.lost,
            rows_tried=self._rows_tried + sum(sink.tried for sink in sinks),
            rows_lost=self._rows_lost + sum(sink.lost for sink in sinks),
            rows_waiting=sum(sink.waiting for sink in sinks),
            unassigned=self._unassigned,
            errors=self._errors,
            disk_error=self._disk_error,
        )

    # -- one drain ---------------------------------------------------------------------------------

    def _drain_round(self) -> int:
        records, evals = self._inbox.ring.drain()
        notes = self._inbox.take()
        finals: list[inbox.Note] = []
        for note in notes:
            if _is_last_word(note):
                finals.append(note)
            else:
                self._guarded(self._note_handlers[type(note)], note)
        count = len(notes) + self._apply(records, evals)
        if finals:
            count += self._empty_ring()
        for final in finals:
            if not isinstance(final, inbox.MarketFinished):
                self._guarded(self._note_handlers[type(final)], final)
            elif final.market in self._logs:
                self._guarded(self._finish, self._logs[final.market], final.now_ns)
        return count

    def _empty_ring(self) -> int:
        """Apply everything that is in the ring now."""
        count = 0
        for _ in range(DRAIN_ROUNDS):
            records, evals = self._inbox.ring.drain()
            if not records:
                break
            count += self._apply(records, evals)
        return count

    def _apply(self, records: bytes, evals: bytes) -> int:
        array = np.frombuffer(records, dtype=COMMAND_DTYPE)
        for record, eval_ns in zip(
            read_records(array), np.frombuffer(evals, dtype="<i8").tolist(), strict=True
        ):
            handler = self._record_handlers.get(record.kind)
            if handler is not None:
                self._guarded(handler, record, eval_ns)
        return len(array)

    def _guarded(self, handler: Callable[..., None], *args: Any) -> None:
        """The telemetry guard: one broken record must not take the others with it."""
        try:
            handler(*args)
        except Exception as error:
            self._errors += 1
            if self._on_error is None:
                raise
            self._on_error(error)

    def _end_drain(self) -> None:
        for market in list(self._blocks):
            self._show_block(market)
        self._finish_order_rows()
        refused = [sink.error for sink in self._all_sinks() if not sink.flush()]
        waiting = [log for log in self._logs.values() if log.json_error or log.is_stale]
        refused += [log.json_error for log in waiting if not log.write_json(self._scrub)]
        self._tell_disk(refused[0] if refused else "")
        for log in self._late:
            log.close()
        self._late.clear()
        self._show_status()
        self._show_figures()

    def _tell_disk(self, error: str) -> None:
        """Say once when the disk begins to refuse and once when it accepts again."""
        if bool(error) != bool(self._disk_error):
            text = f"telemetry cannot write: {error}" if error else "telemetry writes again"
            self._announcer.trouble(self._clock.now_ns(), text)
        self._disk_error = error

    # -- records -----------------------------------------------------------------------------------

    def _on_signal(self, record: Record, eval_ns: int) -> None:
        log = self._logs.get(record.market)
        if log is None:
            self._unassigned += 1
            return
        strategy = self._strategy(record.strategy)
        status = denial_text(record.reason, self._denials)
        log.signals.add_line(signal_line(record, strategy, self._denials, eval_ns))
        dispatched = record.reason == DISPATCHED
        log.totals_of(strategy).on_signal(status, dispatched=dispatched)
        if dispatched:
            self._account(log)
            self._announcer.signal(record, log, strategy=strategy, status=status)
        else:
            log.recent_denials[status] += 1

    def _on_place(self, record: Record, _: int) -> None:
        order = self._orders.of(record.order_seq)
        order.log = self._logs.get(record.market)
        order.place = record
        if order.log is not None:
            order.log.order_seqs.add(record.order_seq)
            order.log.totals_of(self._strategy(record.strategy)).orders += 1
        self._write_order(record, order, status=_NEW, matched_micro=0)

    def _on_order(self, record: Record, _: int) -> None:
        order = self._orders.of(record.order_seq)
        if record.reason == _NEW and order.place is not None:
            return
        if order.log is None:
            order.log = self._logs.get(record.market)
        record = order.with_terms(record)
        if order.log is not None:
            order.log.order_seqs.add(record.order_seq)
        self._write_order(record, order, status=record.reason, matched_micro=record.usd)
        if record.reason in TERMINAL and not self.latency.has(record.order_seq, "match"):
            self._done_orders.append(record.order_seq)

    def _write_order(self, record: Record, order: KnownOrder, *, status: int, matched_micro: int) -> None:
        strategy = self._strategy(record.strategy)
        cells = order_cells(
            record,
            order_id=order.order_id,
            strategy=strategy,
            status=status,
            matched_micro=matched_micro,
            reason=order.reason,
        )
        sink = order.log.orders if order.log is not None else self._stray_orders
        sink.add(cells)
        self._account(order.log)
        self._announcer.order(
            record,
            order.log,
            strategy=strategy,
            status=status,
            matched_micro=matched_micro,
            reason=order.reason,
            order_id=order.order_id,
            is_news=order.is_news(status, matched_micro),
        )

    def _on_fill(self, record: Record, _: int) -> None:
        order = self._orders.of(record.order_seq)
        log = self._logs.get(record.market)
        if record.strategy == _NO_STRATEGY and order.place is not None:
            record = record._replace(strategy=order.place.strategy)
        strategy = self._strategy(record.strategy)
        sink = log.fills if log is not None else self._stray_fills
        sink.add(fill_cells(record, order_id=order.order_id, strategy=strategy))
        is_first = log is None or log.totals_of(strategy).on_fill(record)
        self._account(log)
        self._announcer.fill(record, log, strategy=strategy, is_first=is_first)

    def _on_settlement(self, record: Record, _: int) -> None:
        log = self._logs.get(record.market)
        if log is None:
            self._unassigned += 1
            return
        strategy = self._strategy(record.strategy)
        log.totals_of(strategy).on_settlement(record)
        if record.edge or record.shares or record.usd:
            self._account(log)
            self._announcer.settlement(record, log, strategy=strategy)
        if log.finished_ns is not None:
            # A trade failed or was corrected after the summary: the latest row of a slug counts.
            self._finish(log, log.finished_ns)

    def _on_diagnostic(self, record: Record, _: int) -> None:
        self._show_block(record.market)
        log = self._logs.get(record.market)
        if log is not None:
            self._blocks[record.market] = DiagnosticBlock(log, record)

    def _on_gate(self, record: Record, _: int) -> None:
        block = self._blocks.get(record.market)
        if block is not None and block.record.decided_ns == record.decided_ns:
            block.gates.append(record)

    # -- notes -------------------------------------------------------------------------------------

    def _on_market_opened(self, note: inbox.MarketOpened) -> None:
        before = self._logs.get(note.market)
        if before is not None and before.finished_ns is None:
            self._finish(before, note.now_ns)
        interval_dir = self._out_dir / note.spec.interval
        log = MarketLog(interval_dir, note.market, note.spec, strategies=self._strategies, now_ns=note.now_ns)
        log.is_resumed = note.is_resumed
        self._logs[note.market] = log
        log.write_json(self._scrub)
        self._announcer.market_opened(note, log)

    def _on_strike(self, note: inbox.StrikeCaptured) -> None:
        log = self._logs.get(note.market)
        if log is None:
            self._unassigned += 1
            return
        log.strikes.append(note)
        log.write_json(self._scrub)
        self._announcer.strike(note, log)

    def _on_marked(self, note: inbox.MarketMarked) -> None:
        log = self._logs.get(note.market)
        if log is None:
            self._unassigned += 1
            return
        log.our_mark = note.outcome
        self._announcer.marked(note, log)

    def _on_outcome(self, note: inbox.OutcomeKnown) -> None:
        log = self._logs.get(note.market)
        if log is None:
            self._unassigned += 1
            return
        log.outcome = note.outcome
        log.outcome_source = note.source
        self._announcer.outcome_known(note, log)

    def _on_counts(self, note: inbox.MarketCounts) -> None:
        log = self._logs.get(note.market)
        if log is None:
            self._unassigned += 1
            return
        log.note_counts(note)

    def _on_order_hash(self, note: inbox.OrderHash) -> None:
        self._orders.of(note.order_seq).order_id = note.order_id

    def _on_order_reason(self, note: inbox.OrderReason) -> None:
        self._orders.of(note.order_seq).reason = self._scrub(note.text)

    def _on_stage(self, note: inbox.Stage) -> None:
        self.latency.stage(note.stage, note.order_seq, note.mono_ns)
        if note.stage == "confirm":
            self._done_orders.append(note.order_seq)

    def _on_decision(self, note: inbox.Decision) -> None:
        self.latency.decision(note.order_seq, note.ts_ns, note.wire_ns, note.stamps)

    def _on_sample(self, note: inbox.EventSample) -> None:
        rows = self.latency.sample(note.source, note.ts_ns, note.wire_ns, note.decode_ns, note.decide_ns)
        self._add_latency(self._logs.get(note.market) or self._current(note.ts_ns), rows)

    def _on_second(self, note: inbox.Second) -> None:
        log = self._logs.get(note.market)
        if log is None:
            return
        log.note_second(note)
        if log.spec.start_ns <= note.now_ns < log.spec.end_ns:
            self._second = note

    def _on_feed_ages(self, note: inbox.FeedAges) -> None:
        self._ages_s = note.ages_s

    # -- markets -----------------------------------------------------------------------------------

    def _finish(self, log: MarketLog, now_ns: int) -> None:
        """Summarise a market; again when a late settlement corrects it."""
        first = log.finished_ns is None
        log.finished_ns = now_ns
        self._show_block(log.index)
        for order_seq in sorted(log.order_seqs):
            self._add_latency(log, self.latency.finish(order_seq))
        summary = log.summarise()
        self.totals.replace(log.summary, summary)
        log.summary = summary
        log.write_json(self._scrub)
        self._markets_sink(log.spec.interval).add(log.markets_row(summary, self._strategies))
        self._announcer.market_end(now_ns, log, summary, is_correction=not first)
        self._late.append(log)
        if first:
            self._finished.append(log)
        while len(self._finished) > FINISHED_KEPT:
            self._forget(self._finished.popleft())

    def _forget(self, log: MarketLog) -> None:
        """Let go of a finished market and of its orders."""
        self._orders.forget(log.order_seqs)
        log.close()
        self._rows_lost += sum(sink.lost + sink.waiting for sink in log.sinks)
        self._rows_tried += sum(sink.tried for sink in log.sinks)
        if self._logs.get(log.index) is log:
            del self._logs[log.index]

    def _current(self, at_ns: int) -> MarketLog | None:
        """The market whose window holds at_ns; the one that ends first when there are several."""
        found: MarketLog | None = None
        for log in self._logs.values():
            spec = log.spec
            if spec.start_ns <= at_ns < spec.end_ns and (found is None or spec.end_ns < found.spec.end_ns):
                found = log
        return found

    def _markets_sink(self, interval: str) -> CsvSink:
        if interval not in self._markets_sinks:
            path = self._out_dir / interval / "markets.csv"
            self._markets_sinks[interval] = CsvSink(path, markets_columns(self._strategies))
        return self._markets_sinks[interval]

    def _all_sinks(self) -> list[CsvSink]:
        sinks = [sink for log in self._logs.values() for sink in log.sinks]
        return [*sinks, *self._markets_sinks.values(), self._stray_orders, self._stray_fills]

    # -- small things ------------------------------------------------------------------------------

    def _finish_order_rows(self) -> None:
        """Latency rows of orders that came to their end in this drain."""
        for order_seq in self._done_orders:
            self._add_latency(self._orders.log_of(order_seq), self.latency.finish(order_seq))
        self._done_orders.clear()

    def _add_latency(self, log: MarketLog | None, rows: list[LatencyRow]) -> None:
        if log is not None:
            for row in rows:
                log.latency.add(row)

    def _show_block(self, market: int) -> None:
        block = self._blocks.pop(market, None)
        if block is None:
            return
        lines = console_lines.diagnostic_lines(
            block,
            strategies=self._strategies,
            gate_names=self._gates,
            denials=self._denials,
            ages_s=self._ages_s,
            latency=[line for line in self.latency.table() if line.name in _CONSOLE_LATENCY],
        )
        self._console.block(block.record.decided_ns, block.log.label, lines, kind="DIAG")
        block.log.recent_denials.clear()

    def _show_status(self) -> None:
        if self._second is None or not self._console.live:
            return
        log = self._logs.get(self._second.market)
        if log is not None:
            line = console_lines.status_line(log, self._second, self.totals)
            self._console.status(line, self._clock.mono_ns())

    def _account(self, log: MarketLog | None) -> None:
        """Count a row that belongs to no market; remember the files of a market that was finished before it came."""
        if log is None:
            self._unassigned += 1
        elif log.finished_ns is not None:
            self._late.append(log)

    def _show_figures(self) -> None:
        """For those who watch: once a second."""
        if self._recent is not None and self._figures.is_due(self._clock.mono_ns()):
            health = self.health()
            logs = self._logs.values()
            self._recent.figures = self._figures.make(self.latency, health, self.totals, logs=logs)

    def _strategy(self, index: int) -> str:
        if index == _NO_STRATEGY:
            return ""
        return self._strategies[index] if index < len(self._strategies) else f"strategy_{index}"


def _is_last_word(note: inbox.Note) -> bool:
    """Does it speak of all records before it, those included that are still in the ring?"""
    if isinstance(note, inbox.MarketCounts):
        return note.is_final
    return isinstance(note, inbox.MarketFinished) or (isinstance(note, inbox.Milestone) and note.kind == "stop")
