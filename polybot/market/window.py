"""Windows of time and the slugs that name them; pure, standard library only.

Owns where a window of each interval starts and ends and how the venue spells it.  5m, 15m and 1h
start at multiples of their length since the epoch (New York is always whole hours off UTC).  4h
windows start at 00, 04, 08, 12, 16 and 20 o'clock *New York wall time*, so they tile time but the
00-04 window lasts 3 hours on the day clocks go forward and 5 on the day they go back.  Whether the
venue lists such odd windows is not known: discovery compares both ends and refuses what differs.
In the hour that repeats, two 1h windows share one slug ("...-1am-et"); only the start tells them
apart, and discovery decides by the market's eventStartTime.
Must not read a clock or do I/O.  Called by discovery, the market cycle, the embedded venue, analysis.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from polybot.errors import DecodeError

__all__ = [
    "INTERVALS",
    "AssetNames",
    "SlugParts",
    "Window",
    "next_windows",
    "parse_slug",
    "slug",
    "window_at",
]

NS = 1_000_000_000
INTERVALS = ("5m", "15m", "1h", "4h")

_EPOCH_S = {"5m": 300, "15m": 900, "1h": 3_600}  # intervals aligned to the epoch: their length
_EASTERN = ZoneInfo("America/New_York")
_BLOCK_H = 4
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_EPOCH_SLUG = re.compile(r"([a-z0-9]+)-updown-(5m|15m|4h)-([0-9]{9,11})")
_HOUR_SLUG = re.compile(r"([a-z0-9]+)-up-or-down-([a-z]+)-([1-9][0-9]?)-([0-9]{4})-([1-9]|1[0-2])(am|pm)-et")


class AssetNames(Protocol):
    """The two spellings of an asset in slugs."""

    @property
    def name(self) -> str:
        """Short, as in `btc-updown-5m-...`."""
        ...

    @property
    def long_name(self) -> str:
        """Long, as in `bitcoin-up-or-down-...`."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """One [start_ns, end_ns) of an interval, ns since the epoch."""

    interval: str
    start_ns: int
    end_ns: int

    @property
    def duration_s(self) -> int:
        """Length in seconds; 10,800 or 18,000 for the 4h window in which clocks change."""
        return (self.end_ns - self.start_ns) // NS


@dataclass(frozen=True, slots=True)
class SlugParts:
    """What a slug says: `asset` in the slug's own spelling, and every window it can mean.

    Two windows only for the 1h slug of the hour that repeats when clocks go back.
    """

    asset: str
    windows: tuple[Window, ...]


def window_at(interval: str, now_ns: int) -> Window:
    """Return the window of `interval` ("5m", "15m", "1h", "4h") that holds now_ns.

    Raises ValueError for any other interval.
    """
    now_s = now_ns // NS
    length_s = _EPOCH_S.get(interval)
    if length_s is not None:
        start_s = now_s - now_s % length_s
        return Window(interval, start_s * NS, (start_s + length_s) * NS)
    if interval != "4h":
        raise ValueError(f"interval {interval!r} is none of {', '.join(INTERVALS)}")
    local = datetime.fromtimestamp(now_s, _EASTERN)
    # 00, 04, ... are never skipped or repeated in New York (clocks change at 02:00), so fold 0 is exact.
    start = local.replace(hour=local.hour // _BLOCK_H * _BLOCK_H, minute=0, second=0, fold=0)
    end = start + timedelta(hours=_BLOCK_H)  # wall time: same zone on both sides
    return Window(interval, int(start.timestamp()) * NS, int(end.timestamp()) * NS)


def next_windows(interval: str, now_ns: int, count: int) -> list[Window]:
    """Return `count` windows in a row, the first being the one that holds now_ns."""
    windows: list[Window] = []
    at_ns = now_ns
    for _ in range(count):
        window = window_at(interval, at_ns)
        windows.append(window)
        at_ns = window.end_ns
    return windows


def slug(asset: AssetNames, interval: str, start_ns: int) -> str:
    """Return the venue's slug for the window of `interval` that starts at start_ns.

    `btc-updown-5m-1790616600`, or for 1h `bitcoin-up-or-down-september-28-2026-1pm-et`.
    Raises ValueError when no window of the interval starts there.
    """
    if window_at(interval, start_ns).start_ns != start_ns:
        raise ValueError(f"no {interval} window starts at {start_ns}")
    start_s = start_ns // NS
    if interval != "1h":
        return f"{asset.name}-updown-{interval}-{start_s}"
    local = datetime.fromtimestamp(start_s, _EASTERN)
    hour = f"{local.hour % 12 or 12}{'am' if local.hour < 12 else 'pm'}"
    month = _MONTHS[local.month - 1]
    return f"{asset.long_name}-up-or-down-{month}-{local.day}-{local.year}-{hour}-et"


def parse_slug(text: str) -> SlugParts:
    """Parse a slug into its asset and the window(s) it can mean; raises DecodeError("slug")."""
    match = _EPOCH_SLUG.fullmatch(text)
    if match:
        asset, interval, start = match.groups()
        starts_ns = [int(start) * NS]
    else:
        match = _HOUR_SLUG.fullmatch(text)
        if match is None:
            raise DecodeError("slug", text)
        asset, interval = match[1], "1h"
        starts_ns = _hour_starts_ns(text, match)
    windows = tuple(window_at(interval, start_ns) for start_ns in starts_ns)
    if not windows or any(w.start_ns != s for w, s in zip(windows, starts_ns, strict=True)):
        raise DecodeError("slug", f"{text}: no window starts there")
    return SlugParts(asset, windows)


def _hour_starts_ns(text: str, match: re.Match[str]) -> list[int]:
    """Starts of the New York hour a 1h slug names: none when skipped, two when it repeats."""
    _, month, day, year, hour, half = match.groups()
    if month not in _MONTHS:
        raise DecodeError("slug", f"{text}: month")
    hour24 = int(hour) % 12 + (12 if half == "pm" else 0)
    try:
        wall = datetime(int(year), _MONTHS.index(month) + 1, int(day), hour24, tzinfo=_EASTERN)
    except ValueError as error:
        raise DecodeError("slug", f"{text}: {error}") from error
    starts: list[int] = []
    for fold in (0, 1):
        start_s = int(wall.replace(fold=fold).timestamp())
        # within one zone == compares wall times: differs when the clock never shows that hour
        shown = datetime.fromtimestamp(start_s, _EASTERN) == wall
        if shown and start_s * NS not in starts:
            starts.append(start_s * NS)
    return starts
