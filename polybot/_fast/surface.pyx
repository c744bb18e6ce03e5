"""Surface: the variance that the live windows of one asset imply together, and one window's price from the others.

Theory of operation.  A window's quote implies a total variance (pricing.implied_deviation); what is not
sigma^2 time is taken off.  The rest is an integral of forward variance f over time, in a window's own weight g^2:
    v_i^2 = sum_j f_j A_ij,  A_ij = integral over segment j of g_i(s)^2 ds,  segments end where windows end
    g = 1, inside an averaging window w that ends at u: (u - s) / w, so that sum_j A_ij is T_eff of the rule
f_j = sigma^2 t_j is found by least squares with t >= 0.  A ridge pulls every t_j to a common level (sd forward_sd)
and the level to the realised forecast, 1 (sd level_sd and twice the error of ln sigma).  All quotes share one error
of spot (they may be quote_lag_s late: it grows with what spot did since), those on the oracle one of basis: two
unknowns more, so that what moves windows above and below spot against each other is not taken for variance.
Always leave one out: the target's own quote is never used.  Must not allocate, read a clock or know markets.
Called by cross_timeframe.
"""
from libc.math cimport NAN, fabs, fmax, isfinite, isnan, log, sqrt
from libc.string cimport memset

from polybot._fast.normal cimport norm_cdf, norm_pdf, norm_ppf
from polybot._fast.pricing cimport implied_deviation

# Ends closer together than this are one end, s.
cdef double SAME_END_S = 1e-6
# A deviation below this cannot be told from nothing.
cdef double MIN_VARIANCE = 1e-18
# Pivots of the bounded least squares; finite by theory, and a handful in practice.
cdef int MAX_PIVOTS = 200
# A multiplier this little below 0 is rounding, in the equations' own scale.
cdef double ROUNDING = 1e-9


cdef class Surface:
    """Windows in, the target's probability with its predictive sd out; reused for every evaluation."""

    def __init__(self, *, double level_sd=0.5, double forward_sd=0.25, double quote_lag_s=1.0,
                 double quote_error_usd=0.002, double min_mid_usd=0.03, double min_abs_z=0.3, double max_abs_z=2.2):
        if not (level_sd > 0.0 and forward_sd > 0.0 and quote_error_usd > 0.0 and quote_lag_s >= 0.0):
            raise ValueError("level_sd, forward_sd and quote_error_usd must be above 0, quote_lag_s not below")
        if not (0.0 < min_abs_z <= max_abs_z and 0.0 <= min_mid_usd < 0.5):
            raise ValueError("min_abs_z, max_abs_z or min_mid_usd out of range")
        self.level_sd = level_sd
        self.forward_sd = forward_sd
        self.quote_lag_s = quote_lag_s
        self.quote_error_usd = quote_error_usd
        self.min_mid_usd = min_mid_usd
        self.min_abs_z = min_abs_z
        self.max_abs_z = max_abs_z
        self.q_up = self.sd = self.misfit = self.v = self.level = self.sigma = NAN

    cdef void begin(self, double sigma, double se_ln_sigma, double var_basis, double move) noexcept nogil:
        """Forget all windows; the realised forecast per sqrt(s), its log error, the variance of ln(oracle / spot).

        move: how far ln(spot) went within quote_lag_s; quotes may be from before it.
        """
        self.count = self.usable = self.used = self.segments = 0
        self.q_up = self.sd = self.misfit = self.v = self.level = NAN
        self.sigma = sigma
        self.level_var = self.level_sd * self.level_sd + 4.0 * se_ln_sigma * se_ln_sigma
        self.spot_sd = sqrt(sigma * sigma * self.quote_lag_s + move * move)
        self.basis_sd = sqrt(var_basis)

    cdef int add(self, const SurfaceWindow* given, double bid, double ask) noexcept nogil:
        """Take a window and its quote for Up (USD, NaN: none); its place, -1 when there is no room."""
        cdef SurfaceWindow* w
        if self.count == MAX_WINDOWS:
            return -1
        w = &self.win[self.count]
        w[0] = given[0]
        self._imply(w, bid, ask)
        self.usable += w.usable
        self.count += 1
        return self.count - 1

    cdef void _imply(self, SurfaceWindow* w, double bid, double ask) noexcept nogil:
        """The variance the quote implies, its standard error and whether it says anything."""
        cdef double mid = 0.5 * (bid + ask), v, lever, from_quote, from_x
        w.usable = False
        w.v2 = w.sd_v2 = w.slope = w.z = NAN
        if not (0.0 < bid < ask < 1.0):
            return
        v = implied_deviation(mid, w.m, w.k)
        if isnan(v):
            return
        w.z = log(w.m / w.k) / v
        if not (self.min_abs_z <= fabs(w.z) <= self.max_abs_z and self.min_mid_usd <= mid <= 1.0 - self.min_mid_usd):
            return
        # d v^2 / d p = -2 v^2 / (phi(d2) (z + v/2)),  d v^2 / d x = 2 v / (z + v/2)
        lever = w.z + 0.5 * v
        if not (fabs(lever) > 0.0 and v * v > w.extra):
            return
        from_quote = 2.0 * v * v * fmax(0.5 * (ask - bid), self.quote_error_usd) / (norm_pdf(norm_ppf(mid)) * lever)
        w.slope = 2.0 * v / lever
        from_x = w.slope * sqrt(w.var_own + w.reach * w.reach * w.unseen * w.unseen)
        w.v2 = v * v - w.extra
        w.sd_v2 = sqrt(from_quote * from_quote + from_x * from_x)
        w.usable = isfinite(w.sd_v2) and w.sd_v2 > 0.0

    cdef int prepare(self, int target) noexcept nogil:
        """Lay out the segments: ends of all usable windows and of the target, in order; SurfaceStatus."""
        cdef int k, j, place
        cdef double end
        if not 0 <= target < self.count:
            return NO_SUCH_WINDOW
        if not (self.sigma > 0.0 and isfinite(self.sigma) and isfinite(self.level_var) and isfinite(self.basis_sd)):
            return NO_FORECAST
        self.segments = 0
        for k in range(self.count):
            if not (self.win[k].usable or k == target):
                continue
            end = self.win[k].tau_s
            place = 0
            while place < self.segments and self.knot[place] < end - SAME_END_S:
                place += 1
            if place < self.segments and self.knot[place] <= end + SAME_END_S:
                continue
            for j in range(self.segments, place, -1):
                self.knot[j] = self.knot[j - 1]
            self.knot[place] = end
            self.segments += 1
        for k in range(self.count):
            for j in range(self.segments):
                self.length[k][j] = segment_length(self.win[k].u_s, self.win[k].w_s,
                                                   self.knot[j - 1] if j else 0.0, self.knot[j])
        self.n = self.segments + 3
        return SURFACE_OK

    cdef int fit(self, int target, int skip) noexcept nogil:
        """Price the target from all other usable windows but `skip` (-1: none); after prepare(target); SurfaceStatus."""
        cdef double objective
        cdef int j
        self.q_up = self.sd = self.misfit = self.v = self.level = NAN
        self._set_prior()
        objective = self._add_rows(target, skip) + 1.0 / self.level_var
        if self._solve() != 0:
            return NO_FIT
        # At the minimum |A x - y|^2 = y.y - x.b; with the prior's rows it is chi-squared of as many windows.
        for j in range(self.n):
            objective -= self.x[j] * self.rhs[j]
        self.misfit = sqrt(fmax(0.0, objective) / self.used) if self.used else 0.0
        self.level = self.x[self.segments]
        return self._predict(target)

    cdef void _set_prior(self) noexcept nogil:
        """t_j = level +- forward_sd, level = 1 +- sqrt(level_var), spot and basis error 0 +- 1 of their own sd."""
        cdef int j, level = self.segments
        cdef double pull = 1.0 / (self.forward_sd * self.forward_sd)
        memset(self.h, 0, sizeof(self.h))
        memset(self.rhs, 0, sizeof(self.rhs))
        for j in range(self.segments):
            self.h[j][j] = pull
            self.h[level][j] = -pull                     # only the lower triangle is kept
        self.h[level][level] = self.segments * pull + 1.0 / self.level_var
        self.rhs[level] = 1.0 / self.level_var
        self.h[level + 1][level + 1] = self.h[level + 2][level + 2] = 1.0

    cdef double _row(self, const SurfaceWindow* w, int place, double* row) noexcept nogil:
        """One window's equation in units of its standard error; returns its right side."""
        cdef double scale = 1.0 / w.sd_v2, unit = self.sigma * self.sigma * scale
        cdef int j
        for j in range(self.segments):
            row[j] = self.length[place][j] * unit
        row[self.segments] = 0.0
        row[self.segments + 1] = -w.slope * w.reach * self.spot_sd * scale
        row[self.segments + 2] = -w.slope * w.basis_reach * self.basis_sd * scale
        return w.v2 * scale

    cdef double _add_rows(self, int target, int skip) noexcept nogil:
        """Add every usable window but the two to the equations; returns the sum of their squared right sides."""
        cdef double row[MAX_UNKNOWNS]
        cdef double right, total = 0.0
        cdef int k, i, j
        self.used = 0
        for k in range(self.count):
            if k == target or k == skip or not self.win[k].usable:
                continue
            right = self._row(&self.win[k], k, row)
            total += right * right
            self.used += 1
            for i in range(self.n):
                self.rhs[i] += row[i] * right
                for j in range(i + 1):
                    self.h[i][j] += row[i] * row[j]
        return total

    cdef int _solve(self) noexcept nogil:
        """Least squares with t and level >= 0: principal pivots by least index (Murty), finite for h positive definite."""
        cdef double b[MAX_UNKNOWNS]
        cdef int _pivot, j, m, bad
        for j in range(self.n):
            self.is_free[j] = True
        for _pivot in range(MAX_PIVOTS):
            m = self._factor(False)
            if m < 0:
                return -1
            for j in range(m):
                b[j] = self.rhs[self.free_of[j]]
            self._substitute(b, m)
            memset(self.x, 0, sizeof(self.x))
            for j in range(m):
                self.x[self.free_of[j]] = b[j]
            bad = self._first_infeasible()
            if bad < 0:
                return 0
            self.is_free[bad] = not self.is_free[bad]
        return -1

    cdef int _first_infeasible(self) noexcept nogil:
        """First unknown that is free and below 0, or held at 0 and wants to grow; -1: none."""
        cdef int i, j
        cdef double gradient
        for i in range(self.segments + 1):
            if self.is_free[i]:
                if self.x[i] < 0.0:
                    return i
                continue
            gradient = -self.rhs[i]
            for j in range(self.n):
                gradient += (self.h[i][j] if j <= i else self.h[j][i]) * self.x[j]
            if gradient < -ROUNDING * (1.0 + fabs(self.rhs[i])):
                return i
        return -1

    cdef int _factor(self, bint all_of_them) noexcept nogil:
        """Cholesky of h over the free unknowns (or all) into low; how many, -1 when it is not positive definite."""
        cdef int i, j, k, m = 0
        cdef double total
        for i in range(self.n):
            if all_of_them or self.is_free[i]:
                self.free_of[m] = i
                m += 1
        for i in range(m):
            for j in range(i + 1):
                total = self.h[self.free_of[i]][self.free_of[j]]
                for k in range(j):
                    total -= self.low[i][k] * self.low[j][k]
                if i != j:
                    self.low[i][j] = total / self.low[j][j]
                elif total > 0.0 and isfinite(total):
                    self.low[i][i] = sqrt(total)
                else:
                    return -1
        self.factored = m
        return m

    cdef void _substitute(self, double* b, int m) noexcept nogil:
        """Solve low low^T y = b in place."""
        cdef int i, j
        for i in range(m):
            for j in range(i):
                b[i] -= self.low[i][j] * b[j]
            b[i] /= self.low[i][i]
        for i in range(m - 1, -1, -1):
            for j in range(i + 1, m):
                b[i] -= self.low[j][i] * b[j]
            b[i] /= self.low[i][i]

    cdef int _predict(self, int target) noexcept nogil:
        """The target's probability, and its sd from the fit's covariance, widened by the misfit, and its own x error."""
        cdef SurfaceWindow* w = &self.win[target]
        cdef double grad[MAX_UNKNOWNS]
        cdef double half[MAX_UNKNOWNS]
        cdef double x = log(w.m / w.k), v2 = w.extra, d2, phi, by_v2, by_x, spread = 0.0
        cdef int j, s = self.segments
        cdef double unit = self.sigma * self.sigma
        for j in range(s):
            v2 += self.x[j] * self.length[target][j] * unit
        x += w.reach * self.spot_sd * self.x[s + 1] + w.basis_reach * self.basis_sd * self.x[s + 2]
        if not (v2 > MIN_VARIANCE and isfinite(v2) and isfinite(x)):
            return NO_FIT
        self.v = sqrt(v2)
        d2 = x / self.v - 0.5 * self.v
        phi = norm_pdf(d2)
        by_v2 = -phi * (d2 + self.v) / (2.0 * v2)
        by_x = phi / self.v
        for j in range(s):
            grad[j] = by_v2 * unit * self.length[target][j]
        grad[s] = 0.0
        grad[s + 1] = by_x * w.reach * self.spot_sd
        grad[s + 2] = by_x * w.basis_reach * self.basis_sd
        if self.factored != self.n and self._factor(True) < 0:
            return NO_FIT
        for j in range(self.n):
            half[j] = grad[j]
        self._substitute(half, self.n)
        for j in range(self.n):
            spread += grad[j] * half[j]
        self.sd = sqrt(fmax(0.0, spread) * fmax(1.0, self.misfit * self.misfit) + by_x * by_x * w.var_own)
        self.q_up = norm_cdf(d2)
        return SURFACE_OK

    # What Python and tests may look at.
    def start(self, *, double sigma, double se_ln_sigma, double var_basis=0.0, double move=0.0) -> None:
        """As begin: forget all windows, take the realised forecast."""
        self.begin(sigma, se_ln_sigma, var_basis, move)

    def add_window(self, *, double tau_s, double m, double k, double bid, double ask, double w_s=0.0, double lag_s=0.0,
                   double reach=1.0, double basis_reach=0.0, double extra=0.0, double var_own=0.0,
                   double unseen=0.0) -> int:
        """As add, with Up's bid and ask in USD; the window's place, -1 when there is no room."""
        cdef SurfaceWindow w
        memset(&w, 0, sizeof(w))
        w.tau_s, w.w_s, w.m, w.k, w.reach, w.basis_reach = tau_s, w_s, m, k, reach, basis_reach
        w.u_s = fmax(0.0, tau_s - lag_s)
        w.extra, w.var_own, w.unseen = extra, var_own, unseen
        return self.add(&w, bid, ask)

    def price(self, int target, int skip=-1) -> int:
        """Price window `target` from the others but `skip`; SurfaceStatus; results in q_up, sd, misfit, v, level."""
        cdef int status = self.prepare(target)
        return status if status != SURFACE_OK else self.fit(target, skip)

    def implied(self, int place) -> tuple[bool, float, float]:
        """(usable, implied variance without extra, its standard error) of one window."""
        if not 0 <= place < self.count:
            raise IndexError(f"no window {place}")
        return bool(self.win[place].usable), self.win[place].v2, self.win[place].sd_v2

    def forwards(self) -> list[tuple[float, float]]:
        """(end in s from now, forward variance in sigma^2) of each segment of the last fit."""
        cdef int j
        return [(self.knot[j], self.x[j]) for j in range(self.segments)]


cdef double segment_length(double u_s, double w_s, double start_s, double end_s) noexcept nogil:
    """Integral of g^2 over [start_s, end_s], s: g is 1 before u - w, (u - s) / w from there, 0 after u."""
    cdef double turn = fmax(0.0, u_s - w_s), flat, late, early
    flat = (end_s if end_s < turn else turn) - start_s
    flat = flat if flat > 0.0 else 0.0
    early = u_s - fmax(start_s, turn)
    late = u_s - (end_s if end_s < u_s else u_s)
    if w_s <= 0.0 or early <= late:
        return flat
    return flat + (early * early * early - late * late * late) / (3.0 * w_s * w_s)


def weight_of(double u_s, double w_s, double start_s, double end_s) -> float:
    """As segment_length, for tests."""
    return segment_length(u_s, w_s, start_s, end_s)
