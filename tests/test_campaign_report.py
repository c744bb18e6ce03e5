"""Statistics of a campaign against exact fractions and by hand; verdicts say what the figures allow, no more."""

import math
import random
from dataclasses import replace
from fractions import Fraction

import pytest
from campaign_faults import make_result

from polybot.campaign_report import judge, mean_error, report_mapping, table_lines, windows_csv
from polybot.config import Config, default_config

USD = 1_000_000


def config(*names: str) -> Config:
    """The defaults with these strategies only."""
    settings = default_config(**{"campaign.min_runs": 3})
    return replace(settings, strategy={name: settings.strategy[name] for name in names or ("latency_arb",)})


def slow_mean_error(clusters: list[list[int]]) -> tuple[float, float, float]:
    """The same by exact fractions, straight from the definitions; clusters of equal size by their means."""
    values = [Fraction(value) for cluster in clusters for value in cluster]
    n, groups = len(values), len(clusters)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    total = Fraction(0)
    for cluster in clusters:
        total += sum(value - mean for value in cluster) ** 2
    clustered = Fraction(groups, groups - 1) * total / n**2
    return float(mean), math.sqrt(variance / n), math.sqrt(clustered)


def test_error_of_a_mean_by_hand():
    mean, error, error_runs = mean_error([[1.0, 2.0], [3.0, 6.0]])
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt(14 / 3 / 4), rel=1e-12)
    assert error_runs == pytest.approx(1.5, rel=1e-12)  # of the means 1.5 and 4.5: 3 / sqrt(2) / sqrt(2)


@pytest.mark.parametrize("seed", range(20))
def test_error_of_a_mean_is_that_of_exact_fractions(seed):
    rng = random.Random(seed)
    clusters = [
        [rng.randrange(-50 * USD, 80 * USD) for _ in range(rng.randrange(1, 12))]
        for _ in range(rng.randrange(2, 9))
    ]
    ours = mean_error([[float(value) for value in cluster] for cluster in clusters])
    assert ours == pytest.approx(slow_mean_error(clusters), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_with_runs_of_one_length_the_clustered_error_is_that_of_the_run_means(seed):
    rng = random.Random(seed)
    clusters = [[rng.gauss(run, 3.0) for _ in range(7)] for run in range(6)]
    means = [sum(cluster) / 7 for cluster in clusters]
    middle = sum(means) / 6
    by_means = math.sqrt(sum((mean - middle) ** 2 for mean in means) / 5 / 6)
    assert mean_error(clusters)[2] == pytest.approx(by_means, rel=1e-9)


def test_what_cannot_be_known_is_nan():
    assert all(math.isnan(value) for value in mean_error([]))
    assert mean_error([[2.0]])[0] == 2.0
    assert math.isnan(mean_error([[2.0]])[1])
    assert math.isnan(mean_error([[2.0, 3.0], []])[2])


@pytest.mark.parametrize(
    ("pnl", "fills", "said"),
    [
        ([[3, 5, 4], [4, 5, 4], [5, 3, 2]], 1, "untested (< 200 fills)"),
        ([[3, 5, 4], [4, 5, 4], [5, 3, 2]], 50, "earns on the simulated venue"),
        ([[-3, -5, -4], [-4, -5, -4], [-5, -3, -2]], 50, "loses on the simulated venue"),
        ([[3, -5, 4], [-4, 5, 3], [-5, 3, 4]], 50, "undecided (|t| < 2)"),
        ([[3, 5, 4]], 100, "undecided (too few runs to know the error)"),
        ([[3, 5, 4], [4, 5, 4]], 100, "undecided (too few runs to know the error)"),
        # Three lucky days: 60 windows look certain, three runs do not.
        ([[9] * 20, [9] * 20, [-5] * 20], 50, "undecided (|t| < 2)"),
    ],
)
def test_a_verdict_needs_fills_and_both_errors(pnl, fills, said):
    results = [
        make_result(f"r{seed}", {"latency_arb": [value * USD for value in values]}, seed=seed, fills=fills)
        for seed, values in enumerate(pnl)
    ]
    (verdict,) = judge(config(), results)
    assert verdict.text == said
    values = [[value * USD for value in cluster] for cluster in pnl]
    if len(pnl) > 1:
        mean, error, error_runs = slow_mean_error(values)
        assert verdict.mean_usd == pytest.approx(mean / USD)
        assert verdict.t_windows == pytest.approx(mean / error)
        assert verdict.t_runs == pytest.approx(mean / error_runs)


def test_a_strategy_that_broke_has_no_other_verdict():
    pnl = {"latency_arb": [4 * USD, 5 * USD]}
    results = [make_result(f"r{k}", pnl, fills=500, broken=["latency_arb"] if k else []) for k in range(3)]
    assert judge(config(), results)[0].text == "broken: raised and was disabled in 2 runs"


def test_figures_per_share_counts_and_denials_are_sums_over_settled_windows():
    result = make_result("r", {"latency_arb": [4 * USD, -1 * USD, 100 * USD]}, fills=2)
    result.windows[2].settled = False
    other = make_result("s", {"latency_arb": [0]}, fills=0)
    (verdict,) = judge(config(), [result, other])
    assert (verdict.windows, verdict.windows_filled, verdict.fills, verdict.signals) == (3, 2, 4, 12)
    assert verdict.pnl_usd == 3.0
    assert verdict.mean_usd == pytest.approx(1.0)
    assert verdict.predicted_per_share_usd == pytest.approx(0.05)
    assert verdict.realised_per_share_usd == pytest.approx(3.0 / 40.0)
    assert verdict.denials == {"COOLDOWN": 4, "HOUSE_SIDE": 3}


def test_pnl_at_true_odds_has_a_mean_and_an_error_of_its_own():
    results = [make_result(f"r{k}", {"latency_arb": [9 * USD, -7 * USD]}) for k in range(3)]
    for k, result in enumerate(results):
        for place, window in enumerate(result.windows):
            window.strategies["latency_arb"].fair_micro = (k + 2 * place) * USD
    (verdict,) = judge(config(), results)
    mean, _, error_runs = slow_mean_error([[k * USD, (k + 2) * USD] for k in range(3)])
    assert verdict.fair_mean_usd == pytest.approx(mean / USD) == 2.0
    assert verdict.fair_error_usd == pytest.approx(error_runs / USD)
    assert verdict.t_fair == pytest.approx(mean / error_runs)
    assert "+2.0000" in "\n".join(table_lines(config(), [verdict]))


def test_without_a_fill_the_report_says_untested_and_nothing_it_does_not_know():
    settings = config("certainty_capture", "latency_arb")
    results = [make_result("r", {"latency_arb": [0], "certainty_capture": [0]}, fills=0)]
    verdicts = judge(settings, results)
    lines = "\n".join(table_lines(settings, verdicts))
    assert lines.count("untested (< 200 fills)") == 2
    assert "nan" not in lines
    mapping = report_mapping(verdicts, ["x: y"], results)
    assert mapping["strategies"][0]["realised_per_share_usd"] is None
    assert mapping["failures"] == ["x: y"]
    assert len(windows_csv(results).splitlines()) == 3


def test_solo_runs_count_only_for_their_own_strategy():
    results = [
        make_result("a", {"latency_arb": [5 * USD]}, solo="latency_arb"),
        make_result("b", {"certainty_capture": [-2 * USD]}, solo="certainty_capture"),
    ]
    verdicts = judge(config("certainty_capture", "latency_arb"), results)
    assert [(item.strategy, item.pnl_usd) for item in verdicts] == [
        ("certainty_capture", -2.0),
        ("latency_arb", 5.0),
    ]
