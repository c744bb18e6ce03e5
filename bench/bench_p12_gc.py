"""P12: how long Python's collector stops the loop of a whole daemon while a window is traded, with a large heap."""

from typing import Any

from bench.gate import Gate
from bench.quiet_venue import QUIET, run_script

LONGEST_MS = 1.0
SETTINGS = (
    "+interval=5m",
    "venue.speed=60",
    "venue.seed=4",
    "run.markets=1",
    "telemetry.console=off",
    "engine.end_guard_s=30",  # half a second of wall at this speed: a beat of 0.1 s falls into it
    *QUIET,
)


def run(policy: str) -> dict[str, Any]:
    """One window; what was collected, and where."""
    told = run_script("gc_daemon.py", *SETTINGS, f"loop.gc_policy={policy}")
    assert told["heap"] >= 400_000
    return told


def longest_ms(told: dict[str, Any], *places: str) -> float:
    """The longest collection in these places, CPU of the thread that collected."""
    return max((one["cpu_ms"] for one in told["collections"] if one["where"] in places), default=0.0)


def test_no_collection_stops_a_market(gate: Gate) -> None:
    runs: list[dict[str, Any]] = []

    def measured() -> float:
        runs.append(run("window_end"))
        return longest_ms(runs[-1], "market")

    def planted() -> float:
        """The interpreter's own policy."""
        return longest_ms(run("python"), "market")

    gate.value(
        "P12",
        "longest stop by the collector in a market, 400k objects (planted: gc left on)",
        measured,
        at_most=LONGEST_MS,
        planted=planted,
        unit="ms",
    )
    told = runs[-1]
    assert told["alarms"] == 0
    settled = longest_ms(told, "before", "start")
    gate.report("P12", "collecting and freezing the heap, once, after the warm-up", settled, unit="ms")
    gate.report("P12", "collecting in the end guard", longest_ms(told, "guard"), unit="ms")
