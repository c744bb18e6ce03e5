"""A whole run in virtual time: the real trader, feeds, decoders, engine and gateway against the venue in memory.

Owns the wiring of one deterministic run: virtual loop, clock, embedded venue, in-memory network, telemetry into
a folder.  The same configuration, seed and start give the same bytes, whatever PYTHONHASHSEED says.  Only the
sockets are replaced (polybot.sim.memory).  Used by tests and by campaigns over many seeded windows.
"""

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from polybot._fast.event import CommandBuffer
from polybot._fast.keccak import keccak_256
from polybot.clock import VirtualClock
from polybot.config import Config
from polybot.gateway.signer import Signer, parse_private_key
from polybot.latches import LossFile
from polybot.sim.checker import CheckReport, compare
from polybot.sim.memory import MemoryNetwork, memory_venue
from polybot.sim.venue import Venue, VenueSetup, new_session_id, opening
from polybot.sim.virtual_loop import VirtualLoop
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.redact import Redactor
from polybot.telemetry.totals import RunTotals
from polybot.telemetry.writer import TelemetryWriter
from polybot.trader import RunSummary, Trader, Wires

__all__ = ["VirtualRun", "run_virtual"]

# Telemetry is drained so often, venue seconds: the rings stay small.
DRAIN_S = 1.0
# A run that has not ended so long after its last window is stuck; virtual seconds.
OVERTIME_S = 7_200.0


@dataclass(frozen=True, slots=True)
class VirtualRun:
    """What one virtual run came to."""

    summary: RunSummary
    check: CheckReport  # the venue's ledger against our files
    totals: RunTotals
    console: str
    commands: int
    commands_sha256: str  # over every command record, in order
    out_dir: Path
    trader: Trader
    venue: Venue


def run_virtual(
    config: Config,
    out_dir: Path,
    *,
    start_ns: int,
    latency_s: float = 0.002,
    prepare: Callable[[Trader, Venue], None] | None = None,
    during: Iterable[tuple[float, Callable[[Trader, Venue], None]]] = (),
    state_dir: Path | None = None,
) -> VirtualRun:
    """Run `config.run.markets` windows from the first boundary after start_ns (ns since the epoch).

    `prepare` is called once everything is wired; `during` holds (venue seconds after the start, call) pairs.
    Results and halts are kept only when there is a `state_dir`: a second run there takes them up.
    Raises ValueError for an endless run.
    """
    if config.run.markets == 0:
        raise ValueError("a virtual run needs run.markets")
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(
            _run(
                config,
                out_dir,
                start_ns=start_ns,
                latency_s=latency_s,
                prepare=prepare,
                during=during,
                state_dir=state_dir,
            )
        )


class _HashingInbox(TelemetryInbox):
    """An inbox that also digests every command."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self.count = 0

    def commands(self, buffer: CommandBuffer, eval_ns: int = 0) -> None:
        self.digest.update(buffer.to_bytes())
        self.count += len(buffer)
        super().commands(buffer, eval_ns)


async def _run(
    config: Config,
    out_dir: Path,
    *,
    start_ns: int,
    latency_s: float,
    prepare: Callable[[Trader, Venue], None] | None,
    during: Iterable[tuple[float, Callable[[Trader, Venue], None]]],
    state_dir: Path | None,
) -> VirtualRun:
    out_dir.mkdir(parents=True, exist_ok=True)
    config = _in_memory(config, out_dir)
    loop = asyncio.get_running_loop()
    opens = opening(config.venue, config.interval, start_ns)
    clock = VirtualClock(loop, opens.epoch_ns)
    ledger_path = out_dir / "venue.ledger"
    session_id = new_session_id(config.venue.seed, opens.epoch_ns, "virtual")
    venue = Venue(
        VenueSetup(
            venue=config.venue,
            interval=config.interval,
            asset=config.asset,
            epoch_ns=opens.epoch_ns,
            session_id=session_id,
            ledger_path=str(ledger_path),
        )
    )
    network = MemoryNetwork(venue, clock, config.feeds, latency_s=latency_s, seed=config.venue.seed)
    inbox = _HashingInbox()
    signer = Signer(parse_private_key(venue.account("main")["private_key"]), config.venue)
    losses = None if state_dir is None else LossFile(state_dir, account=signer.address, session=session_id)
    trader = Trader(
        config,
        clock,
        Wires(http=network.http, drive=network.drive),
        signer=signer,
        inbox=inbox,
        session_nonce=keccak_256(session_id.encode())[:16],
        losses=losses,
    )
    screen = io.StringIO()
    console = Console(screen, mode="plain", environ={}, scrub=Redactor().scrub, refresh_ms=1_000)
    writer = trader.build_writer(console, Redactor().scrub, on_error=None)
    if prepare is not None:
        prepare(trader, venue)
    for at_s, call in during:
        loop.call_later(at_s, call, trader, venue)
    limit_s = config.venue.lead_s + config.run.markets * config.interval.duration_s + OVERTIME_S
    helpers = [loop.create_task(network.pump()), loop.create_task(_drain(writer))]
    try:
        async with asyncio.timeout(limit_s):
            summary = await trader.run()
    finally:
        for task in helpers:
            task.cancel()
        writer.close()
        venue.close()
    return VirtualRun(
        summary=summary,
        check=compare(ledger_path, out_dir),
        totals=writer.totals,
        console=screen.getvalue(),
        commands=inbox.count,
        commands_sha256=inbox.digest.hexdigest(),
        out_dir=out_dir,
        trader=trader,
        venue=venue,
    )


def _in_memory(config: Config, out_dir: Path) -> Config:
    """The configuration with the venue's addresses in memory, and everything written below out_dir."""
    telemetry = replace(config.telemetry, out_dir=str(out_dir), console="plain")
    return replace(config, venue=memory_venue(config.venue), telemetry=telemetry)


async def _drain(writer: TelemetryWriter) -> None:
    while True:
        await asyncio.sleep(DRAIN_S)
        writer.drain()
