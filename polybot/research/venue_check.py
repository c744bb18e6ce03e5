"""The embedded venue held against the recorded market: many virtual windows, one table.

Owns the measurement: venues in virtual time (no daemon, no sockets), the exchange's book read at every
change, the figures of research.book_figures beside research.venue_facts.  The recorded books are older
than the averages, so the comparison runs under the rule of single prints and on the 0.01 grid; the same
table under today's rule stands beside it, without bounds.  Windows follow one another from 2026-04-13 on,
a few per venue, each venue with the next seed: the same seed gives the same table, whatever `workers` is.
Must not change how the venue behaves.  Called by cli (`venue-check`) and by its test.
"""

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from typing import Literal, NamedTuple

import numpy as np

from polybot.config import Config
from polybot.errors import ConfigError
from polybot.research.book_figures import book_figures
from polybot.research.progress import Progress
from polybot.research.venue_facts import FACTS, TOLERANCE, Fact
from polybot.research.window_book import BookRecorder, WindowBook
from polybot.sim.oracle import E18, OracleTick
from polybot.sim.venue import Venue, VenueSetup

__all__ = ["Task", "VenueFigures", "measure", "measured_config", "run", "table", "tasks_of"]

NS = 1_000_000_000
FIRST_S = 1_776_038_400  # 2026-04-13 00:00 UTC, the first recorded day
WINDOWS_A_VENUE = 8
INFORM_SHARE = 4  # one window under today's rule for so many under the recorded one
LEAD_S = 40  # a venue starts so long before its first window
QUOTES_PER_S = 9.0  # of the spot exchange: no figure is made of them, and they cost time
HISTORY_H = 1.0
AHEAD_S = 15.0  # quoting begins so long before a window: long enough for a book to stand


class Task(NamedTuple):
    """One venue to measure."""

    config: Config
    seed: int
    start_s: int  # of its first window
    windows: int


@dataclass(frozen=True, slots=True)
class _Sample:
    """What one venue gave."""

    books: list[WindowBook]
    trades_a_second: list[int]  # of the spot exchange
    basis_bps: list[float]  # spot exchange over the last published oracle price, once a second
    ages_s: list[float]  # reception minus stamp of oracle prices


@dataclass(frozen=True, slots=True)
class VenueFigures:
    """All figures of some windows, by name."""

    windows: int
    values: dict[str, float]

    def failures(self, facts: Sequence[Fact] = FACTS) -> list[Fact]:
        """Bound figures beyond the tolerance."""
        return [fact for fact in facts if fact.is_bound and not fact.is_met(self.values[fact.name])]


def measured_config(config: Config, *, rule: Literal["", "point"]) -> Config:
    """The venue as it is measured: under a rule ("": the interval's own), nothing made that no figure needs."""
    world = config.venue.world
    spot = replace(world.spot, quotes_per_s=QUOTES_PER_S, history_h=HISTORY_H)
    makers = replace(world.makers, ahead_s=AHEAD_S)
    lifecycle = replace(world.lifecycle, rule=rule, windows_ahead=2, running_window=False)
    if rule == "point":  # as recorded: nearly all of those books had the 0.01 grid to the end
        lifecycle = replace(lifecycle, tick_change=False)
    world = replace(world, spot=spot, makers=makers, lifecycle=lifecycle)
    return replace(config, venue=replace(config.venue, world=world))


def tasks_of(config: Config, windows: int) -> list[Task]:
    """Split windows into venues: consecutive windows, a seed each."""
    length_s = int(config.interval.duration_s)
    return [
        Task(
            config,
            config.venue.seed + first // WINDOWS_A_VENUE,
            FIRST_S + first * length_s,
            min(WINDOWS_A_VENUE, windows - first),
        )
        for first in range(0, windows, WINDOWS_A_VENUE)
    ]


def measure(tasks: Sequence[Task], *, workers: int, progress: Progress | None = None) -> VenueFigures:
    """Play the tasks' windows and compute every figure."""
    samples: list[_Sample] = []
    for sample in _played(tasks, workers):
        samples.append(sample)
        for _ in sample.books:
            if progress is not None:
                progress.step()
    books = [book for sample in samples for book in sample.books]
    trades = np.concatenate([sample.trades_a_second for sample in samples])
    return VenueFigures(
        len(books),
        {
            **book_figures(books),
            "spot trades": float(np.mean(trades)),
            "spot trades median": float(np.median(trades)),
            "basis sd": float(np.mean([np.std(sample.basis_bps) for sample in samples])),
            "oracle age": float(np.median(np.concatenate([sample.ages_s for sample in samples]))),
        },
    )


def run(config: Config) -> int:
    """Measure, print the table; 0 when every bound figure is within the tolerance."""
    if config.interval.name != "5m":
        raise ConfigError(f"interval={config.interval.name} is not allowed: the recorded books are of 5m windows")
    windows, workers = config.research.windows, config.research.workers
    inform = max(1, windows // INFORM_SHARE)
    sys.stdout.write(
        f"{windows} windows under the rule of the recording (single prints, 0.01 grid), {inform} under today's; "
        f"venue.makers={config.venue.makers}, seeds from {config.venue.seed}, {workers} workers\n"
    )
    progress = Progress("windows", windows + inform)
    as_recorded = measure(
        tasks_of(measured_config(config, rule="point"), windows), workers=workers, progress=progress
    )
    today = measure(tasks_of(measured_config(config, rule=""), inform), workers=workers, progress=progress)
    failures = as_recorded.failures()
    bound = sum(fact.is_bound for fact in FACTS)
    sys.stdout.write(
        f"{table(as_recorded, today)}\n"
        f"{bound - len(failures)} of {bound} bound figures are within {TOLERANCE:.0%} of the recorded ones\n"
    )
    return 1 if failures else 0


def table(as_recorded: VenueFigures, today: VenueFigures | None = None) -> str:
    """Recorded and measured side by side, a line per figure."""
    lines = [f"{'figure':<30}{'unit':<12}{'recorded':>16}{'embedded':>11}{'today':>11}"]
    for fact in FACTS:
        value = as_recorded.values[fact.name]
        beside = "" if today is None else f"{today.values[fact.name]:,.4g}"
        verdict = "" if not fact.is_bound else "ok" if fact.is_met(value) else "TOO FAR"
        lines.append(
            f"{fact.name:<30}{fact.unit:<12}{fact.recorded:>16}{value:>11,.4g}{beside:>11}  {verdict}".rstrip()
        )
    lines.append("today: under the present rule of averages, for information; no recording of it was available")
    lines.append("no verdict: for information")
    return "\n".join(lines)


def _played(tasks: Sequence[Task], workers: int) -> Iterator[_Sample]:
    """Samples in the order of the tasks."""
    if workers == 1 or len(tasks) == 1:
        yield from map(_play, tasks)
        return
    resource_tracker.ensure_running()  # it would unblock the signal in the middle of a start
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited: Ctrl-C is the parent's to act on
    try:
        pool = multiprocessing.get_context("spawn").Pool(min(workers, len(tasks)))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with pool:
        yield from pool.imap(_play, tasks)


def _play(task: Task) -> _Sample:
    """One venue from its epoch through its windows."""
    config = task.config
    setup = VenueSetup(
        venue=replace(config.venue, seed=task.seed),
        interval=config.interval,
        asset=config.asset,
        epoch_ns=(task.start_s - LEAD_S) * NS,
        session_id=f"venue-check-{task.seed}",
    )
    venue, recorder = Venue(setup), BookRecorder()
    venue.exchange.listings.watchers.append(recorder)
    sample = _Sample([], [], [], [])
    last = OracleTick("spot", 0, 0)

    def on_oracle(tick: OracleTick, now_ns: int) -> None:
        nonlocal last
        if tick.kind == "spot":
            last = max(last, tick, key=lambda known: known.stamp_s)
            sample.ages_s.append(now_ns / NS - tick.stamp_s)

    venue.oracle.listen(on_oracle)
    length_s = int(config.interval.duration_s)
    venue.advance(task.start_s * NS)
    trade_id = venue.spot.history.trades[-1].trade_id
    for window in range(task.windows):
        start_s = task.start_s + window * length_s
        for second in range(start_s + 1, start_s + length_s + 1):
            venue.advance(second * NS)
            newest = venue.spot.history.trades[-1].trade_id
            sample.trades_a_second.append(newest - trade_id)
            trade_id = newest
            sample.basis_bps.append((venue.spot.price / (last.value_e18 / E18) - 1.0) * 1e4)
        record = next(r for r in venue.lifecycle.records.values() if r.terms.start_s == start_s)
        sample.books.append(recorder.take(venue.exchange.market(record.spec.condition_id)))
    venue.close()
    return sample
