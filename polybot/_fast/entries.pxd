# Taking a tail of entries apart, for the thread that packs it: heads as columns, payloads one behind another.
# Owns: the walk from entry to entry.  The layout of an entry is polybot.tape.records', of the columns tape.blocks'.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef packed struct Head:         # of an entry
    uint32_t size                # of all of it, this head included
    uint32_t crc
    uint64_t seq
    uint64_t recv_ns             # signed; its differences wrap
    uint8_t feed
    uint8_t kind
    uint8_t aux[2]

cdef class Entries:
    cdef bytearray column_room   # both kept for the next tail
    cdef bytearray payload_room
    cdef readonly Py_ssize_t count
    cdef readonly uint64_t first_seq
    cdef readonly uint64_t last_seq
    cdef readonly int64_t first_ns
    cdef readonly int64_t last_ns
    cdef readonly object columns   # memoryview, good until the next take()
    cdef readonly object payloads  # memoryview, the same

    cdef int _take(self, const char* p, Py_ssize_t n) except -1

cdef Py_ssize_t walk(const char* p, Py_ssize_t n, Py_ssize_t* payloads) noexcept nogil
cdef void take_apart(const char* p, Py_ssize_t count, char* columns, char* payloads, Head* first, Head* last) noexcept nogil
