"""Faults of one REST request, ready made: what goes wrong, and whether the request still has its effect.

Owns one builder per kind of fault; each returns a RestFault for ScriptedFaults.add or the seeded plan.  The suffix
says when it strikes: `_before` the venue never sees the request, `_after` the effect is had and the answer lost or
spoilt.  Error texts are those of the reference (venue-polymarket.md, section 8).  Must not draw random numbers.
"""

from collections.abc import Callable
from typing import Any

import orjson

from polybot.sim.faults import Call, RestFault, Withheld
from polybot.transport import HttpResponse

__all__ = [
    "cursor_repeated",
    "empty_body",
    "late",
    "order_as_at_first",
    "page_holed",
    "refused",
    "replaced",
    "reset_after",
    "reset_before",
    "server_error_after",
    "timeout_after",
    "timeout_before",
    "trades_until",
    "truncated",
    "twice",
    "without_order_id",
]

_JSON = {"Content-Type": "application/json"}


def timeout_before() -> RestFault:
    """The request is lost on its way: no effect, no answer."""
    return lambda call: Withheld()


def timeout_after() -> RestFault:
    """The request has its effect; its answer is lost."""

    def fault(call: Call) -> Withheld:
        call()
        return Withheld()

    return fault


def reset_before() -> RestFault:
    """The connection breaks before the venue read the request."""
    return lambda call: Withheld(is_reset=True)


def reset_after() -> RestFault:
    """The connection breaks after the effect, before the answer."""

    def fault(call: Call) -> Withheld:
        call()
        return Withheld(is_reset=True)

    return fault


def refused(status: int, body: object = b"", *, retry_after_s: float | None = None) -> RestFault:
    """Answer so without an effect; `body` is bytes as they are, or an object to send as JSON."""
    return lambda call: _response(status, body, retry_after_s)


def server_error_after(status: int = 500, body: object = b"") -> RestFault:
    """The effect is had; the answer is an error."""
    return replaced(status, body)


def replaced(status: int, body: object = b"") -> RestFault:
    """The effect is had; this is the answer instead of the true one."""

    def fault(call: Call) -> HttpResponse:
        call()
        return _response(status, body, None)

    return fault


def empty_body() -> RestFault:
    """The effect is had; the answer keeps its status and loses its body."""
    return lambda call: _with_body(call(), b"")


def truncated(kept_frac: float = 0.5) -> RestFault:
    """The effect is had; the answer's JSON ends early (never at its true end)."""

    def fault(call: Call) -> HttpResponse:
        answer = call()
        kept = min(int(len(answer.body) * kept_frac), len(answer.body) - 1)
        return _with_body(answer, answer.body[: max(kept, 0)])

    return fault


def without_order_id() -> RestFault:
    """The effect is had; a 200 names no order.  Answers of other shape stay as they are."""

    def fault(call: Call) -> HttpResponse:
        answer = call()
        data = orjson.loads(answer.body) if answer.status == 200 else None
        if not isinstance(data, dict) or "orderID" not in data:
            return answer
        return _with_body(answer, orjson.dumps(data | {"orderID": ""}))

    return fault


def late(seconds: float) -> RestFault:
    """The effect is had at once; the answer takes so many venue seconds."""
    return lambda call: Withheld(response=call(), after_s=seconds)


def twice(*, answer_of_second: bool) -> RestFault:
    """The network delivers the request twice; the client reads one of the two answers."""

    def fault(call: Call) -> HttpResponse:
        first, second = call(), call()
        return second if answer_of_second else first

    return fault


def order_as_at_first() -> RestFault:
    """GET /data/order shows an order as it was when accepted, whatever became of it."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        status = "DELAYED" if row.get("order_type") in ("FAK", "FOK") else "LIVE"
        return row | {"status": status, "size_matched": "0", "associate_trades": []} if "id" in row else row

    return _edited(edit)


def trades_until(match_s: int) -> RestFault:
    """GET /data/trades without those matched after a second of venue time; the page does not show it."""

    def edit(page: dict[str, Any]) -> dict[str, Any]:
        rows = [row for row in page.get("data", []) if int(row["match_time"]) <= match_s]
        return page | {"data": rows, "count": len(rows)} if "data" in page else page

    return _edited(edit)


def page_holed() -> RestFault:
    """A page misses the last row that it counts."""
    return _edited(lambda page: page | {"data": page["data"][:-1]} if page.get("data") else page)


def cursor_repeated() -> RestFault:
    """A page's cursor leads back to the first page."""
    return _edited(lambda page: page | {"next_cursor": "MA=="} if "next_cursor" in page else page)


def _edited(edit: Callable[[dict[str, Any]], dict[str, Any]]) -> RestFault:
    """The effect is had; a 200 with an object is edited."""

    def fault(call: Call) -> HttpResponse:
        answer = call()
        data = orjson.loads(answer.body) if answer.status == 200 else None
        return _with_body(answer, orjson.dumps(edit(data))) if isinstance(data, dict) else answer

    return fault


def _response(status: int, body: object, retry_after_s: float | None) -> HttpResponse:
    headers = dict(_JSON)
    if retry_after_s is not None:
        headers["Retry-After"] = f"{retry_after_s:g}"
    return HttpResponse(status, headers, body if isinstance(body, bytes) else orjson.dumps(body))


def _with_body(answer: HttpResponse, body: bytes) -> HttpResponse:
    return HttpResponse(answer.status, answer.headers, body)
