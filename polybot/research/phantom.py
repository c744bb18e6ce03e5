"""Phantom edges: how often an estimator sees an edge in a world where there is none.

Owns the artificial world: constant volatility all day, independent Student t returns with 4 degrees of freedom
once a second, and a market that quotes the true probability of a window z standard deviations from its strike.
Every difference between fair and that quote is the estimator's error.  Rule twap, middle of a 5m window.
Deterministic by its seed.  Called by research.fit, which refuses weights that see too many, and by tests.
"""

import math
from dataclasses import dataclass

import numpy as np

from polybot._fast.pricing import Rule, price
from polybot._fast.vol import Volatility

__all__ = ["PhantomWorld", "phantom_edges"]

NS = 1_000_000_000
DAY_S = 86_400
DOF = 4
STRIKE = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomWorld:
    """One artificial day; sigma per sqrt(s), stamps start at midnight UTC."""

    seed: int
    seconds: int = 86_400
    warm_s: int = 14_400  # fed before the first second that counts
    every_s: int = 1  # of the seconds after that, every so many-th counts
    sigma: float = 8e-5
    z: float = 0.8
    tau_s: float = 150.0
    averaged_s: float = 60.0


def phantom_edges(vol: Volatility, world: PhantomWorld) -> list[float]:
    """Fair minus the true probability in every second that counts, USD per share."""
    rng = np.random.Generator(np.random.PCG64(world.seed))
    count = world.warm_s + world.seconds
    returns = rng.standard_t(DOF, count) * (world.sigma / math.sqrt(DOF / (DOF - 2.0)))
    deviation = world.sigma * math.sqrt(world.tau_s - 2.0 * world.averaged_s / 3.0)
    spot = STRIKE * math.exp(world.z * deviation)
    true = _fair(world, spot, world.sigma)
    path = (STRIKE * np.exp(np.cumsum(returns))).tolist()
    sigmas = vol.walk(path, -world.warm_s % DAY_S * NS, NS)
    return [_fair(world, spot, sigma) - true for sigma in sigmas[world.warm_s :: world.every_s]]


def _fair(world: PhantomWorld, spot: float, sigma: float) -> float:
    return price(
        rule=Rule.RULE_TWAP, s=spot, k=STRIKE, sigma=sigma, tau_s=world.tau_s, w_s=world.averaged_s
    ).p_up
