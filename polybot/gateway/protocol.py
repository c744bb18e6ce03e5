"""What a trader needs of a gateway, and what it gives one: the seam between real orders and simulated fills.

Owns the two sides of it.  gateway.clob.ClobGateway sends orders to a venue; polybot.paper.gateway.PaperGateway
fills them here.  Both take the engine's commands and answer with EV_ORDER_UPDATE, EV_FILL and EV_BALANCE through
the same sink, so nothing above them knows which one it has.  Must not hold logic.  Called by polybot.trader.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from polybot._fast.event import CommandBuffer, EventBuffer
from polybot.clock import Clock
from polybot.gateway.intents import IntentLog
from polybot.gateway.reasons import RejectReason
from polybot.gateway.reconcile import ReconcileReport
from polybot.gateway.tracker import TrackedOrder
from polybot.gateway.trades import TradeRecord
from polybot.market.spec import MarketSpec
from polybot.transport import HttpClient

__all__ = ["GatewayHooks", "OrderGateway"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayHooks:
    """What a trader gives its gateway."""

    http: HttpClient
    clock: Clock
    sink: Callable[[EventBuffer], None]  # where order events go; may be called from within itself
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    notice: Callable[[str, str], None]  # (level, text) for the operator
    on_stage: Callable[[str, int, int], None]  # (stage, order_seq, monotonic ns)
    on_order_id: Callable[[int, str], None]
    on_reason: Callable[[int, str], None]
    intents: IntentLog | None  # None: no journal


class OrderGateway(Protocol):
    """One account's way to its orders."""

    @property
    def has_account(self) -> bool:
        """True when there are credentials, and so a user channel and what else needs a login."""
        ...

    # -- life

    async def start(self) -> None:
        """Make ready for orders; raises VenueError when they must not be placed."""
        ...

    def resume(self) -> None:
        """Follow what restore() took up."""
        ...

    async def close(self) -> None:
        """Stop the background loops; orders in flight are left to their tasks."""
        ...

    def restore(self, order: TrackedOrder, trades: Mapping[str, TradeRecord]) -> None:
        """Take up an order of the last process."""
        ...

    # -- markets and their data

    def register_market(self, index: int, spec: MarketSpec) -> None:
        """Make a market tradable; raises SigningError when it cannot be."""
        ...

    def set_tick_size(self, index: int, tick_size_ticks: int) -> None:
        """The price grid changed."""
        ...

    def forget_market(self, index: int) -> None:
        """Take no more orders for a market."""
        ...

    def on_market_events(self, events: EventBuffer) -> None:
        """Market data, directly before the engine sees them."""
        ...

    def on_outcome(self, index: int, outcome: int) -> None:
        """The venue published a market's outcome: what is held there is paid out."""
        ...

    # -- orders

    def execute(self, commands: CommandBuffer) -> None:
        """Take CMD_PLACE, CMD_CANCEL and CMD_CANCEL_ALL out of a buffer.  Returns at once."""
        ...

    async def cancel_all(self) -> int:
        """Cancel every order of the account; returns how many, raises VenueError when that is not known."""
        ...

    def on_user_event(self, raw: Mapping[str, Any], recv_ns: int) -> None:
        """One parsed object of the user channel."""
        ...

    async def reconcile(self) -> ReconcileReport:
        """Compare with the venue and emit what was missed; raises VenueError when it is incomplete."""
        ...

    # -- what may be looked at

    def user_channel_auth(self) -> dict[str, str]:
        """The `auth` object for the user channel; a secret.  Raises VenueError without a login."""
        ...

    def entry_pause(self) -> RejectReason:
        """Why new orders are refused now, NONE when they are not."""
        ...

    def pause_detail(self) -> str:
        """The lasting blocks in words."""
        ...

    def open_order_seqs(self) -> tuple[int, ...]:
        """order_seq of every order not at its end."""
        ...

    def counters(self) -> dict[str, int]:
        """Everything counted, for display and telemetry."""
        ...

    def on_beat(self) -> None:
        """The daemon's timer beat."""
        ...
