"""What is known of one market after so many events, as plain values.

Owns the reading of an engine for the stepper: everything is the engine's own (gate records, block reason, orders,
counters); nothing is reckoned again and no threshold stands here.  Must not feed, seek or draw.
Called by step_model; step_text draws it, step_row writes it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polybot._fast.engine import Engine
from polybot._fast.order import Order
from polybot._fast.pricing import PriceStatus
from polybot._fast.risk import Denial
from polybot._fast.state import GateCompare, GateResult, MarketState
from polybot._fast.strategy import Strategy
from polybot.market.spec import MarketSpec
from polybot.telemetry.records import (
    REGIMES,
    Record,
    outcome_text,
    strike_source_text,
)

__all__ = [
    "DENIALS",
    "GateView",
    "Levels",
    "OrderView",
    "StepState",
    "StrategyView",
    "read_state",
]

Levels = tuple[tuple[int, int], ...]  # (price_ticks, micro-shares), best first
BOOK_LEVELS = 12
DENIALS = tuple(name for name, _ in sorted(Denial.__members__.items(), key=lambda item: item[1]))
_SIGNS = {int(GateCompare.GATE_AT_LEAST): ">=", int(GateCompare.GATE_AT_MOST): "<=", int(GateCompare.GATE_FLAG): ""}
_RESULTS = {
    int(GateResult.GATE_NOT_REACHED): "-",
    int(GateResult.GATE_BLOCKED): "NO",
    int(GateResult.GATE_PASSED): "ok",
}


@dataclass(frozen=True, slots=True)
class GateView:
    """One gate of a strategy as it was last walked."""

    name: str
    value: float
    threshold: float
    sign: str  # ">=" "<=" or "" (yes or no)
    result: str  # "ok" "NO" or "-" (not reached)


@dataclass(frozen=True, slots=True)
class StrategyView:
    """One strategy in this market."""

    name: str
    enabled: bool
    verdict: str  # fires, blocked by GATE, market blocked, not asked, DISABLED
    blocked_by: str  # name of the gate that blocks, "" when none does
    edge: float  # USD per share, nan: its edge gate was not reached, or the market is blocked
    fair: float  # of Up, as its edges are reckoned; nan: no price
    se: float  # standard error of fair
    se_multiple: float  # of se that an edge must exceed
    gates: tuple[GateView, ...]
    signals: int
    sent: int
    denials: tuple[tuple[str, int], ...]
    up_shares: int  # micro-shares it holds
    down_shares: int
    cost_usd: int  # micro-USD


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order as the engine knows it."""

    seq: int
    strategy: str
    outcome: int
    side: int
    order_type: int
    price_ticks: int
    shares: int  # micro-shares
    matched: int
    status: int
    is_open: bool
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """One market at one step; prices in USD unless `_ticks`, sizes micro-shares, money micro-USD, times venue ns."""

    step: int
    steps: int
    events: int
    now_ns: int
    message: str
    spec: MarketSpec
    is_open: bool  # the engine knows the market at this step
    tau_s: float
    phase: str  # before, open, closed, settled, gone
    block_reason: str  # Denial that keeps all strategies from being asked, "" when none does, or NOT_ASKED_YET ...
    spot: float
    spot_bid: float
    spot_ask: float
    oracle: float
    twap: float
    basis: float
    spot_age_s: float
    oracle_age_s: float
    book_age_s: float
    regime: str
    strike: float
    strike_source: str
    distance: float
    sigma: float
    z: float
    fair: float
    se: float
    price_status: str
    bids: tuple[Levels, Levels]  # of Up and of Down
    asks: tuple[Levels, Levels]
    strategies: tuple[StrategyView, ...]
    orders: tuple[OrderView, ...]  # newest first
    house: str
    up_shares: int
    down_shares: int
    cost_usd: int
    fees_usd: int
    exposure_usd: int  # of the account
    cash_usd: int  # -1: not told
    halted: str
    outcome: str
    pnl_usd: int  # of this market, as settled
    signals: tuple[Record, ...]  # up to this step, newest first
    fills: tuple[Record, ...]
    settlements: tuple[Record, ...]
    signals_count: int
    fills_count: int


def read_state(
    engine: Engine,
    market: MarketState | None,
    *,
    spec: MarketSpec,
    place: Mapping[str, Any],
    noted: Mapping[str, Any],
) -> StepState:
    """Read one market; `place` and `noted` are what the model knows (step, message, commands so far).

    market None: the engine does not know it at this step.
    """
    now_ns = int(place["now_ns"])
    spot, risk = engine.spot, engine.risk
    blocked = market is None or market.block_reason != Denial.DISPATCHED
    priced = market is not None and not blocked and market.priced
    own: dict[str, Any] = {
        "phase": _phase(market, spec, now_ns),
        "block_reason": _block_text(market),
        "book_age_s": math.nan if market is None or not market.book_ns else (now_ns - market.book_ns) / 1e9,
        "strike": math.nan if market is None else market.strike,
        "strike_source": _strike_source(market),
        "distance": math.nan if market is None else _spot(market, engine) - market.strike,
        "z": market.z if market is not None and priced else math.nan,
        "fair": market.fair_up if market is not None and priced else math.nan,
        "se": market.se_fair if market is not None and priced else math.nan,
        "price_status": "" if market is None else PriceStatus(market.price_status).name,
        "bids": _levels(market, 0),
        "asks": _levels(market, 1),
        "house": "" if market is None else outcome_text(market.house),
        "up_shares": 0 if market is None else market.shares[0],
        "down_shares": 0 if market is None else market.shares[1],
        "cost_usd": 0 if market is None else sum(market.cost_usd),
        "fees_usd": 0 if market is None else market.fees_usd,
        "outcome": "" if market is None else outcome_text(market.outcome),
        "spot": math.nan if market is None else _spot(market, engine),
    }
    return StepState(
        spec=spec,
        is_open=market is not None,
        tau_s=(spec.end_ns - now_ns) / 1e9,
        spot_bid=spot.bid or math.nan,
        spot_ask=spot.ask or math.nan,
        oracle=spot.oracle_last,
        twap=spot.twap_last,
        basis=spot.basis.beta,
        spot_age_s=_age_s(now_ns, spot.data_ns),
        oracle_age_s=_age_s(now_ns, spot.oracle_ns),
        regime=REGIMES[spot.regime.regime] if 0 <= spot.regime.regime < len(REGIMES) else "unknown",
        sigma=spot.sigma,
        strategies=_strategies(engine, market, priced),
        orders=_orders(engine, market, now_ns),
        exposure_usd=risk.exposure(),
        cash_usd=risk.cash_usd,
        halted=_halted(engine),
        **own,
        **place,
        **noted,
    )


def _spot(market: MarketState, engine: Engine) -> float:
    """S in the oracle's units, as the diagnostics show it: a candle resolves on the exchange's own price."""
    return engine.spot.last + (0.0 if market.spec.rule == "candle" else engine.spot.basis.beta)


def _strike_source(market: MarketState | None) -> str:
    return "" if market is None or math.isnan(market.strike) else strike_source_text(market.strike_source)


def _age_s(now_ns: int, at_ns: int) -> float:
    return (now_ns - at_ns) / 1e9 if at_ns else math.nan


def _phase(market: MarketState | None, spec: MarketSpec, now_ns: int) -> str:
    if market is None:
        return "before" if now_ns < spec.start_ns else "gone"
    if market.settled:
        return "settled"
    if market.closed:
        return "closed"
    return "open" if now_ns >= spec.start_ns else "before"


def _block_text(market: MarketState | None) -> str:
    if market is None:
        return "NOT_IN_ENGINE"
    if market.block_reason == Denial.DISPATCHED and not market.priced:
        return "NOT_ASKED_YET"
    return "" if market.block_reason == Denial.DISPATCHED else _denial(market.block_reason)


def _denial(code: int) -> str:
    return DENIALS[code] if 0 <= code < len(DENIALS) else f"DENIED_{code}"


def _halted(engine: Engine) -> str:
    risk = engine.risk
    flags = {
        "manual": risk.halted_manual,
        "daily": risk.halted_daily,
        "weekly": risk.halted_weekly,
        "venue down": risk.venue_down,
    }
    return ", ".join(name for name, is_set in flags.items() if is_set)


def _levels(market: MarketState | None, side: int) -> tuple[Levels, Levels]:
    """Best levels of Up and of Down on one side of the book (0 bids, 1 asks)."""
    if market is None:
        return (), ()
    return tuple(market.book.levels(0, side, BOOK_LEVELS)), tuple(market.book.levels(1, side, BOOK_LEVELS))


def _strategies(engine: Engine, market: MarketState | None, priced: bool) -> tuple[StrategyView, ...]:
    stats: Mapping[str, Any] = {} if market is None else market.stats()
    return tuple(_strategy(strategy, market, stats, priced=priced) for strategy in engine.strategies)


def _strategy(
    strategy: Strategy, market: MarketState | None, stats: Mapping[str, Any], *, priced: bool
) -> StrategyView:
    gates = _gates(strategy, market)
    blocked_by = next((gate.name for gate in gates if gate.result == "NO"), "")
    edge = next((gate.value for gate in gates if gate.name == "edge" and gate.result != "-"), math.nan)
    edge = edge if priced else math.nan  # of the past: what it was reckoned with is not known now
    slot = strategy.index
    held = (0, 0) if market is None else market.strategy_position(slot)
    denied = stats["denials"][slot] if stats else {}
    return StrategyView(
        name=strategy.name,
        enabled=strategy.enabled,
        verdict=_verdict(strategy, gates, blocked_by, is_asked=market is not None and priced),
        blocked_by=blocked_by,
        edge=edge,
        fair=market.fair(0) if market is not None and priced else math.nan,
        se=market.se_fair if market is not None and priced else math.nan,
        se_multiple=strategy.edge_se_multiple,
        gates=gates,
        signals=stats["signals"][slot] if stats else 0,
        sent=stats["dispatched"][slot] if stats else 0,
        denials=tuple(sorted(((_denial(code), count) for code, count in denied.items()), key=lambda item: -item[1])),
        up_shares=held[0],
        down_shares=held[1],
        cost_usd=0 if market is None else market.strat_cost_usd[slot],
    )


def _gates(strategy: Strategy, market: MarketState | None) -> tuple[GateView, ...]:
    if market is None:
        return tuple(GateView(name, math.nan, math.nan, "", "-") for name in strategy.gate_names)
    rows = market.gate_rows(strategy.index)
    return tuple(
        GateView(name, value, threshold, _SIGNS[int(compare)], _RESULTS[int(result)])
        for name, (value, threshold, compare, result) in zip(strategy.gate_names, rows, strict=False)
    )


def _verdict(strategy: Strategy, gates: Sequence[GateView], blocked_by: str, *, is_asked: bool) -> str:
    if not strategy.enabled:
        return "DISABLED"
    if not is_asked:
        return "market blocked"
    if blocked_by:
        return f"blocked by {blocked_by}"
    return "fires" if any(gate.result == "ok" for gate in gates) else "not asked"


def _orders(engine: Engine, market: MarketState | None, now_ns: int) -> tuple[OrderView, ...]:
    if market is None:
        return ()
    own = [order for order in engine.orders.values() if order.market == market.index]
    names = [strategy.name for strategy in engine.strategies]
    return tuple(_order(order, names, now_ns) for order in sorted(own, key=lambda order: -order.seq))


def _order(order: Order, names: Sequence[str], now_ns: int) -> OrderView:
    return OrderView(
        seq=order.seq,
        strategy=names[order.strategy] if order.strategy < len(names) else f"strategy_{order.strategy}",
        outcome=order.outcome,
        side=order.side,
        order_type=order.order_type,
        price_ticks=order.price_ticks,
        shares=order.shares,
        matched=order.matched,
        status=order.status,
        is_open=order.is_open,
        age_s=(now_ns - order.dispatched_ns) / 1e9,
    )
