"""Two pictures for the phone: money over time, forecasts against outcomes.

Owns their look; drawn without a screen, from plain numbers, as PNG bytes.  Needs matplotlib, an optional library:
telegram.painter imports this module when a picture is asked for and sends a table when it cannot.
Must not read files.
"""

import io
from datetime import datetime
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from polybot.telemetry.telegram.history import Calibration, Window

__all__ = ["calibration_picture", "equity_picture"]

MICRO = 1_000_000
SIZE_INCHES = (6.4, 4.4)  # wide enough to be read upright
DPI = 130
BLUE, GREY, RED = "#2266aa", "#999999", "#bb3333"


def equity_picture(windows: list[Window], *, title: str) -> bytes:
    """Sum of PnL after each settled window, its drawdown shaded."""
    stamps: Any = [datetime.fromisoformat(one.end.replace("Z", "+00:00")) for one in windows]
    money: list[float] = []
    for one in windows:
        money.append((money[-1] if money else 0.0) + one.pnl_usd / MICRO)
    peaks: list[float] = []
    for value in money:
        peaks.append(max(value, peaks[-1] if peaks else 0.0))
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.fill_between(stamps, money, peaks, color=RED, alpha=0.15, step="post", label="below its peak")
    axes.step(stamps, money, where="post", color=BLUE, linewidth=1.6, label="sum of PnL")
    axes.set_ylabel("USD")
    axes.set_title(title, fontsize=10)
    axes.legend(loc="best", fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    figure.autofmt_xdate(rotation=30)
    return _png(figure)


def calibration_picture(found: Calibration, *, title: str) -> bytes:
    """Share of Up over the forecast, a point per bin, its area by the number of forecasts."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linewidth=0.8, label="as forecast")
    largest = max((count for *_, count in found.bins), default=1)
    sizes = [20.0 + 180.0 * count / largest for *_, count in found.bins]
    axes.scatter(
        [one[0] for one in found.bins], [one[1] for one in found.bins], s=sizes, color=BLUE, label="was so"
    )
    for mean, share, count in found.bins:
        axes.annotate(
            str(count), (mean, share), textcoords="offset points", xytext=(6, -10), fontsize=7, color=GREY
        )
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("forecast of Up")
    axes.set_ylabel("share that became Up")
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper left", fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(buffer)
    return buffer.getvalue()
