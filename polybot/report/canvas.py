"""Sheets to draw on: matplotlib behind a few calls, SVG that follows the page's colours, PNG for messengers.

Owns matplotlib, the palette, and the way from a figure to inline SVG: text stays text in the page's font, colours
become CSS variables (so one drawing serves light and dark), ids are the drawing's own, the same input gives the same
bytes.  Must not know what is drawn.  Raises LibraryMissing when matplotlib is not installed.
Called by polybot.report.drawings and polybot.report.summary.
"""

import io
import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from polybot.errors import PolybotError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLORS", "LibraryMissing", "Sheet", "require_matplotlib"]

# Name: light, dark.  The hues are those of Okabe and Ito (2008), told apart with any colour vision; money that came is
# blue and money that went is vermilion, never green and red.
COLORS: Mapping[str, tuple[str, str]] = {
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#5b6570", "#9aa4af"),
    "rule": ("#d9dee3", "#343b43"),
    "paper": ("#ffffff", "#171b20"),
    "blue": ("#0a66b2", "#5cb0f2"),
    "vermilion": ("#c2500b", "#f58a4b"),
    "green": ("#00795a", "#35c79c"),
    "purple": ("#9c4f83", "#dc97c4"),
    "amber": ("#a87300", "#ecb847"),
    "sky": ("#2b8fc4", "#86cdf3"),
    "gray": ("#87919b", "#7d8792"),
}
FONT = "DejaVu Sans"
INSTALL = "make extras"
# Stand-ins that no real colour has; replaced by var(--name) in the SVG text.
_STAND_INS = {name: f"#fe01{index:02x}" for index, name in enumerate(COLORS)}
_BY_STAND_IN = {value: name for name, value in _STAND_INS.items()}


class LibraryMissing(PolybotError):
    """matplotlib is not installed: the page is made without pictures."""


def require_matplotlib() -> None:
    """Raise LibraryMissing, with the line that installs it, unless matplotlib can be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise LibraryMissing(f"pictures need matplotlib: {INSTALL}") from error


class Sheet:
    """One drawing of `width` x `height` CSS pixels; `to_svg` for the page, `to_png` for messengers."""

    def __init__(self, width: int, height: int, *, themed: bool = True, font_px: float = 11.0) -> None:
        require_matplotlib()
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self.themed = themed
        self._style = _style(font_px)
        self.width, self.height = width, height
        with self._context():
            # 72 dots per inch: one point is one CSS pixel.
            self.figure: Figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
            FigureCanvasSVG(self.figure)

    def color(self, name: str) -> str:
        """Return a colour of the palette as matplotlib takes it."""
        return _STAND_INS[name] if self.themed else COLORS[name][0]

    def axes(self, place: Any = 111, **options: Any) -> "Axes":
        """Add axes with the palette's look: no box, quiet ticks, horizontal rules."""
        with self._context():
            axes: Axes = self.figure.add_subplot(place, **options)
        axes.set_facecolor("none")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(self.color("rule"))
        axes.tick_params(colors=self.color("muted"), length=0, pad=4)
        axes.grid(axis="y", color=self.color("rule"), linewidth=0.8)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_color(self.color("muted"))
        return axes

    def legend(self, axes: "Axes", **options: Any) -> None:
        """Name the series above the axes, in one row."""
        with self._context():
            legend = axes.legend(
                **{
                    "loc": "lower left",
                    "bbox_to_anchor": (0.0, 1.0),
                    "ncols": 4,
                    "frameon": False,
                    "borderaxespad": 0.0,
                    "handlelength": 1.4,
                    "columnspacing": 1.2,
                    "borderpad": 0.2,
                    **options,
                }
            )
        for words in legend.get_texts():
            words.set_color(self.color("ink"))

    def to_svg(self, name: str, label: str) -> str:
        """Return the drawing as an <svg> element; `label` says in words what it shows."""
        text = io.StringIO()
        with self._context(hashsalt=name):
            self.figure.savefig(
                text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
            )
        return _tidy(text.getvalue(), name, label)

    def to_png(self, *, scale: float = 1.0) -> bytes:
        """Return the drawing as PNG on the light paper, `scale` dots per CSS pixel."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(self.figure)
        data = io.BytesIO()
        with self._context():
            self.figure.savefig(
                data, format="png", dpi=72 * scale, facecolor=COLORS["paper"][0], metadata={"Software": None}
            )
        return data.getvalue()

    def _context(self, **extra: str) -> Any:
        from matplotlib import rc_context

        merged: Any = self._style | {f"svg.{key}": value for key, value in extra.items()}
        return rc_context(merged)


def _style(font_px: float) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "font.family": [FONT],
        "font.size": font_px,
        "axes.titlesize": font_px,
        "axes.labelsize": font_px,
        "xtick.labelsize": font_px,
        "ytick.labelsize": font_px,
        "legend.fontsize": font_px,
        "path.simplify": False,  # points were chosen before (downsample), none may vanish here
        "axes.unicode_minus": True,
    }


def _tidy(svg: str, name: str, label: str) -> str:
    """Cut what a standalone file needs, own the ids, follow the page's font and colours."""
    body = svg[svg.index("<svg") :]
    for cut in (
        r"<metadata>.*?</metadata>",
        r"<style[^>]*>.*?</style>",
        r"<!--.*?-->",
        r' id="[a-z]+[\w.]*_\d+"',
    ):
        body = re.sub(cut, "", body, flags=re.DOTALL)
    body = re.sub(r'\b(id|xlink:href|href)="(#?)', rf'\1="\2{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    body = re.sub(r"#fe01[0-9a-f]{2}", lambda match: f"var(--{_BY_STAND_IN[match[0]]})", body)
    body = re.sub(r"font(-size)?: (?:(\d{3}|bold) )?([\d.]+)px[^;\"]*(; font-family: [^;\"]*)?", _font, body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r' (?:d|x|y|transform|points|width|height)="[^"]*"', _rounded, body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    view = re.search(r'viewBox="([^"]+)"', body)
    box = view[1] if view else "0 0 1 1"
    head = (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" role="img" aria-label="{escape(label)}">'
    )
    return re.sub(r"<svg[^>]*>", lambda _: head, body, count=1).strip()


def _rounded(attribute: re.Match[str]) -> str:
    """Two decimals of a pixel are enough; text is never touched."""
    return re.sub(
        r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), attribute[0]
    )


def _font(match: re.Match[str]) -> str:
    weight = f"; font-weight: {match[2]}" if match[2] else ""
    return f"font-size: {match[3]}px{weight}"
