"""A dashboard on a loop of its own, in a thread, with sources made by hand: what browser and HTTP tests talk to."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from polybot.clock import wall_clock
from polybot.config_dashboard import DashboardConfig
from polybot.telemetry.dashboard.access import Gate
from polybot.telemetry.dashboard.hub import Hub
from polybot.telemetry.dashboard.server import DashboardServer
from tests.dashboard.made import MadeSource

__all__ = ["LIMIT_S", "TOKEN", "Served"]

TOKEN = "made_t0ken-" * 4
LIMIT_S = 60.0


class Served:
    """Serves `sources` (names to MadeSource) until closed; `port`, `base` and `address` say where."""

    def __init__(self, sources: dict[str, MadeSource], **settings: Any) -> None:
        self.sources = sources
        self.port = settings.pop("port", 0)
        self.gate = Gate(TOKEN, requests_per_s=settings.pop("per_s", 1_000.0), mono_ns=wall_clock().mono_ns)
        self.settings = DashboardConfig(**{"watch_ms": 100, **settings})
        self.hub: Hub
        self.server: DashboardServer
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(LIMIT_S)

    @property
    def base(self) -> str:
        """Address without the token."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The printed address."""
        return f"{self.base}/?token={TOKEN}"

    def call(self, function: Callable[[], Any]) -> None:
        """Run something on the server's loop, and wait for it."""
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(LIMIT_S)

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._serve())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async def find() -> Sequence[str]:
            return list(self.sources)

        clock = wall_clock()
        self.hub = Hub(find, self.sources.__getitem__, self.settings, clock)
        self.server = DashboardServer(self.hub, self.gate, self.settings, clock)
        await self.server.runner.setup()
        site = web.TCPSite(self.server.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.server.runner.addresses[0][1]
        self._ready.set()
        try:
            await self.hub.run()
        finally:
            await self.server.runner.cleanup()
