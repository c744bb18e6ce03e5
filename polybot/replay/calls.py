"""What changes an engine and is no event: each act by its name, done live and in a replay by the same function.

Owns the acts (open or drop a market, make an order again, put results back, halt, look at a price) and EngineDoor, the
one way to do them live, which logs each; restored events go through it too.  An act takes plain values alone, so that
JSON holds it exactly.
Must not decide.  Called by polybot.trader, cycle, observer, recovering and latches (live), polybot.replay.verify.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from polybot._fast.cross_timeframe import look_at
from polybot._fast.engine import Engine
from polybot._fast.event import CommandBuffer, EventBuffer
from polybot.clock import Clock
from polybot.market.spec import MarketSpec

__all__ = [
    "AUX_COMMANDS",
    "AUX_MORE",
    "AUX_QUIET",
    "AUX_RAISED",
    "INPUTS_KIND",
    "PART_GLOB",
    "EngineDoor",
    "InputsSink",
    "apply_call",
]

INPUTS_KIND = "inputs"  # `kind` of the manifests of a log's parts
PART_GLOB = "part-*"

# `aux` of EVENTS, COMMANDS and END in an inputs log.
AUX_QUIET = 2  # restored: nobody acted on the Commands
AUX_RAISED = 4  # the engine raised while it took these events
AUX_COMMANDS = 8  # a COMMANDS entry follows
AUX_MORE = 16  # the batch goes on in the next entry, or the log in the next part


class InputsSink(Protocol):
    """Where everything an engine is given is written."""

    def step(self, events: EventBuffer, commands: CommandBuffer, aux: int = 0) -> None:
        """Note one batch and what the engine answered; never raises for a disk."""
        ...

    def raised(self, events: EventBuffer) -> None:
        """Note a batch at which the engine raised."""
        ...

    def call(self, name: str, at_ns: int, args: Mapping[str, Any]) -> None:
        """Note an act that is no event."""
        ...


class EngineDoor:
    """Whoever but the runner wants to change the engine comes through here; `log` None: nothing is logged."""

    def __init__(self, engine: Engine, clock: Clock, log: InputsSink | None) -> None:
        self._engine = engine
        self._clock = clock
        self._log = log

    def open_market(self, index: int, spec: MarketSpec, *, order_seq_base: int, observed: bool = False) -> None:
        """As Engine.open_market."""
        fields = dataclasses.asdict(spec)
        self._do("open_market", index=index, spec=fields, order_seq_base=order_seq_base, observed=observed)

    def drop_market(self, index: int) -> None:
        """As Engine.drop_market."""
        self._do("drop_market", index=index)

    def restore_order(self, index: int, *, strategy: str, **fields: Any) -> None:
        """As Engine.restore_order, the strategy by its name."""
        self._do("restore_order", index=index, strategy=strategy, **fields)

    def restore_losses(self, **fields: Any) -> None:
        """As Risk.restore."""
        self._do("restore_losses", **fields)

    def halt(self) -> None:
        """As Risk.halt."""
        self._do("halt")

    def look(self, index: int, now_ns: int) -> tuple[float, float, float]:
        """As cross_timeframe.look_at, which prices the market anew."""
        mid, fair, sigma = self._do("look", index=index, now_ns=now_ns)
        return mid, fair, sigma

    def retell(self, events: EventBuffer) -> None:
        """Give the engine events of an earlier process; its Commands are thrown away."""
        commands = self._engine.process(events)
        if self._log is not None:
            self._log.step(events, commands, AUX_QUIET)

    def _do(self, name: str, **args: Any) -> Any:
        made = apply_call(self._engine, name, args)
        if self._log is not None:
            self._log.call(name, self._clock.now_ns(), args)
        return made


def apply_call(engine: Engine, name: str, args: Mapping[str, Any]) -> Any:
    """Do one act; raises KeyError for one this program does not know, and whatever the engine raises."""
    return _ACTS[name](engine, **args)


def _open_market(engine: Engine, *, index: int, spec: Mapping[str, Any], order_seq_base: int, observed: bool) -> None:
    engine.open_market(index, MarketSpec(**spec), order_seq_base=order_seq_base, observed=observed)


def _drop_market(engine: Engine, *, index: int) -> None:
    engine.drop_market(index)


def _restore_order(engine: Engine, *, index: int, strategy: str, **fields: Any) -> None:
    engine.restore_order(index, strategy=engine.strategy_slot(strategy), **fields)


def _restore_losses(engine: Engine, **fields: Any) -> None:
    engine.risk.restore(**fields)


def _halt(engine: Engine) -> None:
    engine.risk.halt()


def _look(engine: Engine, *, index: int, now_ns: int) -> tuple[float, float, float]:
    return look_at(engine.markets[index], engine.spot, now_ns)


_ACTS: Mapping[str, Callable[..., Any]] = {
    "open_market": _open_market,
    "drop_market": _drop_market,
    "restore_order": _restore_order,
    "restore_losses": _restore_losses,
    "halt": _halt,
    "look": _look,
}
