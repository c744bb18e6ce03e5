"""Flattener: sells what every strategy holds, on the operator's word, for as long as the market can be traded.

Theory of operation: from OP_FLATTEN to OP_RESUME each heartbeat looks at every open market that holds something.
What a strategy holds of an outcome, less what it offers already, is offered by FAK to the bids that are seen, at
the price of the last one needed; nothing rests.  Once a second per market, until nothing is left that the venue
would take (its smallest size) or the market's end guard begins.  The sale is the strategy's own, so its result is.

Must not open anything, read a clock or do I/O.  Called by the engine only.
"""
from libc.math cimport isnan
from libc.stdint cimport int64_t

from polybot._fast.account cimport Account
from polybot._fast.book cimport Walk
from polybot._fast.event cimport CMD_PLACE, CMD_SIGNAL, FAK, OS_UNKNOWN, SELL, CommandBuffer
from polybot._fast.order cimport Order
from polybot._fast.records cimport record_signal
from polybot._fast.risk cimport DISPATCHED, crosses_own
from polybot._fast.state cimport MAX_STRATEGIES, MarketState
from polybot._fast.strategy cimport Signal

cdef int64_t AGAIN_NS = 1_000_000_000            # one attempt per market and second


cdef class Flattener:
    """Sells out one account; end_guard_ns: no sale so shortly before a market's end."""

    def __init__(self, Account account not None, CommandBuffer out not None, *, int64_t end_guard_ns):
        self.account = account
        self.risk = account.risk
        self.out = out
        self.end_guard_ns = end_guard_ns
        self.sale = Signal()
        self.again_ns = {}

    cdef void begin(self) noexcept:
        """The operator said so (again): every market may be tried at once."""
        self.on = True
        self.again_ns.clear()

    cdef int run(self, list markets, int64_t now_ns) except -1:
        """Offer what is held in every market that can be sold in now."""
        cdef MarketState m
        for m in markets:
            if self.may_sell(m, now_ns) and now_ns >= <int64_t> self.again_ns.get(m.index, 0):
                if self.sell_market(m, now_ns):
                    self.again_ns[m.index] = now_ns + AGAIN_NS
        return 0

    cdef bint may_sell(self, MarketState m, int64_t now_ns) noexcept:
        """True while the market is open, its book is fresh and sound, and the gateway takes orders."""
        if m.closed or m.observed or self.risk.venue_down or not m.start_ns <= now_ns < m.end_ns - self.end_guard_ns:
            return False
        return m.book.has_snapshot and not m.book.is_crossed() and now_ns - m.book_ns <= self.risk.stale_feed_ns

    cdef int sell_market(self, MarketState m, int64_t now_ns) except -1:
        """Offer each strategy's holding of each outcome; the number of orders."""
        cdef Signal s = self.sale
        cdef Order o
        cdef int strategy, outcome, placed = 0
        cdef int64_t offered
        for outcome in range(2):
            offered = 0
            for strategy in range(MAX_STRATEGIES):
                if m.strat_shares[strategy][outcome] <= 0 or not self.propose(m, strategy, outcome, offered):
                    continue
                if self.risk._too_fast(now_ns):
                    return placed
                self.risk._remember(m, s, now_ns)
                o = self.account.open_order(m, s, now_ns)
                m.signals[strategy] += 1
                record_signal(self.out, m, s, CMD_SIGNAL, o.seq, now_ns)
                record_signal(self.out, m, s, CMD_PLACE, o.seq, now_ns)
                offered += s.shares
                placed += 1
        self.sales += placed
        return placed

    cdef bint propose(self, MarketState m, int strategy, int outcome, int64_t offered) noexcept:
        """Fill in the sale of one holding behind `offered` micro-shares of others; False when there is none to make."""
        cdef Signal s = self.sale
        cdef Order o
        cdef Walk walk
        cdef int64_t held = m.strat_shares[strategy][outcome], tick = m.book.tick_size if m.book.tick_size > 0 else 1
        for o in m.open_orders:
            if o.outcome == outcome and o.status == OS_UNKNOWN:
                return False                     # it may be a sale of the same shares, or make more of them
            if o.outcome == outcome and o.strategy == strategy and o.side == SELL:
                held -= o.outstanding()
        if held <= 0:
            return False
        m.book.take(outcome, SELL, offered + held, tick, &walk)
        if walk.filled <= offered:
            return False
        s.clear()
        s.strategy, s.outcome, s.side, s.order_type, s.reason = strategy, outcome, SELL, FAK, DISPATCHED
        s.price_ticks = <int> (walk.worst_ticks - walk.worst_ticks % tick)
        s.price = s.price_ticks * 1e-4
        s.shares = walk.filled - offered if walk.filled - offered < held else held
        s.fair = s.price if isnan(m.q(outcome)) else m.q(outcome)
        s.edge, s.confidence, s.size_frac = s.price - s.fair, 1.0, 0.0
        return self.risk._fit_sale(m, s, strategy) == DISPATCHED and not crosses_own(m, s)
