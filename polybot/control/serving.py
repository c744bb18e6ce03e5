"""Puts one running Trader under the operator's hand: makes the Operator, serves the socket, watches the kill file.

Owns how the parts are joined and in which order they begin and end: the socket is there before the run begins and
says the last word after it ended.  Without the socket (control.enabled=false) the kill file still works.
Must not trade.  Called by polybot.daemon around the whole run.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from polybot import __version__
from polybot.control.address import kill_file, socket_path
from polybot.control.operator import Operator
from polybot.control.server import ControlServer
from polybot.journal.journal import Journal
from polybot.telemetry.recent import RecentEvents
from polybot.trader import Trader

__all__ = ["controlled"]

# Wall seconds that the end of a run waits at most for its last events to be written, and for the last word to be read.
LAST_WORD_S = 1.0
POLL_S = 0.01


@asynccontextmanager
async def controlled(
    trader: Trader,
    *,
    account: str,
    session: str,
    journal: Journal | None = None,
    recent: RecentEvents | None = None,
) -> AsyncIterator[Operator]:
    """Serve `trader` while the block runs; `journal` knows who set the halts that outlived a process, and why.

    Who watches sees `recent`, from the event `start` to the event `stop`.
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
        "started_ns": trader.clock.now_ns(),
    }

    def kept_halts() -> dict[str, tuple[str, str]]:
        latches = {} if journal is None else journal.state().latches
        return {kind.name.lower(): (latch.by, latch.reason) for kind, latch in latches.items()}

    operator = Operator(
        trader, identity=identity, kill_file=kill_file(state_dir), kept_halts=kept_halts, recent=recent
    )
    trader.on_beat = operator.on_beat
    server: ControlServer | None = None
    if config.control.enabled:
        path = socket_path(state_dir, account, session)
        server = ControlServer(operator, path, config.control, mono_ns=trader.clock.mono_ns)
        await server.start()
    ended = False
    _tell_start(trader, identity)
    operator.health.start()
    try:
        yield operator
        ended = True
    finally:
        operator.health.stop()
        is_open = trader.summary.orders_may_be_open or not ended
        _tell_stop(trader, is_open=is_open)
        if server is not None:
            if recent is not None:
                await _until(lambda: recent.is_ended)
            server.close({"ok": True, "ended": True, "orders_may_be_open": is_open})
            await _until(lambda: server.is_heard)


def _tell_start(trader: Trader, identity: dict[str, Any]) -> None:
    strategies = [one.name for one in trader.engine.strategies if one.enabled]
    words = (identity["mode"], identity["venue"], identity["asset"], identity["interval"])
    trader.inbox.milestone(
        "start",
        f"started: process {identity['pid']} {' '.join(words)}, strategies {', '.join(strategies) or 'none'}",
        now_ns=trader.clock.now_ns(),
        data={**identity, "strategies": strategies},
    )


def _tell_stop(trader: Trader, *, is_open: bool) -> None:
    """The last thing of all that watchers hear."""
    summary = trader.summary
    pnl_usd = sum(summary.pnl_usd.values())
    held = [one for one in trader.engine.markets.values() if not one.settled and (one.shares[0] or one.shares[1])]
    held_usd = trader.engine.risk.position_usd if held else 0
    text = "stopped: ORDERS MAY BE OPEN, look at the venue" if is_open else "stopped with no order open"
    if held:
        text += f"; STILL HELD: shares of {len(held)} windows, ${held_usd / 1e6:,.2f} at risk until the venue settles"
    trader.inbox.milestone(
        "stop",
        text,
        now_ns=trader.clock.now_ns(),
        data={
            "orders_may_be_open": is_open,
            "windows": summary.windows,
            "settled": summary.settled,
            "refused": summary.refused,
            "pnl_usd": pnl_usd,
            "held_usd": held_usd,
        },
    )


async def _until(is_so: Callable[[], bool]) -> None:
    """Wait for the telemetry thread, or for clients that read slowly, at most LAST_WORD_S: the run is over."""
    for _ in range(round(LAST_WORD_S / POLL_S)):
        if is_so():
            return
        await asyncio.sleep(POLL_S)
