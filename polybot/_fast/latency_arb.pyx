"""S1 latency_arb: take a quote that has not followed a spot move yet (model.md section 4).

Fires when the better outcome's edge at the ask, fee included, reaches ``min_edge`` and the model's standard
error, and with the spot as it was when that ask was set the edge would have been below ``require_move_edge``:
the mispricing must come from a move, not from a standing disagreement.  Triggered by spot trades.
"""
from libc.math cimport fmax, fmin, isnan

from polybot._fast.event cimport DOWN, FAK, FOK, UP
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport ON_SPOT_TRADE, Signal, Strategy

cdef enum:
    G_ASK = 0
    G_EDGE = 1
    G_SE = 2
    G_MOVE = 3
    G_SIZE = 4


cdef class LatencyArb(Strategy):
    """Active taker; edges in USD per share, size_cap_frac of bankroll."""

    def __init__(self, *, double min_edge=0.03, bint require_move=True, double require_move_edge=0.01,
                 str order_type="FAK", double size_cap_frac=0.15, double confidence_scale_edge=0.10,
                 double confidence_min=0.3, double edge_se_multiple=1.0, bint enabled=True):
        super().__init__("latency_arb", gate_names=("ask", "edge", "edge_se", "move", "size"),
                         triggers=ON_SPOT_TRADE, enabled=enabled, edge_se_multiple=edge_se_multiple)
        if order_type not in ("FAK", "FOK"):
            raise ValueError(f"latency_arb takes: order_type must be FAK or FOK, not {order_type}")
        self.min_edge = min_edge
        self.require_move = require_move
        self.require_move_edge = require_move_edge
        self.size_cap_frac = size_cap_frac
        self.confidence_scale_edge = confidence_scale_edge
        self.confidence_min = confidence_min
        self.order_type = FAK if order_type == "FAK" else FOK

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill the signal when a stale quote is worth taking."""
        cdef double up = self.taker_edge(market, UP), down = self.taker_edge(market, DOWN)
        cdef double edge, before, floor = fmax(self.min_edge, self.edge_se_multiple * market.px.se_q)
        cdef int outcome = UP if isnan(down) or up >= down else DOWN
        edge = up if outcome == UP else down
        if not self.gate_flag(G_ASK, not isnan(edge)):
            return 0
        if not self.gate(G_EDGE, edge, self.min_edge):
            return 0
        if not self.gate(G_SE, edge, self.edge_se_multiple * market.px.se_q):
            return 0
        if self.require_move:
            before = market.fair_at_spot(market.quote_spot(spot, outcome), market.spot - spot.last, outcome)
            before = edge - (market.q(outcome) - before)
            if not self.gate_most(G_MOVE, before, self.require_move_edge):
                return 0
        if not self.gate_flag(G_SIZE, self.size_taker(market, signal, outcome, self.size_cap_frac, floor)):
            return 0
        signal.order_type = self.order_type
        signal.confidence = fmin(1.0, fmax(self.confidence_min, signal.edge / self.confidence_scale_edge))
        return 1
