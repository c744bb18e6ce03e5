"""The warm start against the embedded venue: what its REST remembers makes the volatility usable at once.

The real SpotFeed asks the venue's own REST handlers; the estimator is compared with the path's true sigma.
"""

import asyncio
import math
from typing import Any

import pytest
from sim.world import QUIET, World, make_world

from polybot._fast.event import EventFlag
from polybot._fast.vwap import RollingVwap
from polybot.config import FeedsConfig, default_config
from polybot.feeds.binance import SpotFeed
from polybot.transport import HttpResponse
from polybot.volatility import build_vol

NS = 1_000_000_000
HOST = "http://spot"
BACKFILL = int(EventFlag.F_SNAPSHOT | EventFlag.F_AGG)


class VenueHttp:
    """REST of a world's spot exchange without a socket."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def request(self, method: str, url: str, **_: Any) -> HttpResponse:
        assert method == "GET"
        path, _, query = url.removeprefix(HOST).partition("?")
        answer: HttpResponse = self.world.ask("spot", path, query)
        return answer


def warmed(seed: int) -> tuple[World, list[Any]]:
    world = make_world(**{**QUIET, "venue.seed": seed, "venue.world.spot.history_h": 6.0})
    feed = SpotFeed(("wss://spot",), "BTCUSDT", FeedsConfig(), sink=lambda _: None)
    events = asyncio.run(feed.warm_start(VenueHttp(world), (HOST,), world.epoch_ns))
    assert feed.counters()["warm_errors"] == 0
    return world, list(events.to_numpy())


@pytest.fixture(scope="module")
def starts() -> list[tuple[World, list[Any]]]:
    return [warmed(seed) for seed in range(1, 6)]


def test_past_comes_in_order_and_reaches_back_for_hours(starts: list[tuple[World, list[Any]]]) -> None:
    for world, rows in starts:
        stamps = [int(row["venue_ns"]) for row in rows]
        assert stamps == sorted(stamps)
        assert stamps[-1] <= world.epoch_ns
        assert world.epoch_ns - stamps[0] > 4 * 3_600 * NS
        assert {int(row["flags"]) for row in rows} == {BACKFILL}
        assert len(rows) > 2_000


def test_volatility_is_warm_and_as_near_the_truth_as_it_says(starts: list[tuple[World, list[Any]]]) -> None:
    errors = []
    for world, rows in starts:
        vol = build_vol(default_config().model.vol)
        for row in rows:
            vol.add(float(row["x"]), int(row["venue_ns"]))
        assert vol.warm
        assert vol.standard_error() < 0.25
        truth = world.venue.spot.sigma(world.venue.scheduler.now_ns)
        errors.append(math.log(vol.value() / truth) / vol.standard_error())
    assert max(map(abs, errors)) < 2.5
    assert math.sqrt(math.fsum(error**2 for error in errors) / len(errors)) < 1.3


def test_vwap_is_that_of_the_last_minute_alone(starts: list[tuple[World, list[Any]]]) -> None:
    for _, rows in starts:
        last_ns = int(rows[-1]["venue_ns"])
        fresh = [row for row in rows if last_ns - int(row["venue_ns"]) <= 60 * NS and row["y"] > 0]
        vwap = RollingVwap(60.0)
        for row in rows:
            vwap.add(float(row["x"]), float(row["y"]), int(row["venue_ns"]))
        weight = math.fsum(float(row["y"]) for row in fresh)
        mean = math.fsum(float(row["x"]) * float(row["y"]) for row in fresh) / weight
        assert vwap.mean == pytest.approx(mean, rel=1e-9)
        assert len(vwap) == len(fresh) > 50
        minutes = [row for row in rows if float(row["y"]) == 0.0]
        assert len(minutes) > 200
