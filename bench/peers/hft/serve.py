"""The peer of backtesting that is compiled, too: hftbacktest over the same window, a numba strategy per message.

Two assets: the market's Up book (asset 0) and the spot exchange (asset 1, where the oracle's price is one more print).
A venue message is a run of feed rows with one receipt: a snapshot is two clears and its levels, a quote its two sides,
a price change the row of Up alone.  Latencies are constant, queues pessimistic, fills complete, fees none: the least
that hftbacktest can model.  Building the backtest is not timed, nor is the first run of each task, which compiles.
"""

import time
from typing import Any

import numpy as np
from hftbacktest import (
    ALL_ASSETS,
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.order import IOC, LIMIT
from hftbacktest.types import event_dtype
from numba import njit
from serving import serve

NS = 1_000_000_000
FEED_LATENCY_NS = 5_000_000
ORDER_LATENCY_NS = 20_000_000
TICK_USD, SHARE = 1e-4, 1e-6
MARKET_TICK_USD = 0.01  # of the stream: all of its prices are whole cents
SPOT_TICK_USD = 0.01
FOREVER_NS = 3_600 * NS
BOTH = EXCH_EVENT | LOCAL_EVENT
SIDES = (BUY_EVENT, SELL_EVENT)
MARKET, SPOT = 0, 1

LOADED: dict[str, Any] = {}


def load(path: str, kinds: dict[str, int], last: int) -> dict[str, Any]:
    """Turn the events of `path` (.npy) into feeds; `kinds` names their codes, `last` is the flag of a message's end."""
    rows = np.load(path)
    ends = np.flatnonzero(rows["flags"] & last) + 1
    feeds: tuple[list[Any], list[Any]] = ([], [])
    begin = 0
    for end in ends.tolist():
        asset, found = _feed_rows(rows[begin:end].tolist(), rows.dtype.names, kinds)
        feeds[asset].extend(found)
        begin = end
    LOADED["feeds"] = tuple(np.array(feed, event_dtype) for feed in feeds)
    LOADED["at_ns"] = np.ascontiguousarray(rows["recv_ns"][ends - 1])
    return {"messages": len(ends), "rows": sum(map(len, feeds))}


def _feed_rows(message: list[Any], names: tuple[str, ...], kinds: dict[str, int]) -> tuple[int, list[Any]]:
    """(asset, its feed rows) of one venue message."""
    found: list[Any] = []
    asset = MARKET
    for row in message:
        e = dict(zip(names, row, strict=True))
        ns, kind = e["recv_ns"], e["kind"]
        side = SIDES[e["side"]]
        if kind in (kinds["spot_trade"], kinds["oracle"]):
            asset = SPOT
            found.append(_row(TRADE_EVENT | side, ns, e["x"], max(e["y"], 1e-8)))
        elif kind == kinds["spot_quote"]:
            asset = SPOT
            found += [
                _row(DEPTH_EVENT | BUY_EVENT, ns, e["x"], 1.0),
                _row(DEPTH_EVENT | SELL_EVENT, ns, e["y"], 1.0),
            ]
        elif kind == kinds["snapshot"]:
            found += [
                _row(DEPTH_CLEAR_EVENT | BUY_EVENT, ns, 0.0, 0.0),
                _row(DEPTH_CLEAR_EVENT | SELL_EVENT, ns, 1.0, 0.0),
            ]
        elif kind == kinds["print"]:
            found.append(_row(TRADE_EVENT | side, ns, e["i"] * TICK_USD, e["j"] * SHARE))
        elif e["outcome"] == 0:
            code = DEPTH_SNAPSHOT_EVENT if kind == kinds["level"] else DEPTH_EVENT
            found.append(_row(code | side, ns, e["i"] * TICK_USD, e["j"] * SHARE))
    return asset, found


def _row(code: int, recv_ns: int, price: float, size: float) -> tuple[Any, ...]:
    return (code | BOTH, recv_ns - FEED_LATENCY_NS, recv_ns, price, size, 0, 0, 0.0)


def run(depth: str, wake: str, *, orders: bool) -> dict[str, Any]:
    """Play the window once: `depth` is "hash" or "vector", `wake` is "feed" or "time"."""
    build = HashMapMarketDepthBacktest if depth == "hash" else ROIVectorMarketDepthBacktest
    hbt = build(
        [
            _asset(LOADED["feeds"][MARKET], MARKET_TICK_USD, 0.0, 1.0),
            _asset(LOADED["feeds"][SPOT], SPOT_TICK_USD),
        ]
    )
    play = by_feed if wake == "feed" else by_time
    start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    seen, sent = play(hbt, LOADED["at_ns"], orders)
    cpu_ns, ns = time.process_time_ns() - start_cpu_ns, time.perf_counter_ns() - start_ns
    state = hbt.state_values(MARKET)
    fills = int(state.num_trades)
    hbt.close()
    return {"ns": ns, "cpu_ns": cpu_ns, "messages": int(seen), "orders": int(sent), "fills": fills}


def _asset(feed: Any, tick: float, low: float | None = None, high: float | None = None) -> Any:
    prices = feed["px"][feed["px"] > 0.0]
    return (
        BacktestAsset()
        .data(feed)
        .linear_asset(1.0)
        .constant_order_latency(ORDER_LATENCY_NS, ORDER_LATENCY_NS)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(tick)
        .lot_size(SHARE)
        .roi_lb(float(prices.min()) - 1.0 if low is None else low)
        .roi_ub(float(prices.max()) + 1.0 if high is None else high)
        .last_trades_capacity(0)
    )


@njit
def order(hbt: Any, k: int) -> int:
    """One order at the market, now a buy, now a sell, so that nothing piles up; what is done with is forgotten."""
    depth = hbt.depth(0)
    if k % 2 == 0 and depth.best_ask_tick <= 100:
        hbt.submit_buy_order(0, k, depth.best_ask, 1.0, IOC, LIMIT, False)
    elif k % 2 == 1 and depth.best_bid_tick > 0:
        hbt.submit_sell_order(0, k, depth.best_bid, 1.0, IOC, LIMIT, False)
    else:
        return 0
    if k % 64 == 0:
        hbt.clear_inactive_orders(ALL_ASSETS)
    return 1


@njit
def by_feed(hbt: Any, at_ns: Any, orders: bool) -> tuple[int, int]:
    """The strategy waits for the feed: it is woken once for all rows of one receipt."""
    sent = 0
    for k in range(len(at_ns)):
        if hbt.wait_next_feed(False, FOREVER_NS) != 2:
            return k, sent
        if orders:
            sent += order(hbt, k)
    return len(at_ns), sent


@njit
def by_time(hbt: Any, at_ns: Any, orders: bool) -> tuple[int, int]:
    """The strategy lets time pass up to the next message, whose rows are then all in."""
    sent = 0
    for k in range(len(at_ns)):
        if k > 0:
            if hbt.elapse(at_ns[k] - hbt.current_timestamp) != 0:
                return k, sent
        elif hbt.wait_next_feed(False, FOREVER_NS) != 2:
            return k, sent
        if orders:
            sent += order(hbt, k)
    return len(at_ns), sent


serve(load=load, run=run)
