"""A Trader as plain values: what `status` tells, for people and for programs.

Owns the shape of the answer (docs/OPERATIONS.md, Status).  Looks only: takes what engine, gateway and entry gate
hold at this moment, does no I/O, asks no venue.  Lists are cut to a named maximum and say how long they were.
Money is micro-USD, sizes micro-shares, prices ticks of 0.0001, ages venue seconds.  Called by control.operator.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polybot._fast.event import OrderStatus, OrderType
from polybot._fast.risk import Denial
from polybot._fast.state import MarketState
from polybot.control.why import describe_strategy, seconds_by_reason

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["describe"]

NS = 1_000_000_000
OUTCOMES, SIDES = ("Up", "Down"), ("Buy", "Sell")
MAX_SHOWN = 100  # orders and markets in one answer
NEVER_NS = 1 << 60


def describe(trader: "Trader") -> dict[str, Any]:
    """Everything but identity and halts."""
    now_ns = trader.clock.now_ns()
    risk = trader.engine.risk
    orders = list(_orders(trader))
    positions = list(_positions(trader))
    return {
        "now_ns": now_ns,
        "stopping": trader.stopping,
        "entries": {"open": not trader.entries.closed_by, "reason": trader.entries.closed_by},
        "orders": {"count": len(orders), "shown": orders[:MAX_SHOWN]},
        "positions": {"count": len(positions), "shown": positions[:MAX_SHOWN]},
        "pnl": {
            "day_usd": risk.day_realised_usd,
            "week_usd": risk.week_realised_usd,
            "marked_usd": risk.marked_usd,
            "daily_halt_usd": risk.daily_halt_usd,
            "weekly_halt_usd": risk.weekly_halt_usd,
        },
        "exposure": {
            "open_usd": risk.position_usd,
            "reserved_usd": risk.reserved_usd,
            "limit_usd": risk.max_exposure_usd,
            "cash_usd": risk.cash_usd,
        },
        "windows": {
            "begun": trader.summary.windows,
            "settled": trader.summary.settled,
            "refused": trader.summary.refused,
            "pnl_usd": sum(trader.summary.pnl_usd.values()),
        },
        "unredeemed_usd": None,  # nobody knows it here: `wallet` asks the chain
        "feeds": _feeds(trader, now_ns),
        "why": list(_why(trader, now_ns)),
    }


def _orders(trader: "Trader") -> Iterator[dict[str, Any]]:
    """Orders that may still become a fill, oldest first."""
    engine = trader.engine
    for order in sorted(engine.orders.values(), key=lambda one: one.seq):
        if order.is_open:
            yield {
                "order_seq": order.seq,
                "slug": _slug(engine.markets.get(order.market)),
                "strategy": _strategy_name(trader, order.strategy),
                "outcome": OUTCOMES[order.outcome],
                "side": SIDES[order.side],
                "order_type": OrderType(order.order_type).name,
                "price_ticks": order.price_ticks,
                "shares": order.shares,
                "filled": order.filled,
                "state": OrderStatus(order.status).name.removeprefix("OS_"),
            }


def _positions(trader: "Trader") -> Iterator[dict[str, Any]]:
    """What is held and not settled; the mark is the mid, else our fair, else nothing (as the engine marks)."""
    for market in trader.engine.markets.values():
        if market.settled:
            continue
        bid, ask = market.best_bid(0), market.best_ask(0)
        up = (bid + ask) * 0.5e-4 if bid > 0 and ask > 0 else market.fair_up if market.priced else None
        for outcome, price in enumerate((up, None if up is None else 1.0 - up)):
            if market.shares[outcome]:
                yield {
                    "slug": market.spec.slug,
                    "outcome": OUTCOMES[outcome],
                    "shares": market.shares[outcome],
                    "cost_usd": market.cost_usd[outcome],
                    "mark_usd": None if price is None else round(market.shares[outcome] * price),
                }


def _feeds(trader: "Trader", now_ns: int) -> dict[str, float | None]:
    """Age of the last data of each feed, venue seconds; None: nothing came yet."""
    spot = trader.engine.spot
    stamps = {"spot": spot.data_ns, "oracle": spot.oracle_ns}
    for market in _live(trader, now_ns):
        stamps[f"book {market.spec.slug}"] = market.book_ns
    ages = {name: (now_ns - ns) / NS if ns > 0 else None for name, ns in stamps.items()}
    return {name: None if age is None or age * NS > NEVER_NS else round(age, 3) for name, age in ages.items()}


def _live(trader: "Trader", now_ns: int) -> list[MarketState]:
    """Windows that are traded now."""
    markets = trader.engine.markets.values()
    live = [one for one in markets if not one.observed and one.start_ns <= now_ns < one.end_ns]
    return live[:MAX_SHOWN]


def _why(trader: "Trader", now_ns: int) -> Iterator[dict[str, Any]]:
    """Per live window: what blocks it and for how long, and of each strategy its counts and misses."""
    for market in _live(trader, now_ns):
        stats = market.stats()
        yield {
            "slug": market.spec.slug,
            "left_s": round((market.end_ns - now_ns) / NS, 1),
            "strike": market.strike,
            "spot": market.spot,
            "fair_up": market.fair_up if market.priced else None,
            "bid_ticks": market.best_bid(0),
            "ask_ticks": market.best_ask(0),
            "blocked": _denial(market.block_reason) if market.block_reason else "",
            "seconds": seconds_by_reason(stats),
            "strategies": [describe_strategy(market, stats, one) for one in trader.engine.strategies],
        }


def _denial(code: int) -> str:
    return Denial(code).name


def _slug(market: MarketState | None) -> str:
    return "?" if market is None else market.spec.slug


def _strategy_name(trader: "Trader", index: int) -> str:
    strategies = trader.engine.strategies
    return strategies[index].name if index < len(strategies) else f"strategy {index}"
