"""Wire text of the embedded venue's CLOB: numbers as strings, as the venue writes them.

Owns the JSON shapes of market-channel messages, of user-channel order and trade events, and of the
REST rows.  Integers in, text out; knows no sockets and changes nothing.  Market-channel text is
joined by hand because it is most of the venue's work.  Called by clob_ws and clob_rest.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from polybot._fast.event import OrderType
from polybot._fast.wire_text import changes_text, decimal_text, levels_text
from polybot.sim.markets import BUY, DOWN, ONE, SELL, UP, MarketState, Print

if TYPE_CHECKING:
    from polybot.sim.orders import Order
    from polybot.sim.trades import Trade, TradeLeg

__all__ = [
    "OUTCOMES",
    "SIDES",
    "best_text",
    "book_hash",
    "book_row",
    "book_text",
    "decimal_text",
    "fraction_text",
    "last_trade_text",
    "new_market_row",
    "order_event",
    "order_row",
    "price_change_text",
    "price_text",
    "resolved_row",
    "tick_size_text",
    "trade_event",
    "trade_row",
    "winning",
]

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
OUTCOMES = ("Up", "Down")
SIDES = ("BUY", "SELL")
TYPES = {int(kind): kind.name for kind in OrderType}


def _price(ticks: int) -> str:
    """Shortest decimal, as recorded frames have it ("0.5", not "0.50")."""
    return f"{ticks // ONE}.{ticks % ONE:04d}".rstrip("0").rstrip(".")


PRICES = tuple(_price(ticks) for ticks in range(ONE + 1))


def price_text(ticks: int) -> str:
    """A price in its shortest form."""
    return PRICES[ticks] if 0 <= ticks <= ONE else _price(ticks)


def fraction_text(top: int, bottom: int) -> str:
    """A ratio with six decimals, for error texts."""
    return decimal_text(top * 1_000_000 // bottom)


def book_hash(market: MarketState, outcome: int) -> str:
    """Equal for equal books: the venue promises no more."""
    return f"{market.number:08x}{outcome:02x}{market.version:030x}"  # 40 digits like the real one


def _best(ticks: int, empty: str) -> str:
    """Recorded frames say "0" and "1" for an empty side."""
    return PRICES[ticks] if ticks >= 0 else empty


# ---- market channel


def book_row(market: MarketState, outcome: int, now_ns: int) -> dict[str, Any]:
    """A full book of one token; bids ascend and asks descend, so the best is last."""
    row: dict[str, Any] = {
        "market": market.condition_id,
        "asset_id": market.tokens[outcome],
        "timestamp": str(now_ns // NS_PER_MS),
        "hash": book_hash(market, outcome),
    }
    for key, side in (("bids", 0), ("asks", 1)):
        levels = market.levels(outcome, side)
        row[key] = [{"price": PRICES[price], "size": decimal_text(size)} for price, size in reversed(levels)]
    row["tick_size"] = price_text(market.tick_ticks)
    row["last_trade_price"] = last_price_text(market, outcome)
    return row


def last_price_text(market: MarketState, outcome: int) -> str:
    """Price of the last trade in one outcome's terms, "" before the first."""
    if market.last_price is None:
        return ""
    return PRICES[market.last_price if outcome == UP else ONE - market.last_price]


def _head(event: str, market: MarketState, outcome: int) -> str:
    return f'{{"event_type":"{event}","market":"{market.condition_id}","asset_id":"{market.tokens[outcome]}"'


def book_text(market: MarketState, outcome: int, now_ns: int) -> str:
    """A `book` message of one token."""
    down = outcome == DOWN
    bids, asks = (levels_text(market.book, side ^ down, down) for side in (BUY, SELL))
    return (
        f'{_head("book", market, outcome)},"bids":[{bids}],"asks":[{asks}],"timestamp":"{now_ns // NS_PER_MS}",'
        f'"hash":"{book_hash(market, outcome)}","tick_size":"{PRICES[market.tick_ticks]}",'
        f'"last_trade_price":"{last_price_text(market, outcome)}"}}'
    )


def price_change_text(market: MarketState, changes: Sequence[tuple[int, int, int]], now_ns: int) -> str:
    """A `price_change` message: absolute sizes of changed levels, each for both tokens."""
    heads, tails = [], []
    for outcome in (UP, DOWN):
        bid, ask = market.best(outcome)
        heads.append(f'{{"asset_id":"{market.tokens[outcome]}","price":"')
        tails.append(
            f'","hash":"{book_hash(market, outcome)}",'
            f'"best_bid":"{_best(bid, "0")}","best_ask":"{_best(ask, "1")}"}}'
        )
    items = changes_text(changes, (heads[0], heads[1]), (tails[0], tails[1]))
    return (
        f'{{"event_type":"price_change","market":"{market.condition_id}","timestamp":"{now_ns // NS_PER_MS}",'
        f'"price_changes":[{items}]}}'
    )


def best_text(market: MarketState, outcome: int, now_ns: int) -> str:
    """A `best_bid_ask` message of one token."""
    bid, ask = market.best(outcome)
    spread = PRICES[(ask if ask >= 0 else ONE) - max(bid, 0)]
    return (
        f'{_head("best_bid_ask", market, outcome)},"best_bid":"{_best(bid, "0")}","best_ask":"{_best(ask, "1")}",'
        f'"spread":"{spread}","timestamp":"{now_ns // NS_PER_MS}"}}'
    )


def last_trade_text(market: MarketState, trade: Print, now_ns: int) -> str:
    """A `last_trade_price` message."""
    return (
        f'{_head("last_trade_price", market, trade.outcome)},"price":"{PRICES[trade.price_ticks]}",'
        f'"size":"{decimal_text(trade.ushares)}","side":"{SIDES[trade.side]}","fee_rate_bps":"0",'
        f'"transaction_hash":"{trade.transaction_hash}","timestamp":"{now_ns // NS_PER_MS}"}}'
    )


def tick_size_text(market: MarketState, outcome: int, old_ticks: int, now_ns: int) -> str:
    """A `tick_size_change` message of one token."""
    return (
        f'{_head("tick_size_change", market, outcome)},"old_tick_size":"{PRICES[old_ticks]}",'
        f'"new_tick_size":"{PRICES[market.tick_ticks]}","timestamp":"{now_ns // NS_PER_MS}"}}'
    )


def new_market_row(market: MarketState, now_ns: int) -> dict[str, Any]:
    """A `new_market` message."""
    spec = market.spec
    return {
        "event_type": "new_market",
        "id": str(market.number),
        "market": spec.condition_id,
        "slug": spec.slug,
        "assets_ids": list(market.tokens),
        "clob_token_ids": list(market.tokens),
        "outcomes": list(OUTCOMES),
        "order_price_min_tick_size": price_text(market.tick_ticks),
        "taker_base_fee": "1000",
        "fees_enabled": spec.fees_enabled,
        "timestamp": str(now_ns // NS_PER_MS),
    }


def resolved_row(market: MarketState, now_ns: int) -> dict[str, Any]:
    """A `market_resolved` message."""
    winner = winning(market)
    return {
        "event_type": "market_resolved",
        "id": str(market.number),
        "market": market.condition_id,
        "assets_ids": list(market.tokens),
        "winning_asset_id": market.tokens[winner],
        "winning_outcome": OUTCOMES[winner],
        "timestamp": str(now_ns // NS_PER_MS),
    }


def winning(market: MarketState) -> int:
    """Winner of a resolved market."""
    assert market.winner is not None, "market not resolved"
    return market.winner


# ---- orders and trades of one account


def order_row(order: "Order") -> dict[str, Any]:
    """An order as GET /data/order and /data/orders show it."""
    return {
        "id": order.order_id,
        "status": order.status,
        "owner": order.account.api_key,
        "maker_address": order.maker_address,
        "market": order.market.condition_id,
        "asset_id": order.market.tokens[order.outcome],
        "side": SIDES[order.side],
        "original_size": decimal_text(order.ushares),
        "size_matched": decimal_text(order.matched),
        "price": price_text(order.price_ticks),
        "outcome": OUTCOMES[order.outcome],
        "expiration": str(order.expiration_s),
        "order_type": TYPES[order.order_type],
        "associate_trades": list(order.trade_ids),
        "created_at": order.created_ns // NS_PER_S,
    }


def order_event(order: "Order", kind: str, now_ns: int) -> dict[str, Any]:
    """A user-channel order event; kind is PLACEMENT, UPDATE or CANCELLATION."""
    row = order_row(order)
    return row | {
        "event_type": "order",
        "type": kind,
        "order_owner": row["owner"],
        "created_at": str(row["created_at"]),
        "timestamp": str(now_ns // NS_PER_MS),
    }


def _maker_row(trade: "Trade", leg: "TradeLeg") -> dict[str, str]:
    return {
        "order_id": leg.maker_order_id,
        "owner": leg.maker.api_key,
        "maker_address": leg.maker.wallet,
        "matched_amount": decimal_text(leg.ushares),
        "price": price_text(leg.maker_price),
        "asset_id": trade.market.tokens[leg.maker_outcome],
        "outcome": OUTCOMES[leg.maker_outcome],
        "side": SIDES[leg.maker_side],
        "fee_rate_bps": "0",
    }


def trade_row(trade: "Trade", owner: str, maker_address: str, *, is_taker: bool) -> dict[str, Any]:
    """A trade as GET /data/trades shows it to one party."""
    order = trade.taker_order
    price = max if order.side == BUY else min
    return {
        "id": trade.trade_id,
        "taker_order_id": order.order_id,
        "market": trade.market.condition_id,
        "asset_id": trade.market.tokens[order.outcome],
        "side": SIDES[order.side],
        "size": decimal_text(sum(leg.ushares for leg in trade.legs)),
        "fee_rate_bps": "0",
        "price": price_text(price(leg.taker_price for leg in trade.legs)),
        "status": f"TRADE_STATUS_{trade.status}",
        "match_time": str(trade.match_ns // NS_PER_S),
        "last_update": str(trade.update_ns // NS_PER_S),
        "outcome": OUTCOMES[order.outcome],
        "bucket_index": 0,
        "owner": owner,
        "maker_address": maker_address,
        "transaction_hash": trade.transaction_hash,
        "maker_orders": [_maker_row(trade, leg) for leg in trade.legs],
        "trader_side": "TAKER" if is_taker else "MAKER",
    }


def trade_event(
    trade: "Trade", owner: str, maker_address: str, now_ns: int, *, is_taker: bool
) -> dict[str, Any]:
    """A user-channel trade event for one party."""
    return trade_row(trade, owner, maker_address, is_taker=is_taker) | {
        "event_type": "trade",
        "type": "TRADE",
        "status": trade.status,
        "timestamp": str(now_ns // NS_PER_MS),
    }
