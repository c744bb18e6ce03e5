"""What the telemetry tests share: command records by field name, one market, a writer with everything in memory.

The clock stands still unless told otherwise; the console writes to a StringIO that may pretend to be a terminal.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scenario import make_spec

from polybot._fast.event import COMMAND_DTYPE, CommandKind
from polybot._fast.ring import CommandRing
from polybot.config import TelemetryConfig
from polybot.market.spec import MarketSpec
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.redact import Redactor
from polybot.telemetry.writer import TelemetryWriter

NS = 1_000_000_000
START_S = 1_763_797_800  # 2025-11-22T07:50:00Z
START_NS = START_S * NS
END_NS = START_NS + 300 * NS
SLUG = f"btc-updown-5m-{START_S}"
STRATEGIES = ("latency_arb", "certainty_capture")
GATES = {"latency_arb": ("ask", "edge", "move"), "certainty_capture": ("abs_z", "edge")}
DENIALS = ("DISPATCHED", "HOUSE_SIDE", "COOLDOWN")
ORDER_ID = "0x" + "ab" * 32


@dataclass
class StillClock:
    """A clock that is set by hand."""

    at_ns: int = START_NS
    mono: int = 0

    def now_ns(self) -> int:
        return self.at_ns

    def mono_ns(self) -> int:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"telemetry slept {seconds} s")

    def real_s(self, seconds: float) -> float:
        return seconds


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def command(kind: CommandKind, **fields: Any) -> bytes:
    """One command record as it lies in memory; fields that are not named are 0."""
    array = np.zeros(1, dtype=COMMAND_DTYPE)
    array["kind"] = kind
    array["decided_ns"] = fields.pop("decided_ns", START_NS + 61_234_567_890)
    for name, value in fields.items():
        array[name] = value
    return array.tobytes()


def spec(
    *, slug: str = SLUG, interval: str = "5m", start_ns: int = START_NS, end_ns: int = END_NS
) -> MarketSpec:
    """A 5m market with the usual terms."""
    return make_spec(slug=slug, interval=interval, start_ns=start_ns, end_ns=end_ns, condition_id="0x" + "c0" * 32)


@dataclass
class Desk:
    """A writer, its inbox and its console."""

    out_dir: Path
    ring: CommandRing = field(default_factory=CommandRing)
    stream: io.StringIO = field(default_factory=io.StringIO)
    strategies: Sequence[str] = STRATEGIES
    clock: StillClock = field(default_factory=StillClock)
    redactor: Redactor = field(default_factory=Redactor)
    environ: dict[str, str] = field(default_factory=dict)
    on_error: Any = None
    recent: RecentEvents | None = None

    def __post_init__(self) -> None:
        self.inbox = TelemetryInbox(self.ring)
        self.console = Console(self.stream, environ=self.environ, scrub=self.redactor.scrub)
        self.writer = TelemetryWriter(
            TelemetryConfig(out_dir=str(self.out_dir)),
            self.strategies,
            self.clock,
            source=self.inbox,
            console=self.console,
            gates=GATES,
            denials=DENIALS,
            scrub=self.redactor.scrub,
            on_error=self.on_error,
            recent=self.recent,
        )

    def push(self, kind: CommandKind, *, eval_ns: int = 0, **fields: Any) -> None:
        """Put one record into the ring."""
        self.ring.push_bytes(command(kind, **fields), eval_ns)

    def open_market(self, market: int = 3) -> None:
        """Open the usual market."""
        self.inbox.market_opened(market, spec(), now_ns=START_NS - 30 * NS)

    def drain_all(self) -> None:
        """Let the writer catch up."""
        self.writer.drain()

    def text(self) -> str:
        """Everything the console has shown."""
        return self.stream.getvalue()

    def table(self, name: str, *, slug: str = SLUG) -> list[str]:
        """Lines of one of the market's files."""
        return (self.out_dir / "5m" / slug / name).read_text().splitlines()

    def markets(self) -> list[dict[str, str]]:
        """Rows of markets.csv by column."""
        head, *rows = (self.out_dir / "5m" / "markets.csv").read_text().splitlines()
        return [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
