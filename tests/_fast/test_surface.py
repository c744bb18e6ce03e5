"""The variance surface against the slow reference: weights, implied variances, bounded least squares, predictive sd."""

import math
from dataclasses import replace

import numpy as np
import pytest
from reference import surface_reference as ref

from polybot._fast.surface import Surface, SurfaceStatus, weight_of

SIGMA = 5.5e-5
SE = 0.12
VAR_BASIS = (0.4e-4) ** 2
RULES = [(0.0, 0.0), (60.0, 3.0), (30.0, 0.0)]  # (averaging window, lag)


def random_windows(rng: np.random.Generator, count: int) -> list[ref.Window]:
    """Windows of all rules, some inside their averaging window, quotes wrong by up to three half spreads."""
    windows = []
    for _ in range(count):
        twap, lag = RULES[int(rng.integers(len(RULES)))]
        tau = float(
            rng.choice([25.0, 50.0, 130.0, 300.0, 299.0, 900.0, 3_600.0, 14_000.0]) + rng.integers(0, 3)
        )
        reach = min(1.0, max(0.0, tau - lag) / twap) if twap else 1.0
        own = float(rng.choice([0.0, (0.2e-4) ** 2]))
        window = ref.Window(
            tau=tau,
            x=0.0,
            twap=twap,
            lag=lag,
            reach=reach,
            basis_reach=reach if twap else 0.0,
            own=own,
            extra=own + (VAR_BASIS * reach**2 if twap else 0.0),
            unseen=float(rng.choice([0.0, 0.0, 2e-5])),
        )
        v2 = SIGMA**2 * float(rng.choice([0.3, 1.0, 3.0])) * ref.length(window, 0.0, tau) + window.extra
        window.x = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 2.6)) * math.sqrt(v2)
        half = float(rng.choice([0.001, 0.005, 0.02]))
        mid = ref.up_probability(window.x, v2) + float(rng.uniform(-3.0, 3.0)) * half
        window.bid, window.ask = mid - half, mid + half
        windows.append(window)
    return windows


def build(windows: list[ref.Window], **settings: float) -> Surface:
    surface = Surface(**settings)
    surface.start(sigma=SIGMA, se_ln_sigma=SE, var_basis=VAR_BASIS)
    for window in windows:
        surface.add_window(
            tau_s=window.tau,
            m=100_000.0 * math.exp(window.x),
            k=100_000.0,
            bid=window.bid,
            ask=window.ask,
            w_s=window.twap,
            lag_s=window.lag,
            reach=window.reach,
            basis_reach=window.basis_reach,
            extra=window.extra,
            var_own=window.own,
            unseen=window.unseen,
        )
    return surface


def reference(windows: list[ref.Window], target: int, skip: int = -1, forward_sd: float = 0.25) -> ref.Answer:
    return ref.price(
        windows, target, sigma=SIGMA, se_ln_sigma=SE, var_basis=VAR_BASIS, skip=skip, forward_sd=forward_sd
    )


def quoted(tau: float, z: float, *, scale: float = 1.0, half: float = 0.005) -> ref.Window:
    """A point window quoted at `scale` times the forecast variance, exactly."""
    v2 = SIGMA**2 * tau * scale
    x = z * math.sqrt(SIGMA**2 * tau)
    mid = ref.up_probability(x, v2)
    return ref.Window(tau=tau, x=x, bid=mid - half, ask=mid + half)


@pytest.mark.parametrize(
    ("tau", "twap", "lag", "expected"),
    [
        (300.0, 0.0, 0.0, 300.0),
        (300.0, 60.0, 0.0, 260.0),
        (300.0, 60.0, 3.0, 257.0),
        (60.0, 60.0, 0.0, 20.0),
        (30.0, 60.0, 0.0, 30.0**3 / (3 * 60.0**2)),
        (33.0, 60.0, 3.0, 30.0**3 / (3 * 60.0**2)),
        (2.0, 60.0, 3.0, 0.0),
    ],
)
def test_weights_of_a_whole_window_add_up_to_the_rules_effective_time(tau, twap, lag, expected):
    u = max(0.0, tau - lag)
    assert weight_of(u, twap, 0.0, tau) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_weights_of_pieces_are_the_integral_of_the_squared_weight():
    rng = np.random.default_rng(1)
    for _ in range(300):
        twap, lag = RULES[int(rng.integers(3))]
        tau = float(rng.uniform(1.0, 500.0))
        start, end = sorted(float(s) for s in rng.uniform(0.0, 600.0, size=2))
        window = ref.Window(tau=tau, x=0.0, twap=twap, lag=lag)
        got = weight_of(max(0.0, tau - lag), twap, start, end)
        assert got == pytest.approx(ref.length(window, start, end), rel=1e-8, abs=1e-8)


def test_random_surfaces_are_priced_as_the_reference_prices_them():
    rng = np.random.default_rng(7)
    compared = bounded = 0
    for _ in range(150):
        windows = random_windows(rng, int(rng.integers(2, 7)))
        forward_sd = float(rng.choice([0.25, 8.0]))
        surface = build(windows, forward_sd=forward_sd)
        target = int(rng.integers(len(windows)))
        skip = int(rng.integers(-1, len(windows)))
        assert surface.price(target, skip) == SurfaceStatus.SURFACE_OK
        want = reference(windows, target, skip, forward_sd)
        assert surface.used == want.used
        assert surface.q_up == pytest.approx(want.q, abs=2e-7)
        assert surface.v**2 == pytest.approx(want.variance, rel=1e-6)
        assert surface.sd == pytest.approx(want.sd, rel=2e-4)
        assert surface.misfit == pytest.approx(want.misfit, rel=1e-4, abs=1e-6)
        compared += 1
        bounded += bool(np.any(want.theta[: len(surface.forwards())] == 0.0))
    assert compared == 150
    assert bounded >= 3  # the bound was at work in some of them


def test_implied_variances_and_their_errors_are_those_of_bisection_and_differences():
    rng = np.random.default_rng(3)
    seen = {True: 0, False: 0}
    for window in random_windows(rng, 16) + random_windows(rng, 16):
        usable, v2, sd = build([window]).implied(0)
        assert usable == ref.is_usable(window)
        seen[usable] += 1
        if usable:
            want = ref.implied_v2(window.mid, window.x)
            by_p = ref.derivative(lambda p, w=window: ref.implied_v2(p, w.x), window.mid, 1e-6)
            by_x = ref.derivative(
                lambda x, w=window: ref.implied_v2(w.mid, x), window.x, 1e-4 * abs(window.x)
            )
            half = max(0.5 * (window.ask - window.bid), ref.QUOTE_ERROR)
            assert v2 == pytest.approx(want - window.extra, rel=1e-7)
            assert sd == pytest.approx(
                math.hypot(
                    by_p * half, by_x * math.hypot(math.sqrt(window.own), window.reach * window.unseen)
                ),
                rel=1e-4,
            )
    assert min(seen.values()) >= 5


def test_a_forward_variance_is_never_negative_and_the_rest_makes_up_for_it():
    windows = [quoted(300.0, 1.0, scale=4.0), quoted(600.0, -1.0, scale=0.5), quoted(3_600.0, 1.2)]
    surface = build(windows, forward_sd=2.0)
    assert surface.price(2) == SurfaceStatus.SURFACE_OK
    forwards = [variance for _, variance in surface.forwards()]
    assert forwards[1] == 0.0
    assert min(forwards) >= 0.0
    assert surface.q_up == pytest.approx(reference(windows, 2, forward_sd=2.0).q, abs=2e-7)


def test_the_targets_own_quote_is_never_used():
    windows = [quoted(300.0, 0.8), quoted(900.0, -0.9), quoted(3_600.0, 1.1)]
    first = build(windows)
    first.price(0)
    windows[0] = quoted(300.0, 0.8, scale=3.0)
    second = build(windows)
    second.price(0)
    assert first.implied(0)[1] * 2 < second.implied(0)[1]
    assert (first.q_up, first.sd, first.misfit) == (second.q_up, second.sd, second.misfit)


def test_a_level_that_all_the_others_share_is_followed_and_the_forecast_is_not():
    others = [(600.0, 0.8), (900.0, -1.0), (2_700.0, 1.0), (3_600.0, -0.7)]
    windows = [quoted(300.0, 0.9), *(quoted(tau, z, scale=1.5) for tau, z in others)]
    surface = build(windows)
    surface.price(0)
    assert surface.level == pytest.approx(1.5, abs=0.1)
    true = ref.up_probability(windows[0].x, 1.5 * SIGMA**2 * 300.0)
    assert abs(surface.q_up - true) < surface.sd
    assert abs(ref.up_probability(windows[0].x, SIGMA**2 * 300.0) - true) > 2 * surface.sd


def test_without_any_other_window_the_forecast_is_the_price_and_its_error_is_wide():
    surface = build([quoted(300.0, 0.9)])
    assert surface.price(0) == SurfaceStatus.SURFACE_OK
    assert surface.used == 0
    assert surface.q_up == pytest.approx(ref.up_probability(0.9 * SIGMA * math.sqrt(300.0), SIGMA**2 * 300.0))
    assert surface.sd > 0.05


def test_an_error_of_spot_that_all_quotes_share_is_not_taken_for_variance():
    """Quotes as of a spot one deviation of a second away: windows above and below imply opposite errors of variance."""
    moved = SIGMA * 1.0
    windows = []
    for tau, z in [(300.0, 0.6), (300.0, -0.6), (600.0, 0.5), (900.0, -0.5), (1_800.0, 0.6)]:
        window = quoted(tau, z, half=0.002)
        mid = ref.up_probability(window.x + moved, SIGMA**2 * tau)
        window.bid, window.ask = mid - 0.002, mid + 0.002
        windows.append(window)
    knows, ignores = build(windows), build(windows, quote_lag_s=0.0)
    knows.price(1)
    ignores.price(1)
    market = windows[1].mid
    assert abs(knows.q_up - market) < 0.4 * abs(ignores.q_up - market)
    assert knows.misfit < ignores.misfit


def test_what_spot_did_just_now_is_room_for_a_common_error_as_the_reference_has_it():
    windows = [quoted(tau, z) for tau, z in [(300, 0.9), (600, -0.8), (900, 1.0)]]
    seen = []
    for move in (0.0, 5e-4):
        surface = Surface()
        surface.start(sigma=SIGMA, se_ln_sigma=SE, var_basis=VAR_BASIS, move=move)
        for window in windows:
            surface.add_window(
                tau_s=window.tau, m=1e5 * math.exp(window.x), k=1e5, bid=window.bid, ask=window.ask
            )
        surface.price(0)
        want = ref.price(windows, 0, sigma=SIGMA, se_ln_sigma=SE, var_basis=VAR_BASIS, move=move)
        assert surface.q_up == pytest.approx(want.q, abs=2e-7)
        assert surface.sd == pytest.approx(want.sd, rel=2e-4)
        seen.append(surface.sd)
    assert seen[1] > 1.05 * seen[0]


def test_windows_that_contradict_each_other_widen_the_predictive_sd():
    calm = [quoted(tau, z) for tau, z in [(300, 0.9), (600, 0.8), (610, -0.8), (900, 1.0)]]
    torn = [*calm[:2], quoted(610.0, -0.8, scale=2.5), calm[3]]
    first, second = build(calm), build(torn)
    first.price(0)
    second.price(0)
    assert first.misfit < 1.0 < second.misfit
    assert second.sd > 1.5 * first.sd


@pytest.mark.parametrize(
    "change",
    [
        {"bid": math.nan},
        {"ask": math.nan},
        {"bid": 0.70, "ask": 0.60},
        {"bid": 0.60, "ask": 0.60},
        {"bid": 0.40, "ask": 0.42},  # no variance prices Up below a half when spot is above: the second root
        {"bid": 0.985, "ask": 0.995},
        {"bid": 0.525, "ask": 0.535},  # |z| too small
    ],
)
def test_a_quote_that_says_nothing_about_variance_is_not_used(change):
    surface = build([quoted(900.0, 1.0), replace(quoted(300.0, 0.9), **change)])
    assert surface.implied(1)[0] is False
    assert surface.usable == 1
    surface.price(0)
    assert surface.used == 0


def test_statuses_say_what_is_missing():
    surface = build([quoted(300.0, 0.9)])
    assert surface.price(1) == SurfaceStatus.NO_SUCH_WINDOW
    for bad in ({"sigma": math.nan, "se_ln_sigma": SE}, {"sigma": SIGMA, "se_ln_sigma": math.nan}):
        surface.start(**bad, var_basis=0.0)
        surface.add_window(tau_s=300.0, m=1.0, k=1.0, bid=0.5, ask=0.6)
        assert surface.price(0) == SurfaceStatus.NO_FORECAST
        assert math.isnan(surface.q_up)
    surface.start(sigma=SIGMA, se_ln_sigma=SE)
    surface.add_window(tau_s=2.0, m=1.0, k=1.0, bid=0.5, ask=0.6, w_s=60.0, lag_s=3.0)
    assert surface.price(0) == SurfaceStatus.NO_FIT  # nothing is random any more


def test_a_seventeenth_window_is_not_taken():
    surface = build([quoted(300.0 + k, 0.9) for k in range(16)])
    assert surface.add_window(tau_s=400.0, m=1.0, k=1.0, bid=0.5, ask=0.6) == -1
    assert surface.count == 16
    assert surface.price(15) == SurfaceStatus.SURFACE_OK
    assert surface.used == 15


@pytest.mark.parametrize(
    "bad", [{"level_sd": 0.0}, {"forward_sd": -1.0}, {"min_abs_z": 3.0}, {"min_mid_usd": 0.5}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="must|out of range"):
        Surface(**bad)
