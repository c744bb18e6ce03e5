"""What a campaign's results say of each strategy: means, errors, verdicts; as a table, CSV and JSON.

Owns the statistics and their words.  The mean is over all settled windows, traded or not.  Windows of one run
share a seed, a day and a volatility, so the error is given twice: as if windows were independent, and with
runs as clusters; a verdict needs both.  Must not start runs or read their own files.  Called by polybot.campaign.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from polybot.campaign_run import RunResult, StrategyWindow, enabled_strategies
from polybot.config import Config

__all__ = ["Verdict", "judge", "mean_error", "report_mapping", "table_lines", "windows_csv"]

USD = 1_000_000
DENIALS_SHOWN = 5
# Largest difference between the venue's odds and 1.5 million draws of its world, USD per share (2026-11).
ODDS_ERROR_USD = 0.006
CSV_COLUMNS = (
    "run", "seed", "slug", "start", "outcome", "settled", "strategy", "pnl_micro_usd", "fills", "signals",
    "shares_micro", "predicted_micro_usd", "fair_micro_usd", "denials",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """One strategy over the whole campaign; USD, per settled window or per filled share.  NaN: not known."""

    strategy: str
    windows: int
    windows_filled: int
    fills: int
    signals: int
    pnl_usd: float
    mean_usd: float
    error_usd: float  # windows as if independent
    t_windows: float
    error_runs_usd: float  # runs as clusters
    t_runs: float
    predicted_per_share_usd: float
    realised_per_share_usd: float
    fair_mean_usd: float  # PnL at the venue's true odds when filled, per settled window
    fair_error_usd: float  # runs as clusters
    t_fair: float
    denials: dict[str, int]
    broken_runs: int
    text: str


def judge(config: Config, results: Sequence[RunResult]) -> list[Verdict]:
    """One verdict per enabled strategy, by name."""
    names = enabled_strategies(config)
    return [_judge(config, name, [run for run in results if run.solo in ("", name)]) for name in names]


def mean_error(clusters: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """(mean over all values, standard error as if independent, standard error with clusters).

    Independent: sqrt(sum (x - m)^2 / (n - 1) / n).  Clusters: sqrt(G / (G - 1) sum_g (sum_i (x_gi - m))^2) / n,
    which for clusters of equal size is the standard error of their means.  NaN where there is too little.
    """
    clusters = [cluster for cluster in clusters if cluster]
    values = [value for cluster in clusters for value in cluster]
    n, groups = len(values), len(clusters)
    if n == 0:
        return math.nan, math.nan, math.nan
    mean = math.fsum(values) / n
    error = error_clusters = math.nan
    if n > 1:
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    if groups > 1:
        sums = [math.fsum(value - mean for value in cluster) for cluster in clusters]
        error_clusters = math.sqrt(groups / (groups - 1) * math.fsum(total**2 for total in sums)) / n
    return mean, error, error_clusters


def table_lines(config: Config, verdicts: Sequence[Verdict]) -> list[str]:
    """The table for people, with the reasons of refused signals below each strategy."""
    width = max(8, *(len(verdict.strategy) for verdict in verdicts))
    lines = [
        f"{'strategy':<{width}} {'windows':>8} {'filled':>7} {'fills':>7} {'signals':>9} {'PnL USD':>10} "
        f"{'mean USD':>9} {'error':>8} {'t':>6} {'by run':>8} {'t':>6} {'predicted':>9} {'realised':>9} "
        f"{'fair USD':>9} {'t':>7}  verdict"
    ]
    for item in verdicts:
        lines.append(
            f"{item.strategy:<{width}} {item.windows:>8,} {item.windows_filled:>7,} {item.fills:>7,} "
            f"{item.signals:>9,} {item.pnl_usd:>+10.2f} {_number(item.mean_usd, 9, '+.4f')} "
            f"{_number(item.error_usd, 8, '.4f')} {_number(item.t_windows, 6, '+.2f')} "
            f"{_number(item.error_runs_usd, 8, '.4f')} {_number(item.t_runs, 6, '+.2f')} "
            f"{_number(item.predicted_per_share_usd, 9, '+.4f')} "
            f"{_number(item.realised_per_share_usd, 9, '+.4f')} "
            f"{_number(item.fair_mean_usd, 9, '+.4f')} {_number(item.t_fair, 7, '+.2f')}  {item.text}"
        )
        shown = Counter(item.denials).most_common(DENIALS_SHOWN)
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in shown)
        lines.append(f"{'':<{width}} denied: {reasons or 'nothing'}")
    return [
        *lines,
        "",
        "mean, error: USD per settled window, traded or not; t = mean / error; by run: with runs as clusters.",
        "predicted, realised: USD per filled share after the fee; predicted is the edge the signal promised.",
        "fair USD: mean per window at the venue's odds when each fill happened: nearly the same mean, without luck;",
        f"those odds are up to {ODDS_ERROR_USD * 100:g} c a share off, so below that times the shares it says nothing.",
        f"a verdict needs {config.campaign.min_fills} fills, {config.campaign.min_runs} runs "
        f"and both t beyond {config.campaign.t_min:g}.",
    ]


def report_mapping(
    verdicts: Sequence[Verdict], failures: Sequence[str], results: Sequence[RunResult]
) -> dict[str, Any]:
    """The report for programs; what is not known is null."""
    return {
        "strategies": [
            {
                key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in asdict(v).items()
            }
            for v in verdicts
        ],
        "failures": list(failures),
        "runs": [
            {
                "name": result.name,
                "seed": result.seed,
                "start": result.start,
                "windows": result.windows_asked,
                "settled": sum(window.settled for window in result.windows),
                "commands_sha256": result.commands_sha256,
                "differences": result.differences,
            }
            for result in results
        ],
    }


def windows_csv(results: Sequence[RunResult]) -> str:
    """Every run, window and strategy as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        for window in result.windows:
            for name, item in window.strategies.items():
                denials = " ".join(f"{reason}:{count}" for reason, count in item.denials.items())
                writer.writerow(
                    (result.name, result.seed, window.slug, window.start, window.outcome, int(window.settled), name,
                     item.pnl_micro, item.fills, item.signals, item.shares_micro, item.predicted_micro,
                     item.fair_micro, denials)
                )  # fmt: skip
    return text.getvalue()


# -- one strategy -----------------------------------------------------------------------------------


def _judge(config: Config, name: str, results: Sequence[RunResult]) -> Verdict:
    clusters = [[item.pnl_micro / USD for item in _settled(result, name)] for result in results]
    items = [item for result in results for item in _settled(result, name)]
    mean, error, error_runs = mean_error(clusters)
    t_windows, t_runs = _ratio(mean, error), _ratio(mean, error_runs)
    fair = [[item.fair_micro / USD for item in _settled(result, name)] for result in results]
    fair_mean, _, fair_error = mean_error(fair)
    fills = sum(item.fills for item in items)
    shares = sum(item.shares_micro for item in items)
    pnl_micro = sum(item.pnl_micro for item in items)
    denials: Counter[str] = Counter()
    for item in items:
        denials.update(item.denials)
    broken = sum(name in result.broken for result in results)
    return Verdict(
        strategy=name,
        windows=len(items),
        windows_filled=sum(item.fills > 0 for item in items),
        fills=fills,
        signals=sum(item.signals for item in items),
        pnl_usd=pnl_micro / USD,
        mean_usd=mean,
        error_usd=error,
        t_windows=t_windows,
        error_runs_usd=error_runs,
        t_runs=t_runs,
        predicted_per_share_usd=_ratio(sum(item.predicted_micro for item in items), shares),
        realised_per_share_usd=_ratio(pnl_micro, shares),
        fair_mean_usd=fair_mean,
        fair_error_usd=fair_error,
        t_fair=_ratio(fair_mean, fair_error),
        denials=dict(denials.most_common()),
        broken_runs=broken,
        text=_words(config, fills=fills, runs=len(results), broken=broken, ts=(t_windows, t_runs)),
    )


def _settled(result: RunResult, name: str) -> Iterator[StrategyWindow]:
    for window in result.windows:
        if window.settled:
            yield window.strategies[name]


def _words(config: Config, *, fills: int, runs: int, broken: int, ts: tuple[float, float]) -> str:
    least, t_min = config.campaign.min_fills, config.campaign.t_min
    if broken:
        return f"broken: raised and was disabled in {broken} runs"
    if fills < least:
        return f"untested (< {least} fills)"
    if runs < config.campaign.min_runs or any(math.isnan(t) for t in ts):
        return "undecided (too few runs to know the error)"
    if min(ts) >= t_min:
        return "earns on the simulated venue"
    if max(ts) <= -t_min:
        return "loses on the simulated venue"
    return f"undecided (|t| < {t_min:g})"


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _number(value: float, width: int, form: str) -> str:
    return f"{'-' if math.isnan(value) else format(value, form):>{width}}"
