"""From gateway Commands to simulated orders: read, plan by the real gateway's code, place or cancel.

Owns the markets that can be traded, the price grid their orders are planned on, and the limit of orders per second.
Paper and backtest both take their Commands in here, so there is one order of things (cancels before places) and one
planning.  Must not read a clock, know what an order is called or decide what is filled.
Called by paper.gateway and backtest.desk.
"""

from collections.abc import Callable

from polybot._fast.event import (
    CommandBuffer,
    CommandKind,
    EventBuffer,
    EventFlag,
    EventKind,
    OrderStatus,
    OrderType,
    Side,
)
from polybot._fast.execution import SimExecution
from polybot._fast.sim_market import QueueModel
from polybot.gateway.limiter import TokenBucket
from polybot.gateway.orders import CommandHead, OrderPlan, TradedMarket, plan_order, read_commands
from polybot.gateway.reasons import RejectReason

__all__ = ["QUEUES", "Intake", "build_refusal"]

BUY = int(Side.BUY)
TAKER_TYPES = (int(OrderType.FAK), int(OrderType.FOK))
CMD_PLACE, CMD_CANCEL = int(CommandKind.CMD_PLACE), int(CommandKind.CMD_CANCEL)
CMD_CANCEL_ALL = int(CommandKind.CMD_CANCEL_ALL)
QUEUES = {"pessimistic": QueueModel.QUEUE_PESSIMISTIC, "proportional": QueueModel.QUEUE_PROPORTIONAL}


class Intake:
    """The way of simulated orders into one SimExecution."""

    def __init__(self, core: SimExecution, *, post_only: bool, place_per_s: float, place_burst: int) -> None:
        self._core = core
        self._post_only = post_only
        self._places = TokenBucket(place_per_s, place_burst)
        self._markets: dict[int, TradedMarket] = {}

    def register_market(self, market: TradedMarket) -> None:
        """Make a market tradable."""
        self._markets[market.index] = market
        self._core.add_market(market.index, market.spec)

    def set_tick_size(self, index: int, tick_size_ticks: int) -> None:
        """The price grid changed; holds from the next order on."""
        if index in self._markets:
            self._markets[index].tick_size_ticks = tick_size_ticks

    def forget_market(self, index: int) -> bool:
        """Forget a market with its orders; False when it is none of ours."""
        if self._markets.pop(index, None) is None:
            return False
        self._core.drop_market(index)
        return True

    def market(self, index: int) -> TradedMarket:
        """A tradable market; raises KeyError for one never registered."""
        return self._markets[index]

    def take(
        self,
        commands: CommandBuffer,
        *,
        cancel: Callable[[tuple[int, ...]], object],
        place: Callable[[CommandHead], None],
    ) -> None:
        """Hand on the gateway's commands of a buffer: cancels first, then places."""
        places: list[CommandHead] = []
        for command in read_commands(commands.to_bytes()):
            if command.kind == CMD_PLACE:
                places.append(command)
            elif command.kind == CMD_CANCEL:
                cancel((command.order_seq,))
            elif command.kind == CMD_CANCEL_ALL:
                cancel(self._seqs_of(command.market))
        for command in places:
            place(command)

    def _seqs_of(self, index: int) -> tuple[int, ...]:
        """Open orders of one market; of all when the index is no market's."""
        return tuple(self._core.open_orders(index if index in self._markets else None))

    def plan(self, command: CommandHead, now_ns: int) -> OrderPlan | RejectReason:
        """Return the exact order of a CMD_PLACE, or why it is not sent."""
        market = self._markets.get(command.market)
        if market is None:
            return RejectReason.UNKNOWN_MARKET
        plan = plan_order(market, command, now_ns)
        if isinstance(plan, RejectReason) or self._places.take(now_ns):
            return plan
        return RejectReason.RATE_LIMIT

    def send(self, index: int, plan: OrderPlan, *, arrive_ns: int) -> None:
        """Let a planned order reach the simulated venue at arrive_ns (receive clock)."""
        self._core.place(
            index,
            order_seq=plan.order_seq,
            outcome=plan.outcome,
            side=plan.side,
            order_type=plan.order_type,
            price_ticks=plan.price_ticks,
            ushares=plan.ushares,
            asked=plan.asked_ushares,
            usd=plan.maker_amount if plan.side == BUY else plan.taker_amount,
            post_only=self._post_only and plan.order_type not in TAKER_TYPES,
            arrive_ns=arrive_ns,
        )


def build_refusal(
    command: CommandHead | OrderPlan, reason: RejectReason, *, market: int, now_ns: int
) -> EventBuffer:
    """Make the event that tells the engine of an order refused here, never sent."""
    out = EventBuffer(1)
    out.add(
        EventKind.EV_ORDER_UPDATE,
        recv_ns=now_ns,
        market=market,
        outcome=command.outcome,
        side=command.side,
        seq=command.order_seq,
        i=OrderStatus.OS_REJECTED,
        x=float(reason),
        flags=EventFlag.F_LOCAL,
    )
    return out
