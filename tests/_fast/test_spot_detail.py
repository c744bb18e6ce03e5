"""Rows of the generated spot detail against the same draws made slowly with random.Random."""

import math
import random

import pytest

from polybot._fast.draws import Draws
from polybot._fast.spot_detail import SpotDetail
from polybot.sim.path import LOT_E8, SHAPE, Quote, Trade

E8 = 100_000_000
STEP_E8, DELAY_US, LN_QTY, QUIET_PER_S, BURST_SCALE = 1_000_000, 400, math.log(40.0 / 65_000.0), 68.0, 1.3
FIRST_IDS = (10, 20, 30)


class SlowDetail:
    """The same rows, one Python expression each."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.trade_id, self.agg_id, self.update_id = FIRST_IDS
        self.last_trade_us = 0
        self.carry = 0.0

    def quantity(self, ln_sd, scale=1.0):
        lots = math.exp(LN_QTY + self.rng.gauss(0.0, ln_sd)) * scale * E8 / LOT_E8
        return max(1, int(min(lots, 2e7))) * LOT_E8

    def trades(self, at_ns, before, price, z):
        rng = self.rng
        mix = 0.4 + 0.6 * min(abs(z), 40.0)
        extra = BURST_SCALE * math.exp(rng.gauss(0.0, SHAPE["burst_ln_sd"])) * mix
        count = 1 + min(int(extra), SHAPE["burst_max"] - 1)
        buys = 0.5 + 0.4 * math.tanh(z / 1.5)
        at_us = max(at_ns // 1_000, self.last_trade_us)
        rows = []
        while len(rows) < count:
            size = 1
            while len(rows) + size < count and rng.random() >= SHAPE["new_taker"]:
                size += 1
            self.agg_id += 1
            buy = rng.random() < buys
            middle_e8 = int((before + (price - before) * (len(rows) + size) / count) * E8)
            price_e8 = middle_e8 - middle_e8 % STEP_E8 + (STEP_E8 if buy else 0)
            at_us = min(at_us + rng.randrange(5, 60), at_ns // 1_000 + DELAY_US - 1)
            for _ in range(size):
                self.trade_id += 1
                quantity = self.quantity(SHAPE["trade_ln_sd"])
                rows.append(Trade(self.trade_id, self.agg_id, price_e8, quantity, at_us, not buy))
        self.last_trade_us = at_us
        return rows

    def quote(self, at_ns, price):
        rng, steps = self.rng, 1
        if rng.random() < SHAPE["wide_share"]:
            wide = SHAPE["wide_steps"] * math.exp(rng.gauss(0.0, SHAPE["wide_ln_sd"]))
            steps = min(1 + int(wide), SHAPE["wide_max"])
        low_e8 = int(price * E8) - (steps - 1) * STEP_E8 // 2
        bid_e8 = low_e8 - low_e8 % STEP_E8
        self.update_id += rng.randrange(1, 12)
        bid_qty = self.quantity(SHAPE["quote_ln_sd"], SHAPE["quote_scale"])
        ask_qty = self.quantity(SHAPE["quote_ln_sd"], SHAPE["quote_scale"])
        self.last = Quote(at_ns, self.update_id, bid_e8, bid_qty, bid_e8 + steps * STEP_E8, ask_qty)
        return self.last

    def quiet_quotes(self, before_ns, gap_ns):
        self.carry += QUIET_PER_S * gap_ns / 10**9
        count = int(self.carry)
        self.carry -= count
        rows, quote = [], self.last
        for i in range(count):
            self.update_id += self.rng.randrange(1, 12)
            quantity = self.quantity(SHAPE["quote_ln_sd"], SHAPE["quote_scale"])
            side = "bid_qty_e8" if self.rng.random() < 0.5 else "ask_qty_e8"
            at_ns = before_ns + gap_ns // (count + 1) * (i + 1)
            quote = quote._replace(at_ns=at_ns, update_id=self.update_id, **{side: quantity})
            rows.append(quote)
        return rows


def fast_detail(seed):
    return SpotDetail(
        Draws(seed),
        Trade,
        Quote,
        step_e8=STEP_E8,
        lot_e8=LOT_E8,
        event_delay_us=DELAY_US,
        burst_scale=BURST_SCALE,
        ln_qty=LN_QTY,
        quiet_per_s=QUIET_PER_S,
        shape=SHAPE,
        first_ids=FIRST_IDS,
    )


@pytest.mark.parametrize("seed", [0, 7, 2**200 + 1])
def test_a_thousand_bursts_have_the_rows_of_the_slow_draws(seed):
    rng, slow, fast = random.Random(1), SlowDetail(seed), fast_detail(seed)
    at_ns, price, rows = 1_795_337_100_000_000_000, 65_000.0, 0
    assert fast.quote(at_ns, price) == slow.quote(at_ns, price)
    for _ in range(1_000):
        gap_ns, before = rng.randrange(1_000, 10**9, 1_000), price
        z = rng.gauss(0.0, 1.0) * (50.0 if rng.random() < 0.02 else 1.0)
        price = before * math.exp(1e-5 * z)
        quiet = fast.quiet_quotes(at_ns, gap_ns)
        assert quiet == slow.quiet_quotes(at_ns, gap_ns)
        at_ns += gap_ns
        trades = fast.trades(at_ns, before, price, z)
        assert trades == slow.trades(at_ns, before, price, z)
        assert fast.quote(at_ns, price) == slow.quote(at_ns, price)
        rows += len(quiet) + len(trades)
    assert rows > 20_000
    assert type(trades[0]) is Trade
    assert trades[0].trade_id == trades[-1].trade_id - len(trades) + 1
