"""What a run's scores are: one frozen tree of plain numbers, with how many of what stands behind each.

Owns the names, units and meanings, and the file `scores.json`.  Money is integer micro-USD (`_micro`), prices and
edges are USD per share (`_usd`), times UTC ns.  None means not known and is never 0; `notes` says in words what could
not be computed and why.  Must not compute: that is polybot.backtest.scores.  Called by scores, report, analyze.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from polybot.backtest.plain import from_plain, to_plain
from polybot.errors import ConfigError

__all__ = [
    "Agreement",
    "Attribution",
    "Bin",
    "CalibrationSlice",
    "Coverage",
    "DayRow",
    "Denial",
    "Drawdown",
    "EdgeBin",
    "Equity",
    "FlatteryRow",
    "Interval",
    "LatencyStage",
    "Markout",
    "Scores",
    "StrategyAgreement",
    "StrategyScore",
    "Totals",
    "load_scores",
    "save_scores",
]

VERSION = 1  # of scores.json; a reader refuses another
FILE_NAME = "scores.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % bootstrap interval: whole clusters (markets) drawn with replacement, seeded."""

    value: float  # of the data as they are
    low: float | None  # None: fewer than two clusters
    high: float | None
    clusters: int
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The run in one row.  Settled markets alone count in money; the others are listed as left out."""

    markets: int
    settled: int  # outcome known and counted in PnL
    observed: int  # followed for other windows' sake, never traded
    left_out: int  # the rest: outcome unknown, or refused
    traded: int  # settled markets with a fill
    fills: int  # that count: in settled markets, not FAILED
    fills_left_out: int  # in markets that are left out
    cost_left_out_micro: int  # what those cost, fee included
    fills_failed: int
    shares_micro: int  # bought and sold
    cost_micro: int  # signed, fee included
    payout_micro: int
    fees_micro: int
    pnl_micro: int  # payout - cost
    unexplained_micro: int  # PnL by the table of markets minus that by fills: not 0 is a defect
    bankroll_micro: int | None
    days: int  # UTC days with a settled market
    mean_per_market_usd: float | None
    pnl_interval: Interval  # of the sum over settled markets, traded or not; USD


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall from a peak of cumulated PnL (the start counts as a peak), and the longest time below one."""

    depth_micro: int  # >= 0
    depth_frac: float | None  # of the bankroll
    peak_ns: int | None
    trough_ns: int | None
    longest_ns: int | None  # from a peak to its recovery, or to the end of the data
    recovered: bool  # whether that longest one ended
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Equity:
    """Cumulated PnL, micro-USD, at every fill and settlement that counts (equal lengths).

    booked: of settled markets alone; its last value is the run's PnL.  marked: with open positions at their own
    outcome's mid (as last known, at cost before any is).  kind: 0 fill, 1 settlement.
    """

    at_ns: tuple[int, ...]
    booked_micro: tuple[int, ...]
    marked_micro: tuple[int, ...]
    kind: tuple[int, ...]
    market: tuple[int, ...]  # index in the table of markets
    thinned: bool  # points were left out; the extremes of what lay between were kept
    drawdown_booked: Drawdown  # of all points, also those left out here
    drawdown_marked: Drawdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Where the PnL of settled markets came from; the five terms sum to pnl_micro exactly.

    Formulas: polybot/backtest/attribution.py.  Positive is money earned in every term; fees are negative.
    """

    fills: int
    pnl_micro: int
    edge_micro: int
    slippage_micro: int
    fees_micro: int
    adverse_micro: int
    luck_micro: int
    horizon_s: float  # after the fill, where the value between adverse selection and luck is read
    fair_unknown: int  # fills without a fair at decision: their edge is 0, the whole change is luck
    expected_unknown: int  # fills without an expected price: their slippage is 0
    horizon_unknown: int  # fills without any value at the horizon: nothing of theirs is adverse selection
    horizon_mid: int  # fills whose value there is the mid, because the model gave no fair


@dataclass(frozen=True, slots=True, kw_only=True)
class Markout:
    """What the own outcome was worth some time after the fills minus what they paid, USD per share, share-weighted.

    Signed to our side (a sale earns when the price falls).  fills counts those with a known value; the mid is unknown
    when a side of the book is empty, after the window's end and before any quote.
    """

    horizon: str  # "100 ms", "1 s", "5 s", "30 s", "settlement"
    horizon_ns: int | None  # None: settlement
    fills: int
    markets: int
    unknown: int
    unknown_frac: float | None
    mean_usd: float | None  # before the fee
    mean_net_usd: float | None  # after it
    error_usd: float | None  # standard error of the net mean, clustered by market; None: fewer than two
    shares_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeBin:
    """Fills of settled markets by the edge their signals promised, USD per share after the fee."""

    low_usd: float | None  # None: no bound
    high_usd: float | None
    fills: int
    markets: int
    shares_micro: int
    predicted_usd: float | None  # share-weighted means
    realised_usd: float | None  # payout - price - fee
    error_usd: float | None  # of realised, clustered by market


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyScore:
    """One strategy over the run; `all` of Scores has the same shape with every fill."""

    name: str
    signals: int
    dispatched: int  # signals that became orders
    denied: int
    fills: int  # that count, as in Totals
    maker_fills: int
    markets: int  # settled ones it traded in
    shares_micro: int
    pnl_micro: int
    pnl_interval: Interval  # of its sum over settled markets, USD
    attribution: Attribution
    markouts: tuple[Markout, ...]
    edges: tuple[EdgeBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One row of a reliability table: forecasts of Up between low and high, and how often Up won."""

    low: float
    high: float
    n: int
    markets: int
    mean_p: float | None
    share_up: float | None
    error: float | None  # standard error of share_up, clustered by market


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSlice:
    """Model and market mid as forecasts of Up, on the same samples of markets whose outcome is known.

    tau_s: one sample of each market that long before its end; None: all samples inside the windows.
    difference: log-loss of the model minus that of the mid, nats; below 0 the model was better.
    """

    label: str  # "240 s" ... "5 s", "all"
    tau_s: float | None
    n: int  # samples where both are known
    markets: int
    model_unknown: int  # samples without the model's probability
    mid_unknown: int  # samples with one side of the book empty
    brier_model: float | None
    brier_mid: float | None
    log_loss_model: float | None
    log_loss_mid: float | None
    difference: Interval | None  # None: no samples
    model: tuple[Bin, ...]
    mid: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """How often one strategy's signals were denied for one reason."""

    strategy: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStage:
    """One stage of our simulated or real orders, ms, with its histogram."""

    name: str
    n: int
    unknown: int  # orders without one of the two stamps
    mean_ms: float | None
    percentiles_ms: dict[str, float]  # "50", "90", "99", "99.9", "max"; empty: n is 0
    edges_ms: tuple[float, ...]  # len(counts) + 1; the last bin is closed on the right
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the windows' time there was data for, seconds over all markets."""

    markets: int
    window_s: float
    sample_s: float | None  # one sample stands for so long
    sampled_s: float
    book_s: float  # both sides of the book known
    spot_s: float  # the price of the asset known
    fair_s: float  # the model gave a probability
    oracle_s: float | None  # an oracle price came; None: the run did not note it
    gap_s: float
    markets_with_gaps: int
    strikes_unknown: int
    damage: tuple[str, ...]  # file and offset of what could not be read
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """One UTC day of settled markets, and the run without it."""

    day: str  # YYYY-MM-DD
    markets: int
    fills: int
    pnl_micro: int
    pnl_without_micro: int
    mean_without_usd: float | None  # per settled market of the other days


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatteryRow:
    """The whole backtest again with one assumption changed.  difference: its PnL minus the base's."""

    name: str  # "base", "spot_delay_1s", ...
    title: str  # "spot 1 s late", ...
    settings: dict[str, str]
    ok: bool  # False: it failed; `problem` says how, the numbers are None
    problem: str
    markets: int | None  # settled
    fills: int | None
    pnl_micro: int | None
    difference_micro: int | None
    interval: Interval | None  # of the PnL, by market, USD
    folder: str  # its run folder, relative to the base's


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyAgreement:
    """Fills of one strategy in both, as in Agreement."""

    name: str
    fills_live: int
    fills_tested: int
    agreed: int
    missed: int
    extra: int
    price_difference_ticks: float | None
    pnl_live_micro: int | None
    pnl_tested_micro: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Fills of a live (or paper) session beside those of its backtest, over the markets both know.

    A fill here is all that one order got.  agreed: market, strategy, outcome and side are the same and the orders were
    decided within window_s of each other; missed: live alone has it; extra: the backtest alone.  Differences: tested
    minus live.
    """

    live: str
    tested: str
    window_s: float
    markets: int  # in both
    markets_live_only: int
    markets_tested_only: int
    fills_live: int
    fills_tested: int
    agreed: int
    missed: int
    extra: int
    agreed_frac: float | None  # of the live fills
    shares_live_micro: int
    shares_tested_micro: int
    price_difference_ticks: float | None  # of agreed ones, share-weighted; positive: the backtest paid more
    price_worst_ticks: float | None  # the largest of them, whatever its sign
    markets_settled: int  # settled in both: the PnL below is over these
    pnl_live_micro: int | None
    pnl_tested_micro: int | None
    pnl_difference_micro: int | None
    signals_live: int
    signals_tested: int
    signals_equal: bool | None  # before risk; None: one of the two kept no signals
    first_difference: str  # "" when there is none
    by_strategy: tuple[StrategyAgreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Everything a report says of a run in numbers."""

    version: int
    run: str  # name of the run
    label: str  # what the data are: simulated, recorded, implied, ...
    seed: int  # of every bootstrap here
    notes: tuple[str, ...]  # what is missing or thin, in words
    totals: Totals
    equity: Equity
    all: StrategyScore  # every fill of every strategy, name "all"
    strategies: tuple[StrategyScore, ...]
    calibration: tuple[CalibrationSlice, ...]
    denials: tuple[Denial, ...]  # most frequent first
    latency: tuple[LatencyStage, ...]
    coverage: Coverage
    days: tuple[DayRow, ...]
    blocked: tuple[Denial, ...] = ()  # evaluations of markets that could not be traded at all, by reason
    flattery: tuple[FlatteryRow, ...] = ()  # empty: not run
    agreement: Agreement | None = None

    def to_json(self) -> str:
        """Return the tree as JSON text."""
        return json.dumps(to_plain(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Scores":
        """Read what to_json wrote; raises ConfigError for anything else."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"scores are no JSON: {error}") from None
        found = data.get("version") if isinstance(data, dict) else None
        if found != VERSION:
            raise ConfigError(f"scores of version {found}, this program reads version {VERSION}")
        return from_plain(cls, data)


def save_scores(scores: Scores, folder: Path) -> Path:
    """Write `scores.json` into a run folder, whole or not at all."""
    path = folder / FILE_NAME
    scratch = path.with_suffix(".json.part")
    scratch.write_text(scores.to_json(), encoding="utf-8")
    os.replace(scratch, path)
    return path


def load_scores(folder: Path) -> Scores | None:
    """Read a run folder's `scores.json`; None when it has none, ConfigError when it is no such file."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    return Scores.from_json(path.read_text(encoding="utf-8"))
