"""Rules checked on the venue's ledger: a clean history breaks none, and each broken one is told."""

import pytest

from polybot.sim.invariants import broken_rules

NS = 1_000_000_000
SHARE = 1_000_000
MARKET, ME = "0xm", "0xMe"
START = {"k": "market", "t": 0, "market": MARKET, "slug": "s", "up": "1", "down": "2", "fee_rate_ppm": 70_000}
START |= {"fee_exponent": 1, "tick": 100, "min_ushares": 5 * SHARE, "start_ns": 10 * NS, "end_ns": 310 * NS}
ACCOUNT = {"k": "account", "t": 0, "account": ME, "balance": 10**9}


def order(name, t, **more):
    row = {
        "k": "order",
        "t": round(t * NS),
        "id": name,
        "account": ME,
        "market": MARKET,
        "outcome": 0,
        "side": 0,
    }
    return row | {"price": 5_000, "ushares": 10 * SHARE, "type": 3, "status": "DELAYED"} | more


def leg(name, t, trade="t1", **more):
    row = {"k": "leg", "t": round(t * NS), "trade": trade, "leg": 0, "market": MARKET, "ushares": 10 * SHARE}
    row |= {"taker": ME, "taker_order": name, "taker_outcome": 0, "taker_side": 0, "taker_price": 5_000}
    row |= {"taker_usd": 5_000_000, "fee": 175_000, "maker": "x", "maker_order": "y", "maker_outcome": 1}
    return row | {"maker_side": 0, "maker_price": 5_000, "maker_usd": 5_000_000} | more


def end(name, t, matched=10 * SHARE):
    return {
        "k": "end",
        "t": round(t * NS),
        "id": name,
        "account": ME,
        "matched": matched,
        "status": "MATCHED",
        "cash": 0,
    }


def reject(t, status, text="Too Early", retry_s=0):
    row = {"k": "reject", "t": round(t * NS), "id": "", "account": ME, "status": status, "text": text}
    return row | {"retry_s": retry_s}


def user(t, is_open):
    return {"k": "user", "t": round(t * NS), "account": ME, "is_open": is_open}


def beat(t, gap_s):
    return {"k": "beat", "t": round(t * NS), "account": ME, "gap_ns": round(gap_s * NS)}


def trade(t, status, name="t1"):
    return {"k": "trade", "t": round(t * NS), "trade": name, "status": status}


def fault(t, kind, what="POST /order", **more):
    return {"k": "fault", "t": round(t * NS), "fault": kind, "what": what} | more


def check(*rows, limit=10_400_000):
    return broken_rules([ACCOUNT, START, *rows], max_exposure_micro_usd=limit)


GTC = {"type": 0, "status": "LIVE"}
SETTLED = {"k": "settle", "t": 20 * NS, "account": ME, "market": MARKET, "winner": 0, "up": 0, "down": 0}
SETTLED |= {"paid": 0, "cash": 0}

CLEAN = {
    "two orders one after the other": [order("a", 20), leg("a", 20.2), end("a", 20.2), order("b", 21)],
    "room comes back when an order ends": [
        order("a", 20, ushares=20 * SHARE),
        end("a", 20.2, 0),
        order("b", 21, ushares=20 * SHARE),
    ],
    "room comes back when a purchase fails": [
        order("a", 20),
        leg("a", 20.2),
        end("a", 20.2),
        trade(25, "FAILED"),
        order("b", 26, ushares=20 * SHARE),
    ],
    "room comes back at the settlement": [
        order("a", 20),
        leg("a", 20.2),
        end("a", 20.2),
        SETTLED,
        order("b", 26, ushares=20 * SHARE),
    ],
    "after Retry-After": [reject(20, 429, "Too Many Requests", 3), order("a", 23.01)],
    "in flight with the 429": [reject(20, 429, "Too Many Requests", 3), order("a", 20.05)],
    "one probe a second": [reject(20, 425), reject(21.01, 425), reject(23, 425), order("a", 24)],
    "back with the user channel": [user(12, True), user(20, False), user(21, True), order("a", 22)],
    "a reconnect with overlap": [user(12, True), user(20, True), order("a", 22)],
    "beats came back": [order("a", 20, **GTC), beat(35, 15), order("b", 35.1)],
    "nothing rested, nobody had to beat": [
        order("a", 20, **GTC),
        end("a", 21, 0),
        order("b", 33),
        beat(40, 20),
    ],
}
BROKEN = {
    "accepted twice": [order("a", 20, ushares=5 * SHARE), end("a", 21, 0), order("a", 22, ushares=5 * SHARE)],
    "off the grid": [order("a", 20, price=5_050)],
    "above the limit of exposure": [
        order("a", 20),
        leg("a", 20.2),
        end("a", 20.2),
        order("b", 21, ushares=11 * SHARE),
    ],
    "two open orders above the limit": [order("a", 20), order("b", 21, ushares=11 * SHARE)],
    "smaller than the minimum": [order("a", 20, ushares=4 * SHARE)],
    "before the window": [order("a", 9.9)],
    "after the window": [order("a", 310)],
    "before Retry-After": [reject(20, 429, "Too Many Requests", 3), order("a", 22.9)],
    "before the Retry-After of a fault": [fault(20, "too_many", retry_s=3.0), reject(22, 400, "no balance")],
    "lost on its way before Retry-After": [fault(20, "storm_429", retry_s=3.0), fault(22, "timeout_before")],
    "two probes within a second": [reject(20, 425), reject(20.8, 425)],
    "without a user channel": [user(12, True), user(20, False), order("a", 20.7)],
    "beats lost": [order("a", 20, **GTC), order("b", 33, ushares=5 * SHARE), beat(35, 14)],
    "a grid that changed": [
        {"k": "tick", "t": 15 * NS, "market": MARKET, "tick": 500},
        order("a", 20, price=5_100),
    ],
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_history_breaks_no_rule(name):
    assert check(*CLEAN[name]) == []


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_told_once(name):
    assert len(check(*BROKEN[name])) == 1


def test_others_orders_and_hands_bind_nobody():
    stranger = order("a", 9.9) | {"account": "0xYou"}
    manual = {"k": "manual", "t": 0, "id": "b", "account": ME}
    assert (
        check(stranger, manual, order("b", 9.9), fault(20, "too_many", "GET /data/orders", retry_s=3.0)) == []
    )
