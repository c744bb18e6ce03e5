"""Fixed records of the core: Event (in, 64 bytes) and Command (out, 128 bytes), with growable buffers.

Owns the layout; the meaning of every field stands beside its kind in event.pxd.
Must not interpret: decoders fill events, the engine reads them.  Called by every decoder,
the engine, the runner and whoever reads a tape or a journal (``EVENT_DTYPE``, ``COMMAND_DTYPE``, ``QUOTE_DTYPE``).
"""
import numpy as np

from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

EVENT_DTYPE = np.dtype([
    ("recv_ns", "<i8"), ("venue_ns", "<i8"), ("kind", "<u2"), ("market", "<u2"), ("outcome", "u1"),
    ("side", "u1"), ("flags", "<u2"), ("seq", "<i8"), ("x", "<f8"), ("y", "<f8"), ("i", "<i8"), ("j", "<i8"),
])
COMMAND_DTYPE = np.dtype([
    ("decided_ns", "<i8"), ("order_seq", "<i8"), ("kind", "<u2"), ("market", "<u2"), ("outcome", "u1"),
    ("side", "u1"), ("order_type", "u1"), ("strategy", "u1"), ("price_ticks", "<i4"), ("reason", "<i4"),
    ("shares", "<i8"), ("usd", "<i8"), ("edge", "<f8"), ("fair", "<f8"), ("confidence", "<f8"),
    ("size_frac", "<f8"), ("spot", "<f8"), ("distance", "<f8"), ("tau_s", "<f8"), ("delta", "<f8"), ("gamma", "<f8"), ("vega", "<f8"),
])
# Best prices of Up (0: that side is empty) at the moment they changed, as the pump notes them.
QUOTE_DTYPE = np.dtype([("recv_ns", "<i8"), ("market", "<u2"), ("bid_ticks", "<i4"), ("ask_ticks", "<i4")])
# A buffer above this holds no honest input: the largest venue message is a book of 20,000 levels.
MAX_RECORDS = 1 << 20

assert EVENT_DTYPE.itemsize == sizeof(Event) == 64
assert COMMAND_DTYPE.itemsize == sizeof(Command) == 128


cdef class EventBuffer:
    """Growable array of events; reused from message to message."""

    def __cinit__(self, Py_ssize_t capacity=256):
        self.ev = NULL
        self.n = 0
        self.capacity = 0
        self._grow(capacity)

    def __dealloc__(self):
        free(self.ev)

    cdef int _grow(self, Py_ssize_t capacity) except -1:
        cdef Event* grown
        if capacity > MAX_RECORDS:
            raise MemoryError("more events in one message than any venue sends")
        grown = <Event*> realloc(self.ev, capacity * sizeof(Event))
        if grown == NULL:
            raise MemoryError()
        self.ev = grown
        self.capacity = capacity
        return 0

    cdef Event* append(self) except NULL:
        if self.n == self.capacity:
            self._grow(self.capacity * 2)
        self.n += 1
        memset(&self.ev[self.n - 1], 0, sizeof(Event))
        return &self.ev[self.n - 1]

    cdef void clear(self) noexcept:
        self.n = 0

    def reset(self) -> None:
        """Forget all events."""
        self.n = 0

    def __len__(self) -> int:
        return self.n

    def add(self, kind, *, recv_ns=0, venue_ns=0, market=NO_MARKET, outcome=0, side=0, flags=0,
            seq=0, x=0.0, y=0.0, i=0, j=0) -> None:
        """Append one event from Python (slow path: operator, order updates, tests)."""
        cdef Event* e = self.append()
        e.recv_ns = recv_ns
        e.venue_ns = venue_ns
        e.kind = kind
        e.market = market
        e.outcome = outcome
        e.side = side
        e.flags = flags
        e.seq = seq
        e.x = x
        e.y = y
        e.i = i
        e.j = j

    def kind_at(self, Py_ssize_t k) -> int:
        """Kind of event k (EventKind)."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        return self.ev[k].kind

    def recv_ns_at(self, Py_ssize_t k) -> int:
        """Receive time of event k, venue ns."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        return self.ev[k].recv_ns

    def venue_ns_at(self, Py_ssize_t k) -> int:
        """The sender's stamp of event k, ns; 0 when it has none."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        return self.ev[k].venue_ns

    def market_at(self, Py_ssize_t k) -> int:
        """Market index of event k, NO_MARKET where it has none."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        return self.ev[k].market

    def extend_from(self, EventBuffer other) -> None:
        """Append a copy of another buffer's events."""
        cdef Py_ssize_t k
        for k in range(other.n):
            memcpy(self.append(), &other.ev[k], sizeof(Event))

    def extend(self, records) -> None:
        """Append a structured array of EVENT_DTYPE, any shape (n,)."""
        cdef bytes raw = np.ascontiguousarray(records, dtype=EVENT_DTYPE).tobytes()
        cdef const char* p = raw
        cdef Py_ssize_t k, count = len(raw) // 64
        for k in range(count):
            memcpy(self.append(), p + 64 * k, 64)

    def kind_mask(self) -> int:
        """Which kinds are in here: bit k is set when an event of EventKind k is."""
        cdef Py_ssize_t k
        cdef unsigned long long mask = 0
        for k in range(self.n):
            mask |= 1ULL << (self.ev[k].kind & 63)
        return mask

    def to_bytes(self) -> bytes:
        """Copy of the records as they lie in memory: len() * 64 bytes."""
        return (<char*> self.ev)[:self.n * sizeof(Event)]

    def to_numpy(self):
        """Copy of the records as a structured array of shape (len(),)."""
        return np.frombuffer(self.to_bytes(), dtype=EVENT_DTYPE)


cdef class CommandBuffer:
    """Growable array of commands; reused from call to call."""

    def __cinit__(self, Py_ssize_t capacity=64):
        self.cmd = NULL
        self.n = 0
        self.capacity = 0
        self._grow(capacity)

    def __dealloc__(self):
        free(self.cmd)

    cdef int _grow(self, Py_ssize_t capacity) except -1:
        cdef Command* grown
        if capacity > MAX_RECORDS:
            raise MemoryError("more commands from one call than the engine can mean")
        grown = <Command*> realloc(self.cmd, capacity * sizeof(Command))
        if grown == NULL:
            raise MemoryError()
        self.cmd = grown
        self.capacity = capacity
        return 0

    cdef Command* append(self) except NULL:
        if self.n == self.capacity:
            self._grow(self.capacity * 2)
        self.n += 1
        memset(&self.cmd[self.n - 1], 0, sizeof(Command))
        return &self.cmd[self.n - 1]

    cdef void clear(self) noexcept:
        self.n = 0

    def reset(self) -> None:
        """Forget all commands."""
        self.n = 0

    def __len__(self) -> int:
        return self.n

    def kind_at(self, Py_ssize_t k) -> int:
        """Kind of command k (CommandKind)."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        return self.cmd[k].kind

    cpdef int actions(self) noexcept:
        """What the shell must act on: 1 gateway commands, 2 market feed commands, 3 both, 0 only telemetry."""
        cdef Py_ssize_t k
        cdef int found = 0
        for k in range(self.n):
            if CMD_PLACE <= self.cmd[k].kind <= CMD_CANCEL_ALL:
                found |= 1
            elif self.cmd[k].kind == CMD_REFETCH_TICK or self.cmd[k].kind == CMD_RESYNC_BOOK:
                found |= 2
        return found

    def to_bytes(self) -> bytes:
        """Copy of the records as they lie in memory: len() * 128 bytes."""
        return (<char*> self.cmd)[:self.n * sizeof(Command)]

    def to_numpy(self):
        """Copy of the records as a structured array of shape (len(),)."""
        return np.frombuffer(self.to_bytes(), dtype=COMMAND_DTYPE)


def read_records(bytes raw, dtype):
    """Packed records as a read-only structured array of shape (len(raw) / itemsize,)."""
    return np.frombuffer(raw, dtype=dtype)


# Python sees every code both in its enum and by its own name.
for _codes in (EventKind, EventFlag, Outcome, Side, OrderType, OrderStatus, TradeStatus, FeedId, FeedState,
               StrikeSource, OperatorCode, CommandKind, Special):
    globals().update(_codes.__members__)
