"""From configuration to engine: the one place where settings become estimators, strategies and limits.

Live, paper, backtest, replay and the virtual-time harness all call `build_engine`, so there is one list of
strategies and one set of limits.  Must not connect to anything or read time.
"""

import importlib
import os
from collections.abc import Callable, Mapping

from polybot._fast.basis import OracleBasis
from polybot._fast.engine import Engine
from polybot._fast.regime import RegimeClassifier
from polybot._fast.risk import HARD_OPEN_USD, HARD_ORDER_USD, Risk
from polybot._fast.state import SpotState
from polybot._fast.strategy import Strategy
from polybot._fast.vwap import RollingVwap
from polybot.config import Config, ModelConfig, ParamValue, RiskConfig, StrategyConfig
from polybot.errors import ConfigError
from polybot.volatility import build_vol

__all__ = ["HARD_MAX_ENV", "build_engine", "build_strategies", "hard_ceilings"]

MICRO = 1_000_000
NS = 1_000_000_000
# The only way to raise the hard ceilings: USD open at most, read once at process start.
HARD_MAX_ENV = "POLYBOT_HARD_MAX_USD"


def build_engine(config: Config, *, environ: Mapping[str, str] = os.environ) -> Engine:
    """Build the engine of one configuration; raises ConfigError for a strategy that cannot be made.

    `environ` may raise the hard ceilings; a replay gives what was in it then.
    """
    strategies = build_strategies(config.strategy, config.model, config.risk)
    risk = _build_risk(config.risk, config.venue.speed, environ)
    for index, strategy in enumerate(strategies):
        row = config.risk.strategies[strategy.name]
        risk.set_limits(
            index,
            per_trade_frac=row.per_trade_frac,
            total_frac=row.total_frac,
            cooldown_ns=row.cooldown_ms * MICRO,
            max_orders=row.max_orders_per_market,
        )
    return Engine(
        spot=_build_spot(config.model),
        risk=risk,
        strategies=strategies,
        end_guard_s=config.engine.end_guard_s,
        house_confidence_min=config.engine.house_confidence_min,
        diagnostics_s=config.engine.diagnostics_s,
        oracle_lag_s=config.model.oracle_lag_s,
        tau_shift_s=config.model.basis.tau_shift_s,
        max_missing_s=config.model.max_missing_s,
        fresh_samples=config.engine.fresh_samples_per_market,
        market_shrink=config.model.market_shrink_frac,
    )


def build_strategies(
    configs: Mapping[str, StrategyConfig], model: ModelConfig, risk: RiskConfig
) -> list[Strategy]:
    """Make every configured strategy, enabled or not, in the order of their names."""
    made = []
    for name in sorted(configs):
        item = configs[name]
        params = {key: _scaled(key, value, risk.size_cap_scale) for key, value in item.params.items()}
        cls = _load(name, item.target)
        try:
            strategy = cls(**params, enabled=item.enabled, edge_se_multiple=model.edge_se_multiple)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"strategy.{name} ({item.target}) cannot be made: {error}") from error
        if strategy.name != name:
            raise ConfigError(f"strategy.{name} makes a strategy called {strategy.name}: names must agree")
        strategy.set_sizing(
            kelly_frac=model.kelly_frac, kelly_cap_frac=model.kelly_cap_frac * risk.size_cap_scale
        )
        made.append(strategy)
    return made


def _scaled(key: str, value: ParamValue, scale: float) -> ParamValue:
    """Size caps (`size_cap*_frac`) follow the risk table's scale, everything else is as written."""
    if isinstance(value, float) and key.startswith("size_cap") and key.endswith("_frac"):
        return value * scale
    return value


def hard_ceilings(environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(per order, open in all) in micro-USD; POLYBOT_HARD_MAX_USD raises both in proportion.

    Raises ConfigError when the variable is not a number of USD above 0.
    """
    text = environ.get(HARD_MAX_ENV, "")
    if not text:
        return HARD_ORDER_USD, HARD_OPEN_USD
    try:
        open_usd = int(text) * MICRO
    except ValueError:
        open_usd = 0
    if open_usd <= 0:
        raise ConfigError(f"{HARD_MAX_ENV}={text[:20]} is not allowed: must be a whole number of USD above 0")
    return open_usd // (HARD_OPEN_USD // HARD_ORDER_USD), open_usd


def _load(name: str, target: str) -> Callable[..., Strategy]:
    module_name, _, class_name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"strategy.{name}._target_={target} cannot be loaded: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise ConfigError(f"strategy.{name}._target_={target} is not a Strategy")
    return cls


def _build_risk(risk: RiskConfig, speed: float, environ: Mapping[str, str]) -> Risk:
    """Limits of the account; a clock is off by wall seconds, `speed` of them are one venue second."""
    order_usd, open_usd = hard_ceilings(environ)
    return Risk(
        bankroll_usd=round(risk.bankroll_usd * MICRO),
        max_exposure_frac=risk.max_exposure_frac,
        daily_loss_halt_frac=risk.daily_loss_halt_frac,
        weekly_loss_halt_frac=risk.weekly_loss_halt_frac,
        spot_max_age_ns=round(risk.spot_max_age_s * NS),
        stale_feed_ns=round(risk.stale_feed_s * NS),
        oracle_max_age_ns=round(risk.oracle_max_age_s * NS),
        max_clock_skew_ns=round(risk.max_clock_skew_s * speed * NS),
        collar_ticks=risk.price_collar_ticks,
        orders_per_s=risk.orders_per_s,
        max_delta=risk.max_delta_shares,
        max_short_gamma=risk.max_short_gamma_shares,
        hard_order_usd=order_usd,
        hard_open_usd=open_usd,
    )


def _build_spot(model: ModelConfig) -> SpotState:
    return SpotState(
        build_vol(model.vol),
        RollingVwap(window_s=model.vwap_window_s),
        RegimeClassifier(
            window_s=model.regime_window_s,
            min_ticks=model.regime_min_ticks,
            trend=model.regime_trend_frac,
            range_=model.regime_range_frac,
        ),
        OracleBasis(
            window_s=model.basis.window_s, lag_s=model.basis.lag_s, min_pairs=model.basis.min_pairs
        ),
    )
