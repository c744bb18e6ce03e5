# Normal density, distribution and quantile for the core: accurate in the far tails, no allocation, no GIL.
cpdef double norm_pdf(double x) noexcept nogil
cpdef double norm_cdf(double x) noexcept nogil
cpdef double norm_ppf(double p) noexcept nogil
