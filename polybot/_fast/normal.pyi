"""Standard normal density, distribution and quantile."""

def norm_pdf(x: float) -> float:
    """Density of N(0, 1) at x."""

def norm_cdf(x: float) -> float:
    """P(N(0, 1) <= x): abs error <= 2e-16, rel <= 2e-14 for |x| <= 8."""

def norm_ppf(p: float) -> float:
    """Inverse of norm_cdf on (0, 1), relative error about 1e-15; NaN elsewhere."""
