"""Timed batches of market data between the engine's path (producer) and telemetry (consumer), without a Python object.

Owns a fixed ring: when it is full the new sample is dropped and counted, as with every loose note of the inbox.
Exact at every instant: pushed == taken + dropped + len(ring).  Producer and consumer both hold the GIL during a call.
Must not interpret samples.  Called by _fast.path (push) and telemetry.inbox (take).
"""
from libc.stdint cimport INT64_MIN, int64_t
from libc.stdlib cimport free, malloc

CAPACITY = 1 << 12                    # samples; one batch of 64 is timed, telemetry looks many times a second


cdef class SampleRing:
    """Samples pushed by the path, taken by telemetry."""

    def __cinit__(self, int64_t capacity=CAPACITY):
        if not 0 < capacity <= 1 << 20:
            raise ValueError(f"a ring of {capacity} samples")
        self.capacity = capacity
        self.slots = <Sample*> malloc(capacity * sizeof(Sample))
        if self.slots == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.slots)

    cdef int push(self, const Sample* sample) noexcept:
        """Copy one sample in; 0 when there was no room."""
        if self.tail - self.head == self.capacity:
            self.dropped += 1
            return 0
        self.slots[self.tail % self.capacity] = sample[0]
        self.tail += 1
        return 1

    def add(self, *, int source, int64_t ts_ns, wire_ns, int64_t decode_ns, int64_t decide_ns, int market) -> bool:
        """Push one sample from Python; wire_ns None: the sender put no stamp on it.  False when there was no room."""
        cdef Sample sample
        sample.source, sample.ts_ns, sample.market = source, ts_ns, market
        sample.wire_ns = INT64_MIN if wire_ns is None else wire_ns
        sample.decode_ns, sample.decide_ns = decode_ns, decide_ns
        return self.push(&sample) == 1

    def take(self) -> list:
        """Take all samples, oldest first: (source, ts_ns, wire_ns or None, decode_ns, decide_ns, market)."""
        cdef list found = []
        cdef Sample* s
        while self.head < self.tail:
            s = &self.slots[self.head % self.capacity]
            found.append((s.source, s.ts_ns, None if s.wire_ns == INT64_MIN else s.wire_ns, s.decode_ns, s.decide_ns, s.market))
            self.head += 1
        return found

    @property
    def pushed(self) -> int:
        """Samples offered so far."""
        return self.tail + self.dropped

    def __len__(self) -> int:
        return self.tail - self.head
