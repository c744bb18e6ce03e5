"""The embedded venue's own process: as a daemon's child (its protocol: polybot.sim.process), or alone (`polybot sim`).

Owns the venue's end of the pipes, its server, its signals and the file of its ledger.  As a child it ignores Ctrl-C
and ends when its stdin closes, however the parent ended; alone it serves until SIGINT or SIGTERM.
Must not be imported by a daemon: the venue's modules take as long to load as the daemon's own.
Called by polybot.sim.process (`python -m polybot.sim.child`) and polybot.cli.
"""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import uvloop

from polybot.clock import SystemClock, wall_clock
from polybot.config import AssetConfig, Config, IntervalConfig, VenueConfig
from polybot.config_schema import build
from polybot.errors import PolybotError
from polybot.sim.opening import new_session_id, opening
from polybot.sim.process import LINE_BYTES
from polybot.sim.server import VenueServer
from polybot.sim.venue import Venue, VenueSetup

__all__ = ["main", "serve_main"]


async def _child() -> int:
    """Serve until stdin closes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        settings = json.loads(await reader.readline())
        venue = Venue(_setup(settings))
    except (PolybotError, ValueError, KeyError, OSError) as error:
        _tell({"error": str(error)})
        return 2
    server = VenueServer()
    server.bind()
    venue.info["urls"] = server.urls
    _tell({"ready": True, **venue.describe()})
    try:
        line = await reader.readline()
        if not line:
            return 0
        mono_ns = int(json.loads(line)["mono_ns"])
        venue.info["mono_ns"] = mono_ns
        await server.start(venue, SystemClock(venue.setup.epoch_ns, mono_ns, venue.setup.venue.speed))
        _tell({"serving": True})
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        await _first(stopped.wait(), reader.read())
    finally:
        await server.stop()
        venue.close()
    return 0


async def _first(*waits: Any) -> None:
    """Wait for the first of several, and let the others go."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _setup(settings: Mapping[str, Any]) -> VenueSetup:
    return VenueSetup(
        venue=build(VenueConfig, settings["venue"], path="venue"),
        interval=build(IntervalConfig, settings["interval"], path="interval"),
        asset=build(AssetConfig, settings["asset"], path="asset"),
        epoch_ns=settings["epoch_ns"],
        session_id=settings["session_id"],
        ledger_path=settings["ledger_path"],
    )


def _tell(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _run(coroutine: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def main() -> int:
    """Entry point of the child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _run(_child())


# Alone


async def _alone(config: Config) -> int:
    opens = opening(config.venue, config.interval, wall_clock().now_ns())
    session_id = new_session_id(config.venue.seed, opens.epoch_ns, secrets.token_hex(8))
    folder = Path(config.telemetry.out_dir) / "sim"
    folder.mkdir(parents=True, exist_ok=True)
    ledger_path = folder / f"{session_id}.ledger"
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
    server = VenueServer()
    server.bind()
    clock = SystemClock(opens.epoch_ns, wall_clock().mono_ns(), config.venue.speed)
    venue.info["mono_ns"] = clock.mono_anchor_ns
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await server.start(venue, clock)
        _show(venue, ledger_path)
        await stopped.wait()
    finally:
        await server.stop()
        venue.close()
    return 0


def _show(venue: Venue, ledger_path: Path) -> None:
    facts = venue.describe()
    urls = facts["urls"]
    lines = [
        f"embedded venue, session {facts['session_id']}: simulated prices, test money",
        f"  speed={facts['speed']:g} seed={facts['seed']} makers={facts['makers']} spot={facts['spot']}",
        *[f"  {key}={value}" for key, value in urls.items()],
        f"  ledger={ledger_path}",
        f"join it:  python -m polybot venue.attach={urls['sim_url']}",
        "stop it:  Ctrl-C",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def serve_main(config: Config) -> int:
    """Serve the venue alone until SIGINT or SIGTERM; returns the exit code."""
    return _run(_alone(config))


if __name__ == "__main__":
    sys.exit(main())
