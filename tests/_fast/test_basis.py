"""Oracle basis against plain medians."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from reference import math_reference, recorded

from polybot._fast.basis import OracleBasis

NS = 1_000_000_000


def fed(differences: list[float], **kwargs: Any) -> OracleBasis:
    """One pair a second: spot 1000, oracle 1000 + difference."""
    basis = OracleBasis(**kwargs)
    for k, difference in enumerate(differences):
        basis.add_spot(1000.0, k * NS)
        basis.add_oracle(1000.0 + difference, k * NS)
    return basis


def test_beta_is_unknown_before_the_fifth_pair() -> None:
    four, five = fed([1.0, 2.0, 3.0, 4.0]), fed([1.0, 2.0, 3.0, 4.0, 5.0])
    assert all(math.isnan(x) for x in (four.beta, four.sd, four.variance, four.var_ln))
    assert five.beta == pytest.approx(3.0)
    assert five.sd == pytest.approx(1.4826022185)
    assert five.variance == pytest.approx(five.sd**2)
    assert five.var_ln == pytest.approx((five.sd / 1005.0) ** 2)


def test_one_wild_oracle_price_moves_neither_beta_nor_sd_much() -> None:
    basis = fed([1.0, 2.0, 3.0, 4.0, 5.0, 900.0])
    assert basis.beta == pytest.approx(3.5)
    assert basis.sd == pytest.approx(1.4826022185 * 1.5)


def test_oracle_is_compared_with_spot_at_its_stamp_minus_the_lag() -> None:
    basis = OracleBasis(lag_s=1.5)
    for k in range(10):
        basis.add_spot(1000.0 + k, k * NS)
    for k in range(2, 10):
        basis.add_oracle(1000.0 + k, k * NS)  # spot at k - 1.5 s is 1000 + k - 2
    assert basis.pairs == 8
    assert basis.beta == pytest.approx(2.0)
    assert basis.sd == 0.0


def test_changed_lag_applies_to_the_pairs_that_follow() -> None:
    basis = OracleBasis()
    basis.set_lag(2.0)
    for k in range(10):
        basis.add_spot(1000.0 + k, k * NS)
        basis.add_oracle(1000.0 + k, k * NS)
    assert basis.unpaired == 2
    assert basis.beta == pytest.approx(2.0)


def test_pairs_older_than_the_window_leave_with_the_next_oracle_price() -> None:
    basis = fed([5.0] * 10 + [7.0] * 11, window_s=10.0)
    assert basis.pairs == 11
    assert (basis.beta, basis.sd) == (7.0, 0.0)


def test_silent_oracle_leaves_no_beta_once_the_clock_passes_the_window() -> None:
    basis = fed([5.0] * 10)
    basis.expire(95 * NS)
    assert (basis.pairs, basis.beta) == (5, 5.0)
    basis.expire(95 * NS + 1)
    assert math.isnan(basis.beta)
    basis.expire(99 * NS + 1)
    assert basis.pairs == 0
    assert math.isnan(basis.beta)


def test_oracle_price_without_fresh_spot_is_unpaired() -> None:
    basis = OracleBasis()
    basis.add_oracle(1000.0, NS)  # no spot at all
    basis.add_spot(1000.0, 5 * NS)
    basis.add_oracle(1000.0, 4 * NS)  # spot only later
    basis.add_oracle(1000.0, 7 * NS + 1)  # older than two seconds
    assert (basis.pairs, basis.unpaired) == (0, 3)
    basis.add_oracle(1000.0, 7 * NS + 2)
    basis.add_spot(1000.0, 8 * NS)
    basis.add_oracle(1000.0, 10 * NS)  # exactly two seconds
    assert (basis.pairs, basis.unpaired) == (1, 4)


def test_repeated_older_and_invalid_oracle_prices_are_ignored() -> None:
    basis = fed([5.0] * 5)
    for price, ns in ((1009.0, 4 * NS), (1009.0, 3 * NS), (0.0, 5 * NS), (math.nan, 5 * NS), (-1.0, 5 * NS)):
        basis.add_oracle(price, ns)
    assert basis.ignored == 5
    assert basis.beta == 5.0


def test_oracle_stamp_far_ahead_of_spot_does_not_shut_out_the_true_ones() -> None:
    basis = fed([5.0] * 5)
    basis.add_oracle(1005.0, 1_000_000 * NS)
    basis.add_spot(1000.0, 5 * NS)
    basis.add_oracle(1005.0, 5 * NS)
    assert (basis.ignored, basis.pairs) == (1, 6)


def test_spot_that_is_no_price_is_left_out() -> None:
    basis = OracleBasis()
    basis.add_spot(1000.0, 0)
    for bad in (0.0, -1.0, math.nan, math.inf):
        basis.add_spot(bad, NS)
    for k in range(5):
        basis.add_oracle(1001.0, NS + k)
    assert basis.beta == 1.0


def test_burst_of_spot_prices_does_not_push_out_the_history() -> None:
    basis = OracleBasis(lag_s=5.0)
    for k in range(200_000):  # 20 s at 10,000 a second
        basis.add_spot(1000.0 + k / 10_000, k * 100_000)
    for k in range(6):
        basis.add_oracle(1015.0 + k / 100, 20 * NS + k * 10_000_000)
    assert basis.pairs == 6
    assert basis.beta == pytest.approx(0.0, abs=0.03)


def test_more_pairs_than_fit_drop_the_oldest() -> None:
    basis = OracleBasis()
    for k in range(3000):
        basis.add_spot(1000.0, k * 1_000_000)
        basis.add_oracle(1001.0 if k < 2900 else 1003.0, k * 1_000_000)
    assert basis.pairs == 1024
    assert basis.beta == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_random_prices_match_plain_medians(seed: int) -> None:
    rnd = random.Random(seed)
    lag_ns, window_ns = seed * 700_000_000, 30 * NS
    basis = OracleBasis(window_s=30.0, lag_s=lag_ns / NS)
    spots: list[tuple[float, int]] = []
    oracles: list[tuple[float, int]] = []
    ns, oracle_ns, price = 0, 0, 60_000.0
    for _ in range(2000):
        ns += rnd.randrange(25_000_000, 60_000_000)
        price += rnd.gauss(0, 2)
        spots.append((price, ns))
        basis.add_spot(price, ns)
        if ns - oracle_ns < NS:
            continue
        oracle_ns = ns - rnd.randrange(500_000_000)
        oracles.append((price + rnd.gauss(30, 5), oracle_ns))
        basis.add_oracle(*oracles[-1])
        beta, sd = math_reference.basis(spots[-1200:], oracles[-65:], window_ns, lag_ns)
        assert basis.beta == pytest.approx(beta, rel=1e-12, nan_ok=True)
        assert basis.sd == pytest.approx(sd, rel=1e-9, nan_ok=True)
    assert basis.pairs > 20


def test_recorded_prices_match_plain_medians_and_show_a_few_basis_points(shared_dir: Path) -> None:
    rows = recorded.spot_and_chainlink(shared_dir)
    basis = OracleBasis()
    betas = []
    for spot, oracle, ns in rows:
        basis.add_spot(spot, ns)
        basis.add_oracle(oracle, ns)
        betas.append(basis.beta)
    beta, sd = math_reference.basis(
        [(s, ns) for s, _, ns in rows], [(o, ns) for _, o, ns in rows], 90 * NS, 0
    )
    assert basis.beta == pytest.approx(beta, rel=1e-12)
    assert basis.sd == pytest.approx(sd, rel=1e-9)
    settled = [b for b in betas if not math.isnan(b)]
    assert -60 < min(settled) < max(settled) < -15
    assert math.sqrt(basis.var_ln) < 2e-4


@pytest.mark.parametrize("kwargs", [{"window_s": 0.0}, {"window_s": math.nan}, {"lag_s": math.nan}])
def test_bad_settings_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        OracleBasis(**kwargs)


def test_bad_lag_is_refused() -> None:
    with pytest.raises(ValueError, match="lag_s"):
        OracleBasis().set_lag(math.inf)


def test_beta_waits_for_as_many_pairs_as_were_asked_for() -> None:
    assert math.isnan(fed([1.0, 2.0, 3.0], min_pairs=4).beta)
    assert fed([1.0, 2.0, 3.0, 4.0], min_pairs=4).beta == pytest.approx(2.5)


def test_no_pairs_at_all_are_refused_as_a_minimum() -> None:
    with pytest.raises(ValueError, match="min_pairs"):
        OracleBasis(min_pairs=0)
