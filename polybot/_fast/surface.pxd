# The variance surface of one asset: what the live windows' prices say together about one of them.
# Owns: the struct of one window as the fit sees it, fixed arrays for the least squares.  Unit of every field beside it.
cdef enum:
    MAX_WINDOWS = 16         # windows one surface can hold
    MAX_UNKNOWNS = 19        # a forward variance per window, the level, the spot error, the basis error

cpdef enum SurfaceStatus:
    SURFACE_OK = 0
    NO_SUCH_WINDOW = 1       # the target was not added
    NO_FORECAST = 2          # sigma, its standard error or a variance is missing or not positive
    NO_FIT = 3               # the equations have no usable solution

ctypedef struct SurfaceWindow:
    double tau_s             # seconds to the end: where the forward variance of this window ends
    double u_s               # seconds still random: tau_s, less the oracle's lag for an averaged price
    double w_s               # averaging window, s; 0: none
    double m                 # forward mean, USD
    double k                 # strike, USD
    double reach             # d ln m / d ln spot
    double basis_reach       # the same for the basis; 0 where the source has none
    double extra             # variance of ln(m/k) that is not sigma^2 time
    double var_own           # part of it that is this window's own: strike, seconds never seen
    double unseen            # ln of what spot did since the quote was set: its owner may not know
    double v2                # implied by the mid, extra taken off; NaN unless usable
    double sd_v2             # its standard error
    double slope             # d v^2 / d ln(m/k) at a fixed price
    double z                 # implied: ln(m/k) / v; NaN without a quote
    bint usable              # the quote says something about the variance

cdef class Surface:
    cdef readonly double level_sd        # of a variance, relative
    cdef readonly double forward_sd      # of one forward variance around the level, relative
    cdef readonly double quote_lag_s     # all quotes together may be so late
    cdef readonly double quote_error_usd  # least error of a mid
    cdef readonly double min_mid_usd
    cdef readonly double min_abs_z
    cdef readonly double max_abs_z
    cdef readonly int count              # windows added
    cdef readonly int usable             # of which usable
    cdef readonly int used               # windows the last fit used
    cdef readonly double q_up            # probability of Up of the target
    cdef readonly double sd              # predictive, of q_up
    cdef readonly double misfit          # root mean square of what the fit could not explain, about 1 is well
    cdef readonly double v               # total deviation of the target
    cdef readonly double level           # of the forward variance, in sigma^2
    cdef SurfaceWindow win[MAX_WINDOWS]
    cdef double sigma
    cdef double level_var
    cdef double spot_sd
    cdef double basis_sd
    cdef int segments
    cdef int n                           # unknowns
    cdef double knot[MAX_WINDOWS]
    cdef double length[MAX_WINDOWS][MAX_WINDOWS]  # s: integral of a window's g^2 over a segment
    cdef double h[MAX_UNKNOWNS][MAX_UNKNOWNS]
    cdef double rhs[MAX_UNKNOWNS]
    cdef double x[MAX_UNKNOWNS]
    cdef double low[MAX_UNKNOWNS][MAX_UNKNOWNS]
    cdef int free_of[MAX_UNKNOWNS]
    cdef bint is_free[MAX_UNKNOWNS]
    cdef int factored                    # how many unknowns low is the factor of

    cdef void begin(self, double sigma, double se_ln_sigma, double var_basis, double move) noexcept nogil
    cdef int add(self, const SurfaceWindow* given, double bid, double ask) noexcept nogil
    cdef int prepare(self, int target) noexcept nogil
    cdef int fit(self, int target, int skip) noexcept nogil
    cdef void _imply(self, SurfaceWindow* w, double bid, double ask) noexcept nogil
    cdef void _set_prior(self) noexcept nogil
    cdef double _row(self, const SurfaceWindow* w, int place, double* row) noexcept nogil
    cdef double _add_rows(self, int target, int skip) noexcept nogil
    cdef int _solve(self) noexcept nogil
    cdef int _factor(self, bint all_of_them) noexcept nogil
    cdef void _substitute(self, double* b, int m) noexcept nogil
    cdef int _first_infeasible(self) noexcept nogil
    cdef int _predict(self, int target) noexcept nogil

cdef double segment_length(double u_s, double w_s, double start_s, double end_s) noexcept nogil
