"""Composition root of a live run: process, clock, sockets, telemetry, signals; polybot.trader does the trading.

Owns start and end: the embedded venue's process (venue=sim), the account's key, the telemetry thread, SIGINT
and SIGTERM, the end summary and the exit code.  Close order: feeds and engine (inside the trader), gateway,
telemetry, venue process.  Called by polybot.cli.

Exit codes: 0 done, 1 failed or refused by the venue, 4 stopped with orders that may still be open,
70 our own state contradicts itself.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loguru import logger

from polybot import __version__
from polybot._fast.ring import CommandRing
from polybot.clock import Clock, wall_clock
from polybot.config import Config, FeedsConfig
from polybot.errors import ConfigError, InvariantBroken, PolybotError, VenueError
from polybot.feeds.connection import Connection
from polybot.gateway.http import AiohttpClient
from polybot.gateway.signer import Signer, parse_private_key
from polybot.journal.lock import AccountLock
from polybot.latches import LossFile
from polybot.sim.checker import compare, count_rows
from polybot.sim.process import SimInfo, SimProcess, fetch_info
from polybot.telemetry.banner import banner_lines
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.log import configure_logging
from polybot.telemetry.redact import Redactor
from polybot.telemetry.thread import TelemetryThread
from polybot.trader import RunSummary, Trader, Wires
from polybot.transport import Feed

__all__ = ["run"]

_Run = Coroutine[Any, Any, None]

EXIT_OK, EXIT_FAILED, EXIT_ORDERS_OPEN, EXIT_INVARIANT, EXIT_INTERRUPTED = 0, 1, 4, 70, 130
# A busy telemetry thread holds the interpreter at most this long at a time (5 ms by default: too long for a loop).
SWITCH_INTERVAL_S = 0.0001
# Watchdogs count venue seconds; on a fast clock they must not take a busy machine for a dead feed.
LEAST_SILENCE_WALL_S = 2.0


@dataclass(slots=True)
class _Place:
    """Where this run trades: settings with addresses filled in, its clock, its account."""

    config: Config
    clock: Clock
    signer: Signer
    session: str
    sim: SimProcess | None = None
    ledger_path: Path | None = None
    facts: tuple[str, ...] = ()


async def run(config: Config) -> int:
    """Trade as configured until done or told to stop; returns the exit code."""
    _check_supported(config)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    out_dir = Path(config.telemetry.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    redactor = Redactor()
    logs = configure_logging(config.telemetry, redactor, stderr=sys.stderr)
    http = AiohttpClient(config.gateway)
    await http.open()
    place: _Place | None = None
    try:
        place = await _find_place(config, http, redactor, out_dir)
        return await _trade(place, http, redactor)
    except VenueError as error:
        sys.stderr.write(f"polybot: the venue refused this run: {error}\n")
        return EXIT_FAILED
    finally:
        await http.close()
        if place is not None and place.sim is not None:
            await place.sim.stop()
        logs.close()


def _check_supported(config: Config) -> None:
    """Refuse what this version cannot do truthfully."""
    if config.mode.name == "paper":
        raise ConfigError(
            "mode=paper is not allowed: simulated fills are not built yet; use venue=sim mode=live"
        )
    if config.venue.name != "sim":
        raise ConfigError(
            f"venue={config.venue.name} is not allowed: real orders need a passing doctor and a journal, "
            "which are not built yet; use venue=sim"
        )


async def _find_place(config: Config, http: AiohttpClient, redactor: Redactor, out_dir: Path) -> _Place:
    """Start the embedded venue, or join the one named by venue.attach."""
    if config.venue.attach:
        info = await fetch_info(http, config.venue.attach)
        return _place_at(config, info, redactor)
    folder = out_dir / "sim"
    folder.mkdir(parents=True, exist_ok=True)
    started = datetime.fromtimestamp(wall_clock().now_ns() / 1e9, UTC)
    stem = f"{started:%Y%m%d-%H%M%S}-{os.getpid()}"
    ledger_path = folder / f"{stem}.ledger"
    sim = await SimProcess.start(config, ledger_path=ledger_path, log_path=folder / f"{stem}.log")
    place = _place_at(config, sim.info, redactor)
    place.sim, place.ledger_path = sim, ledger_path
    return place


def _place_at(config: Config, info: SimInfo, redactor: Redactor) -> _Place:
    redactor.register(info.private_key)
    venue = replace(info.venue(config.venue), makers=info.facts["makers"], seed=info.facts["seed"])
    signer = Signer(parse_private_key(info.private_key), venue)
    facts = tuple(f"{name.replace('_', ' ')}: {info.facts[name]}" for name in ("spot", "oracle_history"))
    feeds = _patient(config.feeds, venue.speed)
    config = replace(config, venue=venue, feeds=feeds)
    return _Place(config, info.clock(), signer, session=info.session_id, facts=facts)


def _patient(feeds: FeedsConfig, speed: float) -> FeedsConfig:
    """The feeds' limits of silence, none shorter than LEAST_SILENCE_WALL_S on the wall."""
    least_s = LEAST_SILENCE_WALL_S * speed
    return replace(
        feeds,
        spot_silence_s=max(feeds.spot_silence_s, least_s),
        market_silence_s=max(feeds.market_silence_s, least_s),
        oracle_silence_s=max(feeds.oracle_silence_s, least_s),
        pong_timeout_s=max(feeds.pong_timeout_s, least_s),
    )


async def _trade(place: _Place, http: AiohttpClient, redactor: Redactor) -> int:
    """Hold the account while it trades: two daemons would write over each other's results and halts.

    A venue that ends with this process is nobody else's.  Raises AlreadyRunning naming the other process.
    """
    if place.sim is not None:
        return await _trade_alone(place, http, redactor)
    folder = Path(place.config.run.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lock = AccountLock(folder, f"{place.signer.address}-{place.session}")
    try:
        return await _trade_alone(place, http, redactor)
    finally:
        lock.release()


async def _trade_alone(place: _Place, http: AiohttpClient, redactor: Redactor) -> int:
    config, clock = place.config, place.clock
    inbox = TelemetryInbox(CommandRing(config.telemetry.queue_records))
    trader = Trader(
        config,
        clock,
        Wires(http=http, drive=_driver(clock, config.feeds, inbox), off_loop=asyncio.to_thread),
        signer=place.signer,
        inbox=inbox,
        losses=_losses(place),
    )
    console = Console(
        sys.stdout,
        mode=config.telemetry.console,
        environ=os.environ,
        scrub=redactor.scrub,
        refresh_ms=config.telemetry.console_refresh_ms,
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
    writer = trader.build_writer(console, redactor.scrub, on_error=_log_telemetry_error)
    thread = TelemetryThread(
        writer, on_error=_log_telemetry_error, every_s=config.telemetry.flush_ms / 1000.0
    )
    before = count_rows(Path(config.telemetry.out_dir))
    thread.start()
    try:
        code, summary = await _run_until_told(trader)
    finally:
        thread.stop()
    if place.ledger_path is not None and place.sim is not None:
        await place.sim.stop()
        equal = _check_ledger(place.ledger_path, Path(config.telemetry.out_dir), console, before)
        code = code or (EXIT_OK if equal else EXIT_FAILED)
    return EXIT_ORDERS_OPEN if summary.orders_may_be_open else code


def _losses(place: _Place) -> LossFile | None:
    """Where results and halts of this account survive; nobody meets a venue again that ends with this process."""
    if place.sim is not None:
        return None
    return LossFile(Path(place.config.run.state_dir), account=place.signer.address, session=place.session)


async def _run_until_told(trader: Trader) -> tuple[int, RunSummary]:
    """Run the trader with SIGINT and SIGTERM wired: the first stops it in order, the second at once."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if trader.stopping:
            os._exit(EXIT_INTERRUPTED)
        trader.notice("WARNING", "stopping: no new orders, cancelling what rests (again: exit at once)")
        trader.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    code = EXIT_OK
    try:
        await trader.run()
    except* InvariantBroken as broken:
        sys.stderr.write(f"polybot: internal contradiction, stopped: {_first_text(broken)}\n")
        code = EXIT_INVARIANT
    except* PolybotError as errors:
        sys.stderr.write(f"polybot: stopped: {_first_text(errors)}\n")
        code = code or EXIT_FAILED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return code, trader.summary


def _first_text(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _driver(clock: Clock, settings: FeedsConfig, inbox: TelemetryInbox) -> Callable[[Feed, float], _Run]:
    def alarm(code: str, text: str) -> None:
        inbox.notice("WARNING", f"{code}: {text}", now_ns=clock.now_ns())

    def drive(feed: Feed, rollover_s: float) -> _Run:
        return Connection(feed, clock, settings, rollover_s=rollover_s, on_alarm=alarm).run()

    return drive


def _log_telemetry_error(error: Exception) -> None:
    logger.error("telemetry failed error={}", f"{type(error).__name__}: {error}")


def _check_ledger(ledger_path: Path, out_dir: Path, console: Console, before: Mapping[Path, int]) -> bool:
    """After the run: does the venue's own ledger say what our files say?"""
    report = compare(ledger_path, out_dir, before=before)
    console.plain(["", "venue's own ledger against our books:", *report.text().splitlines()])
    return report.is_ok
