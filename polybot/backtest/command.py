"""The command `backtest`: a run over tapes with its progress, the harsher variants, the scores and the page.

Owns what is on the screen and the order of things: run, variants, scores, page, summary.  No figure of profit is shown
without the variants beside it; with flattery=false there is none at all.  The first Ctrl-C (or SIGTERM) keeps what is
done by then; the second ends at once.
Must not compute anything itself.  Called by polybot.cli.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from polybot.backtest.agreement import agreement, agreement_text
from polybot.backtest.flattery import flattery_rows, flattery_text
from polybot.backtest.result import Result, is_result, load_result, settings_digest, settings_of
from polybot.backtest.run import Progress, run_backtest
from polybot.backtest.score_tree import FILE_NAME as SCORES_NAME
from polybot.backtest.score_tree import FlatteryRow
from polybot.backtest.scores import Scores, save_scores, scores
from polybot.backtest.session import kept_session, session_config, session_of
from polybot.clock import wall_clock
from polybot.config import Config
from polybot.report.command import told, write_report

__all__ = ["run"]

NS = 1_000_000_000
MICRO = 1_000_000
EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130
REDRAW_S = 0.1  # wall, on a terminal
NO_TERMINAL_COLUMNS = 4_000  # wider than any table: nothing is wrapped where there is no terminal


def run(config: Config, *, out: TextIO | None = None) -> int:
    """Run the backtest of config.backtest; returns the exit code.  Raises ConfigError when there is nothing to run."""
    out = out if out is not None else sys.stdout
    screen = _Screen(out, config)
    given = config.backtest
    screen.say(
        f"backtest: tapes {', '.join(given.tapes)}; asset={config.asset.name} risk={config.risk.name} "
        f"seed={given.seed} queue={given.queue} latency x{given.latency_factor:g}"
    )
    log = session_of(given.tapes)
    if log is not None:
        screen.say(f"the inputs of session {log.name}: strategies, risk and model are set as they were then")
    then = config if log is None else replace(session_config(log, given), report=config.report)
    kept = _unfinished(then)
    if kept is not None:
        screen.say(f"{kept.folder} was played to its end and not scored: going on with it")
        result = kept
    else:
        with _interruptible() as stop, screen.progress():
            result = run_backtest(config, say=screen.say, watch=screen.watch, is_stopping=lambda: stop.asked)
    _tell_run(screen, result)
    if result.info["state"] == "interrupted":
        settled = f"{result.info['totals']['counted']} settled windows are kept in {result.folder}"
        screen.say(f"interrupted: {settled}; nothing was scored")
        return EXIT_INTERRUPTED
    # its variants are run with what it was run with: of a session these are the session's settings
    return _judge(then, result, screen, live=None if log is None else kept_session(log, given))


def _unfinished(config: Config) -> Result | None:
    """The run of this name, settings and tapes whose harsher variants an end came before; None: there is none."""
    given = config.backtest
    folder = Path(given.out_dir) / given.name
    if not given.name or not is_result(folder) or (folder / SCORES_NAME).exists():
        return None
    found = load_result(folder)
    same = found.info.get("settings_digest") == settings_digest(settings_of(config))
    tapes = found.info.get("settings", {}).get("backtest", {}).get("tapes")
    return found if same and tapes == list(given.tapes) and found.info.get("state") == "complete" else None


def _judge(config: Config, result: Result, screen: "_Screen", *, live: Result | None) -> int:
    """The harsher variants, the scores, the page, the summary; `live`: the session that this is the backtest of."""
    given = config.backtest
    rows: tuple[FlatteryRow, ...] = ()
    if given.flattery and result.info["totals"]["counted"]:
        try:
            rows = flattery_rows(result, config, tell=screen.say)
        except KeyboardInterrupt:
            again = f"with backtest.name={result.folder.name} the same command goes on"
            screen.say(f"interrupted: the run is kept in {result.folder}, and the variants so far; {again}")
            return EXIT_INTERRUPTED
    compared = None if live is None else agreement(live, result)
    found = scores(result, flattery=rows, agreement=compared)
    save_scores(found, result.folder)
    screen.summary(found)
    if compared is not None:
        screen.say(agreement_text(compared))
    if given.report:
        for line in told(write_report(result, found, replace(config.report, out_dir=""))):
            screen.say(line)
    screen.say(f"run: {result.folder}")
    return EXIT_FAILED if any(not row.ok for row in rows) else EXIT_OK


def _tell_run(screen: "_Screen", result: Result) -> None:
    """What was run, what was not and why, as counts: no money."""
    info = result.info
    totals = info["totals"]
    screen.say(
        f"{totals['markets']:,} windows ({totals['counted']:,} settled), {totals['signals']:,} signals, "
        f"{totals['orders']:,} orders, {totals['fills']:,} fills; {info['messages']:,} messages in "
        f"{info['elapsed_s']:.1f} s"
    )
    screen.say(f"data: {info['label']}")
    for word, role in (("followed, not traded", "observed"), ("not used", "")):
        reasons: dict[str, int] = {}
        for tape in info["tapes"]:
            if tape["role"] == role:
                reasons[tape["reason"]] = reasons.get(tape["reason"], 0) + 1
        for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
            screen.say(f"{count:,} tapes {word}{f': {reason}' if reason else ''}")
    damaged = sum(bool(tape["damage"]) for tape in info["tapes"])
    if damaged or info["unreadable"]:
        screen.say(f"damaged tapes: {damaged}, used as far as they are sound; unreadable: {len(info['unreadable'])}")
    for alert in info["alerts"]:
        screen.say(f"alert: {alert}")


class _Screen:
    """Lines, a bar on a terminal, and the summary."""

    def __init__(self, out: TextIO, config: Config) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        width = None if self._is_terminal else NO_TERMINAL_COLUMNS
        self._console = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
        self._period_ns = round((REDRAW_S if self._is_terminal else config.backtest.report_s) * NS)
        self._clock = wall_clock()
        self._next_ns = self._clock.mono_ns() + self._period_ns
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """One line for good."""
        self._console.print(text, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it lasts a bar shows how far the run is, on a terminal."""
        if not self._is_terminal:
            yield
            return
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Bar(*columns, console=self._console, transient=True) as self._bar:
            self._bar.add_task("opening tapes", total=1.0)
            yield
        self._bar = None

    def watch(self, progress: Progress) -> None:
        """Redraw, or print a line, when it is time to."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + self._period_ns
        span_ns = max(1, progress.last_ns - progress.first_ns)
        part = min(1.0, max(0.0, (progress.at_ns - progress.first_ns) / span_ns))
        at = datetime.fromtimestamp(progress.at_ns // NS, UTC).strftime("%Y-%m-%d %H:%M:%S")
        text = f"{at} | {progress.settled:,} settled | {progress.fills:,} fills | {progress.messages:,} messages"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=part, description=text)
        else:
            self.say(f"backtest: {part:.0%} | {text}")

    def summary(self, found: Scores) -> None:
        """Money with what it is worth; without the variants no money."""
        if not found.flattery:
            why = "no window was settled" if not found.totals.settled else "backtest.flattery=false"
            self.say(f"no figure of profit: {why}")
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("strategy")
        for name in ("signals", "orders", "fills", "fees USD", "PnL USD"):
            table.add_column(name, justify="right")
        for one in (*found.strategies, found.all):
            table.add_row(
                one.name,
                f"{one.signals:,}",
                f"{one.dispatched:,}",
                f"{one.fills:,}",
                f"{one.attribution.fees_micro / MICRO:+,.2f}",
                f"{one.pnl_micro / MICRO:+,.2f}",
            )
        self._console.print(table)
        self.say(flattery_text(found.flattery))
        for note in found.notes:
            self.say(f"note: {note}")


@dataclass(slots=True)
class _Stop:
    """Was an end asked for?"""

    asked: bool = False


@contextmanager
def _interruptible() -> Iterator[_Stop]:
    """The first SIGINT or SIGTERM asks for an orderly end, the second ends at once."""
    stop = _Stop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
