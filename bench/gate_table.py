"""What the gates found: one line each, the table at the end of a run, the rows that are missing, and the JSON.

Owns the list of rows that a whole run must have and how many claims each makes.  Must not measure anything.
bench/gate.py adds lines, bench/conftest.py prints them, bench/readme.py reads the JSON.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["CLAIMS", "GateLine", "Ledger", "Verdict", "read_lines", "shown", "summary", "table"]

Verdict = Literal["ok", "RED", "reported", "skipped"]
# Claims that each row makes at least; one whose peer is absent is exempt.
CLAIMS = {
    "P1": 2,  # absolute error; relative error
    "P2": 2,  # typed parser; general parser
    "P3": 3,  # book; price_change; best_bid_ask
    "P4": 2,  # ratio; median
    "P5": 8,  # six strategies; a batch; the risk check
    "P6": 1,
    "P7": 2,  # aiohttp; websockets
    "P8": 2,  # ratio; median
    "P9": 1,
    "P10": 3,  # hftbacktest; nautilus_trader; events a second
    "P11": 2,  # ratio; median
    "P12": 1,
    "P13": 2,  # cost of an event; memory of a market (reported)
    "P14": 2,  # busy-spin off; on (both reported)
}
HEAD = ("row", "what", "limit", "measured", "of limit", "planted", "verdict")


@dataclass(frozen=True, slots=True)
class GateLine:
    """One claim: its limit, what was measured, and what the same measurement said of a planted fault."""

    row: str
    what: str
    verdict: Verdict
    unit: str = ""
    measured: float | None = None
    limit: float | None = None
    is_floor: bool = False  # the limit is a least, not a most
    slack: float = 1.0  # the limit may be missed by this factor, for the noise of a shared machine
    scale: float = 1.0  # how much slower than the reference the machine was
    planted: float | None = None
    reason: str = ""  # of a skipped one

    @property
    def share(self) -> float | None:
        """How much of the bare limit is used up; above 1 it is missed."""
        if self.measured is None or self.limit is None:
            return None
        if self.is_floor:
            return self.limit / self.measured if self.measured > 0 else float("inf")
        return self.measured / (self.limit * self.scale)

    def cells(self) -> tuple[str, ...]:
        """The line as texts under HEAD."""
        bound = "at least" if self.is_floor else "at most"
        share = self.share
        return (
            self.row,
            self.what,
            "" if self.limit is None else f"{bound} {shown(self.limit, self.unit)}",
            self.reason if self.measured is None else shown(self.measured, self.unit),
            "" if share is None else f"{share:.0%}",
            "" if self.planted is None else shown(self.planted, self.unit),
            self.verdict,
        )


class Ledger:
    """The lines of one run, in the order in which they were measured."""

    def __init__(self) -> None:
        self.lines: list[GateLine] = []

    def add(self, line: GateLine) -> None:
        self.lines.append(line)

    def missing(self) -> list[str]:
        """What a whole run should have had and had not, each as a plain text."""
        found = []
        for row, wanted in CLAIMS.items():
            mine = [line for line in self.lines if line.row == row]
            if not mine:
                found.append(f"{row} was not run")
            elif len(mine) < wanted and all(line.verdict != "skipped" for line in mine):
                found.append(f"{row} made {len(mine)} of its {wanted} claims")
        return found

    def sorted_lines(self) -> list[GateLine]:
        return sorted(self.lines, key=lambda line: int(line.row[1:]))

    def write(self, path: Path) -> None:
        """All lines as JSON, for bench/readme.py."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(line) for line in self.sorted_lines()], indent=1) + "\n")


def read_lines(path: Path) -> list[GateLine]:
    """What Ledger.write wrote."""
    return [GateLine(**line) for line in json.loads(path.read_text())]


def table(lines: Iterable[GateLine]) -> list[str]:
    """The lines under their headings, in columns."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def summary(lines: Sequence[GateLine]) -> str:
    """How many lines ended how, in one sentence."""
    verdicts = Counter(line.verdict for line in lines)
    tight = sum(line.verdict == "ok" and (line.share or 0.0) > 1.0 for line in lines)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("ok", "RED", "skipped", "reported"))
    return f"{counts}; {tight} of the ok needed the slack"


def shown(value: float, unit: str) -> str:
    """A figure with its unit, short enough to read."""
    if value == 0:
        text = "0"
    elif abs(value) >= 1_000:
        text = f"{value:,.0f}"
    elif abs(value) >= 0.001:
        text = f"{value:.3g}"
    else:
        text = f"{value:.2e}"
    return f"{text} {unit}".strip()
