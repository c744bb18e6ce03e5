"""CRC-32 as zlib computes it, for files that are written from C: the same numbers, without a Python object.

Owns two ways to the same number: eight tables (M. Kounavis and F. Berry, 2005, "slicing by 8"), and carry-less
multiplication where the processor has it (V. Gopal and others, Intel 2009, "Fast CRC computation for generic
polynomials using PCLMULQDQ"; the constants are powers of x modulo the polynomial), found out when the module is
imported.  Must not know what is summed.  Called by _fast.tail.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>

    static int polybot_crc_has_fold(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    }

    #define POLYBOT_FOLD(acc, by, next) _mm_xor_si128(_mm_xor_si128( \\
        _mm_clmulepi64_si128(acc, by, 0x00), _mm_clmulepi64_si128(acc, by, 0x11)), next)

    /* n is a multiple of 16 and at least 64; crc is the inverted sum so far, and so is what comes back. */
    __attribute__((target("pclmul,sse4.1")))
    static uint32_t polybot_crc_fold(uint32_t crc, const uint8_t* p, int64_t n) {
        const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
        const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
        const __m128i by_8 = _mm_set_epi64x(0, 0x163cd6124);
        const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
        const __m128i low_32 = _mm_setr_epi32(-1, 0, -1, 0);
        const __m128i* at = (const __m128i*) p;
        __m128i a = _mm_xor_si128(_mm_loadu_si128(at), _mm_cvtsi32_si128((int) crc));
        __m128i b = _mm_loadu_si128(at + 1), c = _mm_loadu_si128(at + 2), d = _mm_loadu_si128(at + 3), t;
        for (at += 4, n -= 64; n >= 64; at += 4, n -= 64) {
            a = POLYBOT_FOLD(a, by_64, _mm_loadu_si128(at));
            b = POLYBOT_FOLD(b, by_64, _mm_loadu_si128(at + 1));
            c = POLYBOT_FOLD(c, by_64, _mm_loadu_si128(at + 2));
            d = POLYBOT_FOLD(d, by_64, _mm_loadu_si128(at + 3));
        }
        a = POLYBOT_FOLD(a, by_16, b);
        a = POLYBOT_FOLD(a, by_16, c);
        a = POLYBOT_FOLD(a, by_16, d);
        for (; n >= 16; at += 1, n -= 16)
            a = POLYBOT_FOLD(a, by_16, _mm_loadu_si128(at));
        a = _mm_xor_si128(_mm_clmulepi64_si128(a, by_16, 0x10), _mm_srli_si128(a, 8));
        t = _mm_srli_si128(a, 4);
        a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low_32), by_8, 0x00), t);
        t = _mm_clmulepi64_si128(_mm_and_si128(a, low_32), barrett, 0x10);
        t = _mm_clmulepi64_si128(_mm_and_si128(t, low_32), barrett, 0x00);
        return (uint32_t) _mm_extract_epi32(_mm_xor_si128(a, t), 1);
    }
    #else
    static int polybot_crc_has_fold(void) { return 0; }
    static uint32_t polybot_crc_fold(uint32_t crc, const uint8_t* p, int64_t n) { (void) p; (void) n; return crc; }
    #endif
    """
    bint _has_fold "polybot_crc_has_fold"() noexcept nogil
    uint32_t _fold "polybot_crc_fold"(uint32_t crc, const uint8_t* p, int64_t n) noexcept nogil

cdef uint32_t TABLES[8][256]         # written once, when the module is imported
cdef bint HAS_FOLD = _has_fold()


cdef void _fill_tables() noexcept:
    cdef uint32_t value
    cdef int k, _bit, step
    for k in range(256):
        value = k
        for _bit in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        TABLES[0][k] = value
    for k in range(256):
        for step in range(1, 8):
            TABLES[step][k] = (TABLES[step - 1][k] >> 8) ^ TABLES[0][TABLES[step - 1][k] & 0xFF]


cdef uint32_t _by_tables(uint32_t crc, const uint8_t* p, int64_t n) noexcept nogil:
    """The inverted sum after these bytes, from the inverted sum before them."""
    cdef uint32_t low, high
    while n >= 8:
        memcpy(&low, p, 4)
        memcpy(&high, p + 4, 4)
        low ^= crc
        crc = (TABLES[7][low & 0xFF] ^ TABLES[6][(low >> 8) & 0xFF] ^ TABLES[5][(low >> 16) & 0xFF] ^ TABLES[4][low >> 24]
               ^ TABLES[3][high & 0xFF] ^ TABLES[2][(high >> 8) & 0xFF] ^ TABLES[1][(high >> 16) & 0xFF]
               ^ TABLES[0][high >> 24])
        p += 8
        n -= 8
    if n >= 4:
        memcpy(&low, p, 4)
        low ^= crc
        crc = (TABLES[3][low & 0xFF] ^ TABLES[2][(low >> 8) & 0xFF] ^ TABLES[1][(low >> 16) & 0xFF]
               ^ TABLES[0][low >> 24])
        p += 4
        n -= 4
    while n > 0:
        crc = (crc >> 8) ^ TABLES[0][(crc ^ p[0]) & 0xFF]
        p += 1
        n -= 1
    return crc


cdef uint32_t crc32_of(uint32_t start, const uint8_t* p, int64_t n) noexcept nogil:
    """As zlib.crc32(data, start)."""
    cdef uint32_t crc = ~start
    cdef int64_t whole
    if HAS_FOLD and n >= 64:
        whole = n & ~<int64_t> 15
        crc = _fold(crc, p, whole)
        p += whole
        n -= whole
    return ~_by_tables(crc, p, n)


def crc32(bytes data not None, uint32_t start=0) -> int:
    """As zlib.crc32(data, start)."""
    return crc32_of(start, <const uint8_t*> <const char*> data, len(data))


def crc32_by_tables(bytes data not None, uint32_t start=0) -> int:
    """The same by tables alone, as on a processor without carry-less multiplication."""
    return <uint32_t> ~_by_tables(~start, <const uint8_t*> <const char*> data, len(data))


_fill_tables()
