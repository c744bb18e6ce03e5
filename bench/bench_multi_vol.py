"""Multi-horizon volatility: one call per spot trade, heavy work once a second."""

from collections.abc import Callable

from polybot.config import default_config
from polybot.volatility import build_vol

Budget = Callable[..., float]
CALLS = 1000


def _updates(budget: Budget, *, gap_ns: int, name: str, median_ns: int) -> None:
    vol = build_vol(default_config().model.vol)
    prices = [69_000.0 + (k * 37 % 11) for k in range(CALLS)]
    now_ns = 0

    def run() -> None:
        nonlocal now_ns
        for price in prices:
            now_ns += gap_ns
            vol.add(price, now_ns)

    budget(run, name=name, median_ns=median_ns, inner=CALLS)


def test_update_with_a_hundred_trades_a_second(budget: Budget) -> None:
    _updates(budget, gap_ns=10_000_000, name="multi_vol.MultiVol update", median_ns=250)


def test_update_that_takes_a_sample(budget: Budget) -> None:
    _updates(budget, gap_ns=1_000_000_000, name="multi_vol.MultiVol sample", median_ns=800)
