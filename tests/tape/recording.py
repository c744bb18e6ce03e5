"""Recordings in virtual time: the real session, feeds and windows against the venue in memory."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runs import QUIET, START_NS

from polybot.clock import VirtualClock
from polybot.config import Config, default_config
from polybot.gateway.signer import Signer, parse_private_key
from polybot.sim.memory import MemoryNetwork, memory_venue
from polybot.sim.opening import new_session_id, opening
from polybot.sim.venue import Venue, VenueSetup
from polybot.sim.virtual_loop import VirtualLoop
from polybot.tape.packer import Packer
from polybot.tape.record import login_of
from polybot.tape.session import TapeSession, TapeWires, run_inline
from polybot.tape.writer import TapeSettings

LIMIT_S = 20_000.0
During = Iterable[tuple[float, Callable[[TapeSession, Venue], None]]]


@dataclass
class Recording:
    """What a recording came to."""

    session: TapeSession
    venue: Venue
    folder: Path
    notices: list[str] = field(default_factory=list)


def recorder_config(**changes: Any) -> Config:
    """A lively but light world; changes by dotted key (dots as double underscores)."""
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return default_config(**{**QUIET, "record.cycles": 1, "record.keep_free_mb": 0, **keys})


def record(
    config: Config,
    folder: Path,
    *,
    settings: TapeSettings | None = None,
    during: During = (),
    prepare: Callable[[TapeSession, Venue], None] | None = None,
) -> Recording:
    """Record in virtual time; `during` holds (venue seconds after the start, call) pairs."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_record(config, folder, settings or TapeSettings(), during, prepare))


async def _record(
    config: Config,
    folder: Path,
    settings: TapeSettings,
    during: During,
    prepare: Callable[[TapeSession, Venue], None] | None,
) -> Recording:
    folder.mkdir(parents=True, exist_ok=True)
    intervals = config.record.intervals
    lifecycle = replace(config.venue.world.lifecycle, intervals=intervals)
    venue_config = memory_venue(replace(config.venue, world=replace(config.venue.world, lifecycle=lifecycle)))
    config = replace(config, venue=venue_config)
    loop = asyncio.get_running_loop()
    opens = opening(config.venue, config.interval, START_NS)
    clock = VirtualClock(loop, opens.epoch_ns)
    venue = Venue(
        VenueSetup(
            venue=config.venue,
            interval=config.interval,
            asset=config.asset,
            epoch_ns=opens.epoch_ns,
            session_id=new_session_id(config.venue.seed, opens.epoch_ns, "tape"),
            ledger_path="",
        )
    )
    network = MemoryNetwork(venue, clock, config.feeds, seed=config.venue.seed)
    pump = loop.create_task(network.pump())
    signer = Signer(parse_private_key(venue.account("main")["private_key"]), config.venue)
    auth = await login_of(network.http, clock, config, signer)
    wires = TapeWires(http=network.http, drive=network.drive, off_loop=run_inline, auth=auth)
    packer = Packer(folder, settings)
    recording: list[Recording] = []
    session = TapeSession(
        config,
        clock,
        wires,
        packer=packer,
        source={"label": "test"},
        notice=lambda level, text: recording[0].notices.append(f"{level} {text}"),
    )
    recording.append(Recording(session, venue, folder))
    if prepare is not None:
        prepare(session, venue)
    for at_s, call in during:
        loop.call_later(at_s, call, session, venue)
    try:
        async with asyncio.timeout(LIMIT_S):
            await session.run()
    finally:
        pump.cancel()
        venue.close()
        packer.stop()
    return recording[0]


