"""A sweep: one backtest per point of a grid or a search, on all cores or a Ray cluster, resumed where it was.

Owns the sweep's folder, which points are done already, progress, the final table.  A point is known by a digest of its
settings, its tapes and the program: one that has a row is not computed again, whatever ended the sweep before.  A row
is written by this process as soon as a point ends.  Rows and tables are the same wherever points are computed.
    points -> (row there? done) -> run_jobs -> row -> table.csv, table.parquet, the screen
Called by polybot.multirun with points that are composed and checked.  Exit codes: 0 every point has a row, 1 not so.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from polybot.analyze.export import csv_text, has_parquet, write_parquet, write_text
from polybot.analyze.frame import Frame
from polybot.analyze.screen import show
from polybot.backtest.jobs import core_count, run_jobs
from polybot.backtest.program import DIGEST_CHARS, machine_words, program_digest
from polybot.backtest.result import settings_digest, settings_of
from polybot.backtest.sweep_rows import RowFile, is_current, read_markets, read_rows
from polybot.backtest.sweep_table import note_lines, short_names, sweep_frame
from polybot.backtest.worker import JobDone
from polybot.clock import wall_clock
from polybot.config import Config, config_to_mapping
from polybot.errors import ConfigError, JobsFailed
from polybot.tape import find_tapes

__all__ = ["EXIT_FAILED", "EXIT_OK", "PERFORM", "Point", "Sweep", "run_grid", "sweep_folder"]

EXIT_OK, EXIT_FAILED = 0, 1
NS = 1e9
PERFORM = "polybot.backtest.sweep_point:perform"
TABLE_NAME = "table"
# Files of a tape that say what it holds; its cache of decoded events does not.
TAPE_FILES = ("manifest.json", "frames.zst", "tail-*.open")
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Point:
    """One backtest of a sweep: what was given for it, and all its settings."""

    values: Mapping[str, str]
    config: Config

    @property
    def words(self) -> str:
        """As on the command line."""
        return " ".join(f"{key}={value}" for key, value in self.values.items()) or "the only point"


def sweep_folder(config: Config, keys: Sequence[str]) -> Path:
    """Where a sweep over these settings lives: by its name, else by what is swept over which tapes."""
    sweep, backtest = config.sweep, config.backtest
    name = sweep.name
    if not name:
        text = json.dumps(
            [sorted(keys), sweep.search, [str(Path(path).resolve()) for path in backtest.tapes]]
        )
        last = "_".join(key.rpartition(".")[2].lstrip("+") for key in keys) or "one"
        name = f"{last[:40]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return Path(backtest.out_dir) / "sweeps" / name


def run_grid(
    points: Sequence[Point], folder: Path, *, out: TextIO | None = None, perform: str = PERFORM
) -> int:
    """Compute every point that has no row yet, and show the table; returns the exit code.

    `perform` is the path of the function that computes one point; raises KeyboardInterrupt after what is done is kept.
    """
    made = Sweep(points[0].config, folder, total=len(points), out=out or sys.stdout, perform=perform)
    for point in points:
        made.tapes_of(point.config)
    with made as sweep:
        sweep.say_head()
        sweep.compute(points)
        return sweep.finish()


@dataclass
class Sweep:
    """One sweep under way."""

    config: Config  # whose sections sweep and backtest are every point's
    folder: Path
    total: int
    out: TextIO
    perform: str = PERFORM
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)  # of this command's points, by digest
    markets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    played_s: float = 0.0
    played: int = 0

    def __post_init__(self) -> None:
        self._clock = wall_clock()
        self._program = program_digest(sorted(item.target for item in self.config.strategy.values()))
        self._tapes: dict[tuple[str, ...], list[str]] = {}
        self._kept = 0
        self._done: dict[str, dict[str, Any]] = {}
        self._began_ns = self._clock.mono_ns()

    def __enter__(self) -> "Sweep":
        self._file = RowFile(self.folder)
        rows = [] if self.config.sweep.fresh else read_rows(self.folder)
        self._done = {row["digest"]: row for row in rows if is_current(row) and not row["error"]}
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__(None, None, None)

    def say_head(self) -> None:
        """Say what is about to be done."""
        sweep = self.config.sweep
        where = f"Ray cluster at {sweep.address}" if sweep.executor == "ray" else f"{self._cores()} processes"
        self._say(
            f"sweep of {self.total} points ({sweep.search}), {where}, seed {sweep.seed}, metric {sweep.metric}",
            f"rows: {self.folder} ({len(self._done)} points are there from before)",
        )

    def compute(self, points: Sequence[Point]) -> list[dict[str, Any]]:
        """The rows of these points, computed as far as they are not there; in order."""
        digests = [self.digest_of(point) for point in points]
        waiting = {}
        for digest, point in zip(digests, points, strict=True):
            if digest in self._done:
                row = {**self._done[digest], "point": dict(point.values)}  # perhaps written otherwise then
                self._keep(row, kept=digest not in self.rows)
            elif digest not in self.rows:
                waiting[digest] = point
        order = list(waiting)
        items = [self._item(digest, waiting[digest]) for digest in order]

        def on_done(job: JobDone) -> None:
            self._take(order[job.index], waiting[order[job.index]], job)

        sweep = self.config.sweep
        try:
            with suppress(JobsFailed):  # every failed point has a row that says why
                run_jobs(
                    self.perform,
                    items,
                    cores=self._cores(),
                    executor=sweep.executor,
                    address=sweep.address,
                    on_done=on_done,
                )
        except KeyboardInterrupt:
            self._say(
                "", f"interrupted: {len(self.rows)} of {self.total} points are kept; the same command goes on"
            )
            raise
        return [self.rows[digest] for digest in digests]

    def digest_of(self, point: Point) -> str:
        """Of all that decides what a point comes to."""
        config = point.config
        order = list(config.strategy)  # decides ties
        settings = settings_digest(settings_of(config))
        text = json.dumps([settings, order, self.tapes_of(config), self._program, *machine_words()])
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]

    def finish(self) -> int:
        """Write the table and show it with what the best of it is worth; returns the exit code."""
        settings, rows = self.config.sweep, list(self.rows.values())
        frame = sweep_frame(rows, self.markets, settings)
        write_text(self.folder / f"{TABLE_NAME}.csv", csv_text(frame))
        written = f"{TABLE_NAME}.csv"
        if has_parquet():
            write_parquet(self.folder / f"{TABLE_NAME}.parquet", frame)
            written += f", {TABLE_NAME}.parquet"
        failed = [row for row in rows if row["error"]]
        self._say("")
        show(short_names(_for_the_screen(frame)).first(settings.shown_count), self.out)
        self._say(
            *note_lines(rows, self.markets, settings),
            f"points failed: {len(failed)}",
            *(f"  {_words(row)}: {row['error']}" for row in failed),
            f"written: {self.folder}: {written} ({len(rows)} rows, {self._kept} of them from before)",
        )
        return EXIT_FAILED if failed else EXIT_OK

    # -- parts ------------------------------------------------------------------------------------------

    def _cores(self) -> int:
        return self.config.backtest.cores or core_count()

    def _item(self, digest: str, point: Point) -> dict[str, Any]:
        keep = (self.folder / "runs" / digest).resolve() if self.config.sweep.keep_runs else ""
        return {
            "settings": config_to_mapping(point.config),
            "tapes": [str(Path(path).resolve()) for path in point.config.backtest.tapes],
            "program": self._program,
            "keep": str(keep),
        }

    def _take(self, digest: str, point: Point, job: JobDone) -> None:
        """Write the row of a point that ended."""
        body: dict[str, Any] = job.result or {}
        markets = body.pop("markets", [])
        row = {
            "digest": digest,
            "point": dict(point.values),
            "error": job.error,
            "elapsed_s": round(job.elapsed_s, 6),
            "worker": job.worker,
            **body,
        }
        self._keep(self._file.append(row, markets), kept=False)
        self.played += 1
        if job.error:
            self._say(f"{point.words} FAILED: {job.error}")
        self._progress()

    def _keep(self, row: dict[str, Any], *, kept: bool) -> None:
        self.rows[row["digest"]] = row
        self._kept += kept
        name = row["markets"]
        if name not in self.markets:
            self.markets[name] = read_markets(self.folder, name)
        self._check_days(self.markets[name])

    def _check_days(self, markets: Sequence[Mapping[str, str]]) -> None:
        """Something must be left to choose by; raises ConfigError."""
        days, hold_out = len({market["day"] for market in markets}), self.config.sweep.hold_out_days
        if hold_out and 0 < days <= hold_out:
            raise ConfigError(
                f"sweep.hold_out_days={hold_out} is not allowed: settled markets are of {days} days, one must be left"
            )

    def tapes_of(self, config: Config) -> list[str]:
        """What is on the tapes of a point, as text that changes when they do; raises ConfigError for none."""
        paths = config.backtest.tapes
        if paths not in self._tapes:
            found = {path: find_tapes(path) for path in paths}
            for path, tapes in found.items():
                if not tapes:
                    raise ConfigError(
                        f"backtest.tapes={path} is not allowed: no tape in it (record or import makes them)"
                    )
            folders = sorted({tape.resolve() for tapes in found.values() for tape in tapes})
            self._tapes[paths] = [_tape_words(folder) for folder in folders]
        return self._tapes[paths]

    def _say(self, *lines: str) -> None:
        clear = "\r\x1b[K" if self.out.isatty() else ""
        self.out.write(clear + "\n".join(lines) + "\n")
        self.out.flush()

    def _progress(self) -> None:
        gone_s = (self._clock.mono_ns() - self._began_ns) / NS
        left = self.total - len(self.rows)
        failed = sum(bool(row["error"]) for row in self.rows.values())
        text = (
            f"{len(self.rows)} of {self.total} points, {failed} failed, {_duration(gone_s)} gone, "
            f"about {_duration(gone_s / self.played * left)} left"
        )
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{text}")
            self.out.flush()
        else:
            self._say(text)


def _tape_words(folder: Path) -> str:
    """A tape's name, its manifest and the sizes of what the manifest may not tell yet."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in TAPE_FILES for path in folder.glob(pattern)):
        digest.update(f"{path.name} {path.stat().st_size}".encode())
        if path.name == MANIFEST_NAME:
            digest.update(path.read_bytes())
    return f"{folder.name} {digest.hexdigest()[:DIGEST_CHARS]}"


def _for_the_screen(frame: Frame) -> Frame:
    """Columns that say nothing on the screen are left out there: digests, and errors when there are none."""
    hidden = {"digest", *({"error"} if not any(frame.column("error")) else ())}
    names = tuple(name for name in frame.names if name not in hidden)
    return Frame(names, [tuple(row[frame.names.index(name)] for name in names) for row in frame.rows])


def _words(row: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in row["point"].items()) or "the only point"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
