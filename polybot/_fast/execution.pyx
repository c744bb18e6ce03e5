"""Simulated execution: our own orders filled against observed market data, by the venue's rules.

Theory of operation.  Market data come in as received (`process`), orders as decided (`place`, `cancel`), each with
the moment it reaches the venue on the receive clock; what comes out are the gateway's own events.

    SENT -> arrival -> REJECTED | CANCELED (killed) | DELAYED (it takes: held) | LIVE (it rests)
    DELAYED -> end of the hold -> fills, then FILLED | CANCELED | PARTIAL, LIVE (the rest of a GTC or GTD)
    LIVE -> fills by public trades -> PARTIAL -> FILLED | CANCELED | EXPIRED

An action due at T sees the data received before T, T included once `advance(T)` is called: never a later book.
Every rule and which way it errs stands in docs/PAPER.md.  Prices and sizes come from the data alone.
Must not read a clock, choose orders or know the engine.  Called by polybot.paper; the backtest is to call the same.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from polybot._fast.book cimport TOP
from polybot._fast.event cimport (
    BUY, DOWN, EV_BOOK_SNAPSHOT, EV_FEED_STATE, EV_FILL, EV_ORDER_UPDATE, EV_PUBLIC_TRADE, EV_TICK_SIZE, F_END, F_MAKER,
    F_SNAPSHOT, FAK, FEED_MARKET, FOK, FS_DISCONNECTED, FS_STALE, GTD, NO_MARKET, OS_CANCELED, OS_DELAYED, OS_EXPIRED,
    OS_FILLED, OS_LIVE, OS_MATCHED, OS_PARTIAL, OS_REJECTED, OS_SENT, SELL, TS_CONFIRMED, TS_MATCHED, UP, Event, EventBuffer,
)
from polybot._fast.fees cimport leg_micro_usd, notional_micro_usd, taker_fee_micro_usd
from polybot._fast.sim_market cimport QUEUE_PESSIMISTIC, QUEUE_PROPORTIONAL, SimMarket, SimOrder

cdef enum:
    ACT_ARRIVE = 1
    ACT_MATCH = 2
    ACT_CANCEL = 3
    ACT_EXPIRE = 4
    ACT_CONFIRM = 5
    ACT_CLOSE = 6

# "invalid amount for a marketable BUY order, min size: $1"
cdef int64_t MIN_MARKETABLE_MICRO_USD = 1_000_000
# Far above any size: the queue of an order that joined a book we did not know.
cdef int64_t UNKNOWN_AHEAD = <int64_t> 1 << 60
cdef Py_ssize_t MAX_ACTIONS = 1 << 22
cdef Py_ssize_t MAX_MARKETS = 65_535


cdef class SimExecution:
    """All simulated orders of one account; see the module's head."""

    def __init__(self, *, int64_t cash_usd, int64_t confirm_ns, int64_t cancel_ns=0, int queue=QUEUE_PESSIMISTIC,
                 int extra_ticks=0, int64_t first_key=1):
        if queue not in (QUEUE_PESSIMISTIC, QUEUE_PROPORTIONAL) or extra_ticks < 0 or confirm_ns < 0:
            raise ValueError(f"no such execution: {queue=} {extra_ticks=} {confirm_ns=}")
        self.cash_usd = cash_usd
        self.confirm_ns, self.cancel_ns = confirm_ns, cancel_ns
        self.queue_model, self.extra_ticks = queue, extra_ticks
        self.next_key = first_key
        self.markets, self.orders = {}, {}

    def __dealloc__(self):
        free(self.heap)
        free(self.table)

    # ---- market data

    cpdef int process(self, EventBuffer events, EventBuffer out) except -1:
        """Take market events in order of receipt; append what became of our orders to `out`."""
        self.out = out
        return self.apply_all(events.ev, events.n)

    cdef int apply_all(self, const Event* ev, Py_ssize_t n) except -1:
        """Take market events; what became of our orders goes to `self.out`."""
        cdef Py_ssize_t k = 0
        while k < n:
            k += self.apply(&ev[k], n - k)
        return 0

    cdef Py_ssize_t apply(self, const Event* ev, Py_ssize_t n) except -1:
        """Take one market event, or the run of levels of one message; how many events that was."""
        cdef SimMarket m
        cdef Py_ssize_t run = 1
        if self.n_actions and self.heap[0].due_ns < ev.recv_ns:
            self.run_until(ev.recv_ns - 1)
        if ev.recv_ns > self.now_ns:
            self.now_ns = ev.recv_ns
        if ev.kind == EV_FEED_STATE:
            self.on_feed_state(ev)
        if not EV_BOOK_SNAPSHOT <= ev.kind <= EV_TICK_SIZE or ev.market >= self.n_table or self.table[ev.market] == NULL:
            return 1
        m = <SimMarket> self.table[ev.market]
        if ev.kind == EV_PUBLIC_TRADE:
            m.prints += 1
            if m.n_resting:
                self.on_print(m, ev)
            return 1
        run = m.book.apply_run(ev, n)
        if ev.kind == EV_BOOK_SNAPSHOT:
            m.is_blind = False
        if ev[run - 1].flags & F_END and (m.n_resting or m.n_taken) and m.book.has_snapshot:
            self.on_message_end(m)
        return run

    cpdef int advance(self, int64_t now_ns, EventBuffer out) except -1:
        """Carry out everything due up to now_ns, this instant included; the data up to it must be in."""
        self.out = out
        if self.n_actions and self.heap[0].due_ns <= now_ns:
            self.run_until(now_ns)
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        return 0

    cdef SimMarket find(self, int64_t index):
        return <SimMarket> self.table[index] if 0 <= index < self.n_table and self.table[index] != NULL else None

    cdef int on_feed_state(self, const Event* e) except -1:
        """A lost or silent socket makes its markets blind: what was shown is no longer known to be there."""
        cdef SimMarket m
        if e.i != FEED_MARKET or (e.j != FS_DISCONNECTED and e.j != FS_STALE):
            return 0
        for m in self.markets.values() if e.market == NO_MARKET else (self.find(e.market),):
            if m is not None:
                m.is_blind = True
        return 0

    cdef int on_message_end(self, SimMarket m) except -1:
        """Compare the new book with what we believed of our queues and of the depth we took."""
        cdef SimOrder o
        if m.n_taken:
            m.refresh_taken()
        for o in m.bids:
            o.follow(m.book.size_at(o.outcome, o.side, o.price_ticks), self.now_ns, self.queue_model)
        for o in m.asks:
            o.follow(m.book.size_at(o.outcome, o.side, o.price_ticks), self.now_ns, self.queue_model)
        return 0

    cdef int on_print(self, SimMarket m, const Event* e) except -1:
        """A public trade, in its taker's terms: it meets our resting orders in price-time priority."""
        cdef bint buys_up = ((e.side ^ e.outcome) & 1) == 0
        cdef int64_t ticks = e.i if e.outcome == UP else TOP - e.i
        cdef int64_t left = e.j
        cdef SimOrder o
        if e.flags & F_SNAPSHOT or left <= 0 or not 0 < ticks < TOP:
            return 0
        for o in list(m.side(buys_up)):
            if o.up_ticks > ticks if buys_up else o.up_ticks < ticks:
                break
            left -= self.match_print(m, o, left, o.up_ticks != ticks)
        return 0

    cdef int64_t match_print(self, SimMarket m, SimOrder o, int64_t left, bint is_through) except -1:
        """Fill one resting order from a print of `left` micro-shares; returns what it got.

        Through our price the whole print would have met us first; at it, those ahead come first.
        """
        cdef int64_t got
        if is_through:
            o.ahead, o.is_lost = 0, False
        else:
            left = o.reached(left, self.now_ns)
        got = min(left, o.ushares - o.filled)
        if got <= 0:
            return 0
        self.fill(m, o, o.price_ticks, got, True)
        if o.filled == o.ushares:
            self.finish(m, o, OS_FILLED if o.filled >= o.asked else OS_CANCELED, REASON_NONE)
        else:
            self.hold(m, o, self.needed(m, o, False))
            self.update(o, OS_PARTIAL, o.filled, REASON_NONE)
        return got

    # ---- what is due

    cdef int run_until(self, int64_t last_ns) except -1:
        cdef Action a
        while self.n_actions and self.heap[0].due_ns <= last_ns:
            self.pop(&a)
            if a.due_ns > self.now_ns:
                self.now_ns = a.due_ns
            self.act(&a)
        return 0

    cdef int act(self, const Action* a) except -1:
        cdef SimOrder o
        if a.kind == ACT_CLOSE:
            return self.on_close(a.seq, a.due_ns)
        o = self.orders.get(a.seq)
        if o is None:
            return 0
        if a.kind == ACT_CONFIRM:
            return self.confirm(o, a.item)
        if a.kind == ACT_CANCEL:
            return self.on_cancel(o)
        if o.terminal():
            return 0
        if a.kind == ACT_ARRIVE:
            return self.on_arrival(o)
        if a.kind == ACT_MATCH:
            return self.execute(self.find(o.market), o)
        return self.finish(self.find(o.market), o, OS_EXPIRED, REASON_NONE)

    cdef int on_arrival(self, SimOrder o) except -1:
        """The venue sees the order: refuse it, hold it when it takes, or let it rest."""
        cdef SimMarket m = self.find(o.market)
        cdef int reason
        cdef bint takes
        if m is None or not m.is_open:
            return self.finish(m, o, OS_REJECTED, REASON_NOT_READY)
        reason = self.check_terms(m, o)
        if reason != REASON_NONE:
            return self.finish(m, o, OS_REJECTED, reason)
        takes = self.crosses(m, o)
        if takes and o.post_only:
            reason = REASON_CROSSES_BOOK
        elif takes and o.side == BUY and o.usd < MIN_MARKETABLE_MICRO_USD:
            reason = REASON_MIN_NOTIONAL
        elif takes and m.fees_enabled and m.fee_rate_ppm < 0:
            reason = REASON_NOT_READY            # no schedule, no taking: a fee left out would flatter
        elif (o.order_type == FAK and not takes) or (
                o.order_type == FOK and self.walk(m, o, o.ushares, -1, False) < o.ushares):
            self.n_killed += 1
            return self.finish(m, o, OS_CANCELED, REASON_KILLED)
        elif not self.hold(m, o, self.needed(m, o, takes)):
            reason = REASON_BALANCE
        if reason != REASON_NONE:
            return self.finish(m, o, OS_REJECTED, reason)
        if o.order_type == GTD and o.expires_ns > 0:
            self.schedule(o.expires_ns, ACT_EXPIRE, o.seq, 0)
        if not takes or m.hold_ns == 0:
            return self.execute(m, o)
        self.schedule(self.now_ns + m.hold_ns, ACT_MATCH, o.seq, 0)
        return self.update(o, OS_DELAYED, -1, REASON_NONE)

    cdef int check_terms(self, SimMarket m, SimOrder o) noexcept:
        cdef int64_t tick = m.book.tick_size
        if tick > 0 and (o.price_ticks % tick or not tick <= o.price_ticks <= TOP - tick):
            return REASON_TICK_SIZE
        return REASON_MIN_SIZE if o.ushares < m.min_size_ushares else REASON_NONE

    cdef bint crosses(self, SimMarket m, SimOrder o) noexcept:
        """True when something is shown within the limit that our own fills have not taken yet."""
        return self.walk(m, o, 1, -1, False) > 0

    cdef int execute(self, SimMarket m, SimOrder o) except -1:
        """Match against the book as shown now; what remains rests or dies as the type says."""
        cdef int64_t want = o.ushares - o.filled
        if m.book.tick_size > 0 and o.price_ticks % m.book.tick_size:
            return self.finish(m, o, OS_CANCELED, REASON_NONE)   # the grid changed during the hold
        if o.order_type == FOK and self.walk(m, o, want, -1, False) < want:
            self.n_killed += 1
            return self.finish(m, o, OS_CANCELED, REASON_NONE)
        self.cancel_self_hits(m, o)
        self.walk(m, o, want, -1, True)
        if o.filled == o.ushares:
            return self.finish(m, o, OS_FILLED if o.filled >= o.asked else OS_CANCELED, REASON_NONE)
        if o.order_type != FAK and o.order_type != FOK:
            return self.rest(m, o)
        if o.filled:
            self.update(o, OS_MATCHED, o.filled, REASON_NONE)
        else:
            self.n_killed += 1
        return self.finish(m, o, OS_CANCELED, REASON_NONE)

    cdef int64_t walk(self, SimMarket m, SimOrder o, int64_t want, int64_t before_ticks, bint is_fill) except -1:
        """Go through the shown depth within the limit as a taker; returns the micro-shares found, filled or only counted.

        before_ticks: count only prices better than this one (-1: no such bound).  extra_ticks makes every price worse.
        """
        cdef int64_t t, got = 0, part, price, extra = 0 if o.post_only else self.extra_ticks * m.book.tick_size
        cdef bint buys = o.side == BUY
        cdef int k = 1 - o.k
        if m.is_blind or not m.book.has_snapshot:
            self.n_blind += is_fill
            return 0
        t = m.book.next_ask(o.outcome, -1) if buys else m.book.next_bid(o.outcome, -1)
        while t >= 0 and got < want:
            price = t + extra if buys else t - extra
            if (price > o.price_ticks if buys else price < o.price_ticks) or not 0 < price < TOP:
                break
            if before_ticks >= 0 and (t >= before_ticks if buys else t <= before_ticks):
                break
            part = m.book.size_at(o.outcome, SELL if buys else BUY, t)
            part -= m.taken_at(k, t if o.outcome == UP else TOP - t)
            part = min(part, want - got)
            if part > 0:
                got += part
                if is_fill:
                    m.note_taken(k, t if o.outcome == UP else TOP - t, part)
                    self.fill(m, o, price, part, False)
            t = m.book.next_ask(o.outcome, t) if buys else m.book.next_bid(o.outcome, t)
        return got

    cdef int cancel_self_hits(self, SimMarket m, SimOrder o) except -1:
        """A taker that reaches our own resting order cancels it and goes on (the venue's CancelMaker)."""
        cdef SimOrder mine
        cdef int64_t want = o.ushares - o.filled, own, first
        for mine in list(m.side(1 - o.k)):
            if mine.up_ticks < o.up_ticks if o.k else mine.up_ticks > o.up_ticks:
                break
            own = mine.up_ticks if o.outcome == UP else TOP - mine.up_ticks
            first = self.walk(m, o, want, own, False)
            if first + (0 if mine.is_lost else mine.ahead) >= want:
                break
            self.n_self_hits += 1
            self.finish(m, mine, OS_CANCELED, REASON_NONE)
        return 0

    cdef int rest(self, SimMarket m, SimOrder o) except -1:
        """Join the queue behind all that is shown at our price."""
        if m.is_blind or not m.book.has_snapshot:
            o.is_lost, o.seen, o.ahead = True, 0, UNKNOWN_AHEAD
        else:
            o.seen = o.ahead = m.book.size_at(o.outcome, o.side, o.price_ticks)
        o.lag_ns = self.now_ns
        self.hold(m, o, self.needed(m, o, False))
        m.enter(o)
        if o.cancel_wanted:
            self.schedule(self.now_ns + self.cancel_ns, ACT_CANCEL, o.seq, 0)
        return self.update(o, OS_PARTIAL if o.filled else OS_LIVE, o.filled, REASON_NONE)

    cdef int on_cancel(self, SimOrder o) except -1:
        """A cancel reached the venue: it ends what rests; what is held or not there yet is asked again when it rests."""
        if o.terminal():
            self.n_cancels_late += 1
        elif o.status in (OS_SENT, OS_DELAYED):
            o.cancel_wanted = True
        else:
            self.finish(self.find(o.market), o, OS_CANCELED, REASON_NONE)
        return 0

    cdef int on_close(self, int64_t index, int64_t due_ns) except -1:
        """The window ended: everything held or resting is canceled, and no order is taken any more."""
        cdef SimMarket m = self.find(index)
        cdef SimOrder o
        if m is None or m.end_ns != due_ns:
            return 0
        m.is_open = False
        for o in list(self.orders.values()):
            if o.market == index and o.status != OS_SENT and not o.terminal():
                self.finish(m, o, OS_CANCELED, REASON_NONE)
        return 0

    # ---- what becomes of an order

    cdef int fill(self, SimMarket m, SimOrder o, int64_t ticks, int64_t ushares, bint is_maker) except -1:
        """Book one match: money, shares, the taker's fee; tell it, and confirm it later."""
        cdef int sign = 1 if o.side == BUY else -1
        cdef int64_t usd = leg_micro_usd(o.outcome, ushares, ticks) * sign, fee = 0
        if not is_maker and m.fees_enabled:
            fee = taker_fee_micro_usd(ushares, ticks, m.fee_rate_ppm, m.fee_exponent)
        self.cash_usd -= usd + fee
        m.cost_usd += usd + fee
        m.fees_usd += fee
        m.shares[o.outcome] += ushares * sign
        o.filled += ushares
        self.n_fills += 1
        o.fills.append((self.next_key, ticks, ushares, F_MAKER if is_maker else 0))
        self.next_key += 1
        self.schedule(self.now_ns + self.confirm_ns, ACT_CONFIRM, o.seq, <int> len(o.fills) - 1)
        return self.tell_fill(o, <int> len(o.fills) - 1, TS_MATCHED)

    cdef int tell_fill(self, SimOrder o, int item, int status) except -1:
        cdef Event* e = self.out.append()
        e.recv_ns = e.venue_ns = self.now_ns
        e.kind, e.market, e.outcome, e.side, e.seq = EV_FILL, o.market, o.outcome, o.side, o.seq
        e.y, e.i, e.j, e.flags = o.fills[item]
        e.x = status
        return 0

    cdef int confirm(self, SimOrder o, int item) except -1:
        self.tell_fill(o, item, TS_CONFIRMED)
        o.confirmed += 1
        return self.forget(o)

    cdef int finish(self, SimMarket m, SimOrder o, int status, int reason) except -1:
        """Terminal: nothing rests, nothing is held."""
        if m is not None:
            m.leave(o)
            self.hold(m, o, 0)
        self.n_rejected += status == OS_REJECTED
        self.update(o, status, o.filled, reason)
        return self.forget(o)

    cdef int update(self, SimOrder o, int status, int64_t matched, int reason) except -1:
        cdef Event* e = self.out.append()
        o.status = status
        e.recv_ns = e.venue_ns = self.now_ns
        e.kind, e.market, e.outcome, e.side, e.seq = EV_ORDER_UPDATE, o.market, o.outcome, o.side, o.seq
        e.i, e.j, e.x = status, matched, reason
        return 0

    cdef int forget(self, SimOrder o) except -1:
        """An order is remembered until it ended and its last fill is confirmed."""
        if o.terminal() and o.confirmed == len(o.fills):
            self.orders.pop(o.seq, None)
        return 0

    cdef int64_t needed(self, SimMarket m, SimOrder o, bint as_taker) noexcept:
        """What the unmatched part must hold: micro-USD (BUY, with the fee when it takes) or micro-shares."""
        cdef int64_t left = o.ushares - o.filled, usd
        if o.side != BUY:
            return left
        usd = notional_micro_usd(left, o.price_ticks)
        if as_taker and m.fees_enabled:
            usd += taker_fee_micro_usd(left, o.price_ticks, m.fee_rate_ppm, m.fee_exponent)
        return usd

    cdef bint hold(self, SimMarket m, SimOrder o, int64_t amount) noexcept:
        """Hold `amount` instead of what the order holds now; False and no change when it is not there."""
        cdef int64_t more = amount - o.reserve
        if o.side == BUY:
            if more > 0 and self.cash_usd - self.held_usd < more:
                return False
            self.held_usd += more
        else:
            if more > 0 and m.shares[o.outcome] - m.held_shares[o.outcome] < more:
                return False
            m.held_shares[o.outcome] += more
        o.reserve = amount
        return True

    # ---- the heap of what is due

    cdef int schedule(self, int64_t due_ns, int kind, int64_t seq, int item) except -1:
        cdef void* grown
        cdef Py_ssize_t at = self.n_actions, parent
        cdef Action a
        if at == self.heap_capacity:
            if at >= MAX_ACTIONS:
                raise MemoryError("more simulated orders under way than any account has")
            self.heap_capacity = at * 2 if at else 64
            grown = realloc(self.heap, self.heap_capacity * sizeof(Action))
            if grown == NULL:
                raise MemoryError()
            self.heap = <Action*> grown
        self.serial += 1
        a.due_ns, a.serial, a.seq, a.kind, a.item = max(due_ns, self.now_ns), self.serial, seq, kind, item
        self.n_actions += 1
        while at > 0:
            parent = (at - 1) >> 1
            if not _is_before(&a, &self.heap[parent]):
                break
            self.heap[at] = self.heap[parent]
            at = parent
        self.heap[at] = a
        return 0

    cdef void pop(self, Action* first) noexcept:
        cdef Py_ssize_t at = 0, child
        cdef Action last
        first[0] = self.heap[0]
        self.n_actions -= 1
        last = self.heap[self.n_actions]
        while True:
            child = 2 * at + 1
            if child >= self.n_actions:
                break
            if child + 1 < self.n_actions and _is_before(&self.heap[child + 1], &self.heap[child]):
                child += 1
            if not _is_before(&self.heap[child], &last):
                break
            self.heap[at] = self.heap[child]
            at = child
        self.heap[at] = last

    # ---- what Python calls

    def add_market(self, int index, spec) -> None:
        """Follow a market from now on; its orders end with its window."""
        if not 0 <= index < MAX_MARKETS:
            raise ValueError(f"no market index: {index}")
        if index in self.markets:
            raise ValueError(f"market index {index} is in use")
        self.reserve(index)
        self.markets[index] = SimMarket(index, spec)
        self.table[index] = <void*> self.markets[index]
        self.schedule(spec.end_ns, ACT_CLOSE, index, 0)

    def drop_market(self, int index) -> None:
        """Forget a market with its orders; fills not yet confirmed stay unconfirmed."""
        cdef SimMarket m = self.find(index)
        cdef SimOrder o
        if m is None:
            return
        for o in list(self.orders.values()):
            if o.market == index:
                self.hold(m, o, 0)
                del self.orders[o.seq]
        self.table[index] = NULL
        del self.markets[index]

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

    def place(self, int market, *, int64_t order_seq, int outcome, int side, int order_type, int64_t price_ticks,
              int64_t ushares, int64_t arrive_ns, int64_t asked=0, int64_t usd=-1, bint post_only=False,
              int64_t expires_ns=0) -> None:
        """Send an order that reaches the venue at arrive_ns (receive clock).

        asked: micro-shares the engine asked for (0: ushares), which alone make it FILLED; usd: signed micro-USD.
        """
        cdef SimOrder o = SimOrder()
        if order_seq in self.orders or self.find(market) is None:
            raise ValueError(f"order {order_seq} placed twice, or in no market")
        if not (0 < price_ticks < TOP and ushares > 0 and BUY <= side <= SELL and UP <= outcome <= DOWN):
            raise ValueError(f"no order: {outcome=} {side=} {price_ticks=} {ushares=}")
        o.seq, o.market, o.outcome, o.side, o.order_type = order_seq, market, outcome, side, order_type
        o.price_ticks, o.ushares, o.asked = price_ticks, ushares, asked if asked > 0 else ushares
        o.usd = usd if usd >= 0 else notional_micro_usd(ushares, price_ticks)
        o.post_only, o.expires_ns, o.status, o.fills = post_only, expires_ns, OS_SENT, []
        o.k = (side ^ outcome) & 1
        o.up_ticks = price_ticks if outcome == UP else TOP - price_ticks
        self.orders[order_seq] = o
        self.n_placed += 1
        self.schedule(arrive_ns, ACT_ARRIVE, order_seq, 0)

    def cancel(self, int64_t order_seq, int64_t arrive_ns) -> bool:
        """Send a cancel that reaches the venue at arrive_ns; False when no such order is open."""
        cdef SimOrder o = self.orders.get(order_seq)
        if o is None or o.terminal():
            return False
        self.schedule(arrive_ns, ACT_CANCEL, order_seq, 0)
        return True

    def settle(self, int market, int winner) -> int:
        """Pay 1 USD per winning share; returns micro-USD.  Raises ValueError for an unknown market or outcome."""
        cdef SimMarket m = self.find(market)
        if m is None or not UP <= winner <= DOWN:
            raise ValueError(f"nothing to settle: {market=} {winner=}")
        cdef int64_t paid = m.shares[winner]
        self.cash_usd += paid
        m.shares[0] = m.shares[1] = 0
        return paid

    def next_due_ns(self) -> int:
        """When the next action is due, 0 when nothing is."""
        return self.heap[0].due_ns if self.n_actions else 0

    def market(self, int index) -> SimMarket | None:
        """A followed market, for reading."""
        return self.find(index)

    def order(self, int64_t order_seq) -> SimOrder | None:
        """An order not forgotten yet."""
        return self.orders.get(order_seq)

    def open_orders(self, market=None) -> list:
        """order_seq of every order not at its end, of one market or all, oldest first."""
        return [seq for seq, o in self.orders.items()
                if not (<SimOrder> o).terminal() and (market is None or (<SimOrder> o).market == market)]

    def position(self, int market) -> tuple[int, int]:
        """(Up, Down) micro-shares held in a market."""
        cdef SimMarket m = self.find(market)
        if m is None:
            return 0, 0
        return m.shares[0], m.shares[1]

    def taken(self, int market) -> dict:
        """(0 bids or 1 asks of Up, Up ticks) -> micro-shares of the shown depth that are ours already."""
        cdef SimMarket m = self.find(market)
        return {} if m is None else {(m.taken[n].k, m.taken[n].ticks): m.taken[n].ushares for n in range(m.n_taken)}

    def counters(self) -> dict[str, int]:
        """What happened so far."""
        return {"placed": self.n_placed, "fills": self.n_fills, "killed": self.n_killed, "rejected": self.n_rejected,
                "self_hits": self.n_self_hits, "cancels_late": self.n_cancels_late, "blind_matches": self.n_blind}


cdef inline bint _is_before(const Action* a, const Action* b) noexcept nogil:
    return a.due_ns < b.due_ns or (a.due_ns == b.due_ns and a.serial < b.serial)
