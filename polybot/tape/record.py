"""The command `record`: live feeds to tapes, without trading.

Owns the process: the embedded venue (started, or joined by venue.attach) or the real one, sockets, the packer's thread,
signals, the screen and the exit code.  The first SIGINT or SIGTERM closes every tape in order, the second ends at once.
On the embedded venue its test account is used for the second oracle channel; on the real venue no key is read and that
channel is left out, which every tape says.  Called by polybot.cli.

Exit codes: 0 all windows recorded (or stopped), 1 a window could not be recorded to its end, 70 internal contradiction.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from polybot.account import lent_account
from polybot.clock import Clock, wall_clock
from polybot.config import Config
from polybot.errors import ConfigError, InvariantBroken, PolybotError, VenueError
from polybot.feeds.connection import Connection
from polybot.feeds.liveness import patient
from polybot.gateway.admission import log_in
from polybot.gateway.http import LaneClient
from polybot.gateway.rest import lone_rest
from polybot.gateway.signer import Signer
from polybot.sim.process import SimInfo, SimProcess, fetch_info
from polybot.tape.leftovers import ask_outcomes, seal_all
from polybot.tape.packer import Packer
from polybot.tape.screen import Screen
from polybot.tape.session import TapeSession, TapeWires, first_text
from polybot.tape.writer import tape_settings
from polybot.transport import Feed, HttpClient

__all__ = ["login_of", "run"]

EXIT_OK, EXIT_FAILED, EXIT_INVARIANT, EXIT_INTERRUPTED = 0, 1, 70, 130
Login = Callable[[], Mapping[str, str]]


async def run(config: Config) -> int:
    """Record as configured until done or told to stop; returns the exit code."""
    # So long may the packer's thread hold the interpreter at a time: receive times are taken on the loop.
    sys.setswitchinterval(config.loop.switch_interval_us * 1e-6)
    http = LaneClient(config.gateway)
    config = _listing_all(config)
    clock: Clock = wall_clock()
    login: Login | None = None
    sim: SimProcess | None = None
    try:
        if config.venue.name == "sim":
            if not config.venue.attach:
                sim = await _start_venue(config)
            info = sim.info if sim is not None else await fetch_info(http, config.venue.attach)
            config, clock, login = await _placed(config, info, http)
        return await _record(config, clock, http, login)
    except VenueError as error:
        sys.stderr.write(f"polybot: the venue refused this recording: {error}\n")
        return EXIT_FAILED
    except OSError as error:
        raise ConfigError(f"record.out_dir={config.record.out_dir} cannot be written: {error}") from error
    finally:
        await http.close()
        if sim is not None:
            await sim.stop()


async def login_of(http: HttpClient, clock: Clock, config: Config, signer: Signer) -> Login:
    """Log in and return what the oracle channel asks for at each connect; raises VenueError."""
    rest = lone_rest(http, clock, venue=config.venue, gateway=config.gateway)
    credentials = (await log_in(rest, signer)).credentials
    return credentials.user_channel_auth


def _listing_all(config: Config) -> Config:
    """Let the embedded venue list every interval that is recorded; other venues list what they list."""
    lifecycle = config.venue.world.lifecycle
    wanted = tuple(name for name in config.record.intervals if name not in lifecycle.intervals)
    if config.venue.name != "sim" or not wanted:
        return config
    world = replace(config.venue.world, lifecycle=replace(lifecycle, intervals=(*lifecycle.intervals, *wanted)))
    return replace(config, venue=replace(config.venue, world=world))


async def _start_venue(config: Config) -> SimProcess:
    folder = Path(config.record.out_dir) / "sim"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{wall_clock().now_ns() // 1_000_000_000}-{os.getpid()}"
    return await SimProcess.start(config, ledger_path=folder / f"{stem}.ledger", log_path=folder / f"{stem}.log")


async def _placed(config: Config, info: SimInfo, http: HttpClient) -> tuple[Config, Clock, Login | None]:
    venue = info.venue(config.venue)
    config = replace(config, venue=venue, feeds=patient(config.feeds, venue.speed))
    clock = info.clock()
    account = lent_account(info.private_key, venue, lambda secret: None)
    return config, clock, await login_of(http, clock, config, account.signer)


async def _record(config: Config, clock: Clock, http: HttpClient, login: Login | None) -> int:
    out_dir = Path(config.record.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    packer = Packer(out_dir, tape_settings(config.record), sync_s=config.record.sync_ms / 1000.0)
    screens: list[Screen] = []

    def notice(level: str, text: str) -> None:
        screens[0].notice(level, text)

    def drive(feed: Feed, rollover_s: float) -> Coroutine[Any, Any, None]:
        def alarm(code: str, text: str) -> None:
            notice("WARNING", f"{code}: {text}")

        return Connection(feed, clock, config.feeds, rollover_s=rollover_s, on_alarm=alarm).run()

    session = TapeSession(
        config,
        clock,
        TapeWires(http=http, drive=drive, off_loop=asyncio.to_thread, auth=login),
        packer=packer,
        source=_source(config),
        notice=notice,
    )
    screen = Screen(sys.stdout, session, mono_ns=wall_clock().mono_ns)
    screens.append(screen)
    what = f"{config.asset.name} {' '.join(session.intervals)} on venue={config.venue.name}"
    screen.notice("RECORD", f"{what} into {out_dir}")
    for level, text in await asyncio.to_thread(seal_all, out_dir, settings=tape_settings(config.record)):
        screen.notice(level, text)
    packer.start()
    code = EXIT_OK
    try:
        asked = ask_outcomes(out_dir, config, clock, http, screen.notice)
        await _until_told(session, screen, asked, report_s=config.record.report_s)
    except* InvariantBroken as broken:
        sys.stderr.write(f"polybot: internal contradiction, stopped: {first_text(broken)}\n")
        code = EXIT_INVARIANT
    except* PolybotError as errors:
        sys.stderr.write(f"polybot: stopped: {first_text(errors)}\n")
        code = code or EXIT_FAILED
    finally:
        is_sound = packer.is_alive
        await asyncio.to_thread(packer.stop)
        screen.report(is_last=is_sound)
        screen.close()
    return code or (EXIT_FAILED if session.failed and not session.is_stopping else EXIT_OK)


def _source(config: Config) -> dict[str, Any]:
    """What the manifest says of where this came from."""
    venue = config.venue
    if venue.name != "sim":
        return {"label": "recorded", "venue": venue.name, "simulated": False}
    world = {"speed": venue.speed, "seed": venue.seed, "makers": venue.makers}
    return {"label": "recorded", "venue": "sim", "simulated": True, **world}


async def _until_told(
    session: TapeSession, screen: Screen, asked: Coroutine[Any, Any, int], *, report_s: float
) -> None:
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if session.is_stopping:
            os._exit(EXIT_INTERRUPTED)
        screen.notice("RECORD", "stopping: closing the tapes (again: exit at once)")
        session.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(_report(screen, report_s)), group.create_task(asked)]
            try:
                await session.run()
            finally:
                for task in beside:
                    task.cancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _report(screen: Screen, every_s: float) -> None:
    sleep: Callable[[float], Awaitable[None]] = wall_clock().sleep
    while True:
        await sleep(every_s)
        screen.report()
