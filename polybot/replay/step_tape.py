"""A tape as a script for the stepper: what a backtest of this tape alone gives its engine, and its simulated venue.

Owns the turning of the reel's items into events and calls, the machine that takes them, and the warnings a person must
see: damage, gaps, what is missing.  What is given when is said by polybot.backtest.reel and world, what is filled by
desk: a fill seen here is the fill of the backtest.  Called by step.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from polybot._fast.event import EVENT_DTYPE, EventKind, Special
from polybot.assembly import build_engine
from polybot.backtest.desk import Desk
from polybot.backtest.reel import Chunk, Drop, Open, Reel, Settle, Tell, Window
from polybot.backtest.run import desk_settings
from polybot.backtest.world import TapeWorld, Title
from polybot.config import Config
from polybot.replay.step_script import NOTED_KINDS, Call, Commands, Events, Script, Spool
from polybot.tape.reader import Tape

__all__ = ["TAPE_TITLE", "DeskMachine", "tape_script"]

TAPE_TITLE = "TAPE, backtest of it alone: orders and fills are simulated"
NS = 1_000_000_000
NS_PER_MS = 1_000_000
NO_MARKET = int(Special.NO_MARKET)
KEEP = sum(1 << kind for kind in NOTED_KINDS)


class DeskMachine:
    """An engine whose orders go to a backtest's simulated venue; the pump makes the heartbeats."""

    def __init__(self, config: Config) -> None:
        self.engine = build_engine(config)
        self._desk = Desk(desk_settings(config))
        self._pump = self._desk.build_pump(
            self.engine,
            keep=KEEP,
            timer_ns=config.engine.timer_ms * NS_PER_MS,
            balance_ns=round(config.gateway.reconcile_s * NS),
        )

    def feed(self, events: Events) -> Commands:
        """Pump the events."""
        self._pump.run(events)
        return self._pump.take_commands()

    def open_market(self, window: Window) -> None:
        """A window is joined; one that is only followed takes no orders."""
        self.engine.open_market(
            window.index, window.spec, order_seq_base=window.order_seq_base, observed=window.observed
        )
        if not window.observed:
            self._desk.register_market(window.index, window.spec)

    def settle(self, index: int, outcome: int) -> None:
        """Pay out what the venue holds."""
        self._desk.settle(index, outcome)


def tape_script(tape: Tape, config: Config) -> Script:
    """Make a script of one tape, with the settings of a backtest.

    Raises ConfigError for a tape that cannot be backtested with these settings, and says why.
    """
    assert tape.spec is not None, "a tape without a market is not offered"
    own: Any = {"tapes": (str(tape.path),), "intervals": (tape.spec.interval,), "days": ()}
    settings = replace(config.backtest, **own)
    config = replace(config, backtest=settings)
    world = TapeWorld(config, say=lambda text: None)
    calls: list[Call] = []
    with Spool() as spool:
        for item in Reel(world):
            if isinstance(item, Chunk):
                spool.add(_of_market(item))
            elif isinstance(item, Open):
                calls.append(Call(spool.count, partial(DeskMachine.open_market, window=item.window)))
            elif isinstance(item, Tell):
                spool.add(_told(item))
            elif isinstance(item, Settle):
                spool.add(_event(EventKind.EV_OUTCOME, item.at_ns, market=item.window.index, outcome=item.outcome))
                settle = partial(DeskMachine.settle, index=item.window.index, outcome=item.outcome)
                calls.append(Call(spool.count, settle))
            else:
                assert isinstance(item, Drop)  # the market stays to be looked at; what is due until then is done
                spool.add(_event(EventKind.EV_TIMER, item.at_ns, market=NO_MARKET))
        events = spool.events()
    return Script(
        title=TAPE_TITLE,
        events=events,
        calls=tuple(calls),
        build=partial(DeskMachine, config),
        warnings=tuple(_warnings(tape, world.titles[0])),
    )


def _warnings(tape: Tape, title: Title) -> Iterator[str]:
    """What a person should know before he believes what he sees."""
    yield from (f"DAMAGE {text}" for text in title.damage)
    if tape.manifest["state"] not in ("complete", "imported"):
        yield f"the tape is {tape.manifest['state']}, not complete"
    if title.reason:
        yield title.reason
    yield from (f"gap in {text}" for text in title.gaps)
    yield from title.warnings
    yield from (f"assumed: {text}" for text in title.assumptions)
    if title.missing:
        yield f"not on the tape: {', '.join(title.missing)}"


def _of_market(chunk: Chunk) -> Events:
    """The events with the index of their market."""
    if chunk.market < 0:
        return chunk.events
    rows: Any = np.array(chunk.events)
    rows["market"][rows["market"] != NO_MARKET] = chunk.market
    return rows  # type: ignore[no-any-return]


def _told(item: Tell) -> Events:
    """The strike, or that the window ended."""
    if item.strike is None:
        return _event(EventKind.EV_MARKET_CLOSE, item.at_ns, market=item.window.index)
    strike = item.strike
    return _event(
        EventKind.EV_STRIKE,
        item.at_ns,
        market=item.window.index,
        x=strike.value,
        y=strike.variance,
        i=strike.source,
        venue_ns=strike.stamp_ns,
    )


def _event(kind: EventKind, at_ns: int, **fields: Any) -> Events:
    row = np.zeros(1, EVENT_DTYPE)
    row["kind"], row["recv_ns"] = kind, at_ns
    for name, value in fields.items():
        row[name] = value
    return row
