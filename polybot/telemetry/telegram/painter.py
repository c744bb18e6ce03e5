"""Answers that are made from files: /daily, /equity and /calib, one at a time, in a thread, beside everything else.

Owns the bound of waiting requests and what is sent when no picture can be drawn: a table of the same numbers.
A disk that hangs or a library that is missing delays or changes one answer and nothing else.
Must not judge who asks.  Run by telegram.companion; asked by telegram.commander.
"""

import asyncio
import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loguru import logger

from polybot.telemetry.telegram.history import Calibration, Window, calibration, daily_rows, read_windows
from polybot.telemetry.telegram.markup import plain, signed, table
from polybot.telemetry.telegram.sender import Reply

__all__ = ["Painter"]

MAX_WAITING = 4
MAX_DAYS = 10
MICRO = 1_000_000
PICTURES = "polybot.telemetry.telegram.pictures"
TAGS = {"sim": "simulated, test money", "paper": "paper, simulated fills"}


class Painter:
    """Serves one chat."""

    def __init__(
        self, out_dir: Path, *, facts: Callable[[], Mapping[str, Any] | None], send: Callable[[Reply], None]
    ) -> None:
        self._out_dir = out_dir
        self._facts = facts
        self._send = send
        self._waiting: asyncio.Queue[tuple[str, Reply]] = asyncio.Queue(MAX_WAITING)

    def ask(self, verb: str, reply: Reply) -> None:
        """Answer later; one too many is told so at once."""
        try:
            self._waiting.put_nowait((verb, reply))
        except asyncio.QueueFull:
            self._send(replace(reply, html="busy with the answers you asked for before"))

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            verb, reply = await self._waiting.get()
            try:
                answer = await asyncio.to_thread(self._answer, verb, reply)
            except Exception as error:
                logger.opt(exception=error).error("an answer from files failed verb={}", verb)
                answer = replace(reply, html=f"that failed: {plain(type(error).__name__)}; the log has more")
            self._send(answer)

    def _answer(self, verb: str, reply: Reply) -> Reply:
        """In a thread: files and pictures take their time."""
        facts = self._facts() or {}
        folder = self._folder(facts)
        windows = read_windows(folder)
        if not windows:
            return replace(reply, html=f"no settled window in {plain(folder)} yet")
        kind = TAGS.get("sim" if facts.get("venue") == "sim" else str(facts.get("mode", "")), "")
        if verb == "daily":
            return replace(reply, html=_daily(windows, kind))
        if verb == "equity":
            return _equity(windows, reply, kind)
        return _calibration(calibration(folder, windows), reply, kind)

    def _folder(self, facts: Mapping[str, Any]) -> Path:
        """Paper keeps its files apart."""
        is_apart = facts.get("mode") == "paper" and self._out_dir.name != "paper"
        return self._out_dir / "paper" if is_apart else self._out_dir


def _daily(windows: list[Window], kind: str) -> str:
    rows = [("day UTC", "windows", "fills", "pnl")]
    rows += [
        (day, str(count), str(fills), signed(pnl))
        for day, count, fills, pnl in daily_rows(windows, days=MAX_DAYS)
    ]
    return "\n".join(filter(None, (table(rows), plain(kind))))


def _equity(windows: list[Window], reply: Reply, kind: str) -> Reply:
    total = sum(one.pnl_usd for one in windows)
    words = f"{len(windows)} windows, {windows[0].end[:16]} to {windows[-1].end[:16]} UTC: {signed(total)}"
    title = f"{words}\n{kind}" if kind else words
    drawing = _library()
    if drawing is None:
        return replace(reply, html=f"{plain(words)}\n{_daily(windows, kind)}")
    return replace(reply, html=plain(title), picture=drawing.equity_picture(windows, title=title))


def _calibration(found: Calibration, reply: Reply, kind: str) -> Reply:
    if not found.samples:
        return replace(reply, html="no forecasts of settled windows were kept yet (samples.csv)")
    words = (
        f"{found.windows} windows, {found.samples} forecasts, Brier {found.brier:.4f} (0.25: knows nothing)"
    )
    title = f"{words}\n{kind}" if kind else words
    drawing = _library()
    if drawing is None:
        rows = [("forecast", "was Up", "n")] + [
            (f"{mean:.2f}", f"{share:.2f}", str(n)) for mean, share, n in found.bins
        ]
        return replace(reply, html=f"{plain(title)}\n{table(rows)}")
    return replace(reply, html=plain(title), picture=drawing.calibration_picture(found, title=title))


def _library() -> Any:
    """The drawing module; None when matplotlib is not installed."""
    try:
        return importlib.import_module(PICTURES)
    except ImportError:
        return None
