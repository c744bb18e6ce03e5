"""The whole order path without sockets: exchange, network with scripted faults, gateway, user channel, gate, engine.

The engine is the real one; its orders are made with restore_order, so that its exposure is the one risk would hold.
Every request that reaches the venue is in `log`.  Venue time is virtual.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from polybot._fast.event import EventBuffer, EventKind, OrderStatus
from polybot.assembly import build_engine
from polybot.clock import VirtualClock
from polybot.config import FeedsConfig, GatewayConfig, VenueConfig, default_config
from polybot.entries import EntryGate
from polybot.errors import NotSent, VenueUnavailable
from polybot.feeds.user import UserFeed
from polybot.gateway.clob import ClobGateway
from polybot.gateway.signer import Signer
from polybot.sim.faults import ScriptedFaults, Withheld
from polybot.sim.virtual_loop import VirtualLoop
from polybot.transport import HttpResponse
from tests.gateway.fake_http import NS, LaneRoute, command
from tests.sim.desk import KEY, START_NS, Desk, Wallet

__all__ = ["INDEX", "Floor", "NetworkDown", "run_floor"]

INDEX = 4
SHARE = 1_000_000
BUY, GTC, FAK = 0, 0, 3
ENDS = {int(OrderStatus[name]) for name in ("OS_FILLED", "OS_CANCELED", "OS_EXPIRED", "OS_REJECTED")}
PLACE, CANCEL = 1, 2


class JumpClock:
    """A virtual clock that can jump: time passes and nobody in this process runs, as after SIGSTOP and SIGCONT."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch_ns: int) -> None:
        self._clock = VirtualClock(loop, epoch_ns)
        self._jumped_ns = 0

    def now_ns(self) -> int:
        """Venue time."""
        return self._clock.now_ns() + self._jumped_ns

    def mono_ns(self) -> int:
        """Wall time."""
        return self._clock.mono_ns() + self._jumped_ns

    async def sleep(self, seconds: float) -> None:
        """Sleep for venue seconds."""
        await self._clock.sleep(seconds)

    def real_s(self, seconds: float) -> float:
        """They are the same."""
        return seconds

    def jump(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._jumped_ns += round(seconds * NS)


class NetworkDown:
    """Nothing gets through: requests wait for their timeout, or are refused before the first byte."""

    def __init__(self) -> None:
        self.is_dark = False
        self.is_refusing = False


class FloorHttp:
    """transport.HttpClient to the desk, 5 ms each way; carries out what a fault plan withholds."""

    def __init__(self, desk: Desk, clock: JumpClock, network: NetworkDown) -> None:
        self._desk = desk
        self._clock = clock
        self._network = network
        self.has_warm = True
        self.log: list[tuple[int, str, str]] = []  # (venue time, method, path) of what reached the venue

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
        """transport.HttpClient."""
        parts = urlsplit(url)
        if self._network.is_refusing:
            raise NotSent(f"{method} {parts.path}: connection refused")
        if before_write is not None:
            before_write()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(0.005)
                if self._network.is_dark:
                    await asyncio.get_running_loop().create_future()
                answer = self._answer(method, parts.path, parts.query, headers or {}, body or b"")
                if isinstance(answer, Withheld):
                    answer = await self._wait_for(answer)
                await asyncio.sleep(0.005)
        except TimeoutError:
            raise VenueUnavailable(f"{method} {parts.path}: timeout") from None
        except ConnectionResetError:
            raise VenueUnavailable(f"{method} {parts.path}: reset") from None
        return answer

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> LaneRoute:
        """transport.HttpClient."""
        return LaneRoute(self, method, url, headers)

    @property
    def is_free(self) -> bool:
        """A warm connection for orders; nobody has one while connections are refused."""
        return self.has_warm and not self._network.is_refusing

    async def warm(self, url: str, timeout_s: float) -> int:
        """There are no connections."""
        return 0

    def _answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse | Withheld:
        if path == "/api/geoblock":
            return HttpResponse(200, {}, b'{"blocked":false,"country":"IE"}')
        now_ns = self._clock.now_ns()
        self.log.append((now_ns, method, path))
        return self._desk.rest.handle(method, path, dict(parse_qsl(query)), headers, body, now_ns)

    @staticmethod
    async def _wait_for(withheld: Withheld) -> HttpResponse:
        if withheld.is_reset:
            raise ConnectionResetError
        if withheld.response is None or withheld.after_s is None:
            await asyncio.get_running_loop().create_future()
        assert withheld.response is not None
        assert withheld.after_s is not None
        await asyncio.sleep(withheld.after_s)
        return withheld.response


class Floor:
    """One account trading at one desk."""

    def __init__(self, desk: Desk, clock: JumpClock, group: asyncio.TaskGroup, **settings: Any) -> None:
        self.desk, self.clock, self.group = desk, clock, group
        self.faults: ScriptedFaults = desk.faults  # type: ignore[attr-defined]
        self.network = NetworkDown()
        self.http = FloorHttp(desk, clock, self.network)
        self.tasks: list[asyncio.Task[None]] = []
        self.notices: list[str] = []
        self.updates: dict[int, list[tuple[int, int, int]]] = {}  # by order_seq: (venue time, status, matched)
        self.reasons: dict[int, int] = {}
        self.problem = ""
        self.entries_open: list[tuple[int, bool]] = []
        venue = VenueConfig(clob_url="http://clob.test", geoblock_url="http://clob.test/api/geoblock")
        config = default_config()
        self.engine = build_engine(replace(config, venue=venue))
        self.gateway = ClobGateway(
            self.http,
            clock,
            signer=Signer(bytes.fromhex(KEY[2:]), venue),
            venue=venue,
            settings=GatewayConfig(**settings),
            sink=self.sink,
            spawn=self.spawn,
            on_stage=lambda *stage: None,
            session_nonce=b"floor session 01",
        )
        self.entries = EntryGate(
            self.gateway,
            clock,
            close_entries=lambda closed: self.entries_open.append((clock.now_ns(), not closed)),
            problem=lambda: self.problem,
            notice=lambda level, text, **_: self.notices.append(f"{level} {text}"),
            spawn=self.spawn,
            reconcile_s=30.0,
        )
        self.feed = UserFeed(
            "wss://user.test",
            FeedsConfig(),
            auth=self.gateway.user_channel_auth,
            sink=self.entries.on_user_state,
            on_user_event=self.gateway.on_user_event,
            on_connected=self.entries.on_user_connected,
        )
        self._seen_ns: dict[int, int] = {}

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work of the gateway."""
        self.tasks.append(self.group.create_task(work))

    async def open(self, spec: Any) -> None:
        """Start the gateway and make the market tradable."""
        await self.gateway.start()
        self.gateway.register_market(INDEX, spec)
        self.engine.open_market(INDEX, spec, order_seq_base=1)

    def connect(self) -> None:
        """Open the user channel."""
        loop = asyncio.get_running_loop()

        def to_client(text: str) -> None:
            loop.call_later(0.004, lambda: self.feed.on_payload(text.encode(), self.clock.now_ns()))

        session = self.desk.user_channel.open(to_client, self.clock.now_ns())
        self.feed.on_open(lambda text: session.on_text(text, self.clock.now_ns()), self.clock.now_ns())
        assert session.account is not None

    async def beat(self) -> None:
        """The daemon's timer."""
        while True:
            self.entries.check()
            await self.clock.sleep(0.1)

    @property
    def is_open(self) -> bool:
        """Entries are open as the engine would see it."""
        return bool(self.entries_open) and self.entries_open[-1][1]

    def sink(self, events: EventBuffer) -> None:
        """What the gateway tells goes to the engine and is remembered."""
        self.engine.process(events)
        for row in events.to_numpy():
            if row["kind"] == EventKind.EV_ORDER_UPDATE:
                seq = int(row["seq"])
                self.updates.setdefault(seq, []).append((self.clock.now_ns(), int(row["i"]), int(row["j"])))
                self.reasons[seq] = int(row["x"])

    def place(
        self,
        order_seq: int,
        *,
        order_type: int = FAK,
        price_ticks: int = 5_200,
        shares: int = 10 * SHARE,
        outcome: int = 0,
        decided_ns: int | None = None,
    ) -> None:
        """A buy order that the engine holds and the gateway gets."""
        self.engine.restore_order(
            INDEX,
            order_seq=order_seq,
            strategy=0,
            outcome=outcome,
            side=BUY,
            order_type=order_type,
            price_ticks=price_ticks,
            shares=shares,
            post_only=order_type == GTC,
            dispatched_ns=self.clock.now_ns(),
        )
        self.gateway.execute(
            command(
                PLACE,
                order_seq=order_seq,
                outcome=outcome,
                order_type=order_type,
                price_ticks=price_ticks,
                shares=shares,
                market=INDEX,
                decided_ns=self.clock.now_ns() if decided_ns is None else decided_ns,
            )
        )

    def status(self, order_seq: int) -> int:
        """The engine's status of an order."""
        order = self.engine.orders.get(order_seq)
        return int(self.updates[order_seq][-1][1]) if order is None else int(order.status)

    def sent(self, method: str, path: str) -> list[int]:
        """When requests of a route reached the venue."""
        return [ns for ns, sent_method, sent_path in self.http.log if (sent_method, sent_path) == (method, path)]


async def world(desk: Desk, clock: JumpClock) -> None:
    """Venue time passes in steps of 50 ms."""
    while True:
        desk.scheduler.advance(clock.now_ns())
        await asyncio.sleep(0.05)


def run_floor(
    scenario: Callable[[Floor, Wallet], Coroutine[Any, Any, None]],
    *,
    usd: int = 5_000,
    market_s: float = 300.0,
    is_connected: bool = True,
    settings: Mapping[str, Any] | None = None,
    **desk_settings: Any,
) -> None:
    """Run a scenario: one market of market_s seconds with quotes 50/52, gateway started, user channel connected."""

    async def main() -> None:
        clock = JumpClock(asyncio.get_running_loop(), START_NS)
        faults = ScriptedFaults()
        desk = Desk(faults=faults, **desk_settings)
        desk.faults = faults  # type: ignore[attr-defined]
        wallet = desk.wallet(usd=usd)
        spec = desk.list(end_ns=START_NS + round(market_s * NS))
        desk.scheduler.at(spec.end_ns, lambda: desk.exchange.close_market(spec.condition_id, spec.end_ns))
        desk.rest_ladder(spec, bid=5_000, ask=5_200, shares=1_000)
        async with asyncio.TaskGroup() as group:
            floor = Floor(desk, clock, group, **(settings or {}))
            helpers = [group.create_task(world(desk, clock))]
            await floor.open(spec)
            if is_connected:
                floor.connect()
            helpers += [group.create_task(floor.beat()), group.create_task(floor.entries.reconcile_regularly())]
            await clock.sleep(0.5)
            await scenario(floor, wallet)
            await floor.gateway.close()
            for task in (*helpers, *floor.tasks):
                task.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def as_json(response: HttpResponse) -> Any:
    """The body of an answer, parsed."""
    return json.loads(response.body)
