"""The road of one batch of events through the engine and out: on one C call stack, no Python object without a decision.

Theory of operation: what moves money is journaled, the engine decides, commands go to the gateway first, then to
feeds and telemetry, and the inputs log gets its copy last.  Batches that arise meanwhile (a local refusal) wait
their turn.  Whatever an outlet or the engine raises passes through after a manual halt: what was decided may not
have left, so nothing more is decided until somebody has looked.
Owns the order of these things.  Must not decide, wait or do I/O itself.  Made by polybot.runner; called by the
listener (from C) and by feeds, the gateway and timers through the runner.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcpy

from polybot._fast.engine cimport Engine
from polybot._fast.event cimport (
    CMD_PLACE, CMD_REFETCH_TICK, CMD_RESYNC_BOOK, EV_BOOK_DELTA, EV_BOOK_SNAPSHOT, EV_OPERATOR, EV_PUBLIC_QUOTE,
    EV_PUBLIC_TRADE, EV_SPOT_QUOTE, EV_SPOT_TRADE, NO_MARKET, OP_HALT, CommandBuffer, Event, EventBuffer,
)
from polybot._fast.ring cimport CommandRing
from polybot._fast.samples cimport SOURCE_MARKET, SOURCE_SPOT, Sample, SampleRing
from polybot._fast.sink cimport EventSink
from polybot._fast.stamp cimport VenueStamp
from polybot._fast.state cimport MarketState
from polybot._fast.tail cimport InputsTap

cdef int GATEWAY_ACTION = 1
cdef int FEED_ACTION = 2


cdef inline uint64_t kinds_of(EventBuffer events) noexcept:
    """Which kinds are in here: bit k is set when an event of EventKind k is."""
    cdef uint64_t found = 0
    cdef Py_ssize_t k
    for k in range(events.n):
        found |= <uint64_t> 1 << (events.ev[k].kind & 63)
    return found


cdef class HotPath(EventSink):
    """One engine with its outlets."""

    def __init__(self, engine, *, clock, VenueStamp stamp, gateway, on_feed_command, inbox, CommandRing ring,
                 SampleRing samples not None, journal, uint64_t journal_kinds, inputs, InputsTap tap,
                 int64_t sample_every) -> None:
        """`stamp`, `ring` and `tap` are the C ends of clock, inbox and inputs; None: these are asked in Python.

        The journal gets batches with any of `journal_kinds` (bits); one batch of `sample_every` is timed, and market
        data among these goes to `samples`.
        """
        self.any_engine = engine
        self.engine = engine if isinstance(engine, Engine) else None
        self.clock, self.stamp = clock, stamp
        self.gateway, self.on_feed_command = gateway, on_feed_command
        self.inbox, self.ring, self.samples = inbox, ring, samples
        self.journal, self.journal_kinds = journal, journal_kinds
        self.inputs, self.tap = inputs, tap
        self.waiting, self.spare = EventBuffer(), EventBuffer()
        self.sample_every = self.sample_in = sample_every

    cdef int take(self, EventBuffer events) except -1:
        """Pump events through; called again from inside (by an outlet) it queues them behind."""
        if self.busy:
            return self.wait(events)
        self.busy = True
        try:
            self.step(events)
            while self.waiting.n:
                self.waiting, self.spare = self.spare, self.waiting
                self.step(self.spare)
                self.spare.clear()
        except Exception:
            if self.deciding and self.inputs is not None:
                self.inputs.raised(self.at_work)
            self.halt()
            raise
        finally:
            self.deciding = self.busy = False
            self.at_work = None
            self.spare.clear()
        return 0

    cdef int wait(self, EventBuffer events) except -1:
        cdef Py_ssize_t k
        for k in range(events.n):
            memcpy(self.waiting.append(), &events.ev[k], sizeof(Event))
        return 0

    cdef int64_t mono(self) except? -1:
        """Raw monotonic ns."""
        return self.stamp.mono() if self.stamp is not None else self.clock.mono_ns()

    cdef int64_t now(self) except? -1:
        """Venue ns."""
        return self.stamp.now() if self.stamp is not None else self.clock.now_ns()

    cdef int step(self, EventBuffer events) except -1:
        cdef CommandBuffer commands
        cdef int64_t decoded = self.mono()
        cdef bint timed = self.sample_in == 1
        self.messages += 1
        self.sample_in = self.sample_every if timed else self.sample_in - 1
        if self.journal is not None and kinds_of(events) & self.journal_kinds:
            self.journal.events(events)
        self.at_work, self.deciding = events, True
        commands = self.process(events)
        self.deciding = False
        if commands.n or timed:
            return self.act(events, commands, decoded, timed)
        return self.log(events, commands)

    cdef CommandBuffer process(self, EventBuffer events):
        if self.engine is None:
            return self.any_engine.process(events)
        self.engine.out.clear()
        self.engine.apply_all(events.ev, events.n)
        return self.engine.out

    cdef int log(self, EventBuffer events, CommandBuffer commands) except -1:
        """The inputs log's copy: as a rule into the mapped tail at once, else the long way."""
        if self.tap is not None and self.tap.note(events, commands):
            return 0
        if self.inputs is not None:
            self.inputs.step(events, commands)
        return 0

    cdef int act(self, EventBuffer events, CommandBuffer commands, int64_t decoded, bint timed) except -1:
        """Carry out what was decided; the log gets its copy whatever becomes of that."""
        cdef int64_t decided = self.mono()
        try:
            self.hand_out(events, commands, decoded, decided)
            if timed:
                self.note_sample(events, decoded, decided)
        finally:
            self.log(events, commands)
        return 0

    cdef int hand_out(self, EventBuffer events, CommandBuffer commands, int64_t decoded, int64_t decided) except -1:
        """To the gateway first, then to feeds and telemetry."""
        cdef int actions = commands.actions()
        cdef Py_ssize_t k
        if actions & GATEWAY_ACTION:
            self.gateway(commands)
            self.note_decisions(events, commands, decoded, decided)
        if actions & FEED_ACTION:
            for k in range(commands.n):
                if commands.cmd[k].kind == CMD_REFETCH_TICK or commands.cmd[k].kind == CMD_RESYNC_BOOK:
                    self.on_feed_command(commands.cmd[k].kind, commands.cmd[k].market)
        if self.ring is None:
            self.inbox.commands(commands, decided - decoded)
            return 0
        for k in range(commands.n):
            self.ring.push(&commands.cmd[k], decided - decoded)
        return 0

    cdef int64_t receipt(self, int64_t recv_ns) except? -1:
        """The monotonic time that a venue receive time stands for."""
        cdef int64_t mono_ns = self.mono()
        cdef double behind_s = (self.now() - recv_ns) / 1e9
        behind_s = behind_s / self.stamp.speed if self.stamp is not None else self.clock.real_s(behind_s)
        return mono_ns - max(<int64_t> 0, <int64_t> (behind_s * 1e9))

    cdef int note_decisions(self, EventBuffer events, CommandBuffer commands, int64_t decoded, int64_t decided) except -1:
        """The stages of each order up to here, for the latency table."""
        cdef Py_ssize_t k
        cdef int64_t receipt, recv_ns, venue_ns
        if not events.n:
            return 0
        recv_ns, venue_ns = events.ev[0].recv_ns, events.ev[0].venue_ns
        receipt = min(self.receipt(recv_ns), decoded)
        for k in range(commands.n):
            if commands.cmd[k].kind == CMD_PLACE:
                self.inbox.decision(commands.cmd[k].order_seq, ts_ns=recv_ns,
                                    wire_ns=recv_ns - venue_ns if venue_ns else None, stamps=(receipt, decoded, decided))
        return 0

    cdef int note_sample(self, EventBuffer events, int64_t decoded, int64_t decided) except -1:
        """One timed batch of market data, for the latency table."""
        cdef Event* e = events.ev
        cdef int kind = e.kind if events.n else 0
        cdef Sample sample
        if kind == EV_SPOT_TRADE or kind == EV_SPOT_QUOTE:
            sample.source = SOURCE_SPOT
        elif kind == EV_BOOK_SNAPSHOT or kind == EV_BOOK_DELTA or kind == EV_PUBLIC_QUOTE or kind == EV_PUBLIC_TRADE:
            sample.source = SOURCE_MARKET
        else:
            return 0
        sample.ts_ns, sample.market = e.recv_ns, e.market
        sample.wire_ns = e.recv_ns - e.venue_ns if e.venue_ns else INT64_MIN
        sample.decode_ns = max(<int64_t> 0, decoded - self.receipt(e.recv_ns))
        sample.decide_ns = decided - decoded
        self.samples.push(&sample)
        return 0

    cdef int halt(self) except -1:
        """Tell the engine, and everybody who keeps what it is told, of a manual halt."""
        cdef Event* e
        self.spare.clear()
        e = self.spare.append()
        e.kind, e.recv_ns, e.market, e.i = EV_OPERATOR, self.now(), NO_MARKET, OP_HALT
        if self.journal is not None:
            self.journal.events(self.spare)
        return self.log(self.spare, self.process(self.spare))


cdef class MarketPath(EventSink):
    """The same road for the book feed of one market: the gateway may look first, and hears of a new tick size after."""

    def __init__(self, EventSink path not None, Engine engine not None, int market, *, before, on_tick_size) -> None:
        """`before(events)` gets every batch (None: nobody), `on_tick_size(market, ticks)` what the book has come to."""
        self.path, self.engine, self.market = path, engine, market
        self.before, self.on_tick_size = before, on_tick_size

    cdef int take(self, EventBuffer events) except -1:
        cdef MarketState m
        cdef int64_t ticks
        if self.before is not None:
            self.before(events)
        self.path.take(events)
        m = self.engine.find(self.market)
        if m is not None and m.book.tick_size != self.tick_size and m.book.tick_size > 0:
            ticks = m.book.tick_size
            self.on_tick_size(self.market, ticks)
            self.tick_size = ticks               # told: had it raised, the next batch would tell it
        return 0
