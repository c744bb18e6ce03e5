"""The run on one picture for a messenger: what it is, the result with its stress tests, the curve.

Owns the layout of the PNG: at most 1280 pixels wide and 500 kB.  It says the same as the top of the page and promises
no more: kind of run and caveats first, no headline without the harsher variants.
Called by polybot.report.command and at the end of the command `backtest`.
"""

import html
import re
import textwrap
from typing import Any

from polybot.backtest.counted import Counted
from polybot.backtest.score_tree import FlatteryRow, Interval
from polybot.report.canvas import Sheet
from polybot.report.caveats import KINDS, caveats, run_kind, shows_headline
from polybot.report.drawings import draw_equity_on, draw_flattery_on, short
from polybot.report.facts import Facts
from polybot.report.numbers import shown
from polybot.report.opening import chance_words, span_words

__all__ = ["MAX_BYTES", "WIDTH_PX", "draw_summary"]

WIDTH_PX = 1280
HEIGHT_PX = 1180
MAX_BYTES = 500_000
CAVEATS = 6  # lines; the page has all
CAVEAT_CHARS = 112


def draw_summary(facts: Facts) -> bytes:
    """Return the PNG; raises LibraryMissing without matplotlib."""
    from matplotlib.gridspec import GridSpec

    sheet = Sheet(WIDTH_PX // 2, HEIGHT_PX // 2, themed=False, font_px=9.0)
    with_curve = bool(facts.scores.equity.at_ns)
    lines = _caveat_lines(facts)
    top = 0.93 - 0.024 * len(lines)
    grid = GridSpec(
        2,
        1,
        figure=sheet.figure,
        height_ratios=(1.0, 1.35),
        left=0.035,
        right=0.975,
        top=top - 0.09,
        bottom=0.085,
        hspace=0.32,
    )
    sheet.figure.set_layout_engine("none")
    _head(sheet, facts, lines)
    _headline(sheet, facts, top)
    _stress(sheet, facts, grid[0])
    if with_curve:
        fill_ns = Counted.of(facts.result.table("markets"), facts.result.table("fills")).fills["recv_ns"]
        draw_equity_on(sheet, facts.scores.equity, fill_ns, size=(WIDTH_PX // 2, 0), grid=_inset(grid[1]))
    else:
        _say(sheet, 0.04, 0.3, "No fill counts: there is no curve.", color="muted")
    _say(
        sheet,
        0.04,
        0.012,
        "Past results promise nothing. Intervals: 95 %, by market.",
        color="muted",
        size=7.5,
    )
    data = sheet.to_png(scale=2.0)
    return data if len(data) <= MAX_BYTES else sheet.to_png(scale=1.0)


def _head(sheet: Sheet, facts: Facts, lines: list[str]) -> None:
    kind = KINDS[run_kind(facts)][0]
    _say(sheet, 0.04, 0.965, short(facts.result.name, 46), size=15, weight="bold")
    words = f"{kind} · {span_words(facts.result.table('markets'))} · {', '.join(facts.result.strategies)}"
    _say(sheet, 0.04, 0.94, short(words, 118), color="muted", size=8)
    for k, line in enumerate(lines):
        _say(sheet, 0.04, 0.913 - 0.024 * k, line, size=8)


def _caveat_lines(facts: Facts) -> list[str]:
    """The first caveats of the page without their markup, cut to what fits."""
    said = [html.unescape(re.sub(r"<[^>]*>", "", sentence)) for sentence in caveats(facts)]
    cut = [textwrap.shorten(line, CAVEAT_CHARS, placeholder=" …") for line in said]
    lines = [f"· {short(line, CAVEAT_CHARS)}" for line in cut[:CAVEATS]]
    return [*lines, f"· and {len(cut) - CAVEATS} more in the report"] if len(cut) > CAVEATS else lines


def _headline(sheet: Sheet, facts: Facts, top: float) -> None:
    if not shows_headline(facts):
        _say(
            sheet,
            0.04,
            top - 0.045,
            "No figure of profit without the harsher variants.",
            size=11,
            color="muted",
        )
        return
    totals = facts.scores.totals
    color = "blue" if totals.pnl_micro > 0 else "vermilion" if totals.pnl_micro < 0 else "ink"
    _say(
        sheet,
        0.04,
        top - 0.045,
        f"{shown(totals.pnl_micro, 'micro_usd')} USD",
        size=21,
        weight="bold",
        color=color,
    )
    depth = shown(facts.scores.equity.drawdown_booked.depth_micro, "micro_usd_amount")
    words = (
        f"{_interval(totals.pnl_interval)}\n{chance_words(totals.pnl_interval)}\n"
        f"markets settled {totals.settled:,}, traded {totals.traded:,}; fills {totals.fills:,}; "
        f"days {totals.days:,}; drawdown {depth} USD"
    )
    _say(sheet, 0.42, top - 0.057, words, size=8.5, color="muted")


def _stress(sheet: Sheet, facts: Facts, cell: Any) -> None:
    """The harsher variants: PnL and interval as words on the left, as a picture on the right."""
    rows = facts.scores.flattery
    place = cell.get_position(sheet.figure)
    if not rows:
        _say(
            sheet,
            0.04,
            (place.y0 + place.y1) / 2,
            "The harsher variants were not run.",
            color="vermilion",
            size=10,
        )
        return
    axes = sheet.axes(cell)
    axes.set_position((0.56, place.y0, 0.41, place.height))
    draw_flattery_on(sheet, axes, rows)
    axes.set_yticks(range(len(rows)), [""] * len(rows))
    step = place.height / len(rows)
    _say(sheet, 0.36, place.y1 + 0.012, "PnL, USD", size=7.5, color="muted", align="right")
    _say(sheet, 0.545, place.y1 + 0.012, "95 % interval", size=7.5, color="muted", align="right")
    for index, row in enumerate(rows):
        y = place.y1 - (index + 0.5) * step - 0.006
        weight = "bold" if row.name == "base" else "normal"
        _say(sheet, 0.04, y, short(row.title, 26), size=8.5, weight=weight)
        _say(sheet, 0.36, y, _pnl(row), size=8.5, weight=weight, align="right")
        _say(sheet, 0.545, y, _interval(row.interval), size=7.5, color="muted", align="right")


def _pnl(row: FlatteryRow) -> str:
    if not row.ok or row.pnl_micro is None:
        return "failed" if not row.ok else "unknown"
    return shown(row.pnl_micro, "micro_usd")


def _interval(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return f"none (n = {found.clusters if found else 0})"
    return f"{shown(found.low, 'usd')} to {shown(found.high, 'usd')}"


def _inset(cell: Any) -> Any:
    """Leave room for axis labels on the left."""
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    return GridSpecFromSubplotSpec(1, 2, cell, width_ratios=(0.07, 1.0), wspace=0.0)[1]


def _say(
    sheet: Sheet,
    x: float,
    y: float,
    words: str,
    *,
    size: float = 9.0,
    color: str = "ink",
    weight: str = "normal",
    align: str = "left",
) -> None:
    sheet.figure.text(
        x, y, words, fontsize=size, color=sheet.color(color), fontweight=weight, ha=align, va="baseline"
    )
