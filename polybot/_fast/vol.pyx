"""Spot volatility per sqrt(second): the interface and the two exponentially weighted estimators.

Owns Volatility (what the engine holds), SampledEwmaVol (one squared return per sample interval) and
TickEwmaVol (one per price).  Must not read a clock: stamps come with the prices and only go forward;
prices that are no prices are ignored.  Called by the engine on every spot trade and by strategies for free
(sigma is computed when a sample is taken, not when it is read).
"""
from libc.math cimport NAN, fmax, isfinite, log, sqrt
from libc.stdint cimport int64_t

cdef double YEAR_S = 365.25 * 86400.0


cdef class Volatility:
    """Base of the estimators; knows nothing, so it is never warm."""

    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil:
        pass

    cdef double sigma(self) noexcept nogil:
        return NAN

    cdef double se_ln_sigma(self) noexcept nogil:
        return NAN

    cdef bint is_warm(self) noexcept nogil:
        return False

    def add(self, double price, int64_t now_ns) -> None:
        """Take one spot price (USD) at now_ns."""
        self.on_price(price, now_ns)

    def walk(self, list prices, int64_t start_ns, int64_t step_ns) -> list:
        """Take prices (USD) at equal distances from start_ns on; sigma per sqrt(s) as known after each."""
        cdef int64_t now_ns = start_ns
        cdef double price
        found = []
        for price in prices:
            self.on_price(price, now_ns)
            found.append(self.sigma())
            now_ns += step_ns
        return found

    def value(self) -> float:
        """Sigma per sqrt(s), NaN until warm."""
        return self.sigma()

    def standard_error(self) -> float:
        """Standard error of ln(sigma), NaN until warm."""
        return self.se_ln_sigma()

    @property
    def warm(self) -> bool:
        """Whether enough samples were seen for value() to mean something."""
        return self.is_warm()


cdef class SampledEwmaVol(Volatility):
    """EWMA of r^2/dt over returns at least sample_ms apart: lambda 0.94 at 1 s has an 11 s half-life.

    The first price seeds.  sigma^2 = max(var / (1 - lambda^n), floor^2): with bias_correct the start at 0 is undone.
    """

    def __cinit__(self, double lambda_=0.94, int64_t sample_ms=1000, int64_t warmup=10, double floor_annual=0.30,
                  bint bias_correct=True):
        _require(lambda_, warmup, floor_annual)
        if sample_ms < 1:
            raise ValueError(f"sample_ms must be at least 1, not {sample_ms}")
        self._lambda = lambda_
        self._sample_ns = sample_ms * 1_000_000
        self._warmup = warmup
        self._floor = floor_annual / sqrt(YEAR_S)
        self._bias_correct = bias_correct
        self._decay = 1.0
        self._last_price = 0.0
        self._sigma = NAN

    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil:
        cdef double r
        if not (price > 0.0 and isfinite(price)):
            return
        if self._last_price == 0.0:
            self._last_price = price
            self._last_ns = now_ns
            return
        if now_ns - self._last_ns < self._sample_ns:
            return
        r = log(price / self._last_price)
        self.var = self._lambda * self.var + (1.0 - self._lambda) * r * r / (1e-9 * (now_ns - self._last_ns))
        self._decay *= self._lambda
        self.samples += 1
        self._last_price = price
        self._last_ns = now_ns
        if self.samples >= self._warmup:
            self._sigma = self._current()

    cdef double sigma(self) noexcept nogil:
        return self._sigma

    cdef double se_ln_sigma(self) noexcept nogil:
        return _ewma_se(self._lambda, self._decay) if self.samples >= self._warmup else NAN

    cdef bint is_warm(self) noexcept nogil:
        return self.samples >= self._warmup

    cdef double _current(self) noexcept nogil:
        cdef double var = self.var
        if self._bias_correct and self._decay < 1.0:
            var /= 1.0 - self._decay
        return fmax(sqrt(var), self._floor)


cdef class TickEwmaVol(Volatility):
    """EWMA of r^2 over every price, whatever the time between: the historic form, kept for comparison.

    var is per tick; sigma divides it by the equally weighted mean seconds per tick, so that it is per sqrt(s)
    as everywhere (the start bias cancels in the ratio).  Bid-ask bounce makes it too large.
    """

    def __cinit__(self, double lambda_=0.94, int64_t warmup=10, double floor_annual=0.30):
        _require(lambda_, warmup, floor_annual)
        self._lambda = lambda_
        self._warmup = warmup
        self._floor = floor_annual / sqrt(YEAR_S)
        self._decay = 1.0
        self._last_price = 0.0

    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil:
        cdef double r, dt_s
        if not (price > 0.0 and isfinite(price)):
            return
        if self._last_price > 0.0:
            r = log(price / self._last_price)
            dt_s = 1e-9 * fmax(0.0, <double> (now_ns - self._last_ns))
            self.var = self._lambda * self.var + (1.0 - self._lambda) * r * r
            self._mean_dt_s = self._lambda * self._mean_dt_s + (1.0 - self._lambda) * dt_s
            self._decay *= self._lambda
            self.samples += 1
        self._last_price = price
        self._last_ns = now_ns

    cdef double sigma(self) noexcept nogil:
        if self.samples < self._warmup or not self._mean_dt_s > 0.0:
            return NAN
        return fmax(sqrt(self.var / self._mean_dt_s), self._floor)

    cdef double se_ln_sigma(self) noexcept nogil:
        return _ewma_se(self._lambda, self._decay) if self.samples >= self._warmup else NAN

    cdef bint is_warm(self) noexcept nogil:
        return self.samples >= self._warmup and self._mean_dt_s > 0.0


cdef double _ewma_se(double lambda_, double decay) noexcept nogil:
    """Standard error of ln(sigma) for independent Gaussian returns.

    sum w^2 / (sum w)^2 of n exponential weights is (1-l)/(1+l) (1+l^n)/(1-l^n), decay = l^n; the relative variance of
    var is twice that, ln(sigma) has half the error of ln(var).  Fat tails make the true error larger.
    """
    cdef double concentration
    if not decay < 1.0:
        return NAN
    concentration = (1.0 - lambda_) / (1.0 + lambda_) * (1.0 + decay) / (1.0 - decay)
    return 0.5 * sqrt(2.0 * concentration)


def _require(double lambda_, int64_t warmup, double floor_annual) -> None:
    if not 0.0 <= lambda_ <= 1.0:
        raise ValueError(f"lambda_ must lie in [0, 1], not {lambda_}")
    if warmup < 1:
        raise ValueError(f"warmup must be at least 1 sample, not {warmup}")
    if not (floor_annual >= 0.0 and isfinite(floor_annual)):
        raise ValueError(f"floor_annual must not be negative, not {floor_annual}")
