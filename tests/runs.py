"""Short cuts for tests over whole virtual runs: configurations that are cheap enough, and what the files say."""

import csv
from pathlib import Path
from typing import Any

from polybot.config import Config, default_config
from polybot.harness import VirtualRun, run_virtual

NS = 1_000_000_000
# 2026-11-22 08:43:20 UTC: an ordinary Sunday morning.
START_NS = 1_795_337_000 * NS

# A world with a tenth of the usual traffic, for windows whose length is the point and not their liveliness.
QUIET: dict[str, Any] = {
    "venue.world.spot.trades_per_s": 2.0,
    "venue.world.spot.bursts_per_s": 1.5,
    "venue.world.spot.quotes_per_s": 2.0,
    "venue.world.takers.noise_per_s": 0.2,
    "venue.world.takers.informed_count": 0,
    "venue.world.makers.count": 1,
    "venue.world.makers.requote_ms": 1_500,
    "venue.world.makers.refresh_ms": 4_000,
    "venue.world.makers.deep_levels": 5,
}


def configure(**changes: Any) -> Config:
    """The default configuration for one window, with changes by dotted key (dots as double underscores)."""
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return default_config(**{"run.markets": 1, **keys})


def run(tmp_path: Path, config: Config, **more: Any) -> VirtualRun:
    """One virtual run into a folder of its own."""
    return run_virtual(config, tmp_path / "run", **{"start_ns": START_NS, **more})


def rows(run: VirtualRun, name: str) -> list[dict[str, str]]:
    """All rows of one kind of CSV file, over all markets of the run."""
    found: list[dict[str, str]] = []
    for path in sorted(run.out_dir.rglob(name)):
        with path.open(newline="") as file:
            found += csv.DictReader(file)
    return found


def markets(run: VirtualRun) -> dict[str, dict[str, str]]:
    """The last row of markets.csv per slug."""
    return {row["slug"]: row for row in rows(run, "markets.csv")}
