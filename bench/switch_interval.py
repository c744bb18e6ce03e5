"""How long a loop waits for the interpreter while a helper thread is busy, by the switch interval, and what that costs.

Owns one process: uvloop with a callback every millisecond, and a thread that only computes, as the telemetry thread
does for a moment.  The loop's wait is measured from the moment the callback was due; the helper's work is counted, its
loss against the longest interval is the price.  Run as a script: the intervals in us; the last line is the answer.
"""

import asyncio
import json
import statistics
import sys
import threading
import time

import uvloop

EVERY_S = 0.001
ROUND_S = 0.6


class Helper:
    """A thread that computes until told to end."""

    def __init__(self) -> None:
        self.turns = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._is_over = True
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over:
            self.turns += sum(range(100)) > 0


async def late_us() -> list[float]:
    """By how much each callback was late, us."""
    late = []
    end_ns = time.monotonic_ns() + int(ROUND_S * 1e9)
    while (now_ns := time.monotonic_ns()) < end_ns:
        await asyncio.sleep(EVERY_S)
        late.append((time.monotonic_ns() - now_ns) / 1e3 - EVERY_S * 1e6)
    return late


def main(intervals_us: list[int]) -> None:
    """One round per interval, and one without a helper."""
    rows = []
    for interval_us in (0, *intervals_us):
        sys.setswitchinterval((interval_us or 100) * 1e-6)
        helper = Helper() if interval_us else None
        used_ns = time.process_time_ns()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            late = runner.run(late_us())
        used_s = (time.process_time_ns() - used_ns) / 1e9
        turns = 0
        if helper is not None:
            helper.end()
            turns = helper.turns
        cuts = statistics.quantiles(late, n=100)
        rows.append(
            {"interval_us": interval_us, "p50_us": cuts[49], "p99_us": cuts[98], "turns_per_cpu_s": turns / used_s}
        )
    sys.stdout.write(json.dumps({"rows": rows}) + "\n")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
