"""Rules that must hold at every instant of a run, checked on the venue's own ledger alone.

    accepted    every order at most once; on the grid, above the minimum size, within its window
    exposure    positions at cost and open buys at their limit, when an order is accepted: within the limit
    stops       no order arrives after a 429 before its Retry-After; none more often than once a second while the
                venue's mode refuses it; none while the user channel is closed; none after lost heartbeats
Owns these rules; knows the venue's facts and none of polybot's.  A refusal is believed to be known SEEN_S later,
everything else within the bound that stands beside it.  Called by tests and campaigns after a run.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from polybot._fast.event import OrderType
from polybot._fast.fees import notional_micro_usd, taker_fee_micro_usd
from polybot.sim.ledger import Row
from polybot.sim.ledger_view import own_rows
from polybot.sim.markets import BUY, ONE

__all__ = ["broken_rules"]

NS = 1_000_000_000
SEEN_S = 0.1  # an answer that was sent is known so long after
PROBE_S = 1.0  # orders at most so often while the venue refuses them
USER_GONE_S = 0.6  # a driver looks at its connection every 0.25 s
BEATS_LOST_S = 10.6  # a beat is sent 5 s after the last good one and given up 5 s later
UNTOUCHED = (
    "timeout_before",
    "reset_before",
    "error_before",
    "too_many",
    "storm_429",
)  # faults before the venue
ONE_ORDER = "POST /order"
MODES_REFUSE = (425, 503, 200)  # statuses of orders that the mode refused
TAKERS = (int(OrderType.FOK), int(OrderType.FAK))


@dataclass(slots=True)
class _Open:
    market: str
    left: int
    price: int
    reserve: int  # micro-USD at its limit, with fee
    since_ns: int
    is_taker: bool


@dataclass(slots=True)
class _Watch:
    """State of the account while the rows go by."""

    rows: list[Row]
    limit: int
    broken: list[str] = field(default_factory=list)
    markets: dict[str, Row] = field(default_factory=dict)
    ticks: dict[str, int] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    open: dict[str, _Open] = field(default_factory=dict)
    costs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    trades: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    retry_until_ns: tuple[int, int] = (0, 0)  # (from, to): no order between them
    refused_ns: int = 0  # last order that the mode refused
    user_gone_ns: int | None = None


def broken_rules(
    rows: Iterable[Row], *, max_exposure_micro_usd: int, account: str | None = None
) -> list[str]:
    """Every rule broken, in words with times; account None: the only one with a key."""
    view = own_rows(rows)
    names = [str(row["account"]) for row in view if row["k"] == "account"]
    account = account or names[0]
    watch = _Watch(view, max_exposure_micro_usd)
    beats = _unbeaten(view, account)
    for row in view:
        kind = row["k"]
        if kind == "market":
            watch.markets[row["market"]] = row
            watch.ticks[row["market"]] = row["tick"]
        elif kind == "tick":
            watch.ticks[row["market"]] = row["tick"]
        elif kind == "user" and row["account"] == account:
            watch.user_gone_ns = None if row["is_open"] else row["t"]
        elif _arrives(row, account):
            _check_stops(watch, row, beats)
            if kind == "order":
                _check_order(watch, row)
        _move(watch, row, account)
    return watch.broken


def _arrives(row: Row, account: str) -> bool:
    """Whether the row shows a POST /order of the account that reached, or nearly reached, the venue."""
    if row["k"] == "fault":
        return bool(row["what"] == ONE_ORDER and row["fault"] in UNTOUCHED)
    if row["k"] == "reject":
        return row["account"] == account and not row["text"].endswith("Duplicated.")
    return bool(row["k"] == "order" and row["account"] == account)


# ---- orders and exposure


def _check_order(watch: _Watch, row: Row) -> None:
    market, name, price = watch.markets[row["market"]], row["id"], row["price"]
    tick = watch.ticks[row["market"]]
    if name in watch.accepted:
        watch.broken.append(f"order {name}: accepted twice")
    watch.accepted.add(name)
    if price % tick or not tick <= price <= ONE - tick or row["ushares"] < market["min_ushares"]:
        watch.broken.append(f"order {name}: {row['ushares']} at {price} is off the grid {tick}")
    if not market["start_ns"] <= row["t"] < market["end_ns"]:
        watch.broken.append(f"order {name}: accepted at {row['t']}, outside of its window")
    is_taker = row["type"] in TAKERS or row["status"] == "DELAYED"
    reserve = 0
    if row["side"] == BUY:
        reserve = notional_micro_usd(row["ushares"], price)
        if is_taker:
            rate, exponent = market["fee_rate_ppm"], market["fee_exponent"]
            reserve += taker_fee_micro_usd(row["ushares"], price, rate, exponent)
    watch.open[name] = _Open(row["market"], row["ushares"], price, reserve, row["t"], is_taker)
    exposure = sum(order.reserve for order in watch.open.values()) + sum(
        max(cost, 0) for cost in watch.costs.values()
    )
    if row["side"] == BUY and exposure > watch.limit:
        watch.broken.append(f"order {name}: exposure {exposure} with it, limit {watch.limit} micro-USD")


def _move(watch: _Watch, row: Row, account: str) -> None:
    """Fills, reversals, ends and settlements change what is at risk."""
    if row["k"] == "leg":
        for role in ("taker", "maker"):
            if row[role] == account:
                _fill(watch, row, role)
    elif row["k"] == "trade" and row["status"] == "FAILED":
        for market, cost in watch.trades.pop(row["trade"], ()):
            watch.costs[market] -= cost
    elif row["k"] == "end":
        watch.open.pop(row["id"], None)
    elif row["k"] == "settle" and row["account"] == account:
        watch.costs.pop(row["market"], None)


def _fill(watch: _Watch, row: Row, role: str) -> None:
    """A sale that fails later stays a sale here: nobody could know when the next order was sent."""
    is_buy = row[f"{role}_side"] == BUY
    cost = (row[f"{role}_usd"] if is_buy else -row[f"{role}_usd"]) + (row["fee"] if role == "taker" else 0)
    watch.costs[row["market"]] += cost
    if is_buy:
        watch.trades[row["trade"]].append((row["market"], cost))
    order = watch.open.get(row[f"{role}_order"])
    if order is not None and order.left > 0:
        left = max(order.left - row["ushares"], 0)
        order.reserve = order.reserve * left // order.left
        order.left = left


# ---- stop conditions


def _check_stops(watch: _Watch, row: Row, beats: list[tuple[int, int]]) -> None:
    now_ns = row["t"]
    start_ns, end_ns = watch.retry_until_ns
    if start_ns <= now_ns < end_ns:
        watch.broken.append(f"order at {now_ns}: {(end_ns - now_ns) / NS:.3f} s before its Retry-After")
    retry_s = row.get("retry_s", 0)
    if retry_s:
        watch.retry_until_ns = (now_ns + round(SEEN_S * NS), now_ns + round(retry_s * NS))
    is_refused = row["k"] == "reject" and row["status"] in MODES_REFUSE
    if is_refused and watch.refused_ns:
        gap_s = (now_ns - watch.refused_ns) / NS
        if SEEN_S < gap_s < PROBE_S:
            watch.broken.append(f"order at {now_ns}: a probe {gap_s:.3f} s after the last refusal")
    watch.refused_ns = now_ns if is_refused else 0
    gone_ns = watch.user_gone_ns
    if gone_ns is not None and now_ns - gone_ns > round(USER_GONE_S * NS):
        watch.broken.append(f"order at {now_ns}: no user channel for {(now_ns - gone_ns) / NS:.3f} s")
    for lost_ns, again_ns in beats:
        if lost_ns < now_ns < again_ns:
            watch.broken.append(f"order at {now_ns}: heartbeats lost since {lost_ns}")


def _unbeaten(rows: Iterable[Row], account: str) -> list[tuple[int, int]]:
    """(from, to) of the times in which lost heartbeats forbade orders: the beat had to be missed while one rested."""
    resting: dict[str, tuple[int, int]] = {}
    gaps: list[tuple[int, int]] = []
    for row in rows:
        if row.get("account") != account:
            continue
        if row["k"] == "order" and row["status"] == "LIVE" and row["type"] not in TAKERS:
            resting[row["id"]] = (row["t"], 2**62)
        elif row["k"] == "end" and row["id"] in resting:
            resting[row["id"]] = (resting[row["id"]][0], row["t"])
        elif row["k"] == "beat":
            gaps.append((row["t"] - row["gap_ns"], row["t"]))
    due_ns = 5 * NS  # the beat that was missed was due then at the latest, and given up 5 s later
    return [
        (last_ns + round(BEATS_LOST_S * NS), again_ns)
        for last_ns, again_ns in gaps
        if any(since <= last_ns + due_ns < until for since, until in resting.values())
    ]
