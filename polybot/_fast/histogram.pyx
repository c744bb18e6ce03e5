"""Latency histogram with log-linear buckets: constant memory, one increment per sample.

Values below 64 have a bucket each; above, every power of two is cut into 64 equal buckets, so a
bucket is at most 1/64 of its value wide and its middle is within 1/128 (0.8 %) of any sample in it.
Must not know what is measured.  Used by telemetry.latency, and wherever a core unit counts time.
"""
from libc.math cimport NAN, ceil
from libc.string cimport memset

cdef extern from *:
    """
    #define polybot_msb64(v) (63 - __builtin_clzll((unsigned long long) (v)))
    """
    int polybot_msb64(int64_t v) noexcept nogil

assert BUCKETS == (63 - SUB_BITS + 1) * SUB_COUNT


cdef inline int bucket_of(int64_t value) noexcept nogil:
    """Bucket of value >= 0."""
    cdef int shift
    if value < SUB_COUNT:
        return <int> value
    shift = polybot_msb64(value) - SUB_BITS
    return (shift << SUB_BITS) + <int> (value >> shift)


cdef inline double middle_of(int bucket) noexcept nogil:
    """Middle of the integers a bucket holds."""
    cdef int shift
    cdef int64_t low
    if bucket < 2 * SUB_COUNT:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    low = (<int64_t> (bucket - (shift << SUB_BITS))) << shift
    return <double> low + 0.5 * <double> ((<int64_t> 1 << shift) - 1)


cdef class LatencyHistogram:
    """Histogram of nanoseconds (or any int64 >= 0)."""

    def __cinit__(self):
        self.reset()

    cdef void add(self, int64_t value_ns) noexcept nogil:
        if value_ns < 0:
            # A stamp from another clock can lie in our future; it counts as no delay at all.
            self.negative += 1
            value_ns = 0
        self.counts[bucket_of(value_ns)] += 1
        if self.count == 0 or value_ns < self.smallest:
            self.smallest = value_ns
        if value_ns > self.largest:
            self.largest = value_ns
        self.count += 1
        self.sum += <double> value_ns

    def record(self, int64_t value_ns) -> None:
        """Count one sample; a negative one counts as 0 and in `negative`."""
        self.add(value_ns)

    def percentile(self, double q) -> float:
        """Value (ns) that a share q in [0, 1] of the samples does not exceed; NaN when empty."""
        cdef int64_t rank, seen = 0
        cdef int k
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"percentile wants a share in [0, 1], not {q}")
        if self.count == 0:
            return NAN
        rank = max(1, <int64_t> ceil(q * <double> self.count))
        for k in range(BUCKETS):
            seen += self.counts[k]
            if seen >= rank:
                break
        return min(max(middle_of(k), <double> self.smallest), <double> self.largest)

    def merge(self, LatencyHistogram other not None) -> None:
        """Add another histogram's samples."""
        cdef int k
        if other.count == 0:
            return
        for k in range(BUCKETS):
            self.counts[k] += other.counts[k]
        if self.count == 0 or other.smallest < self.smallest:
            self.smallest = other.smallest
        self.largest = max(self.largest, other.largest)
        self.count += other.count
        self.negative += other.negative
        self.sum += other.sum

    def reset(self) -> None:
        """Forget all samples."""
        memset(self.counts, 0, sizeof(self.counts))
        self.count = 0
        self.negative = 0
        self.smallest = 0
        self.largest = 0
        self.sum = 0.0

    def cumulative(self, bounds) -> list[int]:
        """Samples not above each bound (ns, ascending), to bucket precision."""
        cdef list counts = []
        cdef int64_t seen = 0
        cdef int k = 0
        cdef double bound
        for bound in bounds:
            while k < BUCKETS and middle_of(k) <= bound:
                seen += self.counts[k]
                k += 1
            counts.append(seen)
        return counts

    @property
    def min(self) -> float:
        """Smallest sample (ns); NaN when empty."""
        return <double> self.smallest if self.count else NAN

    @property
    def max(self) -> float:
        """Largest sample (ns); NaN when empty."""
        return <double> self.largest if self.count else NAN

    @property
    def mean(self) -> float:
        """Mean of the samples (ns); NaN when empty."""
        return self.sum / <double> self.count if self.count else NAN

    @property
    def total(self) -> float:
        """Sum of the samples (ns)."""
        return self.sum
