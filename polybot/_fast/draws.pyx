"""Random draws equal to those of Python's random.Random(seed), bit for bit, at a fifth of the cost.

Owns one MT19937 stream (Matsumoto and Nishimura 1998; seeding by init_by_array, 53-bit floats) and the
distributions the embedded venue draws most: uniform, normal (two at a time, by sine and cosine as the
random module does), exponential, integers.  A seed is a number of at most 64 words.  Must not read the
machine's entropy.  Called by sim.seeds, which puts it behind a random.Random.
"""
from libc.math cimport cos, log, sin, sqrt
from libc.stdint cimport uint32_t, uint64_t

cdef int N = 624
cdef int M = 397
cdef double TWOPI = 6.283185307179586  # 2.0 * pi, as the random module has it


cdef class Draws:
    """One stream."""

    def __cinit__(self, seed):
        """`seed` is an integer that is not negative."""
        cdef uint32_t key[64]
        cdef Py_ssize_t n = 0
        if not 0 <= seed < 1 << 2_048:
            raise ValueError("a seed has at most 2048 bits and no sign")
        while seed or n == 0:
            key[n] = seed & 0xFFFFFFFF
            seed >>= 32
            n += 1
        self._seed(key, n)

    cdef void _seed(self, uint32_t* key, Py_ssize_t n) noexcept:
        cdef uint32_t* mt = self.state
        cdef int i = 1, k
        cdef Py_ssize_t j = 0
        mt[0] = 19650218
        for k in range(1, N):
            mt[k] = 1812433253U * (mt[k - 1] ^ (mt[k - 1] >> 30)) + <uint32_t> k
        for _ in range(N if N > n else <int> n):
            mt[i] = (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1664525U)) + key[j] + <uint32_t> j
            i += 1
            j = (j + 1) % n
            if i >= N:
                mt[0] = mt[N - 1]
                i = 1
        for _ in range(N - 1):
            mt[i] = (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1566083941U)) - <uint32_t> i
            i += 1
            if i >= N:
                mt[0] = mt[N - 1]
                i = 1
        mt[0] = 0x80000000U
        self.used = N

    cdef void _refill(self) noexcept:
        cdef uint32_t* mt = self.state
        cdef uint32_t y
        cdef int k
        for k in range(N):
            y = (mt[k] & 0x80000000U) | (mt[(k + 1) % N] & 0x7FFFFFFFU)
            mt[k] = mt[(k + M) % N] ^ (y >> 1) ^ (0x9908B0DFU if y & 1 else 0U)
        self.used = 0

    cdef uint32_t word(self) noexcept:
        """32 random bits."""
        cdef uint32_t y
        if self.used >= N:
            self._refill()
        y = self.state[self.used]
        self.used += 1
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C5680U
        y ^= (y << 15) & 0xEFC60000U
        return y ^ (y >> 18)

    cpdef double random(self) noexcept:
        """Uniform in [0, 1)."""
        cdef uint32_t a = self.word() >> 5
        cdef uint32_t b = self.word() >> 6
        return (a * 67108864.0 + b) * (1.0 / 9007199254740992.0)

    cpdef double gauss(self, double mu=0.0, double sigma=1.0) noexcept:
        """Normal."""
        cdef double turn, radius, z
        if self.has_spare:
            self.has_spare = False
            return mu + self.spare * sigma
        turn = self.random() * TWOPI
        radius = sqrt(-2.0 * log(1.0 - self.random()))
        z = cos(turn) * radius
        self.spare = sin(turn) * radius
        self.has_spare = True
        return mu + z * sigma

    cpdef double expovariate(self, double lambd=1.0) except? -1.0:
        """Exponential of mean 1 / lambd."""
        if lambd == 0.0:
            raise ZeroDivisionError("float division by zero")
        return -log(1.0 - self.random()) / lambd

    def getrandbits(self, int k) -> int:
        """An integer of k random bits, 32 at a time from the lowest."""
        if k < 0:
            raise ValueError("number of bits must be non-negative")
        cdef object value = 0, part
        cdef int at = 0
        while k > 0:
            part = self.word() >> (32 - k if k < 32 else 0)
            value |= part << at
            at += 32
            k -= 32
        return value

    cdef uint64_t below(self, uint64_t n) noexcept:
        """Uniform in [0, n), n in 1..2^32 - 1."""
        cdef int bits = 0
        cdef uint64_t rest = n
        while rest:
            bits += 1
            rest >>= 1
        cdef uint64_t drawn = self.word() >> (32 - bits)
        while drawn >= n:
            drawn = self.word() >> (32 - bits)
        return drawn

    def randrange(self, start, stop=None) -> int:
        """An integer in [start, stop), or in [0, start); at most 2^32 - 1 of them."""
        if stop is None:
            start, stop = 0, start
        cdef object width = stop - start
        if not 0 < width < 1 << 32:
            raise ValueError(f"empty or too wide range in randrange({start}, {stop})")
        return start + self.below(width)
