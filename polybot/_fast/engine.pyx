"""Engine: ``process(events) -> commands``, the one decision maker for live, paper, backtest and replay.

Theory of operation: every event is applied to SpotState or one MarketState; at the end of a venue message
(F_END) the strategies whose trigger matches are asked once, their signals go through side coherence and risk,
and what survives becomes a PlaceOrder command.  Order updates and fills move orders, position and exposure;
an outcome settles.  Everything said about why a signal did or did not become an order is a command too.

Owns all trading state.  Must not wait, read a clock, log, touch a socket or raise for business reasons; a
strategy that raises is disabled and named in ``alerts``.  Called by the runner only.
"""
from libc.math cimport isnan
from libc.stdint cimport int64_t

from polybot._fast.event cimport (
    BUY, CMD_CANCEL_ALL, CMD_PLACE, CMD_REFETCH_TICK, CMD_RESYNC_BOOK, CMD_SIGNAL, DOWN, EV_BALANCE, EV_BOOK_DELTA, EV_BOOK_LEVEL, EV_BOOK_SNAPSHOT, EV_FEED_STATE,
    EV_FILL,
    EV_MARKET_CLOSE, EV_OPERATOR, EV_ORACLE_SPOT, EV_ORACLE_TWAP, EV_ORDER_UPDATE, EV_OUTCOME, EV_PUBLIC_QUOTE,
    EV_SPOT_QUOTE, EV_SPOT_TRADE, EV_STRIKE, EV_TICK_SIZE, EV_TIMER, F_END, F_GAP, F_LOCAL, F_MAKER, F_SNAPSHOT, FEED_MARKET, FS_WITNESSED,
    NO_MARKET, OP_FLATTEN, OP_HALT, OP_RESUME, OS_FILLED, OS_PARTIAL, OS_REJECTED, OS_SENT,
    OS_UNKNOWN, TS_FAILED, UP, CommandBuffer, Event, EventBuffer,
)
from polybot._fast.fees cimport notional_micro_usd, taker_fee_micro_usd
from polybot._fast.order cimport Order, Trade, rank
from polybot._fast.records cimport emit, record_diagnostic, record_fill, record_order, record_settlement, record_signal
from polybot._fast.risk cimport (
    BOOK_CROSSED, DECONFLICTED, DISPATCHED, HOUSE_SIDE, MARKET_CLOSING, MARKET_NOT_OPEN, NO_BOOK, NO_PRICE, NOT_WARM,
    PAIR_COST, STALE_ORACLE, STRIKE_UNKNOWN, Risk, at_risk, open_order_reason, pair_too_dear,
)
from polybot._fast.state cimport DOWN_SLOT, MAX_STRATEGIES, UP_SLOT, MarketState, SpotState
from polybot._fast.strategy cimport ON_BOOK, ON_SPOT_TRADE, Signal, Strategy

cdef int64_t MICRO = 1_000_000
cdef int64_t NS = 1_000_000_000


cdef int _told(double ticks, int empty) noexcept:
    """A best price told beside a delta: -2 when not told, -1 for an empty side (`empty` on the wire)."""
    if ticks < 0.0:
        return -2
    return -1 if ticks == empty else <int> ticks


cdef class Engine:
    """All trading state of one account and one asset; see the module for how it works."""

    def __init__(self, *, SpotState spot not None, Risk risk not None, strategies, double end_guard_s=5.0,
                 double house_confidence_min=0.0, double diagnostics_s=10.0, double oracle_lag_s=3.0,
                 double tau_shift_s=0.0, int max_missing_s=10, int mismatch_limit=2,
                 int fresh_samples=0, double market_shrink=0.0):
        self.spot = spot
        self.risk = risk
        self.strategies = list(strategies)
        for index, strategy in enumerate(self.strategies):
            strategy.bind(index)
        if len({s.name for s in self.strategies}) != len(self.strategies):
            raise ValueError("two strategies share a name")
        self.end_guard_ns = <int64_t> (end_guard_s * NS)
        self.diagnostics_ns = <int64_t> (diagnostics_s * NS)
        self.house_confidence_min = house_confidence_min
        self.oracle_lag_s = oracle_lag_s
        self.tau_shift_s = tau_shift_s
        self.max_missing_s = max_missing_s
        self.mismatch_limit = mismatch_limit
        self.fresh_samples = fresh_samples
        self.market_shrink = market_shrink
        self.markets = {}
        self.orders = {}
        self.active = []
        self.alerts = []
        self.out = CommandBuffer()
        self.pool = [Signal() for _ in range(MAX_STRATEGIES)]

    # -- side records -----------------------------------------------------------------------------------------

    def open_market(self, int index, spec, *, int64_t order_seq_base) -> MarketState:
        """Hand over one market's metadata (MarketSpec); order ids of that market count up from order_seq_base."""
        if index in self.markets or not 0 <= index < NO_MARKET:
            raise ValueError(f"market index {index} is taken or out of range")
        state = MarketState(index, spec, order_seq_base=order_seq_base, bankroll_usd=self.risk.bankroll_usd * 1e-6,
                            shrink=self.market_shrink)
        (<MarketState> state).fresh_left = self.fresh_samples
        self.markets[index] = state
        self.active.append(state)
        return state

    def drop_market(self, int index) -> None:
        """Forget a settled market and its orders; ValueError while it holds a position that is not settled.

        Room that orders without a last word still hold is given back, and said: nothing could do it later.
        """
        cdef MarketState m = self.markets[index]
        cdef Order o
        if not m.settled and (m.shares[UP_SLOT] or m.shares[DOWN_SLOT] or m.cost_usd[UP_SLOT] or m.cost_usd[DOWN_SLOT]):
            raise ValueError(f"market {index} holds a position that is not settled")
        for o in m.open_orders:
            self.risk.hold(o.strategy, -o.reserved_usd)
            self.alerts.append(f"order {o.seq}: its market is forgotten before its last word (status {o.status})")
        del self.markets[index]
        self.active.remove(m)
        self.orders = {seq: o for seq, o in self.orders.items() if (<Order> o).market != index}

    # -- events -----------------------------------------------------------------------------------------------

    cpdef CommandBuffer process(self, EventBuffer events):
        """Apply events in order; the returned buffer is reused by the next call."""
        cdef Py_ssize_t k
        self.out.clear()
        for k in range(events.n):
            self.apply(&events.ev[k])
        return self.out

    cdef MarketState find(self, int index):
        cdef MarketState m
        for m in self.active:
            if m.index == index:
                return m
        return None

    cdef int apply(self, const Event* e) except -1:
        cdef int kind = e.kind
        if e.recv_ns > self.now_ns:
            self.now_ns = e.recv_ns
        if kind == EV_SPOT_TRADE:
            return self.on_spot_trade(e)
        if kind == EV_BOOK_LEVEL or kind == EV_BOOK_DELTA or kind == EV_BOOK_SNAPSHOT:
            return self.on_book(e)
        if kind == EV_SPOT_QUOTE:
            self.spot.on_quote(e.x, e.y, e.recv_ns)
            return 0
        if kind == EV_TIMER:
            return self.on_timer(e.recv_ns)
        if kind == EV_ORACLE_SPOT:
            self.spot.on_oracle_spot(e.x, e.venue_ns, e.recv_ns, not e.flags & F_SNAPSHOT)
            return 0
        if kind == EV_ORACLE_TWAP:
            self.spot.on_oracle_twap(e.x, e.venue_ns, e.recv_ns)
            return 0
        return self.apply_rare(e)

    cdef int apply_rare(self, const Event* e) except -1:
        cdef int kind = e.kind
        if kind == EV_PUBLIC_QUOTE:
            return self.on_quote(e)
        if kind == EV_ORDER_UPDATE:
            return self.on_order_update(e)
        if kind == EV_FILL:
            return self.on_fill(e)
        if kind == EV_TICK_SIZE:
            return self.on_tick_size(e)
        if kind == EV_STRIKE:
            return self.on_strike(e)
        if kind == EV_MARKET_CLOSE:
            return self.on_market_close(e)
        if kind == EV_OUTCOME:
            return self.on_outcome(e)
        if kind == EV_OPERATOR:
            return self.on_operator(e)
        if kind == EV_FEED_STATE:
            return self.on_feed_state(e)
        if kind == EV_BALANCE:
            self.risk.cash_usd = e.j
        elif e.flags & F_END:
            return self.on_message_end(e.recv_ns)
        return 0

    cdef int on_spot_trade(self, const Event* e) except -1:
        cdef MarketState m
        cdef bint live = not e.flags & F_SNAPSHOT
        cdef int64_t sampled
        if e.flags & F_GAP:
            self.spot.gaps += 1
        sampled = self.spot.sigma_ns
        self.spot.on_trade(e.x, e.y, e.recv_ns, e.venue_ns, live)
        sampled = self.spot.sigma_ns - sampled
        if live and e.flags & F_END:
            for m in self.active:
                if sampled >= NS and m.fresh_left and not isnan(self.spot.sigma) and e.recv_ns >= m.start_ns:
                    m.fresh_left -= 1
                if not m.closed:
                    self.evaluate(m, ON_SPOT_TRADE, e.recv_ns)
        return 0

    cdef int on_book(self, const Event* e) except -1:
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.strays += 1
        else:
            m.book.apply(e)
            m.dirty = True
            if e.kind == EV_BOOK_DELTA and (e.x >= 0 or e.y >= 0):
                m.told_outcome = e.outcome
                m.told_bid, m.told_ask = _told(e.x, 0), _told(e.y, 10_000)
            elif e.kind == EV_BOOK_SNAPSHOT:
                m.told_bid = m.told_ask = -2
                m.mismatches = 0
                m.renewed = True
        return self.on_message_end(e.recv_ns) if e.flags & F_END else 0

    cdef int on_message_end(self, int64_t now_ns) except -1:
        """A venue message is complete: check the books it touched, then ask the strategies once per market."""
        cdef MarketState m
        for m in self.active:
            if not m.dirty:
                continue
            m.dirty = False
            m.book_ns = now_ns
            m.note_quote(self.spot.last)
            self.check_told(m)
            if m.book.off_tick != m.off_tick_seen:
                m.off_tick_seen = m.book.off_tick
                if not m.tick_refetch:
                    m.tick_refetch = True
                    emit(self.out, CMD_REFETCH_TICK, m.index, now_ns)
            elif m.renewed:
                m.tick_refetch = False           # a snapshot with all levels on its tick is an answer
            m.renewed = False
            if not m.closed:
                self.evaluate(m, ON_BOOK, now_ns)
        return 0

    cdef int check_told(self, MarketState m) except -1:
        """Compare our best prices with those the venue told; two messages in disagreement ask for a resync."""
        cdef bint same
        if (m.told_bid == -2 and m.told_ask == -2) or not m.book.has_snapshot:
            return 0
        same = m.told_bid == -2 or m.book.best_bid(m.told_outcome) == m.told_bid
        same = same and (m.told_ask == -2 or m.book.best_ask(m.told_outcome) == m.told_ask)
        m.told_bid = m.told_ask = -2
        if same:
            m.mismatches = 0
            return 0
        m.mismatches += 1
        if m.mismatches >= self.mismatch_limit:
            m.mismatches = 0
            m.resyncs += 1
            emit(self.out, CMD_RESYNC_BOOK, m.index, self.now_ns)
        return 0

    cdef int on_quote(self, const Event* e) except -1:
        """The venue's own best prices: a check on our book, not a source of it."""
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.strays += 1
        else:
            m.told_outcome, m.told_bid, m.told_ask = e.outcome, <int> e.x, <int> e.y
            m.dirty = True
        return self.on_message_end(e.recv_ns) if e.flags & F_END else 0

    cdef int on_tick_size(self, const Event* e) except -1:
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.strays += 1
        elif e.i > 0:
            m.tick_refetch = False
            m.book.set_tick_size(e.i)
        else:
            m.renewed = False                    # a snapshot that brings the doubt with it answers nothing
            if not m.tick_refetch:
                m.tick_refetch = True
                emit(self.out, CMD_REFETCH_TICK, m.index, e.recv_ns)
        return self.on_message_end(e.recv_ns) if e.flags & F_END else 0

    cdef int on_timer(self, int64_t now_ns) except -1:
        cdef MarketState m
        cdef int64_t marked = 0
        self.spot.on_timer(now_ns)
        self.risk.roll(now_ns)
        for m in self.active:
            marked += self.marked(m)
        self.risk.marked_usd = marked
        self.risk.check_halts()
        if now_ns >= self.next_diagnostic_ns:
            self.next_diagnostic_ns = now_ns - now_ns % self.diagnostics_ns + self.diagnostics_ns
            for m in self.active:
                if now_ns < m.end_ns:
                    m.block_reason = self.pregate(m, now_ns)
                    record_diagnostic(self.out, m, self.spot, self.strategies, now_ns)
        return 0

    cdef int64_t marked(self, MarketState m) noexcept:
        """Mark minus cost of the open position in micro-USD: at mid, else at our fair, else at cost."""
        cdef int bid = m.book.best_bid(UP), ask = m.book.best_ask(UP)
        cdef double up
        if m.settled or (m.shares[UP_SLOT] == 0 and m.shares[DOWN_SLOT] == 0):
            return 0
        if bid > 0 and ask > 0:
            up = (bid + ask) * 0.5e-4
        elif m.px.status == 0 and not isnan(m.px.p_up):
            up = m.px.p_up
        else:
            return 0
        return <int64_t> (m.shares[UP_SLOT] * up + m.shares[DOWN_SLOT] * (1.0 - up)) - m.cost_usd[UP_SLOT] - m.cost_usd[DOWN_SLOT]

    cdef int on_strike(self, const Event* e) except -1:
        cdef MarketState m = self.find(e.market)
        if m is None or not e.x > 0.0:
            self.strays += 1
            return 0
        m.strike = e.x
        m.strike_var = e.y
        m.strike_source = <int> e.i
        m.strike_stamp_ns = e.venue_ns
        return 0

    cdef int on_market_close(self, const Event* e) except -1:
        """The window ended: nothing is asked any more; what rests is cancelled."""
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.strays += 1
            return 0
        m.closed = True
        if m.open_orders:
            emit(self.out, CMD_CANCEL_ALL, m.index, e.recv_ns)
        return 0

    cdef int on_feed_state(self, const Event* e) except -1:
        """A witnessed book is as fresh as one just received; the other states speak through data age."""
        cdef MarketState m
        if e.i == FEED_MARKET and e.j == FS_WITNESSED:
            m = self.find(e.market)
            if m is not None and m.book.has_snapshot:
                m.book_ns = e.recv_ns
        return 0

    cdef int on_operator(self, const Event* e) except -1:
        if e.i == OP_HALT:
            self.risk.halted_manual = True
        elif e.i == OP_RESUME:
            self.risk.halted_manual = False
        elif e.i == OP_FLATTEN:
            self.risk.halted_manual = True
            emit(self.out, CMD_CANCEL_ALL, NO_MARKET, e.recv_ns)
        return 0

    # -- strategies -------------------------------------------------------------------------------------------

    cdef int pregate(self, MarketState m, int64_t now_ns) noexcept:
        """The gates no strategy may skip; DISPATCHED when the market can be traded now."""
        if now_ns < m.start_ns:
            return MARKET_NOT_OPEN
        if now_ns >= m.end_ns - self.end_guard_ns:
            return MARKET_CLOSING
        if isnan(m.strike):
            return STRIKE_UNKNOWN
        if not m.book.has_snapshot:
            return NO_BOOK
        if m.book.is_crossed():
            return BOOK_CROSSED
        if isnan(self.spot.sigma) or m.fresh_left > 0:
            return NOT_WARM
        if not m.reprice(self.spot, now_ns, self.oracle_lag_s, self.tau_shift_s):
            return NOT_WARM if isnan(m.spot) else NO_PRICE
        if m.missing_s > self.max_missing_s:
            return STALE_ORACLE
        return DISPATCHED

    cdef int evaluate(self, MarketState m, int trigger, int64_t now_ns) except -1:
        cdef Strategy strategy
        cdef Signal signal
        cdef int n = 0
        m.block_reason = self.pregate(m, now_ns)
        if m.block_reason != DISPATCHED:
            m.blocked[m.block_reason] += 1
            return 0
        for strategy in self.strategies:
            if strategy.enabled and strategy.triggers & trigger:
                signal = <Signal> self.pool[n]
                if self.ask(strategy, m, signal):
                    m.signals[strategy.index] += 1
                    n += 1
        return self.decide(m, n, now_ns) if n else 0

    cdef int ask(self, Strategy strategy, MarketState m, Signal signal) except -1:
        """Ask one strategy; one that raises is disabled, and the daemon is told."""
        try:
            if not strategy.run(m, self.spot, signal):
                return 0
            signal.check()
            return 1
        except Exception as error:
            strategy.disable()
            self.alerts.append(f"strategy {strategy.name} raised {type(error).__name__}: {error}; disabled")
            return 0

    cdef int decide(self, MarketState m, int n, int64_t now_ns) except -1:
        """Side coherence, order by edge x confidence, risk, dispatch; every signal is recorded with its fate."""
        cdef Signal s
        cdef int k
        cdef list ordered
        self.settle_sides(m, n)
        ordered = self.pool[:n] if n == 1 else sorted(self.pool[:n], key=_score)
        for k in range(n):
            s = <Signal> ordered[k]
            if s.reason == DISPATCHED and m.house >= 0 and not self._passive(s) and s.outcome != m.house:
                s.reason = HOUSE_SIDE
            if s.reason == DISPATCHED:
                s.reason = open_order_reason(m, s)
            if s.reason == DISPATCHED and pair_too_dear(m, s):
                s.reason = PAIR_COST
            if s.reason == DISPATCHED:
                s.reason = self.risk.check(m, self.spot, s, s.strategy, not s.post_only, now_ns)
            if s.reason == DISPATCHED:
                self.dispatch(m, s, now_ns)
            else:
                m.denials[s.strategy][s.reason] += 1
                record_signal(self.out, m, s, CMD_SIGNAL, 0, now_ns)
        return 0

    def _passive(self, Signal s) -> bool:
        return (<Strategy> self.strategies[s.strategy]).passive

    cdef int settle_sides(self, MarketState m, int n) noexcept:
        """With no house yet and active signals on both outcomes, the larger sum of edge x confidence wins (tie: Up)."""
        cdef Signal s
        cdef double score[2]
        cdef bint present[2]
        cdef int k, loser = -1
        score[0] = score[1] = 0.0
        present[0] = present[1] = False
        for k in range(n):
            s = <Signal> self.pool[k]
            s.reason = DISPATCHED
            if not (<Strategy> self.strategies[s.strategy]).passive:
                score[s.outcome] += s.score()
                present[s.outcome] = True
        if m.house >= 0 or not (present[0] and present[1]):
            return 0
        loser = DOWN if score[UP_SLOT] >= score[DOWN_SLOT] else UP
        for k in range(n):
            s = <Signal> self.pool[k]
            if s.outcome == loser and not (<Strategy> self.strategies[s.strategy]).passive:
                s.reason = DECONFLICTED
        return 0

    cdef int dispatch(self, MarketState m, Signal s, int64_t now_ns) except -1:
        cdef Order o = Order()
        cdef Strategy strategy = <Strategy> self.strategies[s.strategy]
        o.seq = m.order_seq_next
        m.order_seq_next += 1
        o.market, o.strategy, o.outcome, o.side = m.index, s.strategy, s.outcome, s.side
        o.order_type, o.price_ticks, o.shares, o.status = s.order_type, s.price_ticks, s.shares, OS_SENT
        o.dispatched_ns = now_ns
        o.previous_dispatch_ns = m.last_dispatch_ns[s.strategy]
        o.counted = True
        if not s.post_only and m.fees_enabled:
            o.unit_fee_ppm = taker_fee_micro_usd(MICRO, s.price_ticks, m.fee_rate_ppm, m.fee_exponent) + 10
        o.reserved_usd = o.reserve()
        self.risk.hold(o.strategy, o.reserved_usd)
        self.orders[o.seq] = o
        m.open_orders.append(o)
        m.order_count[s.strategy] += 1
        m.last_dispatch_ns[s.strategy] = now_ns
        m.dispatched[s.strategy] += 1
        if m.house < 0 and not strategy.passive and s.confidence >= self.house_confidence_min:
            m.house = s.outcome
        record_signal(self.out, m, s, CMD_SIGNAL, o.seq, now_ns)
        return record_signal(self.out, m, s, CMD_PLACE, o.seq, now_ns)

    # -- orders and fills -------------------------------------------------------------------------------------

    cdef int on_order_update(self, const Event* e) except -1:
        cdef Order o = self.orders.get(e.seq)
        cdef MarketState m
        cdef int status = <int> e.i
        if o is None or not 0 <= status <= OS_UNKNOWN:
            self.strays += 1
            return 0
        m = self.find(o.market)
        if e.j > o.matched:
            o.matched = e.j
        elif o.terminal() or (rank(status) <= rank(o.status) and o.status != OS_UNKNOWN):
            self.duplicates += 1
            return 0
        if not o.terminal() and (rank(status) > rank(o.status) or o.status == OS_UNKNOWN):
            o.status = status
            if status == OS_FILLED and e.j < 0:
                o.matched = o.shares             # how much was not told: all of it, until fills say otherwise
            if status == OS_REJECTED and e.flags & F_LOCAL and m.last_dispatch_ns[o.strategy] == o.dispatched_ns:
                # Refused before it reached the venue: the cooldown runs from the dispatch before.
                m.last_dispatch_ns[o.strategy] = o.previous_dispatch_ns
        return self.finish_order(m, o)

    cdef int finish_order(self, MarketState m, Order o) except -1:
        """After any change: reservation, order count, open list, and a record."""
        cdef int64_t reserve
        if o.filled >= o.shares and not o.terminal():
            o.status = OS_FILLED
        elif o.filled > 0 and not o.terminal() and o.status != OS_UNKNOWN and rank(o.status) < rank(OS_PARTIAL):
            o.status = OS_PARTIAL
        reserve = o.reserve()
        self.risk.hold(o.strategy, reserve - o.reserved_usd)
        o.reserved_usd = reserve
        if o.terminal() and o.counted and o.filled == 0 and o.matched == 0:
            o.counted = False
            m.order_count[o.strategy] -= 1
        if o.terminal() and o.outstanding() == 0:
            if o in m.open_orders:
                m.open_orders.remove(o)
        elif o not in m.open_orders:
            m.open_orders.append(o)
        return record_order(self.out, o, self.now_ns)

    cdef int on_fill(self, const Event* e) except -1:
        cdef Order o = self.orders.get(e.seq)
        cdef MarketState m
        cdef Trade t
        cdef int64_t key = <int64_t> e.y
        cdef int status = <int> e.x
        if o is None or e.j <= 0 or not 0 < e.i < 10_000:
            self.strays += 1
            self.alerts.append(f"a fill of order {e.seq} cannot be booked: {e.j} micro-shares at {e.i} ticks")
            return 0
        m = self.find(o.market)
        t = o.trades.get(key)
        if t is None:
            t = Trade()
            t.price_ticks, t.shares, t.status = <int> e.i, e.j, status
            t.maker = (e.flags & F_MAKER) != 0
            if not t.maker and m.fees_enabled and m.fee_rate_ppm > 0:
                t.fee_usd = taker_fee_micro_usd(t.shares, t.price_ticks, m.fee_rate_ppm, m.fee_exponent)
            t.cost_usd = notional_micro_usd(t.shares, t.price_ticks)
            t.cost_usd = t.cost_usd + t.fee_usd if o.side == BUY else t.fee_usd - t.cost_usd
            o.trades[key] = t
            if status != TS_FAILED:
                self.book_trade(m, o, t, 1)
            else:
                o.matched = max(o.filled, o.matched - t.shares)      # a match that comes to nothing
        elif status <= t.status:
            self.duplicates += 1
            return 0
        else:
            t.status = status
            if status == TS_FAILED:
                self.book_trade(m, o, t, -1)
        record_fill(self.out, o, t, key, self.now_ns)
        return self.finish_order(m, o)

    cdef int book_trade(self, MarketState m, Order o, Trade t, int sign) except -1:
        """Book (sign 1) or reverse (sign -1) a trade: position, cost, exposure; after settlement also the PnL."""
        cdef int64_t shares = t.shares * sign, cost = t.cost_usd * sign
        cdef int64_t held = shares if o.side == BUY else -shares
        cdef int64_t exposed = at_risk(m.strat_cost_usd[o.strategy] + cost) - at_risk(m.strat_cost_usd[o.strategy])
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
        self.risk.book_cost(o.strategy, exposed, cost)
        if m.settled:
            self.settle_delta(m, o.strategy, cost, held if o.outcome == m.outcome else 0, exposed)
        return 0

    # -- settlement -------------------------------------------------------------------------------------------

    cdef int on_outcome(self, const Event* e) except -1:
        """The venue published the winner: book each strategy's PnL, once."""
        cdef MarketState m = self.find(e.market)
        cdef int s
        if m is None or m.settled or e.outcome > DOWN:
            self.duplicates += m is not None and m.settled
            self.strays += m is None or not m.settled
            return 0
        m.outcome = e.outcome
        m.settled = True
        m.closed = True
        for s in range(len(self.strategies)):
            if m.strat_cost_usd[s] != 0 or m.strat_shares[s][UP_SLOT] != 0 or m.strat_shares[s][DOWN_SLOT] != 0:
                self.settle_delta(m, s, m.strat_cost_usd[s], m.strat_shares[s][m.outcome], at_risk(m.strat_cost_usd[s]))
        return 0

    cdef int settle_delta(self, MarketState m, int strategy, int64_t cost, int64_t payout, int64_t exposed) except -1:
        """Realise what changed; the record tells the whole, so that the latest one always counts."""
        cdef int64_t paid = m.strat_cost_usd[strategy], won = m.strat_shares[strategy][m.outcome]
        self.risk.roll(self.now_ns)              # a result of the first instant of a day is that day's
        self.risk.realise(strategy, payout - cost, exposed)
        return record_settlement(self.out, m, strategy, self.now_ns, paid, won)


def _score(Signal s) -> float:
    """Sort key: edge x confidence, descending."""
    return -s.score()
