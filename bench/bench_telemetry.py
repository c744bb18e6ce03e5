"""Telemetry on both sides: what the event loop pays per note and record, what the writer's thread pays per row."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scenario import make_spec

from polybot._fast.event import COMMAND_DTYPE, CommandKind
from polybot.clock import wall_clock
from polybot.config import TelemetryConfig
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import LOOSE_NOTES_MAX, TelemetryInbox
from polybot.telemetry.redact import Redactor
from polybot.telemetry.writer import TelemetryWriter

Budget = Callable[..., float]
BATCH = 1_000
NS = 1_000_000_000
START_NS = 1_763_797_800 * NS

SPEC = make_spec(
    slug="btc-updown-5m-1763797800",
    condition_id="0x" + "c0" * 32,
    token_up="1" * 77,
    token_down="2" * 77,
    start_ns=START_NS,
    end_ns=START_NS + 300 * NS,
)


@pytest.fixture
def writer(tmp_path: Path) -> tuple[TelemetryInbox, TelemetryWriter]:
    inbox = TelemetryInbox()
    made = TelemetryWriter(
        TelemetryConfig(out_dir=str(tmp_path)),
        ("latency_arb",),
        wall_clock(),
        source=inbox,
        console=Console(io.StringIO(), mode="off", environ={}, scrub=str),
        gates={},
        denials=("DISPATCHED", "COOLDOWN"),
        scrub=Redactor().scrub,
    )
    inbox.market_opened(3, SPEC, now_ns=START_NS)
    made.drain()
    return inbox, made


def records(kind: CommandKind) -> bytes:
    array = np.zeros(BATCH, dtype=COMMAND_DTYPE)
    array["kind"], array["market"], array["decided_ns"] = kind, 3, START_NS
    array["reason"], array["price_ticks"], array["edge"], array["fair"] = 1, 5_200, 0.0312, 0.5512
    return array.tobytes()


def test_note_from_the_event_loop(budget: Budget) -> None:
    inbox = TelemetryInbox()

    def run() -> None:
        for _ in range(LOOSE_NOTES_MAX):
            inbox.sample("binance", ts_ns=START_NS, wire_ns=1, decode_ns=2, decide_ns=3)
        inbox.take()

    budget(run, name="telemetry.sample note and take", median_ns=1_500, inner=LOOSE_NOTES_MAX)


def test_signal_rows(budget: Budget, writer: tuple[TelemetryInbox, TelemetryWriter]) -> None:
    inbox, made = writer
    batch = records(CommandKind.CMD_SIGNAL)

    def run() -> None:
        inbox.ring.push_bytes(batch, 1_250)
        made.drain()

    budget(run, name="telemetry.drain signal row", median_ns=25_000, inner=BATCH)


def test_scrubbing_a_line(budget: Budget) -> None:
    redactor = Redactor("0x" + "4c" * 32, "dGhpcyBpcyBhIHNlY3JldCBvZiBhbiBhcGkga2V5Li4=", "a-long-passphrase")
    line = (
        "07:51:01.234 BTC 5m 07:50  ORDER     12  latency_arb  Buy 12.34 Up @ 0.52 FAK  FILLED  matched=12.34"
    )
    budget(lambda: redactor.scrub(line), name="telemetry.scrub a line", median_ns=100_000)
