"""What finished windows left in the files: days, money over time, forecasts beside outcomes.

Owns reading markets.csv and samples.csv below `telemetry.out_dir`, newest first and bounded.  Read only, and patient
with rows it cannot understand (a file may be written this moment).  Must not draw.  Runs in a thread of the
companion, called by telegram.painter.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Calibration", "Window", "calibration", "daily_rows", "read_windows"]

MAX_WINDOWS = 5_000
# Windows whose samples are read for a calibration, newest first.
MAX_SAMPLED = 300
# One forecast in so many seconds: neighbours say the same.
SAMPLE_EVERY = 10
BINS = 10


@dataclass(frozen=True, slots=True)
class Window:
    """One settled window."""

    slug: str
    interval: str
    end: str  # ISO
    outcome: str
    fills: int
    fees_usd: int  # micro
    pnl_usd: int  # micro


@dataclass(frozen=True, slots=True)
class Calibration:
    """Forecasts in bins of a tenth: mean forecast, share of Up, count; the Brier score of all."""

    bins: tuple[tuple[float, float, int], ...]
    windows: int
    samples: int
    brier: float


def read_windows(out_dir: Path) -> list[Window]:
    """Settled windows of all intervals, oldest first; a window that was told twice counts as it was told last."""
    found: dict[str, Window] = {}
    for path in sorted(out_dir.glob("*/markets*.csv")):
        for row in _rows(path):
            window = _window(row, path.parent.name)
            if window is not None:
                found[window.slug] = window
    windows = sorted(found.values(), key=lambda one: one.end)
    return windows[-MAX_WINDOWS:]


def daily_rows(windows: list[Window], *, days: int) -> list[tuple[str, int, int, int]]:
    """(day UTC, windows, fills, PnL in micro-USD) of the last days, newest first."""
    sums: dict[str, tuple[int, int, int]] = {}
    for one in windows:
        day = one.end[:10]
        count, fills, pnl_usd = sums.get(day, (0, 0, 0))
        sums[day] = (count + 1, fills + one.fills, pnl_usd + one.pnl_usd)
    return [(day, *sums[day]) for day in sorted(sums, reverse=True)[:days]]


def calibration(out_dir: Path, windows: list[Window]) -> Calibration:
    """Forecasts of Up, one every ten seconds, against what the windows became."""
    sums = [[0.0, 0.0, 0.0] for _ in range(BINS)]
    squares, samples, used = 0.0, 0, 0
    for one in reversed(windows[-MAX_SAMPLED:]):
        is_up = 1.0 if one.outcome == "Up" else 0.0
        forecasts = list(_forecasts(out_dir / one.interval / one.slug / "samples.csv"))
        used += bool(forecasts)
        for fair in forecasts:
            cell = sums[min(BINS - 1, int(fair * BINS))]
            cell[0] += fair
            cell[1] += is_up
            cell[2] += 1.0
            squares += (fair - is_up) ** 2
            samples += 1
    bins = tuple((total / count, ups / count, round(count)) for total, ups, count in sums if count)
    return Calibration(bins, used, samples, squares / samples if samples else float("nan"))


def _forecasts(path: Path) -> Iterator[float]:
    for number, row in enumerate(_rows(path)):
        if number % SAMPLE_EVERY:
            continue
        try:
            fair = float(row.get("fair_up") or "nan")
        except ValueError:
            continue
        if 0.0 <= fair <= 1.0:
            yield fair


def _window(row: Mapping[str, str], interval: str) -> Window | None:
    """A row of markets.csv; None while the window is not settled."""
    try:
        outcome, slug = row["outcome"], row["slug"]
        if outcome not in ("Up", "Down") or not slug:
            return None
        fills, fees, pnl = (int(row[key] or 0) for key in ("fills", "fees_micro_usd", "pnl_micro_usd"))
        return Window(slug, interval, row["end"], outcome, fills, fees, pnl)
    except (KeyError, ValueError, TypeError):
        return None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            yield from csv.DictReader(file)
    except (OSError, csv.Error):
        return
