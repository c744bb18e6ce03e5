"""The general-purpose peer of backtesting: nautilus_trader's BacktestEngine over the same window.

Two venues: the market's Up contract with a book of price levels, and the spot exchange with its best prices (the
oracle's price is one more trade there).  A venue message is one data object: a snapshot is a batch of deltas that
begins with a clear, a price change a batch of one.  The strategy is Python, as its users write it, and does the least
that can be compared: it counts what it gets, and orders as seldom as ours does.  Only run() is timed: neither the
building of ticks and batches nor of the engine.
"""

import time
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDC, USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, QuoteTick, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    AssetClass,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    RecordFlag,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import BinaryOption, CurrencyPair
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy
from serving import serve

TICK_USD, SHARE = 1e-4, 1e-6
PRICE_DIGITS, SIZE_DIGITS = 4, 2
SPOT_PRICE_DIGITS, SPOT_SIZE_DIGITS = 2, 6
MARKET_VENUE, SPOT_VENUE = Venue("MARKET"), Venue("EXCHANGE")
UP = InstrumentId(Symbol("UP"), MARKET_VENUE)
SPOT = InstrumentId(Symbol("BTCUSDT"), SPOT_VENUE)
SIDES = (OrderSide.BUY, OrderSide.SELL)
TAKERS = (AggressorSide.BUYER, AggressorSide.SELLER)

LOADED: dict[str, Any] = {}


class Counting(Strategy):
    """Counts messages; one order at the market per `every` of them (0: none)."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.seen, self.sent = every, 0, 0

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(UP, BookType.L2_MBP)
        self.subscribe_trade_ticks(UP)
        self.subscribe_quote_ticks(SPOT)
        self.subscribe_trade_ticks(SPOT)

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
        self.count()

    def on_trade_tick(self, tick: TradeTick) -> None:
        self.count()

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.count()

    def count(self) -> None:
        self.seen += 1
        if self.every and self.seen % self.every == 0:
            side = SIDES[self.sent % 2]
            self.sent += 1
            size = Quantity(5.0, SIZE_DIGITS)
            self.submit_order(self.order_factory.market(UP, side, size, time_in_force=TimeInForce.IOC))


def load(path: str, kinds: dict[str, int], last: int) -> dict[str, Any]:
    """Turn the events of `path` (.npy) into data objects; see the other peer of this bench for the arguments."""
    rows = np.load(path)
    ends = np.flatnonzero(rows["flags"] & last) + 1
    data, begin = [], 0
    for end in ends.tolist():
        message = [dict(zip(rows.dtype.names, row, strict=True)) for row in rows[begin:end].tolist()]
        data.append(_data(message, kinds, len(data)))
        begin = end
    LOADED["data"] = data
    return {"messages": len(data), "rows": len(rows)}


def _data(message: list[dict[str, Any]], kinds: dict[str, int], number: int) -> Any:
    e = message[0]
    kind, ns = e["kind"], (e["recv_ns"], e["recv_ns"])
    if kind == kinds["spot_quote"]:
        one = Quantity(1.0, SPOT_SIZE_DIGITS)
        return QuoteTick(
            SPOT, Price(e["x"], SPOT_PRICE_DIGITS), Price(e["y"], SPOT_PRICE_DIGITS), one, one, *ns
        )
    if kind in (kinds["spot_trade"], kinds["oracle"]):
        price, size = Price(e["x"], SPOT_PRICE_DIGITS), Quantity(max(e["y"], 1e-6), SPOT_SIZE_DIGITS)
        return TradeTick(SPOT, price, size, TAKERS[e["side"]], TradeId(str(number)), *ns)
    if kind == kinds["print"]:
        price, size = Price(e["i"] * TICK_USD, PRICE_DIGITS), Quantity(max(e["j"] * SHARE, 0.01), SIZE_DIGITS)
        return TradeTick(UP, price, size, TAKERS[e["side"]], TradeId(str(number)), *ns)
    deltas = []
    for row in message:
        if row["kind"] == kinds["snapshot"]:
            deltas.append(OrderBookDelta.clear(UP, number, *ns))
        elif row["outcome"] == 0:
            deltas.append(
                _delta(row, number, BookAction.ADD if row["kind"] == kinds["level"] else BookAction.UPDATE)
            )
    final = deltas[-1]
    deltas[-1] = OrderBookDelta(UP, final.action, final.order, int(RecordFlag.F_LAST), number, *ns)
    return OrderBookDeltas(UP, deltas)


def _delta(row: dict[str, Any], number: int, action: BookAction) -> OrderBookDelta:
    size = Quantity(row["j"] * SHARE, SIZE_DIGITS)
    order = BookOrder(SIDES[row["side"]], Price(row["i"] * TICK_USD, PRICE_DIGITS), size, 0)
    if row["j"] == 0:
        action = BookAction.DELETE
    return OrderBookDelta(UP, action, order, 0, number, row["recv_ns"], row["recv_ns"])


def run(every: int) -> dict[str, Any]:
    """Play the window once."""
    engine = BacktestEngine(
        config=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    _add_venue(engine, MARKET_VENUE, USDC, BookType.L2_MBP)
    _add_venue(engine, SPOT_VENUE, USDT, BookType.L1_MBP)
    engine.add_instrument(_market())
    engine.add_instrument(_spot())
    engine.add_data(LOADED["data"], validate=False)
    strategy = Counting(every)
    engine.add_strategy(strategy)
    start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    engine.run()
    cpu_ns, ns = time.process_time_ns() - start_cpu_ns, time.perf_counter_ns() - start_ns
    fills = len([o for o in engine.cache.orders() if o.filled_qty > 0])
    engine.dispose()
    return {"ns": ns, "cpu_ns": cpu_ns, "messages": strategy.seen, "orders": strategy.sent, "fills": fills}


def _add_venue(engine: BacktestEngine, venue: Venue, cash: Currency, book: BookType) -> None:
    engine.add_venue(
        venue=venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=cash,
        starting_balances=[Money(1_000_000, cash)],
        book_type=book,
    )


def _market() -> BinaryOption:
    step = Price(TICK_USD, PRICE_DIGITS)
    lot = Quantity(0.01, SIZE_DIGITS)
    return BinaryOption(
        instrument_id=UP,
        raw_symbol=UP.symbol,
        asset_class=AssetClass.CRYPTOCURRENCY,
        currency=USDC,
        price_precision=PRICE_DIGITS,
        size_precision=SIZE_DIGITS,
        price_increment=step,
        size_increment=lot,
        activation_ns=0,
        expiration_ns=2**62,
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


def _spot() -> CurrencyPair:
    return CurrencyPair(
        instrument_id=SPOT,
        raw_symbol=SPOT.symbol,
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=SPOT_PRICE_DIGITS,
        size_precision=SPOT_SIZE_DIGITS,
        price_increment=Price(0.01, SPOT_PRICE_DIGITS),
        size_increment=Quantity(1e-6, SPOT_SIZE_DIGITS),
        ts_event=0,
        ts_init=0,
    )


serve(load=load, run=run)
