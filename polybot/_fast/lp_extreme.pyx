"""S5 lp_extreme: rest a low bid for the outcome that is losing but not lost (model.md section 4).

With the window far from over and the price well away from the strike, holders of the losing outcome sell it for less
than it is worth.  A bid rests at most at q - edge (min_edge, or the model's standard error where that is larger), on
the tick grid, never crossing, and never higher than the best bid needs: joining it costs nothing, improving by one
cent costs 4 to 20 % of a token worth 5 to 25 cents, more than the place in the queue.  Size: Kelly of a token bought
at a, (q - a)/(1 - a).  Passive: exempt from the house side.  Triggered by spot trades and by books.
"""
from libc.math cimport fabs, floor, fmax, fmin
from libc.stdint cimport int64_t

from polybot._fast.event cimport DOWN, UP
from polybot._fast.regime cimport TREND
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport ON_BOOK, ON_SPOT_TRADE, Signal, Strategy

cdef enum:
    G_REGIME = 0
    G_Z = 1
    G_LEFT = 2
    G_ASK = 3
    G_PRICE = 4
    G_SIZE = 5

# Prices are whole ticks of 1e-4: "below" is "at most half a tick less".
cdef double HALF_TICK = 0.5e-4
# q - edge in ticks loses this to rounding at most; a price that is a whole tick must stay one.
cdef double ROUNDING = 1e-9


cdef class LpExtreme(Strategy):
    """Passive, post-only; edges in USD per share, size_cap_frac of bankroll."""

    def __init__(self, *, double min_abs_z=1.5, double min_left_s=60.0, double min_left_frac=0.10,
                 double max_ask_usd=0.25, double min_edge=0.02, int improve_ticks=0, double life_s=30.0,
                 double cancel_edge=0.0, double size_cap_frac=0.02, double confidence_scale_edge=0.10,
                 double confidence_min=0.3, double confidence_max=0.65, double edge_se_multiple=1.0, bint enabled=True):
        super().__init__("lp_extreme", gate_names=("regime", "abs_z", "time_left", "ask", "price", "size"),
                         triggers=ON_SPOT_TRADE | ON_BOOK, passive=True, enabled=enabled,
                         edge_se_multiple=edge_se_multiple)
        if not life_s >= 0.0:
            raise ValueError(f"life_s {life_s} must not be negative")
        if not 0 <= improve_ticks <= 100:
            raise ValueError(f"improve_ticks {improve_ticks} must lie in [0, 100]")
        self.min_abs_z = min_abs_z
        self.min_left_s = min_left_s
        self.min_left_frac = min_left_frac
        self.max_ask_usd = max_ask_usd
        self.min_edge = min_edge
        self.improve_ticks = improve_ticks
        self.life_s = life_s
        self.cancel_edge = cancel_edge
        self.size_cap_frac = size_cap_frac
        self.confidence_scale_edge = confidence_scale_edge
        self.confidence_min = confidence_min
        self.confidence_max = confidence_max

    cdef double _least_left_s(self, MarketState market) noexcept:
        """Seconds that must be left."""
        return fmax(self.min_left_s, self.min_left_frac * (market.end_ns - market.start_ns) * 1e-9)

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill the signal when a bid for the losing outcome would rest below its worth."""
        cdef double z = market.px.z, floor_edge = fmax(self.min_edge, self.edge_se_multiple * market.px.se_q)
        cdef int outcome = DOWN if z > 0.0 else UP, price, ask
        if not self.gate_flag(G_REGIME, spot.regime.regime != TREND):
            return 0
        if not self.gate(G_Z, fabs(z), self.min_abs_z):
            return 0
        if not self.gate(G_LEFT, market.tau_s, self._least_left_s(market)):
            return 0
        ask = market.book.best_ask(outcome)
        if not self.gate_most(G_ASK, ask * 1e-4 if ask > 0 else 1.0, self.max_ask_usd - HALF_TICK):
            return 0
        price = self.rest_at(market, outcome, <int> floor((market.q(outcome) - floor_edge) * 1e4 + ROUNDING),
                             self.improve_ticks)
        if not self.gate(G_PRICE, price * 1e-4 if price > 0 else 0.0, market.book.tick_size * 1e-4):
            return 0
        if not self.gate_flag(G_SIZE, self.size_maker(market, signal, outcome, price, self.size_cap_frac)):
            return 0
        signal.life_ns = <int64_t> (self.life_s * 1e9)
        signal.cancel_edge = self.cancel_edge
        signal.confidence = fmin(self.confidence_max,
                                 fmax(self.confidence_min, signal.edge / self.confidence_scale_edge))
        return 1
