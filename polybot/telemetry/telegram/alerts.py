"""Events of the daemon as alerts: which kind, how loud, and one line a person reads on a phone.

Owns the wording of alerts and the sums that are kept when many become one line.  Knows only the plain values of the
control verb `watch` (docs/OPERATIONS.md, Watch).  Must not send, wait or keep state beyond the names of windows.
Called by telegram.follower.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from polybot.config_telegram import NoiseConfig
from polybot.telemetry.telegram.markup import TICKS, bold, count_of, money, plain, signed, size

__all__ = ["Alert", "Labels", "alert_of", "noise_of"]

NS = 1_000_000_000
MAX_LABELS = 256
LONGEST = 9  # characters of an account that are shown
Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """One line for the phone; `word` and the sums are what remains of it when many become one."""

    kind: str
    line: str  # HTML
    is_loud: bool
    at_ns: int  # wall clock
    label: str = ""  # window, HTML
    word: str = ""  # HTML
    same_as: str = ""  # alerts with the same text here are told once; "": never the same
    shares: int = 0  # micro, bought positive
    usd: int = 0  # micro, paid positive
    fee_usd: int = 0  # micro
    about: str = ""  # what a later alert of this kind corrects: its usd takes the place of this one's
    is_known: bool = True  # usd is a figure, not the lack of one
    count: int = 1  # how many it stands for


class Labels:
    """Short names of windows: BTC 5m 20:35."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def learn(self, slug: str, facts: Facts) -> None:
        """Take note of a window; facts hold asset, interval and start_ns."""
        if slug and slug not in self._known and facts.get("start_ns"):
            start = datetime.fromtimestamp(int(facts["start_ns"]) // NS, UTC)
            asset = str(facts.get("asset", "")).upper()
            self._known[slug] = plain(f"{asset} {facts.get('interval', '')} {start:%H:%M}")
            while len(self._known) > MAX_LABELS:
                del self._known[next(iter(self._known))]

    def of(self, slug: str) -> str:
        """HTML; the slug itself when the window is not known."""
        return self._known.get(slug) or plain(slug, 60)


def noise_of(noise: NoiseConfig, kind: str) -> str:
    """on, silent or off; a kind nobody knows is silent, so that nothing new is lost."""
    return str(getattr(noise, kind, "silent"))


def alert_of(event: Facts, *, noise: NoiseConfig, labels: Labels, at_ns: int) -> Alert | None:
    """The alert for one event; None when its kind is off or it is no news."""
    kind = str(event.get("kind", "notice"))
    data: Facts = event.get("data") or {}
    slug = str(event.get("slug", ""))
    if kind == "market_open":
        labels.learn(slug, data)
    if kind == "notice" and event.get("level") in ("ERROR", "CRITICAL"):
        kind = "error"
    if kind == "fill" and data.get("state") == "FAILED":
        kind = "error"
    elif kind == "fill" and not data.get("is_first", True):
        return None  # its way to CONFIRMED
    loudness = noise_of(noise, kind)
    if loudness == "off":
        return None
    write = _WRITERS.get(kind, _other)
    line, extra = write(event, data, labels.of(slug) if slug else "")
    return Alert(kind, line, loudness == "on", at_ns, labels.of(slug) if slug else "", **extra)


def _fill(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    is_buy = data.get("side", "Buy") == "Buy"
    shares, cost, fee = (
        int(data.get("shares", 0)),
        abs(int(data.get("cost_usd", 0))),
        int(data.get("fee_usd", 0)),
    )
    verb = "bought" if is_buy else "sold"
    paid = f"{money(cost)}{f', fee {money(fee)}' if fee else ''}"
    what = f"{size(shares)} {plain(data.get('outcome', ''))} @ {_price(data)}"
    line = f"💱 {label} {plain(event.get('strategy', ''))}: {verb} {what} ({paid})"
    word = f"{verb} {plain(data.get('outcome', ''))}"
    return line, {"word": word, "shares": shares, "usd": cost, "fee_usd": fee}


def _order(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    what = (
        f"{plain(data.get('side', ''))} {size(int(data.get('shares', 0)))} {plain(data.get('outcome', ''))}"
    )
    line = f"📝 {label} {plain(event.get('strategy', ''))}: {what} @ {_price(data)} {plain(data.get('state', ''))}"
    return line, {"word": plain(data.get("state", ""))}


def _rejection(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    reason = plain(data.get("reason") or event.get("text", ""), 160)
    what = (
        f"{plain(data.get('side', ''))} {size(int(data.get('shares', 0)))} {plain(data.get('outcome', ''))}"
    )
    line = f"❌ REJECTED {label} {plain(event.get('strategy', ''))}: {what} @ {_price(data)}: {reason}"
    return line, {
        "word": reason,
        "same_as": f"rejection {event.get('slug')} {event.get('strategy')} {reason}",
    }


def _signal(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    edge, fair = data.get("edge"), data.get("fair")
    numbers = "" if edge is None or fair is None else f", edge {edge:.3f}, fair {fair:.3f}"
    strategy = plain(event.get("strategy", ""))
    return f"💡 {label} {strategy}: {plain(data.get('outcome', ''))} @ {_price(data)}{numbers}", {
        "word": strategy
    }


def _market_end(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    outcome = data.get("outcome")
    pnl = data.get("pnl_usd")
    result = f"<b>{signed(pnl)}</b>" if pnl is not None else "result not known yet"
    fixed = " (corrected)" if data.get("is_correction") else ""
    counts = f"{count_of(data.get('orders', 0), 'order')}, {count_of(data.get('fills', 0), 'fill')}"
    head = f"🏁 {label} ended {bold(outcome) if outcome else '?'}{fixed}: {result} ({counts})"
    parts = [
        f"   {plain(name)} {signed(one.get('pnl_usd'))} ({count_of(one.get('fills', 0), 'fill')})"
        for name, one in (data.get("strategies") or {}).items()
        if one.get("fills") or one.get("pnl_usd")
    ]
    usd = int(pnl) if pnl is not None else 0
    known = {"about": str(event.get("slug", "")), "is_known": pnl is not None}
    return "\n".join([head, *parts]), {"word": plain(outcome or "?"), "usd": usd, **known}


def _stop(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    text = plain(event.get("text", "stopped"))
    if data.get("orders_may_be_open"):
        text = f"<b>{text}</b>"
    if data.get("pnl_usd") is None:
        return f"⏹ {text}", {}
    windows = count_of(data.get("settled", 0), "window")
    return f"⏹ {text}; this session {signed(data['pnl_usd'])}, {windows} settled", {}


def _other(event: Facts, data: Facts, label: str) -> tuple[str, dict[str, Any]]:
    kind = str(event.get("kind", "notice"))
    icon, title = _TITLES.get(kind, ("ℹ️", ""))
    if kind in ("notice", "fill"):
        icon = "🔴" if event.get("level") in ("ERROR", "CRITICAL") or kind == "fill" else "ℹ️"
    text = str(event.get("text", ""))
    if text.startswith("reconcile failed"):  # entries.py's words: nothing was compared, so nothing differs
        icon, title = "🟠", "NOT COMPARED WITH THE VENUE"
    is_repeatable = kind in (
        "notice",
        "fill",
        "market_open",
        "strike",
        "settlement",
        "market_end",
        "redeemed",
    )
    same_as = "" if is_repeatable and kind != "notice" else f"{kind} {event.get('slug', '')} {text}"
    head = f"{icon} <b>{title}</b> " if title else f"{icon} "
    where = f"{label}: " if label else ""
    return f"{head}{where}{plain(text)}", {"word": plain(text, 80), "same_as": same_as}


def _price(data: Facts) -> str:
    ticks = data.get("price_ticks")
    return "?" if ticks is None else f"{int(ticks) / TICKS:g}"


_WRITERS: Mapping[str, Callable[[Facts, Facts, str], tuple[str, dict[str, Any]]]] = {
    "fill": _fill,
    "order": _order,
    "rejection": _rejection,
    "signal": _signal,
    "market_end": _market_end,
    "stop": _stop,
}
_TITLES: Mapping[str, tuple[str, str]] = {
    "start": ("▶️", ""),
    "halt": ("🛑", "HALT"),
    "resume": ("🟢", ""),
    "reconcile": ("🔴", "BOOKS DIFFER"),
    "refused_market": ("🚫", "window refused"),
    "market_open": ("🪟", ""),
    "strike": ("🎯", ""),
    "settlement": ("⚖️", ""),
    "redeemed": ("💵", "redeemed"),
    "feed_lost": ("📡", ""),
    "feed_back": ("📡", ""),
    "entries_closed": ("⛔", ""),
    "entries_open": ("🟢", ""),
}
