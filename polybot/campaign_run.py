"""One run of a campaign: its plan, the run itself in virtual time, and its result file.

Owns what a campaign's runs are (seed, start, settings), the figures per window and strategy, and their file.
Figures come from the files a run writes, the same that the venue's ledger is compared with; nothing is
counted a second way.  A result file is the same byte for byte whenever plan and program are the same.
Must not start processes or print.  Called by polybot.campaign, `perform` in a process of its own.
"""

import csv
import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from polybot._fast.event import Outcome, Side
from polybot.assembly import hard_ceilings
from polybot.backtest.program import DIGEST_CHARS, machine_words, program_digest
from polybot.config import Config, config_to_mapping
from polybot.errors import ConfigError
from polybot.gateway.trades import trade_key
from polybot.harness import VirtualRun, run_virtual
from polybot.sim.orders import Order
from polybot.sim.trades import Trade
from polybot.sim.venue import Venue
from polybot.trader import Trader

__all__ = [
    "RunPlan",
    "RunResult",
    "StrategyWindow",
    "WindowResult",
    "enabled_strategies",
    "perform",
    "plan_runs",
    "read_result",
]

NS = 1_000_000_000
VERSION = 2  # of the result file
# Diagnostics decide nothing; their lines would be most of what a run writes.
DIAGNOSTICS_S = 3_600.0
# A loss halt at so much of the bankroll: the largest the settings allow.
WHOLE_BANKROLL = 1.0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run plays; `folder` holds the results of all runs with these settings and this program."""

    name: str
    config: Config
    start_ns: int
    solo: str  # the only strategy; "" = all together
    folder: Path
    code: str  # digest of the program
    targets: tuple[str, ...]  # classes of all strategies of the campaign, for that digest

    @property
    def result_path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def error_path(self) -> Path:
        """What a failing run had to say."""
        return self.folder / f"{self.name}.error"

    @property
    def work_dir(self) -> Path:
        """The run's own files; removed when it ends and the ledger agrees."""
        return self.folder / "work" / self.name


@dataclass(slots=True)
class StrategyWindow:
    """One strategy in one window; money in micro-USD, shares in micro-shares."""

    pnl_micro: int = 0
    fills: int = 0
    signals: int = 0
    shares_micro: int = 0  # filled
    predicted_micro: int = 0  # edge of the signals, for the shares that filled
    fair_micro: int = 0  # what the fills were worth at the venue's true odds of that moment, less their cost
    denials: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class WindowResult:
    """One window; not settled means its PnL is not known and counts nowhere."""

    slug: str
    start: str
    outcome: str
    settled: bool
    strategies: dict[str, StrategyWindow]


@dataclass(slots=True)
class RunResult:
    """What one run came to."""

    name: str
    seed: int
    start: str
    solo: str
    windows_asked: int
    commands: int
    commands_sha256: str
    check: str  # the ledger check, for people
    differences: list[str]  # of the ledger check and of our own sums
    broken: list[str]  # strategies that raised and were disabled
    windows: list[WindowResult]


def enabled_strategies(config: Config) -> list[str]:
    """Names of the strategies that trade, sorted."""
    return [name for name, item in sorted(config.strategy.items()) if item.enabled]


def plan_runs(config: Config) -> list[RunPlan]:
    """Cut the campaign into runs; raises ConfigError for settings no campaign can have."""
    campaign = config.campaign
    _check_measurable(config)
    targets = tuple(sorted(item.target for item in config.strategy.values()))
    code = program_digest(targets)
    config = _for_measuring(config)
    folder = Path(campaign.out_dir) / _settings_digest(config, code)
    alone = enabled_strategies(config) if campaign.solo else [""]
    plans = []
    for first in range(0, campaign.windows, campaign.windows_per_run):
        seed = campaign.first_seed + first // campaign.windows_per_run
        markets = min(campaign.windows_per_run, campaign.windows - first)
        for solo in alone:
            settings = replace(
                config,
                venue=replace(config.venue, seed=seed),
                run=replace(config.run, markets=markets),
                strategy={solo: config.strategy[solo]} if solo else config.strategy,
            )
            name = f"seed{seed:06d}_windows{markets}" + (f"_{solo}" if solo else "")
            plans.append(RunPlan(name, settings, _start_ns(config, seed), solo, folder, code, targets))
    return plans


def perform(plan: RunPlan) -> None:
    """Play the run and write its result file, in one piece or not at all."""
    if program_digest(plan.targets) != plan.code:
        raise ConfigError("the program was changed while the campaign ran: start the campaign again")
    shutil.rmtree(plan.work_dir, ignore_errors=True)
    odds = _TrueOdds()
    run = run_virtual(
        plan.config, plan.work_dir, start_ns=plan.start_ns, prepare=odds.attach, with_journal=False
    )
    result = _result(plan, run, odds.by_key)
    text = json.dumps({"version": VERSION, **asdict(result)}, indent=1) + "\n"
    part = plan.result_path.with_suffix(".part")
    part.write_text(text)
    part.replace(plan.result_path)
    if not result.differences:
        shutil.rmtree(plan.work_dir)


def read_result(path: Path) -> RunResult | None:
    """Read a result file; None when there is none, it is torn or of another version."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    if found.pop("version", None) != VERSION:
        return None
    windows = [
        WindowResult(
            **{
                **window,
                "strategies": {name: StrategyWindow(**item) for name, item in window["strategies"].items()},
            }
        )
        for window in found.pop("windows")
    ]
    return RunResult(**found, windows=windows)


# -- plans ------------------------------------------------------------------------------------------


def _check_measurable(config: Config) -> None:
    venue = config.venue
    if venue.name != "sim":
        raise ConfigError(f"venue={venue.name} is not allowed: a campaign plays on venue=sim")
    if config.mode.name != "live":
        raise ConfigError(
            f"mode={config.mode.name} is not allowed: a campaign is judged by the orders the venue itself saw"
        )
    for name, value in (("attach", venue.attach), ("tape", venue.tape), ("book_tape", venue.book_tape)):
        if value:
            raise ConfigError(
                f"venue.{name} is not allowed in a campaign: all runs would have the same prices"
            )
    if not enabled_strategies(config):
        raise ConfigError("a campaign needs an enabled strategy")
    try:
        datetime.fromisoformat(config.campaign.first_day)
    except ValueError:
        raise ConfigError(
            f"campaign.first_day={config.campaign.first_day} is no day of the calendar"
        ) from None


def _for_measuring(config: Config) -> Config:
    """The settings of every run: loss halts out of the way unless they are to be kept."""
    risk = config.risk
    if not config.campaign.keep_halts:
        risk = replace(risk, daily_loss_halt_frac=WHOLE_BANKROLL, weekly_loss_halt_frac=WHOLE_BANKROLL)
    return replace(config, risk=risk, engine=replace(config.engine, diagnostics_s=DIAGNOSTICS_S))


def _start_ns(config: Config, seed: int) -> int:
    """When the run of a seed starts: some second within the spread, known from the seed alone."""
    first_s = int(datetime.fromisoformat(config.campaign.first_day).replace(tzinfo=UTC).timestamp())
    offset_s = random.Random(f"campaign start {seed}").randrange(config.campaign.start_spread_h * 3_600)
    return (first_s + offset_s) * NS


def _settings_digest(config: Config, code: str) -> str:
    """Digest of all that decides what a run of a given seed comes to."""
    mapping = config_to_mapping(config)
    for section in ("telemetry", "run", "campaign"):
        del mapping[section]
    del mapping["venue"]["seed"]
    starts = (config.campaign.first_day, config.campaign.start_spread_h)
    order = list(mapping["strategy"])  # decides ties
    machine = (*machine_words(), hard_ceilings())
    text = json.dumps([mapping, order, machine, starts, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


# -- results ----------------------------------------------------------------------------------------


class _TrueOdds:
    """Notes the venue's own probability of Up at each match of ours, by the trade key of the fill.

    PnL at these odds has nearly the mean of the realised PnL (odds are a martingale) without the luck of the outcomes,
    so it tells with far fewer windows whether fills were worth their price.  Nearly: the venue's formula treats jumps
    and wandering volatility in short form and was found up to 0.6 c a share off (ODDS_ERROR_USD).
    """

    def __init__(self) -> None:
        self.by_key: dict[int, float] = {}
        self._venue: Venue | None = None

    def attach(self, _: Trader, venue: Venue) -> None:
        """Watch the account's trades."""
        self._venue = venue
        venue.exchange.user_watchers.append(self)

    def on_order(self, order: Order, kind: str, now_ns: int) -> None:
        """Orders tell nothing about odds."""

    def on_trade(self, trade: Trade, now_ns: int) -> None:
        """A match, or a later status of one."""
        assert self._venue is not None
        if trade.status != "MATCHED":
            return
        terms = next(
            item.terms for item in self._venue.desk.markets() if item.cid == trade.market.condition_id
        )
        up = self._venue.fair.up(terms, now_ns)
        for index, leg in enumerate(trade.legs):
            for order_id in (trade.taker_order.order_id, leg.maker_order_id):
                self.by_key[trade_key(trade.trade_id, order_id, index)] = up


def _result(plan: RunPlan, run: VirtualRun, odds: Mapping[int, float]) -> RunResult:
    enabled = enabled_strategies(plan.config)
    windows, differences = [], list(run.check.differences)
    folder = run.out_dir / plan.config.interval.name
    for row in {row["slug"]: row for row in _rows(folder / "markets.csv")}.values():  # the last row of each
        window = _window(folder / row["slug"], row, enabled, odds)
        windows.append(window)
        differences += _own_differences(window, row)
    return RunResult(
        name=plan.name,
        seed=plan.config.venue.seed,
        start=datetime.fromtimestamp(plan.start_ns // NS, UTC).isoformat(),
        solo=plan.solo,
        windows_asked=plan.config.run.markets,
        commands=run.commands,
        commands_sha256=run.commands_sha256,
        check=run.check.text(),
        differences=differences,
        broken=[
            item.name for item in run.trader.engine.strategies if not item.enabled and item.name in enabled
        ],
        windows=sorted(windows, key=lambda window: window.start),
    )


def _window(
    folder: Path, row: Mapping[str, str], enabled: list[str], odds: Mapping[int, float]
) -> WindowResult:
    """Figures of one window from its row of markets.csv and its signals.csv and fills.csv."""
    found = {name: StrategyWindow() for name in enabled}
    denials: dict[str, Counter[str]] = {name: Counter() for name in enabled}
    edges: dict[str, float] = {}  # USD per share, by order
    for signal in _rows(folder / "signals.csv"):
        found[signal["strategy"]].signals += 1
        if signal["status"] == "DISPATCHED":
            edges[signal["order_seq"]] = float(signal["edge"])
        else:
            denials[signal["strategy"]][signal["status"]] += 1
    fills = {(fill["trade_key"], fill["order_id"]): fill for fill in _rows(folder / "fills.csv")}
    for fill in fills.values():  # the last status of each
        if fill["status"] == "FAILED":
            continue
        item, shares_micro = found[fill["strategy"]], int(fill["shares_micro"])
        item.fills += 1
        item.shares_micro += shares_micro
        item.predicted_micro += round(edges[fill["order_seq"]] * shares_micro)
        item.fair_micro += _worth_micro(fill, odds[int(fill["trade_key"])]) - int(fill["cost_micro_usd"])
    for name, item in found.items():
        item.pnl_micro = int(row[f"pnl_{name}_micro_usd"] or 0)
        item.denials = dict(sorted(denials[name].items()))
    settled = bool(row["outcome"]) and bool(row["pnl_micro_usd"])
    return WindowResult(row["slug"], row["start"], row["outcome"], settled, found)


def _worth_micro(fill: Mapping[str, str], up: float) -> int:
    """Micro-USD the shares of a fill were worth at these odds of Up; sold shares are owed."""
    odds = up if fill["outcome"].lower() == Outcome.UP.name.lower() else 1.0 - up
    worth = round(int(fill["shares_micro"]) * odds)
    return worth if fill["side"].lower() == Side.BUY.name.lower() else -worth


def _own_differences(window: WindowResult, row: Mapping[str, str]) -> list[str]:
    """What the strategies' figures do not add up to."""
    items = window.strategies.values()
    sums = {
        "signals": sum(item.signals for item in items),
        "fills": sum(item.fills for item in items),
        "pnl_micro_usd": sum(item.pnl_micro for item in items),
    }
    return [
        f"market {window.slug}: {name} {total} by strategy, {row[name]} in all"
        for name, total in sums.items()
        if total != int(row[name] or 0)
    ]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of one CSV file; none when it was never needed."""
    if path.exists():
        with path.open(newline="") as file:
            yield from csv.DictReader(file)
