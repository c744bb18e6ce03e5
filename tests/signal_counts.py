"""What became of every signal, held against the files of a run: the engine's own counts, telemetry's rows, the tables.

For each strategy of a window signals == orders + dropped + the sum of denied; for each window the rows of
signals.csv, what was lost on the way to them and the row of markets.csv tell the same.  `broken_counts` says what does
not.  A window may have had several processes: each counts from 0, and a killed one told its counts seconds before.
"""

import csv
import json
import math
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = ["broken_counts", "sessions_of"]

COUNTS_S = 10.0  # a running process tells its counts so often, venue seconds


def broken_counts(folder: Path, *, least: int = 1) -> list[str]:
    """Every contradiction among the files below `folder` (a run's logs); fewer windows than `least` are one too."""
    found: list[str] = []
    documents = sorted(folder.rglob("market.json"))
    table = {row["slug"]: row for path in sorted(folder.rglob("markets*.csv")) for row in _rows(path)}
    for path in documents:
        told = json.loads(path.read_text())
        wrong = [*_of_sessions(path.parent, told), *_of_table(told, table.get(told["spec"]["slug"]))]
        found += [f"{path.parent.name}: {text}" for text in wrong]
    return found if len(documents) >= least else [*found, f"{len(documents)} windows, {least} expected"]


def sessions_of(folder: Path) -> list[dict[str, Any]]:
    """What each process told of the one window in `folder`, the last one last."""
    (path,) = folder.rglob("market.json")
    told = json.loads(path.read_text())
    return [*told["earlier_sessions"], told]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _of_sessions(folder: Path, told: dict[str, Any]) -> list[str]:
    """The engine's counts of each process against themselves and against the rows of its time."""
    sessions = [one for one in (*told["earlier_sessions"], told) if one["why"] is not None]
    rows = _rows(folder / "signals.csv")
    found = []
    for place, session in enumerate(sessions):
        why, totals = session["why"], session["totals"]
        for name, one in why["strategies"].items():
            found += _of_strategy(name, one, told["spec"])
        begin_s = _seconds(session["opened"])
        end_s = math.inf if place + 1 == len(sessions) else _seconds(sessions[place + 1]["opened"])
        here = [row for row in rows if begin_s <= int(row["ts_ms"]) / 1e3 < end_s]
        if why["final"]:
            found += _of_rows(why, here, lost=totals["untold"] + session["rows_lost"])
            if totals["signals"] != totals["dispatched"] + totals["dropped"] + totals["denied"]:
                found.append(f"totals {totals}")
            if totals["dispatched"] != totals["orders"]:
                found.append(f"{totals['dispatched']} dispatched, {totals['orders']} orders")
        else:
            found += _of_killed(why, here)
    return found


def _decided(why: dict[str, Any]) -> Counter[tuple[str, str]]:
    """Signals that should have a row, by strategy and status."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, one in why["strategies"].items():
        counts[name, "DISPATCHED"] = one["orders"]
        counts.update({(name, reason): count for reason, count in one["denied"].items()})
    return +counts


def _of_rows(why: dict[str, Any], rows: list[dict[str, str]], *, lost: int) -> list[str]:
    decided, written = _decided(why), Counter((row["strategy"], row["status"]) for row in rows)
    missing, extra = decided - written, written - decided
    if extra or missing.total() != lost:
        return [f"rows missing {dict(missing)} beside {lost} known to be lost, rows too many {dict(extra)}"]
    return []


def _of_killed(why: dict[str, Any], rows: list[dict[str, str]]) -> list[str]:
    """Counts of a process that told no last word: those of the rows before they were told."""
    at_s = _seconds(why["at"])
    decided = _decided(why).total()
    before = sum(int(row["ts_ms"]) / 1e3 < at_s for row in rows)
    by_then = sum(int(row["ts_ms"]) / 1e3 < at_s + 1.0 for row in rows)
    found = [] if before <= decided <= by_then else [f"killed: {decided} decided, rows {before} to {by_then}"]
    late_s = max((int(row["ts_ms"]) / 1e3 for row in rows), default=at_s) - at_s
    return found if late_s <= COUNTS_S + 1.0 else [*found, f"killed: told {late_s:.1f} s before its last signal"]


def _of_strategy(name: str, one: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    """One strategy: the identity, and a nearest miss that is one."""
    found = []
    if one["signals"] != one["orders"] + one["dropped"] + sum(one["denied"].values()):
        found.append(f"{name}: {one}")
    near = one["nearest"]
    if near is None:
        return found
    value, threshold = (math.nan if near[key] is None else near[key] for key in ("value", "threshold"))
    passed = value <= threshold if near["wanted"] == "at most" else value >= threshold
    window_s = (spec["end_ns"] - spec["start_ns"]) / 1e9
    if passed or not 0 <= near["passed"] < near["of"] or not 0.0 < near["left_s"] <= window_s:
        found.append(f"{name}: no miss: {near}")
    return found


def _of_table(told: dict[str, Any], row: dict[str, str] | None) -> list[str]:
    """The row of markets.csv against market.json."""
    if row is None or told["finished"] is None:
        return []
    names = ("signals", "dispatched", "denied", "dropped", "untold", "orders")
    tabled, totals = {name: int(row[name]) for name in names}, {name: told["totals"][name] for name in names}
    return [] if tabled == totals else [f"markets.csv {tabled}, market.json {totals}"]
