"""One tail in memory and what writes into it without a Python object: an entry's head, checksum and copy in C.

The format stands in polybot.tape.records; the bytes are the same.  MappedTail is the space, Numbering and TapeCounts
are what a tape counts, InputsTap is the short way of the inputs log: it takes a batch only when everything of it
goes into the tail as it is, else it takes nothing and says so, and the long way (replay.recorder) does it all.
Owns no file: the mapping is made, synced and removed by polybot.tape.tail.  Must not wait, raise or call the system
while writing.  Called by tape.writer and replay.recorder (from Python), _fast.path (from C).
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from polybot._fast.crc cimport crc32_of
from polybot._fast.event cimport Command, CommandBuffer, Event, EventBuffer

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void* start, size_t length, int advice)

cdef int POPULATE_WRITE = 23         # MADV_POPULATE_WRITE, Linux 5.14; an older kernel refuses it and nothing happens
cdef int64_t PAGE = 4_096

ctypedef packed struct Head:
    uint32_t size
    uint32_t crc
    uint64_t seq
    int64_t recv_ns
    uint8_t feed
    uint8_t kind
    uint8_t aux_low
    uint8_t aux_high


cdef class Numbering:
    """Sequence numbers of one recording."""

    def take(self) -> int:
        """The next number, from 1."""
        self.last += 1
        return self.last


cdef class MappedTail:
    """The bytes of one tail; `end` is where the next entry goes."""

    def __init__(self, space, uint32_t number, int64_t start) -> None:
        """Write into a writable buffer from byte `start` on; the buffer is held until `release`."""
        if self.is_held:
            raise ValueError("a tail has its space already")
        PyObject_GetBuffer(space, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.is_held = True
        self.number, self.end, self.size = number, start, self.view.len

    def __dealloc__(self):
        if self.is_held:
            PyBuffer_Release(&self.view)

    cdef bint put(self, int64_t seq, int64_t recv_ns, int feed, int kind, int aux, const void* payload,
                  int64_t n_bytes) noexcept:
        """Copy one entry in; False when it does not fit any more."""
        cdef Head head
        cdef int64_t size = HEAD_BYTES + n_bytes
        cdef uint8_t* to
        if self.end + size > self.size:
            return False
        head.size, head.seq, head.recv_ns = <uint32_t> size, <uint64_t> seq, recv_ns
        head.feed, head.kind, head.aux_low, head.aux_high = <uint8_t> feed, <uint8_t> kind, aux & 0xFF, (aux >> 8) & 0xFF
        head.crc = 0                             # until everything is there
        to = <uint8_t*> self.view.buf + self.end
        memcpy(to, &head, HEAD_BYTES)
        memcpy(to + HEAD_BYTES, payload, n_bytes)
        head.crc = crc32_of(head.size ^ self.number, to + FRONT_BYTES, size - FRONT_BYTES)
        memcpy(to + 4, &head.crc, 4)
        self.end += size
        self.entries += 1
        return True

    def add(self, int64_t seq, int64_t recv_ns, *, int feed, int kind, int aux, bytes payload not None) -> bool:
        """Copy one entry in; False when it does not fit any more."""
        return self.put(seq, recv_ns, feed, kind, aux, <const char*> payload, len(payload))

    def prepare(self, int64_t n_bytes) -> bool:
        """Have the system make the pages of the next n_bytes writable; False when it does not know how.

        A first write to a page of a mapped file costs microseconds in the kernel, again after every sync of the file.
        This pays them on the caller's thread, changes no byte, and does not hold the interpreter.
        """
        cdef int64_t start = self.end & -PAGE, length = min(self.size, self.end + n_bytes) - start
        cdef char* base = <char*> self.view.buf
        cdef int failed = 0
        if not self.is_held or length <= 0 or (<size_t> base) % PAGE:
            return False
        with nogil:
            failed = madvise(base + start, length, POPULATE_WRITE)
        return failed == 0

    def release(self) -> None:
        """Nothing more goes in, and the buffer may be closed."""
        self.size = 0
        if self.is_held:
            self.is_held = False
            PyBuffer_Release(&self.view)


cdef class TapeCounts:
    """What one tape holds so far, and the tail its next entry goes into directly."""

    def __init__(self, Numbering numbers not None) -> None:
        self.numbers = numbers

    def follow(self, MappedTail tail) -> None:
        """Write into this tail from now on; None: nothing goes in directly."""
        self.tail = tail

    def add(self, int64_t seq, int64_t recv_ns, *, int feed, int kind, int aux, bytes payload not None) -> bool:
        """Copy one entry into the tail and count it; False when that needs the long way."""
        if self.tail is None or not self.tail.put(seq, recv_ns, feed, kind, aux, <const char*> payload, len(payload)):
            return False
        self._count(recv_ns, feed, kind, len(payload))
        return True

    def count(self, int64_t recv_ns, *, int feed, int kind, int64_t n_bytes) -> None:
        """Count one entry that went the long way."""
        self._count(recv_ns, feed, kind, n_bytes)

    def count_gap(self) -> None:
        """Count an entry of our own that says what was dropped."""
        self.entries += 1

    cdef int _count(self, int64_t recv_ns, int feed, int kind, int64_t n_bytes) noexcept:
        self.entries += 1
        self.raw_bytes += n_bytes
        self.of_feed[feed & (FEED_SLOTS - 1)] += 1
        self.frames[feed & (FEED_SLOTS - 1)] += kind == KIND_FRAME
        self.last_ns = recv_ns
        if not self.first_ns:
            self.first_ns = recv_ns
        return 0

    def by_feed(self) -> list[int]:
        """Entries by TapeFeed."""
        return [self.of_feed[k] for k in range(FEED_SLOTS)]

    def frames_by_feed(self) -> list[int]:
        """Websocket messages by TapeFeed."""
        return [self.frames[k] for k in range(FEED_SLOTS)]


cdef class InputsTap:
    """The short way into the inputs log."""

    def __init__(self, int64_t piece_bytes) -> None:
        """Batches above `piece_bytes` go the long way: they are more than one entry."""
        self.piece_bytes = piece_bytes

    def follow(self, TapeCounts tape) -> None:
        """Write into this part from now on; None: everything goes the long way."""
        self.tape = tape

    cdef bint note(self, EventBuffer events, CommandBuffer commands) noexcept:
        """Copy one batch and its answer in, whole; False: nothing was taken, the long way must."""
        cdef TapeCounts tape = self.tape
        cdef int64_t given = events.n * <int64_t> sizeof(Event), answered = commands.n * <int64_t> sizeof(Command)
        cdef int64_t recv_ns, needed = HEAD_BYTES + given + (HEAD_BYTES + answered if answered else 0)
        cdef MappedTail tail
        if tape is None or tape.tail is None or not given or given > self.piece_bytes or answered > self.piece_bytes:
            return False
        tail = tape.tail
        if tail.end + needed > tail.size:
            return False
        recv_ns = events.ev[0].recv_ns
        tape.numbers.last += 1
        tail.put(tape.numbers.last, recv_ns, FEED_OWN, KIND_EVENTS, AUX_ANSWERED if answered else 0, events.ev, given)
        tape._count(recv_ns, FEED_OWN, KIND_EVENTS, given)
        if answered:
            tape.numbers.last += 1
            tail.put(tape.numbers.last, recv_ns, FEED_OWN, KIND_COMMANDS, 0, commands.cmd, answered)
            tape._count(recv_ns, FEED_OWN, KIND_COMMANDS, answered)
        return True

    def try_note(self, EventBuffer events not None, CommandBuffer commands not None) -> bool:
        """As the engine's path does it, asked from Python."""
        return self.note(events, commands)
