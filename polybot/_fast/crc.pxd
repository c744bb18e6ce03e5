# CRC-32 as zlib and zip have it (polynomial 0x04C11DB7, reflected), for files that are written from C.
from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef uint32_t crc32_of(uint32_t start, const uint8_t* p, int64_t n) noexcept nogil
