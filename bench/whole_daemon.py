"""A whole daemon measured as a process: its start, its idle CPU, its memory over many windows.

Owns three runs, each in a process of its own (the first word chooses, the others are settings), each with the embedded
venue as the daemon's child, whose CPU and memory are not counted:
    start BEGUN_NS ...    monotonic ns from the process's start to each step until strategies are asked first
    idle SECONDS ...      CPU and messages of so many seconds within a window
    windows COUNT ...     memory after windows 1, 2, 5, 10 ...
The last line of stdout is the answer, as JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.held_daemon import Held, run_daemon
from polybot.cli import load_config, normalise
from polybot.config_cache import recall_config
from polybot.loop_heap import private_mb

IMPORTED_NS = time.monotonic_ns()
STEPS = (1, 2, 5, 10, 20, 30, 40, 50)
SETTLE_S = 3.0  # after entries opened


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)


class Start:
    """When each step of a start was reached."""

    def __init__(self, spawned_ns: int) -> None:
        self.spawned_ns = spawned_ns
        self.steps_ms: dict[str, float] = {}
        self.reached("modules", IMPORTED_NS)

    def reached(self, step: str, at_ns: int) -> None:
        self.steps_ms[step] = (at_ns - self.spawned_ns) / 1e6

    async def beside(self, held: Held) -> None:
        trader = await held.until(lambda trader: True)
        self.reached("venue, journal, engine", time.monotonic_ns())
        await held.until(lambda trader: trader.engine.spot.quotes > 0)
        self.reached("first live message", time.monotonic_ns())
        await held.until(lambda trader: held.care is not None and held.care.heap.is_settled)
        self.reached("entries open", time.monotonic_ns())
        await held.until(lambda trader: bool(trader.engine.markets))
        trades = trader.engine.spot.trades
        await held.until(lambda trader: trader.engine.spot.trades > trades)
        self.reached("first evaluation", time.monotonic_ns())
        trader.stop()


class Idle:
    """CPU of a stretch of a window."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answer: dict[str, float] = {}

    async def beside(self, held: Held) -> None:
        trader = await held.until(
            lambda trader: held.care is not None and held.care.heap.is_settled and bool(trader.engine.markets)
        )
        await asyncio.sleep(SETTLE_S)
        spot = trader.engine.spot
        trades, quotes = spot.trades, spot.quotes
        wall_ns, cpu_ns, loop_ns = time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns()
        await asyncio.sleep(self.seconds)
        wall_s = (time.monotonic_ns() - wall_ns) / 1e9
        self.answer = {
            "cpu_frac": (time.process_time_ns() - cpu_ns) / 1e9 / wall_s,
            "loop_frac": (time.thread_time_ns() - loop_ns) / 1e9 / wall_s,
            "trades_per_s": (spot.trades - trades) / wall_s,
            "quotes_per_s": (spot.quotes - quotes) / wall_s,
            "resident_mb": resident_mb(),
        }
        trader.stop()


class Windows:
    """Memory as windows go by."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.rows: list[dict[str, float]] = []

    async def beside(self, held: Held) -> None:
        for step in (*(step for step in STEPS if step < self.count), self.count):
            trader = await held.until(lambda trader, step=step: trader.summary.settled >= step, look_s=0.05)
            self.rows.append({"windows": step, "resident_mb": resident_mb(), "private_mb": private_mb()})
        assert held.care is not None
        self.rows[-1]["longest_guard_ms"] = held.care.heap.longest_ms
        trader.stop()


def main(what: str, figure: str, words: list[str]) -> None:
    """One run; prints its answer."""
    answer: dict[str, Any] = {}
    if what == "start":
        start = Start(int(figure))
        # as `python -m polybot` does: kept settings are not composed again
        config = recall_config(normalise(words), None, lambda: load_config(words))
        start.reached("settings", time.monotonic_ns())
        code = run_daemon(config, start.beside)
        answer = {"steps_ms": start.steps_ms}
    elif what == "idle":
        idle = Idle(float(figure))
        code = run_daemon(load_config(words), idle.beside)
        answer = idle.answer
    else:
        windows = Windows(int(figure))
        code = run_daemon(load_config(words), windows.beside)
        answer = {"rows": windows.rows}
    sys.stdout.write(json.dumps({"code": code, **answer}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
