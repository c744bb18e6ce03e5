"""What runner, gateway and markets tell the money journal, and what happens when it takes no more.

Theory of operation: every call writes before its effect.  A JournalError is final: `on_problem` is called (the
trader cancels everything and alarms), intents are refused from then on, everything else passes unrecorded, so
that the process goes on reading what became of the orders it has; after the next start the venue tells what is
missing here.  A disk without space for more is a problem too, until it has some again: what is open can still
be told, into the reserve.
Must not decide about orders.  Called by polybot.runner, the gateway, polybot.cycle and polybot.observer.
"""

from collections.abc import Callable
from typing import Any

from polybot import crashpoints
from polybot._fast.engine import Engine
from polybot._fast.event import EventBuffer, EventKind
from polybot.errors import JournalError
from polybot.gateway.tracker import TrackedOrder
from polybot.journal.journal import Journal
from polybot.journal.records import MONEY_KINDS, hide_owner, pack_intent
from polybot.market.spec import MarketSpec

__all__ = ["LAG_MAX_S", "LATE_BEATS", "Recorder"]

# A disk that takes nothing for so long (wall seconds) is hung; seen at so many beats in a row, because a process
# that was stopped finds old records once, and the helper thread clears them at once.
LAG_MAX_S = 10.0
LATE_BEATS = 10
FILL_MASK = 1 << int(EventKind.EV_FILL)
MONEY_MASK = sum(1 << kind for kind in MONEY_KINDS)


class Recorder:
    """One journal, or none (`journal` None: nothing is recorded, everything is allowed)."""

    def __init__(self, journal: Journal | None, engine: Engine, *, on_problem: Callable[[str], None]) -> None:
        self.failed = ""  # why nothing is recorded any more
        self.problem = ""  # why no order may leave now
        self._journal = journal
        self._engine = engine
        self._on_problem = on_problem
        self._late_beats = 0  # in a row, at which something waited too long for the disk

    @property
    def kinds(self) -> int:
        """Which events move money or truth, as bits of EventBuffer.kind_mask()."""
        return MONEY_MASK

    @property
    def is_recording(self) -> bool:
        """True while a journal takes records."""
        return self._journal is not None and not self.failed

    def events(self, buffer: EventBuffer) -> None:
        """Record what moves money or truth, before the engine sees it."""
        kinds = buffer.kind_mask()
        if not kinds & MONEY_MASK or self._journal is None or self.failed:
            return
        if kinds & FILL_MASK:
            crashpoints.reach("before_fill_journal")
        self._try(self._journal.events, buffer)
        if kinds & FILL_MASK:
            crashpoints.reach("after_fill_journal")

    def intent(self, order: TrackedOrder, *, salt: int, api_key: str) -> bool:
        """Record an order that is signed and not sent; False: it must not be sent."""
        if self._journal is None:
            return True
        if self.failed:
            return False
        crashpoints.reach("before_intent")
        try:
            self._journal.intent_packed(order.market, self._packed(order, salt, api_key))
        except (JournalError, ValueError) as error:
            if self._journal.failed or isinstance(error, ValueError):
                self._fail(f"{error}")
            return False  # else only this one was not taken: no space for a new order
        crashpoints.reach("after_intent")
        return True

    def trade_seen(self, key: int, *, trade_id: str, order_id: str, leg: int) -> None:
        """Record what a trade key stands for, before the fill that carries it."""
        if self._journal is not None and not self.failed:
            self._try(self._journal.trade_seen, key, trade_id=trade_id, order_id=order_id, leg=leg)

    def market_open(self, index: int, spec: MarketSpec, *, order_seq_base: int, observed: bool = False) -> None:
        """Record a market's index, before the engine knows it."""
        if self._journal is not None and not self.failed:
            self._try(
                self._journal.market_open, index, spec, order_seq_base=order_seq_base, observed=observed
            )

    def market_drop(self, index: int) -> None:
        """Record that a settled market is forgotten."""
        if self._journal is not None and not self.failed:
            self._try(self._journal.market_drop, index)

    def settled(self) -> None:
        """A market was settled: bring everything to disk."""
        if self._journal is not None and not self.failed:
            self._journal.request_sync()

    def tend(self) -> None:
        """With every heartbeat: what may wait."""
        if self._journal is None or self.failed:
            return
        if not self._try(self._journal.tend):
            return
        writer = self._journal.writer
        self._late_beats = self._late_beats + 1 if writer.lag_s() > LAG_MAX_S else 0
        if writer.space_error:
            self._set_problem(f"no space for the journal: {writer.space_error}")
        elif self._late_beats >= LATE_BEATS:
            self._set_problem(f"the disk has not taken the journal for {writer.lag_s():.0f} s")
        else:
            self._set_problem("")

    def note(self, text: str) -> None:
        """A line for people."""
        if self._journal is not None and not self.failed:
            self._try(self._journal.note, text)

    def _try(self, write: Callable[..., None], *args: Any, **more: Any) -> bool:
        try:
            write(*args, **more)
        except JournalError as error:
            self._fail(f"{error}")
            return False
        return True

    def _fail(self, why: str) -> None:
        if not self.failed:
            self.failed = f"the journal failed: {why}"
            self._set_problem(self.failed)

    def _set_problem(self, problem: str) -> None:
        before, self.problem = self.problem, problem
        if problem and not before:
            self._on_problem(problem)

    def _packed(self, order: TrackedOrder, salt: int, api_key: str) -> bytes:
        plan, known = order.plan, self._engine.orders[order.order_seq]
        numbers = (
            plan.order_seq, salt, plan.price_ticks, order.market, known.strategy, plan.outcome, plan.side,
            plan.order_type, known.post_only, plan.asked_ushares, plan.ushares, plan.maker_amount,
            plan.taker_amount, plan.expiration_s, known.expires_ns, known.cancel_edge, known.dispatched_ns,
        )  # fmt: skip
        return pack_intent(
            numbers,
            order_id=order.order_id,
            token_id=order.token_id,
            strategy=self._engine.strategies[known.strategy].name,
            body=hide_owner(order.body, api_key),
        )
