"""Account: our orders, their fills and the settlement of what they bought; the engine drives it.

Theory of operation: open_order reserves exposure in full; updates and fills move an Order along the states of
polybot._fast.order; a fill books position, cost and cash; an outcome realises PnL, and whatever comes after it
corrects the booking by its difference.  A resting order has a life of its own on our side: it is cancelled when
its time is up, when fair has crossed what the strategy wanted to keep, or when it may not rest any more.

Owns orders and trades, says every change as a command.  Must not decide what to trade, read a clock or do I/O.
"""
from libc.math cimport isnan
from libc.stdint cimport int64_t

from polybot._fast.event cimport (
    BUY, CMD_CANCEL, DOWN, F_LOCAL, F_MAKER, OS_CANCEL_SENT, OS_FILLED, OS_PARTIAL, OS_REJECTED, OS_SENT, OS_UNKNOWN,
    TS_CONFIRMED, TS_FAILED, Command, CommandBuffer, Event,
)
from polybot._fast.fees cimport leg_micro_usd, taker_fee_micro_usd
from polybot._fast.order cimport MOVE_CONTRADICTION, MOVE_NONE, MOVE_ON, MOVE_REVIVED, Order, Trade, step_order, step_trade
from polybot._fast.pricing cimport PRICE_OK
from polybot._fast.records cimport emit, record_fill, record_order, record_settlement
from polybot._fast.risk cimport Risk, at_risk
from polybot._fast.state cimport DOWN_SLOT, MAX_STRATEGIES, UP_SLOT, MarketState
from polybot._fast.strategy cimport Signal

cdef int64_t MICRO = 1_000_000
# A cancel without an end is asked for again after so long; the gateway sends only one at a time.
cdef int64_t CANCEL_AGAIN_NS = 2_000_000_000
# Broken invariants told in words; all of them are counted.
cdef int MAX_TOLD = 20
# Trades of one order that are added up again with every one of them.
cdef int MAX_ADDED_UP = 64


cdef class Account:
    """Orders, fills and settlements of one account."""

    def __init__(self, Risk risk not None, CommandBuffer out not None):
        self.risk = risk
        self.out = out
        self.filed = {}
        self.alerts = []

    @property
    def orders(self) -> dict:
        """Every order of a live market by its order_seq."""
        return self.known()

    cdef dict known(self):
        """order_seq -> Order."""
        if self.unfiled is not None:
            self.filed[self.unfiled.seq] = self.unfiled
            self.unfiled = None
        return self.filed

    # -- orders of ours ---------------------------------------------------------------------------------------

    cdef Order open_order(self, MarketState m, Signal s, int64_t now_ns):
        """Make the order of a signal that risk let through: exposure held, counted, cooldown begun."""
        cdef Order o = Order.__new__(Order)
        o.seq = m.order_seq_next
        m.order_seq_next += 1
        o.market, o.strategy, o.outcome, o.side = m.index, s.strategy, s.outcome, s.side
        o.order_type, o.price_ticks, o.shares, o.status = s.order_type, s.price_ticks, s.shares, OS_SENT
        o.post_only = s.post_only
        o.expires_ns = now_ns + s.life_ns if s.life_ns > 0 else 0
        o.cancel_edge = s.cancel_edge
        o.dispatched_ns = now_ns
        o.previous_dispatch_ns = m.last_dispatch_ns[s.strategy]
        o.counted = True
        if not s.post_only and m.fees_enabled:
            o.unit_fee_ppm = taker_fee_micro_usd(MICRO, s.price_ticks, m.fee_rate_ppm, m.fee_exponent) + 10
        o.reserved_usd = o.reserve()
        self.risk.hold(o.strategy, o.reserved_usd)
        if self.unfiled is not None:
            self.known()
        self.unfiled = o
        m.open_orders.append(o)
        m.order_count[s.strategy] += 1
        m.last_dispatch_ns[s.strategy] = now_ns
        m.dispatched[s.strategy] += 1
        return o

    cdef Order restore_order(self, MarketState m, Signal s, int64_t seq, int64_t dispatched_ns, int64_t expires_ns):
        """An order of an earlier run, with the number and the times it had then."""
        cdef int64_t following = m.order_seq_next
        cdef int64_t last = m.last_dispatch_ns[s.strategy]
        cdef Order o
        m.order_seq_next = seq
        o = self.open_order(m, s, dispatched_ns)
        m.dispatched[s.strategy] -= 1
        m.restored[s.strategy] += 1
        o.expires_ns = expires_ns
        m.order_seq_next = following if following > seq else seq + 1
        m.last_dispatch_ns[s.strategy] = last if last > dispatched_ns else dispatched_ns
        return o

    cdef void retire(self, int strategy) noexcept:
        """Let what a disabled strategy left resting end with the next heartbeat: nobody thinks it over any more."""
        cdef Order o
        for o in self.known().values():
            if o.strategy == strategy:
                o.expires_ns = 1

    cdef int forget_market(self, MarketState m) except -1:
        """Drop a market's orders; room that orders without a last word still hold is given back, and said."""
        cdef Order o
        cdef int s
        for s in range(MAX_STRATEGIES):
            self.risk.book_cost(s, -exposed(m, s), 0)     # nothing is held: sales that were never confirmed
        for o in m.open_orders:
            self.risk.hold(o.strategy, -o.reserved_usd)
            self.alerts.append(f"order {o.seq}: its market is forgotten before its last word (status {o.status})")
        self.filed = {seq: o for seq, o in self.known().items() if (<Order> o).market != m.index}
        return 0

    cdef void note_cancel(self, MarketState m, int64_t now_ns) noexcept:
        """Everything of a market is being cancelled in one go: what is left is cancelled one by one later."""
        cdef Order o
        for o in m.open_orders:
            o.cancel_ns = now_ns + CANCEL_AGAIN_NS

    cdef int cancel_resting(self, MarketState m, int64_t now_ns, bint all_of_them) except -1:
        """Cancel resting orders whose time is up or whose edge is gone (all of them when they may not rest).

        Edge is fair - price under the market's present price.  An unknown order is cancelled too, and stays unknown.
        """
        cdef Order o
        cdef bint gone
        cdef Command* c
        for o in m.open_orders:
            if not o.rests() or now_ns < o.cancel_ns:
                continue
            gone = all_of_them or (o.expires_ns > 0 and now_ns >= o.expires_ns)
            if not gone and not isnan(o.cancel_edge) and m.px.status == PRICE_OK:
                gone = m.q(o.outcome) - o.price_ticks * 1e-4 < o.cancel_edge
            if not gone:
                continue
            o.cancel_ns = now_ns + CANCEL_AGAIN_NS
            c = emit(self.out, CMD_CANCEL, m.index, now_ns)
            c.order_seq, c.strategy, c.outcome, c.price_ticks = o.seq, o.strategy, o.outcome, o.price_ticks
            if step_order(o.status, OS_CANCEL_SENT, False) == MOVE_ON:
                o.status = OS_CANCEL_SENT
                record_order(self.out, o, now_ns)
        return 0

    # -- what the venue says ----------------------------------------------------------------------------------

    cdef int on_order_update(self, MarketState m, Order o, const Event* e) except -1:
        """Move the order along the table of states, or count the news as a duplicate."""
        cdef int status = <int> e.i
        cdef int move
        cdef bint grew = e.j > o.matched
        if grew:
            o.matched = e.j
            if e.j > o.shares:
                self.contradict(o, f"told as matched {e.j} of {o.shares} micro-shares")
        move = step_order(o.status, status, o.matched > 0)
        if move == MOVE_CONTRADICTION or move == MOVE_REVIVED:
            self.contradict(o, f"told as {status}, known as {o.status}")
        if move == MOVE_ON or move == MOVE_REVIVED:
            o.status = status
            if status == OS_FILLED and e.j < 0:
                o.matched = o.shares             # how much was not told: all of it, until fills say otherwise
            if status == OS_REJECTED and e.flags & F_LOCAL and m.last_dispatch_ns[o.strategy] == o.dispatched_ns:
                # Refused before it reached the venue: the cooldown runs from the dispatch before.
                m.last_dispatch_ns[o.strategy] = o.previous_dispatch_ns
        elif not grew:
            self.duplicates += move == MOVE_NONE
            return 0
        self.finish_order(m, o)
        if o.status == OS_REJECTED and e.flags & F_LOCAL and o.seq == m.house_seq and not _counts_any(m):
            m.house = -1                         # nothing reached the venue, so nothing was dispatched
        return 0

    cdef int finish_order(self, MarketState m, Order o) except -1:
        """After any change: reservation, order count, open list, invariants, and a record."""
        cdef int64_t reserve
        cdef bint counts
        if o.filled >= o.shares and not o.terminal():
            o.status = OS_FILLED
        elif o.filled > 0 and o.status != OS_UNKNOWN and step_order(o.status, OS_PARTIAL, True) == MOVE_ON:
            o.status = OS_PARTIAL
        reserve = o.reserve()
        self.risk.hold(o.strategy, reserve - o.reserved_usd)
        o.reserved_usd = reserve
        counts = not o.terminal() or o.filled > 0 or o.matched > 0
        if counts != o.counted:                  # it ended with nothing, or a late fill shows that it did not
            o.counted = counts
            m.order_count[o.strategy] += 1 if counts else -1
        if o.terminal() and o.outstanding() == 0:
            if o in m.open_orders:
                m.open_orders.remove(o)
        elif o not in m.open_orders:
            m.open_orders.append(o)
        if o.matched < o.filled or o.filled < 0 or m.order_count[o.strategy] < 0 or not self.risk.is_sound(o.strategy):
            self.broke(o, f"filled {o.filled}, matched {o.matched}, counted {m.order_count[o.strategy]}, exposure "
                          f"{self.risk.exposure(o.strategy)} of {self.risk.exposure()}")
        return record_order(self.out, o, self.now_ns)

    cdef int contradict(self, Order o, str what) except -1:
        """Two facts that cannot both be true: counted, and a person is told."""
        self.contradictions += 1
        self.alerts.append(f"contradiction: order {o.seq} {what}")
        return 0

    cdef int broke(self, Order o, str what) except -1:
        """Our own books do not add up: that is a defect, so nothing new is begun; the first times are told."""
        self.broken += 1
        self.risk.halted_manual = True
        if self.broken <= MAX_TOLD:
            self.alerts.append(f"InvariantBroken: order {o.seq}: {what}; halted")
        return 0

    cdef int on_fill(self, MarketState m, Order o, const Event* e) except -1:
        """Book a trade once; then it moves along the table of states, and FAILED reverses it once."""
        cdef int64_t key = <int64_t> e.y
        cdef int status = <int> e.x
        cdef Trade t = None if o.trades is None else o.trades.get(key)
        cdef int known = 0 if t is None else t.status, move = step_trade(known, status)
        if t is not None and (t.shares != e.j or t.price_ticks != e.i):
            self.contradict(o, f"trade {key} told as {e.j} at {e.i}, known as {t.shares} at {t.price_ticks}")
        if move != MOVE_ON:
            self.duplicates += move == MOVE_NONE
            if move == MOVE_CONTRADICTION:
                self.contradict(o, f"trade {key} told as {status}, known as {known}")
            return 0
        if t is None:
            t = self._new_trade(m, o, e)
            if o.trades is None:                 # made here, not with the order: most end without a trade
                o.trades = {}
            o.trades[key] = t
            if status == TS_FAILED:
                o.matched = max(o.filled, o.matched - t.shares)      # a match that comes to nothing
            else:
                if o.status == OS_REJECTED:
                    self.contradict(o, f"filled by trade {key}, known as refused")
                    o.status = OS_PARTIAL
                self.book_trade(m, o, t, 1)
        elif status == TS_FAILED:
            self.book_trade(m, o, t, -1)
        elif status == TS_CONFIRMED and o.side != BUY:
            self.free_sale(m, o, t)
        t.status = status
        if len(o.trades) <= MAX_ADDED_UP and o.standing() != o.filled:
            self.broke(o, f"filled {o.filled}, trades that stand {o.standing()}")
        record_fill(self.out, o, t, key, self.now_ns)
        return self.finish_order(m, o)

    cdef Trade _new_trade(self, MarketState m, Order o, const Event* e):
        """What one match cost: notional and, for the taker, the market's fee."""
        cdef Trade t = Trade()
        t.price_ticks, t.shares, t.status = <int> e.i, e.j, <int> e.x
        t.maker = (e.flags & F_MAKER) != 0
        if not t.maker and m.fees_enabled and m.fee_rate_ppm > 0:
            t.fee_usd = taker_fee_micro_usd(t.shares, t.price_ticks, m.fee_rate_ppm, m.fee_exponent)
        t.cost_usd = leg_micro_usd(o.outcome, t.shares, t.price_ticks)
        t.cost_usd = t.cost_usd + t.fee_usd if o.side == BUY else t.fee_usd - t.cost_usd
        return t

    cdef int book_trade(self, MarketState m, Order o, Trade t, int sign) except -1:
        """Book (sign 1) or reverse (sign -1) a trade: position, cost, exposure; after settlement also the PnL.

        What a sale brings makes room only when it is CONFIRMED: until then it may come back.
        """
        cdef int64_t shares = t.shares * sign, cost = t.cost_usd * sign
        cdef int64_t held = shares if o.side == BUY else -shares
        cdef int64_t before = exposed(m, o.strategy)
        o.filled += shares
        if o.filled > o.shares:
            self.overfills += 1
            self.alerts.append(f"order {o.seq}: filled {o.filled} of {o.shares} micro-shares")
        if o.filled > o.matched:
            o.matched = o.filled
        elif sign < 0:
            o.matched -= t.shares
        m.shares[o.outcome] += held
        m.cost_usd[o.outcome] += cost
        m.fees_usd += t.fee_usd * sign
        m.strat_shares[o.strategy][o.outcome] += held
        m.strat_cost_usd[o.strategy] += cost
        m.strat_fees_usd[o.strategy] += t.fee_usd * sign
        if o.side != BUY and t.provisional():
            m.strat_unsold_usd[o.strategy] -= cost
        self.risk.book_cost(o.strategy, exposed(m, o.strategy) - before, cost)
        if m.settled:
            self.settle_delta(m, o.strategy, cost, held if o.outcome == m.outcome else 0, 0)
            self.risk.check_halts()
        return 0

    cdef int free_sale(self, MarketState m, Order o, Trade t) except -1:
        """A sale is final: what it brought makes room now."""
        cdef int64_t before = exposed(m, o.strategy)
        m.strat_unsold_usd[o.strategy] += t.cost_usd
        self.risk.book_cost(o.strategy, exposed(m, o.strategy) - before, 0)
        return 0

    # -- settlement -------------------------------------------------------------------------------------------

    cdef int on_outcome(self, MarketState m, int outcome) except -1:
        """The venue published the winner: book each strategy's PnL, once."""
        cdef int s
        cdef int64_t freed
        if m.settled or outcome > DOWN:
            self.duplicates += m.settled
            self.strays += not m.settled
            return 0
        m.outcome = outcome
        m.closed = True
        for s in range(MAX_STRATEGIES):
            freed = exposed(m, s)
            if m.strat_cost_usd[s] != 0 or m.strat_shares[s][UP_SLOT] != 0 or m.strat_shares[s][DOWN_SLOT] != 0 or freed:
                self.settle_delta(m, s, m.strat_cost_usd[s], m.strat_shares[s][m.outcome], freed)
        m.settled = True
        self.risk.check_halts()                  # once all of them are in
        return 0

    cdef int settle_delta(self, MarketState m, int strategy, int64_t cost, int64_t payout, int64_t exposed) except -1:
        """Realise what changed; the record tells the whole, so that the latest one always counts."""
        cdef int64_t paid = m.strat_cost_usd[strategy], won = m.strat_shares[strategy][m.outcome]
        self.risk.roll(self.now_ns)              # a result of the first instant of a day is that day's
        self.risk.realise(strategy, payout - cost, exposed)
        return record_settlement(self.out, m, strategy, self.now_ns, paid, won)


cdef int64_t exposed(MarketState m, int strategy) noexcept:
    """Micro-USD a strategy's position counts as exposure: its net cost, as if no sale that may still fail had been made."""
    return 0 if m.settled else at_risk(m.strat_cost_usd[strategy] + m.strat_unsold_usd[strategy])


cdef bint _counts_any(MarketState m) noexcept:
    """True while any order of this market counts: it may fill, or it did."""
    cdef int s
    for s in range(MAX_STRATEGIES):
        if m.order_count[s]:
            return True
    return False
