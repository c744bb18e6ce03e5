"""Rows of the generated spot price: what one burst costs."""

import math

from polybot._fast.draws import Draws
from polybot._fast.spot_detail import SpotDetail
from polybot.sim.path import FIRST_IDS, LOT_E8, SHAPE, Quote, Trade

GAP_NS = 83_000_000


def test_burst_with_its_quotes(budget):
    detail = SpotDetail(
        Draws(7),
        Trade,
        Quote,
        step_e8=1_000_000,
        lot_e8=LOT_E8,
        event_delay_us=400,
        burst_scale=1.0,
        ln_qty=math.log(40.0 / 65_000.0),
        quiet_per_s=68.0,
        shape=SHAPE,
        first_ids=FIRST_IDS,
    )
    detail.quote(0, 65_000.0)
    at_ns = [1_795_337_100_000_000_000]

    def burst() -> None:
        detail.quiet_quotes(at_ns[0], GAP_NS)
        at_ns[0] += GAP_NS
        detail.trades(at_ns[0], 65_000.0, 65_001.0, 0.5)
        detail.quote(at_ns[0], 65_001.0)

    budget(burst, name="spot detail: one burst, 6 quotes, 2 trades", median_ns=15_000)
