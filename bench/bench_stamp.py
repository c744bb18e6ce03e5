"""Venue time read in C, asked from Python: the dearest part of a receive stamp is the kernel's clock."""

from collections.abc import Callable

from polybot.clock import wall_clock

Budget = Callable[..., float]
CALLS = 1_000
STAMP_NS = 250


def test_stamp_read(budget: Budget) -> None:
    now_ns = wall_clock().stamp().now_ns

    def run() -> None:
        for _ in range(CALLS):
            now_ns()

    budget(run, name="venue stamp", median_ns=STAMP_NS, inner=CALLS)
