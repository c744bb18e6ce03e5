"""The detail of the generated spot price: trades of a burst, and top-of-book quotes, about 110 rows a second.

Owns the draws of sizes, takers and spreads and the ids that count up; the price path and every number of the
shape are sim.path's, which also says where they come from.  Rows are the caller's tuple types, prices and
sizes integers of 1e-8.  Must not know time or wire formats.  Called by sim.path.
"""
from libc.math cimport exp, fabs, tanh
from libc.stdint cimport int64_t

cdef double E8 = 1e8
cdef double LOTS_MAX = 2e7       # of one row: far beyond any size drawn
cdef int64_t NS_PER_S = 1_000_000_000


cdef class SpotDetail:
    """One symbol's rows; calls come in the order of time."""

    def __cinit__(self, Draws draws, type trade_type, type quote_type, *, int64_t step_e8, int64_t lot_e8,
                  int64_t event_delay_us, double burst_scale, double ln_qty, double quiet_per_s, dict shape,
                  tuple first_ids):
        """`shape` has the numbers below by name; first_ids are those before the first (trade, taker, update)."""
        self.rng = draws
        self.trade_type, self.quote_type = trade_type, quote_type
        self.make = tuple.__new__
        self.step_e8, self.lot_e8, self.event_delay_us = step_e8, lot_e8, event_delay_us
        self.burst_scale, self.ln_qty, self.quiet_per_s = burst_scale, ln_qty, quiet_per_s
        self.trade_ln_sd, self.burst_ln_sd = shape["trade_ln_sd"], shape["burst_ln_sd"]
        self.burst_max, self.new_taker = shape["burst_max"], shape["new_taker"]
        self.quote_ln_sd, self.quote_scale = shape["quote_ln_sd"], shape["quote_scale"]
        self.wide_share, self.wide_steps = shape["wide_share"], shape["wide_steps"]
        self.wide_ln_sd, self.wide_max = shape["wide_ln_sd"], shape["wide_max"]
        self.trade_id, self.agg_id, self.update_id = first_ids

    def trades(self, int64_t at_ns, double before, double price, double z) -> list:
        """Trades on the way from the old price to the new one, grouped into taker orders."""
        cdef Draws rng = self.rng
        cdef double mix = 0.4 + 0.6 * min(fabs(z), 40.0)
        cdef double extra = self.burst_scale * exp(rng.gauss(0.0, self.burst_ln_sd)) * mix
        cdef int64_t count = 1 + <int64_t> min(extra, <double> (self.burst_max - 1))
        cdef double buys = 0.5 + 0.4 * tanh(z / 1.5)
        cdef int64_t at_us = max(at_ns // 1_000, self.last_trade_us)
        cdef int64_t last_us = at_ns // 1_000 + max(0, self.event_delay_us - 1)
        cdef double way = price - before
        cdef int64_t done = 0, size, middle_e8, price_e8
        cdef bint buy
        cdef list rows = []
        while done < count:
            size = 1
            while done + size < count and rng.random() >= self.new_taker:
                size += 1
            self.agg_id += 1
            buy = rng.random() < buys
            done += size
            middle_e8 = <int64_t> ((before + way * <double> done / <double> count) * E8)
            price_e8 = middle_e8 - middle_e8 % self.step_e8 + (self.step_e8 if buy else 0)
            at_us = min(at_us + 5 + <int64_t> rng.below(55), last_us)
            for _ in range(size):
                self.trade_id += 1
                rows.append(self.make(self.trade_type, (
                    self.trade_id, self.agg_id, price_e8, self._quantity(self.trade_ln_sd, 1.0), at_us, not buy)))
        self.last_trade_us = at_us
        return rows

    def quote(self, int64_t at_ns, double price):
        """Best bid and ask around a price."""
        cdef Draws rng = self.rng
        cdef int64_t steps = 1, low_e8, bid_e8, bid_qty_e8, ask_qty_e8
        if rng.random() < self.wide_share:
            steps = min(1 + <int64_t> (self.wide_steps * exp(rng.gauss(0.0, self.wide_ln_sd))), self.wide_max)
        low_e8 = <int64_t> (price * E8) - (steps - 1) * self.step_e8 // 2
        bid_e8 = low_e8 - low_e8 % self.step_e8
        self.update_id += 1 + <int64_t> rng.below(11)
        bid_qty_e8 = self._quantity(self.quote_ln_sd, self.quote_scale)
        ask_qty_e8 = self._quantity(self.quote_ln_sd, self.quote_scale)
        self.last_quote = self.make(self.quote_type, (
            at_ns, self.update_id, bid_e8, bid_qty_e8, bid_e8 + steps * self.step_e8, ask_qty_e8))
        return self.last_quote

    def quiet_quotes(self, int64_t before_ns, int64_t gap_ns) -> list:
        """Quotes in a gap without trades: the last one's prices, one size changed at a time, evenly spaced."""
        cdef Draws rng = self.rng
        cdef int64_t count, gap, k, quantity
        cdef list rows = []
        self.quiet_carry += self.quiet_per_s * <double> gap_ns / <double> NS_PER_S
        count = <int64_t> self.quiet_carry
        self.quiet_carry -= <double> count
        if not count:
            return rows
        gap = gap_ns // (count + 1)
        _, _, bid_e8, bid_qty_e8, ask_e8, ask_qty_e8 = self.last_quote
        for k in range(count):
            self.update_id += 1 + <int64_t> rng.below(11)
            quantity = self._quantity(self.quote_ln_sd, self.quote_scale)
            if rng.random() < 0.5:
                bid_qty_e8 = quantity
            else:
                ask_qty_e8 = quantity
            rows.append(self.make(self.quote_type, (
                before_ns + gap * (k + 1), self.update_id, bid_e8, bid_qty_e8, ask_e8, ask_qty_e8)))
        return rows

    cdef int64_t _quantity(self, double ln_sd, double scale) noexcept:
        """A lognormal size in whole lots."""
        cdef double lots = exp(self.ln_qty + self.rng.gauss(0.0, ln_sd)) * scale * E8 / <double> self.lot_e8
        return max(1, <int64_t> min(lots, LOTS_MAX)) * self.lot_e8
