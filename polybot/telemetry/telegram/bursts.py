"""Waiting alerts as messages: one line each, and one line for many of a kind, with their sums.

Owns what is merged and how long a message gets.  Nothing is lost in the numbers: counts, shares, money and states of
merged alerts are added exactly (integers).  Order is kept: a merged line stands where the first of its kind stood.
Must not send.  Called by telegram.sender.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from polybot.telemetry.telegram.alerts import Alert
from polybot.telemetry.telegram.markup import MAX_CHARS, money, plain, signed, size

__all__ = ["Letter", "compose"]

NS = 1_000_000_000
# An alert that left so much later than it came says when it came, wall.
LATE_NS = 30 * NS
# Kinds of which many become one line; the others are few and each matters.
MERGED: Mapping[str, str] = {
    "fill": "💱 {count} fills", "order": "📝 {count} order updates", "signal": "💡 {count} signals",
    "rejection": "❌ {count} REJECTIONS", "strike": "🎯 {count} strikes", "market_open": "🪟 {count} windows begun",
    "market_end": "🏁 {count} windows ended", "settlement": "⚖️ {count} settlements", "notice": "ℹ️ {count} notices",
    "refused_market": "🚫 {count} windows refused",
    "feed_lost": "📡 {count} times a feed lost", "feed_back": "📡 {count} times a feed back",
    "entries_closed": "⛔ {count} times entries closed", "entries_open": "🟢 {count} times entries open",
}  # fmt: skip
# Kinds that are merged per window.
PER_WINDOW = ("fill", "order", "signal", "rejection")
WORDS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to the chat."""

    html: str
    is_silent: bool


def compose(
    alerts: Sequence[Alert], *, lines_count: int, tag: str, now_ns: int, drops: Mapping[str, int]
) -> list[Letter]:
    """Messages of at most `lines_count` lines (an alert of several lines is not torn); all alerts are equally loud."""
    lines = _drop_lines(drops)
    lines += (
        _merged(alerts, now_ns) if len(alerts) > lines_count else [_dated(alert, now_ns) for alert in alerts]
    )
    is_silent = not any(alert.is_loud for alert in alerts)
    letters: list[Letter] = []
    page: list[str] = []
    for line in lines:
        is_long = sum(map(len, page)) + len(page) + len(line) > MAX_CHARS
        if page and (len(page) >= lines_count or is_long):
            letters.append(Letter(_tagged(page, tag), is_silent))
            page = []
        page.append(line)
    if page:
        letters.append(Letter(_tagged(page, tag), is_silent))
    return letters


def _tagged(page: list[str], tag: str) -> str:
    text = "\n".join(page)
    return f"{tag} {text}" if tag else text


def _drop_lines(drops: Mapping[str, int]) -> list[str]:
    if not drops:
        return []
    kinds = ", ".join(f"{count} {plain(kind)}" for kind, count in drops.items())
    return [f"⚠️ {sum(drops.values())} alerts were dropped while Telegram could not be reached: {kinds}"]


def _dated(alert: Alert, now_ns: int) -> str:
    if now_ns - alert.at_ns < LATE_NS:
        return alert.line
    return f"[{datetime.fromtimestamp(alert.at_ns // NS, UTC):%H:%M:%S} UTC] {alert.line}"


def _merged(alerts: Sequence[Alert], now_ns: int) -> list[str]:
    """Lines in the order of each group's first alert."""
    groups: dict[tuple[str, ...], list[Alert]] = {}
    for number, alert in enumerate(alerts):
        if alert.kind not in MERGED:
            groups["single", str(number)] = [alert]
        else:
            groups.setdefault((alert.kind, alert.label if alert.kind in PER_WINDOW else ""), []).append(alert)
    return [_line_of(group, now_ns) for group in groups.values()]


def _line_of(group: list[Alert], now_ns: int) -> str:
    if len(group) == 1:
        return _dated(group[0], now_ns)
    kind = group[0].kind
    where = f" {group[0].label}" if kind in PER_WINDOW and group[0].label else ""
    head = MERGED[kind].format(count=sum(alert.count for alert in group)) + where
    if kind == "fill":
        return f"{head}: {_fills(group)}"
    if kind == "market_end":
        return _ends(group)
    words: Counter[str] = Counter()
    for alert in group:
        words.update({alert.word: alert.count} if alert.word else {})
    shown = [f"{count} × {word}" for word, count in words.most_common(WORDS_SHOWN)]
    rest = sum(words.values()) - sum(count for _, count in words.most_common(WORDS_SHOWN))
    told = ", ".join([*shown, *([f"{rest} others"] if rest else [])])
    return f"{head}: {told}" if told else head


def _ends(group: list[Alert]) -> str:
    """Of each window what was said of it last: a correction takes the place of what it corrects."""
    latest = {alert.about or str(number): alert for number, alert in enumerate(group)}
    known = [alert.usd for alert in latest.values() if alert.is_known]
    told = [signed(sum(known))] if known else []
    unknown = len(latest) - len(known)
    told += [f"{unknown} not known yet"] if unknown else []
    return f"{MERGED['market_end'].format(count=len(latest))}: {', '.join(told)}"


def _fills(group: list[Alert]) -> str:
    """Sums by what was done: bought Up 120 for $62.40."""
    shares: Counter[str] = Counter()
    usd: Counter[str] = Counter()
    for alert in group:
        shares[alert.word] += alert.shares
        usd[alert.word] += alert.usd
    parts = [f"{word} {size(count)} for {money(usd[word])}" for word, count in shares.items()]
    fees = sum(alert.fee_usd for alert in group)
    return ", ".join([*parts, *([f"fees {money(fees)}"] if fees else [])])
