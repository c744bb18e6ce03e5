"""Order and Trade: what we asked for, what the venue said, what was booked.

Status transitions (states only move to a higher rank; terminal states never leave, except that an order the
venue had matched may still receive the fills of that match):

    NEW(0) -> SENT(1) -> DELAYED(2) -> LIVE(3) -> PARTIAL(4) -> CANCEL_SENT(5) -> FILLED | CANCELED | EXPIRED | REJECTED (9)
    SENT.. -> UNKNOWN (6): sticky; leaves only to a terminal state or, on evidence, back to LIVE / PARTIAL / MATCHED

Trades: MATCHED -> MINED -> (RETRYING) -> CONFIRMED | FAILED; forward only, FAILED reverses once.
Must not decide: the engine drives it, risk reads ``reserve``.
"""
from libc.math cimport NAN
from libc.stdint cimport int64_t

from polybot._fast.event cimport (
    FAK, FOK, OS_CANCELED, OS_CANCEL_SENT, OS_DELAYED, OS_EXPIRED, OS_FILLED, OS_LIVE, OS_MATCHED, OS_NEW, OS_PARTIAL,
    OS_REJECTED, OS_SENT, OS_UNKNOWN, TS_CONFIRMED,
)
from polybot._fast.fees cimport notional_micro_usd

cdef int64_t MICRO = 1_000_000
cdef int RANK[12]
RANK[<int> OS_NEW] = 0
RANK[<int> OS_SENT] = 1
RANK[<int> OS_DELAYED] = 2
RANK[<int> OS_LIVE] = 3
RANK[<int> OS_MATCHED] = 4
RANK[<int> OS_PARTIAL] = 4
RANK[<int> OS_CANCEL_SENT] = 5
RANK[<int> OS_UNKNOWN] = 6
RANK[<int> OS_FILLED] = 9
RANK[<int> OS_CANCELED] = 9
RANK[<int> OS_EXPIRED] = 9
RANK[<int> OS_REJECTED] = 9


cdef bint is_terminal(int status) noexcept:
    return RANK[status] == 9


cdef int rank(int status) noexcept:
    return RANK[status]


cdef class Trade:
    """One match of one of our orders; micro-shares, micro-USD."""


cdef class Order:
    """One order of ours from dispatch to its end."""

    def __init__(self):
        self.trades = {}
        self.cancel_edge = NAN

    cdef bint terminal(self) noexcept:
        return RANK[self.status] == 9

    cdef int64_t outstanding(self) noexcept:
        """Micro-shares that may still become a fill: all while the end is open, later only what the venue matched."""
        cdef int64_t most = self.shares
        if self.status == OS_REJECTED:
            return 0
        if RANK[self.status] == 9:
            most = self.matched if self.matched > self.filled else self.filled
        return most - self.filled if most > self.filled else 0

    cdef bint rests(self) noexcept:
        """True for an order that stays in the book by itself, as far as we know."""
        return self.order_type != FAK and self.order_type != FOK and not self.terminal() and self.status != OS_UNKNOWN

    cdef int64_t reserve(self) noexcept:
        """Micro-USD at risk in what may still fill, at the limit price, fee included, rounded up."""
        cdef int64_t open_shares = self.outstanding()
        if open_shares == 0 or self.side != 0:
            return 0
        return notional_micro_usd(open_shares, self.price_ticks) + open_shares * self.unit_fee_ppm // MICRO + 2

    @property
    def is_open(self) -> bool:
        """True until the venue said how it ended and every matched share was booked."""
        return not self.terminal() or self.outstanding() > 0

    @property
    def unsettled_trades(self) -> int:
        """Trades the venue has not yet confirmed or failed."""
        return sum(1 for t in self.trades.values() if (<Trade> t).status < TS_CONFIRMED)
