"""Volatility per sqrt(second) from several horizons: what the engine prices with by default (`model/vol=multi`).

Theory.  Every sample_ms the return r over dt gives x = r^2 / (dt h), h being the variance of this time of day
relative to the day's mean.  x is cut at jump_threshold_sd^2 times the largest of the forecast, the shortest
horizon and the floor (truncated realised variance, Mancini 2009: one far return is a jump, a burst is not); each
horizon i keeps a time-decayed mean c_i of the cut part, lambda^dt with its own half-life, so that irregular
sampling is exact; what was cut off feeds one slowly decaying mean J, so that nothing is lost.  sigma^2 = (sum w_i c_i + J) h(now), a HAR forecast (Corsi 2009) in variance,
unbiased for constant volatility because the w_i sum to 1.
    se(ln sigma)^2 = [(kurtosis - 1) sum_ij w_i w_j Q_ij C^2 + sum of squared jump parts] / (2 sigma^2)^2
                     + forecast_ln_sd^2 + (prior_ln_sd x unseen part of the horizons)^2
Q_ij are decayed sums of products of sample weights, kept as the samples came: exact when young or irregular.
Must not read a clock: stamps come with the prices.  Called by the engine on every spot trade; work is done once
a sample, reading sigma costs nothing.
"""
from libc.math cimport NAN, exp, fmax, fmin, isfinite, log, sqrt
from libc.stdint cimport int64_t

cdef double YEAR_S = 365.25 * 86400.0
cdef double LN_2 = 0.6931471805599453
cdef int HOURS = 24
cdef int64_t MINUTE_NS = 60_000_000_000


cdef class MultiVol(Volatility):
    """Realised variance at several half-lives, jumps kept apart, hour of day taken out and put back.

    Settings as in conf/model/vol/multi.yaml.  A new estimator starts from the prior, which is worth prior_weight_s
    seconds of returns and fades; raises ValueError for settings that contradict each other.
    """

    def __init__(self, *, half_lives_s, weights_frac, int64_t sample_ms, int64_t warmup, double floor_annual,
                 double jump_threshold_sd, double jump_half_life_s, double prior_annual, double prior_weight_s,
                 double prior_ln_sd, double prior_jump_frac, double prior_kurtosis, double forecast_ln_sd,
                 hour_variance_frac):
        _require(half_lives_s, weights_frac, hour_variance_frac, sample_ms, warmup)
        cdef double prior = prior_annual * prior_annual / YEAR_S
        cdef double mass
        self._count = len(half_lives_s)
        self._sample_ns = sample_ms * 1_000_000
        self._warmup = warmup
        self._floor = floor_annual / sqrt(YEAR_S)
        self._cap = jump_threshold_sd * jump_threshold_sd
        self._prior_ln_var = prior_ln_sd * prior_ln_sd
        self._forecast_ln_var = forecast_ln_sd * forecast_ln_sd
        for i in range(self._count):
            self._horizons[i].rate = LN_2 / half_lives_s[i]
            self._horizons[i].weight = weights_frac[i] / sum(weights_frac)
            mass = _prior_mass(prior_weight_s, self._horizons[i].rate)
            self._horizons[i].mass = mass
            self._horizons[i].sum = mass * prior * (1.0 - prior_jump_frac)
            self._horizons[i].unseen = 1.0
            for j in range(self._count):
                self._pairs[i][j] = 0.0
        self._jump_rate = LN_2 / jump_half_life_s
        self._jump_mass = _prior_mass(prior_weight_s, self._jump_rate)
        self._jump_sum = self._jump_mass * prior * prior_jump_frac
        self._jump_squares = 0.0
        self._second = self._horizons[self._count - 1].mass
        self._fourth = self._second * prior_kurtosis
        self._fill_hours(hour_variance_frac)
        self._last_price = 0.0
        self._sigma = self._se = NAN
        self.continuous = prior * (1.0 - prior_jump_frac)
        self.kurtosis = prior_kurtosis

    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil:
        cdef double dt_s, season
        if now_ns - self._last_ns < self._sample_ns and self._last_price > 0.0:
            return
        if not (price > 0.0 and isfinite(price)):
            return
        if self._last_price > 0.0:
            dt_s = 1e-9 * (now_ns - self._last_ns)
            season = self._season(now_ns)
            self._take(log(price / self._last_price), dt_s, season)
            self._combine()
            self._sigma = fmax(sqrt((self.continuous + self.jump) * season), self._floor)
        self._last_price = price
        self._last_ns = now_ns

    cdef double sigma(self) noexcept nogil:
        return self._sigma if self.samples >= self._warmup else NAN

    cdef double se_ln_sigma(self) noexcept nogil:
        return self._se if self.samples >= self._warmup else NAN

    cdef bint is_warm(self) noexcept nogil:
        return self.samples >= self._warmup

    def horizons(self) -> list:
        """Variance per s at each half-life, hour of day and jumps taken out."""
        return [self._horizons[i].sum / self._horizons[i].mass if self._horizons[i].mass > 0.0 else NAN
                for i in range(self._count)]

    def season(self, int64_t now_ns) -> float:
        """Variance at this time of day relative to the day's mean."""
        return self._season(now_ns)

    cdef void _take(self, double r, double dt_s, double season) noexcept nogil:
        """Add one return to every horizon; what exceeds the cap goes to the jumps."""
        cdef double x = r * r / (dt_s * season)
        cdef double cut = fmin(x, self._cap * self._reference())
        cdef double keep[MAX_HORIZONS]
        cdef Horizon* h
        cdef int i, j
        for i in range(self._count):
            h = &self._horizons[i]
            keep[i] = exp(-dt_s * h.rate)
            h.sum = keep[i] * h.sum + (1.0 - keep[i]) * cut
            h.mass = keep[i] * h.mass + (1.0 - keep[i])
            h.unseen *= keep[i]
            for j in range(i + 1):
                self._pairs[i][j] = keep[i] * keep[j] * self._pairs[i][j] + (1.0 - keep[i]) * (1.0 - keep[j])
        self._take_jump(x - cut, dt_s)
        if self.continuous > 0.0:
            cut /= self.continuous
            self._second = keep[self._count - 1] * self._second + (1.0 - keep[self._count - 1]) * cut
            self._fourth = keep[self._count - 1] * self._fourth + (1.0 - keep[self._count - 1]) * cut * cut
        self.samples += 1

    cdef double _reference(self) noexcept nogil:
        """Variance per s against which a return counts as a jump."""
        cdef double shortest = 0.0
        if self._horizons[0].mass > 0.0:
            shortest = self._horizons[0].sum / self._horizons[0].mass
        return fmax(fmax(self.continuous, shortest), self._floor * self._floor)

    cdef void _take_jump(self, double excess, double dt_s) noexcept nogil:
        """Add what was cut off; the squares stand for the error of a sum of few large parts."""
        cdef double keep = exp(-dt_s * self._jump_rate)
        cdef double part = (1.0 - keep) * excess
        self._jump_sum = keep * self._jump_sum + part
        self._jump_mass = keep * self._jump_mass + (1.0 - keep)
        self._jump_squares = keep * keep * self._jump_squares + part * part

    cdef void _combine(self) noexcept nogil:
        """Weigh the horizons; the error of the result goes with it."""
        cdef double slow_mass = self._horizons[self._count - 1].mass
        cdef int i
        self.continuous = 0.0
        for i in range(self._count):
            self.continuous += self._horizons[i].weight * self._horizons[i].sum / self._horizons[i].mass
        self.jump = self._jump_sum / self._jump_mass
        if self._second > 0.0:
            self.kurtosis = self._fourth * slow_mass / (self._second * self._second)
        self._se = sqrt(0.25 * self._relative_variance() + self._forecast_ln_var
                        + self._prior_ln_var * self._unseen() * self._unseen())

    cdef double _relative_variance(self) noexcept nogil:
        """Variance of (continuous + jump) over its square, from sampling noise alone."""
        cdef double total = self.continuous + self.jump
        cdef double noise = 0.0, a, b
        cdef int i, j
        if not total > 0.0:
            return 0.0
        for i in range(self._count):
            a = self._horizons[i].weight / self._horizons[i].mass
            for j in range(i + 1):
                b = self._horizons[j].weight / self._horizons[j].mass
                noise += (1.0 if i == j else 2.0) * a * b * self._pairs[i][j]
        noise *= (self.kurtosis - 1.0) * self.continuous * self.continuous
        noise += self._jump_squares / (self._jump_mass * self._jump_mass)
        return noise / (total * total)

    cdef double _unseen(self) noexcept nogil:
        """Part of the combination that looks back before the first price."""
        cdef double part = 0.0
        cdef int i
        for i in range(self._count):
            part += self._horizons[i].weight * self._horizons[i].unseen
        return part

    cdef double _season(self, int64_t now_ns) noexcept nogil:
        cdef int64_t minute = (now_ns // MINUTE_NS) % DAY_MINUTES
        return self._hours[minute if minute >= 0 else minute + DAY_MINUTES]

    cdef void _fill_hours(self, hour_variance_frac) except *:
        """Variance of each minute: linear between the middles of the hours, mean 1 over the day."""
        cdef double total = 0.0, position, part
        cdef int minute, low
        for minute in range(DAY_MINUTES):
            position = (minute + 0.5) / 60.0 + HOURS - 0.5
            low = <int> position
            part = position - low
            self._hours[minute] = (hour_variance_frac[low % HOURS] * (1.0 - part)
                                   + hour_variance_frac[(low + 1) % HOURS] * part)
            total += self._hours[minute]
        for minute in range(DAY_MINUTES):
            self._hours[minute] *= DAY_MINUTES / total


def _prior_mass(double weight_s, double rate) -> float:
    """Weight of a horizon that weight_s seconds of returns would have."""
    return 1.0 - exp(-weight_s * rate)


def _require(half_lives_s, weights_frac, hour_variance_frac, int64_t sample_ms, int64_t warmup) -> None:
    """Refuse settings that contradict each other; ranges are checked where they are read."""
    if not 1 <= len(half_lives_s) <= MAX_HORIZONS:
        raise ValueError(f"half_lives_s must name 1 to {MAX_HORIZONS} horizons, not {len(half_lives_s)}")
    if sorted(set(half_lives_s)) != list(half_lives_s) or half_lives_s[0] <= 0.0:
        raise ValueError(f"half_lives_s must be positive and ascend, not {list(half_lives_s)}")
    if len(weights_frac) != len(half_lives_s) or min(weights_frac) < 0.0 or not sum(weights_frac) > 0.0:
        raise ValueError(f"weights_frac needs one weight of at least 0 per horizon, not {list(weights_frac)}")
    if len(hour_variance_frac) != HOURS or not min(hour_variance_frac) > 0.0:
        raise ValueError("hour_variance_frac needs 24 positive numbers")
    if sample_ms < 1 or warmup < 1:
        raise ValueError(f"sample_ms={sample_ms} and warmup={warmup} must be at least 1")
