"""Composition root of a live run: process, clock, sockets, telemetry, signals; polybot.trader does the trading.

Owns start and end: the embedded venue's process (venue=sim), the account's key, the telemetry thread, SIGINT
and SIGTERM, the end summary and the exit code.  Close order: feeds and engine (inside the trader), gateway,
telemetry, journal and ledger, venue process.  Called by polybot.cli.

Exit codes: 0 done, 1 failed or refused by the venue, 4 stopped with orders that may still be open,
70 our own state contradicts itself.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger

from polybot import __version__
from polybot._fast.ring import CommandRing
from polybot.account import Account, check_live, forget_secrets, open_account
from polybot.assembly import HARD_MAX_ENV
from polybot.attendance import Attendance, companion_lines
from polybot.books import Books
from polybot.clock import Clock, wall_clock
from polybot.companions import Given, read_given
from polybot.config import Config, FeedsConfig
from polybot.control.address import check_no_kill_file
from polybot.control.serving import controlled
from polybot.control.signals import StopSignals
from polybot.credentials.sources import Secrets
from polybot.doctor.gate import require_ready
from polybot.errors import ConfigError, InvariantBroken, NotReady, PolybotError, VenueError
from polybot.feeds.connection import Connection
from polybot.gateway.http import LaneClient
from polybot.loop_care import tended
from polybot.loop_cores import CoreBinding
from polybot.notify import SOCKET_ENV
from polybot.paper.gateway import PaperGateway
from polybot.place import Place, find_place
from polybot.replay.recorder import InputsRecorder, log_name
from polybot.sim.checker import compare_rows, count_rows
from polybot.sim.ledger import read_ledger
from polybot.sim.ledger_view import own_rows
from polybot.telemetry.banner import banner_lines
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.log import configure_logging
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.redact import Redactor
from polybot.telemetry.thread import TelemetryThread
from polybot.trader import RunSummary, Trader, Wires
from polybot.transport import Feed

__all__ = ["run"]

_Run = Coroutine[Any, Any, None]

EXIT_OK, EXIT_FAILED, EXIT_ORDERS_OPEN, EXIT_INVARIANT, EXIT_INTERRUPTED = 0, 1, 4, 70, 130


async def run(config: Config) -> int:
    """Trade as configured until done or told to stop; returns the exit code."""
    with StopSignals() as signals:
        try:
            return await _run(config, signals)
        except asyncio.CancelledError:
            if not signals.was_early:
                raise
            sys.stderr.write("polybot: stopped before it began to trade\n")
            return EXIT_OK


async def _run(config: Config, signals: StopSignals) -> int:
    config = _apart(config)
    check_no_kill_file(Path(config.run.state_dir))
    redactor = Redactor()
    beside = Secrets(os.environ)
    given, problems = read_given(config, beside, redactor.register)
    account = _open_account(config, redactor)
    beside.forget()
    cores = CoreBinding(config.loop)
    cores.begin()
    # So long may a busy helper thread hold the interpreter at a time (5 ms by default: too long for a loop).
    sys.setswitchinterval(config.loop.switch_interval_us * 1e-6)
    out_dir = Path(config.telemetry.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    logs = configure_logging(config.telemetry, redactor, stderr=sys.stderr, tag=_tag(config))
    http = LaneClient(config.gateway)
    place: Place | None = None
    try:
        place = await find_place(config, http, redactor, out_dir, account=account)
        place.facts += await require_ready(place, http, redactor)
        return await _trade(place, http, redactor, signals, given=given, problems=problems, cores=cores)
    except VenueError as error:
        sys.stderr.write(f"polybot: the venue refused this run: {error}\n")
        return EXIT_FAILED
    except NotReady as error:
        await _end_late(config, error)
        raise
    finally:
        await http.close()
        if place is not None and place.sim is not None:
            await place.sim.stop()
        logs.close()
        cores.release()


async def _end_late(config: Config, error: NotReady) -> None:
    """Under a service manager: an outage refuses every start, and starts in quick succession would soon be the last."""
    wait_s = config.service.refused_s
    if os.environ.get(SOCKET_ENV):
        sys.stderr.write(f"polybot: {error}\npolybot: this start ends in {wait_s:g} s\n")
        sys.stderr.flush()
        await wall_clock().sleep(wait_s)


def _apart(config: Config) -> Config:
    """Keep what paper writes in a folder of its own: nobody shall take its results for real ones."""
    if config.mode.name != "paper":
        return config
    out_dir = str(Path(config.telemetry.out_dir) / "paper")
    return replace(config, telemetry=replace(config.telemetry, out_dir=out_dir))


def _tag(config: Config) -> str:
    """What every line of console and log begins with."""
    return "PAPER " if config.mode.name == "paper" else ""


def _open_account(config: Config, redactor: Redactor) -> Account | None:
    """The operator's account (None: the embedded venue lends one), after which no secret is in the environment.

    Raises ConfigError for an account that is not given rightly, and for real orders.
    """
    if config.mode.name == "paper":
        forget_secrets(redactor.register)
        return None
    try:
        account = open_account(config.venue, redactor.register)
    except ConfigError as error:
        check_live(config, None, str(error))
        raise
    check_live(config, account)
    return account


async def _trade(
    place: Place,
    http: LaneClient,
    redactor: Redactor,
    signals: StopSignals,
    *,
    given: Given,
    problems: Sequence[str],
    cores: CoreBinding,
) -> int:
    """Recover from this account's journal and trade; it is held until the end.  `given`: what runs beside it.

    Raises AlreadyRunning naming the other process that trades this account, StateDamaged and JournalError.
    """
    config, clock = place.config, place.clock
    books = Books.open(
        config,
        clock,
        state_dir=place.state_dir,
        account=place.owner,
        session=place.session,
        on_ledger_error=_log_ledger_error,
    )
    inputs = _open_inputs(place)
    trader = _make_trader(place, http, books, inputs)
    signals.attach(trader)
    console = _open_console(place, redactor)
    console.plain(companion_lines(given, problems))
    attendance = Attendance(
        trader, given, problems, target=f"{place.owner}-{place.session}", scrub=redactor.scrub, environ=os.environ
    )
    recent = RecentEvents(config.control.recent_events_count, scrub=redactor.scrub) if config.control.enabled else None
    writer = trader.build_writer(console, redactor.scrub, on_error=_log_telemetry_error, recent=recent)
    thread = TelemetryThread(
        writer, on_error=_log_telemetry_error, every_s=config.telemetry.flush_ms / 1000.0
    )
    is_checked = place.ledger_path is not None or place.paper is not None
    before = count_rows(Path(config.telemetry.out_dir)) if is_checked else {}  # a long history takes its time
    thread.start()
    books.start()
    code, open_orders = EXIT_FAILED, None
    try:
        async with controlled(
            trader, account=place.owner, session=place.session, journal=books.journal, recent=recent
        ) as operator:
            attendance.begin(operator)
            with tended(trader, cores, operator):
                code, summary = await _run_until_told(trader)
        open_orders = len(trader.gateway.open_order_seqs()) if code == EXIT_OK else None
    finally:
        attendance.let_go()
        if not _close_files(inputs, thread, books, is_clean=code == EXIT_OK, open_orders=open_orders):
            code = code or EXIT_FAILED
        attendance.stop()
    if place.sim is not None:
        await place.sim.stop()
    if is_checked:
        equal = _check_ledger(place, books, console, before)
        code = code or (EXIT_OK if equal else EXIT_FAILED)
    return EXIT_ORDERS_OPEN if summary.orders_may_be_open else code


def _make_trader(place: Place, http: LaneClient, books: Books, inputs: InputsRecorder | None) -> Trader:
    """Give the trader its sockets, its gateway and what writes things down."""
    config, clock = place.config, place.clock
    inbox = TelemetryInbox(CommandRing(config.telemetry.queue_records))
    account = place.account
    return Trader(
        config,
        clock,
        Wires(http=http, drive=_driver(clock, config.feeds, inbox), login=None if account is None else account.login),
        signer=None if account is None else account.signer,
        inbox=inbox,
        journal=books.journal,
        make_gateway=None if place.paper is None else partial(PaperGateway, config=config, ledger=place.paper),
        inputs=inputs,
    )


def _close_files(
    inputs: InputsRecorder | None, thread: TelemetryThread, books: Books, *, is_clean: bool, open_orders: int | None
) -> bool:
    """Write what is left and close, the journal last; False when it did not end in order."""
    if inputs is not None:
        inputs.close(is_clean=is_clean)
    thread.stop()
    trouble = books.close(open_orders=open_orders)
    if trouble:
        sys.stderr.write(f"polybot: the journal did not end in order: {trouble}\n")
    if inputs is not None:
        inputs.wait()
    return not trouble


def _open_inputs(place: Place) -> InputsRecorder | None:
    """Begin the log that `replay` runs again; what goes wrong with it is a notice, and nothing else."""
    if not place.config.replay.record:
        return None
    name = log_name(wall_clock().now_ns(), place.session)
    return InputsRecorder(place.config, place.clock, name=name, hard_max_usd=os.environ.get(HARD_MAX_ENV, ""))


def _open_console(place: Place, redactor: Redactor) -> Console:
    """The operator's screen, with what is traded and where on it."""
    config = place.config
    console = Console(
        sys.stdout,
        mode=config.telemetry.console,
        environ=os.environ,
        scrub=redactor.scrub,
        refresh_ms=config.telemetry.console_refresh_ms,
        tag=_tag(config),
    )
    console.plain(
        banner_lines(
            mode=config.mode,
            venue=config.venue,
            interval=config.interval,
            asset=config.asset,
            risk=config.risk,
            strategies=config.strategy,
            version=__version__,
        )
    )
    console.plain(place.facts)
    return console


async def _run_until_told(trader: Trader) -> tuple[int, RunSummary]:
    """Run the trader to its end, whoever asks for it; what went wrong goes to stderr and into the exit code."""
    code = EXIT_OK
    try:
        await trader.run()
    except* InvariantBroken as broken:
        sys.stderr.write(f"polybot: internal contradiction, stopped: {_first_text(broken)}\n")
        code = EXIT_INVARIANT
    except* PolybotError as errors:
        sys.stderr.write(f"polybot: stopped: {_first_text(errors)}\n")
        code = code or EXIT_FAILED
    return code, trader.summary


def _first_text(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _driver(clock: Clock, settings: FeedsConfig, inbox: TelemetryInbox) -> Callable[[Feed, float], _Run]:
    def alarm(code: str, text: str) -> None:
        inbox.notice("WARNING", f"{code}: {text}", now_ns=clock.now_ns(), data={"code": code})

    def drive(feed: Feed, rollover_s: float) -> _Run:
        return Connection(feed, clock, settings, rollover_s=rollover_s, on_alarm=alarm).run()

    return drive


def _log_telemetry_error(error: Exception) -> None:
    logger.error("telemetry failed error={}", f"{type(error).__name__}: {error}")


def _log_ledger_error(text: str) -> None:
    logger.warning("ledger {}", text)


def _check_ledger(place: Place, books: Books, console: Console, before: Mapping[Path, int]) -> bool:
    """After the run: does the venue's own ledger (paper's, with mode=paper) say what all our books say?"""
    venue_rows = [] if place.ledger_path is None else read_ledger(place.ledger_path)
    rows = venue_rows if place.paper is None else place.paper.rows()
    whose = "venue's" if place.paper is None else "paper's"
    report = compare_rows(rows, Path(place.config.telemetry.out_dir), account=place.owner, before=before)
    money = books.compare(own_rows(rows), place.owner)
    console.plain(["", f"{whose} own ledger against our books:", *report.text().splitlines()])
    console.plain(["and against journal and SQLite ledger:", *money.text().splitlines()])
    if place.paper is None:
        return report.is_ok and money.is_ok
    place.paper.close()
    leaked = sum(row["k"] == "order" for row in venue_rows)
    if place.ledger_path is not None:
        console.plain([f"the embedded venue saw {leaked} orders of ours"])
    return report.is_ok and money.is_ok and not leaked
