"""Why a window was not traded, as text for a terminal: counts, denials, last look and nearest miss of each strategy.

Owns the wording of `status --why`; knows only the plain values of control.why, from a daemon's status or from a
market.json, so live and finished windows read alike.  Must not ask anybody anything.  Called by control.client.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polybot.control.past_windows import PastWindow

__all__ = ["miss_text", "past_lines", "why_lines"]

Facts = Mapping[str, Any]
INDENT = " " * 4
UNDER = " " * 23  # below the counts of a strategy


def why_lines(windows: Sequence[Facts]) -> list[str]:
    """All lines of the windows that are live."""
    if not windows:
        return ["why not   no window is open now"]
    lines = []
    for window in windows:
        blocked = f"   every entry blocked: {window['blocked']}" if window["blocked"] else ""
        lines.append(f"why not   {window['slug']}  {window['left_s']:.0f} s left{blocked}")
        lines += _body(window["seconds"], window["strategies"])
    return lines


def past_lines(window: PastWindow) -> list[str]:
    """All lines of a window that is over."""
    lines = [f"why not   {window.slug}  outcome {window.outcome or 'unknown'}"]
    if window.others:
        lines.append(f"{INDENT}{window.others} more begin so; this one was written last")
    for session in window.sessions:
        if len(window.sessions) > 1:
            lines.append(f"{INDENT}the process that joined it {session['opened']}, counting from 0:")
        lines += _session(session)
    return lines


def _session(session: Facts) -> Iterator[str]:
    why = session["why"]
    if not why:
        yield f"{INDENT}no counts: it ended before it told any (they come every ten seconds), or is an older version's"
        return
    if not why["final"]:
        yield f"{INDENT}counts as of {why['at']}: later ones were not told (it still runs, or was killed)"
    yield from _body(why["seconds"], tuple(why["strategies"].values()))
    untold = (session["totals"] or {}).get("untold")
    if untold:
        yield f"{INDENT}{untold} of these signals have no row in signals.csv: their records were lost on the way"


def _body(seconds: Mapping[str, float], strategies: Sequence[Facts]) -> Iterator[str]:
    """Time by reason, then each strategy."""
    spent = ", ".join(f"{reason} {spent_s:.1f} s" for reason, spent_s in seconds.items())
    yield f"{INDENT}time      {spent or 'none yet'}"
    for one in strategies:
        yield from _strategy(one)


def _strategy(one: Facts) -> Iterator[str]:
    denied = sorted(one["denied"].items(), key=lambda item: (-item[1], item[0]))
    counts = f"signals {one['signals']} = orders {one['orders']} + dropped {one['dropped']}"
    restored = f", {one['restored']} orders of an earlier process" if one.get("restored") else ""
    state = "" if one["enabled"] else "   disabled"
    total = sum(one["denied"].values())
    yield f"{INDENT}{one['name']:<18} {counts} + denied {total}{restored}{state}"
    if denied:
        yield f"{UNDER}denied: {', '.join(f'{name} {count}' for name, count in denied)}"
    if one["miss"]:
        yield f"{UNDER}last look blocked by {miss_text(one['miss'])}"
    if one["nearest"]:
        near = one["nearest"]
        when = f"{near['passed']} of {near['of']} gates passed, {near['left_s']:.0f} s left"
        yield f"{UNDER}nearest miss {miss_text(near)} ({when})"
    elif one["enabled"]:
        yield f"{UNDER}nearest miss: none; {'every look made a signal' if one['signals'] else 'it was never asked'}"


def miss_text(miss: Facts) -> str:
    """A gate with its number and threshold; of a yes/no gate the name says it."""
    if miss["wanted"] == "yes":
        return str(miss["gate"])
    value = "unknown" if miss["value"] is None else f"{miss['value']:.4g}"
    threshold = "unknown" if miss["threshold"] is None else f"{miss['threshold']:.4g}"
    return f"{miss['gate']}: {value}, wanted {miss['wanted']} {threshold}"
