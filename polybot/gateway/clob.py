"""The gateway to the venue's order book: Commands in, signed orders out, order events back.

Owns the life of an order on our side: plan, sign, POST, classify the answer, follow it to its end.
Places are signed, journaled and written on the engine's stack (`execute`); what comes of them, local refusals too, is
reported from a task, so that the sink is never entered from within itself.  An unknown answer
blocks the order's token until there is evidence; nothing is ever sent a second time.
Must not choose prices or sizes and knows no strategy.  Called by the daemon, which also wires the
user channel (on_user_event) and, after every (re)connect of it, reconcile().
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from polybot._fast.event import (
    CommandBuffer,
    CommandKind,
    EventBuffer,
    EventFlag,
    EventKind,
    OrderStatus,
    Special,
)
from polybot._fast.keccak import keccak_256
from polybot.clock import Clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import DecodeError, InvariantBroken, SigningError, VenueError, VenueUnavailable
from polybot.gateway.admission import check_account, check_place, check_version, log_in, sync_clock
from polybot.gateway.auth import Login
from polybot.gateway.canceler import Canceler
from polybot.gateway.health import Health
from polybot.gateway.holdings import Holdings
from polybot.gateway.intents import IntentLog
from polybot.gateway.limiter import TokenBucket
from polybot.gateway.orders import (
    CommandHead,
    OrderPlan,
    TradedMarket,
    build_order,
    order_salt,
    plan_order,
    read_commands,
)
from polybot.gateway.posting import Poster
from polybot.gateway.reasons import RejectReason
from polybot.gateway.reconcile import Reconciler, ReconcileReport
from polybot.gateway.resolver import Resolver, Spawn
from polybot.gateway.signer import Signer
from polybot.gateway.tracker import OS_SENT, OS_UNKNOWN, OrderTracker, TrackedOrder
from polybot.gateway.trades import Fill, Trade, TradeRecord
from polybot.market.spec import MarketSpec
from polybot.transport import HttpClient

__all__ = ["ClobGateway"]

CMD_PLACE, CMD_CANCEL = int(CommandKind.CMD_PLACE), int(CommandKind.CMD_CANCEL)
CMD_CANCEL_ALL = int(CommandKind.CMD_CANCEL_ALL)
OS_REJECTED = int(OrderStatus.OS_REJECTED)
NO_MARKET = int(Special.NO_MARKET)
F_LOCAL = int(EventFlag.F_LOCAL)
# Fills come by the user channel within milliseconds; after that long we ask for them.
WATCH_S = 2.0


class ClobGateway:
    """One account at the venue; see the module's head for what may call what."""

    has_account = True

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        *,
        signer: Signer,
        venue: VenueConfig,
        settings: GatewayConfig,
        sink: Callable[[EventBuffer], None],
        spawn: Spawn,
        on_stage: Callable[[str, int, int], None],
        on_order_id: Callable[[int, str], None] | None = None,
        on_reason: Callable[[int, str], None] | None = None,
        session_nonce: bytes = b"",
        intents: IntentLog | None = None,
        login: Login | None = None,
    ) -> None:
        self._intents = intents
        self._clock = clock
        self._signer, self._login = signer, login
        self._venue = venue
        self._settings = settings
        self._sink = sink
        self._spawn = spawn
        self._on_stage = on_stage
        self._on_order_id = on_order_id
        self._on_reason = on_reason
        self._nonce = session_nonce or keccak_256(f"{signer.address}|{clock.now_ns()}".encode())[:16]
        self._health = Health(
            http,
            clock,
            venue=venue,
            settings=settings,
            nonce=self._nonce,
            spawn=spawn,
            is_compared=self._is_compared,
            on_up=self._on_venue_up,
        )
        self._rest, self._pause = self._health.rest, self._health.pause
        self._tracker = OrderTracker(None if intents is None else self._on_new_trade)
        self._holdings = Holdings(self._tracker)
        self._places = TokenBucket(settings.place_per_s, settings.place_burst)
        self._resolver = Resolver(
            self._rest,
            self._tracker,
            clock=clock,
            settings=settings,
            maker_address=signer.funder,
            spawn=spawn,
            emit=sink,
            on_resolved=self._cancel_if_wanted,
            rng=Random(self._nonce),
        )
        self._canceler = Canceler(
            self._rest, self._tracker, resolver=self._resolver, clock=clock, settings=settings, spawn=spawn
        )
        self._reconciler = Reconciler(
            self._rest,
            self._tracker,
            resolver=self._resolver,
            clock=clock,
            signature_type=signer.signature_type,
            funder=signer.funder,
            holdings=self._holdings,
            emit=sink,
        )
        self._poster = self._make_poster()
        self._markets: dict[int, TradedMarket] = {}
        self._refusals: dict[str, int] = {}
        self._counters, self._cancel_alls = {"placed": 0}, 0  # cancels of everything whose task has not begun

    def _make_poster(self) -> Poster:
        return Poster(
            self._rest,
            self._tracker,
            clock=self._clock,
            pause=self._pause,
            decision_max_s=self._settings.decision_max_ms / 1_000.0,
            why_not=self._why_not,
            sink=self._sink,
            follow=self._follow,
            spawn=self._spawn,
            on_stage=self._on_stage,
            on_reason=self._on_reason,
        )

    # -- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check version, clock, place and account, and log in; raises VenueError when live is refused."""
        await check_version(self._rest, self._venue)
        await sync_clock(self._rest, self._clock, self._settings)
        await check_place(self._rest, self._venue)
        self._rest.auth = await log_in(self._rest, self._signer, self._login)
        await check_account(self._rest)
        self._health.start()

    async def close(self) -> None:
        """Stop the background loops; orders in flight are left to their tasks."""
        self._health.stop()

    def restore(self, order: TrackedOrder, trades: Mapping[str, TradeRecord]) -> None:
        """Take up an order of an earlier run, before start(); `resume` then asks what became of it."""
        self._tracker.restore(order, trades)

    def resume(self) -> None:
        """After start(): say what is not known of restored orders, and look it up."""
        out = EventBuffer(4)
        now_ns = self._clock.now_ns()
        for order in self._tracker.open_orders():
            if order.status == OS_SENT:
                self._tracker.on_status(out, order, status=OS_UNKNOWN, now_ns=now_ns)
        if len(out):
            self._sink(out)
        for order in self._tracker:
            self._follow(order)
        if self._may_rest():
            self._health.hold_switch(self._may_rest)

    def register_market(self, index: int, spec: MarketSpec) -> None:
        """Make a market tradable; raises SigningError when its tokens belong to another exchange."""
        self._markets[index] = TradedMarket.from_spec(index, spec)
        self._holdings.follow(spec)

    def set_tick_size(self, index: int, tick_size_ticks: int) -> None:
        """The venue changed a market's tick size; holds from the next order on."""
        assert tick_size_ticks > 0
        if index in self._markets:
            self._markets[index].tick_size_ticks = tick_size_ticks

    def forget_market(self, index: int) -> None:
        """Take no more orders for a market; its orders are still followed to their end."""
        self._markets.pop(index, None)

    def on_market_events(self, events: EventBuffer) -> None:
        """The venue matches by itself."""

    def on_outcome(self, index: int, outcome: int) -> None:
        """The venue pays out by itself."""

    # -- what the daemon may look at ------------------------------------------------------------------

    def user_channel_auth(self) -> dict[str, str]:
        """The `auth` object for the user channel; a secret: never log it."""
        if self._rest.auth is None:
            raise VenueError("the user channel needs a login first")
        return self._rest.auth.credentials.user_channel_auth()

    def entry_pause(self) -> RejectReason:
        """Why new orders are refused now, NONE when they are not."""
        return self._doubt() or self._pause.reason(self._clock.now_ns())

    def pause_detail(self) -> str:
        """The lasting blocks in words."""
        return self._pause.detail()

    def counters(self) -> dict[str, int]:
        """Everything counted, for display and telemetry."""
        parts = (
            self._counters,
            self._poster.counters,
            self._health.outage.counters,
            self._health.counters,
            self._tracker.counters,
            self._tracker.ledger.counters,
        )
        merged = {name: value for part in parts for name, value in part.items()}
        merged.update({f"resolver_{name}": value for name, value in self._resolver.counters.items()})
        merged.update(self._canceler.counters)
        merged.update({f"refused_{name.lower()}": value for name, value in self._refusals.items()})
        return merged

    def open_order_seqs(self) -> tuple[int, ...]:
        """order_seq of every order not at its end."""
        return tuple(order.order_seq for order in self._tracker.open_orders())

    # -- commands -------------------------------------------------------------------------------------

    def execute(self, commands: CommandBuffer) -> None:
        """Take the gateway's commands out of a buffer: cancels first, then places.  Returns at once.

        A place is written before this returns when a warm connection is free, unless a cancel is on its way out:
        then it leaves after that, from a task.
        """
        places: list[CommandHead] = []
        has_cancels = False
        for command in read_commands(commands.to_bytes()):
            if command.kind == CMD_PLACE:
                places.append(command)
            elif command.kind == CMD_CANCEL:
                has_cancels = True
                self._cancel(command)
            elif command.kind == CMD_CANCEL_ALL:
                has_cancels = True
                self._cancel_alls += 1
                self._spawn(self._cancel_market(command.market))
        at_once = not has_cancels and not self._cancel_alls and not self._canceler.is_waiting
        for command in places:
            self._place(command, at_once=at_once)

    def _place(self, command: CommandHead, *, at_once: bool) -> None:
        if self._tracker.by_seq(command.order_seq) is not None:
            raise InvariantBroken(f"order_seq {command.order_seq} was placed twice")
        now_ns = self._clock.now_ns()
        market = self._markets.get(command.market)
        refusal = self._check_entry(market, command)
        if market is None or refusal is not RejectReason.NONE:
            self._refuse(command, refusal)
            return
        plan = plan_order(market, command, now_ns)
        if isinstance(plan, RejectReason):
            self._refuse(command, plan)
            return
        if not self._places.take(now_ns):
            self._refuse(command, RejectReason.RATE_LIMIT)
            return
        try:
            order = self._sign(market, plan, now_ns)
        except SigningError:
            self._refuse(command, RejectReason.SIGNING)
            return
        if not self._tracker.add(order):
            self._refuse(command, RejectReason.TOO_MANY_ORDERS)
            return
        if not self._is_written(order):
            self._spawn(self._give_up(order))
            return
        signed_ns = self._clock.mono_ns()
        self._counters["placed"] += 1
        self._pause.started(order.order_seq)
        written_ns = self._poster.send(order, command.decided_ns, at_once=at_once)
        # What people read comes after the bytes.
        self._on_stage("sign", order.order_seq, signed_ns)
        if self._on_order_id is not None:
            self._on_order_id(order.order_seq, order.order_id)
        if written_ns:
            self._on_stage("write", order.order_seq, written_ns)
        if not order.is_taker:
            self._health.hold_switch(self._may_rest)

    def _is_written(self, order: TrackedOrder) -> bool:
        """The order is in the journal, so that it may be sent; no journal asks for nothing."""
        if self._intents is None:
            return True
        assert self._rest.auth is not None
        salt = order_salt(self._nonce, order.order_seq)
        return self._intents.intent(order, salt=salt, api_key=self._rest.auth.credentials.api_key)

    async def _give_up(self, order: TrackedOrder) -> None:
        """End an order that could not be written and was not sent."""
        self._refusals["NOT_JOURNALED"] = self._refusals.get("NOT_JOURNALED", 0) + 1
        order.answered = True
        out = EventBuffer(1)
        reason, now_ns = RejectReason.NOT_JOURNALED, self._clock.now_ns()
        self._tracker.on_status(
            out, order, status=OS_REJECTED, matched_ushares=0, reason=reason, now_ns=now_ns, is_local=True
        )
        self._sink(out)

    def _on_new_trade(self, trade: Trade, order_id: str, fills: tuple[Fill, ...]) -> None:
        assert self._intents is not None
        for fill in fills:
            self._intents.trade_seen(fill.key, trade_id=trade.trade_id, order_id=order_id, leg=fill.leg)

    def _why_not(self, order_seq: int) -> RejectReason:
        """What stands against sending this order at this moment."""
        return self._doubt() or self._pause.admits(order_seq, now_ns=self._clock.now_ns())

    def _doubt(self) -> RejectReason:
        doubt = self._health.doubt()
        return doubt or (RejectReason.VENUE_DOWN if self._poster.is_overdue() else RejectReason.NONE)

    def _check_entry(self, market: TradedMarket | None, command: CommandHead) -> RejectReason:
        if market is None and self._health.started:
            return RejectReason.UNKNOWN_MARKET
        refusal = self._why_not(command.order_seq)
        if refusal is not RejectReason.NONE or market is None:
            return refusal
        if self._tracker.blocks_token(market.token_id(command.outcome)):
            return RejectReason.TOKEN_BLOCKED
        return RejectReason.NONE

    def _sign(self, market: TradedMarket, plan: OrderPlan, now_ns: int) -> TrackedOrder:
        assert self._rest.auth is not None
        signed = build_order(
            self._signer,
            market,
            plan=plan,
            salt=order_salt(self._nonce, plan.order_seq),
            timestamp_ms=self._rest.timestamp_ms(),
            api_key=self._rest.auth.credentials.api_key,
            post_only=self._settings.post_only,
        )
        return TrackedOrder(
            order_seq=plan.order_seq,
            order_id=signed.order_id,
            market=market.index,
            condition_id=market.spec.condition_id,
            token_id=market.token_id(plan.outcome),
            end_ns=market.spec.end_ns,
            plan=plan,
            placed_ns=now_ns,
            body=signed.body,
        )

    def _refuse(self, command: CommandHead, reason: RejectReason) -> None:
        """Count a local refusal and report it from a task: the caller is inside the sink."""
        self._refusals[reason.name] = self._refusals.get(reason.name, 0) + 1
        if self._on_reason is not None:
            self._on_reason(command.order_seq, reason.name)
        self._spawn(self._report_refusal(command, reason))

    async def _report_refusal(self, command: CommandHead, reason: RejectReason) -> None:
        out = EventBuffer(1)
        out.add(
            int(EventKind.EV_ORDER_UPDATE),
            recv_ns=self._clock.now_ns(),
            market=command.market,
            outcome=command.outcome,
            side=command.side,
            seq=command.order_seq,
            x=float(reason),
            i=OS_REJECTED,
            j=0,
            flags=F_LOCAL,
        )
        self._sink(out)

    # -- news ------------------------------------------------------------------------------------------

    def on_user_event(self, raw: Mapping[str, Any], recv_ns: int) -> None:
        """Apply one parsed object of the user channel."""
        out = EventBuffer(4)
        touched: list[TrackedOrder] = []
        try:
            if raw.get("event_type") == "trade":
                touched = self._tracker.on_trade(out, raw, now_ns=recv_ns)
                self._note_trade_stage(touched, str(raw.get("status", "")))
            elif raw.get("event_type") == "order":
                order = self._tracker.on_order_event(out, raw, now_ns=recv_ns)
                if order is not None:
                    order.cancel_answered = False
                    touched = [order]
        except DecodeError as error:
            name = f"unreadable_{error.code}"
            self._counters[name] = self._counters.get(name, 0) + 1
        if len(out):
            self._sink(out)
        for order in touched:
            self._follow(order)

    def _note_trade_stage(self, orders: list[TrackedOrder], status: str) -> None:
        """Stamp the latency stages that the user channel tells: first match, first confirmation."""
        stage = {"MATCHED": "match", "CONFIRMED": "confirm"}.get(status.removeprefix("TRADE_STATUS_"))
        if stage is not None:
            for order in orders:
                self._on_stage(stage, order.order_seq, self._clock.mono_ns())

    def _follow(self, order: TrackedOrder) -> None:
        """Start whatever an order needs next after something was learned of it."""
        self._cancel_if_wanted(order)
        if order.is_settled or not order.answered:
            return
        if order.is_doubted:
            self._resolver.start(order)
        elif order.is_terminal or order.is_taker:
            self._resolver.start(order, first_delay_s=WATCH_S)

    # -- cancels --------------------------------------------------------------------------------------

    def _cancel(self, command: CommandHead) -> None:
        order = self._tracker.by_seq(command.order_seq)
        if order is None:
            self._refusals["CANCEL_OF_NOTHING"] = self._refusals.get("CANCEL_OF_NOTHING", 0) + 1
            return
        self._canceler.start(order)

    def _cancel_if_wanted(self, order: TrackedOrder) -> None:
        if order.cancel_wanted and not order.cancel_confirmed and not order.cancel_answered:
            self._canceler.start(order)

    async def _cancel_market(self, index: int) -> None:
        self._cancel_alls -= 1
        market = self._markets.get(index)
        if index != NO_MARKET and market is None:
            return
        try:
            await self._canceler.cancel_all(market)
        except VenueUnavailable:
            for order in self._tracker.open_orders(None if market is None else index):
                self._canceler.start(order)

    async def cancel_all(self) -> int:
        """Cancel every order of the account and return how many the venue canceled.

        Raises VenueUnavailable when there was no usable answer, or no login yet: orders may be open.
        """
        if self._rest.auth is None:
            raise VenueUnavailable("cancel-all: not logged in, orders of an earlier run may be open")
        return len(await self._canceler.cancel_all())

    async def cancel_strangers(self, order_ids: tuple[str, ...]) -> bool:
        """Cancel orders that are not ours by id; False when the venue gave no usable answer."""
        return await self._canceler.cancel_ids(order_ids) is not None

    # -- comparing with the venue -----------------------------------------------------------------------

    async def open_orders_count(self) -> int:
        """Return how many orders of this account the venue lists as open; raises VenueError."""
        return len(await self._reconciler.list_open())

    async def balance(self) -> int:
        """Return the collateral at the venue in micro-USD; raises VenueError."""
        return await self._reconciler.read_balance()

    async def reconcile(self) -> ReconcileReport:
        """Compare with the venue: open orders, own trades, balance, all pages.  The venue wins.

        Emits what was missed (order updates, fills, EV_BALANCE).  Raises VenueError when anything is
        incomplete: then nothing may be concluded, and no new order should leave.
        """
        hangs = self._health.hangs
        markets = {market.spec.condition_id: market.spec for market in self._markets.values()}
        report = await self._reconciler.compare(markets)
        unwanted = report.revenants + (report.ours_to_cancel if self._settings.strangers == "cancel" else ())
        if unwanted:
            answer = await self._canceler.cancel_ids(unwanted)
            if answer is None:
                raise VenueError("open orders that are not ours, or had ended, could not be canceled")
            again = await self._reconciler.compare(markets)
            problems = tuple(dict.fromkeys(report.problems + again.problems))
            strangers = tuple(key for key in answer.canceled if key not in report.revenants)
            report = replace(again, canceled_strangers=strangers, problems=problems)
        for order in self._tracker:
            self._follow(order)
        self._health.compared(hangs)
        return report

    # -- loops ------------------------------------------------------------------------------------------

    def on_beat(self) -> None:
        """The daemon's timer beat; one that comes far too late blocks entries until a comparison succeeded.

        Whatever may rest is held by the dead-man switch, also an order the venue had refused and shows alive.
        """
        self._health.on_beat()
        if self._health.started and self._may_rest():
            self._health.hold_switch(self._may_rest)

    def _may_rest(self) -> bool:
        return any(not order.is_taker for order in self._tracker.open_orders())

    async def _is_compared(self) -> bool:
        """One comparison that leaves no resting order in doubt: what the venue may have canceled is known.

        Orders whose answer never came stay as they are: they block their token by themselves.
        """
        try:
            await self.reconcile()
        except VenueError:
            return False
        return not any(
            order.missing and order.status != OS_UNKNOWN for order in self._tracker.open_orders()
        )

    def _on_venue_up(self) -> None:
        self._resolver.wake()
        self._canceler.again()
