"""Gateway and user channel against the embedded venue's exchange: both tell the same story afterwards.

The venue verifies every signature and HMAC by its own code, matches, holds takers for the delay,
settles and sometimes fails trades.  What the gateway told the engine must equal the venue's own
account of every order: matched shares, fills, end states.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from polybot._fast.event import EventBuffer, EventKind, OrderStatus, TradeStatus
from polybot.clock import VirtualClock
from polybot.config import FeedsConfig, GatewayConfig, VenueConfig
from polybot.errors import VenueUnavailable
from polybot.feeds.user import UserFeed
from polybot.gateway.clob import ClobGateway
from polybot.gateway.signer import Signer
from polybot.market.spec import MarketSpec
from polybot.sim.memory import MemoryRoute
from polybot.sim.virtual_loop import VirtualLoop
from polybot.transport import HttpResponse
from tests.gateway.fake_http import NS, command
from tests.sim.desk import KEY, START_NS, Desk

TERMINAL = {int(OrderStatus[name]) for name in ("OS_FILLED", "OS_CANCELED", "OS_EXPIRED", "OS_REJECTED")}
PLACE, CANCEL, CANCEL_ALL = 1, 2, 3
TAKER_SHARE = 0.6


class Faults:
    """Seeded faults between trader and venue while `on`."""

    def __init__(self, seed: int, on: bool) -> None:
        self.on = on
        self._rnd = random.Random(seed)

    def hit(self, chance: float) -> bool:
        return self.on and self._rnd.random() < chance

    def pick(self, *choices: float) -> float:
        return self._rnd.choice(choices)


class DeskHttp:
    """transport.HttpClient into a desk's REST handler, 5 ms each way."""

    def __init__(self, desk: Desk, clock: VirtualClock, faults: Faults) -> None:
        self._desk = desk
        self._clock = clock
        self._faults = faults

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 5.0,
        before_write: Callable[[], None] | None = None,
    ) -> HttpResponse:
        parts = urlsplit(url)
        if before_write is not None:
            before_write()
        await asyncio.sleep(0.005)
        if parts.path == "/api/geoblock":
            return HttpResponse(200, {}, b'{"blocked":false,"country":"IE"}')
        if self._faults.hit(0.04):
            raise VenueUnavailable("lost on the way there")
        query = dict(parse_qsl(parts.query))
        answer = self._desk.rest.handle(
            method, parts.path, query, headers or {}, body or b"", self._clock.now_ns()
        )
        await asyncio.sleep(self._faults.pick(0.005, 0.3) if self._faults.on else 0.005)
        if self._faults.hit(0.04):
            raise VenueUnavailable("lost on the way back")
        if self._faults.hit(0.03):
            return HttpResponse(200, {}, answer.body[: len(answer.body) // 2])
        return HttpResponse(502, {}, b"") if self._faults.hit(0.03) else answer

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> MemoryRoute:
        """transport.HttpClient."""
        return MemoryRoute(self, method, url, headers)

    async def warm(self, url: str, timeout_s: float) -> int:
        """There are no connections."""
        return 0


class Trader:
    """A gateway and its user channel at a desk, and what both told the engine."""

    def __init__(
        self, desk: Desk, group: asyncio.TaskGroup, clock: VirtualClock, *, seed: int, **signer: Any
    ) -> None:
        self.desk, self.clock = desk, clock
        self.faults = Faults(seed, False)
        self.tasks: list[asyncio.Task[None]] = []
        self.status: dict[int, int] = {}
        self.matched: dict[int, int] = {}
        self.booked: dict[int, dict[float, tuple[int, int, int]]] = {}
        self.reversed: dict[int, set[float]] = {}
        venue = VenueConfig(clob_url="http://clob.test", geoblock_url="http://clob.test/api/geoblock")
        self.gateway = ClobGateway(
            DeskHttp(desk, clock, self.faults),
            clock,
            signer=Signer(bytes.fromhex(KEY[2:]), venue, **signer),
            venue=venue,
            settings=GatewayConfig(place_per_s=100.0, place_burst=100, read_per_s=100.0, post_only=False),
            sink=self.sink,
            spawn=lambda work: self.tasks.append(group.create_task(work)),
            on_stage=lambda *stage: None,
        )
        self.feed = UserFeed(
            "wss://user.test",
            FeedsConfig(),
            auth=self.gateway.user_channel_auth,
            sink=lambda events: None,
            on_user_event=self.gateway.on_user_event,
            on_connected=lambda: None,
        )

    def connect(self) -> None:
        loop, session = asyncio.get_running_loop(), None

        def to_client(text: str) -> None:
            if self.faults.hit(0.1):
                return
            for _ in range(2 if self.faults.hit(0.2) else 1):
                delay_s = self.faults.pick(0.004, 0.2, 3.0) if self.faults.on else 0.004
                loop.call_later(delay_s, lambda: self.feed.on_payload(text.encode(), self.clock.now_ns()))

        session = self.desk.user_channel.open(to_client, self.clock.now_ns())
        self.feed.on_open(lambda text: session.on_text(text, self.clock.now_ns()), self.clock.now_ns())
        assert session.account is not None, "the venue accepted the login of the user channel"

    def sink(self, events: EventBuffer) -> None:
        for row in events.to_numpy():
            seq = int(row["seq"])
            if row["kind"] == EventKind.EV_ORDER_UPDATE:
                if self.status.get(seq) in TERMINAL:
                    assert int(row["i"]) == self.status[seq], "an order left its end"
                self.status[seq], self.matched[seq] = int(row["i"]), int(row["j"])
            elif row["kind"] == EventKind.EV_FILL:
                self.on_fill(seq, row)

    def on_fill(self, seq: int, row: Any) -> None:
        key, fill = float(row["y"]), (int(row["i"]), int(row["j"]), int(row["side"]))
        if int(row["x"]) == TradeStatus.TS_FAILED:
            assert self.booked[seq][key] == fill, "a reversal of something never booked"
            assert key not in self.reversed.setdefault(seq, set()), "reversed twice"
            self.reversed[seq].add(key)
            return
        assert self.booked.setdefault(seq, {}).setdefault(key, fill) == fill, (
            "the same fill with other numbers"
        )

    def filled(self, seq: int) -> int:
        gone = self.reversed.get(seq, set())
        return sum(shares for key, (_, shares, _) in self.booked.get(seq, {}).items() if key not in gone)

    def all_booked(self, seq: int) -> int:
        return sum(shares for _, shares, _ in self.booked.get(seq, {}).values())

    def cash_moved(self) -> int:
        """Micro-USD paid for all fills not reversed, without fees."""
        total = 0
        for seq, fills in self.booked.items():
            for key, (price, shares, side) in fills.items():
                if key not in self.reversed.get(seq, set()):
                    total += price * shares // 10_000 * (1 if side == 0 else -1)
        return total


async def world(desk: Desk, clock: VirtualClock) -> None:
    """Venue time passes in steps of 20 ms."""
    while True:
        desk.scheduler.advance(clock.now_ns())
        await asyncio.sleep(0.02)


def quote(desk: Desk, spec: MarketSpec, rnd: random.Random) -> None:
    middle = rnd.randrange(35, 66) * 100
    quotes = [(0, middle - 100 * k, rnd.randrange(1, 40) * 1_000_000) for k in range(1, 4)]
    quotes += [(1, middle + 100 * k, rnd.randrange(1, 40) * 1_000_000) for k in range(1, 4)]
    desk.exchange.replace_ladder("maker-0", spec.condition_id, quotes)


def with_trader(seed: int, scenario: Any, **signer: Any) -> None:
    async def main() -> None:
        clock = VirtualClock(asyncio.get_running_loop(), START_NS)
        desk = Desk(seed=seed)
        wallet = desk.wallet(usd=5_000, **({"funder": signer["funder"]} if "funder" in signer else {}))
        spec = desk.list()
        async with asyncio.TaskGroup() as group:
            trader = Trader(desk, group, clock, seed=seed, **signer)
            running = group.create_task(world(desk, clock))
            await trader.gateway.start()
            trader.gateway.register_market(4, spec)
            trader.connect()
            await scenario(trader, wallet, spec)
            await trader.gateway.close()
            running.cancel()
            for task in trader.tasks:
                task.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def trade_at_random(trader: Trader, spec: MarketSpec, rnd: random.Random) -> None:
    for seq in range(1, 61):
        quote(trader.desk, spec, rnd)
        is_taker = rnd.random() < TAKER_SHARE
        trader.gateway.execute(
            command(
                PLACE,
                order_seq=seq,
                outcome=rnd.randrange(2),
                side=int(rnd.random() < 0.3),
                order_type=rnd.choice((2, 3)) if is_taker else 0,
                price_ticks=rnd.randrange(30, 71) * 100,
                shares=rnd.randrange(500, 4_000) * 10_000,
            )
        )
        await trader.clock.sleep(rnd.choice((0.002, 0.05, 0.4)))
        if rnd.random() < 0.3:
            trader.gateway.execute(command(CANCEL, order_seq=rnd.randrange(1, seq + 1)))


@pytest.mark.parametrize("seed", range(4))
def test_random_trading_ends_with_equal_books(seed: int) -> None:
    async def scenario(trader: Trader, wallet: Any, spec: MarketSpec) -> None:
        await trade_at_random(trader, spec, random.Random(seed))
        trader.gateway.execute(command(CANCEL_ALL))
        await trader.clock.sleep(60)
        compare(trader, wallet)
        assert sum(order.matched > 0 for order in wallet.account.history.values()) >= 4

    with_trader(seed, scenario)


@pytest.mark.parametrize("seed", range(8))
def test_faults_on_every_wire_change_nothing_about_the_end(seed: int) -> None:
    async def scenario(trader: Trader, wallet: Any, spec: MarketSpec) -> None:
        trader.faults.on = True
        await trade_at_random(trader, spec, random.Random(seed))
        trader.gateway.execute(command(CANCEL_ALL))
        await trader.clock.sleep(200)
        trader.faults.on = False
        await trader.clock.sleep((spec.end_ns - trader.clock.now_ns()) / NS)
        await trader.gateway.reconcile()
        await trader.clock.sleep(60)
        compare(trader, wallet)

    with_trader(seed, scenario)


def compare(trader: Trader, wallet: Any) -> None:
    history = wallet.account.history
    for order in trader.gateway._tracker:
        theirs = history.get(order.order_id)
        seq = order.order_seq
        if theirs is None:
            assert trader.status[seq] in TERMINAL
            assert trader.all_booked(seq) == 0
            continue
        assert not theirs.is_open
        assert trader.status[seq] in TERMINAL, OrderStatus(trader.status[seq])
        assert trader.all_booked(seq) == theirs.matched
        assert trader.matched[seq] == trader.filled(seq)
    counted = trader.gateway.counters()
    for name in (
        "overfilled",
        "trade_contradictions",
        "foreign_trades",
        "answer_contradictions",
        "resolver_given_up",
    ):
        assert counted[name] == 0, name
    assert trader.gateway.open_order_seqs() == ()


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_every_wallet_type_is_accepted_by_the_venue(kind: int) -> None:
    async def scenario(trader: Trader, wallet: Any, spec: MarketSpec) -> None:
        quote(trader.desk, spec, random.Random(1))
        trader.gateway.execute(command(order_type=0, price_ticks=3_000))
        await trader.clock.sleep(1)
        assert trader.status[1] == OrderStatus.OS_LIVE
        assert await trader.gateway.open_orders_count() == 1
        assert await trader.gateway.cancel_all() == 1

    with_trader(1, scenario, signature_type=kind, funder="0x" + "11" * 20)


def test_reconcile_after_a_silent_user_channel_finds_every_fill() -> None:
    async def scenario(trader: Trader, wallet: Any, spec: MarketSpec) -> None:
        trader.feed.on_payload = lambda payload, recv_ns: None  # type: ignore[method-assign]
        quote(trader.desk, spec, random.Random(2))
        trader.gateway.execute(command(order_type=0, price_ticks=3_000, shares=20_000_000))
        await trader.clock.sleep(0.5)
        trader.desk.exchange.place_internal("noise-0", spec.condition_id, 0, 1, 3_000, 200_000_000)
        await trader.clock.sleep(1)
        assert trader.all_booked(1) == 0
        report = await trader.gateway.reconcile()
        assert report.strangers == ()
        await trader.clock.sleep(10)
        assert trader.all_booked(1) == 20_000_000
        assert trader.status[1] == OrderStatus.OS_FILLED
        assert report.balance_micro_usd < 5_000 * 1_000_000
        assert trader.cash_moved() == 5_000 * 1_000_000 - wallet.account.cash == 6_000_000

    with_trader(3, scenario)
