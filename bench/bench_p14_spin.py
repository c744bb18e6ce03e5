"""P14: one-way time of a frame at 1,000 a second, from the server's write to our stamp, with and without busy-spin.

The server and our receiver are processes of their own on loopback; rounds with and without follow each other.  Reported
and never red: on a machine whose cores are shared a loop that spins may be slower than one that sleeps.
"""

import statistics
import sys

from bench.gate import Gate
from bench.one_way import OneWay, one_way
from bench.peer import PeerError
from bench.timing import SHORT, TRIES, breathe

ROUNDS = 3 if SHORT else 7
SECONDS = 1.5 if SHORT else 4.0


def measured(*, spin: bool) -> OneWay:
    """One round; one whose processes lost each other on a machine that stood still is made again."""
    for number in range(1, TRIES):
        try:
            return one_way(seconds=SECONDS, spin=spin)
        except (PeerError, AssertionError) as trouble:
            sys.stderr.write(f"a round was lost: {trouble}\n")
        breathe(number)
    return one_way(seconds=SECONDS, spin=spin)


def test_one_way_time_with_and_without_spinning(gate: Gate) -> None:
    pairs = [(measured(spin=False), measured(spin=True)) for _ in range(ROUNDS)]
    asleep, awake = [off.p50_us for off, _ in pairs], [on.p50_us for _, on in pairs]
    gate.report("P14", "one-way receive p50 at 1,000 frames/s, busy-spin off", statistics.median(asleep), unit="us")
    gate.report("P14", "the same, busy-spin on", statistics.median(awake), unit="us")
    gate.report("P14", "the same, busy-spin on, best round", min(awake), unit="us")
    ratio = statistics.median(on / off for off, on in zip(asleep, awake, strict=True))
    gate.report("P14", "on vs off, median of paired rounds", ratio, unit="x")
