"""S6 cross_timeframe: take a quote that contradicts what the asset's other windows imply together (model.md 4).

The other live windows (traded or observed, each under its own rule and source) give a surface of forward variance;
our window is priced from it, its own quote left out (polybot._fast.surface).  Fires when the edge at the ask after
the fee reaches ``min_edge`` and ``min_edge_sd`` predictive sd, and still does whichever one of the others is left
out too: one window that is wrong among the others must not make ours look wrong.
Beside it the model-free check of pairs (polybot._fast.pairs), which is told and never traded.
Triggered by a book of any live window.  Signal.fair is the surface's probability, not the model's.
"""
from libc.math cimport NAN, fabs, fmax, fmin, isnan, log, sqrt
from libc.stdint cimport int64_t

from polybot._fast.event cimport DOWN, FAK, UP
from polybot._fast.pairs cimport PairFinder
from polybot._fast.pricing cimport RULE_CANDLE, RULE_TWAP, implied_deviation
from polybot._fast.state cimport GATE_AT_LEAST, GATE_PASSED, MarketState, SpotState
from polybot._fast.strategy cimport ON_ANY_BOOK, Signal, Strategy
from polybot._fast.surface cimport SURFACE_OK, Surface, SurfaceWindow

cdef enum:
    G_PAIR = 0
    G_WINDOWS = 1
    G_QUALITY = 2
    G_ASK = 3
    G_EDGE = 4
    G_SE = 5
    G_ROBUST = 6
    G_SIZE = 7
    OURS = 0                 # place of the evaluated window in the surface


cdef class CrossTimeframe(Strategy):
    """Active taker; edges in USD per share, sd of a probability, size_cap_frac of bankroll."""

    def __init__(self, *, int others_count=2, double max_fair_sd=0.06, double min_edge=0.01, double min_edge_sd=1.5,
                 double size_cap_frac=0.005, double confidence_scale_sd=4.0, double confidence_min=0.3,
                 double confidence_max=0.9, double min_left_s=10.0, double book_max_age_s=5.0, double level_sd=0.5,
                 double forward_sd=0.25, double quote_lag_s=1.0, double quote_error_usd=0.002, double min_mid_usd=0.03,
                 double min_abs_z=0.3, double max_abs_z=2.2, double pair_report_s=60.0, double edge_se_multiple=1.0,
                 bint enabled=True):
        super().__init__("cross_timeframe", triggers=ON_ANY_BOOK, enabled=enabled, edge_se_multiple=edge_se_multiple,
                         gate_names=("pair", "windows", "quality", "ask", "edge", "edge_se", "robust", "size"))
        self.others_count = others_count
        self.max_fair_sd = max_fair_sd
        self.min_edge = min_edge
        self.min_edge_sd = min_edge_sd
        self.size_cap_frac = size_cap_frac
        self.confidence_scale_sd = confidence_scale_sd
        self.confidence_min = confidence_min
        self.confidence_max = confidence_max
        self.min_left_s = min_left_s
        self.book_max_age_s = book_max_age_s
        self.pair_report_s = pair_report_s
        self.max_age_ns = <int64_t> (self.book_max_age_s * 1e9)
        self.surface = Surface(level_sd=level_sd, forward_sd=forward_sd, quote_lag_s=quote_lag_s,
                               quote_error_usd=quote_error_usd, min_mid_usd=min_mid_usd, min_abs_z=min_abs_z,
                               max_abs_z=max_abs_z)
        self.pairs = PairFinder(report_s=self.pair_report_s, book_max_age_s=book_max_age_s)

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill the signal when our quote and the surface without it disagree by more than they may."""
        cdef double up, down, edge, floor, sd
        cdef int outcome
        self.note_pairs(market)
        if len(market.peers) == 1 and self.others_count > 0:
            self.gate(G_WINDOWS, 0.0, self.others_count)     # what the surface would find, without asking it
            return 0
        self.collect(market, spot)
        if not self.gate(G_WINDOWS, self.surface.usable, self.others_count):
            return 0
        if self.surface.prepare(OURS) == SURFACE_OK:
            self.surface.fit(OURS, -1)
        sd = self.surface.sd
        if not self.gate_most(G_QUALITY, sd, self.max_fair_sd):
            return 0
        up, down = self.edge_of(market, UP), self.edge_of(market, DOWN)
        outcome = UP if isnan(down) or up >= down else DOWN
        edge = up if outcome == UP else down
        if not self.gate_flag(G_ASK, not isnan(edge)):
            return 0
        if not self.gate(G_EDGE, edge, self.min_edge):
            return 0
        floor = self.needed()
        if not self.gate(G_SE, edge, floor):
            return 0
        signal.fair = market.shrunk(self.surface.q_up, outcome)
        if not self.gate(G_ROBUST, self.weakest(market, outcome), 0.0):
            return 0
        if not self.gate_flag(G_SIZE, self.size_taker_at(market, signal, signal.fair, outcome, self.size_cap_frac, floor)):
            return 0
        signal.order_type = FAK
        signal.confidence = self.confidence_max
        sd *= self.confidence_scale_sd
        if sd != 0.0:                            # far in the tail it is 0 to the bit: nothing is more certain
            signal.confidence = fmin(self.confidence_max, fmax(self.confidence_min, signal.edge / sd))
        return 1

    cdef void note_pairs(self, MarketState market):
        """Record the cost of the cheapest pair beside 1, the least it pays; it never blocks what follows."""
        if self._gates == NULL:                  # asked outside run(): nothing to record in
            return
        market.gates[self.index][G_PAIR].value = self.pairs.scan(market.peers, market.now_ns)
        market.gates[self.index][G_PAIR].threshold = 1.0
        market.gates[self.index][G_PAIR].compare = GATE_AT_LEAST
        market.gates[self.index][G_PAIR].result = GATE_PASSED
        self._reached |= 1 << <int> G_PAIR

    cdef void collect(self, MarketState market, SpotState spot) noexcept:
        """Put our window without its quote, then every other one with its own, into the surface."""
        cdef MarketState m
        cdef int64_t now_ns = market.now_ns
        cdef bint fresh
        self.surface.begin(spot.sigma, spot.se_ln_sigma, 0.0 if isnan(spot.basis.var_ln) else spot.basis.var_ln,
                           self.recent_move(spot, now_ns))
        self.add_window(market, spot, False)
        for m in market.peers:
            if m is market or m.closed or isnan(m.strike) or not m.start_ns <= now_ns < m.end_ns:
                continue
            fresh = m.book.has_snapshot and now_ns - m.book_ns <= self.max_age_ns and not m.book.is_crossed()
            if fresh and m.reprice(spot, now_ns) and m.tau_s >= self.min_left_s:
                self.add_window(m, spot, True)

    cdef double recent_move(self, SpotState spot, int64_t now_ns) noexcept:
        """Furthest |ln| of spot from where it was a whole, a half and a quarter of quote_lag_s ago."""
        cdef double back_ns = self.surface.quote_lag_s * 1e9, before, furthest = 0.0
        cdef int _k
        for _k in range(3):
            before = spot.basis.spot_at(now_ns - <int64_t> back_ns)
            if before > 0.0:
                furthest = fmax(furthest, fabs(log(spot.last / before)))
            back_ns *= 0.5
        return furthest

    cdef int add_window(self, MarketState m, SpotState spot, bint quoted) noexcept:
        """One window as priced now: its own averaging window, reach of spot, and variance that is not sigma^2 time."""
        cdef SurfaceWindow w
        cdef int bid = m.book.best_bid(UP), ask = m.book.best_ask(UP)
        w.tau_s, w.u_s, w.m, w.k = m.inp.tau_s, m.px.u, m.px.m, m.strike
        w.w_s = m.twap_window_s if m.rule == RULE_TWAP else 0.0
        w.reach = m.px.dm_ds * m.inp.s / m.px.m
        w.basis_reach = 0.0 if m.rule == RULE_CANDLE else w.reach
        w.var_own = m.inp.var_strike + m.inp.var_locked
        w.extra = extra_variance(m)
        w.unseen = fmax(unseen_move(m, spot, UP), unseen_move(m, spot, DOWN))
        quoted = quoted and bid > 0 and ask > 0
        return self.surface.add(&w, bid * 1e-4 if quoted else NAN, ask * 1e-4 if quoted else NAN)

    cdef double needed(self) noexcept:
        """Least edge of the last fit, USD per share: min_edge, and so many predictive sd."""
        return fmax(self.min_edge, fmax(self.min_edge_sd, self.edge_se_multiple) * self.surface.sd)

    cdef double edge_of(self, MarketState market, int outcome) noexcept:
        """Edge per share at the best ask by the last fit, fee included; NaN without an ask or a fee schedule."""
        cdef int ask = market.book.best_ask(outcome)
        if ask <= 0 or ask >= 10_000:
            return NAN
        return market.shrunk(self.surface.q_up, outcome) - ask * 1e-4 - market.fee_per_share(ask * 1e-4)

    cdef double weakest(self, MarketState market, int outcome) noexcept:
        """Smallest edge above what is needed when any one of the others is left out as well; NaN when one fit fails."""
        cdef double least = 1.0
        cdef int k
        for k in range(self.surface.count):
            if k == OURS or not self.surface.win[k].usable:
                continue
            if self.surface.fit(OURS, k) != SURFACE_OK:
                return NAN
            least = fmin(least, self.edge_of(market, outcome) - self.needed())
        return least

    def take_notes(self) -> list[str]:
        """Reports of the pair check since the last call."""
        return self.pairs.take_notes()


cdef double unseen_move(MarketState m, SpotState spot, int outcome) noexcept:
    """|ln| of spot now over spot when this outcome's best ask was set; 0 when that is not known."""
    cdef double then = m.quote_spot(spot, outcome)
    return fabs(log(spot.last / then)) if then > 0.0 else 0.0


cdef double extra_variance(MarketState m) noexcept:
    """Variance of ln(m/K) of a priced market that is not sigma^2 time: basis, strike, seconds never seen."""
    cdef double reach = m.px.dm_ds * m.inp.s / m.px.m
    return m.inp.var_strike + m.inp.var_locked + m.inp.var_basis * reach * reach


def look_at(MarketState market not None, SpotState spot not None, int64_t now_ns) -> tuple[float, float, float]:
    """(mid of Up, fair of Up, volatility per sqrt(s) that the mid implies) of any live window now; NaN where unknown."""
    cdef double mid = NAN, v
    cdef int bid = market.book.best_bid(UP), ask = market.book.best_ask(UP)
    if 0 < bid < ask:
        mid = (bid + ask) * 0.5e-4
    if not market.reprice(spot, now_ns):
        return mid, NAN, NAN
    v = implied_deviation(mid, market.px.m, market.strike)
    v = v * v - extra_variance(market)
    return mid, market.px.p_up, sqrt(v / market.px.t_eff) if v > 0.0 else NAN
