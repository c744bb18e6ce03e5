"""The same run again under harsher assumptions, so that nobody flatters himself: one row per changed assumption.

Owns which assumptions: spot late by 1, 5 and 30 s, every price taken 1 and 2 ticks worse, latency twice as long, the
other model of the queue.  Each row is a whole backtest through jobs, kept below the run's folder with a digest of the
base's tables, its settings and the program: one that is there is not computed again.  A row that fails says so in
words, the others stand; one over other markets than the base's (the tapes changed) fails too.  Must not judge.
Called by the command backtest, report, and programs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polybot.backtest.bootstrap import DRAWS, sum_intervals
from polybot.backtest.counted import MICRO, Counted
from polybot.backtest.jobs import run_jobs
from polybot.backtest.program import machine_words, program_digest
from polybot.backtest.result import Result, settings_digest, settings_of
from polybot.backtest.run import run_backtest
from polybot.backtest.score_tree import FlatteryRow, Interval
from polybot.backtest.worker import JobDone
from polybot.config import Config, config_from_mapping, config_to_mapping
from polybot.config_backtest import BacktestSettings
from polybot.errors import ConfigError, JobsFailed

__all__ = ["FOLDER", "PERFORM", "Variant", "flattery_rows", "flattery_text", "perform", "variants"]

PERFORM = "polybot.backtest.flattery:perform"
FOLDER = "variants"  # below the run's folder
BASE = "base"
SPOT_DELAYS_S = (1.0, 5.0, 30.0)
EXTRA_TICKS = (1, 2)
LATENCY_FACTOR = 2.0
# What a row needs of its run: no signals, no samples but the first.
SPARE_SAMPLE_S = 3_600.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """One changed assumption: what changes of the base's settings."""

    name: str
    title: str
    changes: Mapping[str, Any]

    def of(self, base: BacktestSettings) -> BacktestSettings:
        """The settings of its run."""
        return replace(base, keep_signals=False, sample_s=SPARE_SAMPLE_S, **self.changes)


def variants(base: BacktestSettings) -> tuple[Variant, ...]:
    """Return the rows below the base, each one assumption away from it."""
    other = "proportional" if base.queue == "pessimistic" else "pessimistic"
    return (
        *(
            Variant(
                f"spot_delay_{delay_s:g}s",
                f"spot {delay_s:g} s later",
                {"spot_delay_s": base.spot_delay_s + delay_s},
            )
            for delay_s in SPOT_DELAYS_S
        ),
        *(
            Variant(
                f"extra_ticks_{ticks}",
                f"prices taken {ticks} tick{'s' if ticks > 1 else ''} worse",
                {"extra_ticks": base.extra_ticks + ticks},
            )
            for ticks in EXTRA_TICKS
        ),
        Variant(
            "latency_x2", "latency twice as long", {"latency_factor": base.latency_factor * LATENCY_FACTOR}
        ),
        Variant(f"queue_{other}", f"{other} queue", {"queue": other}),
    )


def flattery_rows(
    result: Result, config: Config, *, tell: Tell | None = None, perform: str = PERFORM, draws: int = DRAWS
) -> tuple[FlatteryRow, ...]:
    """Run what is not there yet of the variants of `result`, which is the run of `config`; the base's row is first.

    perform: path of the function that computes one.  Raises ConfigError when the run is of other settings,
    KeyboardInterrupt after what is done is kept.
    """
    theirs = result.info.get("settings_digest")
    if theirs not in (None, settings_digest(settings_of(config))):
        raise ConfigError(
            f"{result.folder} is a run of other settings: its variants would compare with nothing"
        )
    base = _figures(result)
    folder = result.folder / FOLDER
    seed = config.backtest.seed
    chosen = variants(config.backtest)
    configs = {item.name: replace(config, backtest=item.of(config.backtest)) for item in chosen}
    digests = {name: _digest(result, other) for name, other in configs.items()}
    found = {
        name: body for name, digest in digests.items() if (body := _read(folder, name, digest)) is not None
    }
    waiting = [item.name for item in chosen if item.name not in found]
    items = [_item(item, configs[item.name], folder) for item in chosen if item.name not in found]
    problems: dict[str, str] = {}

    def on_done(job: JobDone) -> None:
        name = waiting[job.index]
        if job.error:
            problems[name] = job.error
        else:
            found[name] = job.result
            _write(folder, name, digests[name], job.result)
        if tell is not None:
            words = f"FAILED: {job.error}" if job.error else f"{job.elapsed_s:.1f} s"
            tell(f"flattery {len(found) + len(problems)} of {len(chosen)}: {name} {words}")

    with suppress(JobsFailed):  # every failed row says why
        run_jobs(perform, items, cores=config.backtest.cores, on_done=on_done)
    first = Variant(BASE, "as it was run", {})
    rows = [_row(first, base, base, "", ".", seed=seed, draws=draws)]
    for item in chosen:
        place = f"{FOLDER}/{item.name}"
        body = found.get(item.name)
        problem = problems.get(item.name, "") if body is None else _mismatch(base, body)
        rows.append(_row(item, base, body, problem, place, seed=seed, draws=draws))
    return tuple(rows)


def perform(item: Mapping[str, Any]) -> dict[str, Any]:
    """Run one variant in a process of its own; the item is what flattery_rows made."""
    config = config_from_mapping(item["settings"])
    folder = Path(item["folder"])
    shutil.rmtree(folder, ignore_errors=True)  # of a program or of tapes that were others
    return _figures(run_backtest(config, folder=folder, variant=item["variant"]))


def flattery_text(rows: tuple[FlatteryRow, ...]) -> str:
    """Lines for a person."""
    lines = [
        f"{'assumption':<28} {'markets':>7} {'fills':>7} {'PnL USD':>12} {'95 % interval':>22} {'to base':>12}"
    ]
    for row in rows:
        if not row.ok or row.pnl_micro is None or row.difference_micro is None:
            lines.append(f"{row.title:<28} FAILED: {row.problem}")
            continue
        ends = "-"
        if row.interval is not None and row.interval.low is not None and row.interval.high is not None:
            ends = f"{row.interval.low:+.2f} to {row.interval.high:+.2f}"
        lines.append(
            f"{row.title:<28} {row.markets:>7,} {row.fills:>7,} {row.pnl_micro / MICRO:>+12.2f} {ends:>22} "
            f"{row.difference_micro / MICRO:>+12.2f}"
        )
    return "\n".join(lines)


# -- one row ----------------------------------------------------------------------------------------


def _figures(result: Result) -> dict[str, Any]:
    """What a row is made of: settled markets with their PnL, in the order of slugs, and how many fills count."""
    counted = Counted.of(result.table("markets"), result.table("fills"))
    pnl = np.zeros(len(counted.markets), dtype=np.int64)
    np.add.at(pnl, counted.row, counted.pnl)
    return {
        "slugs": counted.markets["slug"][counted.by_slug].tolist(),
        "pnl_micro": pnl[counted.by_slug].tolist(),
        "fills": len(counted.fills),
    }


def _mismatch(base: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """Say how a row is not over the base's markets, or ""."""
    ours, theirs = set(base["slugs"]), set(body["slugs"])
    if ours == theirs:
        return ""
    return f"not over the same markets: {len(ours - theirs)} are missing, {len(theirs - ours)} are new"


def _row(
    item: Variant,
    base: Mapping[str, Any],
    body: Mapping[str, Any] | None,
    problem: str,
    folder: str,
    *,
    seed: int,
    draws: int,
) -> FlatteryRow:
    settings = _texts(item.changes)
    if body is None or problem:
        return FlatteryRow(
            name=item.name, title=item.title, settings=settings, ok=False, problem=problem or "not run", markets=None,
            fills=None, pnl_micro=None, difference_micro=None, interval=None, folder=folder,
        )  # fmt: skip
    pnl = sum(body["pnl_micro"])
    values = np.array(body["pnl_micro"], dtype=np.float64)[:, None] / MICRO
    interval: Interval = sum_intervals(values, draws=draws, seed=seed)[0]
    return FlatteryRow(
        name=item.name,
        title=item.title,
        settings=settings,
        ok=True,
        problem="",
        markets=len(body["slugs"]),
        fills=int(body["fills"]),
        pnl_micro=pnl,
        difference_micro=pnl - sum(base["pnl_micro"]),
        interval=interval,
        folder=folder,
    )


# -- what is kept -----------------------------------------------------------------------------------


def _item(variant: Variant, config: Config, folder: Path) -> dict[str, Any]:
    mapping = config_to_mapping(config)
    mapping["backtest"]["tapes"] = [str(Path(path).resolve()) for path in config.backtest.tapes]
    changes = {"name": variant.name, "title": variant.title, **_texts(variant.changes)}
    return {"settings": mapping, "folder": str((folder / variant.name).resolve()), "variant": changes}


def _texts(changes: Mapping[str, Any]) -> dict[str, str]:
    """Settings that changed, as they would be written."""
    return {
        f"backtest.{key}": f"{value:g}" if isinstance(value, float) else str(value)
        for key, value in changes.items()
    }


def _digest(result: Result, config: Config) -> str:
    """Of the base's tables, the variant's settings, and what computes it."""
    program = program_digest(sorted(item.target for item in config.strategy.values()))
    settings = settings_digest(settings_of(config))
    parts = [result.info.get("tables_sha256", ""), settings, list(config.strategy), program, *machine_words()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(folder: Path, name: str, digest: str) -> dict[str, Any] | None:
    """The row's figures as an earlier command wrote them; None: not there, or of something else."""
    try:
        found = json.loads((folder / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("digest") != digest:
        return None
    figures = found.get("figures")
    return figures if isinstance(figures, dict) else None


def _write(folder: Path, name: str, digest: str, figures: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    part.write_text(json.dumps({"digest": digest, "figures": figures}) + "\n", encoding="utf-8")
    os.replace(part, folder / f"{name}.json")
