"""What an answer to POST /order means, by the venue's error table kept as data.

The rule (money safety): an order counts as refused only when a row of ERROR_TABLE says so.  It
counts as accepted only when success is true, errorMsg is empty, the order id is ours and the status
is known.  425, 429 and 503 count as "not sent" only when the answer is exactly theirs.  Everything
else (timeout, 5xx, half an answer, an unknown text) is UNKNOWN and is resolved on evidence.
Pure functions; called by gateway.clob.  Source: the venue's error-code page as of 2026-11.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import orjson

from polybot.errors import DecodeError
from polybot.gateway.amounts import parse_micro
from polybot.gateway.reasons import RejectReason as Why
from polybot.transport import HttpResponse

__all__ = [
    "DEFAULT_PAUSE_S",
    "ERROR_TABLE",
    "Answer",
    "AnswerKind",
    "CancelAnswer",
    "ErrorRow",
    "classify_post",
    "read_cancel",
    "retry_after_s",
]

MAX_TEXT = 200
DEFAULT_PAUSE_S = 2.0  # after 425, 429 or 503 without Retry-After
MAX_PAUSE_S = 120.0
LIVE, MATCHED, DELAYED, UNMATCHED = "live", "matched", "delayed", "unmatched"


class AnswerKind(Enum):
    """Classes of answers."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"  # definite: nothing rests, nothing filled
    KILLED = "killed"  # FAK or FOK without a match: canceled with nothing filled
    NOT_SENT = "not_sent"  # the venue did not process it; entries pause
    UNSENT = "unsent"  # it never left this process
    UNKNOWN = "unknown"


class ErrorRow(NamedTuple):
    """One row: an HTTP status and where a text must stand in the error for the row to hold."""

    http: int
    where: str  # "prefix" | "anywhere"
    text: str
    kind: AnswerKind
    reason: Why
    stop_live: bool = False  # the account or the program must not trade: stop and alert


_REJECT, _KILL, _SKIP, _OPEN = AnswerKind.REJECTED, AnswerKind.KILLED, AnswerKind.NOT_SENT, AnswerKind.UNKNOWN

# First match wins; texts are compared without case.
ERROR_TABLE: tuple[ErrorRow, ...] = (
    # "context canceled" is always mapped to 400 whatever happened behind it: before all refusals.
    ErrorRow(400, "anywhere", "context canceled", _OPEN, Why.CONTEXT_CANCELED),
    ErrorRow(400, "anywhere", "order match delayed due to market conditions", _OPEN, Why.MATCH_DELAYED),
    ErrorRow(400, "anywhere", "is invalid. duplicated", _OPEN, Why.DUPLICATED),
    ErrorRow(400, "prefix", "Invalid order payload", _REJECT, Why.INVALID_PAYLOAD, True),
    ErrorRow(
        400, "prefix", "the order owner has to be the owner of the API KEY", _REJECT, Why.WRONG_OWNER, True
    ),
    ErrorRow(
        400,
        "prefix",
        "the order signer address has to be the address of the API KEY",
        _REJECT,
        Why.WRONG_SIGNER,
        True,
    ),
    ErrorRow(400, "anywhere", "address banned", _REJECT, Why.BANNED, True),
    ErrorRow(400, "anywhere", "address in closed only mode", _REJECT, Why.CLOSED_ONLY, True),
    ErrorRow(400, "prefix", "order_version_mismatch", _REJECT, Why.ORDER_VERSION, True),
    ErrorRow(400, "anywhere", "breaks minimum tick size rule", _REJECT, Why.TICK_SIZE),
    ErrorRow(400, "anywhere", "lower than the minimum", _REJECT, Why.MIN_SIZE),
    ErrorRow(400, "prefix", "invalid amount for a marketable BUY order", _REJECT, Why.MIN_NOTIONAL),
    # "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals, ..."
    ErrorRow(400, "prefix", "invalid amounts", _REJECT, Why.INVALID_AMOUNTS),
    ErrorRow(400, "prefix", "invalid expiration", _REJECT, Why.INVALID_EXPIRATION),
    ErrorRow(400, "prefix", "invalid nonce", _REJECT, Why.INVALID_NONCE),
    ErrorRow(400, "prefix", "invalid post-only order: order crosses book", _REJECT, Why.CROSSES_BOOK),
    ErrorRow(400, "anywhere", "crosses the book", _REJECT, Why.CROSSES_BOOK),
    ErrorRow(400, "prefix", "order couldn't be fully filled. FOK orders", _KILL, Why.KILLED),
    ErrorRow(400, "prefix", "no orders found to match with FAK order", _KILL, Why.KILLED),
    ErrorRow(400, "anywhere", "not enough balance / allowance", _REJECT, Why.BALANCE),
    ErrorRow(400, "prefix", "the market is not yet ready to process new orders", _REJECT, Why.NOT_READY),
    # The post-only mode refuses with success:true and an errorMsg, or as 503.
    ErrorRow(400, "anywhere", "post-only mode", _SKIP, Why.VENUE_DOWN),
    ErrorRow(503, "anywhere", "post-only mode", _SKIP, Why.VENUE_DOWN),
    ErrorRow(503, "anywhere", "post_only_mode", _SKIP, Why.VENUE_DOWN),
    ErrorRow(503, "prefix", "Trading is currently disabled", _SKIP, Why.VENUE_DOWN),
    ErrorRow(503, "prefix", "Trading is currently cancel-only", _SKIP, Why.VENUE_DOWN),
    ErrorRow(500, "prefix", "there are no matching orders", _OPEN, Why.ENGINE_ERROR),
    ErrorRow(500, "prefix", "FOK orders are filled or killed", _OPEN, Why.ENGINE_ERROR),
    ErrorRow(500, "prefix", "the trade contains rounding issues", _OPEN, Why.ENGINE_ERROR),
    ErrorRow(500, "prefix", "the price of the taker's order has a discrepancy", _OPEN, Why.ENGINE_ERROR),
    ErrorRow(401, "anywhere", "unauthorized", _REJECT, Why.UNAUTHORIZED, True),
    ErrorRow(401, "anywhere", "invalid api key", _REJECT, Why.UNAUTHORIZED, True),
    ErrorRow(401, "prefix", "Invalid L1 Request headers", _REJECT, Why.UNAUTHORIZED, True),
    # Matching engine restart (weekly) and rate limit: their bodies may be empty, see _exact_refusal.
    ErrorRow(425, "prefix", "Too Early", _SKIP, Why.VENUE_DOWN),
    ErrorRow(425, "anywhere", "restart", _SKIP, Why.VENUE_DOWN),
    ErrorRow(429, "prefix", "Too Many Requests", _SKIP, Why.RATE_LIMIT),
    ErrorRow(429, "anywhere", "rate limit", _SKIP, Why.RATE_LIMIT),
)
_PLAIN_TEXT = (425, 429, 503)
_EMPTY_BODY: Mapping[int, Why] = {425: Why.VENUE_DOWN, 429: Why.RATE_LIMIT}


@dataclass(frozen=True, slots=True)
class Answer:
    """A classified answer; matched_ushares is -1 when the venue did not tell."""

    kind: AnswerKind
    reason: Why = Why.NONE
    status: str = ""  # venue status of an accepted order: live, matched or delayed
    matched_ushares: int = -1
    text: str = ""
    pause_s: float = 0.0
    stop_live: bool = False


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """A cancel answer: ids the venue says are canceled, and those it says it could not cancel."""

    canceled: tuple[str, ...]
    not_canceled: Mapping[str, str]


def classify_post(response: HttpResponse, order_id: str, *, is_buy: bool, is_taker: bool) -> Answer:
    """Classify the answer to POST /order for our order_id (0x hex, lower case)."""
    body = _read_object(response.body)
    text = _error_text(body, response)
    if response.status == 200:
        if body is None:
            return Answer(AnswerKind.UNKNOWN, Why.UNREADABLE_ANSWER)
        if text == "" and body.get("success") is True:
            return _classify_accepted(body, order_id, is_buy)
        return _with_pause(_classify_error(400, text, body, is_taker), response)
    if body is not None and (body.get("success") is True or body.get("orderID")):
        return Answer(AnswerKind.UNKNOWN, Why.UNREADABLE_ANSWER, text=text)
    if not response.body.strip() and response.status in _EMPTY_BODY:
        answer = Answer(AnswerKind.NOT_SENT, _EMPTY_BODY[response.status])
    else:
        answer = _classify_error(response.status, text, body, is_taker)
    return _with_pause(answer, response)


def read_cancel(response: HttpResponse) -> CancelAnswer | None:
    """Return what a cancel answer says, or None when it says nothing (any other status or shape)."""
    body = _read_object(response.body)
    if response.status != 200 or body is None:
        return None
    if "canceled" not in body and "not_canceled" not in body:
        return None
    canceled, failed = body.get("canceled") or [], body.get("not_canceled") or {}
    if not isinstance(canceled, list) or not isinstance(failed, dict):
        return None
    done = tuple(str(order_id).lower() for order_id in canceled)
    return CancelAnswer(done, {str(key).lower(): str(why) for key, why in failed.items()})


def retry_after_s(response: HttpResponse, default_s: float) -> float:
    """Return what the Retry-After header asks for, in seconds, at most MAX_PAUSE_S; default_s when unreadable."""
    for name, value in response.headers.items():
        if name.lower() == "retry-after":
            try:
                asked_s = float(value)
            except ValueError:
                return default_s
            return min(MAX_PAUSE_S, asked_s) if asked_s >= 0.0 else default_s
    return default_s


def _classify_accepted(body: Mapping[str, object], order_id: str, is_buy: bool) -> Answer:
    told_id, status = body.get("orderID"), body.get("status")
    if not isinstance(told_id, str) or not told_id or not isinstance(status, str):
        return Answer(AnswerKind.UNKNOWN, Why.UNREADABLE_ANSWER)
    if told_id.lower() != order_id:
        return Answer(AnswerKind.UNKNOWN, Why.ORDER_ID_MISMATCH, text=told_id[:MAX_TEXT])
    status = status.lower()
    if status == UNMATCHED:
        # The official client reads it as a refusal, the documentation as resting: evidence decides.
        return Answer(AnswerKind.UNKNOWN, Why.UNMATCHED)
    if status not in (LIVE, MATCHED, DELAYED):
        return Answer(AnswerKind.UNKNOWN, Why.UNREADABLE_ANSWER, text=status[:MAX_TEXT])
    matched = 0 if status == LIVE else -1
    if status == MATCHED:
        try:
            matched = parse_micro(body.get("takingAmount" if is_buy else "makingAmount")) or -1
        except DecodeError:
            matched = -1
    return Answer(AnswerKind.ACCEPTED, status=status, matched_ushares=matched)


def _classify_error(http: int, text: str, body: Mapping[str, object] | None, is_taker: bool) -> Answer:
    claims_order = body is not None and str(body.get("status", "")).lower() in (LIVE, MATCHED, DELAYED)
    lowered = text.lower()
    for row in ERROR_TABLE:
        wanted = row.text.lower()
        found = lowered.startswith(wanted) if row.where == "prefix" else wanted in lowered
        if row.http != http or not found:
            continue
        if claims_order or (row.kind is AnswerKind.KILLED and not is_taker):
            break
        return Answer(row.kind, row.reason, text=text, stop_live=row.stop_live)
    return Answer(AnswerKind.UNKNOWN, Why.VENUE_OTHER, text=text)


def _with_pause(answer: Answer, response: HttpResponse) -> Answer:
    if answer.kind is not AnswerKind.NOT_SENT:
        return answer
    return Answer(answer.kind, answer.reason, text=answer.text, pause_s=retry_after_s(response, DEFAULT_PAUSE_S))


def _read_object(raw: bytes) -> Mapping[str, object] | None:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _error_text(body: Mapping[str, object] | None, response: HttpResponse) -> str:
    if body is None:
        # Half a JSON text must not be searched for reasons; plain text is honest only for these statuses.
        plain = response.body[:MAX_TEXT].decode("utf-8", "replace").strip()
        return plain if response.status in _PLAIN_TEXT and plain[:1] not in ("{", "[", '"') else ""
    texts = (body.get(name) for name in ("errorMsg", "error", "error_msg", "code"))
    return " | ".join(text.strip() for text in texts if isinstance(text, str) and text)[:MAX_TEXT]
