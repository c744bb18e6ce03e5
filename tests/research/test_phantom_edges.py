"""An estimator that is nervous sees edges where there are none: the shipped one must not, the historic one does.

The world: constant volatility for a whole day, Student t returns (4 degrees of freedom) once a second, a market
that quotes the true probability at z = 0.8 in the middle of a window under rule twap.  Nothing is to be earned.
"""

import math
from dataclasses import replace

import pytest

from polybot.config import default_config
from polybot.research.phantom import PhantomWorld, phantom_edges
from polybot.research.score import BASELINE
from polybot.volatility import build_vol

EDGE_USD = 0.03
SHIPPED = default_config().model.vol


def share(edges: list[float]) -> float:
    """Share of seconds with an edge of at least EDGE_USD on either outcome."""
    return sum(abs(edge) >= EDGE_USD for edge in edges) / len(edges)


@pytest.mark.parametrize("seed", [20261122, 20261123])
def test_shipped_estimator_sees_few_phantom_edges_over_a_whole_day(seed: int) -> None:
    edges = phantom_edges(build_vol(SHIPPED), PhantomWorld(seed=seed))
    assert len(edges) == 86_400
    assert share(edges) <= 0.05


def test_historic_estimator_sees_them_in_about_55_percent_of_seconds() -> None:
    edges = phantom_edges(build_vol(BASELINE), PhantomWorld(seed=20261122, seconds=40_000))
    assert 0.45 <= share(edges) <= 0.65


def test_weights_on_the_shortest_horizon_would_be_no_better_than_the_historic_estimator() -> None:
    short = replace(SHIPPED, weights_frac=(1.0, 0.0, 0.0, 0.0))
    edges = phantom_edges(build_vol(short), PhantomWorld(seed=20261122, seconds=20_000))
    assert share(edges) > 0.30


def test_world_is_fair_to_who_knows_its_volatility() -> None:
    """An estimator that says the true sigma has no edge at all; one 20 % above it has the expected one."""
    world = PhantomWorld(seed=1, seconds=10, warm_s=200)
    true = build_vol(replace(BASELINE, lambda_=1.0, floor_annual=world.sigma * math.sqrt(365.25 * 86_400)))
    high = build_vol(
        replace(BASELINE, lambda_=1.0, floor_annual=1.2 * world.sigma * math.sqrt(365.25 * 86_400))
    )
    assert max(map(abs, phantom_edges(true, world))) < 1e-9
    assert phantom_edges(high, world) == pytest.approx([-0.0408] * 10, abs=0.002)


def test_same_seed_gives_the_same_edges() -> None:
    world = PhantomWorld(seed=5, seconds=500, warm_s=500)
    assert phantom_edges(build_vol(SHIPPED), world) == phantom_edges(build_vol(SHIPPED), world)
