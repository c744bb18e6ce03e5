# HMAC-SHA256 on the processor's own SHA instructions: the nonce of a signature, the code of a request.
from libc.stdint cimport uint32_t


cdef class KeyedHmac:
    cdef uint32_t[8] _inner             # the hash after the key's inner block
    cdef uint32_t[8] _outer             # and after its outer block
