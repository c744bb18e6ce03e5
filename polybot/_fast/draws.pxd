# The Mersenne Twister of Python's random module, draw for draw, without its cost per call.
from libc.stdint cimport uint32_t, uint64_t

cdef class Draws:
    cdef uint32_t state[624]
    cdef int used
    cdef bint has_spare      # gauss() makes two at a time
    cdef double spare

    cdef void _seed(self, uint32_t* key, Py_ssize_t n) noexcept
    cdef void _refill(self) noexcept
    cdef uint32_t word(self) noexcept
    cpdef double random(self) noexcept
    cpdef double gauss(self, double mu=*, double sigma=*) noexcept
    cpdef double expovariate(self, double lambd=*) except? -1.0
    cdef uint64_t below(self, uint64_t n) noexcept
