"""The pictures of the page, each drawn from scores alone.

Owns what each picture shows and in which size: `WIDE` across the page, `SMALL` side by side, `NARROW` for phones.
Series get a shape as well as a colour.  Must not compute statistics.  Called by the sections of the page; every
function returns inline SVG, or an <img> with a PNG inside when the SVG would be big.
"""

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from polybot.backtest.score_tree import (
    Bin,
    CalibrationSlice,
    EdgeBin,
    Equity,
    FlatteryRow,
    LatencyStage,
    StrategyScore,
)
from polybot.report.canvas import Sheet
from polybot.report.downsample import thin
from polybot.report.markup import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "NARROW",
    "SMALL",
    "WIDE",
    "both_widths",
    "draw_attribution",
    "draw_denials",
    "draw_edges",
    "draw_equity",
    "draw_equity_on",
    "draw_flattery",
    "draw_latency",
    "draw_markouts",
    "draw_reliability",
    "draw_scores_by_tau",
]

Size = tuple[int, int]
Stamps = np.ndarray[Any, np.dtype[np.int64]]
WIDE: Size = (1160, 380)
MEDIUM: Size = (560, 310)
SMALL: Size = (380, 270)
NARROW: Size = (360, 330)
BIG_BYTES = 600_000  # a larger SVG is drawn as PNG
STRATEGY_COLORS = ("blue", "vermilion", "green", "purple", "amber", "sky")
MARKERS = ("o", "s", "^", "D", "v", "P")
TERMS = (
    ("edge_micro", "edge", "blue"),
    ("slippage_micro", "slippage", "amber"),
    ("fees_micro", "fees", "gray"),
    ("adverse_micro", "adverse selection", "vermilion"),
    ("luck_micro", "luck of the outcome", "purple"),
)
HOLE_NS = 3_600_000_000_000  # longer silence on the tapes is cut out of the time axis


def draw_equity(name: str, equity: Equity, fill_ns: Stamps, *, size: Size) -> Markup:
    """PnL by settled markets and marked to the mids, every fill as a dot, drawdown below; USD."""
    sheet = Sheet(*size)
    draw_equity_on(sheet, equity, fill_ns, size=size)
    return _finished(sheet, name, "Cumulated profit and loss with every fill, and its drawdown")


def draw_equity_on(sheet: Sheet, equity: Equity, fill_ns: Stamps, *, size: Size, grid: Any = None) -> None:
    """Draw the two axes of the equity picture on a sheet (within `grid`, a gridspec cell, when given).

    fill_ns: every fill that counts; each becomes a dot on the marked curve, also where that was thinned.
    """
    from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec

    rows: Any = {"height_ratios": (3, 1), "hspace": 0.06}
    cells = (
        GridSpec(2, 1, figure=sheet.figure, **rows)
        if grid is None
        else GridSpecFromSubplotSpec(2, 1, grid, **rows)
    )
    at = np.asarray(equity.at_ns, dtype=np.int64)
    booked, marked = (
        np.asarray(series, dtype=np.float64) / 1e6 for series in (equity.booked_micro, equity.marked_micro)
    )
    under = (
        np.searchsorted(at, fill_ns, side="right") - 1
    )  # the last point of the curve at or before each fill
    x, holes = tape_time(at)
    top = sheet.axes(cells[0])
    bottom = sheet.axes(cells[1], sharex=top)
    top.axhline(0.0, color=sheet.color("muted"), linewidth=0.8)
    drawn = thin(x, marked, columns=size[0], keep=np.unique(under))
    top.step(
        x[drawn],
        marked[drawn],
        where="post",
        color=sheet.color("gray"),
        linewidth=1.0,
        label="with open positions at the mid",
    )
    drawn = thin(x, booked, columns=size[0])
    top.step(x[drawn], booked[drawn], where="post", color=sheet.color("blue"), linewidth=1.8, label="settled")
    label = f"fill (n = {len(fill_ns):,})"
    _dots(sheet, top, np.interp(fill_ns, at, x), marked[under], label=label)
    top.set_ylabel("PnL, USD")
    top.tick_params(labelbottom=False)
    sheet.legend(top, ncols=3 if size[0] > 500 else 1)
    below = booked - np.maximum.accumulate(np.r_[0.0, booked])[1:] if len(booked) else booked
    bottom.fill_between(
        x[drawn], below[drawn], 0.0, step="post", color=sheet.color("vermilion"), alpha=0.3, linewidth=0
    )
    bottom.step(x[drawn], below[drawn], where="post", color=sheet.color("vermilion"), linewidth=1.0)
    bottom.set_ylabel("drawdown")
    for axes in (top, bottom):
        for hole in holes:
            axes.axvline(hole, color=sheet.color("rule"), linewidth=1.0, linestyle=(0, (3, 3)))
    _time_axis(bottom, at, x, ticks=9 if size[0] > 500 else 4)
    bottom.margins(x=0.01)


def draw_attribution(name: str, strategies: Sequence[StrategyScore], *, size: Size) -> Markup:
    """One row a strategy: the five terms as bars beside each other around zero, the sum as a line; USD."""
    sheet = Sheet(size[0], max(150, 74 + 64 * len(strategies)))
    axes = sheet.axes()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=sheet.color("rule"), linewidth=0.8)
    rows = np.arange(len(strategies), dtype=np.float64)
    for index, (field, title, color) in enumerate(TERMS):
        values = [getattr(item.attribution, field) / 1e6 for item in strategies]
        axes.barh(rows + (index - 2) * 0.15, values, height=0.13, color=sheet.color(color), label=title)
    totals = [item.attribution.pnl_micro / 1e6 for item in strategies]
    axes.plot(totals, rows, linestyle="none", marker="D", markersize=5, color=sheet.color("ink"), label="PnL")
    axes.axvline(0.0, color=sheet.color("muted"), linewidth=0.8)
    axes.set_yticks(rows, [short(item.name) for item in strategies])
    axes.set_ylim(len(strategies) - 0.5, -0.5)
    axes.set_xlabel("USD")
    sheet.legend(axes, ncols=6 if size[0] > 500 else 2)
    return _finished(sheet, name, "Profit and loss of each strategy by where it came from")


def draw_reliability(name: str, part: CalibrationSlice, *, size: Size = SMALL) -> Markup:
    """How often Up won against the probability that was given: model and market mid; on the line is right."""
    sheet = Sheet(*size)
    axes = sheet.axes()
    axes.plot([0, 1], [0, 1], color=sheet.color("gray"), linewidth=1.0, linestyle=(0, (4, 3)))
    for bins, title, color, marker in (
        (part.model, "model", "blue", "o"),
        (part.mid, "market mid", "vermilion", "s"),
    ):
        used = [
            item for item in bins if item.error is not None and item.mean_p is not None
        ]  # two markets or more
        _points(sheet, axes, used, title=title, color=color, marker=marker)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlabel("probability of Up that was given")
    axes.set_ylabel("share that ended Up")
    sheet.legend(axes)
    return _finished(sheet, name, "Calibration of the model and of the market's mid against the outcome")


def _points(sheet: Sheet, axes: "Axes", used: Sequence[Bin], *, title: str, color: str, marker: str) -> None:
    x = [item.mean_p or 0.0 for item in used]
    y = [item.share_up or 0.0 for item in used]
    errors = [1.96 * (item.error or 0.0) for item in used]
    low = [min(error, value) for error, value in zip(errors, y, strict=True)]
    high = [min(error, 1.0 - value) for error, value in zip(errors, y, strict=True)]
    axes.errorbar(
        x,
        y,
        yerr=[low, high],
        color=sheet.color(color),
        marker=marker,
        markersize=4.5,
        linewidth=1.2,
        elinewidth=0.8,
        label=title,
    )


def draw_scores_by_tau(name: str, parts: Sequence[CalibrationSlice], *, field: str, title: str) -> Markup:
    """Brier score or log-loss of model and mid by time left; lower is better."""
    sheet = Sheet(*SMALL)
    axes = sheet.axes()
    for kind, words, color, marker in (
        ("model", "model", "blue", "o"),
        ("mid", "market mid", "vermilion", "s"),
    ):
        values = [getattr(part, f"{field}_{kind}") for part in parts]
        y = [np.nan if value is None else value for value in values]
        axes.plot(range(len(parts)), y, color=sheet.color(color), marker=marker, markersize=4.5, label=words)
    axes.set_xticks(range(len(parts)), [part.label for part in parts])
    _keep_apart(axes, len(parts))
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("time left")
    axes.set_ylabel(title)
    sheet.legend(axes)
    return _finished(sheet, name, f"{title} of model and market mid by time left")


def draw_markouts(name: str, strategies: Sequence[StrategyScore], *, size: Size = SMALL) -> Markup:
    """Mean change of value after a fill, net of the fee, with 95 % intervals; cents a share."""
    sheet = Sheet(*size)
    axes = sheet.axes()
    axes.axhline(0.0, color=sheet.color("muted"), linewidth=0.8)
    labels: list[str] = []
    for index, item in enumerate(strategies):
        labels = [markout.horizon for markout in item.markouts]
        known = [(k, m) for k, m in enumerate(item.markouts) if m.mean_net_usd is not None and m.fills]
        shift = (index - (len(strategies) - 1) / 2) * 0.08
        axes.errorbar(
            [k + shift for k, _ in known],
            [100 * (m.mean_net_usd or 0.0) for _, m in known],
            yerr=[196 * (m.error_usd or 0.0) for _, m in known],
            color=sheet.color(STRATEGY_COLORS[index % 6]),
            marker=MARKERS[index % 6],
            markersize=4.5,
            linewidth=1.2,
            elinewidth=0.8,
            label=short(item.name),
        )
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("cents a share, after the fee")
    axes.set_xlabel("time after the fill")
    sheet.legend(axes, ncols=2)
    return _finished(sheet, name, "Markouts after fills by strategy")


def draw_edges(name: str, bins: Sequence[EdgeBin], *, size: Size = SMALL) -> Markup:
    """Edge a signal promised against what its fills brought; on the line is right; cents a share."""
    sheet = Sheet(*size)
    axes = sheet.axes()
    used = [item for item in bins if item.predicted_usd is not None and item.realised_usd is not None]
    x = [100 * (item.predicted_usd or 0.0) for item in used]
    y = [100 * (item.realised_usd or 0.0) for item in used]
    axes.axhline(0.0, color=sheet.color("muted"), linewidth=0.8)
    if used:
        ends = [min(0.0, *x), max(x)]
        axes.plot(
            ends, ends, color=sheet.color("gray"), linewidth=1.0, linestyle=(0, (4, 3)), label="as predicted"
        )
        errors = [196 * (item.error_usd or 0.0) for item in used]
        axes.errorbar(
            x,
            y,
            yerr=errors,
            color=sheet.color("blue"),
            marker="o",
            markersize=5,
            linestyle="none",
            elinewidth=1.0,
            label="realised, 95 %",
        )
        sheet.legend(axes)
    axes.set_xlabel("edge predicted, cents a share")
    axes.set_ylabel("realised")
    return _finished(sheet, name, "Edge predicted against edge realised")


def draw_denials(name: str, counts: Sequence[tuple[str, int]], *, size: Size = SMALL) -> Markup:
    """Denied signals by reason as bars, as given."""
    labels, values = [short(reason) for reason, _ in counts], [float(n) for _, n in counts]
    sheet = Sheet(size[0], max(130, 56 + 23 * len(labels)))
    axes = sheet.axes()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=sheet.color("rule"), linewidth=0.8)
    rows = np.arange(len(labels))
    axes.barh(rows, values, height=0.66, color=sheet.color("blue"))
    axes.set_yticks(rows, labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel("signals")
    axes.set_xlim(left=0.0)
    _keep_apart(axes, 0, counts=True)
    return _finished(sheet, name, "Denied signals by reason")


def draw_latency(name: str, stages: Sequence[LatencyStage], *, size: Size = SMALL) -> Markup:
    """Share of orders by latency, one step line a stage; ms."""
    sheet = Sheet(*size)
    axes = sheet.axes()
    used = [stage for stage in stages if stage.n]
    filled = [k for stage in used for k, count in enumerate(stage.counts) if count]
    first, last = min(filled), max(filled) + 1
    for index, stage in enumerate(used):
        # Bins grow with the latency; they are drawn equally wide.
        shares = np.asarray(stage.counts[first:last], dtype=np.float64) / stage.n * 100
        axes.stairs(
            shares,
            np.arange(first, last + 1),
            color=sheet.color(STRATEGY_COLORS[index % 6]),
            linewidth=1.6,
            fill=False,
            linestyle=("-", "--", ":", "-.")[index % 4],
            label=f"{stage.name} (n = {stage.n:,})",
        )
    edges = used[0].edges_ms
    axes.set_xticks(range(first, last + 1), [f"{edges[k]:,g}" for k in range(first, last + 1)])
    _keep_apart(axes, last - first + 1)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("ms (bins grow to the right)")
    axes.set_ylabel("% of orders")
    sheet.legend(axes, ncols=1)
    return _finished(sheet, name, "Latency of orders by stage")


def draw_flattery(name: str, rows: Sequence[FlatteryRow], *, size: Size = SMALL) -> Markup:
    """PnL of the run and of every harsher variant, with bootstrap intervals; USD."""
    sheet = Sheet(size[0], max(140, 62 + 25 * len(rows)))
    draw_flattery_on(sheet, sheet.axes(), rows)
    return _finished(sheet, name, "Profit and loss under harsher assumptions")


def draw_flattery_on(sheet: Sheet, axes: "Axes", rows: Sequence[FlatteryRow]) -> None:
    """Draw the dots and intervals of the variants."""
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=sheet.color("rule"), linewidth=0.8)
    axes.axvline(0.0, color=sheet.color("muted"), linewidth=0.8)
    for index, row in enumerate(rows):
        color = sheet.color("ink" if row.name == "base" else "blue")
        if row.interval is not None and row.interval.low is not None and row.interval.high is not None:
            axes.plot(
                [row.interval.low, row.interval.high], [index, index], color=color, linewidth=2.4, alpha=0.45
            )
        if row.pnl_micro is not None:
            axes.plot(
                [row.pnl_micro / 1e6],
                [index],
                color=color,
                marker="D" if row.name == "base" else "o",
                markersize=5.5,
            )
    axes.set_yticks(range(len(rows)), [short(row.title, 32) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("PnL, USD; line: 95 % by market")


def both_widths(
    draw: Callable[..., Markup], name: str, *what: Any, wide: Size = MEDIUM, narrow: Size = SMALL
) -> Markup:
    """Draw for desktops and again for phones; the style sheet shows one of the two."""
    return Markup(
        f'<div class="only-wide">{draw(name, *what, size=wide)}</div>'
        f'<div class="narrow">{draw(f"{name}-narrow", *what, size=narrow)}</div>'
    )


def tape_time(
    at_ns: "np.ndarray[Any, np.dtype[np.int64]]",
) -> tuple["np.ndarray[Any, np.dtype[np.float64]]", list[float]]:
    """Return hours on the tapes since the first point, long holes cut out, and where they were."""
    if not len(at_ns):
        return np.zeros(0), []
    steps = np.diff(at_ns)
    cut = steps > HOLE_NS
    hours = np.r_[0.0, np.cumsum(np.where(cut, HOLE_NS // 6, steps) / 3.6e12)]
    return hours, [float((hours[k] + hours[k + 1]) / 2) for k in np.flatnonzero(cut)]


def short(words: str, limit: int = 24) -> str:
    """Cut a name to what an axis has room for; matplotlib's own markup is defused."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in words).replace("$", r"\$")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _time_axis(axes: "Axes", at: "np.ndarray[Any, np.dtype[np.int64]]", x: Any, *, ticks: int) -> None:
    """Write UTC times at even places of the axis."""
    if not len(at):
        return
    places = np.linspace(x[0], x[-1], ticks) if x[-1] > x[0] else x[:1]
    if np.any(np.diff(at) > HOLE_NS):  # only where there is data: a time inside a hole would have no place
        places = np.unique(x[np.clip(np.searchsorted(x, places), 0, len(x) - 1)])
        apart = (x[-1] - x[0]) / (1.6 * ticks)
        kept = [float(places[0])]
        for place in places[1:]:
            if place - kept[-1] >= apart:
                kept.append(float(place))
        places = np.asarray(kept)
    nearest = np.interp(places, x, at.astype(np.float64) - float(at[0]))
    stamps = [np.datetime64(round((int(at[0]) + offset) / 1e9) * 10**9, "ns") for offset in nearest]
    many = int(at[-1] - at[0]) > 20 * HOLE_NS
    days = [str(stamp)[5:10] for stamp in stamps]
    labels = [
        f"{day}\n{str(stamp)[11:16]}"
        if many or (k == 0)
        else f"{str(stamp)[11:16] if int(at[-1] - at[0]) > 6e11 else str(stamp)[11:19]}"
        for k, (day, stamp) in enumerate(zip(days, stamps, strict=True))
    ]
    axes.set_xticks(places, labels)
    axes.set_xlabel("time of receipt, UTC")


def _dots(sheet: Sheet, axes: "Axes", x: Any, y: Any, *, label: str) -> None:
    """Draw many dots; in SVG as one path of strokes of no length with round ends, a quarter of the size.

    A stroke of exactly no length would be dropped, so each is a hair long.
    """
    color = sheet.color("vermilion")
    if not sheet.themed:
        axes.plot(x, y, color=color, linestyle="none", marker="o", markersize=2.6, label=label)
        return
    axes.plot([], [], color=color, linestyle="none", marker="o", markersize=4.2, label=label)
    xs, ys = np.full(3 * len(x), np.nan), np.full(3 * len(x), np.nan)
    hair = 2e-5 * (float(np.ptp(x)) if len(x) else 0.0) or 1e-6
    xs[0::3], xs[1::3], ys[0::3], ys[1::3] = x, x + hair, y, y
    axes.plot(xs, ys, color=color, linewidth=4.2, solid_capstyle="round", alpha=0.85)


def _keep_apart(axes: "Axes", count: int, *, counts: bool = False) -> None:
    """Turn crowded tick labels, and use few ticks on a count axis."""
    from matplotlib.ticker import MaxNLocator

    if count > 8:
        for label in axes.get_xticklabels():
            label.set_rotation(45)
    elif counts:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _finished(sheet: Sheet, name: str, label: str) -> Markup:
    svg = sheet.to_svg(name, label)
    if len(svg) <= BIG_BYTES:
        return Markup(svg)
    data = base64.b64encode(sheet.to_png(scale=2.0)).decode()
    return Markup(f'<img class="plot" alt="{escape(label)}" src="data:image/png;base64,{data}">')
