"""The variance surface alone: eight windows taken in and one priced from the other seven."""

import math

from polybot._fast.surface import Surface, SurfaceStatus

SIGMA = 5.5e-5
ENDS_S = (240.0, 540.0, 600.0, 900.0, 1_500.0, 2_700.0, 3_600.0, 9_000.0)


def windows():
    """Keyword arguments of add_window: alternately above and below their strikes, at the forecast variance."""
    made = []
    for place, tau in enumerate(ENDS_S):
        v = SIGMA * math.sqrt(tau)
        x = (0.8 if place % 2 else -0.9) * v
        mid = 0.5 * math.erfc(-(x / v - 0.5 * v) / math.sqrt(2.0))
        made.append({"tau_s": tau, "m": 1e5 * math.exp(x), "k": 1e5, "bid": mid - 0.005, "ask": mid + 0.005})
    return made


def filled():
    surface = Surface()
    surface.start(sigma=SIGMA, se_ln_sigma=0.1, var_basis=1e-9)
    for window in windows():
        surface.add_window(**window)
    return surface


def test_one_window_priced_from_seven_others(budget):
    surface = filled()
    price = surface.price

    def run():
        for target in range(8):
            price(target)

    budget(run, name="surface: fit of 8 windows, one left out", median_ns=10_000, inner=8)
    assert surface.price(0) == SurfaceStatus.SURFACE_OK
    assert surface.used == 7
