"""Ten thousand trades and a thousand book messages in one second, again and again: what the daemon made of them.

Owns the figures of the page; tests/test_overload.py holds the limits and shows that the judgement can fail.
Must not judge.  Called by bench.readme.
"""

import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tests.overloaded import Flood, Limits, Overload, Seen, read

__all__ = ["section"]

TRADES_PER_S = 10_000
BOOKS_PER_S = 1_000
WIDTH = 118  # characters of the page's lines
RAMP_FRAC = 0.001  # prices wander so far up and back, so that slow quotes are worth taking
SHORT_FLOODS, LONG_FLOODS = 3, 9
HEAD = (
    "flood", "sent in", "trades missing", "book changes missing", "age p50", "age p99", "age max", "last one applied",
    "orders", "oldest data at an order", "CPU", "memory after",
)  # fmt: skip


def section(*, is_short: bool) -> str:
    """The floods as markdown."""
    floods = SHORT_FLOODS if is_short else LONG_FLOODS
    rss_kb, cpu_s = [], []
    with tempfile.TemporaryDirectory(prefix="polybot-overload-") as name:
        with Overload(Path(name)) as overload:
            before_kb = overload.rss_kb()
            for _ in range(floods):
                before_s = overload.cpu_s()
                overload.flood(
                    trades_per_s=TRADES_PER_S, books_per_s=BOOKS_PER_S, seconds=1.0, ramp_frac=RAMP_FRAC
                )
                cpu_s.append(overload.cpu_s() - before_s)
                rss_kb.append(overload.rss_kb())
            overload.stop()
        seen = read(Path(name), overload.floods)
    return _text(overload.floods, seen, cpu_s=cpu_s, rss_kb=[before_kb, *rss_kb])


def _text(floods: Sequence[Flood], seen: Sequence[Seen], *, cpu_s: Sequence[float], rss_kb: Sequence[int]) -> str:
    limits = Limits()
    told = (
        f"{TRADES_PER_S:,} spot trades and {BOOKS_PER_S:,} book messages in one second at a real daemon's sockets (all "
        "its strategies, inputs log and telemetry on), then the next flood. What came is read from the daemon's inputs "
        "log by trade ids and numbered book changes; a trade's age is the time from its making in the venue's process "
        "to its reading in ours. `tests/test_overload.py` fails when a frame is missing, when the last one is applied "
        f"{limits.drained_s:g} s or more after it was made, when an order was decided on a trade older than "
        f"{limits.order_age_s:g} s (`risk.max_clock_skew_s`), or when memory grows by more than "
        f"{limits.growth_kb // 1024} MB from after the first flood to after the third."
    )
    lines = ["## Overload", textwrap.fill(told, WIDTH), "", f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for number, (flood, one) in enumerate(zip(floods, seen, strict=True)):
        cells = (
            f"{number + 1}",
            f"{flood.took_s:.2f} s",
            f"{one.missing_trades}",
            f"{one.missing_books}",
            f"{one.age_ms_p50:.2f} ms",
            f"{one.age_ms_p99:.1f} ms",
            f"{one.age_ms_max:.1f} ms",
            f"{one.drained_s * 1e3:.1f} ms",
            f"{one.orders}",
            f"{one.order_age_s * 1e3:.1f} ms" if one.orders else "",
            f"{cpu_s[number]:.2f} s",
            f"{rss_kb[number + 1] / 1024:.1f} MB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Memory before the first: {rss_kb[0] / 1024:.1f} MB (private pages only)."])
