"""A whole daemon in a process of its own, with a large heap and busy slow paths: how long does the collector stop it?

Owns one run: `polybot.daemon` on its embedded venue, one window, from the settings given; before it begins, HEAP
containers are made that stay; while it runs, a task on its loop reads documents as slow paths do (discovery,
reconciling, chat), so that in seconds as much is made and dropped as a daemon makes in a day.  Every collection is
timed through gc.callbacks, in CPU of the thread that collects, and put where it fell: in the window outside its end
guard ("market"), or elsewhere.  The daemon ends by itself when the window's outcome is booked: its last word, the
comparison with the venue's ledger, is about a whole run.  Run as a script: arguments are settings; the last line of
stdout is the answer; the exit code is the daemon's.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque
from typing import Any

from bench.held_daemon import Held, run_daemon
from polybot.cli import load_config

HEAP = 400_000  # containers
DOCUMENTS = 30  # kept at a time
DOCUMENT = json.dumps([{"prices": [k, k + 1], "tags": {"a": [k]}} for k in range(750)])  # 3,001 containers
EVERY_S = 0.02


class Watch:
    """Times every collection and says where in the window it fell."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.found: list[dict[str, Any]] = []
        self._where, self._begun = "start", (0, 0)
        self._window: tuple[int, int, int] | None = None

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._where = self._place()
            self._begun = time.thread_time_ns(), time.monotonic_ns()
            return
        cpu_ns, wall_ns = time.thread_time_ns() - self._begun[0], time.monotonic_ns() - self._begun[1]
        self.found.append(
            {"where": self._where, "generation": info["generation"], "cpu_ms": cpu_ns / 1e6, "wall_ms": wall_ns / 1e6}
        )

    def window(self) -> tuple[int, int, int] | None:
        """Start, begin of the end guard and end of the traded window, venue ns."""
        trader = self.held.trader
        if trader is None or self._window is not None:
            return self._window  # the engine forgets a window that is over
        guard_ns = round(trader.config.engine.end_guard_s * 1e9)
        for market in trader.engine.markets.values():
            if not market.observed:
                self._window = market.start_ns, market.end_ns - guard_ns, market.end_ns
        return self._window

    def _place(self) -> str:
        window, trader = self.window(), self.held.trader
        if window is None or trader is None:
            return "before"
        now_ns = trader.clock.now_ns()
        start_ns, guard_ns, end_ns = window
        if now_ns < start_ns:
            return "before"
        return "market" if now_ns < guard_ns else "guard" if now_ns < end_ns else "after"


def made_heap() -> list[dict[str, list[int]]]:
    """Containers that stay."""
    return [{"k": [number]} for number in range(HEAP // 2)]


async def read_documents() -> None:
    """What slow paths do, much more of it."""
    kept: deque[Any] = deque(maxlen=DOCUMENTS)
    while True:
        kept.append(json.loads(DOCUMENT))
        await asyncio.sleep(EVERY_S)


def main(words: list[str]) -> int:
    """One run; prints what was found and returns the daemon's exit code."""
    heap, held = made_heap(), Held()
    watch = Watch(held)

    async def beside(held: Held) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(read_documents())
            await held.until(lambda trader: watch.window() is not None)

    gc.callbacks.append(watch)
    code = run_daemon(load_config(words), beside, held)
    gc.callbacks.remove(watch)
    alarms = 0 if held.care is None else held.care.heap.alarms
    answer = {"code": code, "heap": len(heap) * 2, "collections": watch.found, "alarms": alarms}
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
