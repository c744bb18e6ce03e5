"""The `data` of an event for watchers: what a record says, by name, as plain values.

Owns the names and units: money in micro-USD, sizes in micro-shares, prices in ticks of 0.0001, times in ns or venue
seconds (docs/OPERATIONS.md, Watch).  Numbers that are none become null when they are encoded.
Must not format for people or keep state.  Used by TelemetryWriter.
"""

from typing import Any

from polybot.market.spec import MarketSpec
from polybot.telemetry.inbox import StrikeCaptured
from polybot.telemetry.market_log import MarketLog
from polybot.telemetry.records import (
    Record,
    order_status_text,
    order_type_text,
    outcome_text,
    side_text,
    strike_source_text,
    trade_status_text,
)
from polybot.telemetry.totals import MarketSummary

__all__ = [
    "fill_facts",
    "market_facts",
    "open_facts",
    "order_facts",
    "settlement_facts",
    "signal_facts",
    "strike_facts",
]

Facts = dict[str, Any]


def open_facts(spec: MarketSpec, *, is_resumed: bool) -> Facts:
    """A market was joined."""
    return {
        "asset": spec.asset,
        "interval": spec.interval,
        "start_ns": spec.start_ns,
        "end_ns": spec.end_ns,
        "rule": spec.rule,
        "tick_size_ticks": spec.tick_size_ticks,
        "min_shares": spec.min_size_ushares,
        "fee_rate_ppm": spec.fee_rate_ppm if spec.fees_enabled else 0,
        "is_resumed": is_resumed,
    }


def strike_facts(note: StrikeCaptured) -> Facts:
    """The strike, where it came from, the stamp of its price."""
    return {
        "strike": note.strike,
        "source": strike_source_text(note.source),
        "stamp_ns": note.stamp_ns,
        "verified": note.verified,
    }


def signal_facts(record: Record) -> Facts:
    """A signal that became an order; expected_usd is the average price it expects, micro-USD per share."""
    return {
        "order_seq": record.order_seq,
        "outcome": outcome_text(record.outcome),
        "edge": record.edge,
        "fair": record.fair,
        "price_ticks": record.price_ticks,
        "expected_usd": record.usd,
        "confidence": record.confidence,
        "size_frac": record.size_frac,
        "spot": record.spot,
        "distance": record.distance,
        "left_s": record.tau_s,
    }


def order_facts(record: Record, *, order_id: str, status: int, matched_micro: int, reason: str) -> Facts:
    """An order and the state it is in now."""
    return {
        "order_seq": record.order_seq,
        "order_id": order_id,
        **_terms(record),
        "order_type": order_type_text(record.order_type),
        "state": order_status_text(status),
        "matched": matched_micro,
        "reason": reason,
    }


def fill_facts(record: Record, *, is_first: bool) -> Facts:
    """A fill as booked; is_first: the first news of it, later ones tell its way to CONFIRMED or FAILED."""
    return {
        "order_seq": record.order_seq,
        "trade_key": int(record.confidence),
        **_terms(record),
        "role": "maker" if record.size_frac == 1.0 else "taker",
        "cost_usd": record.usd,
        "fee_usd": int(record.edge),
        "state": trade_status_text(record.reason),
        "is_first": is_first,
    }


def settlement_facts(record: Record) -> Facts:
    """What one strategy made of one market."""
    return {
        "outcome": outcome_text(record.outcome),
        "cost_usd": int(record.edge),
        "payout_usd": record.shares,
        "pnl_usd": record.usd,
    }


def market_facts(log: MarketLog, summary: MarketSummary, *, is_correction: bool) -> Facts:
    """A market at its end; money that is not known yet is null."""
    return {
        "outcome": None if log.outcome is None else outcome_text(log.outcome),
        "our_mark": None if log.our_mark is None else outcome_text(log.our_mark),
        "is_correction": is_correction,
        "signals": summary.signals,
        "dispatched": summary.dispatched,
        "orders": summary.orders,
        "fills": summary.fills,
        "cost_usd": summary.cost_micro,
        "fees_usd": summary.fees_micro,
        "payout_usd": summary.payout_micro,
        "pnl_usd": summary.pnl_micro,
        "spot_coverage": log.spot_coverage,
        "book_coverage": log.book_coverage,
        "denied": dict(summary.denials),
        "strategies": {
            name: {
                "signals": part.signals,
                "dispatched": part.dispatched,
                "orders": part.orders,
                "fills": part.fills,
                "pnl_usd": part.pnl_micro,
            }
            for name, part in log.strategies.items()
        },
    }


def _terms(record: Record) -> Facts:
    return {
        "outcome": outcome_text(record.outcome),
        "side": side_text(record.side),
        "price_ticks": record.price_ticks,
        "shares": record.shares,
    }
