"""Taking a tail of entries apart: their heads as columns, and all payloads one behind another.

Owns the walk from entry to entry, and the room for what comes out, which serves tail after tail: room asked for anew
each time is a page fault every 4 kB.  Everything is copied without the interpreter lock, so that the event loop never
waits for the packer's thread here.  All numbers are little endian, as this machine's.
Must not check what is in a head, or a checksum: a tail that is still in our hands is believed.
Called by tape.blocks.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

cdef Py_ssize_t HEAD_BYTES = sizeof(Head)
cdef Py_ssize_t COLUMN_BYTES = sizeof(Head) - sizeof(uint32_t)  # of one entry: the checksum is left out


cdef class Entries:
    """The entries of one tail at a time."""

    def __init__(self) -> None:
        self.room = bytearray()
        self.payload_room = bytearray()
        self.columns = self.payloads = memoryview(b"")

    def take(self, data, Py_ssize_t start) -> int:
        """Take the entries in data from `start` to its end apart, return how many; ValueError where they do not fill it.

        `columns` holds the columns of tape.blocks one behind another; both views are good until the next call.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if start < 0 or start > view.len:
                raise ValueError("entries begin within the data")
            self._take(<const char*> view.buf + start, view.len - start)
        finally:
            PyBuffer_Release(&view)
        return self.count

    cdef int _take(self, const char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t count, size = 0
        cdef Columns to
        cdef char* payloads
        self.columns = self.payloads = None
        with nogil:
            count = walk(p, n, &size)
        if count < 0:
            raise ValueError("the entries are not whole")
        if len(self.room) < count * COLUMN_BYTES:
            self.room = bytearray(count * COLUMN_BYTES)
        if len(self.payload_room) < size:
            self.payload_room = bytearray(size)
        payloads = PyByteArray_AS_STRING(self.payload_room)
        to.size = <uint32_t*> PyByteArray_AS_STRING(self.room)
        to.seq = <int64_t*> (to.size + count)
        to.recv_ns = to.seq + count
        to.feed = <uint8_t*> (to.recv_ns + count)
        to.kind = to.feed + count
        to.aux = <uint16_t*> (to.kind + count)
        with nogil:
            take_apart(p, n, to, payloads)
        self.count = count
        self.columns = memoryview(self.room)[: count * COLUMN_BYTES]
        self.payloads = memoryview(self.payload_room)[:size]
        self._note_ends(p, n)
        return 0
