"""Every setting of polybot as frozen dataclasses: names with units, defaults, allowed ranges.

Owns the shape of the configuration.  The defaults here equal conf/ (a test compares them), so
`default_config()` is what `python -m polybot` runs with.  Knows nothing of hydra, files or the
environment: `polybot.compose` reads conf/, `config_schema.build` checks and builds these objects.
No secret is ever a value here, only the *name* of the environment variable that holds it.
The daemon hands each part its own section; nobody passes the whole Config further down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from polybot.config_analyze import AnalyzeConfig
from polybot.config_backtest import BacktestSettings
from polybot.config_campaign import CampaignConfig
from polybot.config_control import ControlConfig
from polybot.config_cross import CrossTimeframeParams, choose_observed
from polybot.config_dashboard import DashboardConfig
from polybot.config_doctor import DoctorConfig
from polybot.config_faults import FaultConfig
from polybot.config_loop import LoopConfig
from polybot.config_paper import PaperConfig
from polybot.config_record import RecordConfig
from polybot.config_replay import ReplayConfig
from polybot.config_report import ReportConfig
from polybot.config_research import ResearchConfig
from polybot.config_schema import (
    build,
    did_you_mean,
    env_name,
    matching,
    ranged,
    replace_keys,
    secret_file,
    to_mapping,
)
from polybot.config_service import ServiceConfig
from polybot.config_sim import WorldConfig
from polybot.config_strategy import BUILTIN_PARAMS, DEFAULT_STRATEGIES
from polybot.config_sweep import SweepConfig
from polybot.config_telegram import TelegramConfig
from polybot.config_vol import VolConfig
from polybot.config_wallet import WalletConfig
from polybot.errors import ConfigError

__all__ = [
    "LIVE_PHRASE",
    "AssetConfig",
    "BacktestSettings",
    "BasisConfig",
    "Config",
    "CrossTimeframeParams",
    "DashboardConfig",
    "DoctorConfig",
    "EngineConfig",
    "FeedsConfig",
    "GatewayConfig",
    "IntervalConfig",
    "JournalConfig",
    "LoopConfig",
    "ModeConfig",
    "ModelConfig",
    "PaperConfig",
    "ReplayConfig",
    "ReportConfig",
    "ResearchConfig",
    "RiskConfig",
    "RunConfig",
    "ServiceConfig",
    "StrategyConfig",
    "StrategyLimits",
    "TelemetryConfig",
    "VenueConfig",
    "VolConfig",
    "WalletConfig",
    "config_from_mapping",
    "config_to_mapping",
    "default_config",
    "observed_intervals",
]

_DURATIONS_S = {"5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400}
_WS_KEYS = ("rtds_url", "polybolt_url")
# What venue.confirm_live must say before an order may be real.
LIVE_PHRASE = "real-money"

# Checked and made like a user's own strategy, because that is what it shows.
_EXAMPLE = "polybot.strategies.example.Example"
# The strategy that needs other intervals' windows.
_CROSS_TIMEFRAME = "polybot.strategies.CrossTimeframe"

ParamValue = bool | int | float | str

# The six strategies of the risk table; a user's own strategy brings its own row.
_LIMITS_STANDARD = {
    "latency_arb": (0.02, 0.08, 200, 50),
    "certainty_capture": (0.05, 0.10, 1_000, 15),
    "convexity_fade": (0.005, 0.03, 2_000, 20),
    "strike_misalign": (0.02, 0.04, 500, 5),
    "lp_extreme": (0.02, 0.05, 2_000, 10),
    "cross_timeframe": (0.005, 0.02, 2_000, 10),
}


def _confirmation(default: str) -> Any:
    """Make the field that must hold the phrase for real orders."""
    allowed = f"{LIVE_PHRASE}, or empty"
    return matching(default, f"|{LIVE_PHRASE}", allowed, only="polymarket")


def _address(default: str) -> Any:
    return matching(default, r"0x[0-9a-fA-F]{40}", "0x and 40 hex digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalConfig:
    """One length of window and how the venue names and settles it."""

    name: Literal["5m", "15m", "1h", "4h"] = "5m"
    duration_s: int = ranged(300, 60, 86_400)
    rule_expected: Literal["twap", "point", "candle"] = "twap"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetConfig:
    """One asset: its names on the spot exchange, the oracle and the venue."""

    name: str = "btc"
    long_name: str = "bitcoin"  # in 1h slugs
    spot_symbol: str = "BTCUSDT"
    oracle_symbol: str = "btc/usd"  # RTDS
    polybolt_symbol: str = "btcusd"
    series_slugs: Mapping[str, str] = field(
        default_factory=lambda: {
            "5m": "btc-up-or-down-5m",
            "15m": "btc-up-or-down-15m",
            "1h": "btc-up-or-down-hourly",
            "4h": "btc-up-or-down-4h",
        }
    )
    sim_start_price_usd: float = ranged(78_800.0, 1e-6, 1e9)
    sim_vol_annual: float = ranged(0.45, 0.01, 10.0)  # sd of a year's log return


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueConfig:
    """Where orders go and market data comes from; for `sim` also how the embedded venue behaves.

    URLs are empty for `sim`: its ports are known only when it runs, and the daemon fills them in.
    """

    name: Literal["sim", "polymarket"] = "sim"
    chain_id: int = ranged(137, 1, 10**9)
    clob_version: int = ranged(2, 1, 9)  # what GET /version must say
    domain_name: str = "Polymarket CTF Exchange"
    domain_version: str = "2"
    exchange_address: str = _address("0xE111180000d2663C0091e4f400237545B87B996B")
    neg_risk_exchange_address: str = _address("0xe2222d279d744050d28e00520010520000310F59")
    taker_delay_ms: int = ranged(150, 0, 10_000)  # when the market says "delayed" but not by how much
    request_timeout_s: float = ranged(5.0, 0.1, 60.0)  # wall seconds, connect to last byte
    clob_url: str = ""
    gamma_url: str = ""
    market_ws_url: str = ""
    user_ws_url: str = ""
    rtds_url: str = ""
    polybolt_url: str = ""
    geoblock_url: str = ""
    spot_ws_urls: tuple[str, ...] = ()
    spot_rest_urls: tuple[str, ...] = ()
    private_key_env: str = env_name("")  # name of the variable; "" and no file = the venue's own test account
    private_key_file: str = secret_file()  # 0600: the key, or an encrypted keystore
    keystore_password_env: str = env_name("")
    funder_env: str = env_name("")
    sig_type_env: str = env_name("")
    api_key_env: str = env_name("")  # the three of the API key; none given: derived by the private key
    api_secret_env: str = env_name("")
    api_passphrase_env: str = env_name("")
    confirm_live: str = _confirmation("")
    speed: float = ranged(1.0, 1.0, 1_000.0, only="sim")  # venue seconds per wall second
    seed: int = ranged(1, 0, 2**53, only="sim")
    makers: Literal["instant", "lagged", "slow"] = field(default="lagged", metadata={"only": "sim"})
    tape: str = field(default="", metadata={"only": "sim"})  # recorded spot frames; "" = generated path
    book_tape: str = field(default="", metadata={"only": "sim"})  # recorded CLOB frames; "" = makers
    attach: str = field(default="", metadata={"only": "sim"})  # join a venue already running
    balance_usd: float = ranged(1_000.0, 0.0, 1e9, only="sim")
    lead_s: float = ranged(40.0, 1.0, 3_600.0, only="sim")  # a fresh venue starts so long before a window
    faults: Literal["none", "light", "storm"] = field(default="none", metadata={"only": "sim"})
    fault_seed: int = ranged(1, 0, 2**53, only="sim")  # same seed, same faults
    fault: FaultConfig = field(default_factory=FaultConfig, metadata={"only": "sim"})
    world: WorldConfig = field(default_factory=WorldConfig, metadata={"only": "sim"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeConfig:
    """live: orders go to the venue's gateway.  paper: fills are simulated."""

    name: Literal["paper", "live"] = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyLimits:
    """One row of the risk table; fractions of bankroll."""

    per_trade_frac: float = ranged(0.005, 0.0, 1.0)
    total_frac: float = ranged(0.02, 0.0, 1.0)
    cooldown_ms: int = ranged(2_000, 0, 86_400_000)
    max_orders_per_market: int = ranged(10, 0, 100_000)


def _standard_limits() -> dict[str, StrategyLimits]:
    return {
        name: StrategyLimits(
            per_trade_frac=trade, total_frac=total, cooldown_ms=cooldown, max_orders_per_market=orders
        )
        for name, (trade, total, cooldown, orders) in _LIMITS_STANDARD.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskConfig:
    """Portfolio gates and one row of limits per strategy.

    The loss halts may be written with either sign; here they are positive fractions of bankroll.
    A limit of 0 shares for delta or gamma means "not limited".
    """

    name: Literal["conservative", "standard", "aggressive"] = "standard"
    bankroll_usd: float = ranged(1_000.0, 1.0, 1e7, env="BANKROLL")
    max_exposure_frac: float = ranged(0.15, 0.0, 1.0, env="MAX_EXPOSURE_FRAC")
    daily_loss_halt_frac: float = ranged(0.03, 0.001, 1.0, env="DAILY_LOSS_HALT", either_sign=True)
    weekly_loss_halt_frac: float = ranged(0.08, 0.001, 1.0, env="WEEKLY_LOSS_HALT", either_sign=True)
    spot_max_age_s: float = ranged(1.0, 0.05, 60.0)  # for taker orders
    stale_feed_s: float = ranged(5.0, 0.1, 600.0)
    oracle_max_age_s: float = ranged(5.0, 0.5, 600.0)
    max_clock_skew_s: float = ranged(1.0, 0.05, 60.0)  # wall; the last spot trade's own stamp against our clock
    price_collar_ticks: int = ranged(1_000, 1, 10_000)  # limit at most so much worse than mid, and than fair
    orders_per_s: float = ranged(10.0, 0.1, 40.0)
    max_delta_shares: float = ranged(0.0, 0.0, 1e9)
    max_short_gamma_shares: float = ranged(0.0, 0.0, 1e9)
    size_cap_scale: float = ranged(1.0, 0.1, 2.0)  # multiplies the strategies' own size caps
    strategies: Mapping[str, StrategyLimits] = field(default_factory=_standard_limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyConfig:
    """One strategy: the class to make (`_target_` in yaml), whether it trades, its parameters."""

    target: str
    enabled: bool = True
    params: Mapping[str, ParamValue] = field(default_factory=dict)


def _standard_strategies() -> dict[str, StrategyConfig]:
    return {
        name: StrategyConfig(target=target, enabled=enabled, params=to_mapping(BUILTIN_PARAMS[target]()))
        for name, (target, enabled) in DEFAULT_STRATEGIES.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BasisConfig:
    """Oracle minus spot: rolling median of simultaneous prices."""

    window_s: float = ranged(90.0, 10.0, 3_600.0)
    min_pairs: int = ranged(5, 1, 1_000)
    lag_s: float = ranged(0.0, -10.0, 10.0)  # oracle price at t is compared with spot at t - lag
    tau_shift_s: float = ranged(0.0, -10.0, 10.0)  # added to seconds to expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Pricing: estimators, costs of uncertainty, sizing."""

    vol: VolConfig = field(default_factory=VolConfig)
    basis: BasisConfig = field(default_factory=BasisConfig)
    oracle_lag_s: float = ranged(3.0, 0.0, 30.0)  # the average ends so long before its stamp
    strike_sd_bps: float = ranged(0.0, 0.0, 100.0)
    max_missing_s: int = ranged(10, 0, 300)  # oracle seconds unseen inside the averaging window
    edge_se_multiple: float = ranged(1.0, 0.0, 10.0)
    market_shrink_frac: float = ranged(0.0, 0.0, 1.0)  # weight of the market's mid in fair
    kelly_frac: float = ranged(0.5, 0.0, 1.0)
    kelly_cap_frac: float = ranged(0.15, 0.0, 1.0)
    vwap_window_s: float = ranged(60.0, 1.0, 3_600.0)
    regime_window_s: float = ranged(30.0, 1.0, 3_600.0)
    regime_min_ticks: int = ranged(10, 1, 10_000)
    regime_trend_frac: float = ranged(0.75, 0.5, 1.0)
    regime_range_frac: float = ranged(0.60, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The market cycle and the engine's heartbeat."""

    timer_ms: int = ranged(100, 10, 1_000)
    end_guard_s: float = ranged(5.0, 0.0, 60.0)  # no entry so close to the end
    fresh_samples_per_market: int = ranged(0, 0, 10_000)
    house_confidence_min: float = ranged(0.0, 0.0, 1.0)
    diagnostics_s: float = ranged(10.0, 1.0, 3_600.0)
    join_early_s: float = ranged(30.0, 1.0, 300.0)
    discover_ahead: int = ranged(3, 1, 12)  # windows
    discover_retry_min_s: float = ranged(1.0, 0.05, 60.0)
    discover_retry_max_s: float = ranged(15.0, 0.1, 300.0)
    strike_wait_s: float = ranged(30.0, 1.0, 300.0)  # after the start; then the market is not traded
    outcome_poll_s: float = ranged(5.0, 0.5, 300.0)
    outcome_wait_s: float = ranged(1_800.0, 30.0, 86_400.0)
    stop_wait_s: float = ranged(5.0, 0.5, 60.0)  # wall seconds for orders to end at shutdown
    observe_intervals: tuple[Literal["5m", "15m", "1h", "4h"], ...] = ()  # followed, never traded
    observe_ahead_s: float = ranged(300.0, 60.0, 3_600.0)  # such a window is looked up before its start
    observe_report_s: float = ranged(60.0, 1.0, 86_400.0)
    observe_rules: Mapping[str, Literal["twap", "point", "candle"]] = field(
        default_factory=lambda: {"5m": "twap", "15m": "twap", "1h": "candle", "4h": "twap"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedsConfig:
    """Websocket feeds: liveness, backoff, rollover.  Seconds are venue time unless said otherwise."""

    backoff_min_s: float = ranged(0.25, 0.01, 60.0)
    backoff_max_s: float = ranged(10.0, 0.1, 300.0)
    connect_timeout_s: float = ranged(10.0, 0.1, 60.0)  # wall seconds
    max_frame_bytes: int = ranged(10_485_760, 65_536, 67_108_864)
    spot_rollover_h: float = ranged(23.0, 0.01, 24.0)
    spot_silence_s: float = ranged(5.0, 0.5, 600.0)  # no data for so long: new socket
    market_ping_s: float = ranged(10.0, 1.0, 60.0)
    market_silence_s: float = ranged(15.0, 1.0, 600.0)
    market_witness_s: float = ranged(3.0, 0.5, 600.0)  # quiet book: compare with REST /book
    user_ping_s: float = ranged(10.0, 1.0, 60.0)
    oracle_ping_s: float = ranged(5.0, 1.0, 60.0)
    oracle_silence_s: float = ranged(10.0, 1.0, 600.0)
    pong_timeout_s: float = ranged(30.0, 1.0, 300.0)
    warm_trades: int = ranged(1_000, 0, 1_000)  # REST aggTrades read at start; 0 = no warm start at all
    warm_h: float = ranged(4.0, 0.0, 16.0)  # of one-minute candles before those


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """REST towards the venue: limits, resolving unknown orders, heartbeat."""

    connections: int = ranged(8, 1, 64)
    keepalive_s: float = ranged(60.0, 1.0, 600.0)  # wall seconds an idle connection stays warm
    place_per_s: float = ranged(20.0, 0.1, 200.0)
    place_burst: int = ranged(30, 1, 300)
    cancel_per_s: float = ranged(40.0, 0.1, 400.0)
    cancel_burst: int = ranged(60, 1, 600)
    read_per_s: float = ranged(10.0, 0.1, 100.0)  # private GETs: throttled from about 10/s while trading
    read_burst: int = ranged(20, 1, 300)
    post_only: bool = True  # GTC and GTD orders never take
    heartbeat_s: float = ranged(5.0, 1.0, 9.0)
    reconcile_s: float = ranged(30.0, 1.0, 600.0)
    resolve_min_s: float = ranged(0.25, 0.01, 10.0)  # backoff while an order is unknown
    resolve_max_s: float = ranged(5.0, 0.1, 60.0)
    max_pages: int = ranged(100, 1, 10_000)
    geoblock_s: float = ranged(600.0, 10.0, 86_400.0)
    skew_stop_ms: int = ranged(1_000, 1, 60_000)
    decision_max_ms: int = ranged(500, 1, 60_000)  # wall, from an order's cause to its first byte
    strangers: Literal["cancel", "halt"] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """What is written, where, and what the operator sees."""

    out_dir: str = "logs"
    console: Literal["auto", "live", "plain", "off"] = "auto"
    console_refresh_ms: int = ranged(500, 50, 60_000)  # wall
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False
    log_rotate_mb: int = ranged(64, 1, 10_240)
    flush_ms: int = ranged(50, 10, 60_000)  # wall
    queue_records: int = ranged(65_536, 1_024, 16_777_216)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """The money journal and the SQLite ledger that follows it."""

    sync_ms: int = ranged(50, 5, 1_000)  # wall; a record is on disk so soon after it was written
    preallocate_mb: int = ranged(64, 4, 1_024)
    reserve_mb: int = ranged(1, 1, 64)  # kept for orders already sent when the disk is full
    ledger_ms: int = ranged(250, 10, 60_000)  # wall; between two looks of the ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """This run."""

    markets: int = ranged(0, 0, 1_000_000)  # windows to trade; 0 = endless
    state_dir: str = "state"  # the money journal of every account
    resume: bool = False  # lift the manual halt an earlier run left
    accept_damage: bool = False  # start although the journal is damaged, with what is sound in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration; only the composition root sees it."""

    interval: IntervalConfig = field(default_factory=IntervalConfig)
    asset: AssetConfig = field(default_factory=AssetConfig)
    venue: VenueConfig = field(default_factory=VenueConfig)
    mode: ModeConfig = field(default_factory=ModeConfig)
    risk: RiskConfig = field(default_factory=RiskConfig)
    strategy: Mapping[str, StrategyConfig] = field(default_factory=_standard_strategies)
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    feeds: FeedsConfig = field(default_factory=FeedsConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)
    record: RecordConfig = field(default_factory=RecordConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    research: ResearchConfig = field(default_factory=ResearchConfig)
    run: RunConfig = field(default_factory=RunConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
    wallet: WalletConfig = field(default_factory=WalletConfig)
    campaign: CampaignConfig = field(default_factory=CampaignConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    dashboard: DashboardConfig = field(default_factory=DashboardConfig)
    doctor: DoctorConfig = field(default_factory=DoctorConfig)
    paper: PaperConfig = field(default_factory=PaperConfig)
    backtest: BacktestSettings = field(default_factory=BacktestSettings)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    telegram: TelegramConfig = field(default_factory=TelegramConfig)
    analyze: AnalyzeConfig = field(default_factory=AnalyzeConfig)


def default_config(**overrides: Any) -> Config:
    """Build the default configuration, with checked overrides by dotted key or by section object.

    default_config(**{"venue.speed": 30.0, "run.markets": 2}, mode=ModeConfig(name="paper")).
    Raises ConfigError as the command line would.
    """
    return config_from_mapping(replace_keys(config_to_mapping(Config()), overrides))


def config_from_mapping(mapping: Mapping[str, Any]) -> Config:
    """Check a composed configuration (nested plain values) and build it; raises ConfigError."""
    strategies = _build_strategies(mapping.get("strategy"))
    config = build(Config, mapping, given={"strategy": strategies})
    _check_together(config)
    return _with_observed_listed(config)


def config_to_mapping(config: Config) -> dict[str, Any]:
    """Inverse of `config_from_mapping`: plain nested values, fit for JSON and for the journal."""
    mapping: dict[str, Any] = to_mapping(config)
    mapping["strategy"] = {
        name: {"_target_": item.target, "enabled": item.enabled, **item.params}
        for name, item in config.strategy.items()
    }
    return mapping


def observed_intervals(config: Config) -> tuple[str, ...]:
    """Intervals whose windows are followed and not traded: those named, else what cross_timeframe needs while it is on.

    Raises ConfigError for an interval that cannot be observed.
    """
    on = any(item.enabled and item.target == _CROSS_TIMEFRAME for item in config.strategy.values())
    return choose_observed(
        config.engine.observe_intervals,
        own=config.interval.name,
        offered=tuple(config.asset.series_slugs),
        durations_s=_DURATIONS_S,
        wanted=on,
    )


def _with_observed_listed(config: Config) -> Config:
    """Let the embedded venue list what is to be observed; other venues list what they list."""
    observed = observed_intervals(config)
    venue = config.venue
    missing = [name for name in observed if name not in venue.world.lifecycle.intervals]
    if venue.name != "sim" or not missing:
        return config
    lifecycle = replace(
        venue.world.lifecycle, intervals=(*venue.world.lifecycle.intervals, *missing)
    )
    return replace(config, venue=replace(venue, world=replace(venue.world, lifecycle=lifecycle)))


def _build_strategies(mapping: Any) -> dict[str, StrategyConfig]:
    if not isinstance(mapping, Mapping):
        raise ConfigError("setting strategy is missing: at least one strategy is needed")
    return {str(name): _build_strategy(f"strategy.{name}", item) for name, item in mapping.items()}


def _build_strategy(path: str, mapping: Any) -> StrategyConfig:
    """Check one strategy; a built-in's parameters strictly, a user's only as finite scalars."""
    if not isinstance(mapping, Mapping) or "_target_" not in mapping:
        raise ConfigError(f"{path} needs a _target_ (the strategy's class)")
    common = {"target": mapping["_target_"], "enabled": mapping.get("enabled", True), "params": {}}
    shell = build(StrategyConfig, common, path=path)
    params = {key: value for key, value in mapping.items() if key not in ("_target_", "enabled")}
    schema = BUILTIN_PARAMS.get(shell.target)
    if schema is not None:
        params = to_mapping(build(schema, params, path=path))
        return replace(shell, params=params)
    if shell.target.startswith("polybot.") and shell.target != _EXAMPLE:
        near = did_you_mean(shell.target, BUILTIN_PARAMS)
        raise ConfigError(f"{path}._target_={shell.target} is no built-in strategy{near}")
    return build(StrategyConfig, {**common, "params": params}, path=path)


def _check_together(config: Config) -> None:
    """Check what one field alone cannot show; raises ConfigError."""
    _check_interval(config)
    _check_venue(config.venue)
    _check_limits(config)
    for name in _DURATIONS_S:
        if name not in config.engine.observe_rules:
            raise ConfigError(f"setting engine.observe_rules.{name} is missing")
    for name, low, high in (
        ("feeds.backoff", config.feeds.backoff_min_s, config.feeds.backoff_max_s),
        ("gateway.resolve", config.gateway.resolve_min_s, config.gateway.resolve_max_s),
        ("engine.discover_retry", config.engine.discover_retry_min_s, config.engine.discover_retry_max_s),
    ):
        if low > high:
            raise ConfigError(f"{name}_min_s={low:g} is not allowed: must be <= {name}_max_s={high:g}")
    model = config.model
    if model.regime_range_frac > model.regime_trend_frac:
        raise ConfigError(
            f"model.regime_range_frac={model.regime_range_frac:g} is not allowed: "
            f"must be <= model.regime_trend_frac={model.regime_trend_frac:g}"
        )


def _check_interval(config: Config) -> None:
    interval, asset = config.interval, config.asset
    if interval.duration_s != _DURATIONS_S[interval.name]:
        raise ConfigError(
            f"interval.duration_s={interval.duration_s} is not allowed: "
            f"interval={interval.name} lasts {_DURATIONS_S[interval.name]} s"
        )
    if interval.name not in asset.series_slugs:
        offered = ", ".join(asset.series_slugs)
        raise ConfigError(f"asset={asset.name} has no interval={interval.name}: offered are {offered}")


def _check_venue(venue: VenueConfig) -> None:
    if venue.name != "polymarket":
        return
    urls = {
        "clob_url": venue.clob_url,
        "gamma_url": venue.gamma_url,
        "market_ws_url": venue.market_ws_url,
        "user_ws_url": venue.user_ws_url,
        "rtds_url": venue.rtds_url,
        "polybolt_url": venue.polybolt_url,
        "geoblock_url": venue.geoblock_url,
        **{f"spot_ws_urls[{i}]": url for i, url in enumerate(venue.spot_ws_urls)},
        **{f"spot_rest_urls[{i}]": url for i, url in enumerate(venue.spot_rest_urls)},
    }
    for name, url in urls.items():
        if not url.startswith("wss://" if "_ws_" in name or name in _WS_KEYS else "https://"):
            raise ConfigError(f"venue.{name}={url} is not allowed: must be an https:// or wss:// address")
    if not venue.spot_ws_urls or not venue.spot_rest_urls:
        raise ConfigError("venue.spot_ws_urls and venue.spot_rest_urls must each name an address")


def _check_limits(config: Config) -> None:
    """Check the risk table against the strategies: every one that trades has exactly one row."""
    rows = config.risk.strategies
    known = {*_LIMITS_STANDARD, *config.strategy}
    for name, row in rows.items():
        if name not in known:
            raise ConfigError(f"unknown setting risk.strategies.{name}{did_you_mean(name, known)}")
        if row.per_trade_frac > row.total_frac:
            raise ConfigError(
                f"risk.strategies.{name}.per_trade_frac={row.per_trade_frac:g} is not allowed: "
                f"must be <= total_frac={row.total_frac:g}"
            )
    for name, item in config.strategy.items():
        if item.enabled and name not in rows:
            raise ConfigError(f"strategy.{name} has no limits: add risk.strategies.{name}")
