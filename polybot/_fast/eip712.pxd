# EIP-712 encoding of the venue's order (CTF Exchange V2) and of its login message.
from libc.stdint cimport uint8_t


cdef class OrderHasher:
    cdef uint8_t[12 * 32] _order        # type hash and the eleven fields, one word each
    cdef uint8_t[7 * 32] _wrapped       # TypedDataSign: type hash and six fields (signature type 3)
    cdef uint8_t[2 + 2 * 32] _envelope  # 0x1901, domain separator, struct hash
    cdef readonly bytes domain_separator
    cdef readonly int signature_type
    cdef bytes _tail
    cdef void _hash_envelope(self, const uint8_t* struct_hash, uint8_t* out) noexcept
