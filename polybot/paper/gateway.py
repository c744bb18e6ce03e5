"""The gateway of mode=paper: Commands in, orders simulated against the data received, the same order events out.

Theory of operation: market data pass through here directly before the engine sees them; whatever our simulated
orders became by them, or by the time that went by, goes to the engine as the real gateway's events would.  An
order is planned by the real gateway's own code (grid, lots, cents, minimum sizes) and then handed to
polybot._fast.execution, with the moment it reaches the venue.  The only call that leaves this machine is the
location check, which is shown and binds nobody.
Must not decide what is filled, and holds no key.  Called by polybot.trader as its gateway.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from polybot._fast.event import (
    CommandBuffer,
    EventBuffer,
    EventFlag,
    EventKind,
    OrderStatus,
    TradeStatus,
)
from polybot._fast.execution import SimExecution
from polybot._fast.keccak import keccak_256
from polybot.config import Config
from polybot.errors import InvariantBroken, VenueError, VenueUnavailable
from polybot.gateway.orders import CommandHead, OrderPlan, TradedMarket
from polybot.gateway.protocol import GatewayHooks
from polybot.gateway.reasons import RejectReason
from polybot.gateway.reconcile import ReconcileReport
from polybot.gateway.tracker import TrackedOrder
from polybot.gateway.trades import TradeRecord, trade_key
from polybot.market.spec import MarketSpec
from polybot.paper.intake import QUEUES, Intake, build_refusal
from polybot.paper.ledger import PaperFill, PaperLedger

__all__ = ["PaperGateway"]

NS = 1_000_000_000
NS_PER_MS = 1_000_000
MICRO = 1_000_000
OWNER = "paper"  # stands in the journal where an API key's place would be
EV_FILL, EV_ORDER_UPDATE = int(EventKind.EV_FILL), int(EventKind.EV_ORDER_UPDATE)
F_MAKER = int(EventFlag.F_MAKER)
OS_REJECTED, OS_CANCELED = int(OrderStatus.OS_REJECTED), int(OrderStatus.OS_CANCELED)
TS_MATCHED = int(TradeStatus.TS_MATCHED)
TERMINAL = (int(OrderStatus.OS_FILLED), OS_CANCELED, int(OrderStatus.OS_EXPIRED), OS_REJECTED)
ORDERS_MAX = (
    20_000  # kept in memory; beyond it the oldest ended ones go, and with none ended no new order is taken
)


class PaperGateway:
    """One simulated account; implements gateway.protocol.OrderGateway."""

    has_account = False

    def __init__(self, hooks: GatewayHooks, config: Config, ledger: PaperLedger) -> None:
        self._hooks = hooks
        self._settings = config.paper
        self._venue = config.venue
        self._order_ns = round(config.paper.order_latency_ms * NS_PER_MS)
        self._cancel_ns = round(config.paper.cancel_latency_ms * NS_PER_MS)
        self.ledger = ledger
        cash_usd = round(config.paper.balance_usd * MICRO)
        self.core = SimExecution(
            cash_usd=cash_usd,
            confirm_ns=round(config.paper.confirm_s * NS),
            cancel_ns=self._cancel_ns,
            queue=QUEUES[config.paper.queue],
            extra_ticks=config.paper.extra_ticks,
        )
        ledger.open_account(cash_usd, hooks.clock.now_ns())
        self._intake = Intake(
            self.core,
            post_only=config.gateway.post_only,
            place_per_s=config.gateway.place_per_s,
            place_burst=config.gateway.place_burst,
        )
        self._orders: dict[int, TrackedOrder] = {}
        self._refusals: dict[str, int] = {}
        self._out = EventBuffer(16)
        self._armed_ns = 0  # when the next sleeper wakes, 0: none
        self._started = False

    # -- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Say what this is, and what the location check says; nothing is refused by it."""
        self._hooks.notice("INFO", "PAPER: orders are simulated here, none leaves this machine")
        self._hooks.notice(
            "INFO", f"PAPER: location check: {await self._ask_place()} (binds only real orders)"
        )
        self._started = True

    async def _ask_place(self) -> str:
        timeout_s = self._venue.request_timeout_s
        try:
            answer = await self._hooks.http.request("GET", self._venue.geoblock_url, timeout_s=timeout_s)
            said = orjson.loads(answer.body)
        except (VenueUnavailable, orjson.JSONDecodeError):
            return "no answer"
        if not isinstance(said, dict) or not isinstance(said.get("blocked"), bool):
            return "no usable answer"
        return f"{'BLOCKED' if said['blocked'] else 'not blocked'}, {said.get('country', '?')}"

    def resume(self) -> None:
        """Nothing was restored."""

    async def close(self) -> None:
        """Take no more orders, and compare the core's cash with the ledger's; raises InvariantBroken."""
        self._started = False
        self.ledger.check_cash(self.core.cash_usd)

    def restore(self, order: TrackedOrder, trades: Mapping[str, TradeRecord]) -> None:
        """Every paper run has a session of its own: there is nothing of an earlier process in it."""
        raise InvariantBroken(
            f"order {order.order_id} of another process in a paper session ({len(trades)} trades)"
        )

    # -- markets and their data -------------------------------------------------------------------------------

    def register_market(self, index: int, spec: MarketSpec) -> None:
        """Make a market tradable; raises SigningError when its token ids are none."""
        self._intake.register_market(TradedMarket.from_spec(index, spec))
        self.ledger.market(spec, self._hooks.clock.now_ns())
        self._arm()

    def set_tick_size(self, index: int, tick_size_ticks: int) -> None:
        """The price grid changed; holds from the next order on."""
        self._intake.set_tick_size(index, tick_size_ticks)

    def forget_market(self, index: int) -> None:
        """Forget a settled market with its orders."""
        if self._intake.forget_market(index):
            self._orders = {seq: order for seq, order in self._orders.items() if order.market != index}

    def on_market_events(self, events: EventBuffer) -> None:
        """Match against the data, directly before the engine sees them."""
        self.core.process(events, self._out)
        self._deliver()

    def on_outcome(self, index: int, outcome: int) -> None:
        """Pay out what is held."""
        market = self._intake.market(index)
        paid = self.core.settle(index, outcome)
        booked = self.ledger.settled(market.spec.condition_id, outcome, self._hooks.clock.now_ns())
        if paid != booked:
            raise InvariantBroken(f"{market.spec.slug}: paid {paid} in the core, {booked} in the ledger")

    # -- commands ---------------------------------------------------------------------------------------------

    def execute(self, commands: CommandBuffer) -> None:
        """Take the gateway's commands out of a buffer: cancels first, then places.  Returns at once."""
        self._intake.take(commands, cancel=self._cancel, place=self._place)
        self._arm()

    def _cancel(self, seqs: tuple[int, ...]) -> int:
        arrive_ns = self._hooks.clock.now_ns() + self._cancel_ns
        return sum(self.core.cancel(seq, arrive_ns) for seq in seqs)

    def _place(self, command: CommandHead) -> None:
        if command.order_seq in self._orders:
            raise InvariantBroken(f"order_seq {command.order_seq} was placed twice")
        now_ns = self._hooks.clock.now_ns()
        if not self._started:
            self._refuse(command, RejectReason.NOT_STARTED, command.market)
            return
        plan = self._intake.plan(command, now_ns)
        if isinstance(plan, RejectReason):
            self._refuse(command, plan, command.market)
        elif not self._has_room():
            self._refuse(command, RejectReason.TOO_MANY_ORDERS, command.market)
        else:
            self._send(self._intake.market(command.market), plan, now_ns)

    def _send(self, market: TradedMarket, plan: OrderPlan, now_ns: int) -> None:
        order = self._tracked(market, plan, now_ns)
        intents = self._hooks.intents
        if intents is not None and not intents.intent(order, salt=0, api_key=OWNER):
            self._refuse(plan, RejectReason.NOT_JOURNALED, market.index)
            return
        self._orders[plan.order_seq] = order
        self._hooks.on_order_id(plan.order_seq, order.order_id)
        self._intake.send(market.index, plan, arrive_ns=now_ns + self._order_ns)

    def _tracked(self, market: TradedMarket, plan: OrderPlan, now_ns: int) -> TrackedOrder:
        digest = keccak_256(f"{self.ledger.session}|{plan.order_seq}".encode())
        return TrackedOrder(
            order_seq=plan.order_seq,
            order_id=f"0x{digest.hex()}",
            market=market.index,
            condition_id=market.spec.condition_id,
            token_id=market.token_id(plan.outcome),
            end_ns=market.spec.end_ns,
            plan=plan,
            placed_ns=now_ns,
            body=orjson.dumps({"owner": OWNER}),
        )

    def _has_room(self) -> bool:
        if len(self._orders) < ORDERS_MAX:
            return True
        ended = next((seq for seq in self._orders if self.core.order(seq) is None), None)
        if ended is not None:
            del self._orders[ended]
        return ended is not None

    def _refuse(self, order: CommandHead | OrderPlan, reason: RejectReason, market: int) -> None:
        """Count a local refusal and report it; the runner lets it wait its turn."""
        self._refusals[reason.name] = self._refusals.get(reason.name, 0) + 1
        self._hooks.on_reason(order.order_seq, reason.name)
        now_ns = self._hooks.clock.now_ns()
        self._hooks.sink(build_refusal(order, reason, market=market, now_ns=now_ns))

    async def cancel_all(self) -> int:
        """Cancel every open order; returns how many cancels are on their way."""
        count = self._cancel(tuple(self.core.open_orders()))
        self._arm()
        return count

    # -- what became of the orders ----------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Hand on what the core told: keys that name the trade, stamped now, written before the engine sees it."""
        if not len(self._out):
            return
        rows = self._out.to_numpy().copy()
        self._out.reset()
        for k in range(len(rows)):
            if rows["kind"][k] == EV_FILL:
                self._on_fill(rows, k)
            else:
                self._on_update(rows, k)
        rows["recv_ns"] = np.maximum(rows["recv_ns"], self._hooks.clock.now_ns())
        told = EventBuffer(len(rows))
        told.extend(rows)
        self._hooks.sink(told)
        self._arm()

    def _on_fill(self, rows: Any, k: int) -> None:
        order = self._orders[int(rows["seq"][k])]
        trade_id = f"{self.ledger.session}-{int(rows['y'][k])}"
        key = trade_key(trade_id, order.order_id, 0)
        rows["y"][k] = float(key)
        if rows["x"][k] != TS_MATCHED:
            return
        is_maker = bool(rows["flags"][k] & F_MAKER)
        fill = PaperFill(trade_id, int(rows["i"][k]), int(rows["j"][k]), is_maker)
        self.ledger.accepted(order, int(rows["venue_ns"][k]))
        self.ledger.filled(order, fill, int(rows["venue_ns"][k]))
        if self._hooks.intents is not None:
            self._hooks.intents.trade_seen(key, trade_id=trade_id, order_id=order.order_id, leg=0)

    def _on_update(self, rows: Any, k: int) -> None:
        order = self._orders[int(rows["seq"][k])]
        status, reason, at_ns = int(rows["i"][k]), RejectReason(int(rows["x"][k])), int(rows["venue_ns"][k])
        if reason is not RejectReason.NONE:
            self._hooks.on_reason(order.order_seq, f"simulated: {reason.name}")
        else:
            self.ledger.accepted(order, at_ns)
        order.status = status
        if status in TERMINAL:
            name = OrderStatus(status).name.removeprefix("OS_")
            self.ledger.ended(order, matched=int(rows["j"][k]), status=name, now_ns=at_ns)

    def _arm(self) -> None:
        """Wake up when the next thing is due, if nobody does already."""
        due_ns = self.core.next_due_ns()
        if due_ns and self._started and (self._armed_ns == 0 or due_ns < self._armed_ns):
            self._armed_ns = due_ns
            self._hooks.spawn(self._wake_at(due_ns))

    async def _wake_at(self, due_ns: int) -> None:
        clock = self._hooks.clock
        while (wait_ns := due_ns - clock.now_ns()) > 0:
            await clock.sleep(wait_ns / NS)
        if self._armed_ns == due_ns:
            self._armed_ns = 0
        self.core.advance(clock.now_ns(), self._out)
        self._deliver()
        self._arm()

    # -- what may be looked at --------------------------------------------------------------------------------

    def on_user_event(self, raw: Mapping[str, Any], recv_ns: int) -> None:
        """There is no user channel."""

    def user_channel_auth(self) -> dict[str, str]:
        """Raise VenueError: paper has no account."""
        raise VenueError("paper trading has no account to log in with")

    def entry_pause(self) -> RejectReason:
        """Nothing pauses simulated orders once started."""
        return RejectReason.NONE if self._started else RejectReason.NOT_STARTED

    def pause_detail(self) -> str:
        """No lasting blocks."""
        return ""

    def open_order_seqs(self) -> tuple[int, ...]:
        """order_seq of every order not at its end."""
        return tuple(self.core.open_orders())

    def counters(self) -> dict[str, int]:
        """Everything counted."""
        refused = {f"refused_{name.lower()}": value for name, value in self._refusals.items()}
        return {**self.core.counters(), **refused}

    async def reconcile(self) -> ReconcileReport:
        """Tell the engine the cash; the simulated venue and we cannot differ."""
        out = EventBuffer(1)
        out.add(int(EventKind.EV_BALANCE), recv_ns=self._hooks.clock.now_ns(), j=self.core.cash_usd)
        self._hooks.sink(out)
        return ReconcileReport(len(self.core.open_orders()), (), 0, self.core.cash_usd)

    def on_beat(self) -> None:
        """Nothing waits for the timer."""
