"""S3 convexity_fade: bid for the outcome the market has just oversold near the strike (model.md section 4).

Near the strike the price of an outcome moves most; when its mid fell by more than the model says, by several of
that gap's own standard deviations, the rest is taken for overreaction.  The edge at the ask, fee included, picks the
outcome; then the order rests at its best bid, where makers pay no fee, for a short life of its own, and is cancelled
as soon as fair falls below its price by more than a buffer.  Not in a trend, and not inside the averaging window.
Triggered by books and quotes.  Must not measure moves itself: MarketState.moves does, on the timer.
"""
from libc.math cimport M_2_PI, NAN, fabs, fmax, fmin, isnan, sqrt
from libc.stdint cimport int64_t

from polybot._fast.event cimport DOWN, UP
from polybot._fast.moves cimport MoveTracker
from polybot._fast.pricing cimport RULE_TWAP
from polybot._fast.regime cimport TREND
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport ON_BOOK, Signal, Strategy

cdef enum:
    G_REGIME = 0
    G_DISTANCE = 1
    G_LEFT = 2
    G_ASK = 3
    G_OVERREACTION = 4
    G_EDGE = 5
    G_SE = 6
    G_BID = 7
    G_SIZE = 8


cdef class ConvexityFade(Strategy):
    """Active, post-only; edges in USD per share, size_cap_frac of bankroll."""

    def __init__(self, *, double max_distance_frac=0.003, double min_left_s=30.0, double lookback_s=5.0,
                 double overreaction_z=2.0, double overreaction_min_sd=0.005, double overreaction_half_life_s=120.0,
                 int overreaction_min_samples=300, double min_edge=0.02, double life_s=10.0,
                 double cancel_buffer_edge=0.01, double swing_s=10.0, double size_cap_frac=0.005,
                 double confidence_min=0.3, double confidence_max=0.65, double edge_se_multiple=1.0, bint enabled=True):
        super().__init__("convexity_fade", gate_names=("regime", "distance", "time_left", "ask", "overreaction", "edge",
                                                       "edge_se", "bid", "size"),
                         triggers=ON_BOOK, enabled=enabled, edge_se_multiple=edge_se_multiple)
        if not (life_s > 0.0 and swing_s > 0.0):
            raise ValueError(f"life_s {life_s} and swing_s {swing_s} must be positive")
        MoveTracker().configure(lookback_s=lookback_s, half_life_s=overreaction_half_life_s,
                                min_samples=overreaction_min_samples)    # refuses here what it would refuse later
        self.max_distance_frac = max_distance_frac
        self.min_left_s = min_left_s
        self.lookback_s = lookback_s
        self.overreaction_z = overreaction_z
        self.overreaction_min_sd = overreaction_min_sd
        self.overreaction_half_life_s = overreaction_half_life_s
        self.overreaction_min_samples = overreaction_min_samples
        self.min_edge = min_edge
        self.life_s = life_s
        self.cancel_buffer_edge = cancel_buffer_edge
        self.swing_s = swing_s
        self.size_cap_frac = size_cap_frac
        self.confidence_min = confidence_min
        self.confidence_max = confidence_max

    cdef int prepare(self, MarketState market) except -1:
        """Have the market's moves measured."""
        if self.enabled and not market.observed:
            market.moves.configure(lookback_s=self.lookback_s, half_life_s=self.overreaction_half_life_s,
                                   min_samples=self.overreaction_min_samples)
        return 0

    cdef double _cheapness(self, MarketState market, int outcome) noexcept:
        """By how many of its own standard deviations the outcome's mid fell more than fair did; NaN when not known.

        Mids move in half ticks: a deviation below overreaction_min_sd is the grid's, not the market's.
        """
        cdef double moved = market.moves.move(market.mid(), market.px.p_up, market.now_ns)
        cdef double sd = market.moves.sd()
        if isnan(sd):
            return NAN
        sd = fmax(sd, self.overreaction_min_sd)
        return (-moved if outcome == UP else moved) / sd

    cdef double _least_left_s(self, MarketState market) noexcept:
        """Seconds that must be left: min_left_s, and not inside the averaging window."""
        if market.rule != RULE_TWAP:
            return self.min_left_s
        return fmax(self.min_left_s, market.twap_window_s + market.lag_s - market.tau_shift_s)

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill the signal when an outcome is oversold and there is a bid to join."""
        cdef double up, down, edge, swing
        cdef int outcome, price
        if not self.gate_flag(G_REGIME, spot.regime.regime != TREND):
            return 0
        if not self.gate_most(G_DISTANCE, fabs(market.spot - market.strike) / market.strike, self.max_distance_frac):
            return 0
        if not self.gate(G_LEFT, market.tau_s, self._least_left_s(market)):
            return 0
        up, down = self.taker_edge(market, UP), self.taker_edge(market, DOWN)
        outcome = UP if isnan(down) or up >= down else DOWN
        edge = up if outcome == UP else down
        if not self.gate_flag(G_ASK, not isnan(edge)):
            return 0
        if not self.gate(G_OVERREACTION, self._cheapness(market, outcome), self.overreaction_z):
            return 0
        if not self.gate(G_EDGE, edge, self.min_edge):
            return 0
        if not self.gate(G_SE, edge, self.edge_se_multiple * market.px.se_q):
            return 0
        price = self.rest_at(market, outcome, market.book.best_bid(outcome), 0)
        if not self.gate_flag(G_BID, price > 0):
            return 0
        if not self.gate_flag(G_SIZE, self.size_maker(market, signal, outcome, price, self.size_cap_frac)):
            return 0
        signal.life_ns = <int64_t> (self.life_s * 1e9)
        signal.cancel_edge = -self.cancel_buffer_edge
        # Mean absolute move of fair over swing_s: phi(d2)/v of its own per unit of ln m, times sigma sqrt(swing_s).
        swing = market.px.phi_d2 * sqrt(self.swing_s / market.px.t_eff) * sqrt(M_2_PI)
        signal.confidence = fmin(self.confidence_max, fmax(self.confidence_min, signal.edge / swing))
        return 1
