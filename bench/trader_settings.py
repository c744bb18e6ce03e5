"""Settings for a machine of one's own, each measured with its price: a section of bench/README.md.

Owns the table of group `loop`: busy-spin and cores (one-way time of a frame, CPU of a core), the switch interval (how
long the loop waits for a busy helper thread), the collector's policy (longest stop in a market).  Every comparison is
within one run and in turns.  Called by bench/readme.py.
"""

import os
import statistics
from typing import Any

from bench.bench_p12_gc import SETTINGS, longest_ms
from bench.one_way import OneWay, one_way
from bench.quiet_venue import run_script

__all__ = ["section"]

PLACES = (("market",), ("guard",), ("start", "before"))
INTERVALS_US = (5_000, 1_000, 100, 20)
HEAD = """## Settings of a machine of one's own
What the settings of group `loop` bring and cost; [PERFORMANCE](../docs/PERFORMANCE.md) says when to use which. Measured
on the machine above with what else ran on it: a loop that spins needs a core that nobody else uses.
"""
ONE_WAY = "frame at 1,000/s, from the server's write to our stamp"
ONE_WAY_HEAD = "p50, us | best round's p50 | p99, us | CPU of one core"
SWITCH = "a helper thread computes; `loop.switch_interval_us`"
SWITCH_HEAD = "its callback is late by, p50 us | p99 us | work of the helper per CPU second"
GC = "one window of a whole daemon, 400,000 objects kept, busy slow paths; `loop.gc_policy`"
GC_HEAD = "longest stop in the market, ms | in the end guard, ms | once, at the start, ms"


def section(*, is_short: bool) -> str:
    """Measure and return markdown."""
    parts = [HEAD, *_one_way_lines(3 if is_short else 7), "", *_switch_lines(), "", *_gc_lines()]
    return "\n".join(parts) + "\n"


def _one_way_lines(rounds: int) -> list[str]:
    allowed = sorted(os.sched_getaffinity(0))
    bound: dict[str, Any] = {"cores": (allowed[-1],), "server_cores": tuple(allowed[:-1])}
    cases: dict[str, dict[str, Any]] = {
        "as installed": {},
        "`loop.cores` set": bound,
        "`loop.busy_spin=true`": {"spin": True},
        "both": {"spin": True, **bound},
    }
    found: dict[str, list[OneWay]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(one_way(seconds=1.5, **case))
    lines = [
        f"| {ONE_WAY} (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores) | {ONE_WAY_HEAD} |",
        "|---|---|---|---|---|",
    ]
    for name, told in found.items():
        p50 = [one.p50_us for one in told]
        p99 = statistics.median(one.p99_us for one in told)
        cpu = statistics.median(one.cpu_frac for one in told)
        lines.append(f"| {name} | {statistics.median(p50):.0f} | {min(p50):.0f} | {p99:,.0f} | {cpu:.0%} |")
    return lines


def _switch_lines() -> list[str]:
    rows = run_script("switch_interval.py", *map(str, INTERVALS_US))["rows"]
    best = max(row["turns_per_cpu_s"] for row in rows)
    lines = [
        f"| {SWITCH} | {SWITCH_HEAD} |",
        "|---|---|---|---|",
    ]
    for row in rows:
        name = f"{row['interval_us']:,}" if row["interval_us"] else "no helper"
        work = f"{row['turns_per_cpu_s'] / best:.0%}" if row["interval_us"] else "-"
        lines.append(f"| {name} | {row['p50_us']:,.0f} | {row['p99_us']:,.0f} | {work} |")
    return lines


def _gc_lines() -> list[str]:
    lines = [
        f"| {GC} | {GC_HEAD} |",
        "|---|---|---|---|",
    ]
    for policy in ("python", "window_end"):
        told = run_script("gc_daemon.py", *SETTINGS, f"loop.gc_policy={policy}")
        cells = [longest_ms(told, *places) for places in PLACES]
        lines.append(f"| {policy} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return lines
