"""A whole companion on a stage: the Bot API server, a control socket with a daemon that only remembers, and between
them the real companion in a thread of its own.

The daemon's answers are those of a recorded one (tests/control/watch_sample.json) without its events; a test makes
events with `Stage.emit`.  Acts are remembered in `stage.daemon.done`.
"""

import asyncio
import contextlib
import json
import os
import threading
import time
from pathlib import Path

from polybot.config import default_config
from polybot.config_control import ControlConfig
from polybot.control.address import socket_path
from polybot.control.server import ControlServer
from polybot.telemetry.telegram.access import TelegramSecrets
from polybot.telemetry.telegram.companion import Companion
from tests.telegram.bot_api import CHAT, TOKEN, USER, BotApi

__all__ = ["QUICK", "SAMPLE", "Daemon", "Stage", "event", "staged"]

SAMPLE = json.loads((Path(__file__).parents[1] / "control" / "watch_sample.json").read_text())
SLUG = SAMPLE["markets"][0]["slug"]
WAIT_S = 60.0
# What a test looks for by its value stands here, so that the sample may be recorded anew.
POSITION = {"slug": SLUG, "outcome": "Down", "shares": 12_500_000, "cost_usd": 6_250_000, "mark_usd": 7_000_000}
HELD = {
    "positions": {"count": 1, "shown": [POSITION]},
    "orders": {"count": 0, "shown": []},
    "exposure": {**SAMPLE["exposure"], "open_usd": 6_250_000},
    "entries": {"open": True, "reason": ""},
    "halts": [],
    "health": {**SAMPLE["health"], "ok": True, "reasons": []},
}
# Everything as quick as it may be; what a test is about it sets itself.
QUICK = {
    "watch_s": 0.05, "gather_s": 0.05, "gap_s": 0.0, "retry_min_s": 0.02, "retry_max_s": 0.1, "gone_s": 1.0,
    "blip_s": 0.3, "long_poll_s": 5.0, "commands_per_s": 30.0, "commands_burst": 100, "flush_s": 3.0, "alive_h": 0.0,
}  # fmt: skip


def event(kind, text="", *, level="INFO", slug=SLUG, strategy="latency_arb", **data):
    """One event as `watch` tells it, without its number."""
    return {"ts_ns": 1, "kind": kind, "level": level, "slug": slug, "strategy": strategy, "text": text, "data": data}


class Daemon:
    """What control.server asks of an operator; remembers acts, tells events."""

    def __init__(self, pid=4711):
        self.is_ready = True
        self.pid = pid
        self.done = []
        self.events = []
        self.facts = {}  # what differs from the sample

    def _do(self, verb, by, reason):
        self.done.append((verb, by, reason))
        return f"{verb} done"

    def halt(self, by, reason):
        return self._do("halt", by, reason)

    def resume(self, by, reason=""):
        return self._do("resume", by, reason)

    def flatten(self, by, reason):
        return self._do("flatten", by, reason)

    def kill(self, by, reason):
        return self._do("kill", by, reason)

    def hello(self):
        keys = ("version", "mode", "venue", "asset", "interval", "risk", "account", "session", "started_ns")
        return {**{key: SAMPLE[key] for key in keys}, "pid": self.pid, **self.facts}

    def status(self):
        return {**SAMPLE, **HELD, **self.hello(), "events": []}

    def watch(self, since):
        return {**self.status(), **self._since(len(self.events) + 1 if since is None else since)}

    def unseen(self, since):
        return self._since(since)

    def _since(self, since):
        return {"events": self.events[max(0, since - 1) :], "events_next": len(self.events) + 1, "events_missed": 0}


class Stage:
    """The running parts; every method may be called from the test's thread."""

    def __init__(self, folder, api, settings):
        self.folder = folder
        self.api = api
        self.daemon = Daemon()
        self.companion = None
        self.error = None
        self.is_child = False
        self._settings = {f"telegram.{key}": value for key, value in (QUICK | settings).items()}
        self._loop = asyncio.new_event_loop()
        self._server = self._gone = self._stop = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def config(self):
        places = {"telegram.api_url": self.api.url, "run.state_dir": "state", "telemetry.out_dir": "logs"}
        return default_config(**places, **self._settings)

    def begin(self, *, with_daemon=True, is_child=False):
        self.is_child = is_child
        self._thread.start()
        if with_daemon:
            self.daemon_starts()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(WAIT_S)
        self.api.wait_for(lambda: self.companion.poller.is_listening or self.api.mode != "ok")
        if with_daemon:
            self.api.wait_for(lambda: self.companion.follower.state == "up")

    def end(self, limit_s=WAIT_S):
        """Stop the companion; raises what it raised."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self.joined(limit_s)

    def parent_dies(self):
        self._loop.call_soon_threadsafe(self._gone.set)

    def joined(self, limit_s=WAIT_S):
        """Wait for the companion's own end."""
        asyncio.run_coroutine_threadsafe(self._wait(), self._loop).result(limit_s)

    def close(self):
        with contextlib.suppress(Exception):
            self.end()
        self.daemon_dies()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def emit(self, *events):
        """The daemon tells these, in this order, in one answer."""

        async def add():
            for one in events:
                self.daemon.events.append({"seq": len(self.daemon.events) + 1, **one})

        asyncio.run_coroutine_threadsafe(add(), self._loop).result(WAIT_S)

    def daemon_starts(self, daemon=None):
        self.daemon = daemon or self.daemon
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(WAIT_S)

    def daemon_dies(self, last_word=None):
        """Without a word, or with one."""

        async def close():
            if self._server is not None:
                self._server.close(last_word)
                self._server = None

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(WAIT_S)

    def run(self, coroutine):
        """Run something in the companion's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    # -- in the companion's loop --------------------------------------------------------------------------------

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _serve(self):
        path = socket_path(Path("state"), SAMPLE["account"], SAMPLE["session"])
        settings = ControlConfig(requests_per_s=1_000.0)
        self._server = ControlServer(self.daemon, path, settings, mono_ns=time.monotonic_ns)
        await self._server.start()

    async def _begin(self):
        self._gone, self._stop = asyncio.Event(), asyncio.Event()
        access = TelegramSecrets(TOKEN, CHAT, frozenset({USER}))
        self.companion = Companion(self.config(), access, is_child=self.is_child)
        gone = self._gone if self.is_child else None
        self._task = asyncio.ensure_future(self.companion.run(gone=gone, stop=self._stop))

    async def _wait(self):
        await self._task


@contextlib.contextmanager
def staged(folder, *, with_daemon=True, is_child=False, mode="ok", **settings):
    """A stage in `folder`, which must be the working folder (socket paths are short)."""
    assert Path.cwd() == Path(os.path.realpath(folder))
    with BotApi() as api:
        api.mode = mode
        stage = Stage(folder, api, settings)
        stage.begin(with_daemon=with_daemon, is_child=is_child)
        try:
            yield stage
        finally:
            stage.close()
