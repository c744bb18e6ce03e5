"""Trades to fills: which legs are ours at which price, each once, forward only, reversed once."""

import random
from typing import Any

import pytest

from polybot._fast.event import TradeStatus as TS
from polybot.errors import DecodeError
from polybot.gateway.trades import TradeLedger, maker_fills, parse_trade, taker_fills, trade_key

UP, DOWN = "111", "222"
OURS, OTHER = "0x" + "aa" * 32, "0x" + "bb" * 32


def leg(
    price: str, size: str, *, token: str = UP, side: str = "SELL", order_id: str = OTHER
) -> dict[str, Any]:
    return {"order_id": order_id, "matched_amount": size, "price": price, "asset_id": token, "side": side}


def raw(*legs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    base = {
        "id": "trade-1",
        "taker_order_id": OURS,
        "asset_id": UP,
        "side": "BUY",
        "size": "10",
        "price": "0.52",
        "status": "MATCHED",
        "match_time": "1790616612",
        "maker_orders": list(legs),
    }
    return base | changes


def fills_of(*legs: dict[str, Any], **changes: Any) -> list[tuple[int, int]]:
    trade = parse_trade(raw(*legs, **changes))
    return [
        (fill.price_ticks, fill.ushares)
        for fill in taker_fills(trade, str(changes.get("asset_id", UP)), OURS)
    ]


def test_buy_against_sells_of_our_token_counts_each_leg_at_its_price() -> None:
    assert fills_of(leg("0.51", "4"), leg("0.52", "6")) == [(5_100, 4_000_000), (5_200, 6_000_000)]


def test_buy_against_a_buy_of_the_complement_pays_one_minus_its_price() -> None:
    assert fills_of(leg("0.48", "10", token=DOWN, side="BUY")) == [(5_200, 10_000_000)]
    mixed = (leg("0.49", "3", token=DOWN, side="BUY"), leg("0.52", "7"))
    assert fills_of(*mixed) == [(5_100, 3_000_000), (5_200, 7_000_000)]


def test_sell_against_buys_and_against_sells_of_the_complement() -> None:
    legs = (leg("0.5", "4", side="BUY"), leg("0.51", "6", token=DOWN, side="SELL"))
    assert fills_of(*legs, side="SELL") == [(5_000, 4_000_000), (4_900, 6_000_000)]


@pytest.mark.parametrize(
    "legs",
    [
        (),
        (leg("0.51", "4"),),
        (leg("0.51", "4"), leg("0.52", "7")),
        (leg("0.52", "10", side="BUY"),),
        (leg("0.48", "10", token=DOWN, side="SELL"),),
        (leg("1", "10", token=DOWN, side="BUY"),),
    ],
)
def test_legs_that_do_not_add_up_or_cannot_have_matched_give_size_and_price(legs: Any) -> None:
    assert fills_of(*legs) == [(5_200, 10_000_000)]


def test_average_price_off_the_grid_matters_only_without_legs() -> None:
    assert fills_of(leg("0.51", "4"), leg("0.52", "6"), price="0.516000001") == [
        (5_100, 4_000_000),
        (5_200, 6_000_000),
    ]
    with pytest.raises(DecodeError, match="trade_price"):
        fills_of(price="0.516000001")


def test_six_decimals_of_size_are_kept() -> None:
    assert fills_of(leg("0.52", "5.358401"), size="5.358401") == [(5_200, 5_358_401)]


def test_maker_counts_its_own_legs_with_their_own_token_and_price() -> None:
    mine = leg("0.48", "3", token=DOWN, side="BUY", order_id=OURS.upper().replace("0X", "0x"))
    trade = parse_trade(raw(leg("0.52", "7"), mine, taker_order_id=OTHER))
    (fill,) = maker_fills(trade, OURS)
    assert (fill.price_ticks, fill.ushares, fill.is_maker) == (4_800, 3_000_000, True)


def test_keys_differ_by_trade_order_and_leg_and_fit_a_double() -> None:
    keys = {trade_key(t, o, k) for t in ("a", "b", "a|b") for o in (OURS, OTHER) for k in range(50)}
    assert len(keys) == 300
    assert all(int(float(key)) == key < 2**52 for key in keys)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("MATCHED", TS.TS_MATCHED),
        ("MATCHED_NOT_BROADCASTED", TS.TS_MATCHED),
        ("TRADE_STATUS_MATCHED_NOT_BROADCASTED", TS.TS_MATCHED),
        ("TRADE_STATUS_MINED", TS.TS_MINED),
        ("retrying", TS.TS_RETRYING),
        ("TRADE_STATUS_CONFIRMED", TS.TS_CONFIRMED),
        ("FAILED", TS.TS_FAILED),
    ],
)
def test_statuses_are_read_by_prefix(text: str, status: int) -> None:
    assert parse_trade(raw(status=text)).status == status


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": None},
        {"status": "LOST"},
        {"status": None},
        {"side": ""},
        {"size": "x"},
        {"price": "2"},
        {"maker_orders": "x"},
        {"maker_orders": [5]},
        {"maker_orders": [leg("0.5", "-1")]},
        {"maker_orders": [leg("0.51111", "1")]},
        {"maker_orders": [leg("0.5", "1", side="HOLD")]},
    ],
)
def test_trades_that_cannot_be_read_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        parse_trade(raw(**changes))


@pytest.mark.parametrize(
    ("stamp", "expected_ns"),
    [("1790616612", 1_790_616_612 * 10**9), ("1790616612345", 1_790_616_612_345 * 10**6), ("", 0), (None, 0)],
)
def test_seconds_and_milliseconds_are_told_apart_by_magnitude(stamp: object, expected_ns: int) -> None:
    assert parse_trade(raw(match_time=stamp)).matched_ns == expected_ns


def advance(ledger: TradeLedger, status: str, **changes: Any) -> int:
    trade = parse_trade(raw(status=status, **changes))
    return len(ledger.advance(trade, OURS, taker_fills(trade, UP, OURS)))


def test_status_moves_forward_only_and_each_step_is_told_once() -> None:
    ledger = TradeLedger()
    steps = ["MATCHED", "MATCHED", "MINED", "MATCHED", "RETRYING", "MINED", "CONFIRMED", "CONFIRMED", "MINED"]
    assert [advance(ledger, step) for step in steps] == [1, 0, 1, 0, 1, 0, 1, 0, 0]
    assert ledger.counters["trade_duplicates"] == 5


def test_failure_reverses_what_was_booked_exactly_once() -> None:
    ledger = TradeLedger()
    assert [advance(ledger, step) for step in ("MATCHED", "FAILED", "FAILED", "MATCHED", "CONFIRMED")] == [
        1,
        1,
        0,
        0,
        0,
    ]
    assert ledger.counters["trade_contradictions"] == 1


def test_confirmed_is_final_and_a_later_failure_is_a_contradiction() -> None:
    ledger = TradeLedger()
    assert [advance(ledger, step) for step in ("CONFIRMED", "FAILED")] == [1, 0]
    assert ledger.counters["trade_contradictions"] == 1


def test_trade_first_seen_as_failed_is_never_booked() -> None:
    ledger = TradeLedger()
    assert [advance(ledger, step) for step in ("FAILED", "MATCHED", "MINED")] == [0, 0, 0]
    assert ledger.counters["trade_unbooked_failures"] == 1


def test_sizes_are_those_first_booked_even_when_the_breakdown_changes() -> None:
    ledger = TradeLedger()
    assert advance(ledger, "MATCHED") == 1
    split = {"maker_orders": [leg("0.51", "4"), leg("0.52", "6")]}
    assert advance(ledger, "MINED", **split) == 1
    assert ledger.counters["trade_contradictions"] == 0
    assert advance(ledger, "CONFIRMED", size="11") == 1
    assert ledger.counters["trade_contradictions"] == 1


def test_random_histories_of_messages_book_the_final_truth_exactly_once() -> None:
    rnd = random.Random(5)
    for _ in range(3_000):
        path = ["MATCHED", "MINED"][: rnd.randrange(3)]
        path += ["RETRYING"] * rnd.randrange(2) + [rnd.choice(["CONFIRMED", "FAILED"])]
        messages = path * rnd.randrange(1, 3)
        rnd.shuffle(messages)
        ledger, position, told_final = TradeLedger(), 0, []
        booked = False
        for text in messages:
            if advance(ledger, text):
                failed = text == "FAILED"
                position += -1 if failed else (0 if booked else 1)
                booked = True
                told_final += [text] if text in ("FAILED", "CONFIRMED") else []
        assert position == (path[-1] == "CONFIRMED")
        assert len(told_final) <= 1
