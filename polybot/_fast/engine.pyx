"""Engine: ``process(events) -> commands``, the one decision maker for live, paper, backtest and replay.

Theory of operation: every event is applied to SpotState or one MarketState; at the end of a venue message
(F_END) the strategies whose trigger matches are asked once, their signals go through side coherence and risk,
and what survives becomes a PlaceOrder command.  Order updates and fills move orders, position and exposure;
an outcome settles.  Everything said about why a signal did or did not become an order is a command too.

Owns all trading state.  Must not wait, read a clock, log, touch a socket or raise for business reasons; a
strategy that raises is disabled and named in ``alerts``.  Called by the runner only.
"""
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from polybot._fast.account cimport Account
from polybot._fast.event cimport (
    BUY, CMD_CANCEL_ALL, CMD_REFETCH_TICK, CMD_RESYNC_BOOK, CMD_SIGNAL, DOWN, EV_BALANCE, EV_BOOK_DELTA,
    EV_BOOK_SNAPSHOT, EV_FEED_STATE, EV_FILL, EV_MARKET_CLOSE, EV_OPERATOR, EV_ORACLE_SPOT,
    EV_ORACLE_TWAP, EV_ORDER_UPDATE, EV_OUTCOME, EV_PUBLIC_QUOTE, EV_SPOT_QUOTE, EV_SPOT_TRADE, EV_STRIKE,
    EV_TICK_SIZE, EV_TIMER, EV_VENUE, F_END, F_GAP, F_SNAPSHOT, FEED_MARKET, FS_WITNESSED, NO_MARKET, OP_FLATTEN, OP_HALT,
    OP_RESUME, OS_UNKNOWN, TS_FAILED, TS_MATCHED, UP, CommandBuffer, Event, EventBuffer,
)
from polybot._fast.flatten cimport Flattener
from polybot._fast.order cimport Order
from polybot._fast.records cimport emit, record_diagnostic, record_dispatch, record_portfolio, record_signal
from polybot._fast.risk cimport (
    BOOK_CROSSED, DECONFLICTED, DISPATCHED, HOUSE_SIDE, MARKET_CLOSING, MARKET_NOT_OPEN, NO_BOOK, NO_PRICE,
    NOT_WARM, OBSERVED, STALE_ORACLE, STRIKE_UNKNOWN, Risk,
)
from polybot._fast.state cimport DOWN_SLOT, MAX_STRATEGIES, UP_SLOT, MarketState, SpotState
from polybot._fast.strategy cimport ON_ANY_BOOK, ON_BOOK, ON_SPOT_TRADE, Signal, Strategy

cdef int64_t NS = 1_000_000_000
cdef int64_t MAX_USHARES = 10 ** 15              # the limit of _fast.fees
cdef double MAX_KEY = 2.0 ** 52


cdef bint _is_sound_fill(const Event* e) noexcept:
    """True for a fill whose numbers can be booked (size and price in range, a status and a key that are whole numbers)."""
    if not (0 < e.j <= MAX_USHARES and 0 < e.i < 10_000 and 0.0 <= e.y < MAX_KEY and e.y == <int64_t> e.y):
        return False
    return <int> TS_MATCHED <= e.x <= <int> TS_FAILED and e.x == <int> e.x


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
        self.oracle_lag_s, self.tau_shift_s = oracle_lag_s, tau_shift_s
        self.max_missing_s = max_missing_s
        self.mismatch_limit = mismatch_limit
        self.fresh_samples = fresh_samples
        self.market_shrink = market_shrink
        self.markets = {}
        self.active = []
        self.out = CommandBuffer()
        self.account = Account(risk, self.out)
        self.flattener = Flattener(self.account, self.out, end_guard_ns=self.end_guard_ns)
        self.wants_any_book = any((<Strategy> s).enabled and (<Strategy> s).triggers & ON_ANY_BOOK for s in self.strategies)
        self.pool = [Signal() for _ in range(MAX_STRATEGIES)]
        for index in range(MAX_STRATEGIES):
            self.signal_of[index] = <void*> self.pool[index]
        for index, strategy in enumerate(self.strategies):
            self.trigger_of[index], self.strategy_of[index] = strategy.triggers, <void*> strategy

    def __dealloc__(self):
        free(self.table)

    # -- side records -----------------------------------------------------------------------------------------

    def open_market(self, int index, spec, *, int64_t order_seq_base, bint observed=False) -> MarketState:
        """Hand over one market's metadata (MarketSpec); order ids of that market count up from order_seq_base.

        An observed market is priced and followed for other windows' sake and never traded.
        """
        if index in self.markets or not 0 <= index < NO_MARKET:
            raise ValueError(f"market index {index} is taken or out of range")
        state = MarketState(index, spec, order_seq_base=order_seq_base, bankroll_usd=self.risk.bankroll_usd * 1e-6,
                            shrink=self.market_shrink, lag_s=self.oracle_lag_s, tau_shift_s=self.tau_shift_s,
                            observed=observed, siblings=self.active)
        (<MarketState> state).fresh_left = self.fresh_samples
        self.reserve(index)
        self.markets[index] = state
        self.active.append(state)
        self.table[index] = <void*> state
        for strategy in self.strategies:
            (<Strategy> strategy).prepare(state)
        return state

    def strategy_slot(self, str name not None) -> int:
        """Index of this strategy; a name that is not configured (any more) gets a disabled place that may not trade.

        ValueError when all MAX_STRATEGIES places are taken.
        """
        cdef Strategy strategy
        for strategy in self.strategies:
            if strategy.name == name:
                return strategy.index
        strategy = Strategy(name, gate_names=(), triggers=0, enabled=False)
        strategy.bind(len(self.strategies))
        self.strategies.append(strategy)
        self.trigger_of[strategy.index], self.strategy_of[strategy.index] = strategy.triggers, <void*> strategy
        return strategy.index

    def restore_order(self, int market_index, *, int64_t order_seq, int strategy, int outcome, int side, int order_type,
                      int price_ticks, int64_t shares, bint post_only, int64_t dispatched_ns, int64_t expires_ns=0,
                      double cancel_edge=NAN) -> Order:
        """Make an order of an earlier run again, as SENT: held in full and counted; new numbers come after it.

        The events that told of it are given to `process` afterwards.  Sizes in micro-shares, times in venue ns.
        Raises KeyError for a market that is not open, ValueError for an order that cannot be one or exists.
        """
        cdef MarketState m = self.markets[market_index]
        cdef Signal s = Signal()
        cdef Order o
        if not 0 <= strategy < len(self.strategies):
            raise ValueError(f"order {order_seq}: no strategy {strategy}")
        if order_seq in self.account.known():
            raise ValueError(f"order {order_seq} exists")
        s.clear()
        s.strategy, s.outcome, s.side, s.order_type = strategy, outcome, side, order_type
        s.price_ticks, s.shares, s.post_only, s.cancel_edge = price_ticks, shares, post_only, cancel_edge
        s.edge, s.confidence, s.price = 0.0, 0.0, price_ticks * 1e-4
        s.check()
        o = self.account.restore_order(m, s, order_seq, dispatched_ns, expires_ns)
        if m.house < 0 and o.side == BUY and not self._passive(s):
            m.house, m.house_seq = o.outcome, o.seq
        return o

    def drop_market(self, int index) -> None:
        """Forget a settled market and its orders; ValueError while it holds a position that is not settled.

        Room that orders without a last word still hold is given back, and said: nothing could do it later.
        """
        cdef MarketState m = self.markets[index]
        if not m.settled and (m.shares[UP_SLOT] or m.shares[DOWN_SLOT] or m.cost_usd[UP_SLOT] or m.cost_usd[DOWN_SLOT]):
            raise ValueError(f"market {index} holds a position that is not settled")
        self.account.forget_market(m)
        self.table[index] = NULL
        del self.markets[index]
        self.active.remove(m)
        self.touched, self.many_touched = None, False
        for m in self.active:
            if m.dirty:
                self.touch(m)

    cdef int reserve(self, int index) except -1:
        """Make room for a market index in the table."""
        cdef Py_ssize_t k, wanted = index + 64
        cdef void* grown
        if index < self.n_table:
            return 0
        grown = realloc(self.table, wanted * sizeof(void*))
        if grown == NULL:
            raise MemoryError()
        self.table = <void**> grown
        for k in range(self.n_table, wanted):
            self.table[k] = NULL
        self.n_table = wanted
        return 0

    # What became of our orders, as Python reads it.
    @property
    def orders(self) -> dict:
        """Every order of a live market by its order_seq."""
        return self.account.known()

    @property
    def alerts(self) -> list:
        """What a person should read; whoever tells it empties the list."""
        return self.account.alerts

    @property
    def strays(self) -> int:
        """Events for markets or orders we do not know."""
        return self.account.strays

    @property
    def duplicates(self) -> int:
        """Fills and updates that told nothing new."""
        return self.account.duplicates

    @property
    def overfills(self) -> int:
        """Fills beyond what was ordered."""
        return self.account.overfills

    # -- events -----------------------------------------------------------------------------------------------

    cpdef CommandBuffer process(self, EventBuffer events):
        """Apply events in order; the returned buffer is reused by the next call."""
        self.out.clear()
        self.apply_all(events.ev, events.n)
        return self.out

    cdef int apply_all(self, const Event* ev, Py_ssize_t n) except -1:
        """Apply events in order; the levels of one message in one go."""
        cdef Py_ssize_t k = 0
        while k < n:
            if EV_BOOK_SNAPSHOT <= ev[k].kind <= EV_BOOK_DELTA:
                k += self.on_book(&ev[k], n - k)
            else:
                self.apply(&ev[k])
                k += 1
        return 0

    cdef MarketState find(self, int index):
        return <MarketState> self.table[index] if 0 <= index < self.n_table and self.table[index] != NULL else None

    cdef void touch(self, MarketState m) noexcept:
        """The message under way changed what is known of this market's book."""
        m.dirty = True
        if self.touched is None:
            self.touched = m
        elif self.touched is not m:
            self.many_touched = True

    cdef int apply(self, const Event* e) except -1:
        """Apply one event that is no book's."""
        cdef int kind = e.kind
        if e.recv_ns > self.now_ns:
            self.now_ns = self.account.now_ns = e.recv_ns
        if kind == EV_SPOT_QUOTE:
            self.spot.on_quote(e.x, e.y, e.recv_ns)
            return 0
        if kind == EV_SPOT_TRADE:
            return self.on_spot_trade(e)
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
        if kind == EV_ORDER_UPDATE or kind == EV_FILL:
            return self.on_order_news(e)
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
        elif kind == EV_VENUE:
            self.risk.venue_down = e.i != 0
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
        if live:
            self.risk.note_stamp(e.venue_ns, e.recv_ns)
        if live and e.flags & F_END:
            for m in self.active:
                if sampled >= NS and m.fresh_left and not isnan(self.spot.sigma) and e.recv_ns >= m.start_ns:
                    m.fresh_left -= 1
                if not m.closed:
                    self.evaluate(m, ON_SPOT_TRADE, e.recv_ns)
            self.risk.note_greeks(self.active, self.spot, e.recv_ns)
        return 0

    cdef Py_ssize_t on_book(self, const Event* ev, Py_ssize_t n) except -1:
        """Apply the run of book events of one kind that begins here; how many they are."""
        cdef MarketState m = self.find(ev.market)
        cdef Py_ssize_t run = 1
        if ev.recv_ns > self.now_ns:
            self.now_ns = self.account.now_ns = ev.recv_ns
        if m is None:
            self.account.strays += 1
        else:
            run = m.take_book(ev, n)
            self.touch(m)
        if ev[run - 1].flags & F_END:
            self.on_message_end(ev.recv_ns)
        return run

    cdef int on_message_end(self, int64_t now_ns) except -1:
        """A venue message is complete: check the books it touched, then ask the strategies once per market."""
        cdef MarketState m = self.touched
        cdef int any_book = ON_ANY_BOOK if self.wants_any_book else 0
        if m is None:
            return 0
        self.touched = None
        if not self.many_touched and (any_book == 0 or len(self.active) == 1):
            m.book_ns = now_ns
            m.note_quotes(self.spot.last)
            return self.on_book_end(m, ON_BOOK | any_book, now_ns)
        self.many_touched = False
        for m in self.active:
            if m.dirty:
                m.book_ns = now_ns               # before anybody looks at this book as another window's
                m.note_quotes(self.spot.last)
        for m in self.active:
            if m.dirty:
                self.on_book_end(m, ON_BOOK | any_book, now_ns)
            elif any_book and not m.closed:
                self.evaluate(m, ON_ANY_BOOK, now_ns)
        return 0

    cdef int on_book_end(self, MarketState m, int trigger, int64_t now_ns) except -1:
        """One book is complete: what must be asked again, then the strategies."""
        m.dirty = False
        if m.contradicts(self.mismatch_limit):
            emit(self.out, CMD_RESYNC_BOOK, m.index, self.now_ns)
        if m.book.off_tick != m.off_tick_seen:
            m.off_tick_seen = m.book.off_tick
            if not m.tick_refetch:
                m.tick_refetch = True
                emit(self.out, CMD_REFETCH_TICK, m.index, now_ns)
        elif m.renewed:
            m.tick_refetch = False               # a snapshot with all levels on its tick is an answer
        m.renewed = False
        return 0 if m.closed else self.evaluate(m, trigger, now_ns)

    cdef int on_quote(self, const Event* e) except -1:
        """The venue's own best prices: a check on our book, not a source of it."""
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.account.strays += 1
        else:
            m.told_outcome, m.told_bid, m.told_ask = e.outcome, <int> e.x, <int> e.y
            self.touch(m)
        return self.on_message_end(e.recv_ns) if e.flags & F_END else 0

    cdef int on_tick_size(self, const Event* e) except -1:
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.account.strays += 1
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
            marked += m.marked()
            m.pass_time(now_ns)
            if m.closed:
                if m.open_orders:
                    self.account.cancel_resting(m, now_ns, True)
            elif m.open_orders or m.moves.lookback_ns:
                self.tend_market(m, now_ns)
        self.risk.marked_usd = marked
        self.risk.check_halts()
        if self.flattener.on:
            self.flattener.run(self.active, now_ns)
        if now_ns >= self.next_diagnostic_ns:
            self.next_diagnostic_ns = now_ns - now_ns % self.diagnostics_ns + self.diagnostics_ns
            for m in self.active:
                if now_ns < m.end_ns:
                    m.block_reason = self.pregate(m, now_ns)
                    record_diagnostic(self.out, m, self.spot, self.strategies, now_ns)
                    record_portfolio(self.out, m, self.risk, now_ns)
        return 0

    cdef int tend_market(self, MarketState m, int64_t now_ns) except -1:
        """Sample mid and fair; cancel resting orders whose time is up, and all where nothing new might be placed either."""
        cdef bint stopped = self.pregate(m, now_ns) != DISPATCHED
        m.moves.on_sample(NAN if stopped else m.mid(), m.px.p_up, now_ns)
        if not m.open_orders:
            return 0
        stopped = stopped or self.risk._check_portfolio(m, self.spot, False, now_ns) != DISPATCHED
        return self.account.cancel_resting(m, now_ns, stopped)

    cdef int on_strike(self, const Event* e) except -1:
        cdef MarketState m = self.find(e.market)
        if m is None or not e.x > 0.0:
            self.account.strays += 1
            return 0
        m.strike, m.strike_var = e.x, e.y
        m.strike_source, m.strike_stamp_ns = <int> e.i, e.venue_ns
        return 0

    cdef int on_market_close(self, const Event* e) except -1:
        """The window ended: nothing is asked any more; what rests is cancelled."""
        cdef MarketState m = self.find(e.market)
        if m is None:
            self.account.strays += 1
            return 0
        m.closed = True
        if m.open_orders:
            self.account.note_cancel(m, e.recv_ns)
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
            self.flattener.on = False
        elif e.i == OP_FLATTEN:
            self.risk.halted_manual = True
            self.flattener.begin()               # the next heartbeat sells
            emit(self.out, CMD_CANCEL_ALL, NO_MARKET, e.recv_ns)
        return 0

    # -- strategies -------------------------------------------------------------------------------------------

    cdef int pregate(self, MarketState m, int64_t now_ns) noexcept:
        """The gates no strategy may skip; DISPATCHED when the market can be traded now."""
        if m.observed:
            return OBSERVED
        if now_ns < m.start_ns:
            return MARKET_NOT_OPEN
        if now_ns >= m.end_ns - self.end_guard_ns:
            return MARKET_CLOSING
        if isnan(m.strike):
            return STRIKE_UNKNOWN
        if not m.book.has_snapshot:
            return NO_BOOK
        if m.book.best[0] > m.book.best[1] >= 0:
            return BOOK_CROSSED
        if isnan(self.spot.sigma) or m.fresh_left > 0:
            return NOT_WARM
        if not m.reprice(self.spot, now_ns):
            return NOT_WARM if isnan(m.spot) else NO_PRICE
        if m.missing_s > self.max_missing_s:
            return STALE_ORACLE
        return DISPATCHED

    cdef int evaluate(self, MarketState m, int trigger, int64_t now_ns) except -1:
        cdef int n
        m.block_reason = self.pregate(m, now_ns)
        if m.block_reason != DISPATCHED:
            m.blocked[m.block_reason] += 1
            return 0
        if m.open_orders:
            self.account.cancel_resting(m, now_ns, False)
        n = self.ask(m, trigger)
        return self.decide(m, n, now_ns) if n else 0

    cdef int ask(self, MarketState m, int trigger) except -1:
        """Ask the strategies of this trigger; their signals lie in the pool.  One that raises is disabled, and told of."""
        cdef Strategy strategy
        cdef SpotState spot = self.spot
        cdef Py_ssize_t k = 0, count = len(self.strategies)
        cdef int n = 0
        while k < count:
            try:                                 # around them all: entering it costs as much as asking one
                while k < count:
                    k += 1
                    if not self.trigger_of[k - 1] & trigger:
                        continue
                    if not (<Strategy> self.strategy_of[k - 1]).enabled:
                        m.unasked[k - 1] += 1
                    elif (<Strategy> self.strategy_of[k - 1]).run(m, spot, <Signal> self.signal_of[n % MAX_STRATEGIES]):
                        m.signals[k - 1] += 1
                        m.dropped[k - 1] += 1                # until it is decided
                        (<Signal> self.signal_of[n % MAX_STRATEGIES]).check()
                        n += 1
            except Exception as error:
                strategy = <Strategy> self.strategy_of[k - 1]
                strategy.disable()
                self.account.retire(strategy.index)
                self.account.alerts.append(f"strategy {strategy.name} raised {type(error).__name__}: {error}; disabled")
        return n

    cdef int decide(self, MarketState m, int n, int64_t now_ns) except -1:
        """Side coherence, order by edge x confidence, risk, dispatch; every signal is recorded with its fate."""
        cdef Signal s
        cdef int k
        cdef list ordered
        self.settle_sides(m, n)
        ordered = None if n == 1 else sorted(self.pool[:n], key=_score)
        for k in range(n):
            s = <Signal> (self.signal_of[0] if ordered is None else <void*> ordered[k])
            if s.reason == DISPATCHED and m.house >= 0 and not self._passive(s) and s.outcome != m.house:
                s.reason = HOUSE_SIDE
            if s.reason == DISPATCHED:
                s.reason = self.risk.check(m, self.spot, s, s.strategy, not s.post_only, now_ns)
            if s.reason == DISPATCHED:
                self.dispatch(m, s, now_ns)
            else:
                m.denials[s.strategy][s.reason] += 1
                m.dropped[s.strategy] -= 1
                record_signal(self.out, m, s, CMD_SIGNAL, 0, now_ns)
        return 0

    cdef bint _passive(self, Signal s) noexcept:
        return (<Strategy> self.strategy_of[s.strategy]).passive

    cdef int settle_sides(self, MarketState m, int n) noexcept:
        """With no house yet and active signals on both outcomes, the larger sum of edge x confidence wins (tie: Up)."""
        cdef Signal s
        cdef double score[2]
        cdef bint present[2]
        cdef int k, loser = -1
        if n == 1:                               # nobody to disagree with
            (<Signal> self.signal_of[0]).reason = DISPATCHED
            return 0
        score[0] = score[1] = 0.0
        present[0] = present[1] = False
        for k in range(n):
            s = <Signal> self.pool[k]
            s.reason = DISPATCHED
            if not self._passive(s):
                score[s.outcome] += s.score()
                present[s.outcome] = True
        if m.house >= 0 or not (present[0] and present[1]):
            return 0
        loser = DOWN if score[UP_SLOT] >= score[DOWN_SLOT] else UP
        for k in range(n):
            s = <Signal> self.pool[k]
            if s.outcome == loser and not self._passive(s):
                s.reason = DECONFLICTED
        return 0

    cdef int dispatch(self, MarketState m, Signal s, int64_t now_ns) except -1:
        """Open the order, set the house when an active strategy is the first, and say so."""
        cdef Order o = self.account.open_order(m, s, now_ns)
        m.dropped[s.strategy] -= 1
        if m.house < 0 and not self._passive(s) and s.confidence >= self.house_confidence_min:
            m.house, m.house_seq = s.outcome, o.seq
        return record_dispatch(self.out, m, s, o.seq, now_ns)

    # -- our orders -------------------------------------------------------------------------------------------

    cdef int on_order_news(self, const Event* e) except -1:
        """An update or a fill of one of our orders; of one we do not know it is counted, and a fill is told."""
        cdef Order o = self.account.known().get(e.seq)
        if e.kind == EV_FILL:
            if o is None or not _is_sound_fill(e):
                self.account.strays += 1
                self.account.alerts.append(f"a fill of order {e.seq} cannot be booked: {e.j} micro-shares at {e.i} ticks")
                return 0
            return self.account.on_fill(self.find(o.market), o, e)
        if o is None or not 0 <= e.i <= OS_UNKNOWN:
            self.account.strays += 1
            return 0
        return self.account.on_order_update(self.find(o.market), o, e)

    cdef int on_outcome(self, const Event* e) except -1:
        """The venue published the winner: settle."""
        cdef MarketState other, m = self.find(e.market)
        if m is None:
            self.account.strays += 1
            return 0
        self.risk.marked_usd = 0                 # of the others: what is realised now must not count twice
        for other in self.active:
            self.risk.marked_usd += other.marked() if other is not m else 0
        return self.account.on_outcome(m, e.outcome)


def _score(Signal s) -> float:
    """Sort key: edge x confidence, descending."""
    return -s.score()
