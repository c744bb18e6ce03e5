"""Stands in for a whole backtest in tests of the flattery table: figures that follow from the settings.

A file `fail-<name of the row>` beside the rows makes that row raise.  Every call leaves a mark in `calls`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["perform"]


def perform(item: Mapping[str, Any]) -> dict[str, Any]:
    folder = Path(item["folder"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "calls").open("a") as file:
        file.write(folder.name + "\n")
    if (folder.parent / f"fail-{folder.name}").exists():
        raise RuntimeError("the tape is gone")
    given = item["settings"]["backtest"]
    worse = int(given["spot_delay_s"] + 10 * given["extra_ticks"] + 100 * given["latency_factor"])
    slugs = (folder.parent / "slugs").read_text().split()
    return {"slugs": slugs, "pnl_micro": [10_000_000 - worse] * len(slugs), "fills": 5}
