"""S2 certainty_capture: take the nearly decided outcome while its ask is still below its worth (model.md section 4).

Fires when |z| is large, on the outcome of z's sign, when the ask leaves ``min_edge`` after the fee and the
model's standard error.  Allowed down to the end guard: inside the averaging window the twap rule is more
certain than a point rule, and that is the thesis.  Triggered by books and quotes.
"""
from libc.math cimport fabs, fmax, fmin, isnan

from polybot._fast.event cimport DOWN, FAK, FOK, UP
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport ON_BOOK, Signal, Strategy

cdef enum:
    G_Z = 0
    G_ASK = 1
    G_EDGE = 2
    G_SE = 3
    G_SIZE = 4


cdef class CertaintyCapture(Strategy):
    """Active taker; caps are fractions of bankroll by |z| (> 3, > 2.5, else)."""

    def __init__(self, *, double min_abs_z=1.5, double min_edge=0.02, str order_type="FAK",
                 double size_cap_frac=0.02, double size_cap_mid_frac=0.03, double size_cap_mid_abs_z=2.5,
                 double size_cap_high_frac=0.05, double size_cap_high_abs_z=3.0, double confidence_scale_z=4.0,
                 double confidence_min=0.5, double confidence_max=0.99, double edge_se_multiple=1.0,
                 bint enabled=True):
        super().__init__("certainty_capture", gate_names=("abs_z", "ask", "edge", "edge_se", "size"),
                         triggers=ON_BOOK, enabled=enabled, edge_se_multiple=edge_se_multiple)
        if order_type not in ("FAK", "FOK"):
            raise ValueError(f"certainty_capture takes: order_type must be FAK or FOK, not {order_type}")
        self.order_type = FAK if order_type == "FAK" else FOK
        self.min_abs_z = min_abs_z
        self.min_edge = min_edge
        self.size_cap_frac = size_cap_frac
        self.size_cap_mid_frac = size_cap_mid_frac
        self.size_cap_mid_abs_z = size_cap_mid_abs_z
        self.size_cap_high_frac = size_cap_high_frac
        self.size_cap_high_abs_z = size_cap_high_abs_z
        self.confidence_scale_z = confidence_scale_z
        self.confidence_min = confidence_min
        self.confidence_max = confidence_max

    cdef double _cap(self, double abs_z) noexcept:
        if abs_z > self.size_cap_high_abs_z:
            return self.size_cap_high_frac
        if abs_z > self.size_cap_mid_abs_z:
            return self.size_cap_mid_frac
        return self.size_cap_frac

    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1:
        """Fill the signal when the likely outcome is still cheap."""
        cdef double z = market.px.z, edge
        cdef double abs_z = fabs(z)
        cdef int outcome = UP if z > 0 else DOWN
        if not self.gate(G_Z, abs_z, self.min_abs_z):
            return 0
        edge = self.taker_edge(market, outcome)
        if not self.gate_flag(G_ASK, not isnan(edge)):
            return 0
        if not self.gate(G_EDGE, edge, self.min_edge):
            return 0
        if not self.gate(G_SE, edge, self.edge_se_multiple * market.px.se_q):
            return 0
        if not self.gate_flag(G_SIZE, self.size_taker(market, signal, outcome, self._cap(abs_z),
                                                      fmax(self.min_edge, self.edge_se_multiple * market.px.se_q))):
            return 0
        signal.order_type = self.order_type
        signal.confidence = fmin(self.confidence_max, fmax(self.confidence_min, abs_z / self.confidence_scale_z))
        return 1
