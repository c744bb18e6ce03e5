"""Run folders on disk: finds them, says what each is, and reads its facts.

    run.json + tables/     a backtest (or a session told as one)
    points.jsonl           a sweep: every finished point is a run
    5m/markets.csv ...     the logs of a session

Owns the look of these folders from outside.  What cannot be read, and a folder with nothing of ours in it, is named
and left out.  Must not write.  Called by polybot.analyze.command.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from polybot._fast.event import CommandKind
from polybot.analyze.facts import OUTCOMES, Fact, RunFigures, day_text
from polybot.analyze.session_logs import is_session, session_facts
from polybot.backtest.conditions import strategy_name
from polybot.backtest.counted import Counted
from polybot.backtest.result import Result, is_result, load_result
from polybot.backtest.sweep_rows import ROWS_NAME, is_current, read_markets, read_rows
from polybot.errors import ConfigError, TapeError

__all__ = ["Collected", "collect"]

USD = 1e6
# Folders so far below a given one are looked into.
DEPTH = 5
SCORES_NAME = "scores.json"
_COLUMNS = (
    "slug", "asset", "interval", "day", "outcome", "counted", "observed", "pnl", "cost", "fees", "fills", "signals",
    "orders",
)  # fmt: skip
# More than a strategy's number, a byte, can be.
STRATEGIES = 256


@dataclass(slots=True)
class Collected:
    """What was found below the paths."""

    facts: list[Fact] = field(default_factory=list)
    figures: dict[str, RunFigures] = field(default_factory=dict)
    runs: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # folder, why


def collect(paths: Sequence[str], *, by_strategy: bool) -> Collected:
    """Read every run below the paths; raises ConfigError when none of them is there."""
    roots = [Path(path).expanduser() for path in paths]
    if not any(root.is_dir() for root in roots):
        raise ConfigError(f"no folder {' or '.join(paths)}: give analyze.paths=FOLDER")
    found = Collected()
    for root in roots:
        if not root.is_dir():
            found.skipped.append((str(root), "is not there"))
            continue
        for folder, kind in _runs_below(root, found.skipped):
            name = folder.name if folder == root else folder.relative_to(root).as_posix()
            _read(found, folder, name=name, kind=kind, by_strategy=by_strategy)
    return found


def _runs_below(root: Path, skipped: list[tuple[str, str]]) -> Iterator[tuple[Path, str]]:
    """Run folders in order of name; folders directly below the root that hold none are foreign."""
    kind = _kind_of(root)
    if kind:
        yield root, kind
        return
    for child in _folders(root):
        before = len(skipped)
        inside = list(_walk(child, DEPTH, skipped))
        if not inside and len(skipped) == before:
            skipped.append((str(child), "no run in it"))
        yield from inside


def _walk(folder: Path, depth: int, skipped: list[tuple[str, str]]) -> Iterator[tuple[Path, str]]:
    try:
        kind = _kind_of(folder)
        children = [] if kind or not depth else _folders(folder)
    except OSError as error:  # one that may not be entered says nothing about the others
        skipped.append((str(folder), f"cannot be read: {error.strerror}"))
        return
    if kind:
        yield folder, kind
    for child in children:
        yield from _walk(child, depth - 1, skipped)


def _folders(folder: Path) -> list[Path]:
    """Folders in it, by name; one that is still being written (a leading dot) is nobody's run yet."""
    with os.scandir(folder) as entries:
        return sorted(Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _kind_of(folder: Path) -> str:
    if is_result(folder) or (folder / "run.json").exists():
        return "backtest"
    if (folder / ROWS_NAME).exists():
        return "sweep"
    return "session" if is_session(folder) else ""


def _read(found: Collected, folder: Path, *, name: str, kind: str, by_strategy: bool) -> None:
    try:
        if kind == "backtest":
            facts, figures = _backtest(folder, name, by_strategy=by_strategy)
            found.facts += facts
            found.figures[name] = figures
            found.runs += 1
        elif kind == "sweep":
            _sweep(found, folder, name, by_strategy=by_strategy)
        else:
            found.facts += session_facts(folder, name, by_strategy=by_strategy)
            found.runs += 1
    except (TapeError, ConfigError, OSError, ValueError) as error:
        found.skipped.append((str(folder), " ".join(str(error).split())))
    except (KeyError, TypeError, IndexError) as error:  # JSON of another shape than ours
        found.skipped.append((str(folder), f"not as expected: {type(error).__name__}: {error}"))


# -- backtests --------------------------------------------------------------------------------------


def _backtest(folder: Path, name: str, *, by_strategy: bool) -> tuple[list[Fact], RunFigures]:
    result = load_result(folder)
    label = str(result.info.get("label", ""))
    markets = result.table("markets")
    cells = {name: markets[name].tolist() for name in _COLUMNS}
    rows = [dict(zip(_COLUMNS, values, strict=True)) for values in zip(*cells.values(), strict=True)]
    base = [
        {
            "run": name,
            "kind": "backtest",
            "label": label,
            "asset": row["asset"],
            "interval": row["interval"],
            "market": row["slug"],
            "day": day_text(row["day"]),
            "outcome": OUTCOMES.get(row["outcome"], "unknown"),
        }
        for row in rows
    ]
    if by_strategy:
        facts = _by_strategy(result, base)
    else:
        facts = [
            Fact(
                **keys,
                pnl_micro=row["pnl"] if row["counted"] and row["outcome"] >= 0 else None,
                cost_micro=row["cost"],
                fees_micro=row["fees"],
                fills=row["fills"],
                signals=row["signals"],
                orders=row["orders"],
            )
            for keys, row in zip(base, rows, strict=True)
            if not row["observed"]
        ]
    return facts, _figures(folder, result)


def _by_strategy(result: Result, base: Sequence[dict[str, Any]]) -> list[Fact]:
    """A fact per strategy and market in which it had a signal or a fill."""
    counted = Counted.of(result.table("markets"), result.table("fills"))
    rows = counted.row_of(counted.all_fills["market"])
    sums: dict[tuple[int, int], dict[str, Any]] = {}
    known = np.flatnonzero(counted.counts)
    pnl = dict(zip(known.tolist(), counted.pnl.tolist(), strict=True))
    for at, fill in enumerate(counted.all_fills):
        if counted.failed[at]:
            continue
        item = sums.setdefault((int(rows[at]), int(fill["strategy"])), dict.fromkeys(_ZERO, 0))
        item["fills"] += 1
        item["cost_micro"] += int(fill["cost"])
        item["fees_micro"] += int(fill["fee"])
        item["pnl_micro"] += pnl.get(at, 0)
    signals = result.table("signals")
    told = signals[signals["kind"] == CommandKind.CMD_SIGNAL]
    told = told[np.isin(told["market"], counted.markets["index"])]
    rows_of = counted.row_of(told["market"])
    keys, counts = np.unique(rows_of * STRATEGIES + told["strategy"].astype(np.int64), return_counts=True)
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        sums.setdefault(divmod(key, STRATEGIES), dict.fromkeys(_ZERO, 0))["signals"] = count
    facts = []
    for (row, strategy), item in sorted(sums.items()):
        settled = bool(counted.settled[row])
        known_pnl = item.pop("pnl_micro") if settled else None
        item.pop("pnl_micro", None)
        facts.append(
            Fact(
                **base[row], strategy=strategy_name(result.strategies, strategy), pnl_micro=known_pnl, **item
            )
        )
    return facts


_ZERO = ("pnl_micro", "cost_micro", "fees_micro", "fills", "signals")


def _figures(folder: Path, result: Result) -> RunFigures:
    """Of the run as a whole: from its scores, as far as it has them."""
    elapsed = result.info.get("elapsed_s")
    path = folder / SCORES_NAME
    if not path.exists():
        return RunFigures(elapsed_s=elapsed)
    scores = orjson.loads(path.read_bytes())
    interval = scores["totals"]["pnl_interval"]
    whole: dict[str, Any] = next((item for item in scores["calibration"] if item["tau_s"] is None), {})
    return RunFigures(
        pnl_low_usd=interval["low"],
        pnl_high_usd=interval["high"],
        drawdown_usd=scores["equity"]["drawdown_booked"]["depth_micro"] / USD,
        brier_model=whole.get("brier_model"),
        elapsed_s=elapsed,
    )


# -- sweeps -----------------------------------------------------------------------------------------


def _sweep(found: Collected, folder: Path, name: str, *, by_strategy: bool) -> None:
    """Every finished point is a run, as it was last computed; a row of another version and a failed point are named."""
    markets: dict[str, list[dict[str, str]]] = {}
    rows = {f"{name}/{_point_text(row)}": row for row in read_rows(folder)}
    for point, row in rows.items():
        if not is_current(row):
            found.skipped.append((point, "a row of another version"))
            continue
        if row["error"]:
            found.skipped.append((point, row["error"]))
            continue
        found.runs += 1
        figures = row["figures"]
        found.figures[point] = RunFigures(
            drawdown_usd=figures["drawdown_usd"],
            brier_model=figures["brier_model"],
            elapsed_s=row["elapsed_s"],
        )
        name_of = row["markets"]
        if name_of not in markets:
            markets[name_of] = read_markets(folder, name_of)
        found.facts += list(_point_facts(row, markets[name_of], point, by_strategy=by_strategy))


def _point_facts(
    row: Mapping[str, Any], markets: Sequence[Mapping[str, Any]], point: str, *, by_strategy: bool
) -> Iterator[Fact]:
    label = row["figures"]["label"]
    if by_strategy:
        empty: dict[str, Any] = {"asset": "", "interval": "", "market": "", "day": "", "outcome": ""}
        for strategy, item in row["strategies"].items():
            yield Fact(run=point, kind="sweep", label=label, **empty, strategy=strategy, **item)
        return
    for market, pnl_micro, fills in zip(markets, row["pnl_micro"], row["fills"], strict=True):
        yield Fact(run=point, kind="sweep", label=label, **market, pnl_micro=pnl_micro, fills=fills)


def _point_text(row: Mapping[str, Any]) -> str:
    point = row.get("point")
    return " ".join(f"{key}={value}" for key, value in point.items()) if isinstance(point, dict) else "?"
