"""Memory that ends at a page nobody may read: reading one byte beyond a frame kills the test run."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

PROT_NONE = 0


@contextmanager
def memory(payload: bytes) -> Iterator[memoryview]:
    """A view of the payload whose last byte is the last readable one."""
    pages = -(-max(len(payload), 1) // mmap.PAGESIZE)
    room = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    anchor = ctypes.c_char.from_buffer(room)
    wall = ctypes.c_void_p(ctypes.addressof(anchor) + pages * mmap.PAGESIZE)
    size = ctypes.c_size_t(mmap.PAGESIZE)
    start = pages * mmap.PAGESIZE - len(payload)
    room[start : start + len(payload)] = payload
    if libc.mprotect(wall, size, PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    view = memoryview(room)[start : start + len(payload)]
    try:
        yield view
    finally:
        view.release()
        libc.mprotect(wall, size, mmap.PROT_READ | mmap.PROT_WRITE)
        del anchor
        room.close()
