"""The unknown-outcome matrix: whatever becomes of the answer of a POST, the order's fate is found out, never guessed.

A cell is (what happens to the answer) x (what the venue did with the order) x (user channel up or down) x (what the
look-up by id says) x (the rest of the network well, or dark for 20 s afterwards); cells where the venue says in so
many words that it did not take the order are beside them.  In every cell: one POST leaves, the venue holds at most
one order, REJECTED is only said of an order the venue never took, the engine's exposure is never below the venue's,
a second order on the token waits, and the end is known within 5 s of the venue's answering (an order that never
arrived: of the moment when its market's complete lists are a proof), with equal books.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import orjson
import pytest

from polybot._fast.event import OrderStatus
from polybot.gateway.reasons import RejectReason
from polybot.gateway.resolver import CLOSE_GRACE_S
from polybot.sim import rest_faults
from polybot.sim.faults import Call, RestFault, Withheld
from polybot.transport import HttpResponse
from tests.gateway.floor import ENDS, FAK, GTC, INDEX, NS, SHARE, START_NS, Floor, run_floor

MARKET_S = 75.0
RESOLVED_S = 5.0
DARK_S = 20.0
REJECTED, UNKNOWN, LIVE = (int(OrderStatus[name]) for name in ("OS_REJECTED", "OS_UNKNOWN", "OS_LIVE"))
REFUSAL = {"error": "order {id} crosses the book"}


def late_refusal(call: Call) -> Withheld:
    return Withheld(response=HttpResponse(400, {}, orjson.dumps(REFUSAL)), after_s=30.0)


def reset_after_a_second(call: Call) -> Withheld:
    call()
    return Withheld(is_reset=True)


# name -> (fault when the venue takes the order, fault when it does not)
ANSWERS: dict[str, tuple[RestFault, RestFault | None]] = {
    "timeout": (rest_faults.timeout_after(), rest_faults.timeout_before()),
    "reset while writing": (reset_after_a_second, None),  # None: refused before the first byte
    "reset after writing": (rest_faults.reset_after(), rest_faults.reset_before()),
    "500": (
        rest_faults.server_error_after(500, {}),
        rest_faults.refused(500, {"error": "there are no matching orders"}),
    ),
    "empty body": (rest_faults.empty_body(), rest_faults.refused(200, b"")),
    "half an answer": (rest_faults.truncated(), rest_faults.refused(200, b'{"success":true,"errorMsg":"","ord')),
    "no order id": (
        rest_faults.without_order_id(),
        rest_faults.refused(200, {"success": True, "errorMsg": "", "orderID": "", "status": "live"}),
    ),
    "answer after 30 s": (rest_faults.late(30.0), late_refusal),
    "delivered twice": (rest_faults.twice(answer_of_second=True), rest_faults.refused(400, REFUSAL)),
}
DEFINITE = ("reset while writing", "delivered twice")  # not taken, and known to be
EFFECTS = ("filled", "live", "not taken")
CHANNELS = ("up", "down")
LOOKUPS = ("works", "404", "stale")
NETWORKS = ("well", "dark")
CELLS = list(product(ANSWERS, EFFECTS, CHANNELS, LOOKUPS, NETWORKS))
NOT_SENT: dict[str, RestFault] = {
    "425 empty": rest_faults.refused(425, b""),
    "425 text": rest_faults.refused(425, b"Too Early"),
    "425 json": rest_faults.refused(425, {"error": "Too Early: matching engine restart"}),
    "429 empty": rest_faults.refused(429, b""),
    "429 json": rest_faults.refused(429, {"error": "Too Many Requests"}, retry_after_s=3.0),
    "503 disabled": rest_faults.refused(503, {"error": "Trading is currently disabled. Check back soon"}),
    "503 cancel-only": rest_faults.refused(503, {"error": "Trading is currently cancel-only."}),
    "503 post-only": rest_faults.refused(503, {"error": "only post-only orders", "code": "post_only_mode"}),
}


def stale(call: Call) -> HttpResponse:
    """The look-up tells what was true when the order came."""
    answer = call()
    if answer.status != 200:
        return answer
    row = orjson.loads(answer.body) | {"status": "LIVE", "size_matched": "0", "associate_trades": []}
    return HttpResponse(200, answer.headers, orjson.dumps(row))


def plan_faults(floor: Floor, answer: str, effect: str, channel: str, lookup: str) -> None:
    taken, not_taken = ANSWERS[answer]
    fault = not_taken if effect == "not taken" else taken
    if fault is None:
        floor.network.is_refusing = True
    else:
        floor.faults.add("POST", "/order", fault)
    if channel == "down":
        floor.faults.muted.add("user")
    if lookup == "404":
        floor.faults.add("GET", "/data/order/", rest_faults.refused(404, {"error": "order not found"}), None)
    elif lookup == "stale":
        floor.faults.add("GET", "/data/order/", stale, None)


def true_exposure(wallet: Any, usd: int) -> int:
    """Micro-USD the venue has of ours or holds for an order: spent and reserved."""
    account = wallet.account
    return usd * 1_000_000 - account.cash + account.held_cash


async def watch_exposure(floor: Floor, wallet: Any, usd: int, short: list[str]) -> None:
    while True:
        ours, theirs = floor.engine.risk.exposure(), true_exposure(wallet, usd)
        if ours < theirs:
            short.append(f"{(floor.clock.now_ns() - START_NS) / NS:.2f} s: {ours} < {theirs}")
        await floor.clock.sleep(0.031)


def is_provable(answer: str, effect: str, channel: str, lookup: str, network: str) -> bool:
    """Whether anything tells the order's fate before its market is over."""
    if effect == "not taken":
        return answer in DEFINITE
    # Dark for 20 s: the venue's dead-man switch canceled it, and nobody who would tell is heard.
    return not (effect == "live" and network == "dark" and channel == "down" and lookup != "works")


def is_resolved(floor: Floor, order_seq: int, wallet: Any) -> bool:
    """What we believe is what the venue has: resting, or over with every fill known."""
    if wallet.account.orders:
        return floor.status(order_seq) == LIVE
    order = floor.engine.orders.get(order_seq)
    return floor.status(order_seq) in ENDS and (order is None or not order.is_open)


async def until(floor: Floor, ready: Callable[[], bool], limit_s: float) -> float:
    """Venue seconds until it is ready, at most limit_s."""
    start_ns = floor.clock.now_ns()
    while not ready() and floor.clock.now_ns() - start_ns < limit_s * NS:
        await floor.clock.sleep(0.02)
    return (floor.clock.now_ns() - start_ns) / NS


@pytest.mark.parametrize(("answer", "effect", "channel", "lookup", "network"), CELLS)
def test_an_order_whose_answer_is_spoilt_ends_as_the_venue_has_it(
    answer: str, effect: str, channel: str, lookup: str, network: str
) -> None:
    usd = 5_000

    async def scenario(floor: Floor, wallet: Any) -> None:
        short: list[str] = []
        watcher = floor.group.create_task(watch_exposure(floor, wallet, usd, short))
        plan_faults(floor, answer, effect, channel, lookup)
        order_type, price = (GTC, 5_000) if effect == "live" else (FAK, 5_200)
        floor.place(1, order_type=order_type, price_ticks=price)
        await floor.clock.sleep(0.2)
        floor.network.is_refusing = False
        if network == "dark":
            floor.network.is_dark = True
            await floor.clock.sleep(DARK_S)
            floor.network.is_dark = False
        posted = floor.gateway._tracker.by_seq(1)
        await until(floor, lambda: posted.answered, 6.0)
        if effect == "not taken" and answer not in DEFINITE:
            floor.place(2)
            await floor.clock.sleep(0.05)
            assert floor.status(2) == REJECTED, "a second order on the token did not wait"
            assert floor.status(1) == UNKNOWN
            assert network == "dark" or floor.reasons[2] == RejectReason.TOKEN_BLOCKED
        if not is_provable(answer, effect, channel, lookup, network):
            await floor.clock.sleep((START_NS - floor.clock.now_ns()) / NS + MARKET_S + CLOSE_GRACE_S)
        took_s = await until(floor, lambda: is_resolved(floor, 1, wallet), 30.0)
        assert took_s <= RESOLVED_S, f"resolved after {took_s:.1f} s"
        left_s = (START_NS - floor.clock.now_ns()) / NS + MARKET_S + CLOSE_GRACE_S
        await floor.clock.sleep(left_s)
        await floor.gateway.reconcile()  # as the window's end does
        await floor.clock.sleep(RESOLVED_S)
        watcher.cancel()
        check_books(floor, wallet, effect)
        assert short == []

    run_floor(scenario, usd=usd, market_s=MARKET_S)


def check_books(floor: Floor, wallet: Any, effect: str) -> None:
    history = wallet.account.history
    posts = len(floor.sent("POST", "/order"))
    assert posts <= 1, "sent more than once"
    assert len(history) == (0 if effect == "not taken" else 1)
    statuses = [status for _, status, _ in floor.updates[1]]
    assert effect == "not taken" or REJECTED not in statuses, "said to be rejected and was not"
    assert statuses[-1] in ENDS
    market = floor.engine.markets[INDEX]
    held = wallet.account.shares.get(next(iter(history.values())).market.condition_id, [0, 0]) if history else [0, 0]
    assert market.position() == tuple(held)
    assert sum(market.cost_usd) == 5_000_000_000 - wallet.account.cash
    assert (held[0] == 10 * SHARE) == (effect == "filled")


@pytest.mark.parametrize("name", NOT_SENT)
@pytest.mark.parametrize("order_type", [FAK, GTC])
def test_an_order_the_venue_says_it_did_not_take_is_rejected_at_once_and_entries_pause(
    name: str, order_type: int
) -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        assert floor.is_open
        floor.faults.add("POST", "/order", NOT_SENT[name])
        floor.place(1, order_type=order_type, price_ticks=5_200 if order_type == FAK else 5_000)
        await floor.clock.sleep(0.25)
        assert floor.status(1) == REJECTED
        assert floor.engine.risk.exposure() == 0
        assert not floor.is_open
        await until(floor, lambda: floor.is_open, 10.0)
        assert floor.is_open, "trading resumes by itself"
        floor.place(2)
        await floor.clock.sleep(5.0)
        assert floor.status(2) in ENDS - {REJECTED}
        assert len(wallet.account.history) == 1

    run_floor(scenario)


def test_the_matrix_has_its_cells() -> None:
    assert len(CELLS) == len(set(CELLS)) == 9 * 3 * 2 * 3 * 2
