"""Keccak-256 (Ethereum padding): the hash under order ids, domains, addresses and trade keys.

Owns the permutation Keccak-f[1600] and the sponge with rate 136.  One shot only: the longest
input here is an order of 384 bytes.  Little-endian hosts only (asserted at import).
Called by eip712 (C level) and by the gateway (`keccak_256`).
Source: the Keccak reference, section 1.2 (theta, rho, pi, chi, iota); two half rounds ping-pong
between two states, so that pi needs no copy.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "keccak.pyx reads lanes as they lie in memory: little-endian hosts only"
    #endif
    """

cdef enum:
    RATE = 136               # bytes absorbed per permutation: (1600 - 2 * 256) / 8
    LANES = 17               # the same in 64-bit lanes

cdef uint64_t[24] ROUND_CONSTANTS
ROUND_CONSTANTS[:] = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
]


cdef inline uint64_t _rol(uint64_t lane, int bits) noexcept nogil:
    return (lane << bits) | (lane >> (64 - bits))


cdef inline void _chi(uint64_t* out, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) noexcept nogil:
    out[0] = a ^ (~b & c)
    out[1] = b ^ (~c & d)
    out[2] = c ^ (~d & e)
    out[3] = d ^ (~e & a)
    out[4] = e ^ (~a & b)


cdef inline void _round(const uint64_t* a, uint64_t* e, uint64_t constant) noexcept nogil:
    cdef uint64_t c0 = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20]
    cdef uint64_t c1 = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21]
    cdef uint64_t c2 = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22]
    cdef uint64_t c3 = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23]
    cdef uint64_t c4 = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24]
    cdef uint64_t d0 = c4 ^ _rol(c1, 1)
    cdef uint64_t d1 = c0 ^ _rol(c2, 1)
    cdef uint64_t d2 = c1 ^ _rol(c3, 1)
    cdef uint64_t d3 = c2 ^ _rol(c4, 1)
    cdef uint64_t d4 = c3 ^ _rol(c0, 1)
    _chi(&e[0], a[0] ^ d0, _rol(a[6] ^ d1, 44), _rol(a[12] ^ d2, 43), _rol(a[18] ^ d3, 21), _rol(a[24] ^ d4, 14))
    _chi(&e[5], _rol(a[3] ^ d3, 28), _rol(a[9] ^ d4, 20), _rol(a[10] ^ d0, 3),
         _rol(a[16] ^ d1, 45), _rol(a[22] ^ d2, 61))
    _chi(&e[10], _rol(a[1] ^ d1, 1), _rol(a[7] ^ d2, 6), _rol(a[13] ^ d3, 25),
         _rol(a[19] ^ d4, 8), _rol(a[20] ^ d0, 18))
    _chi(&e[15], _rol(a[4] ^ d4, 27), _rol(a[5] ^ d0, 36), _rol(a[11] ^ d1, 10),
         _rol(a[17] ^ d2, 15), _rol(a[23] ^ d3, 56))
    _chi(&e[20], _rol(a[2] ^ d2, 62), _rol(a[8] ^ d3, 55), _rol(a[14] ^ d4, 39),
         _rol(a[15] ^ d0, 41), _rol(a[21] ^ d1, 2))
    e[0] ^= constant


cdef void _permute(uint64_t* a) noexcept nogil:
    cdef uint64_t[25] e
    cdef int r
    for r in range(0, 24, 2):
        _round(a, e, ROUND_CONSTANTS[r])
        _round(e, a, ROUND_CONSTANTS[r + 1])


cdef inline void _absorb(uint64_t* state, const uint8_t* block) noexcept nogil:
    cdef uint64_t[LANES] lanes
    cdef int k
    memcpy(lanes, block, RATE)
    for k in range(LANES):
        state[k] ^= lanes[k]
    _permute(state)


cdef void keccak256(const uint8_t* data, size_t n, uint8_t* out) noexcept nogil:
    """Write the 32-byte hash of data[0:n] to out; out may overlap data."""
    cdef uint64_t[25] state
    cdef uint8_t[RATE] last
    memset(state, 0, sizeof(state))
    while n >= RATE:
        _absorb(state, data)
        data += RATE
        n -= RATE
    memset(last, 0, RATE)
    memcpy(last, data, n)
    last[n] ^= 0x01
    last[RATE - 1] ^= 0x80
    _absorb(state, last)
    memcpy(out, state, 32)


def keccak_256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of `data` (Ethereum padding)."""
    cdef const uint8_t* p = data
    cdef uint8_t[32] digest
    keccak256(p, len(data), digest)
    return (<char*> digest)[:32]
