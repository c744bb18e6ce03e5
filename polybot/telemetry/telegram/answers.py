"""A watch answer as the text of /status, /pnl, /orders and the others: short, in the order a person asks.

Owns the wording; knows only the plain values of the control verb `watch` (docs/OPERATIONS.md, Watch).  Every text
from outside is escaped.  Must not ask anybody.  Called by telegram.commander and telegram.follower.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from polybot.telemetry.telegram.markup import (
    TICKS,
    bold,
    cost_text,
    count_of,
    cut_lines,
    hours_text,
    money,
    plain,
    signed,
    size,
    table,
)

__all__ = [
    "alive_line",
    "held_line",
    "identity_line",
    "latency_text",
    "mode_text",
    "orders_text",
    "pnl_text",
    "positions_text",
    "risk_text",
    "status_text",
    "tag_of",
    "why_text",
]

NS = 1_000_000_000
MAX_ROWS = 20
Facts = Mapping[str, Any]


def tag_of(facts: Facts) -> str:
    """What stands before every alert that is not about real money."""
    if facts.get("venue") == "sim":
        return "[SIM]"
    return "[PAPER]" if facts.get("mode") == "paper" else ""


def identity_line(facts: Facts) -> str:
    """Which run this is, in one line."""
    words = " ".join(str(facts.get(key, "")) for key in ("venue", "mode", "asset", "interval", "risk"))
    return plain(f"{words}, process {facts.get('pid')}, account {_short(facts)}")


def held_line(facts: Facts) -> str:
    """What is at stake: orders, positions, stops."""
    orders, positions = facts.get("orders") or {}, facts.get("positions") or {}
    exposure = facts.get("exposure") or {}
    held = count_of(positions.get("count", 0), "position")
    parts = [f"{count_of(orders.get('count', 0), 'order')} open", held]
    if exposure:
        parts.append(f"{money(exposure.get('open_usd'))} held")
    stops = _stops(facts)
    return ", ".join([*parts, *stops]) if stops else ", ".join(parts)


def alive_line(facts: Facts) -> str:
    """How the day goes."""
    pnl, windows = facts["pnl"], facts["windows"]
    health = facts.get("health") or {}
    ill = "" if health.get("ok", True) else f", UNWELL: {plain(', '.join(health.get('reasons') or ()))}"
    return f"day {signed(pnl['day_usd'])}, {windows['settled']} windows settled, {held_line(facts)}{ill}"


def status_text(facts: Facts, *, silent_s: float = 0.0, is_ended: bool = False) -> str:
    """/status."""
    lines = [_headline(facts, silent_s, is_ended=is_ended), identity_line(facts)]
    pnl, exposure = facts["pnl"], facts["exposure"]
    lines.append(
        f"day {bold(signed(pnl['day_usd']))}  week {signed(pnl['week_usd'])}  open {signed(pnl['marked_usd'])}"
    )
    cash = exposure.get("cash_usd", -1)
    lines.append(
        f"held {money(exposure['open_usd'])} + orders {money(exposure['reserved_usd'])} of "
        f"{money(exposure['limit_usd'])}, cash {money(cash if cash >= 0 else None)}"
    )
    lines.append(f"orders {facts['orders']['count']}, positions {facts['positions']['count']}")
    for market in _traded(facts):
        lines += _market_lines(market)
    ages = ", ".join(
        f"{plain(_feed(name))} {'never' if age is None else f'{age:.1f}s'}"
        for name, age in facts["feeds"].items()
    )
    lines.append(f"feeds: {ages}")
    return cut_lines(lines)


def _headline(facts: Facts, silent_s: float, *, is_ended: bool) -> str:
    """The first line of a status: what a person must know when he reads nothing else."""
    if is_ended:
        return f"⏹ <b>ended in order {hours_text(silent_s)} ago</b>; this is what was known before"
    if silent_s > 0.0:
        return f"🔴 <b>NO ANSWER for {hours_text(silent_s)}</b>; this is what was known before"
    stops = _stops(facts)
    health = facts.get("health") or {}
    if not health.get("ok", True):
        stops = [*stops, f"unwell: {plain(', '.join(health.get('reasons') or ()))}"]
    return f"🔴 <b>{'; '.join(stops)}</b>" if stops else "🟢 <b>trading</b>"


def _stops(facts: Facts) -> list[str]:
    """Everything that keeps new orders out."""
    stops = [
        f"HALTED ({plain(halt['kind'])}) by {plain(halt['by'], 60)}: {plain(halt['reason'] or 'no reason given', 120)}"
        for halt in facts.get("halts") or ()
    ]
    entries = facts.get("entries") or {}
    if facts.get("stopping"):
        stops.append("STOPPING")
    if not facts.get("ready", True):
        stops.append("starting")
    elif not entries.get("open", True):
        stops.append(f"entries closed: {plain(entries.get('reason', ''), 120)}")
    return stops


def _traded(facts: Facts) -> list[Facts]:
    """Live windows that are traded."""
    markets = [
        one for one in facts.get("markets") or () if not one.get("observed") and one.get("left_s", 0) > 0
    ]
    return markets[:4]


def _market_lines(market: Facts) -> list[str]:
    up = market.get("up") or {}
    strike, fair = market.get("strike"), market.get("fair_up")
    lines = [f"{bold(_label(market))} {hours_text(market.get('left_s', 0))} left{_blocked(market)}"]
    spot = market.get("spot")
    distance = f" ({spot - strike:+,.2f})" if strike and spot is not None else ""
    lines.append(f"   strike {_number(strike)}, spot {_number(spot)}{distance}")
    quote = f"{_ticks(up.get('bid_ticks'))} / {_ticks(up.get('ask_ticks'))}"
    lines.append(f"   fair Up {'–' if fair is None else f'{fair:.3f}'}, market {quote}")
    held = {name: count for name, count in (market.get("held") or {}).items() if count}
    if held:
        told = ", ".join(f"{size(count)} {plain(name)}" for name, count in held.items())
        lines.append(f"   held {told}, {cost_text(market.get('cost_usd'))}")
    return lines


def pnl_text(facts: Facts) -> str:
    """/pnl."""
    pnl, totals = facts["pnl"], facts.get("totals") or {}
    lines = [
        f"day {bold(signed(pnl['day_usd']))} (halt at {signed(-pnl['daily_halt_usd'])})",
        f"week {bold(signed(pnl['week_usd']))} (halt at {signed(-pnl['weekly_halt_usd'])})",
        f"open positions {signed(pnl['marked_usd'])}",
    ]
    if totals:
        lines.append(
            f"this session {bold(signed(totals['pnl_usd']))}: {totals['markets']} windows, {totals['wins']} won, "
            f"{totals['losses']} lost, {totals['fills']} fills, fees {money(totals['fees_usd'])}"
        )
        rows = [("strategy", "fills", "pnl")]
        rows += [
            (name[:18], str(one["fills"]), signed(one["pnl_usd"]))
            for name, one in totals["by_strategy"].items()
        ]
        lines.append(table(rows))
    return "\n".join(lines)


def positions_text(facts: Facts) -> str:
    """/positions."""
    listed = facts["positions"]
    if not listed["count"]:
        return "no positions"
    lines = [f"<b>{count_of(listed['count'], 'position')}</b>"]
    for one in listed["shown"][:MAX_ROWS]:
        cost, mark = one["cost_usd"], one["mark_usd"]
        gain = "" if mark is None else f" ({signed(mark - cost)})"
        what = f"{size(one['shares'])} {plain(one['outcome'])}"
        lines.append(
            f"{plain(_window(facts, one['slug']))}: {what}, {cost_text(cost)}, mark {money(mark)}{gain}"
        )
    return cut_lines([*lines, *_more(listed)])


def orders_text(facts: Facts) -> str:
    """/orders."""
    listed = facts["orders"]
    if not listed["count"]:
        return "no open orders"
    lines = [f"<b>{count_of(listed['count'], 'open order')}</b>"]
    for one in listed["shown"][:MAX_ROWS]:
        what = f"{plain(one['side'])} {size(one['shares'])} {plain(one['outcome'])} @ {one['price_ticks'] / TICKS:g}"
        filled = f", filled {size(one['filled'])}" if one["filled"] else ""
        window = plain(_window(facts, one["slug"]))
        lines.append(f"{window} {plain(one['strategy'])}: {what} {plain(one['state'])}{filled}")
    return cut_lines([*lines, *_more(listed)])


def _more(listed: Facts) -> list[str]:
    left = listed["count"] - min(MAX_ROWS, len(listed["shown"]))
    return [f"… {left} more"] if left > 0 else []


def why_text(facts: Facts) -> str:
    """/why: what kept each strategy from trading."""
    markets = _traded(facts)
    if not markets:
        return "no window is open now"
    lines = []
    for market in markets:
        lines.append(f"{bold(_label(market))} {hours_text(market['left_s'])} left{_blocked(market)}")
        for one in market.get("strategies") or ():
            lines += _strategy_lines(one)
    return cut_lines(lines)


def _strategy_lines(one: Facts) -> list[str]:
    if not one.get("enabled", True):
        return [f"{plain(one['name'])}: off"]
    counts = f"{one.get('signals', 0)} signals, {one.get('orders', 0)} orders"
    dropped = f", {one['dropped']} dropped" if one.get("dropped") else ""
    lines = [f"<b>{plain(one['name'])}</b>: {counts}{dropped}"]
    denied = ", ".join(f"{plain(name)} {count}" for name, count in (one.get("denied") or {}).items())
    if denied:
        lines.append(f"   denied: {denied}")
    if one.get("nearest"):
        lines.append(f"   nearest miss: {_miss(one['nearest'])}{_at(one['nearest'])}")
    elif one.get("miss"):
        lines.append(f"   last: {_miss(one['miss'])}")
    return lines


def _miss(miss: Facts) -> str:
    gate = plain(miss.get("gate", ""))
    if miss.get("wanted") == "yes" or miss.get("threshold") is None:
        return gate
    value = miss.get("value")
    shown = "unknown" if value is None else f"{value:.4g}"
    return f"{gate} {shown}, wanted {plain(miss.get('wanted', ''))} {miss['threshold']:.4g}"


def _at(nearest: Facts) -> str:
    """How far it got and when."""
    gates = f" ({nearest['passed']} of {nearest['of']} gates)" if nearest.get("of") else ""
    left_s = nearest.get("left_s")
    return gates + ("" if left_s is None else f" with {hours_text(left_s)} left")


def latency_text(facts: Facts) -> str:
    """/latency: stages in microseconds."""
    stages: Sequence[Facts] = facts.get("latency") or ()
    if not stages:
        return "nothing was measured yet"
    rows = [("us", "n", "p50", "p90", "p99", "max")]
    for one in stages:
        p50, p90, p99, most = (_us(one[key]) for key in ("p50_us", "p90_us", "p99_us", "max_us"))
        rows.append((str(one["name"])[:13], str(one["count"]), p50, p90, p99, most))
    lag = (facts.get("health") or {}).get("loop_lag_ms")
    lag_ms = (
        max(lag.values()) if isinstance(lag, Mapping) else max(lag) if isinstance(lag, list) and lag else lag
    )
    tail = f"\nloop lag {lag_ms:.1f} ms" if isinstance(lag_ms, int | float) else ""
    return table(rows) + tail


def risk_text(facts: Facts) -> str:
    """/risk: limits in force and how much of them is used."""
    pnl, exposure = facts["pnl"], facts["exposure"]
    used = exposure["open_usd"] + exposure["reserved_usd"]
    limit = exposure["limit_usd"]
    share = f" ({100.0 * used / limit:.0f} %)" if limit > 0 else ""
    lines = [
        f"risk table {bold(facts['risk'])}",
        f"exposure {money(used)} of {money(limit)}{share}",
        f"day {signed(pnl['day_usd'])}, halt at {signed(-pnl['daily_halt_usd'])}",
        f"week {signed(pnl['week_usd'])}, halt at {signed(-pnl['weekly_halt_usd'])}",
        *(_stops(facts) or ["no halt"]),
    ]
    return "\n".join(lines)


def mode_text(facts: Facts) -> str:
    """/mode: is it real?"""
    if facts["venue"] == "sim":
        meaning = "SIMULATED: embedded venue, test money; nothing here is real"
    elif facts["mode"] == "paper":
        meaning = "PAPER: real prices, simulated fills; no order leaves"
    else:
        meaning = "REAL ORDERS with real money"
    started = datetime.fromtimestamp(int(facts.get("started_ns") or 0) // NS, UTC)
    return "\n".join(
        [
            bold(meaning),
            identity_line(facts),
            f"polybot {plain(facts.get('version', '?'))}, since {started:%Y-%m-%d %H:%M} UTC (venue time)",
        ]
    )


def _short(facts: Facts) -> str:
    account = str(facts.get("account", ""))
    return account if len(account) <= 14 else f"{account[:6]}…{account[-4:]}"


def _label(market: Facts) -> str:
    start = datetime.fromtimestamp(int(market.get("start_ns") or 0) // NS, UTC)
    return f"{str(market.get('asset', '')).upper()} {market.get('interval', '')} {start:%H:%M}"


def _window(facts: Facts, slug: str) -> str:
    market = next((one for one in facts.get("markets") or () if one.get("slug") == slug), None)
    return _label(market) if market is not None else slug


def _feed(name: str) -> str:
    """A feed's name without a window's slug."""
    return name.partition(" ")[0]


def _blocked(market: Facts) -> str:
    return f", blocked: {plain(market['blocked'])}" if market.get("blocked") else ""


def _number(value: float | None) -> str:
    return "–" if not value else f"{value:,.2f}" if abs(value) >= 10 else f"{value:.5f}"


def _ticks(ticks: int | None) -> str:
    return "–" if ticks is None or ticks < 0 else f"{ticks / TICKS:g}"


def _us(value: float) -> str:
    return f"{value:.0f}" if value < 100_000 else f"{value / 1_000:.0f}k"
