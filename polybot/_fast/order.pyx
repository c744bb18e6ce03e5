"""Order and Trade: what we asked for, what the venue said, what was booked; and the one table of their states.

Theory of operation: ORDER_MOVES and TRADE_MOVES say for every (known state, state told) whether the state moves
(+), the news is old or a repeat (.), both cannot be true (!), or the venue shows alive what it had refused (^: it
wins, and a person is told).  The account, the gateway's tracker and the journal's fold all ask this table, and
docs/ARCHITECTURE.md prints it.  UNKNOWN is sticky: only what the venue shows of the order ends it.  Fills are
provisional (MATCHED, MINED, RETRYING) until CONFIRMED or FAILED; FAILED takes back what was booked, once.

Must not decide: the account drives it, risk reads ``reserve``.
"""
cimport cython
from libc.math cimport NAN
from libc.stdint cimport int64_t

from polybot._fast.event cimport (
    FAK, FOK, OS_CANCELED, OS_EXPIRED, OS_FILLED, OS_REJECTED, TS_CONFIRMED, TS_FAILED,
)
from polybot._fast.fees cimport notional_micro_usd

cdef int64_t MICRO = 1_000_000
# Row: the state known; column: the state told; both in the order of OrderStatus.
#    NEW SENT LIVE DELAYED | MATCHED PARTIAL FILLED CANCEL_SENT | CANCELED EXPIRED REJECTED UNKNOWN
ORDER_MOVES = (
    ".+++" "++++" "++++",        # NEW
    "..++" "++++" "++++",        # SENT
    "...." "++++" "++!.",        # LIVE
    "..+." "++++" "++!.",        # DELAYED
    "...." ".+++" "++!.",        # MATCHED
    "...." "..++" "++!.",        # PARTIAL
    "...." "...." "..!.",        # FILLED
    "...." "..+." "++++",        # CANCEL_SENT
    "...." "...." "..!.",        # CANCELED
    "...." "...." "..!.",        # EXPIRED
    "..^^" "^^^." "^^..",        # REJECTED
    "..++" "+++." "+++.",        # UNKNOWN
)
# In the order of TradeStatus; the first row is a trade never heard of.
#     - MATCHED MINED RETRYING CONFIRMED FAILED
TRADE_MOVES = (
    ".+++++",
    "..++++",                    # MATCHED
    "...+++",                    # MINED
    "....++",                    # RETRYING
    ".....!",                    # CONFIRMED
    "....!.",                    # FAILED
)
cdef enum:
    ORDER_STATES = 12
    TRADE_STATES = 6

cdef int ORDER_TABLE[ORDER_STATES][ORDER_STATES]
cdef int TRADE_TABLE[TRADE_STATES][TRADE_STATES]


cdef int _read_tables() except -1:
    cdef int old, new
    for old in range(ORDER_STATES):
        for new in range(ORDER_STATES):
            ORDER_TABLE[old][new] = ".+!^".index(ORDER_MOVES[old][new])
    for old in range(TRADE_STATES):
        for new in range(TRADE_STATES):
            TRADE_TABLE[old][new] = ".+!^".index(TRADE_MOVES[old][new])
    return 0


_read_tables()


cdef int step_order(int old, int new, bint matched) noexcept:
    """Move of an order from one OrderStatus to another; both must be one.

    matched: something of it was matched, and not taken back; then it cannot have been refused.
    """
    cdef int move = ORDER_TABLE[old][new]
    return MOVE_CONTRADICTION if matched and new == OS_REJECTED and move == MOVE_ON else move


cdef int step_trade(int old, int new) noexcept:
    """Move of a trade from one TradeStatus (0: never heard of) to another; both must be one."""
    return TRADE_TABLE[old][new]


def order_move(int old, int new, *, bint matched=False) -> int:
    """Move (MOVE_ON, MOVE_NONE ...) of an order from one OrderStatus to another; ValueError for what is none.

    matched: something of it was matched, and not taken back; then it cannot have been refused.
    """
    if not (0 <= old < ORDER_STATES and 0 <= new < ORDER_STATES):
        raise ValueError(f"order status {old} or {new} does not exist")
    return step_order(old, new, matched)


def trade_move(int old, int new) -> int:
    """Move of a trade from one TradeStatus (0: never heard of) to another; ValueError for what is none."""
    if not (0 <= old < TRADE_STATES and 0 < new < TRADE_STATES):
        raise ValueError(f"trade status {old} or {new} does not exist")
    return TRADE_TABLE[old][new]


cpdef bint is_terminal(int status) noexcept:
    """True when the venue has nothing more to do with an order of this OrderStatus, except to report its fills."""
    return status == OS_FILLED or status == OS_CANCELED or status == OS_EXPIRED or status == OS_REJECTED


cdef class Trade:
    """One match of one of our orders; micro-shares, micro-USD."""

    cdef bint provisional(self) noexcept:
        """True while the venue may still fail it."""
        return self.status < TS_CONFIRMED


@cython.freelist(64)                             # made between signal and order: at once
@cython.no_gc                                    # holds trades alone, which hold nothing: no cycle
cdef class Order:
    """One order of ours from dispatch to its end."""

    def __cinit__(self):
        self.cancel_edge = NAN

    cdef bint terminal(self) noexcept:
        return is_terminal(self.status)

    cdef int64_t outstanding(self) noexcept:
        """Micro-shares that may still become a fill: all while the end is open, later only what the venue matched."""
        cdef int64_t most = self.shares
        if self.status == OS_REJECTED:
            return 0
        if self.terminal():
            most = self.matched if self.matched > self.filled else self.filled
        return most - self.filled if most > self.filled else 0

    cdef bint rests(self) noexcept:
        """True for an order that stays in the book by itself, as far as we know (an unknown one may)."""
        return self.order_type != FAK and self.order_type != FOK and not self.terminal()

    cdef int64_t reserve(self) noexcept:
        """Micro-USD at risk in what may still fill, at the limit price, fee included, rounded up."""
        cdef int64_t open_shares = self.outstanding()
        if open_shares == 0 or self.side != 0:
            return 0
        return notional_micro_usd(open_shares, self.price_ticks) + open_shares * self.unit_fee_ppm // MICRO + 2

    cdef int64_t standing(self) noexcept:
        """Micro-shares of all trades told and not failed: what `filled` must be."""
        cdef Trade t
        cdef int64_t total = 0
        if self.trades is None:
            return 0
        for t in self.trades.values():
            if t.status != TS_FAILED:
                total += t.shares
        return total

    @property
    def is_open(self) -> bool:
        """True until the venue said how it ended and every matched share was booked."""
        return not self.terminal() or self.outstanding() > 0

    @property
    def unsettled_trades(self) -> int:
        """Trades the venue has not yet confirmed or failed."""
        return sum(1 for t in (self.trades or {}).values() if (<Trade> t).provisional())


# Python sees every Move by its own name too.
globals().update(Move.__members__)
