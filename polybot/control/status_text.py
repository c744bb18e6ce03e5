"""A status answer as text for a terminal: the same facts, rounded and in words.

Owns the wording of `python -m polybot status`; knows only the plain values of control.status, so it also shows the
status of a daemon in another process.  Must not ask anybody anything.  Called by control.client.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from polybot.control.why_text import miss_text

__all__ = ["status_lines"]

MICRO = 1_000_000
CENT = 10_000
TICKS = 10_000
NS = 1_000_000_000
SHOWN = 12  # orders and positions in the text; the JSON form has more
Facts = Mapping[str, Any]


def status_lines(facts: Facts) -> list[str]:
    """All lines of one daemon's status."""
    return [
        *_head(facts),
        *_stops(facts),
        *_money(facts),
        *_list("orders", facts["orders"], _order),
        *_list("positions", facts["positions"], _position),
        _feeds(facts["feeds"]),
        *_why(facts["why"]),
    ]


def _head(facts: Facts) -> Iterator[str]:
    now = datetime.fromtimestamp(facts["now_ns"] // NS, UTC)
    real = "" if facts["venue"] != "sim" else "   SIMULATED: embedded venue, test money"
    yield f"polybot {facts['version']}   process {facts['pid']}   mode {facts['mode']}   venue {facts['venue']}{real}"
    yield f"account {facts['account']}   session {facts['session']}"
    yield (
        f"{facts['asset'].upper()} {facts['interval']}   venue time {now:%Y-%m-%d %H:%M:%S} UTC   risk {facts['risk']}"
        f"   windows settled {facts['windows']['settled']}"
        f" refused {facts['windows']['refused']}"
    )


def _stops(facts: Facts) -> Iterator[str]:
    for halt in facts["halts"]:
        yield f"HALTED ({halt['kind']}) by {halt['by']}: {halt['reason'] or 'no reason given'}"
    if facts["stopping"]:
        yield "STOPPING"
    if not facts["ready"]:
        yield "entries   closed: starting"
    elif facts["entries"]["open"]:
        yield "entries   open" if not facts["halts"] else "entries   open at the venue, halted here"
    else:
        yield f"entries   closed: {facts['entries']['reason']}"


def _money(facts: Facts) -> Iterator[str]:
    pnl, exposure = facts["pnl"], facts["exposure"]
    yield (
        f"pnl       day {_usd(pnl['day_usd'])} (halt at {_usd(-pnl['daily_halt_usd'])})   "
        f"week {_usd(pnl['week_usd'])} (halt at {_usd(-pnl['weekly_halt_usd'])})   "
        f"open positions {_usd(pnl['marked_usd'])} (the halts count them)"
    )
    cash = "unknown" if exposure["cash_usd"] < 0 else _plain(exposure["cash_usd"])
    redeem = facts["unredeemed_usd"]
    yield (
        f"exposure  {_plain(exposure['open_usd'])} held, {_plain(exposure['reserved_usd'])} in orders, "
        f"of {_plain(exposure['limit_usd'])}   cash {cash}   "
        f"unredeemed {'unknown' if redeem is None else _plain(redeem)}"
    )


def _list(name: str, listed: Facts, line: Any) -> Iterator[str]:
    shown: Sequence[Facts] = listed["shown"][:SHOWN]
    yield f"{name:<10}{listed['count'] or 'none'}"
    for item in shown:
        yield f"    {line(item)}"
    if listed["count"] > len(shown):
        yield f"    and {listed['count'] - len(shown)} more: control.json=true"


def _order(item: Facts) -> str:
    return (
        f"{item['order_seq']}  {item['slug']}  {item['strategy']}  {item['side']} {item['shares'] / MICRO:g} "
        f"{item['outcome']} @ {item['price_ticks'] / TICKS:g} {item['order_type']}  {item['state']}  "
        f"filled {item['filled'] / MICRO:g}"
    )


def _position(item: Facts) -> str:
    mark = "unknown" if item["mark_usd"] is None else _plain(item["mark_usd"])
    cost = item["cost_usd"]
    paid = f"cost {_plain(cost)}" if cost >= 0 else f"sold for {_plain(-cost)} above cost"
    return f"{item['slug']}  {item['shares'] / MICRO:g} {item['outcome']}  {paid}  mark {mark}"


def _feeds(ages: Mapping[str, float | None]) -> str:
    parts = [f"{name} {'never' if age is None else f'{age:.1f}s'}" for name, age in ages.items()]
    return f"feeds     last data before: {', '.join(parts)}"


def _why(windows: Sequence[Facts]) -> Iterator[str]:
    if not windows:
        yield "why not   no window is open now"
    for window in windows:
        blocked = f"   every entry blocked: {window['blocked']}" if window["blocked"] else ""
        yield f"why not   {window['slug']}  {window['left_s']:.0f} s left{blocked}"
        for one in window["strategies"]:
            denied = ", ".join(f"{name} {count}" for name, count in one["denied"].items())
            blocked = f"last blocked by {miss_text(one['miss'])}" if one["miss"] else ""
            state = "disabled" if not one["enabled"] else blocked
            yield (
                f"    {one['name']:<18} signals {one['signals']}  orders {one['orders']}"
                f"{f'  denied: {denied}' if denied else ''}  {state}"
            )


def _usd(micro: int) -> str:
    return f"{'-' if micro <= -CENT / 2 else '+'}${abs(micro) / MICRO:,.2f}"


def _plain(micro: int) -> str:
    return f"{'-' if micro <= -CENT / 2 else ''}${abs(micro) / MICRO:,.2f}"
