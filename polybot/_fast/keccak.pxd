# Keccak-256 as Ethereum uses it (original padding 0x01, not SHA3's 0x06).
from libc.stdint cimport uint8_t


cdef void keccak256(const uint8_t* data, size_t n, uint8_t* out) noexcept nogil
