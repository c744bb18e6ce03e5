"""Fair, Greeks and standard error at once, and its inversion, as Python calls them."""

from collections.abc import Callable

import pytest

from polybot._fast.pricing import Rule, implied_deviation, price

Budget = Callable[..., float]
CALLS = 100


@pytest.mark.parametrize("rule", [Rule.RULE_POINT, Rule.RULE_TWAP], ids=["point", "twap"])
def test_price_with_greeks(budget: Budget, rule: Rule) -> None:
    code, locked_sum = int(rule), 35 * 69_070.0

    def run() -> None:
        for _ in range(CALLS):
            price(
                rule=code, s=69_068.99, k=69_076.0, sigma=6.569e-5, tau_s=25.0, w_s=60.0,
                locked_sum=locked_sum, var_basis=2.5e-9, se_ln_sigma=0.1,
            )  # fmt: skip

    budget(run, name=f"pricing.price {rule.name}", median_ns=2000, inner=CALLS)


def test_implied_deviation(budget: Budget) -> None:
    def run() -> None:
        for _ in range(CALLS):
            implied_deviation(0.447152, 69_068.99, 69_076.0)

    budget(run, name="pricing.implied_deviation", median_ns=500, inner=CALLS)
