"""`python -m polybot score`: how good the shipped forecasts are, on half a day that nothing was fitted on.

Owns the comparison: the configured estimator under the market's own rule (twap) against what such bots usually do,
the point rule with an EWMA of lambda 0.94 at one second, both fed the oracle's recorded day and both priced by the
project's `price`.  The configured estimator takes returns over research.oracle_sample_ms there, because the oracle
is smoothed and one-second returns are about 30 % too small; the EWMA is left as it comes.
Bootstrap over windows, seeded.  Writes to stdout.  Called by polybot.cli and tests.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polybot._fast.pricing import Rule
from polybot.backtest.bootstrap import mean_interval
from polybot.backtest.calibration import reliability
from polybot.backtest.score_tree import Bin
from polybot.config import Config
from polybot.config_research import ResearchConfig
from polybot.config_vol import VolConfig
from polybot.errors import ConfigError
from polybot.research.data import OracleDay, read_oracle_day
from polybot.research.forecast import (
    TAUS_S,
    WINDOW_S,
    Forecaster,
    halves,
    log_losses,
    sigma_path,
    windows_between,
)
from polybot.volatility import build_vol

__all__ = ["BASELINE", "Score", "TauScore", "run", "score"]

# As conf/model/vol/ewma.yaml (a test compares them).
BASELINE = VolConfig(
    name="ewma", lambda_=0.94, sample_ms=1_000, warmup_samples=10, floor_annual=0.30, bias_correct=True
)
LATE_TAUS_S = (30, 15)  # where the shipped forecast must be better beyond doubt
ALLOWED_LOSS = 0.02  # and how much worse it may be at the other tau
BINS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0)  # of the reliability table

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TauScore:
    """Log-losses (nats) at one tau; gain = baseline minus shipped, with its 95 % interval.

    rule_only has the baseline's volatility under the market's own rule: what is gained by the rule alone.
    """

    tau_s: int
    windows: int
    shipped: float
    baseline: float
    rule_only: float
    gain: float
    gain_low: float
    gain_high: float

    @property
    def holds(self) -> bool:
        """Whether the promise for this tau is kept."""
        return self.gain_low > 0.0 if self.tau_s in LATE_TAUS_S else self.gain >= -ALLOWED_LOSS


@dataclass(frozen=True, slots=True)
class Score:
    """The whole comparison, with what the reliability tables need: (p of Up, Up) of every forecast."""

    day: OracleDay
    first_s: int
    last_s: int
    by_tau: tuple[TauScore, ...]
    shipped: tuple[Floats, Floats]
    baseline: tuple[Floats, Floats]


def run(config: Config) -> int:
    """Score and print; raises ConfigError when the data is not there."""
    sys.stdout.write(_report(config, score(config)) + "\n")
    return 0


def score(config: Config) -> Score:
    """Compare on the second half of the oracle's day; windows start every five minutes."""
    research = config.research
    day = read_oracle_day(research.data_dir)
    _, (first, last) = halves(day)
    forecaster = Forecaster(day)
    windows = forecaster.windows(windows_between(first, last, WINDOW_S))
    shipped = sigma_path(build_vol(replace(config.model.vol, sample_ms=research.oracle_sample_ms)), day)
    baseline = sigma_path(build_vol(BASELINE), day)
    by_tau, ours, theirs = [], [], []
    for tau in TAUS_S:
        p = forecaster.probabilities(windows, rule=Rule.RULE_TWAP, tau_s=tau, sigma=shipped)
        q = forecaster.probabilities(windows, rule=Rule.RULE_POINT, tau_s=tau, sigma=baseline)
        r = forecaster.probabilities(windows, rule=Rule.RULE_TWAP, tau_s=tau, sigma=baseline)
        if np.isnan(p).any() or np.isnan(q).any():
            raise ConfigError(
                f"model.vol.warmup_samples={config.model.vol.warmup_samples} leaves windows unpriced"
            )
        rule_only = float(log_losses(windows.up, r).mean())
        losses = log_losses(windows.up, p), log_losses(windows.up, q)
        by_tau.append(_compare(tau, *losses, rule_only, research))
        ours.append(p)
        theirs.append(q)
    up = np.tile(windows.up.astype(np.float64), len(TAUS_S))
    pooled = (np.concatenate(ours), up), (np.concatenate(theirs), up)
    return Score(day, day.start_s + first, day.start_s + last, tuple(by_tau), *pooled)


def _compare(
    tau: int, shipped: Floats, baseline: Floats, rule_only: float, research: ResearchConfig
) -> TauScore:
    """Mean losses, and the bootstrap interval of their difference (windows drawn with replacement)."""
    gain = mean_interval(baseline - shipped, draws=research.bootstrap_count, seed=research.seed)
    assert gain.low is not None
    assert gain.high is not None  # half a day has more than one window
    return TauScore(
        tau_s=tau,
        windows=gain.clusters,
        shipped=float(shipped.mean()),
        baseline=float(baseline.mean()),
        rule_only=rule_only,
        gain=gain.value,
        gain_low=gain.low,
        gain_high=gain.high,
    )


def _report(config: Config, found: Score) -> str:
    research = config.research
    day = found.day
    lines = [
        f"score on {day.name}: {day.received:,} seconds received of {len(day.prices):,}, the rest filled forward",
        f"  windows of {WINDOW_S} s that start at {found.first_s} or later and end by {found.last_s}, one every "
        f"{WINDOW_S} s; Up when the mean of the last 60 prices is at least that at the start",
        f"  shipped: rule twap, model/vol={config.model.vol.name}, returns over {research.oracle_sample_ms} ms "
        "(the oracle is smoothed)",
        f"  baseline: rule point, EWMA lambda {BASELINE.lambda_:g}, one return per {BASELINE.sample_ms} ms; "
        "rule only: the same EWMA under rule twap",
        f"  interval: 95 %, {research.bootstrap_count:,} resamples of the windows, seed {research.seed}",
        "",
        "tau s  windows  shipped  rule only  baseline     gain  95 % interval       promise",
        *(_tau_line(item) for item in found.by_tau),
        "",
        "reliability, all tau together: forecasts of Up, their mean, and how often Up won",
        "                  shipped                     baseline",
        "p of Up           n   mean p   won            n   mean p   won",
        *_reliability(found),
    ]
    broken = [str(item.tau_s) for item in found.by_tau if not item.holds]
    verdict = f"FALLS SHORT at tau {', '.join(broken)}" if broken else "every promise holds"
    return "\n".join([*lines, "", f"{verdict} (log-loss in nats, smaller is better)"])


def _tau_line(item: TauScore) -> str:
    late = item.tau_s in LATE_TAUS_S
    promise = "interval above 0" if late else f"not worse by {ALLOWED_LOSS:g}"
    losses = f"{item.shipped:7.4f}  {item.rule_only:9.4f}  {item.baseline:8.4f}  {item.gain:+7.4f}"
    interval = f"[{item.gain_low:+.4f}, {item.gain_high:+.4f}]"
    verdict = "holds" if item.holds else "BROKEN"
    return f"{item.tau_s:5}  {item.windows:7}  {losses}  {interval}  {promise}: {verdict}"


def _reliability(found: Score) -> list[str]:
    tables = [reliability(up, p, BINS) for p, up in (found.shipped, found.baseline)]
    return [
        f"{left.low:4.2f} to {left.high:4.2f}  {_bin_text(left)}       {_bin_text(right)}"
        for left, right in zip(*tables, strict=True)
    ]


def _bin_text(row: Bin) -> str:
    if row.mean_p is None or row.share_up is None:
        return f"{0:7}        -     -"
    return f"{row.n:7}   {row.mean_p:6.3f}  {row.share_up:4.2f}"
