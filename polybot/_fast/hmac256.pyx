"""HMAC-SHA256 on the processor's own SHA instructions: the nonce of a signature, the code of a request.

Signing spends a fifth of its time on 22 compressions of SHA-256 that the curve library does in plain C.  `nonce_address`
is the library's default nonce function (RFC 6979) bit for bit (key and digest, no extra data), for it to call instead
of its own.  A second attempt, which one signature in 2^128 needs, is left to the library: 0 is returned and it is asked
again with its own function.  `KeyedHmac` is what a request is signed with.
Where the processor has no such instructions nothing here may be used (`has_sha`).  Must not keep a key: what it was
derived from is wiped.  Called by gateway.signer and gateway.auth.
Source: RFC 6979, sections 2.3.4 and 3.2; RFC 2104; FIPS 180-4; the instructions: Intel's SHA extensions.
"""
cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    #include <immintrin.h>
    static const uint32_t polybot_k256[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    static int polybot_has_sha(void) {
        unsigned a = 7, b = 0, c = 0, d = 0;
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        return (b >> 29) & 1 && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
    }
    /* One block into the state of eight words (big-endian words of the standard, native in memory). */
    __attribute__((target("sha,sse4.1,ssse3")))
    static void polybot_sha256_block(uint32_t *state, const uint8_t *block) {
        const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
        __m128i w[4], cdab, efgh, abef, cdgh, keep0, keep1, t;
        int i;
        cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
        efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
        abef = keep0 = _mm_alignr_epi8(cdab, efgh, 8);
        cdgh = keep1 = _mm_blend_epi16(efgh, cdab, 0xF0);
        for (i = 0; i < 16; i++) {
            if (i < 4) {
                w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), swap);
            } else {
                t = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]),
                                  _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(t, w[(i + 3) & 3]);
            }
            t = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const __m128i *)(polybot_k256 + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, t);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(t, 0x0E));
        }
        abef = _mm_add_epi32(abef, keep0);
        cdgh = _mm_add_epi32(cdgh, keep1);
        t = _mm_shuffle_epi32(abef, 0x1B);
        cdgh = _mm_shuffle_epi32(cdgh, 0xB1);
        _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(t, cdgh, 0xF0));
        _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(cdgh, t, 8));
    }
    #else
    static int polybot_has_sha(void) { return 0; }
    static void polybot_sha256_block(uint32_t *state, const uint8_t *block) { (void)state; (void)block; }
    #endif
    static void polybot_wipe(void *place, size_t n) {
        volatile uint8_t *p = (volatile uint8_t *)place;
        while (n--) *p++ = 0;
    }
    """
    int polybot_has_sha() nogil
    void polybot_sha256_block(uint32_t* state, const uint8_t* block) nogil
    void polybot_wipe(void* place, size_t n) nogil

cdef enum:
    HASH = 32
    BLOCK = 64
    SEEDED = 1 + 2 * HASH        # a marking byte, the key, the digest
    INNER_PAD = 0x36
    OUTER_PAD = 0x5C
    CODE = 44                    # 32 bytes in base64, with one `=`

cdef uint32_t[8] START
START[:] = [
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
]


# The order of secp256k1's group, big-endian (SEC 2, 2.4.1).
cdef uint8_t[HASH] CURVE_ORDER
CURVE_ORDER[:] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE,
    0xBA, 0xAE, 0xDC, 0xE6, 0xAF, 0x48, 0xA0, 0x3B, 0xBF, 0xD2, 0x5E, 0x8C, 0xD0, 0x36, 0x41, 0x41,
]

# Asked once: on a virtual machine the question itself takes longer than a signature's nonce.
cdef bint HAS_SHA = polybot_has_sha() != 0


cdef inline void _put_state(uint8_t* out, const uint32_t* state) noexcept nogil:
    cdef int k
    for k in range(8):
        out[4 * k] = <uint8_t> (state[k] >> 24)
        out[4 * k + 1] = <uint8_t> (state[k] >> 16)
        out[4 * k + 2] = <uint8_t> (state[k] >> 8)
        out[4 * k + 3] = <uint8_t> state[k]


cdef void _begin(uint32_t* state, const uint8_t* block, uint8_t mask) noexcept nogil:
    """The state after one block, every byte of it masked."""
    cdef uint8_t[BLOCK] masked
    cdef int k
    for k in range(BLOCK):
        masked[k] = block[k] ^ mask
    memcpy(state, START, 8 * sizeof(uint32_t))
    polybot_sha256_block(state, masked)
    polybot_wipe(masked, sizeof(masked))


cdef void _end(uint32_t* state, const uint8_t* text, size_t n, uint8_t* out) noexcept nogil:
    """The hash of what the state has seen (one block) and a text."""
    cdef uint8_t[2 * BLOCK] rest
    cdef uint64_t bits = 8 * (BLOCK + n)
    cdef size_t k, blocks
    while n >= BLOCK:
        polybot_sha256_block(state, text)
        text += BLOCK
        n -= BLOCK
    blocks = 1 if n < BLOCK - 8 else 2
    memset(rest, 0, sizeof(rest))
    memcpy(rest, text, n)
    rest[n] = 0x80
    for k in range(8):
        rest[blocks * BLOCK - 1 - k] = <uint8_t> (bits >> (8 * k))
    for k in range(blocks):
        polybot_sha256_block(state, &rest[k * BLOCK])
    _put_state(out, state)
    polybot_wipe(rest, sizeof(rest))


cdef void _hmac(const uint8_t* key, const uint8_t* text, size_t n, uint8_t* out) noexcept nogil:
    """HMAC-SHA256 with a key of 32 bytes; out may overlap key and text."""
    cdef uint32_t[8] inner, outer
    cdef uint8_t[BLOCK] padded
    memset(padded, 0, BLOCK)
    memcpy(padded, key, HASH)
    _begin(inner, padded, INNER_PAD)
    _begin(outer, padded, OUTER_PAD)
    _end(inner, text, n, out)
    _end(outer, out, HASH, out)
    polybot_wipe(padded, sizeof(padded))
    polybot_wipe(inner, sizeof(inner))
    polybot_wipe(outer, sizeof(outer))


cdef void _put_reduced(uint8_t* out, const uint8_t* digest) noexcept nogil:
    """The digest modulo the curve's order (RFC 6979, 2.3.4); it is below twice the order."""
    cdef int k, borrow = 0, difference
    memcpy(out, digest, HASH)
    if memcmp(digest, CURVE_ORDER, HASH) < 0:
        return
    for k in range(HASH - 1, -1, -1):
        difference = <int> digest[k] - <int> CURVE_ORDER[k] - borrow
        borrow = difference < 0
        out[k] = <uint8_t> (difference & 0xFF)


cdef void _first_nonce(uint8_t* out, const uint8_t* digest, const uint8_t* key) noexcept nogil:
    """RFC 6979, 3.2 b to h, for the first candidate."""
    cdef uint8_t[HASH] k
    cdef uint8_t[HASH + SEEDED] v          # V, then what it is mixed with
    memset(k, 0, HASH)
    memset(v, 1, HASH)
    memcpy(v + HASH + 1, key, HASH)
    _put_reduced(v + 2 * HASH + 1, digest)
    v[HASH] = 0
    _hmac(k, v, sizeof(v), k)
    _hmac(k, v, HASH, v)
    v[HASH] = 1
    _hmac(k, v, sizeof(v), k)
    _hmac(k, v, HASH, v)
    _hmac(k, v, HASH, out)
    polybot_wipe(k, sizeof(k))
    polybot_wipe(v, sizeof(v))


cdef int _nonce(unsigned char* nonce32, const unsigned char* digest, const unsigned char* key,
                const unsigned char* algorithm, void* data, unsigned int attempt) noexcept nogil:
    """secp256k1_nonce_function; 0 gives up."""
    if attempt != 0 or algorithm != NULL or data != NULL:
        return 0
    _first_nonce(nonce32, digest, key)
    return 1


cdef bytes _base64(const uint8_t* digest):
    """URL-safe base64 of 32 bytes (RFC 4648, section 5)."""
    cdef const char* letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cdef char[CODE] out
    cdef uint8_t[33] padded
    cdef int k
    cdef uint32_t three
    memcpy(padded, digest, HASH)
    padded[HASH] = 0
    for k in range(11):
        three = <uint32_t> padded[3 * k] << 16 | <uint32_t> padded[3 * k + 1] << 8 | padded[3 * k + 2]
        out[4 * k] = letters[three >> 18]
        out[4 * k + 1] = letters[three >> 12 & 63]
        out[4 * k + 2] = letters[three >> 6 & 63]
        out[4 * k + 3] = letters[three & 63]
    out[CODE - 1] = b"="
    return out[:CODE]


@cython.auto_pickle(False)
cdef class KeyedHmac:
    """HMAC-SHA256 with one key; ValueError without SHA instructions."""

    def __init__(self, key: bytes) -> None:
        cdef uint8_t[BLOCK] padded
        cdef uint32_t[8] state
        cdef const uint8_t* data = <const uint8_t*> <const char*> key
        if not HAS_SHA:
            raise ValueError("no processor with SHA instructions")
        memset(padded, 0, BLOCK)
        if len(key) <= BLOCK:
            memcpy(padded, data, len(key))
        else:
            memcpy(state, START, sizeof(state))
            polybot_sha256_block(state, data)
            _end(state, data + BLOCK, len(key) - BLOCK, padded)
        _begin(self._inner, padded, INNER_PAD)
        _begin(self._outer, padded, OUTER_PAD)
        polybot_wipe(padded, sizeof(padded))

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied or pickled")

    def code(self, text: bytes) -> bytes:
        """Return the code of a text, 44 bytes of URL-safe base64."""
        cdef uint32_t[8] state
        cdef uint8_t[HASH] digest
        memcpy(state, self._inner, sizeof(state))
        _end(state, <const uint8_t*> <const char*> text, len(text), digest)
        memcpy(state, self._outer, sizeof(state))
        _end(state, digest, HASH, digest)
        return _base64(digest)


def has_sha() -> bool:
    """True when this processor has the SHA instructions; without them nothing else here may be used."""
    return HAS_SHA


def nonce_address() -> int:
    """The address of a C function of libsecp256k1's type secp256k1_nonce_function."""
    return <uintptr_t> &_nonce


def nonce_of(digest: bytes, key: bytes) -> bytes:
    """Return the first nonce for a 32-byte digest and key; ValueError without SHA instructions."""
    cdef uint8_t[HASH] out
    if len(digest) != HASH or len(key) != HASH or not HAS_SHA:
        raise ValueError("a digest and a key of 32 bytes, and a processor with SHA instructions")
    _first_nonce(out, <const uint8_t*> <const char*> digest, <const uint8_t*> <const char*> key)
    return (<char*> out)[:HASH]
