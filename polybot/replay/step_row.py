"""A StepState as a row of a CSV file.

Owns the columns, what they mean, and how each value is written: exact where the engine's value is exact, an empty cell
where nothing is known.  Must not read an engine or a file.  Called by step_screen.
"""

import csv
import io
from collections.abc import Mapping

from polybot.replay.step_state import GateView, Levels, StepState, StrategyView
from polybot.telemetry.records import clock_text, number_text, price_text, shares_text

__all__ = ["ROW_COLUMNS", "STRATEGY_COLUMNS", "row_columns", "row_text", "state_row"]

MICRO = 1_000_000
# Columns of a dumped row and what they mean; docs/REPLAY.md repeats them.
ROW_COLUMNS: Mapping[str, str] = {
    "step": "number of the step, from 0",
    "events": "events the engine had taken",
    "now_ns": "receive time, ns since the epoch",
    "utc": "the same as time of day",
    "slug": "the market",
    "tau_s": "seconds to the window's end",
    "phase": "before, open, closed, settled or gone",
    "message": "the message of this step",
    "block_reason": "denial that keeps all strategies from being asked; empty: none; NOT_ASKED_YET, NOT_IN_ENGINE",
    "spot": "S in the oracle's units, USD",
    "spot_bid": "best bid of the exchange, USD",
    "spot_ask": "best ask of the exchange, USD",
    "oracle": "last price of the oracle, USD",
    "twap": "last average of the oracle, USD",
    "basis": "oracle minus exchange, USD",
    "strike": "USD; empty: unknown",
    "strike_source": "where the strike is from",
    "distance": "S - K, USD",
    "sigma": "volatility per sqrt(s)",
    "z": "standardised distance",
    "fair_up": "model probability of Up",
    "fair_se": "its standard error",
    "price_status": "why there is no price, or PRICE_OK",
    "up_bid": "best bid of Up, USD",
    "up_bid_shares": "size at it",
    "up_ask": "best ask of Up, USD",
    "up_ask_shares": "size at it",
    "down_bid": "best bid of Down, USD",
    "down_ask": "best ask of Down, USD",
    "house": "side of the active strategies: Up, Down or empty",
    "up_shares": "shares of Up held",
    "down_shares": "shares of Down held",
    "cost_usd": "cost of what is held, USD",
    "fees_usd": "fees paid in this market, USD",
    "exposure_usd": "at risk in all markets, USD",
    "cash_usd": "cash as last told, USD; empty: not told",
    "halted": "halts that are on",
    "open_orders": "orders of this market that may still fill",
    "signals": "signals so far",
    "fills": "fills so far",
    "outcome": "Up or Down once published",
    "pnl_usd": "settled in this market, USD",
}
# After them, for every strategy NAME:
STRATEGY_COLUMNS: Mapping[str, str] = {
    "NAME_verdict": "fires, blocked by GATE, market blocked, not asked or DISABLED",
    "NAME_edge": "edge at its edge gate, USD per share; empty: not reached",
    "NAME_fair": "probability of Up its edges are reckoned with",
    "NAME_gates": "every gate: name value sign threshold result",
    "NAME_signals": "its signals so far",
    "NAME_sent": "those that became orders",
    "NAME_denials": "denials with their counts",
}


def row_columns(state: StepState) -> list[str]:
    """Column names of a state's row."""
    names = [strategy.name for strategy in state.strategies]
    return [*ROW_COLUMNS, *(column.replace("NAME", name) for name in names for column in STRATEGY_COLUMNS)]


def state_row(state: StepState) -> dict[str, str]:
    """The state as texts by column, exact where it is exact, empty where nothing is known."""
    up_bid, up_ask = _best(state.bids[0]), _best(state.asks[0])
    row = {
        "step": str(state.step),
        "events": str(state.events),
        "now_ns": str(state.now_ns),
        "utc": clock_text(state.now_ns),
        "slug": state.spec.slug,
        "tau_s": f"{state.tau_s:.3f}",
        "phase": state.phase,
        "message": state.message,
        "block_reason": state.block_reason,
        "strike_source": state.strike_source,
        "fair_up": number_text(state.fair),
        "fair_se": number_text(state.se),
        "price_status": state.price_status,
        "up_bid": up_bid[0],
        "up_bid_shares": up_bid[1],
        "up_ask": up_ask[0],
        "up_ask_shares": up_ask[1],
        "down_bid": _best(state.bids[1])[0],
        "down_ask": _best(state.asks[1])[0],
        "house": state.house,
        "up_shares": shares_text(state.up_shares),
        "down_shares": shares_text(state.down_shares),
        "cash_usd": _usd(state.cash_usd) if state.cash_usd >= 0 else "",
        "halted": state.halted,
        "open_orders": str(sum(order.is_open for order in state.orders)),
        "signals": str(state.signals_count),
        "fills": str(state.fills_count),
        "outcome": state.outcome,
    }
    row |= {name: number_text(getattr(state, name)) for name in _NUMBERS}
    row |= {name: _usd(getattr(state, name)) for name in _MONEY}
    row = {name: row[name] for name in ROW_COLUMNS}
    for strategy in state.strategies:
        row |= _strategy_row(strategy)
    return row


_NUMBERS = ("spot", "spot_bid", "spot_ask", "oracle", "twap", "basis", "strike", "distance", "sigma", "z")
_MONEY = ("cost_usd", "fees_usd", "exposure_usd", "pnl_usd")


def _strategy_row(strategy: StrategyView) -> dict[str, str]:
    gates = (_gate_text(gate) for gate in strategy.gates)
    values = (
        strategy.verdict,
        number_text(strategy.edge),
        number_text(strategy.fair),
        "; ".join(gates),
        str(strategy.signals),
        str(strategy.sent),
        "; ".join(f"{name} {count}" for name, count in strategy.denials),
    )
    columns = (column.replace("NAME", strategy.name) for column in STRATEGY_COLUMNS)
    return dict(zip(columns, values, strict=True))


def _gate_text(gate: GateView) -> str:
    if gate.result == "-" or not gate.sign:
        return f"{gate.name} {gate.result}"
    return f"{gate.name} {number_text(gate.value)}{gate.sign}{number_text(gate.threshold)} {gate.result}"


def row_text(state: StepState, *, with_header: bool) -> str:
    """The row as CSV text with its line end, after a header when that is asked for."""
    out = io.StringIO()
    writer = csv.DictWriter(out, row_columns(state), lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerow(state_row(state))
    return out.getvalue()


def _best(levels: Levels) -> tuple[str, str]:
    return (price_text(levels[0][0]), shares_text(levels[0][1])) if levels else ("", "")


def _usd(micro: int) -> str:
    """Micro-USD as exact USD."""
    sign, whole = ("-" if micro < 0 else ""), abs(micro)
    text = f"{sign}{whole // MICRO}.{whole % MICRO:06d}".rstrip("0").rstrip(".")
    return text if text not in ("", "-") else "0"

