"""Figures of a whole daemon as a process: a section of bench/README.md.

Owns the runs and their words: start to the first evaluation, CPU of an idle daemon at 100 trades/s, memory over many
windows, cost of a message at 1, 4 and 16 markets.  Real daemons on the embedded venue over loopback sockets, each in a
process of its own (bench/whole_daemon.py); the venue's process is not counted.  Called by bench/readme.py.
"""

import os
import statistics
import tempfile
import time

from bench.many_markets import ManyMarkets, market_kb
from bench.quiet_venue import QUIET, run_script

__all__ = ["section"]

SCRIPT = "whole_daemon.py"
COMMON = ("+interval=5m", "telemetry.console=off", "venue.seed=4")
IDLE_SPOT = ("trades_per_s=100", "bursts_per_s=33", "activity_sd=0")  # evenly 100 trades a second
SPEED = 100  # of the windows whose memory is looked at


def section(*, is_short: bool) -> str:
    """Measure and return markdown."""
    lines = [
        "## The whole process",
        "",
        "One daemon on the embedded venue, whose own process is not counted; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        "",
        *_start_lines(3 if is_short else 5),
        "",
        *_idle_lines(8.0 if is_short else 30.0),
        "",
        *_memory_lines(10 if is_short else 50),
        "",
        *_market_lines(7 if is_short else 13),
    ]
    return "\n".join(lines) + "\n"


def _start_lines(rounds: int) -> list[str]:
    """The quickest of a few starts after the first, which compiles: what others took from it is no doing of ours."""
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(1 + rounds):
            begun_ns = time.monotonic_ns()
            words = (str(begun_ns), *COMMON, "venue.lead_s=34")
            kept = {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
            told.append(run_script(SCRIPT, "start", *words, **kept)["steps_ms"])
    best = min(told[1:], key=lambda steps: float(steps["first evaluation"]))
    return [
        f"| start, quickest of {rounds}: from the process's start to | ms |",
        "|---|---|",
        *(f"| {step} | {at_ms:,.0f} |" for step, at_ms in best.items()),
    ]


def _idle_lines(seconds: float) -> list[str]:
    words = ("venue.lead_s=36", *(f"venue.world.spot.{word}" for word in IDLE_SPOT))
    told = run_script(SCRIPT, "idle", str(seconds), *COMMON, *words)
    assert told["code"] == 0, told
    return [
        f"| a window that is followed, {seconds:g} s | |",
        "|---|---|",
        f"| spot trades and quotes a second | {told['trades_per_s']:.0f} and {told['quotes_per_s']:.0f} |",
        f"| CPU of one core, all threads | {told['cpu_frac']:.1%} |",
        f"| of it the loop's thread | {told['loop_frac']:.1%} |",
        f"| resident memory | {told['resident_mb']:.0f} MB |",
    ]


def _memory_lines(count: int) -> list[str]:
    words = (f"venue.speed={SPEED}", f"run.markets={count + 2}", "engine.end_guard_s=30", "replay.keep_free_mb=0")
    told = run_script(SCRIPT, "windows", str(count), *COMMON, *words, *QUIET)
    lines = [
        f"| memory after so many windows (a quiet market at {SPEED} times real speed) | resident, MB | private, MB |",
        "|---|---|---|",
    ]
    lines += [f"| {row['windows']} | {row['resident_mb']:.0f} | {row['private_mb']:.0f} |" for row in told["rows"]]
    lines += ["", f"Longest collection in an end guard meanwhile: {told['rows'][-1]['longest_guard_ms']:.1f} ms."]
    return lines


def _market_lines(rounds: int) -> list[str]:
    kinds = {"as one daemon holds them": "daemon", "all traded at once (no daemon does)": "traded"}
    worlds = {(name, count): ManyMarkets(count, kind=kind) for name, kind in kinds.items() for count in (1, 4, 16)}
    for world in worlds.values():
        world.round_ns()
    rows: dict[tuple[str, int], list[float]] = {key: [] for key in worlds}
    for _ in range(rounds):
        for key, world in worlds.items():
            rows[key].append(world.round_ns())
    lines = ["| CPU per message, ns: markets in the process | 1 | 4 | 16 |", "|---|---|---|---|"]
    for name in kinds:
        cells = [f"{statistics.median(rows[name, count]):,.0f}" for count in (1, 4, 16)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "", f"One more market takes {market_kb():.0f} KB, its feed and a full book included."]
