"""S4 strike_misalign: at the open, lean the way the recent VWAP lies from the strike (model.md section 4).

The strike is one reading of a noisy price; the minute of trades before it says where the price really was.  With
eps = K - VWAP (moved by the basis) the strike's error shifts fair by dP = -phi(d2) / (VWAP v) eps: above 0 it favours
Up.  The past is no forecast, so the outcome must also have its edge at the ask, fee included, at the current spot
with the exact strike.  Only in the opening part of a window.  Triggered by spot trades and by books.
Takes (FAK, FOK), or rests at the best bid (POST_ONLY).
"""
from libc.math cimport fabs, fmax, fmin, isnan
from libc.stdint cimport int64_t

from polybot._fast.event cimport DOWN, FAK, FOK, GTC, UP
from polybot._fast.pricing cimport RULE_CANDLE
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport ON_BOOK, ON_SPOT_TRADE, Signal, Strategy

cdef enum:
    G_ELAPSED = 0
    G_VWAP = 1
    G_SHIFT = 2
    G_ASK = 3
    G_EDGE = 4
    G_SE = 5
    G_BID = 6                # asked for POST_ONLY only
    G_SIZE = 7

ORDER_TYPES = {"FAK": FAK, "FOK": FOK, "POST_ONLY": GTC}


cdef class StrikeMisalign(Strategy):
    """Active; edges in USD per share, size_cap_frac of bankroll."""

    def __init__(self, *, double opening_s=15.0, double opening_frac=0.05, double opening_max_s=300.0,
                 double min_shift_edge=0.02, double min_edge=0.02, str order_type="FAK", double life_s=10.0,
                 double cancel_edge=0.0, double size_cap_frac=0.02, double confidence_scale_edge=0.10,
                 double confidence_min=0.4, double confidence_max=0.9, double edge_se_multiple=1.0, bint enabled=True):
        super().__init__("strike_misalign", gate_names=("elapsed", "vwap", "shift", "ask", "edge", "edge_se", "bid", "size"),
                         triggers=ON_SPOT_TRADE | ON_BOOK, enabled=enabled, edge_se_multiple=edge_se_multiple)
        if order_type not in ORDER_TYPES:
            raise ValueError(f"strike_misalign: order_type must be FAK, FOK or POST_ONLY, not {order_type}")
        if not life_s >= 0.0:
            raise ValueError(f"life_s {life_s} must not be negative")
        self.opening_s = opening_s
        self.opening_frac = opening_frac
        self.opening_max_s = opening_max_s
        self.min_shift_edge = min_shift_edge
        self.min_edge = min_edge
        self.order_type = ORDER_TYPES[order_type]
        self.post_only = order_type == "POST_ONLY"
        self.life_s = life_s
        self.cancel_edge = cancel_edge
        self.size_cap_frac = size_cap_frac
        self.confidence_scale_edge = confidence_scale_edge
        self.confidence_min = confidence_min
        self.confidence_max = confidence_max

    cdef double _opening_s(self, MarketState market) noexcept:
        """Length of the opening part of the window, s."""
        cdef double window_s = (market.end_ns - market.start_ns) * 1e-9
        return fmin(self.opening_max_s, fmax(self.opening_s, self.opening_frac * window_s))

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill the signal when VWAP and the current price both say that an ask is too low."""
        cdef double vwap = spot.vwap.value(), shift, edge
        cdef int outcome
        if market.rule != RULE_CANDLE:
            vwap += spot.basis.beta
        if not self.gate_most(G_ELAPSED, (market.now_ns - market.start_ns) * 1e-9, self._opening_s(market)):
            return 0
        if not self.gate_flag(G_VWAP, vwap > 0.0):
            return 0
        shift = -market.px.phi_d2 / (vwap * market.px.v) * (market.strike - vwap)
        outcome = UP if shift > 0.0 else DOWN
        if not self.gate(G_SHIFT, fabs(shift), self.min_shift_edge):
            return 0
        edge = self.taker_edge(market, outcome)
        if not self.gate_flag(G_ASK, not isnan(edge)):
            return 0
        if not self.gate(G_EDGE, edge, self.min_edge):
            return 0
        if not self.gate(G_SE, edge, self.edge_se_multiple * market.px.se_q):
            return 0
        if self.post_only and not self.gate_flag(G_BID, market.book.best_bid(outcome) > 0):
            return 0
        if not self.gate_flag(G_SIZE, self._size(market, signal, outcome)):
            return 0
        signal.confidence = fmin(self.confidence_max, fmax(self.confidence_min, fabs(shift) / self.confidence_scale_edge))
        return 1

    cdef bint _size(self, MarketState market, Signal signal, int outcome) noexcept:
        """Fill in price and size: by walking the asks, or at the best bid with a life of its own."""
        cdef int price
        if not self.post_only:
            signal.order_type = self.order_type
            return self.size_taker(market, signal, outcome, self.size_cap_frac,
                                   fmax(self.min_edge, self.edge_se_multiple * market.px.se_q))
        price = self.rest_at(market, outcome, market.book.best_bid(outcome), 0)
        signal.life_ns = <int64_t> (self.life_s * 1e9)
        signal.cancel_edge = self.cancel_edge
        return self.size_maker(market, signal, outcome, price, self.size_cap_frac)
