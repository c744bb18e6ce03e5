"""One batch through the whole path without a decision: two strategies, journal asked by kind, telemetry, inputs log.

`Engine.process` stands beside it: what is between the two is what the path itself costs.
"""

from collections.abc import Callable
from pathlib import Path

from bench.bench_engine import ready
from bench.bench_inputs import recorder
from bench.one_event import BATCH, book_change, repeated, spot_trade
from polybot._fast.event import EventBuffer
from polybot.clock import wall_clock
from polybot.recording import MONEY_MASK
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox

Budget = Callable[..., float]
PATH_NS = 1_000


class NoMoney:
    """A journal that is asked for money alone, and there is none."""

    kinds = MONEY_MASK

    def events(self, buffer: EventBuffer) -> None:
        raise AssertionError("market data moves no money")


def measured(budget: Budget, folder: Path, make: Callable[..., EventBuffer], what: str) -> None:
    scenario, log = ready(), recorder(folder)
    events = make(scenario, 20.5)
    runner = Runner(
        scenario.engine,
        clock=wall_clock(),
        inbox=TelemetryInbox(),
        gateway=print,
        on_feed_command=print,
        journal=NoMoney(),
        inputs=log,
    )
    feed = runner.path.feed

    def run() -> None:
        for _ in range(BATCH):
            feed(events)

    budget(run, name=f"path: {what}, with log and telemetry", median_ns=PATH_NS, inner=BATCH)
    budget(repeated(scenario.engine, events), name=f"path: {what}, the engine alone", median_ns=PATH_NS, inner=BATCH)
    assert log.dropped == 0
    log.close()
    log.wait()


def test_a_spot_trade_through_the_path(budget: Budget, tmp_path: Path) -> None:
    measured(budget, tmp_path, spot_trade, "spot trade")


def test_a_book_change_through_the_path(budget: Budget, tmp_path: Path) -> None:
    measured(budget, tmp_path, book_change, "book change")
