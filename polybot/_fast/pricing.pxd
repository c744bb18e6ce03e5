# Fair probability, Greeks and standard error of a binary on a reference price; half-Kelly; the settlement rule.
# Owns: the two structs below.  Unit of every field beside it; USD stands for the resolution source's own unit.
cpdef enum Rule:
    RULE_POINT = 0           # oracle price at the end against the strike
    RULE_CANDLE = 1          # close of the exchange candle against its open: priced as RULE_POINT
    RULE_TWAP = 2            # mean of the last w_s seconds against the strike

cpdef enum PriceStatus:
    PRICE_OK = 0
    BAD_SIGMA = 1            # not finite or <= 0
    BAD_SPOT = 2             # not finite or <= 0
    BAD_STRIKE = 3           # not finite or <= 0
    BAD_TAU = 4              # not finite or < 0
    BAD_VARIANCE = 5         # a variance is negative or not finite, or the total is 0: nothing is uncertain or all unknown
    BAD_LOCKED = 6           # locked_sum does not cover the w_s - u seconds already averaged
    BAD_RULE = 7             # not one of Rule
    BAD_WINDOW = 8           # twap with w_s <= 0, or lag_s < 0
    BAD_SE = 9               # se_ln_sigma or sd_x is negative or not finite

ctypedef struct PricingInput:
    int rule                 # Rule
    double w_s               # averaging window, s (twap only)
    double lag_s             # the oracle's window ends this long before its stamp, s (twap only)
    double s                 # spot moved by the basis, USD
    double k                 # strike, USD
    double sigma             # volatility per sqrt(s)
    double tau_s             # seconds to the end
    double locked_sum        # integral of the price over the w_s - u seconds already averaged, USD s; 0 before
    double var_basis         # variance of ln(s)
    double var_strike        # variance of ln(k)
    double var_locked        # variance of ln(m) from seconds missing in locked_sum
    double se_ln_sigma       # standard error of ln(sigma)
    double sd_x              # sd of errors of ln(m/k) that are in none of the variances above

ctypedef struct Pricing:
    int status               # PriceStatus; every number below is NaN unless it is PRICE_OK
    double u                 # seconds still random: tau_s, for twap max(0, tau_s - lag_s)
    double m                 # forward mean of the settlement price, USD
    double dm_ds             # d m / d s
    double t_eff             # s: variance of ln(settlement price) is sigma^2 t_eff
    double v                 # total sd of ln(settlement price / strike)
    double d2
    double z                 # ln(m/k) / v
    double p_up              # fair of Up; of Down 1 - p_up = norm_cdf(-d2)
    double phi_d2
    double delta             # of Up, per USD of s (v held)
    double gamma             # of Up, per USD^2 of s (v held)
    double vega              # of Up, per unit of sigma
    double se_q              # standard error of p_up

cdef int price_binary(const PricingInput* a, Pricing* out) noexcept nogil
cdef double price_up(const PricingInput* a) noexcept nogil
cpdef double implied_deviation(double p, double m, double k) noexcept nogil
cpdef double half_kelly(double q, double cost, double cap) noexcept nogil
cpdef int winner(double final, double strike) noexcept nogil
