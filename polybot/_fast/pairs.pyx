"""PairFinder: the arbitrage that needs no model, found and reported, never traded.

Two windows that end together and settle on the same source differ only in their strikes.  With K1 <= K2 the price
at the end is at K1 or above, or below K2, or both: Up of K1 and Down of K2 together pay 1 at least.  When both best
asks with their taker fees cost less, the difference is sure, up to the thinner of the two depths.  One leg alone is
a plain bet, and a leg here may be a window that is only observed: so a find is counted and told (the thin leg
first, as it would have to be taken), once per pair in `report_s`, and nothing is bought.
Must not read a clock, place orders or look at windows of different ends or sources.  Called by cross_timeframe.
"""
from libc.math cimport NAN, fmin, isnan, log, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memset

from polybot._fast.event cimport DOWN, UP
from polybot._fast.state cimport MarketState

cdef double MICRO = 1e-6
# Strikes that are estimates count as ordered from so many of their standard deviations on.
cdef double STRIKE_SDS = 3.0
OUTCOMES = ("Up", "Down")


cdef class PairFinder:
    """Scans the live windows of one asset; `notes` holds the reports nobody has taken yet."""

    def __init__(self, *, double report_s=60.0, double book_max_age_s=5.0):
        if not (report_s >= 0.0 and book_max_age_s > 0.0):
            raise ValueError("report_s must not be negative, book_max_age_s must be above 0")
        self.report_ns = <int64_t> (report_s * 1e9)
        self.max_age_ns = <int64_t> (book_max_age_s * 1e9)
        self.notes = []
        memset(self.reported, 0, sizeof(self.reported))

    cdef double scan(self, list markets, int64_t now_ns):
        """Look at all pairs of `markets` (MarketStates); the cost of the cheapest with fees, NaN when there is none."""
        cdef MarketState a, b
        cdef Py_ssize_t i, j, n = len(markets)
        cdef double cost, cheapest = NAN
        for i in range(n):
            a = <MarketState> markets[i]
            for j in range(i + 1, n):
                b = <MarketState> markets[j]
                if a.end_ns != b.end_ns or not (self.is_quoted(a, now_ns) and self.is_quoted(b, now_ns)):
                    continue
                if not is_same_source(a, b):
                    continue
                cost = self.compare(a, b, now_ns)
                if not isnan(cost) and not cheapest <= cost:
                    cheapest = cost
        return cheapest

    cdef bint is_quoted(self, MarketState m, int64_t now_ns) noexcept:
        """A strike is known and the book is there, fresh and not crossed."""
        return (not m.closed and not isnan(m.strike) and m.start_ns <= now_ns < m.end_ns and m.book.has_snapshot
                and now_ns - m.book_ns <= self.max_age_ns and not m.book.is_crossed())

    cdef double compare(self, MarketState a, MarketState b, int64_t now_ns):
        """Cost of the cheaper pair these two make (two when the strikes are equal); reports what is below 1."""
        cdef double forth = self.cost_of(a, b), back = self.cost_of(b, a)
        if not isnan(forth) and forth < 1.0 and self.is_due(a, b, now_ns):
            self.report(a, b, forth, now_ns)
        if not isnan(back) and back < 1.0 and self.is_due(b, a, now_ns):
            self.report(b, a, back, now_ns)
        if isnan(forth) or back < forth:
            return back
        return forth

    cdef double cost_of(self, MarketState low, MarketState high) noexcept:
        """Up of `low` and Down of `high` at their asks with fees, USD; NaN unless that pays 1 for sure."""
        cdef int up = low.book.best_ask(UP), down = high.book.best_ask(DOWN)
        cdef double gap = log(high.strike / low.strike)
        if not gap >= STRIKE_SDS * sqrt(low.strike_var + high.strike_var) or up <= 0 or down <= 0:
            return NAN
        return (up + down) * 1e-4 + low.fee_per_share(up * 1e-4) + high.fee_per_share(down * 1e-4)

    cdef bint is_due(self, MarketState low, MarketState high, int64_t now_ns) noexcept:
        """True when this pair was not reported within report_s; remembers the report."""
        cdef int k
        for k in range(MAX_REPORTED):
            if self.reported[k].ns and self.reported[k].first == low.index and self.reported[k].second == high.index:
                if now_ns - self.reported[k].ns < self.report_ns:
                    return False
                self.reported[k].ns = now_ns
                return True
        k = self.next_reported
        self.next_reported = (k + 1) % MAX_REPORTED
        self.reported[k].first, self.reported[k].second, self.reported[k].ns = low.index, high.index, now_ns
        return True

    cdef int report(self, MarketState low, MarketState high, double cost, int64_t now_ns) except -1:
        """Say it with both legs, the thin one first, the size both have and the profit after fees."""
        cdef int up = low.book.best_ask(UP), down = high.book.best_ask(DOWN)
        cdef double up_shares = low.book.size_at_ask(UP, up) * MICRO, down_shares = high.book.size_at_ask(DOWN, down) * MICRO
        cdef double size = fmin(up_shares, down_shares)
        self.found += 1
        if len(self.notes) >= MAX_NOTES:
            return 0
        legs = [_leg(low, UP, up, up_shares), _leg(high, DOWN, down, down_shares)]
        if down_shares < up_shares:
            legs.reverse()
        self.notes.append(f"ARBITRAGE not traded: {legs[0]} first, then {legs[1]}: {size:.2f} shares of each cost "
                          f"{cost:.4f} with fees and pay 1 at least, {(1.0 - cost) * size:.2f} USD for sure")
        return 0

    # What Python and tests may use.
    def look(self, list markets not None, int64_t now_ns) -> float:
        """As scan, from Python."""
        return self.scan(markets, now_ns)

    def take_notes(self) -> list[str]:
        """The reports since the last call."""
        notes = self.notes
        self.notes = []
        return notes


cdef bint is_same_source(MarketState a, MarketState b):
    """Both settle on one price: same rule, same averaging window, same address."""
    return (a.rule == b.rule and a.twap_window_s == b.twap_window_s
            and a.spec.resolution_source == b.spec.resolution_source)


def _leg(MarketState m, int outcome, int ticks, double shares) -> str:
    return f"{m.spec.slug} {OUTCOMES[outcome]} (strike {m.strike:.10g}) at {ticks * 1e-4:.4g} x {shares:.2f}"
