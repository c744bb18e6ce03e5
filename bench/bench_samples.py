"""What one timed batch costs on its way to the latency table, pushed from Python and taken."""

from collections.abc import Callable

from polybot._fast.samples import SampleRing

Budget = Callable[..., float]
BATCH = 1_000


def test_a_sample_in_and_out(budget: Budget) -> None:
    ring = SampleRing()

    def run() -> None:
        for number in range(BATCH):
            ring.add(source=1, ts_ns=number, wire_ns=5, decode_ns=6, decide_ns=7, market=8)
        assert len(ring.take()) == BATCH

    budget(run, name="samples: one in and out, from Python", median_ns=1_500, inner=BATCH)
