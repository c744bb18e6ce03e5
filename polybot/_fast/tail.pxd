# One tail in memory, the numbers and counts of what is written into it, and the short way for the engine's inputs.
from libc.stdint cimport int64_t, uint32_t

from polybot._fast.event cimport CommandBuffer, EventBuffer

cdef enum:
    HEAD_BYTES = 28          # size u32, crc32 u32, seq u64, recv_ns i64, feed u8, kind u8, aux u16
    FRONT_BYTES = 8          # of these what the checksum does not cover
    FEED_SLOTS = 8           # counters per feed; TapeFeed is below
    FEED_OWN = 6             # TapeFeed.OWN
    KIND_FRAME = 1           # EntryKind
    KIND_EVENTS = 5
    KIND_COMMANDS = 11
    AUX_ANSWERED = 8         # replay.calls.AUX_COMMANDS: a COMMANDS entry follows

cdef class Numbering:
    cdef readonly int64_t last

cdef class MappedTail:
    cdef Py_buffer view
    cdef bint is_held
    cdef uint32_t number
    cdef readonly int64_t end        # where the next entry goes, bytes from the start
    cdef readonly int64_t size       # bytes that may be written; 0 after release
    cdef readonly int64_t entries
    cdef bint put(
        self, int64_t seq, int64_t recv_ns, int feed, int kind, int aux, const void* payload, int64_t n_bytes
    ) noexcept

cdef class TapeCounts:
    cdef MappedTail tail             # where entries go directly; None: the long way decides
    cdef Numbering numbers
    cdef readonly int64_t entries
    cdef readonly int64_t raw_bytes  # of payloads
    cdef readonly int64_t first_ns
    cdef readonly int64_t last_ns
    cdef int64_t of_feed[FEED_SLOTS]
    cdef int64_t frames[FEED_SLOTS]
    cdef int _count(self, int64_t recv_ns, int feed, int kind, int64_t n_bytes) noexcept

cdef class InputsTap:
    cdef TapeCounts tape
    cdef int64_t piece_bytes
    cdef bint note(self, EventBuffer events, CommandBuffer commands) noexcept
