"""The dashboard as a process: the command `dashboard`, and `serve` for whoever starts it as a child.

Owns the token's file, the port, the printed address and the order of start and end.  Looks at daemons through
their control sockets alone (polybot.control.watcher), so nothing of it can hold up trading; it survives their
restarts when it runs on its own, and ends with its parent (`gone`) when it does not.
Called by polybot.cli and by the child process of polybot.companions.
"""

import asyncio
import errno
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from polybot.clock import wall_clock
from polybot.config import Config
from polybot.config_dashboard import DashboardConfig
from polybot.control.address import sockets
from polybot.control.watcher import Watcher, list_daemons
from polybot.telemetry.dashboard.access import Gate, check_host, load_token
from polybot.telemetry.dashboard.follower import Source
from polybot.telemetry.dashboard.hub import Hub
from polybot.telemetry.dashboard.server import DashboardServer

__all__ = ["run_alone", "serve"]

EXIT_OK = 0


async def run_alone(config: Config) -> int:
    """Serve until SIGINT or SIGTERM, following every daemon there is (control.account= names one)."""
    gone = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, gone.set)
    return await serve(config, target=config.control.account, gone=gone, word=lambda gate: gate.token)


async def serve(
    config: Config, *, target: str, gone: asyncio.Event | None, word: Callable[[Gate], str] = Gate.new_code
) -> int:
    """Serve the page until `gone` is set, its address on stdout; returns the exit code.

    `target`: the one daemon (ACCOUNT-SESSION) to follow; "": all of run.state_dir.  `word` is what the printed address
    carries: a code that is good once, where the line may end in a log, or the token.
    Raises ConfigError for an address that is not this machine's own, or a token's file that others may read; OSError.
    """
    settings = config.dashboard
    host = check_host(settings.host)
    state_dir = Path(config.run.state_dir)
    clock = wall_clock()
    gate = Gate(load_token(state_dir), requests_per_s=settings.requests_per_s, mono_ns=clock.mono_ns)

    def make_source(name: str) -> Source:
        return Watcher(state_dir, name, config.control, from_start=True)

    hub = Hub(_Finder(config, target).find, make_source, settings, clock)
    server = DashboardServer(hub, gate, settings, clock)
    await server.runner.setup()
    try:
        port = await _listen(server.runner, host, settings)
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"dashboard  http://{shown}:{port}/?token={word(gate)}\n")
        sys.stdout.flush()
        await _until(hub, gone or asyncio.Event())
    finally:
        await server.runner.cleanup()
    return EXIT_OK


class _Finder:
    """Names the daemons of the state folder; greets them only when the folder's sockets are others than before."""

    def __init__(self, config: Config, target: str) -> None:
        self._state_dir = Path(config.run.state_dir)
        self._settings = config.control
        self._target = target
        self._seen: set[tuple[str, int]] | None = None
        self._names: list[str] = []

    async def find(self) -> Sequence[str]:
        """ACCOUNT-SESSION of each, or the target alone."""
        if self._target:
            return [self._target]
        seen = set(_inodes(self._state_dir))
        if seen != self._seen:
            self._names = await list_daemons(self._state_dir, self._settings)
            self._seen = seen if len(self._names) == len(seen) else None  # one that did not answer may do so later
        return self._names


def _inodes(state_dir: Path) -> Iterator[tuple[str, int]]:
    for path in sockets(state_dir):
        with suppress(OSError):  # gone since
            yield str(path), path.stat().st_ino


async def _until(hub: Hub, gone: asyncio.Event) -> None:
    """Follow the daemons until told to end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(hub.run())
        await gone.wait()
        task.cancel()


async def _listen(runner: web.AppRunner, host: str, settings: DashboardConfig) -> int:
    """Listen on the first free port of those allowed; returns it, raises OSError when all are taken."""
    ports = [settings.port + step for step in range(settings.ports_count) if settings.port + step < 65_536]
    for port in ports if settings.port else [0]:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return int(runner.addresses[-1][1])
    taken = f"ports {ports[0]} to {ports[-1]} of {host} are all taken"
    raise OSError(f"{taken}: choose another dashboard.port, or 0 for any")

