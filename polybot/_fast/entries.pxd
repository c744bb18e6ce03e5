# Taking a tail of entries apart, for the thread that packs it: heads as columns, payloads one behind another.
# Owns: the walk from entry to entry.  The layout of an entry is polybot.tape.records', of the columns tape.blocks'.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef packed struct Head:     # of an entry
    uint32_t size            # of all of it, this head included
    uint32_t crc
    int64_t seq
    int64_t recv_ns
    uint8_t feed
    uint8_t kind
    uint16_t aux

cdef struct Columns:         # where each begins; all hold as many as there are entries
    uint32_t* size           # of the payload
    int64_t* seq             # this and the next one: differences to the entry before
    int64_t* recv_ns
    uint8_t* feed
    uint8_t* kind
    uint16_t* aux

cdef class Entries:
    cdef bytearray room          # for columns, kept for the next tail
    cdef bytearray payload_room
    cdef readonly Py_ssize_t count
    cdef readonly int64_t first_seq
    cdef readonly int64_t last_seq
    cdef readonly int64_t first_ns
    cdef readonly int64_t last_ns
    cdef readonly object columns     # memoryview, good until the next take()
    cdef readonly object payloads    # memoryview, the same

    cdef int _take(self, const char* p, Py_ssize_t n) except -1

cdef Py_ssize_t walk(const char* p, Py_ssize_t n, Py_ssize_t* payloads) noexcept nogil
cdef void take_apart(const char* p, Py_ssize_t n, Columns to, char* payloads) noexcept nogil
