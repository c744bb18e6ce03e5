"""The pump of recorded data: what polybot.runner and polybot.paper.gateway do live, without a Python step between.

Theory of operation.  Recorded events come in as one array in the order of receipt; a venue message is a run of them
up to F_END.  For each message received at T, in this order:

    actions of the simulated venue and heartbeats due before T, as they come   -> engine
    the message                                   -> simulated venue -> what became of our orders -> engine
    the message                                                                                   -> engine

and after each of these the gateway's commands go to `on_actions`, which places orders in the venue; what it tells
meanwhile (a refusal) waits until the engine's answer is carried out.  At one instant data come before the venue's
actions, and these before the heartbeat.  Must not decide, read a clock or look ahead of the message under way.
Called by polybot.backtest.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from polybot._fast.book cimport Book
from polybot._fast.engine cimport Engine
from polybot._fast.event cimport (
    CMD_CANCEL_ALL, CMD_PLACE, EV_BALANCE, EV_BOOK_DELTA, EV_BOOK_SNAPSHOT, EV_FEED_STATE, EV_PUBLIC_TRADE, EV_RESOLVED, EV_TICK_SIZE,
    EV_TIMER, F_END, NO_MARKET, CommandBuffer, Event, EventBuffer,
)
from polybot._fast.event import EVENT_DTYPE, QUOTE_DTYPE, read_records
from polybot._fast.execution cimport SimExecution
from polybot._fast.sim_market cimport SimMarket
from polybot._fast.state cimport MarketState

cdef extern from * nogil:
    void __builtin_prefetch(const void*)

# Whoever keeps so many rows without taking them has forgotten to: take_commands and take_quotes empty the pump.
cdef Py_ssize_t MAX_QUOTES = 1 << 22
# Events are asked for so far ahead: about what memory takes to bring them while a message is worked on.
cdef enum:
    AHEAD = 24
cdef int64_t NEVER = <int64_t> 0x7fffffffffffffff

assert sizeof(Quote) == QUOTE_DTYPE.itemsize


cdef Book _copied(Book book):
    """A book of its own with the same content."""
    cdef Book made = Book()
    memcpy(made.size, book.size, sizeof(made.size))
    memcpy(made.occupied, book.occupied, sizeof(made.occupied))
    memcpy(made.summary, book.summary, sizeof(made.summary))
    memcpy(made.best, book.best, sizeof(made.best))
    made.tick_size, made.inverse, made.shape = book.tick_size, book.inverse, book.shape
    made.off_tick, made.orphans = book.off_tick, book.orphans
    made.level_count, made.has_snapshot = book.level_count, book.has_snapshot
    return made


cdef inline Py_ssize_t _length(const Event* ev, Py_ssize_t n, Py_ssize_t last) noexcept:
    """How many events the message at ev[0] has of which ev[last] is one: up to F_END, within one receipt."""
    while (not ev[last].flags & F_END and last + 1 < n and ev[last + 1].recv_ns == ev.recv_ns
           and ev[last + 1].kind <= EV_RESOLVED):
        last += 1
    return last + 1


cdef class Pump:
    """One engine and one simulated venue, fed with recorded events; see the module for the order of things.

    on_actions(commands, now_ns): carry out CMD_PLACE, CMD_CANCEL, CMD_CANCEL_ALL of the buffer, and leave the others.
    on_told(events): sees the venue's answers directly before the engine; on_tick_size(market, ticks): a market's price
    grid changed.  timer_ns: time between heartbeats (0: they are in the data).  balance_ns: time between EV_BALANCE
    with the venue's cash, at a heartbeat (0: none).  keep: sum of 1 << CommandKind of the commands to keep.
    """

    def __init__(self, Engine engine not None, SimExecution venue not None, *, on_actions, on_told=None,
                 on_tick_size=None, int64_t timer_ns=100_000_000, int64_t balance_ns=0, unsigned int keep=0,
                 bint note_quotes=False):
        if timer_ns < 0 or balance_ns < 0:
            raise ValueError(f"no such pump: {timer_ns=} {balance_ns=}")
        self.engine, self.venue, self.out = engine, venue, engine.out
        self.on_actions, self.on_told, self.on_tick_size = on_actions, on_told, on_tick_size
        self.timer_ns, self.balance_ns = timer_ns, balance_ns
        self.next_timer_ns, self.next_balance_ns = NEVER, 0
        self.keep, self.note_quotes = keep, note_quotes
        self.told, self.waiting, self.spare, self.moved = EventBuffer(), EventBuffer(), EventBuffer(), EventBuffer()
        self.kept = CommandBuffer()

    def __dealloc__(self):
        free(self.quotes)
        free(self.known)

    # ---- what Python calls

    def run(self, events, *, int market=-1) -> int:
        """Take recorded events (EVENT_DTYPE, contiguous, in the order of receipt); returns the venue messages in them.

        market >= 0: every event that names a market gets this index.  Raises ValueError for anything that is no array
        of events, RuntimeError when called from inside.
        """
        cdef Py_buffer view
        cdef int64_t before = self.messages
        if events.dtype != EVENT_DTYPE:
            raise ValueError(f"no events: {events.dtype}")
        self._enter()
        try:
            PyObject_GetBuffer(events, &view, PyBUF_C_CONTIGUOUS)
            try:
                self.pump(<const Event*> view.buf, view.len // <Py_ssize_t> sizeof(Event), market)
            finally:
                PyBuffer_Release(&view)
        finally:
            self.busy = False
        return self.messages - before

    def tell(self, EventBuffer buffer not None) -> None:
        """Take events of the driver (strike, close, outcome ...) as one message; from inside a call they wait their turn."""
        if self.busy:
            self.waiting.extend_from(buffer)
            return
        self._enter()
        try:
            if buffer.n:
                self.take(buffer.ev, buffer.n, buffer.n)
        finally:
            self.busy = False

    def advance(self, int64_t now_ns) -> None:
        """Carry out everything due up to now_ns, this instant included; the data up to it must be in."""
        self._enter()
        try:
            self.until(now_ns)
            self.now_ns = max(self.now_ns, now_ns)
        finally:
            self.busy = False

    def take_commands(self):
        """The commands kept since the last call, COMMAND_DTYPE."""
        rows = self.kept.to_numpy()
        self.kept = CommandBuffer()
        return rows

    def take_quotes(self):
        """Best prices of Up at every change since the last call, QUOTE_DTYPE."""
        cdef bytes raw = (<char*> self.quotes)[:self.n_quotes * <Py_ssize_t> sizeof(Quote)] if self.n_quotes else b""
        self.n_quotes = 0
        return read_records(raw, QUOTE_DTYPE)

    def forget_market(self, int index) -> None:
        """The market was dropped: another one may get its index."""
        if 0 <= index < self.n_known:
            self._blank(&self.known[index])

    def _enter(self) -> None:
        if self.busy:
            raise RuntimeError("the pump is at work already")
        self.busy = True

    # ---- the order of things

    cdef int pump(self, const Event* ev, Py_ssize_t n, int market) except -1:
        """Cut the events into messages: up to F_END, within one receipt; what is no venue's data stands alone."""
        cdef Py_ssize_t first = 0, size
        while first < n:
            size = 1
            if ev[first].kind <= EV_RESOLVED:
                size = _length(&ev[first], n - first, 0) if market >= 0 or ev[first].kind != EV_BOOK_SNAPSHOT else 0
                self.messages += 1
            if market < 0:
                first += self.take(&ev[first], size, n - first)
            else:
                first += self.take(self.moved_to(&ev[first], size, market), size, size)
            __builtin_prefetch(&ev[first + AHEAD])
        return 0

    cdef const Event* moved_to(self, const Event* ev, Py_ssize_t n, int market) except NULL:
        """Copy of a message with its market index replaced."""
        cdef Py_ssize_t k
        if n > self.moved.capacity:
            self.moved._grow(2 * n)
        memcpy(self.moved.ev, ev, n * sizeof(Event))
        for k in range(n):
            if self.moved.ev[k].market != NO_MARKET:
                self.moved.ev[k].market = market
        return self.moved.ev

    cdef Py_ssize_t take(self, const Event* ev, Py_ssize_t n, Py_ssize_t most) except -1:
        """One message: what was due before it, then the venue, then the engine; how many events it is.

        n: that number, 0 for a snapshot whose end (among `most` events) shows as its levels are taken.
        """
        cdef int64_t at_ns = ev.recv_ns
        if self.next_timer_ns < at_ns or (self.venue.n_actions and self.venue.heap[0].due_ns < at_ns):
            self.until(at_ns - 1)
        if at_ns > self.now_ns:
            self.now_ns = at_ns
            if self.next_timer_ns == NEVER and self.timer_ns:
                self.next_timer_ns = at_ns - at_ns % self.timer_ns + self.timer_ns
        if EV_BOOK_SNAPSHOT <= ev.kind <= EV_TICK_SIZE or ev.kind == EV_FEED_STATE or n > 1:
            return self.take_book(ev, n, most)
        self.out.n = 0
        self.engine.apply(ev)                    # spot and oracle: not the venue's, and no market's book
        if self.out.n or self.waiting.n:
            self.finish(at_ns)
        return n

    cdef Py_ssize_t take_book(self, const Event* ev, Py_ssize_t n, Py_ssize_t most) except -1:
        """One message of the venue itself: first through the simulated venue, then the engine; see take."""
        cdef MarketState m = self.engine.find(ev.market)
        cdef SimMarket s = self.venue.find(ev.market)
        cdef int64_t off_tick = 0, tick_size = 0
        cdef Py_ssize_t run, k
        if m is not None and s is not None:
            self.share(m, s, ev)
            off_tick, tick_size = m.book.off_tick, m.book.tick_size
        if self.venue.out is not self.told:
            self.venue.out = self.told
        run = self.venue.apply(ev, n if n else most)
        if n == 0:
            n = _length(ev, most, run - 1)
        if run < n:
            for k in range(run, n):
                if ev[k].kind == EV_TICK_SIZE or ev[k].market != ev.market:
                    self.part(ev[k].market)
            self.venue.apply_all(&ev[run], n - run)
        if self.told.n:
            self.answer()
        if run == n and EV_BOOK_SNAPSHOT <= ev.kind <= EV_BOOK_DELTA and m is not None and s is not None and m.book is s.book:
            self.see(m, ev, n)
        else:
            if m is not None and s is not None:
                m.book.off_tick = off_tick       # counted again as the engine takes it, by the grid of then
                if m.book.tick_size != tick_size:
                    m.book.set_tick_size(tick_size)
            self.step(ev, n)
        if EV_BOOK_SNAPSHOT <= ev.kind < EV_PUBLIC_TRADE or ev.kind == EV_TICK_SIZE:
            self.note(ev, n if run < n else 1)   # one run is one market's
        return n

    cdef int share(self, MarketState m, SimMarket s, const Event* ev) except -1:
        """From a snapshot on the engine reads the venue's own book of the market: both would be the same, level by level.

        Nothing between the venue's turn and the engine's reads a book: what the venue tells are words on our orders.
        A message that is no lone snapshot is applied twice, which leaves what once leaves.  A new tick size parts them.
        """
        if ev.kind == EV_TICK_SIZE:
            return self.part(ev.market)
        if ev.kind == EV_BOOK_SNAPSHOT and m.book is not s.book and (ev.i > 0 or m.book.tick_size == s.book.tick_size):
            s.book.off_tick, s.book.orphans = m.book.off_tick, m.book.orphans
            m.book = s.book
            m.shape_seen = -1
        return 0

    cdef int part(self, int market) except -1:
        """Before an event that the two do not take alike (a new tick size empties the venue's book alone)."""
        cdef MarketState m = self.engine.find(market)
        cdef SimMarket s = self.venue.find(market)
        if m is not None and s is not None and m.book is s.book:
            m.book = _copied(s.book)
        return 0

    cdef int see(self, MarketState m, const Event* ev, Py_ssize_t n) except -1:
        """What Engine.on_book does with a run of levels that are in the shared book already."""
        self.out.n = 0
        if ev.recv_ns > self.engine.now_ns:
            self.engine.now_ns = self.engine.account.now_ns = ev.recv_ns
        m.note_book(ev, n)
        self.engine.touch(m)
        if ev[n - 1].flags & F_END:
            self.engine.on_message_end(ev.recv_ns)
        return self.finish(ev.recv_ns) if self.out.n or self.waiting.n else 0

    cdef int until(self, int64_t last_ns) except -1:
        """Everything due up to last_ns in the order of time; at one instant the venue comes before the heartbeat."""
        cdef int64_t due_ns
        while True:
            due_ns = self.venue.heap[0].due_ns if self.venue.n_actions else NEVER
            if due_ns > last_ns and self.next_timer_ns > last_ns:
                return 0
            if due_ns <= self.next_timer_ns:
                self.venue.out = self.told
                self.venue.run_until(due_ns)
                self.now_ns = max(self.now_ns, due_ns)
                self.answer()
            else:
                self.beat(self.next_timer_ns)

    cdef int beat(self, int64_t at_ns) except -1:
        """One heartbeat, with the account's cash before it when that is due."""
        cdef Event e
        memset(&e, 0, sizeof(Event))
        self.next_timer_ns = at_ns + self.timer_ns
        self.now_ns = max(self.now_ns, at_ns)
        e.recv_ns, e.market = at_ns, NO_MARKET
        if self.balance_ns and at_ns >= self.next_balance_ns:
            self.next_balance_ns = at_ns - at_ns % self.balance_ns + self.balance_ns
            e.kind, e.j = EV_BALANCE, self.venue.cash_usd
            self.step(&e, 1)
            e.j = 0
        e.kind = EV_TIMER
        return self.step(&e, 1)

    cdef int answer(self) except -1:
        """The venue's answers to the engine, as one batch."""
        if not self.told.n:
            return 0
        if self.on_told is not None:
            self.on_told(self.told)
        self.step(self.told.ev, self.told.n)
        self.told.n = 0
        return 0

    cdef int step(self, const Event* ev, Py_ssize_t n) except -1:
        """One batch through the engine, its commands carried out, then whatever was told meanwhile."""
        self.out.n = 0
        self.engine.apply_all(ev, n)
        return self.finish(ev.recv_ns) if self.out.n or self.waiting.n else 0

    cdef int finish(self, int64_t at_ns) except -1:
        """After a batch: its commands carried out, then whatever was told meanwhile."""
        if self.out.n:
            self.carry(self.out, at_ns)
        return self.drain() if self.waiting.n else 0

    cdef int carry(self, CommandBuffer commands, int64_t at_ns) except -1:
        """Hand the gateway's commands on; keep copies of those that were asked for."""
        cdef Py_ssize_t k
        cdef int kind
        cdef bint acts = False
        for k in range(commands.n):
            kind = commands.cmd[k].kind
            acts = acts or <int> CMD_PLACE <= kind <= <int> CMD_CANCEL_ALL
            if self.keep >> kind & 1:
                memcpy(self.kept.append(), &commands.cmd[k], sizeof(commands.cmd[k]))
        if acts:
            self.on_actions(commands, max(self.now_ns, at_ns))
        return 0

    cdef int drain(self) except -1:
        """What was told while the pump was at work, in turn."""
        cdef Py_ssize_t k
        cdef CommandBuffer out = self.out
        while self.waiting.n:
            self.waiting, self.spare = self.spare, self.waiting
            out.n = 0
            for k in range(self.spare.n):        # the engine's alone
                if EV_BOOK_SNAPSHOT <= self.spare.ev[k].kind <= EV_TICK_SIZE:
                    self.part(self.spare.ev[k].market)
            self.engine.apply_all(self.spare.ev, self.spare.n)
            k = self.spare.n
            self.spare.n = 0
            if out.n:
                self.carry(out, self.spare.ev[k - 1].recv_ns)
        return 0

    # ---- what is noted of the books

    cdef int note(self, const Event* ev, Py_ssize_t n) except -1:
        """After a book message: best prices that changed, and a new price grid."""
        cdef Py_ssize_t k
        cdef int market = -1
        if not self.note_quotes and self.on_tick_size is None:
            return 0
        for k in range(n):
            if ev[k].market != market:
                market = ev[k].market
                m = self.engine.find(market)
                if m is not None:
                    self.note_market(m, ev.recv_ns)
        return 0

    cdef int note_market(self, MarketState m, int64_t at_ns) except -1:
        cdef Known* known = &self.known[m.index] if m.index < self.n_known else self.known_of(m.index)
        cdef int bid = <int> max(0, m.book.best[0]), ask = <int> max(0, m.book.best[1])
        cdef Quote* row
        if self.on_tick_size is not None and m.book.tick_size != known.tick_size and m.book.tick_size > 0:
            known.tick_size = <int> m.book.tick_size
            self.on_tick_size(m.index, m.book.tick_size)
        if not self.note_quotes or (bid == known.bid_ticks and ask == known.ask_ticks):
            return 0
        known.bid_ticks, known.ask_ticks = bid, ask
        if self.n_quotes == self.quote_capacity:
            self._grow_quotes()
        row = &self.quotes[self.n_quotes]
        row.recv_ns, row.market, row.bid_ticks, row.ask_ticks = at_ns, m.index, bid, ask
        self.n_quotes += 1
        return 0

    cdef Known* known_of(self, int index) except NULL:
        cdef Py_ssize_t k, wanted = index + 64
        cdef void* grown
        if index >= self.n_known:
            grown = realloc(self.known, wanted * sizeof(Known))
            if grown == NULL:
                raise MemoryError()
            self.known = <Known*> grown
            for k in range(self.n_known, wanted):
                self._blank(&self.known[k])
            self.n_known = wanted
        return &self.known[index]

    cdef void _blank(self, Known* known) noexcept:
        known.bid_ticks = known.ask_ticks = -1
        known.tick_size = 0

    cdef int _grow_quotes(self) except -1:
        cdef Py_ssize_t wanted = self.quote_capacity * 2 if self.quote_capacity else 1024
        cdef void* grown
        if wanted > MAX_QUOTES:
            raise MemoryError("quotes are noted and never taken")
        grown = realloc(self.quotes, wanted * sizeof(Quote))
        if grown == NULL:
            raise MemoryError()
        self.quotes, self.quote_capacity = <Quote*> grown, wanted
        return 0
