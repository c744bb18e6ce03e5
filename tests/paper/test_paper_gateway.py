"""The paper gateway on a loop of virtual time: what it refuses, when it answers, what it writes, whom it asks."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from execution_scenario import START_NS, spec

from polybot._fast import event as ev
from polybot._fast.keccak import keccak_256
from polybot.clock import VirtualClock
from polybot.config import Config, default_config
from polybot.errors import InvariantBroken, SigningError, VenueError, VenueUnavailable
from polybot.gateway.protocol import GatewayHooks, OrderGateway
from polybot.gateway.reasons import RejectReason as Why
from polybot.paper.gateway import PaperGateway
from polybot.paper.ledger import PaperLedger
from polybot.sim.virtual_loop import VirtualLoop
from polybot.transport import HttpResponse
from tests.gateway.fake_http import SPEC, command

MS = 1_000_000
SHARES = 10_000_000
CANCEL, CANCEL_ALL, GTC = 2, 3, 0
MARKET = 4


class Intents:
    """A journal that remembers, or refuses."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.orders: list[Any] = []
        self.trades: list[tuple[int, str, str, int]] = []

    def intent(self, order: Any, *, salt: int, api_key: str) -> bool:
        assert order.body.count(api_key.encode()) == 1
        self.orders.append(order)
        return self.takes

    def trade_seen(self, key: int, *, trade_id: str, order_id: str, leg: int) -> None:
        self.trades.append((key, trade_id, order_id, leg))


class Desk:
    """One paper gateway with everything around it made of lists."""

    def __init__(
        self, group: asyncio.TaskGroup, *, place: Any = None, intents: Any = None, **changes: Any
    ) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop(), START_NS + 1_000 * MS)
        self.place_answer = (
            HttpResponse(200, {}, orjson.dumps({"blocked": True, "country": "US"}))
            if place is None
            else place
        )
        self.asked: list[tuple[str, str]] = []
        self.told: list[Any] = []
        self.notices: list[str] = []
        self.reasons: dict[int, str] = {}
        self.ids: dict[int, str] = {}
        self.tasks: list[asyncio.Task[None]] = []
        config: Config = default_config(**{f"paper.{key}": value for key, value in changes.items()})
        hooks = GatewayHooks(
            http=self,
            clock=self.clock,
            sink=lambda events: self.told.extend(events.to_numpy()),
            spawn=lambda work: self.tasks.append(group.create_task(work)),
            notice=lambda level, text: self.notices.append(f"{level} {text}"),
            on_stage=lambda stage, seq, mono_ns: None,
            on_order_id=self.ids.__setitem__,
            on_reason=self.reasons.__setitem__,
            intents=intents,
        )
        self.ledger = PaperLedger(account="paper", session="paper-test")
        self.gateway = PaperGateway(hooks, config, self.ledger)

    async def request(self, method: str, url: str, **more: Any) -> HttpResponse:
        self.asked.append((method, url))
        if isinstance(self.place_answer, Exception):
            raise self.place_answer
        return self.place_answer

    async def open(self) -> None:
        """Started, with one market and a book of 0.48 x 30 and 0.50 x 10, 0.52 x 20."""
        await self.gateway.start()
        self.gateway.register_market(MARKET, spec(token_up=SPEC.token_up, token_down=SPEC.token_down))
        events = ev.EventBuffer()
        events.add(ev.EV_BOOK_SNAPSHOT, recv_ns=self.clock.now_ns(), market=MARKET)
        for side, ticks, shares in ((0, 4_800, 30), (1, 5_000, 10), (1, 5_200, 20)):
            row = {
                "side": side,
                "i": ticks,
                "j": shares * 1_000_000,
                "flags": ev.F_END if ticks == 5_200 else 0,
            }
            events.add(ev.EV_BOOK_LEVEL, recv_ns=self.clock.now_ns(), market=MARKET, **row)
        self.gateway.on_market_events(events)

    def print_trade(self, ticks: int, shares: int) -> None:
        """A public sale of Up."""
        events = ev.EventBuffer()
        row = {"side": 1, "i": ticks, "j": shares * 1_000_000, "flags": ev.F_END}
        events.add(ev.EV_PUBLIC_TRADE, recv_ns=self.clock.now_ns(), market=MARKET, **row)
        self.gateway.on_market_events(events)

    async def later(self, ms: float) -> list[tuple[Any, ...]]:
        """Let time pass; what was told meanwhile, fills as (key), updates as (status, matched)."""
        await self.clock.sleep(ms / 1_000)
        found = [self._short(row) for row in self.told]
        self.told.clear()
        return found

    def _short(self, row: Any) -> tuple[Any, ...]:
        after_ms = (int(row["recv_ns"]) - START_NS) / MS - 1_000
        if row["kind"] == ev.EV_FILL:
            return (after_ms, "FILL", ev.TradeStatus(int(row["x"])).name, int(row["i"]), int(row["j"]))
        assert row["kind"] == ev.EV_ORDER_UPDATE
        return (after_ms, ev.OrderStatus(int(row["i"])).name, int(row["x"]), int(row["j"]), int(row["flags"]))


def play(scenario: Callable[[Desk], Coroutine[Any, Any, None]], **more: Any) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            desk = Desk(group, **more)
            await scenario(desk)
            for task in desk.tasks:
                task.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def place(desk: Desk, **changes: Any) -> None:
    desk.gateway.execute(command(market=MARKET, **changes))


def test_a_taker_is_delayed_filled_and_confirmed_when_its_time_has_come():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk, price_ticks=5_200, shares=15_000_000)
        assert await desk.later(39) == []
        assert await desk.later(150) == [(40.0, "OS_DELAYED", 0, -1, 0)]
        assert await desk.later(2) == [
            (190.0, "FILL", "TS_MATCHED", 5_000, 10_000_000),
            (190.0, "FILL", "TS_MATCHED", 5_200, 5_000_000),
            (190.0, "OS_FILLED", 0, 15_000_000, 0),
        ]
        confirmed = await desk.later(6_000)
        assert [row[:3] for row in confirmed] == [(5_190.0, "FILL", "TS_CONFIRMED")] * 2
        await desk.gateway.close()

    play(scenario)


def test_the_cents_rule_cuts_a_marketable_buy_as_the_real_gateway_does():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk, price_ticks=5_100, shares=9_990_000)  # 5.0949 USD: five dollars and nine cents are taken
        told = await desk.later(300)
        assert [row[4] for row in told if row[1] == "FILL"] == [9_980_300]
        assert told[-1][1:4] == ("OS_CANCELED", 0, 9_980_300)

    play(scenario)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"price_ticks": 5_050}, Why.OFF_TICK),
        ({"price_ticks": 0}, Why.PRICE_RANGE),
        ({"shares": 10_000_001}, Why.OFF_LOT),
        ({"shares": 4_990_000}, Why.BELOW_MIN_SIZE),
        ({"price_ticks": 100, "shares": 6_000_000}, Why.BELOW_MIN_NOTIONAL),
        ({"order_type": 9}, Why.ORDER_TYPE),
    ],
)
def test_what_the_real_gateway_refuses_unsent_is_refused_here_too(changes, why):
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk, **changes)
        assert await desk.later(0) == [(0.0, "OS_REJECTED", int(why), 0, int(ev.F_LOCAL))]
        assert desk.reasons == {1: why.name}
        assert desk.gateway.counters()[f"refused_{why.name.lower()}"] == 1
        assert desk.gateway.open_order_seqs() == ()

    play(scenario)


def test_orders_before_the_start_for_no_market_and_beyond_the_rate_are_refused():
    async def scenario(desk: Desk) -> None:
        place(desk)
        await desk.open()
        desk.gateway.execute(command(market=9, order_seq=2))
        for seq in range(3, 40):
            place(desk, order_seq=seq, order_type=GTC, price_ticks=4_800)
        await desk.later(0)
        assert desk.reasons[1] == "NOT_STARTED"
        assert desk.reasons[2] == "UNKNOWN_MARKET"
        assert "RATE_LIMIT" in set(desk.reasons.values())
        assert len(desk.gateway.open_order_seqs()) == 30

    play(scenario)


def test_a_number_placed_twice_is_a_contradiction():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk)
        with pytest.raises(InvariantBroken, match="placed twice"):
            place(desk)

    play(scenario)


def test_an_order_that_the_journal_does_not_take_is_not_simulated():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk)
        told = await desk.later(500)
        assert told == [(0.0, "OS_REJECTED", int(Why.NOT_JOURNALED), 0, int(ev.F_LOCAL))]

    play(scenario, intents=Intents(takes=False))


def test_fills_carry_the_key_of_their_trade_and_are_written_before_they_are_told():
    intents = Intents()

    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk)
        await desk.later(189)
        assert intents.trades == []
        await desk.clock.sleep(0.002)
        (fill,) = [row for row in desk.told if row["kind"] == ev.EV_FILL]
        ((key, trade_id, order_id, leg),) = intents.trades
        assert order_id == desk.ids[1] == intents.orders[0].order_id
        digest = keccak_256(f"{trade_id}|{order_id}|{leg}".encode())
        assert key == int(fill["y"]) == int.from_bytes(digest[:8], "big") & ((1 << 52) - 1)

    play(scenario, intents=intents)


def test_cancels_reach_one_order_a_market_or_all():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        for seq in (1, 2, 3):
            place(desk, order_seq=seq, order_type=GTC, price_ticks=4_800)
        await desk.later(100)
        desk.gateway.execute(command(CANCEL, order_seq=2))
        assert desk.gateway.open_order_seqs() == (1, 2, 3)
        assert await desk.later(41) == [(140.0, "OS_CANCELED", 0, 0, 0)]
        assert desk.gateway.open_order_seqs() == (1, 3)
        desk.gateway.execute(command(CANCEL_ALL, market=MARKET))
        await desk.later(41)
        assert desk.gateway.open_order_seqs() == ()
        place(desk, order_seq=4, order_type=GTC, price_ticks=4_800)
        await desk.later(100)
        assert await desk.gateway.cancel_all() == 1
        await desk.later(41)
        assert desk.gateway.open_order_seqs() == ()
        assert desk.gateway.core.held_usd == 0

    play(scenario)


def test_a_resting_order_is_filled_by_a_print_before_the_engine_sees_the_print():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk, order_type=GTC, price_ticks=4_800)
        await desk.later(50)
        desk.print_trade(4_800, 33)
        told = await desk.later(0)
        assert [row[1:3] for row in told] == [("FILL", "TS_MATCHED"), ("OS_PARTIAL", 0)]

    play(scenario)


def test_resting_orders_are_post_only_and_a_crossing_one_is_refused():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk, order_type=GTC, price_ticks=5_000)
        told = await desk.later(50)
        assert told == [(40.0, "OS_REJECTED", int(Why.CROSSES_BOOK), 0, 0)]
        assert desk.reasons[1] == "simulated: CROSSES_BOOK"

    play(scenario)


def test_settlement_pays_by_the_venues_outcome_and_cash_is_told_with_every_comparison():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        place(desk, price_ticks=5_000)
        await desk.later(300)
        desk.gateway.on_outcome(MARKET, 0)
        report = await desk.gateway.reconcile()
        (balance,) = [row for row in desk.told if row["kind"] == ev.EV_BALANCE]
        # bought 10 at 0.50 with 0.175 fee, paid out 10
        assert int(balance["j"]) == report.balance_micro_usd == 1_000_000_000 + 10_000_000 - 5_175_000
        assert report.strangers == ()
        desk.gateway.forget_market(MARKET)
        desk.gateway.forget_market(MARKET)
        kinds = [row["k"] for row in desk.ledger.rows()]
        assert kinds == ["ledger", "account", "market", "order", "leg", "end", "resolve", "settle"]
        await desk.gateway.close()

    play(scenario)


def test_the_ledger_and_the_core_must_have_the_same_cash():
    async def scenario(desk: Desk) -> None:
        await desk.open()
        desk.ledger.open_account(5, 0)
        with pytest.raises(InvariantBroken, match="paper cash"):
            await desk.gateway.close()

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (None, "BLOCKED, US (binds only real orders)"),
        (VenueUnavailable("no network"), "no answer"),
        (HttpResponse(500, {}, b"<html>"), "no answer"),
        (HttpResponse(200, {}, b"[]"), "no usable answer"),
    ],
)
def test_the_location_check_is_shown_and_binds_nobody(answer, word):
    async def scenario(desk: Desk) -> None:
        await desk.gateway.start()
        assert word in desk.notices[1]
        assert desk.asked == [("GET", default_config().venue.geoblock_url)]
        assert desk.gateway.entry_pause() is Why.NONE
        assert desk.gateway.pause_detail() == ""

    play(scenario, place=answer)


def test_there_is_no_account_no_login_and_nothing_to_restore():
    async def scenario(desk: Desk) -> None:
        gateway: OrderGateway = desk.gateway
        assert not gateway.has_account
        assert gateway.entry_pause() is Why.NOT_STARTED
        with pytest.raises(VenueError, match="no account"):
            gateway.user_channel_auth()
        with pytest.raises(InvariantBroken, match="another process"):
            gateway.restore(SimpleNamespace(order_id="0x1"), {})
        with pytest.raises(SigningError):
            gateway.register_market(1, replace(spec(), token_up="no number"))
        gateway.on_user_event({}, 0)
        gateway.on_beat()
        gateway.resume()

    play(scenario)
