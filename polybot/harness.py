"""A whole run in virtual time: the real trader, feeds, decoders, engine and gateway against the venue in memory.

Owns the wiring of one deterministic run: virtual loop, clock, embedded venue, in-memory network, telemetry and
journal into a folder.  The same configuration, seed and start give the same bytes, whatever PYTHONHASHSEED says.
Only the sockets are replaced (polybot.sim.memory).  A run may have several lives: a trader is killed or stopped
at an instant and another one starts on the same venue and journal.
Used by tests and by campaigns over many seeded windows.
"""

import asyncio
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from polybot._fast.event import CommandBuffer
from polybot._fast.keccak import keccak_256
from polybot.assembly import HARD_MAX_ENV
from polybot.books import Books
from polybot.clock import VirtualClock
from polybot.config import Config
from polybot.gateway.signer import Signer, parse_private_key
from polybot.journal.check import JournalReport
from polybot.paper.gateway import PaperGateway
from polybot.paper.ledger import PAPER_ACCOUNT, PaperLedger
from polybot.replay.recorder import InputsRecorder, log_name
from polybot.sim.checker import CheckReport, compare_rows
from polybot.sim.faults import FaultPlan
from polybot.sim.ledger import read_ledger
from polybot.sim.ledger_view import own_rows
from polybot.sim.memory import MemoryNetwork, memory_venue
from polybot.sim.opening import new_session_id, opening
from polybot.sim.venue import Venue, VenueSetup
from polybot.sim.virtual_loop import VirtualLoop
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.redact import Redactor
from polybot.telemetry.totals import RunTotals
from polybot.telemetry.writer import TelemetryWriter
from polybot.trader import RunSummary, Trader, Wires

__all__ = ["Restart", "VirtualRun", "run_virtual"]

# Telemetry is drained so often, venue seconds: the rings stay small.
DRAIN_S = 1.0
# A run that has not ended so long after its last window is stuck; virtual seconds.
OVERTIME_S = 7_200.0


@dataclass(frozen=True, slots=True)
class Restart:
    """The end of one life and the start of the next; venue seconds."""

    at_s: float  # after the run's start
    down_s: float = 1.0
    is_kill: bool = True  # as kill -9 ends a process; else an orderly stop
    config: Config | None = None  # of the next life, None: as before


@dataclass(frozen=True, slots=True)
class VirtualRun:
    """What one virtual run came to; of its last life, where it had several."""

    summary: RunSummary
    check: CheckReport  # the venue's ledger against our files; a killed life's files end early
    money: JournalReport | None  # the venue's ledger against journal and SQLite, None: there was no journal
    totals: RunTotals
    console: str
    commands: int
    commands_sha256: str  # over every command record, in order
    out_dir: Path
    trader: Trader
    venue: Venue
    lives: tuple[Trader, ...]
    inputs: tuple[Path, ...] = ()  # the inputs log of each life, when they were asked for


@dataclass(slots=True, kw_only=True)
class _World:
    """What outlives a trader: loop, venue, network, folder, screen."""

    loop: asyncio.AbstractEventLoop
    clock: VirtualClock
    venue: Venue
    network: MemoryNetwork
    out_dir: Path
    state_dir: Path | None
    session_id: str
    prepare: Callable[[Trader, Venue], None] | None
    with_inputs: bool = False
    recent: RecentEvents | None = None
    inputs: list[InputsRecorder] = field(default_factory=list)
    screen: io.StringIO = field(default_factory=io.StringIO)
    digest: Any = field(default_factory=hashlib.sha256)
    commands: int = 0
    lives: list[Trader] = field(default_factory=list)
    paper: PaperLedger | None = None  # of the last life, when mode=paper


def run_virtual(
    config: Config,
    out_dir: Path,
    *,
    start_ns: int,
    latency_s: float = 0.002,
    prepare: Callable[[Trader, Venue], None] | None = None,
    during: Iterable[tuple[float, Callable[[Trader, Venue], None]]] = (),
    state_dir: Path | None = None,
    with_journal: bool = True,
    restarts: Sequence[Restart] = (),
    faults: FaultPlan | None = None,
    with_inputs: bool = False,
    recent: RecentEvents | None = None,
) -> VirtualRun:
    """Run `config.run.markets` windows from the first boundary after start_ns (ns since the epoch).

    `prepare` is called once everything is wired, in every life; `during` holds (venue seconds after the start, call)
    pairs.  The journal lies in `state_dir`, None: beside the venue's ledger.
    `faults` replaces the plan that `config.venue.faults` names.  `with_inputs` writes an inputs log per life.
    `recent` takes the events of all lives, for those who watch.
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
                state_dir=(state_dir or out_dir / "venue.state") if with_journal else None,
                restarts=restarts,
                faults=faults,
                with_inputs=with_inputs,
                recent=recent,
            )
        )


class _HashingInbox(TelemetryInbox):
    """An inbox that also digests every command."""

    def __init__(self, world: _World) -> None:
        super().__init__()
        self._world = world

    def commands(self, buffer: CommandBuffer, eval_ns: int = 0) -> None:
        self._world.digest.update(buffer.to_bytes())
        self._world.commands += len(buffer)
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
    restarts: Sequence[Restart],
    faults: FaultPlan | None,
    with_inputs: bool,
    recent: RecentEvents | None,
) -> VirtualRun:
    out_dir.mkdir(parents=True, exist_ok=True)
    config = _in_memory(config, out_dir)
    loop = asyncio.get_running_loop()
    opens = opening(config.venue, config.interval, start_ns)
    clock = VirtualClock(loop, opens.epoch_ns)
    session_id = new_session_id(config.venue.seed, opens.epoch_ns, "virtual")
    setup = VenueSetup(
        venue=config.venue,
        interval=config.interval,
        asset=config.asset,
        epoch_ns=opens.epoch_ns,
        session_id=session_id,
        ledger_path=str(out_dir / "venue.ledger"),
    )
    venue = Venue(setup, faults=faults)
    network = MemoryNetwork(venue, clock, config.feeds, latency_s=latency_s, seed=config.venue.seed)
    world = _World(
        loop=loop,
        clock=clock,
        venue=venue,
        network=network,
        out_dir=out_dir,
        state_dir=state_dir,
        session_id=session_id,
        prepare=prepare,
        with_inputs=with_inputs,
        recent=recent,
    )
    for at_s, call in during:
        loop.call_later(at_s, _call, call, world)
    pump = loop.create_task(network.pump())
    try:
        for restart in restarts:
            await _live(world, config, until=restart)
            config = config if restart.config is None else _in_memory(restart.config, out_dir)
            await asyncio.sleep(restart.down_s)
        last = await _live(world, config, until=None)
    finally:
        pump.cancel()
        venue.close()
    return _result(world, last)


@dataclass(frozen=True, slots=True)
class _Life:
    """What one life leaves."""

    summary: RunSummary
    totals: RunTotals
    books: Books | None  # None: it had none, or was killed
    account: str


async def _live(world: _World, config: Config, *, until: Restart | None) -> _Life:
    """One trader from its start to its end, or to the instant where it is killed or stopped."""
    paper = world.paper = _paper(world, config)
    books, account = _books(world, config), _account(world, config)
    inputs = _inputs(world, config)
    trader = Trader(
        config,
        world.clock,
        Wires(http=world.network.http, drive=world.network.drive),
        signer=None if paper is not None else _signer(world, config),
        inbox=_HashingInbox(world),
        session_nonce=_nonce(world),
        journal=None if books is None else books.journal,
        make_gateway=None if paper is None else partial(PaperGateway, config=config, ledger=paper),
        inputs=inputs,
    )
    world.lives.append(trader)
    console = Console(world.screen, mode="plain", environ={}, scrub=Redactor().scrub, refresh_ms=1_000)
    writer = trader.build_writer(console, Redactor().scrub, on_error=None, recent=world.recent)
    if world.prepare is not None:
        world.prepare(trader, world.venue)
    drain = world.loop.create_task(_drain(writer))
    life = world.loop.create_task(trader.run())
    try:
        await _wait(world, life, config, until)
        if until is not None and until.is_kill and not life.done():
            await _kill(trader, books, life, inputs)
            books = None
        summary = trader.summary if life.cancelled() else await life
    finally:
        drain.cancel()
        writer.close()
        if inputs is not None:
            inputs.close()
            inputs.wait()
        if books is not None:
            books.close(open_orders=len(trader.gateway.open_order_seqs()))
    return _Life(summary, writer.totals, books, account)


def _result(world: _World, last: _Life) -> VirtualRun:
    """After the venue has closed its ledger: the comparisons."""
    ledger_path = Path(world.venue.setup.ledger_path)
    rows = read_ledger(ledger_path) if world.paper is None else world.paper.rows()
    money = None if last.books is None else last.books.compare(own_rows(rows), last.account)
    return VirtualRun(
        summary=last.summary,
        check=compare_rows(rows, world.out_dir),
        money=money,
        totals=last.totals,
        console=world.screen.getvalue(),
        commands=world.commands,
        commands_sha256=world.digest.hexdigest(),
        out_dir=world.out_dir,
        trader=world.lives[-1],
        venue=world.venue,
        lives=tuple(world.lives),
        inputs=tuple(one.path for one in world.inputs if one.path is not None),
    )


async def _wait(world: _World, life: "asyncio.Task[RunSummary]", config: Config, until: Restart | None) -> None:
    """Wait for the end of a life, or for the instant of its restart; raises TimeoutError for one that is stuck."""
    limit_s = config.venue.lead_s + config.run.markets * config.interval.duration_s + OVERTIME_S
    if until is not None:
        await asyncio.wait((life,), timeout=max(0.0, until.at_s - world.clock.mono_ns() / 1e9))
        if until.is_kill:
            return
        world.lives[-1].stop()
    await asyncio.wait((life,), timeout=limit_s)
    if not life.done():
        life.cancel()
        raise TimeoutError(f"the run has not ended {limit_s:.0f} s after its start")


async def _kill(
    trader: Trader, books: Books | None, life: "asyncio.Task[RunSummary]", inputs: InputsRecorder | None
) -> None:
    """End a life as kill -9 does: nothing more is written, nothing more is sent, nothing is said."""
    trader.recorder.failed = "killed"
    if inputs is not None:
        inputs.abandon()
    if books is not None:
        books.journal.abandon()
    life.cancel()
    await asyncio.wait((life,))


def _books(world: _World, config: Config) -> Books | None:
    if world.state_dir is None:
        return None
    return Books.open(
        config,
        world.clock,
        state_dir=world.state_dir,
        account=_account(world, config),
        session=world.session_id if world.paper is None else world.paper.session,
        on_ledger_error=None,
    )


def _inputs(world: _World, config: Config) -> InputsRecorder | None:
    """The inputs log of one life, written without a thread."""
    if not world.with_inputs:
        return None
    name = log_name(world.clock.now_ns(), world.session_id)
    hard_max_usd = os.environ.get(HARD_MAX_ENV, "")
    world.inputs.append(
        InputsRecorder(config, world.clock, name=name, hard_max_usd=hard_max_usd, threaded=False)
    )
    return world.inputs[-1]


def _account(world: _World, config: Config) -> str:
    return _signer(world, config).address if world.paper is None else world.paper.account


def _paper(world: _World, config: Config) -> PaperLedger | None:
    """Paper's own books, a session per life: no other process is in them."""
    if config.mode.name != "paper":
        return None
    session = f"paper-{world.session_id}" + (f"-{len(world.lives)}" if world.lives else "")
    return PaperLedger(account=PAPER_ACCOUNT, session=session)


def _signer(world: _World, config: Config) -> Signer:
    return Signer(parse_private_key(world.venue.account("main")["private_key"]), config.venue)


def _nonce(world: _World) -> bytes:
    """What salts are derived from; another one in every life."""
    life = f"|{len(world.lives)}" if world.lives else ""
    return keccak_256((world.session_id + life).encode())[:16]


def _call(call: Callable[[Trader, Venue], None], world: _World) -> None:
    """Call what a test wants to happen, with the trader that lives now."""
    call(world.lives[-1], world.venue)


def _in_memory(config: Config, out_dir: Path) -> Config:
    """The configuration with the venue's addresses in memory, and everything written below out_dir."""
    telemetry = replace(config.telemetry, out_dir=str(out_dir), console="plain")
    return replace(config, venue=memory_venue(config.venue), telemetry=telemetry)


async def _drain(writer: TelemetryWriter) -> None:
    while True:
        await asyncio.sleep(DRAIN_S)
        writer.drain()
