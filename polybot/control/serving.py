"""Puts one running Trader under the operator's hand: makes the Operator, serves the socket, watches the kill file.

Owns how the parts are joined and in which order they begin and end: the socket is there before the run begins and
says the last word after it ended.  Without the socket (control.enabled=false) the kill file still works.
Must not trade.  Called by polybot.daemon around the whole run.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from polybot import __version__
from polybot.control.address import kill_file, socket_path
from polybot.control.operator import Operator
from polybot.control.server import ControlServer
from polybot.journal.journal import Journal
from polybot.trader import Trader

__all__ = ["controlled"]


@asynccontextmanager
async def controlled(
    trader: Trader, *, account: str, session: str, journal: Journal | None = None
) -> AsyncIterator[Operator]:
    """Serve `trader` while the block runs; `journal` knows who set the halts that outlived a process, and why.

    Raises ConfigError when the state folder's path is too long, AlreadyRunning, OSError when it cannot be written.
    """
    config = trader.config
    state_dir = Path(config.run.state_dir)
    identity = {
        "version": __version__,
        "pid": os.getpid(),
        "mode": config.mode.name,
        "venue": config.venue.name,
        "asset": config.asset.name,
        "interval": config.interval.name,
        "risk": config.risk.name,
        "account": account,
        "session": session,
    }

    def kept_halts() -> dict[str, tuple[str, str]]:
        latches = {} if journal is None else journal.state().latches
        return {kind.name.lower(): (latch.by, latch.reason) for kind, latch in latches.items()}

    operator = Operator(trader, identity=identity, kill_file=kill_file(state_dir), kept_halts=kept_halts)
    trader.on_beat = operator.on_beat
    server: ControlServer | None = None
    if config.control.enabled:
        path = socket_path(state_dir, account, session)
        server = ControlServer(operator, path, config.control, mono_ns=trader.clock.mono_ns)
        await server.start()
    ended = False
    try:
        yield operator
        ended = True
    finally:
        if server is not None:
            is_open = trader.summary.orders_may_be_open or not ended
            server.close({"ok": True, "ended": True, "orders_may_be_open": is_open})
