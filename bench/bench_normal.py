"""Normal functions as Python calls them."""

from collections.abc import Callable
from typing import Any

import pytest

from polybot._fast.normal import norm_cdf, norm_pdf, norm_ppf

Budget = Callable[..., float]
CALLS = 100


@pytest.mark.parametrize(
    ("function", "argument", "median_ns"), [(norm_pdf, 0.7, 200), (norm_cdf, 0.7, 200), (norm_ppf, 0.01, 400)]
)
def test_normal_function(
    budget: Budget, function: Callable[[float], float], argument: float, median_ns: float
) -> None:
    def run() -> Any:
        for _ in range(CALLS):
            function(argument)

    budget(run, name=f"normal.{function.__name__}", median_ns=median_ns, inner=CALLS)
