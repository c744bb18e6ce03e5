"""One event in words, for the stepper's line of the last message.

Owns the wording alone; field meanings stand beside each kind in _fast/event.pxd.  Must not read an engine.
Called by step_model.
"""

from collections.abc import Callable, Mapping
from typing import Any

from polybot._fast.event import EventFlag, EventKind, FeedId, FeedState, OperatorCode
from polybot.telemetry.records import (
    order_status_text,
    outcome_text,
    price_text,
    shares_text,
    side_text,
    strike_source_text,
    trade_status_text,
)

__all__ = ["describe_event"]


def describe_event(row: Any) -> str:
    """Say what one EVENT_DTYPE row is."""
    kind = int(row["kind"])
    words = _WORDS.get(kind)
    text = words(row) if words else _kind_text(kind)
    flags = int(row["flags"])
    marks = [word for flag, word in _MARKS.items() if flags & flag]
    return f"{text} ({', '.join(marks)})" if marks else text


_MARKS = {
    int(EventFlag.F_SNAPSHOT): "of the past",
    int(EventFlag.F_GAP): "after a gap",
}


def _kind_text(kind: int) -> str:
    names = {int(code): name for name, code in EventKind.__members__.items()}
    return names.get(kind, f"EV_{kind}").removeprefix("EV_").lower().replace("_", " ")


def _code(codes: Any, value: int, prefix: str) -> str:
    names = {int(code): name for name, code in codes.__members__.items()}
    return str(names.get(value, value)).removeprefix(prefix).lower()


def _spot_trade(row: Any) -> str:
    return f"spot trade {row['x']:,.2f} x {row['y']:g}"


def _spot_quote(row: Any) -> str:
    return f"spot quote {row['x']:,.2f} / {row['y']:,.2f}"


def _oracle(row: Any) -> str:
    return f"oracle {row['x']:,.2f}"


def _twap(row: Any) -> str:
    return f"oracle average {row['x']:,.2f}"


def _level(row: Any) -> str:
    outcome, side = outcome_text(int(row["outcome"])), "bid" if int(row["side"]) == 0 else "ask"
    return f"book {outcome} {side} {price_text(int(row['i']))} x {shares_text(int(row['j']))}"


def _public_quote(row: Any) -> str:
    bid, ask = (price_text(int(row[name])) if row[name] >= 0 else "-" for name in ("x", "y"))
    return f"venue's best of {outcome_text(int(row['outcome']))} {bid} / {ask}"


def _public_trade(row: Any) -> str:
    size = shares_text(int(row["j"]))
    outcome, price = outcome_text(int(row["outcome"])), price_text(int(row["i"]))
    return f"trade {side_text(int(row['side']))} {size} {outcome} @ {price}"


def _update(row: Any) -> str:
    return f"order {int(row['seq'])} {order_status_text(int(row['i']))}"


def _fill(row: Any) -> str:
    size, price = shares_text(int(row["j"])), price_text(int(row["i"]))
    return f"fill of order {int(row['seq'])}: {size} @ {price} {trade_status_text(int(row['x']))}"


def _feed(row: Any) -> str:
    return f"feed {_code(FeedId, int(row['i']), 'FEED_')} {_code(FeedState, int(row['j']), 'FS_')}"


def _strike(row: Any) -> str:
    return f"strike {row['x']:,.2f} from {strike_source_text(int(row['i']))}"


def _operator(row: Any) -> str:
    return f"operator: {_code(OperatorCode, int(row['i']), 'OP_')}"


_WORDS: Mapping[int, Callable[[Any], str]] = {
    int(EventKind.EV_SPOT_TRADE): _spot_trade,
    int(EventKind.EV_SPOT_QUOTE): _spot_quote,
    int(EventKind.EV_ORACLE_SPOT): _oracle,
    int(EventKind.EV_ORACLE_TWAP): _twap,
    int(EventKind.EV_BOOK_LEVEL): _level,
    int(EventKind.EV_BOOK_DELTA): _level,
    int(EventKind.EV_PUBLIC_QUOTE): _public_quote,
    int(EventKind.EV_PUBLIC_TRADE): _public_trade,
    int(EventKind.EV_ORDER_UPDATE): _update,
    int(EventKind.EV_FILL): _fill,
    int(EventKind.EV_FEED_STATE): _feed,
    int(EventKind.EV_STRIKE): _strike,
    int(EventKind.EV_OPERATOR): _operator,
    int(EventKind.EV_TIMER): lambda row: "heartbeat",
    int(EventKind.EV_MARKET_CLOSE): lambda row: "the window ended",
    int(EventKind.EV_OUTCOME): lambda row: f"outcome {outcome_text(int(row['outcome']))}",
    int(EventKind.EV_BALANCE): lambda row: f"balance {int(row['j']) / 1e6:,.2f} USD",
    int(EventKind.EV_VENUE): lambda row: "venue down" if int(row["i"]) else "venue up",
}
