"""Taking a tail of entries apart: their heads as columns, and all payloads one behind another.

Owns the walk from entry to entry, and the room for what comes out, which serves tail after tail: room asked for anew
each time is a page fault every 4 kB.  Everything is copied without the interpreter lock, so that the event loop never
waits for the packer's thread here.  All numbers are little endian, as this machine's.
Must not check what is in a head, or a checksum: a tail that is still in our hands is believed.
Called by tape.blocks.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef Py_ssize_t HEAD_BYTES = sizeof(Head)
cdef Py_ssize_t COLUMN_BYTES = sizeof(Head) - sizeof(uint32_t)  # of one entry: the checksum is left out


cdef class Entries:
    """The entries of one tail at a time."""

    def __init__(self) -> None:
        self.column_room, self.payload_room = bytearray(), bytearray()
        self.columns = self.payloads = memoryview(b"")

    def take(self, data, Py_ssize_t start) -> int:
        """Take the entries of data, from `start` to its end, apart; return how many.

        `columns` has the columns of tape.blocks one behind another; it and `payloads` are good until the next call.
        Raises ValueError when whole entries do not fill the data.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or start > view.len:
                raise ValueError("entries begin within the data")
            return self._take(<const char*> view.buf + start, view.len - start)
        finally:
            PyBuffer_Release(&view)

    cdef int _take(self, const char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t count, size = 0
        cdef Head first, last
        cdef char* columns
        cdef char* payloads
        with nogil:
            count = walk(p, n, &size)
        if count < 0:
            raise ValueError("the entries are not whole")
        if len(self.column_room) < count * COLUMN_BYTES:
            self.column_room = PyByteArray_FromStringAndSize(NULL, count * COLUMN_BYTES)
        if len(self.payload_room) < size:
            self.payload_room = PyByteArray_FromStringAndSize(NULL, size)
        columns, payloads = PyByteArray_AS_STRING(self.column_room), PyByteArray_AS_STRING(self.payload_room)
        first.seq = first.recv_ns = last.seq = last.recv_ns = 0
        with nogil:
            take_apart(p, count, columns, payloads, &first, &last)
        self.count = count
        self.first_seq, self.last_seq = first.seq, last.seq
        self.first_ns, self.last_ns = <int64_t> first.recv_ns, <int64_t> last.recv_ns
        self.columns = memoryview(self.column_room)[: count * COLUMN_BYTES]
        self.payloads = memoryview(self.payload_room)[:size]
        return <int> count


cdef Py_ssize_t walk(const char* p, Py_ssize_t n, Py_ssize_t* payloads) noexcept nogil:
    """How many entries fill n bytes exactly, -1 when they do not; the bytes of their payloads too."""
    cdef Py_ssize_t at = 0, count = 0
    cdef uint32_t size
    payloads[0] = 0
    while at < n:
        if n - at < HEAD_BYTES:
            return -1
        memcpy(&size, p + at, sizeof(size))
        if size < HEAD_BYTES or size > n - at:
            return -1
        payloads[0] += size - HEAD_BYTES
        at += size
        count += 1
    return count


cdef void take_apart(const char* p, Py_ssize_t count, char* columns, char* payloads, Head* first, Head* last) noexcept nogil:
    """Copy what walk() has counted; seq and recv_ns become differences to the entry before, to 0 for the first."""
    cdef char* sizes = columns
    cdef char* seqs = sizes + count * sizeof(uint32_t)
    cdef char* times = seqs + count * sizeof(uint64_t)
    cdef char* feeds = times + count * sizeof(uint64_t)
    cdef char* kinds = feeds + count
    cdef char* auxes = kinds + count
    cdef uint64_t seq = 0, recv_ns = 0, step
    cdef uint32_t size
    cdef Head head
    cdef Py_ssize_t k
    for k in range(count):
        memcpy(&head, p, sizeof(Head))
        size = head.size - <uint32_t> sizeof(Head)
        memcpy(sizes + k * sizeof(size), &size, sizeof(size))
        step = head.seq - seq
        memcpy(seqs + k * sizeof(step), &step, sizeof(step))
        step = head.recv_ns - recv_ns
        memcpy(times + k * sizeof(step), &step, sizeof(step))
        seq, recv_ns = head.seq, head.recv_ns
        feeds[k], kinds[k] = <char> head.feed, <char> head.kind
        memcpy(auxes + k * sizeof(head.aux), &head.aux, sizeof(head.aux))
        memcpy(payloads, p + sizeof(Head), size)
        payloads += size
        p += head.size
        if k == 0:
            first[0] = head
        last[0] = head
