"""The makers' fair value against a Monte Carlo of the same future, simulated independently here."""

import math
from bisect import bisect_right

import numpy as np
import pytest
from sim.world import NS, QUIET, make_world

from polybot.sim.fair import Terms

PATHS = 3_000
SAMPLE_NS = 200_000_000


def simulate(world, now_ns, end_s):
    """Oracle samples of `PATHS` futures on the 200 ms grid: (first index, array paths x samples)."""
    config, path = world.venue.setup.venue.world.spot, world.venue.spot.path
    rng = np.random.default_rng(5)
    first = now_ns // SAMPLE_NS + 1
    count = end_s * 5 - first + 1
    gaps = np.full(count, 0.2)
    gaps[0] = (first * SAMPLE_NS - now_ns) / NS
    sigma = path.sigma(now_ns)
    steps = rng.standard_normal((PATHS, count)) * np.sqrt(gaps * (1 - path.jump_frac)) * sigma
    jumps = rng.random((PATHS, count)) < path.jumps_per_s * gaps
    dof = config.jump_dof
    sizes = rng.standard_t(dof, int(jumps.sum())) * math.sqrt((dof - 2) / dof)
    steps[jumps] += sizes * sigma * math.sqrt(path.jump_frac / path.jumps_per_s)
    return first, world.venue.oracle.usd(world.venue.spot.price) * np.exp(steps.cumsum(axis=1))


def twap(first, future, stamp_s, recorded):
    """Mean of 60 prints ending 3 s before the stamp; each print the mean of 6 samples."""
    total = np.zeros(PATHS)
    for second in range(stamp_s - 62, stamp_s - 2):
        for index in range(second * 5 - 8, second * 5 - 2):
            total += recorded(index) if index < first else future[:, index - first]
    return total / 360


MOMENTS = (-30.0, 4.0, 235.0, 262.0, 274.0)


@pytest.fixture(scope="module")
def compared():
    """(fair, frequency of Up in simulated futures) at several moments of one window."""
    world = make_world(**QUIET, **{"venue.world.spot.vol_sd": 0.0})
    spot, oracle = world.venue.spot, world.venue.oracle
    start_s, end_s = world.start_ns // NS, world.end_ns // NS
    times = [at_ns for at_ns, _ in spot.past_prices()]
    usd = [oracle.usd(price) for _, price in spot.past_prices()]
    spot.listen(lambda now_ns, price: (times.append(now_ns), usd.append(oracle.usd(price))))
    samples = {}
    index = (start_s - 80) * 5
    results = {}
    for seconds in MOMENTS:
        now_ns = world.start_ns + int(seconds * NS) + 70_000_000
        while index * SAMPLE_NS <= now_ns:  # what the oracle sampled, seen from outside
            world.venue.advance(index * SAMPLE_NS)
            samples[index] = usd[bisect_right(times, index * SAMPLE_NS) - 1]
            index += 1
        world.venue.advance(now_ns)
        first, future = simulate(world, now_ns, end_s)
        ends = twap(first, future, end_s, samples.__getitem__)
        strikes = twap(first, future, start_s, samples.__getitem__)
        fair = world.venue.fair.up(Terms("twap", start_s, end_s), now_ns)
        results["twap", seconds] = fair, float((ends >= strikes).mean())
        point = oracle.print_at(start_s)
        if point is not None:
            fair = world.venue.fair.up(Terms("point", start_s, end_s), now_ns)
            prints = sum(future[:, end_s * 5 - 3 - k - first] for k in range(6)) / 6
            results["point", seconds] = fair, float((prints >= point).mean())
    return results


CASES = [("twap", seconds) for seconds in MOMENTS] + [("point", seconds) for seconds in MOMENTS if seconds > 0]


@pytest.mark.parametrize("case", CASES)
def test_fair_is_the_frequency_of_up_in_simulated_futures(compared, case):
    fair, frequency = compared[case]
    error = math.sqrt(max(frequency * (1 - frequency), 0.01) / PATHS)
    assert fair == pytest.approx(frequency, abs=0.01 + 3 * error)


def test_fair_is_one_half_while_nothing_of_the_strike_is_known():
    world = make_world(**QUIET)
    terms = Terms("twap", world.start_ns // NS + 300, world.end_ns // NS + 300)
    assert world.venue.fair.up(terms, world.epoch_ns) == 0.5
    assert world.venue.fair.strike(terms) is None


def test_fair_is_certain_once_the_average_is_complete():
    world = make_world(**QUIET)
    world.run_to(297)
    oracle = world.venue.oracle
    terms = Terms("twap", world.start_ns // NS, world.end_ns // NS)
    is_up = oracle.twap_at(terms.end_s) >= oracle.twap_at(terms.start_s)
    assert world.venue.fair.up(terms, world.start_ns + 297 * NS) == float(is_up)


@pytest.mark.parametrize("rule", ["point", "candle"])
def test_point_and_candle_markets_are_near_one_half_at_the_open_and_certain_at_the_end(rule):
    world = make_world(**QUIET)
    hour_s = (world.start_ns // NS // 3_600) * 3_600
    terms = Terms(rule, world.start_ns // NS if rule == "point" else hour_s, world.end_ns // NS)
    world.run_to(1)
    if rule == "point":
        assert world.venue.fair.up(terms, world.start_ns + NS) == pytest.approx(0.5, abs=0.2)
    world.run_to(300)
    assert world.venue.fair.up(terms, world.end_ns) in (0.0, 1.0)
