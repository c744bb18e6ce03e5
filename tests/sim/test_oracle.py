"""The oracle: what it prints, averages and publishes, recomputed from the spot price alone."""

import math
from bisect import bisect_right
from itertools import pairwise

import pytest
from sim.world import MS, NS, QUIET, make_world

from polybot.sim.oracle import E18, published_e18

STEADY = {**QUIET, "venue.world.oracle.basis_sd_bps": 0.0}


def watch(world):
    """Every publication and every change of the spot price, from now on."""
    ticks, prices = [], [(0, world.venue.spot.price)]
    world.venue.oracle.listen(lambda tick, now_ns: ticks.append((tick, now_ns)))
    world.venue.spot.listen(lambda now_ns, price: prices.append((now_ns, price)))
    return ticks, prices


def published(ticks, kind):
    return {tick.stamp_s: tick.value_e18 for tick, _ in ticks if tick.kind == kind}


@pytest.fixture(scope="module")
def session():
    """A world run to 240 s into its window: (world, publications, spot prices), basis held still."""
    world = make_world(**STEADY)
    ticks, prices = watch(world)
    world.run_to(240)
    return world, ticks, prices


def test_a_print_is_the_mean_of_six_samples_of_spot_in_usd(session):
    world, ticks, prices = session
    times = [at_ns for at_ns, _ in prices]
    usd = [price / (1.0 - 6e-4) for _, price in prices]
    checked = 0
    for stamp, value in published(ticks, "spot").items():
        samples = [stamp * 1_000 - 600 - 200 * i for i in range(6)]
        if samples[-1] * MS <= world.epoch_ns:
            continue
        expected = sum(usd[bisect_right(times, at_ms * MS) - 1] for at_ms in samples) / 6
        assert value / E18 == pytest.approx(expected, rel=1e-12)
        checked += 1
    assert checked > 80


def test_an_average_is_the_mean_of_sixty_prints_ending_three_seconds_before_its_stamp(session):
    _, ticks, _ = session
    prints = published(ticks, "spot")
    checked = 0
    for stamp, value in published(ticks, "twap").items():
        window = range(stamp - 3 - 59, stamp - 3 + 1)
        if all(second in prints for second in window):
            assert value / E18 == pytest.approx(sum(prints[s] for s in window) / 60 / E18, rel=1e-12)
            checked += 1
    assert checked > 20


def test_publications_come_late_in_order_and_some_twice(session):
    _, ticks, _ = session
    for kind in ("spot", "twap"):
        times = {}
        for tick, now_ns in ticks:
            if tick.kind == kind:
                times.setdefault(tick.stamp_s, []).append(now_ns)
        first = [(stamp, seen[0]) for stamp, seen in times.items()]
        delays = sorted(now_ns / NS - stamp for stamp, now_ns in first)
        assert 1.2 < delays[len(delays) // 2] < 1.45
        assert delays[0] > 0.6
        assert delays[-1] < 2.6
        assert all(a[0] + 1 == b[0] and a[1] < b[1] for a, b in pairwise(first))
        repeated = sum(len(seen) > 1 for seen in times.values()) / len(times)
        assert 0.08 < repeated < 0.25


def test_repeated_publications_carry_the_same_value():
    world = make_world(**QUIET, **{"venue.world.oracle.duplicate_frac": 1.0})
    ticks, _ = watch(world)
    world.run_to(-20)
    values = {}
    for tick, _ in ticks:
        values.setdefault((tick.kind, tick.stamp_s), set()).add(tick.value_e18)
    assert len(ticks) > len(values)
    assert all(len(seen) == 1 for seen in values.values())


def test_history_is_what_was_published_within_two_minutes(session):
    world, ticks, _ = session
    for kind in ("spot", "twap"):
        history = world.venue.oracle.history(kind)
        assert len(history) == 120
        assert [b.stamp_s - a.stamp_s for a, b in pairwise(history)] == [1] * 119
        heard = published(ticks, kind)
        assert all(heard[tick.stamp_s] == tick.value_e18 for tick in history)


def test_history_before_the_epoch_is_there_at_once():
    world = make_world(**QUIET)
    for kind in ("spot", "twap"):
        history = world.venue.oracle.history(kind)
        assert len(history) == 120
        assert 1 <= world.epoch_ns // NS - history[-1].stamp_s <= 2


@pytest.mark.parametrize("lead_s", [1.0, 40.0, 105.0, 120.0, 171.0, 290.0])
def test_the_window_that_already_runs_has_its_strike_whatever_the_lead(lead_s):
    world = make_world(**QUIET, **{"venue.lead_s": lead_s})
    start_s = world.start_ns // NS
    averages = [world.venue.oracle.twap_at(start_s - back_s) for back_s in range(int(lead_s) + 1, 301)]
    assert None not in averages
    assert max(abs(b / a - 1.0) for a, b in pairwise(averages)) < 1e-4
    running = next(iter(world.venue.lifecycle.records.values()))
    world.run_to(0.0)
    assert (running.terms.start_s, running.is_over) == (start_s - 300, True)
    assert running.strike_e18 == published_e18(averages[-1])


def test_dropouts_silence_the_stream_but_not_the_settlement_values():
    world = make_world(**{"venue.world.oracle.dropouts_per_h": 120.0, "venue.world.oracle.dropout_s": 20.0})
    ticks, _ = watch(world)
    world.run_to(120)
    heard = published(ticks, "twap")
    stamps = range(min(heard), max(heard) + 1)
    silent = [stamp for stamp in stamps if stamp not in heard]
    assert silent
    assert all(world.venue.oracle.twap_at(stamp) is not None for stamp in silent)


def test_outlook_grows_to_exactly_the_average():
    world = make_world(**QUIET)
    oracle = world.venue.oracle
    end_s = world.end_ns // NS
    world.run_to(300 - 64)
    assert oracle.outlook(end_s).known == 0.0
    known = []
    for second in range(300 - 62, 300 - 3):
        world.run_to(second + 0.35)
        known.append(oracle.outlook(end_s).known)
    assert all(0.9 < b - a < 1.1 for a, b in pairwise(known))
    world.run_to(297)
    outlook = oracle.outlook(end_s)
    assert outlook.known == 60.0
    assert outlook.known_sum / 60 == pytest.approx(oracle.twap_at(end_s), rel=1e-12)


def test_outlook_and_time_to_average_agree_inside_the_window():
    world = make_world(**QUIET)
    end_s = world.end_ns // NS
    for second in (250, 265.5, 280.25):
        world.run_to(second)
        left = world.venue.oracle.seconds_to_average(end_s, world.start_ns + int(second * NS))
        assert 60.0 - world.venue.oracle.outlook(end_s).known == pytest.approx(left, abs=0.6)


def test_the_smoothed_feed_understates_one_second_volatility(session):
    _, ticks, prices = session
    prints = published(ticks, "spot")
    values = [prints[stamp] for stamp in sorted(prints)]
    one = math.fsum(math.log(b / a) ** 2 for a, b in pairwise(values)) / (len(values) - 1)
    spot = math.fsum(math.log(b[1] / a[1]) ** 2 for a, b in pairwise(prices)) / 280
    assert 0.4 < math.sqrt(one / spot) < 0.95
