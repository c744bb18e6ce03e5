"""Every row of the venue's error table, and everything beside it."""

import json
from typing import Any

import pytest

from polybot.gateway.reasons import RejectReason as Why
from polybot.gateway.responses import ERROR_TABLE, AnswerKind, ErrorRow, classify_post, read_cancel
from polybot.transport import HttpResponse
from tests.gateway.fake_http import answer

ID = "0x" + "ab" * 32
OK = {
    "success": True,
    "errorMsg": "",
    "orderID": ID,
    "status": "live",
    "makingAmount": "",
    "takingAmount": "",
    "tradeIDs": [],
    "transactionsHashes": [],
}
REJECTED, KILLED, NOT_SENT, UNKNOWN, ACCEPTED = (
    AnswerKind.REJECTED,
    AnswerKind.KILLED,
    AnswerKind.NOT_SENT,
    AnswerKind.UNKNOWN,
    AnswerKind.ACCEPTED,
)
# The venue's own words, as its documentation and its users quote them.
SEEN = [
    (400, "Invalid order payload", REJECTED, Why.INVALID_PAYLOAD, True),
    (400, "the order owner has to be the owner of the API KEY", REJECTED, Why.WRONG_OWNER, True),
    (400, "the order signer address has to be the address of the API KEY", REJECTED, Why.WRONG_SIGNER, True),
    (400, "'0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266' address banned", REJECTED, Why.BANNED, True),
    (400, "'0xf39Fd6' address in closed only mode", REJECTED, Why.CLOSED_ONLY, True),
    (400, "order_version_mismatch", REJECTED, Why.ORDER_VERSION, True),
    (
        400,
        f"order {ID} is invalid. Price (0.525) breaks minimum tick size rule: 0.01",
        REJECTED,
        Why.TICK_SIZE,
        False,
    ),
    (400, f"order {ID} is invalid. Size (4) lower than the minimum: 5", REJECTED, Why.MIN_SIZE, False),
    (
        400,
        "invalid amount for a marketable BUY order ($0.5), min size: $1",
        REJECTED,
        Why.MIN_NOTIONAL,
        False,
    ),
    (
        400,
        "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals",
        REJECTED,
        Why.INVALID_AMOUNTS,
        False,
    ),
    (400, "invalid expiration", REJECTED, Why.INVALID_EXPIRATION, False),
    (400, "invalid nonce", REJECTED, Why.INVALID_NONCE, False),
    (400, "invalid post-only order: order crosses book", REJECTED, Why.CROSSES_BOOK, False),
    (400, f"order {ID} crosses the book", REJECTED, Why.CROSSES_BOOK, False),
    (
        400,
        "order couldn't be fully filled. FOK orders are fully filled or killed.",
        KILLED,
        Why.KILLED,
        False,
    ),
    (
        400,
        "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.",
        KILLED,
        Why.KILLED,
        False,
    ),
    (400, "not enough balance / allowance: the balance is not enough", REJECTED, Why.BALANCE, False),
    (400, f"order {ID} is invalid. Duplicated.", UNKNOWN, Why.DUPLICATED, False),
    (400, "order match delayed due to market conditions", UNKNOWN, Why.MATCH_DELAYED, False),
    (400, 'Post "http://engine": context canceled', UNKNOWN, Why.CONTEXT_CANCELED, False),
    (400, "the market is not yet ready to process new orders", REJECTED, Why.NOT_READY, False),
    (400, "post-only mode: only post-only orders and cancels are allowed", NOT_SENT, Why.VENUE_DOWN, False),
    (500, "there are no matching orders", UNKNOWN, Why.ENGINE_ERROR, False),
    (500, "FOK orders are filled or killed", UNKNOWN, Why.ENGINE_ERROR, False),
    (500, "the trade contains rounding issues", UNKNOWN, Why.ENGINE_ERROR, False),
    (
        500,
        "the price of the taker's order has a discrepancy greater than allowed with the worst maker order",
        UNKNOWN,
        Why.ENGINE_ERROR,
        False,
    ),
    (503, "Trading is currently disabled. Check the status page", NOT_SENT, Why.VENUE_DOWN, False),
    (503, "Trading is currently cancel-only. New orders are not accepted", NOT_SENT, Why.VENUE_DOWN, False),
    (503, "post-only mode: only post-only orders and cancels are allowed", NOT_SENT, Why.VENUE_DOWN, False),
    (503, "post_only_mode", NOT_SENT, Why.VENUE_DOWN, False),
    (401, "Unauthorized/Invalid api key", REJECTED, Why.UNAUTHORIZED, True),
    (401, "Invalid api key", REJECTED, Why.UNAUTHORIZED, True),
    (401, "Invalid L1 Request headers", REJECTED, Why.UNAUTHORIZED, True),
    (425, "Too Early", NOT_SENT, Why.VENUE_DOWN, False),
    (425, "the matching engine is restarting", NOT_SENT, Why.VENUE_DOWN, False),
    (429, "Too Many Requests", NOT_SENT, Why.RATE_LIMIT, False),
    (429, "you are being rate limited", NOT_SENT, Why.RATE_LIMIT, False),
]


def classify(response: HttpResponse, *, is_buy: bool = True, is_taker: bool = True) -> Any:
    return classify_post(response, ID, is_buy=is_buy, is_taker=is_taker)


@pytest.mark.parametrize(("http", "text", "kind", "reason", "stop_live"), SEEN)
def test_known_words_are_classified(
    http: int, text: str, kind: AnswerKind, reason: Why, stop_live: bool
) -> None:
    got = classify(answer(http, {"error": text}))
    assert (got.kind, got.reason, got.stop_live) == (kind, reason, stop_live)
    assert (got.pause_s > 0) == (kind is NOT_SENT)


@pytest.mark.parametrize("row", ERROR_TABLE, ids=lambda row: f"{row.http}-{row.text[:30]}")
def test_every_row_of_the_table_is_met_by_words_seen(row: ErrorRow) -> None:
    met = [text for http, text, *_ in SEEN if http == row.http and row.text.lower() in text.lower()]
    assert met


@pytest.mark.parametrize("row", ERROR_TABLE, ids=lambda row: f"{row.http}-{row.text[:30]}")
def test_every_row_holds_for_its_own_status_only(row: ErrorRow) -> None:
    for http in {200, 201, 302, 400, 403, 404, 500, 502, 504} - {row.http}:
        got = classify(answer(http, {"error": row.text}))
        if http == 200:  # refusals also come as 200 with success and an error text
            assert got.kind is (row.kind if row.http == 400 else got.kind)
        elif http != 400 or row.text.lower() != "post-only mode":
            assert got.kind is UNKNOWN, http


@pytest.mark.parametrize(
    ("http", "body"),
    [
        (400, {"error": "something new"}),
        (400, {"error": ""}),
        (400, {}),
        (400, []),
        (400, b""),
        (400, b"not enough balance / allowance"),
        (400, b'{"error":"not enough balance / allowance'),
        (404, {"error": "not found"}),
        (403, {"error": "forbidden"}),
        (500, {"error": "not enough balance / allowance"}),
        (500, b""),
        (502, b"<html>"),
        (503, b""),
        (503, {"error": "service unavailable"}),
        (504, b"upstream timeout"),
        (425, {"success": True, "orderID": ID}),
        (425, b'{"error":"Too Ear'),
        (429, {"orderID": ID}),
        (401, {"error": "who are you"}),
        (200, b""),
        (200, b"null"),
        (200, b"[]"),
        (200, {}),
        (200, {"success": True}),
        (200, OK | {"orderID": ""}),
        (200, OK | {"orderID": None}),
        (200, OK | {"orderID": "0x" + "cd" * 32}),
        (200, OK | {"status": "sleeping"}),
        (200, OK | {"status": 5}),
        (200, OK | {"status": "unmatched"}),
        (200, OK | {"success": "true"}),
        (200, OK | {"success": False}),
        (200, OK | {"errorMsg": "something new"}),
        (200, OK | {"errorMsg": "not enough balance / allowance"}),
    ],
)
def test_anything_else_is_unknown(http: int, body: object) -> None:
    assert classify(answer(http, body)).kind is UNKNOWN


@pytest.mark.parametrize("status", ["live", "delayed", "LIVE"])
def test_accepted_needs_success_no_error_our_id_and_a_known_status(status: str) -> None:
    got = classify(answer(200, OK | {"status": status}))
    assert (got.kind, got.status) == (ACCEPTED, status.lower())
    assert classify(answer(200, OK | {"orderID": ID.upper().replace("0X", "0x")})).kind is ACCEPTED


@pytest.mark.parametrize(
    ("is_buy", "making", "taking", "matched"),
    [
        (True, "5.2", "10", 10_000_000),
        (False, "10", "5.2", 10_000_000),
        (True, "", "", -1),
        (True, "5.2", "0", -1),
        (True, "5.2", "ten", -1),
        (True, "2.84", "5.3584", 5_358_400),
    ],
)
def test_matched_amount_is_in_shares_whatever_the_side(
    is_buy: bool, making: str, taking: str, matched: int
) -> None:
    body = OK | {"status": "matched", "makingAmount": making, "takingAmount": taking}
    got = classify(answer(200, body), is_buy=is_buy)
    assert (got.kind, got.matched_ushares) == (ACCEPTED, matched)


@pytest.mark.parametrize("success", [True, False])
def test_refusal_inside_a_200_is_still_a_refusal(success: bool) -> None:
    body = OK | {
        "success": success,
        "status": "",
        "orderID": "",
        "errorMsg": "not enough balance / allowance",
    }
    assert classify(answer(200, body)).kind is REJECTED
    mode = body | {"errorMsg": "post-only mode: only post-only orders and cancels are allowed"}
    assert classify(answer(200, mode)).kind is NOT_SENT
    assert classify(answer(200, mode)).pause_s > 0


def test_kill_of_an_order_that_can_rest_is_not_believed() -> None:
    text = "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
    assert classify(answer(400, {"error": text}), is_taker=False).kind is UNKNOWN


@pytest.mark.parametrize("http", [425, 429])
@pytest.mark.parametrize("body", [b"", b"  "])
def test_empty_restart_and_rate_limit_answers_are_not_sent(http: int, body: bytes) -> None:
    assert classify(answer(http, body)).kind is NOT_SENT


@pytest.mark.parametrize(("told", "pause_s"), [("7", 7.0), ("0", 0.0), ("soon", 2.0), ("9999", 120.0)])
def test_retry_after_is_honoured_within_reason(told: str, pause_s: float) -> None:
    assert classify(answer(429, b"Too Many Requests", Retry_After=told)).pause_s == pause_s


def test_post_only_mode_is_also_told_by_its_code() -> None:
    body = {"error": "orders are limited at the moment", "code": "post_only_mode"}
    assert classify(answer(503, body)).kind is NOT_SENT


def test_long_texts_are_cut() -> None:
    assert len(classify(answer(400, {"error": "x" * 10_000})).text) == 200


@pytest.mark.parametrize(
    ("http", "body"),
    [
        (200, []),
        (200, {}),
        (200, b"x"),
        (200, {"canceled": "0x"}),
        (200, {"not_canceled": []}),
        (500, {"canceled": []}),
    ],
)
def test_cancel_answers_that_say_nothing_are_none(http: int, body: object) -> None:
    expected_empty = http == 200 and body == {"not_canceled": []}
    got = read_cancel(answer(http, body))
    assert (got is not None and not got.canceled and not got.not_canceled) if expected_empty else got is None


def test_cancel_answer_names_both_lists_in_lower_case() -> None:
    body = {"canceled": ["0xAB"], "not_canceled": {"0xCD": "already canceled or matched"}}
    got = read_cancel(HttpResponse(200, {}, json.dumps(body).encode()))
    assert got is not None
    assert got.canceled == ("0xab",)
    assert got.not_canceled == {"0xcd": "already canceled or matched"}
