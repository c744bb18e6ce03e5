"""An in-memory venue behind transport.HttpClient, and a gateway wired to it on a loop of virtual time.

The fake answers with bodies as the venue writes them, checks the L2 signature of every private call
by itself, and can be told per request to answer otherwise, late, or not at all.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from scenario import make_spec

from polybot._fast.event import COMMAND_DTYPE, CommandBuffer, EventBuffer, EventKind
from polybot.clock import VirtualClock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import VenueUnavailable
from polybot.gateway.clob import ClobGateway
from polybot.gateway.signer import Signer
from polybot.sim.memory import MemoryRoute
from polybot.sim.virtual_loop import VirtualLoop
from polybot.transport import HttpResponse

__all__ = ["ANVIL_KEY", "CLOB", "SPEC", "Bench", "FakeClob", "Request", "answer", "command", "run_virtual"]

NS = 1_000_000_000
START_NS = 1_790_616_600 * NS
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
API_KEY, SECRET, PASSPHRASE = "6d9f8a0e-owner", base64.urlsafe_b64encode(b"k" * 32).decode(), "pass-phrase"
CLOB = "http://clob.test"
SPEC = make_spec(
    slug="btc-updown-5m-1790616600", condition_id="0x" + "c0" * 32, start_ns=START_NS, end_ns=START_NS + 300 * NS
)
Reply = HttpResponse | Exception | Callable[["Request"], "Reply | Awaitable[Reply]"]


class Request:
    """One request as the venue got it."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        parts = urlsplit(url)
        self.method = method
        self.path = parts.path
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.headers = dict(headers)
        self.body = body

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


def answer(status: int, body: object, **headers: str) -> HttpResponse:
    """An answer with a JSON body (bytes are taken as they are)."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


class LaneRoute(MemoryRoute):
    """Requests leave at once while the client's `is_free` is on; else all its connections are taken or not open yet."""

    def __init__(self, http: Any, method: str, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(http, method, url, headers)
        self._client = http

    def begin(self, lines: bytes, body: bytes, **more: Any) -> Any:
        """transport.Route."""
        return super().begin(lines, body, **more) if self._client.is_free else None


class FakeClob:
    """HttpClient whose venue lives in memory; `script` replaces the next answers of a route."""

    def __init__(self) -> None:
        self.is_free = True  # a warm connection for orders
        self.requests: list[Request] = []
        self.unsigned: list[Request] = []
        self.orders: dict[str, dict[str, Any]] = {}  # GET /data/order, /data/orders
        self.trades: list[dict[str, Any]] = []
        self.page_size = 2
        self.balance = "1000000000"
        self.shares: dict[str, str] = {}  # by token, micro-shares
        self.time_s: Callable[[], int] = lambda: START_NS // NS
        self._scripts: dict[tuple[str, str], list[Reply]] = {}
        self._always: dict[tuple[str, str], Reply] = {}

    def script(self, method: str, path: str, *replies: Reply) -> None:
        """Give these replies to the next requests of a route, one each."""
        self._scripts.setdefault((method, path), []).extend(replies)

    def always(self, method: str, path: str, reply: Reply | None) -> None:
        """Give this reply whenever nothing is scripted; None restores the normal behaviour."""
        if reply is None:
            self._always.pop((method, path), None)
        else:
            self._always[method, path] = reply

    def sent(self, method: str, path: str) -> list[Request]:
        """Requests of a route so far."""
        return [r for r in self.requests if r.method == method and r.path == path]

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
        if before_write is not None:
            before_write()
        request = Request(method, url, headers or {}, body or b"")
        self.requests.append(request)
        self._check_signature(request)
        await asyncio.sleep(0.02)
        scripted = self._scripts.get((method, request.path))
        reply: Any = scripted.pop(0) if scripted else self._always.get((method, request.path), self._normal)
        try:
            async with asyncio.timeout(timeout_s):
                while not isinstance(reply, HttpResponse):
                    if isinstance(reply, Exception):
                        raise reply
                    reply = await reply if isinstance(reply, Awaitable) else reply(request)
        except TimeoutError:
            raise VenueUnavailable(f"{request}: timeout") from None
        return reply

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> LaneRoute:
        """transport.HttpClient."""
        return LaneRoute(self, method, url, headers)

    async def warm(self, url: str, timeout_s: float) -> int:
        """There are no connections."""
        return 0

    def _check_signature(self, request: Request) -> None:
        public = ("/version", "/time", "/api/geoblock", "/auth/derive-api-key", "/auth/api-key")
        if request.path in public:
            return
        text = (
            f"{request.headers.get('POLY_TIMESTAMP')}{request.method}{request.path}".encode() + request.body
        )
        expected = hmac.new(base64.urlsafe_b64decode(SECRET), text, hashlib.sha256).digest()
        if request.headers.get("POLY_SIGNATURE") != base64.urlsafe_b64encode(expected).decode():
            self.unsigned.append(request)

    def _normal(self, request: Request) -> HttpResponse:
        route = f"{request.method} {request.path}"
        if request.path.startswith("/data/order/"):
            order = self.orders.get(request.path.rpartition("/")[2])
            return answer(200, order) if order else answer(404, {"error": "order not found"})
        credentials = {"apiKey": API_KEY, "secret": SECRET, "passphrase": PASSPHRASE}
        simple: dict[str, object] = {
            "GET /version": {"version": 2},
            "GET /time": self.time_s(),
            "GET /api/geoblock": {"blocked": False, "ip": "203.0.113.42", "country": "IE", "region": "L"},
            "GET /auth/derive-api-key": credentials,
            "GET /auth/ban-status/closed-only": {"closed_only": False},
            "GET /balance-allowance": {"balance": self.balance, "allowances": {}},
            "POST /v1/heartbeats": {"heartbeat_id": f"hb-{len(self.requests)}"},
            "DELETE /cancel-all": {"canceled": list(self.orders), "not_canceled": {}},
        }
        if request.query.get("asset_type") == "CONDITIONAL":
            told = self.shares.get(request.query["token_id"], "0")
            return answer(200, {"balance": told, "allowances": {}})
        if route in simple:
            return answer(200, simple[route])
        if route == "POST /order":
            return answer(200, self.placed(request, "live"))
        if route == "DELETE /order":
            return answer(200, {"canceled": [request.json()["orderID"]], "not_canceled": {}})
        if route == "DELETE /orders":
            gone = {str(order_id) for order_id in request.json()}
            self.orders = {key: row for key, row in self.orders.items() if row["id"] not in gone}
            return answer(200, {"canceled": sorted(gone), "not_canceled": {}})
        if route in ("GET /data/orders", "GET /data/trades"):
            rows = list(self.orders.values()) if request.path == "/data/orders" else self.trades
            wanted = request.query.get("market", "")
            return self.page(request, [row for row in rows if wanted in ("", row.get("market", ""))])
        return answer(404, {"error": f"not found: {route}"})

    def placed(self, request: Request, status: str, **changes: str) -> dict[str, Any]:
        """The answer of an accepted order; its id is taken from the last order signed."""
        order_id = self.order_id_of(request)
        base = {"makingAmount": "", "takingAmount": "", "tradeIDs": [], "transactionsHashes": []}
        return {"success": True, "errorMsg": "", "orderID": order_id, "status": status} | base | changes

    order_id_of: Callable[[Request], str] = staticmethod(lambda request: "0x")

    def page(self, request: Request, rows: list[dict[str, Any]]) -> HttpResponse:
        """One page of a list; the cursor is the base64 of an offset."""
        start = int(base64.b64decode(request.query.get("next_cursor", "MA==")))
        rest = start + self.page_size
        cursor = "LTE=" if rest >= len(rows) else base64.b64encode(str(rest).encode()).decode()
        part = rows[start:rest]
        return answer(200, {"data": part, "next_cursor": cursor, "limit": 2, "count": len(part)})


def run_virtual(scenario: Callable[["Bench"], Coroutine[Any, Any, None]], **changes: Any) -> None:
    """Run a scenario with a wired gateway on a loop of virtual time."""

    async def main() -> None:
        clock = VirtualClock(asyncio.get_running_loop(), START_NS + 10 * NS)
        async with asyncio.TaskGroup() as group:
            bench = Bench(clock, group, **changes)
            await scenario(bench)
            await bench.gateway.close()
            for task in bench.tasks:
                task.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def command(
    kind: int = 1,
    *,
    order_seq: int = 1,
    outcome: int = 0,
    side: int = 0,
    order_type: int = 3,
    price_ticks: int = 5_200,
    shares: int = 10_000_000,
    market: int = 4,
    decided_ns: int = 1 << 62,
) -> CommandBuffer:
    """A CommandBuffer with one command; by default FAK BUY 10 Up at 0.52."""
    record = np.zeros(1, dtype=COMMAND_DTYPE)
    record["kind"], record["order_seq"], record["market"] = kind, order_seq, market
    record["outcome"], record["side"], record["order_type"] = outcome, side, order_type
    record["price_ticks"], record["shares"] = price_ticks, shares
    record["decided_ns"] = decided_ns
    return PackedCommands(record.tobytes())  # type: ignore[return-value]


class PackedCommands:
    """Commands from bytes, as far as the gateway looks at a CommandBuffer."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def to_bytes(self) -> bytes:
        """The records."""
        return self._raw


class Bench:
    """A gateway over a FakeClob, and everything it emitted."""

    def __init__(self, clock: VirtualClock, group: asyncio.TaskGroup, **changes: Any) -> None:
        self.clock = clock
        self.http = FakeClob()
        self.http.time_s = lambda: clock.now_ns() // NS
        self.http.order_id_of = lambda request: self.order_id(request.json()["order"]["salt"])
        self.tasks: list[asyncio.Task[None]] = []
        self.events: list[dict[str, Any]] = []
        self.stages: list[tuple[str, int, int]] = []
        self.group = group
        urls = {"clob_url": CLOB, "geoblock_url": f"{CLOB}/api/geoblock"}
        self.venue = VenueConfig(**urls | changes.pop("venue", {}))
        self.signer = Signer(ANVIL_KEY, self.venue)
        self.gateway = ClobGateway(
            self.http,
            clock,
            signer=self.signer,
            venue=self.venue,
            settings=GatewayConfig(**changes.pop("settings", {})),
            sink=self.sink,
            spawn=lambda work: self.tasks.append(group.create_task(work)),
            on_stage=lambda *stage: self.stages.append(stage),
            session_nonce=b"test session 001",
        )

    async def start(self) -> None:
        """Start the gateway with one market, index 4."""
        await self.gateway.start()
        self.gateway.register_market(4, SPEC)

    def sink(self, events: EventBuffer) -> None:
        """Collect what the gateway emits."""
        names = events.to_numpy().dtype.names or ()
        self.events += [dict(zip(names, row, strict=True)) for row in events.to_numpy().tolist()]

    def order_id(self, salt: int) -> str:
        """The id the venue would compute: here simply what the gateway signed."""
        for order in self.gateway._tracker:
            if json.loads(order.body)["order"]["salt"] == salt:
                return order.order_id
        raise AssertionError("an order nobody signed")

    def id_of(self, order_seq: int) -> str:
        """Order id of an order_seq."""
        order = self.gateway._tracker.by_seq(order_seq)
        assert order is not None
        return order.order_id

    def updates(self, order_seq: int = 1) -> list[tuple[int, int]]:
        """(status, matched) of every EV_ORDER_UPDATE of an order."""
        wanted = int(EventKind.EV_ORDER_UPDATE)
        return [(e["i"], e["j"]) for e in self.events if e["kind"] == wanted and e["seq"] == order_seq]

    def reason(self, order_seq: int = 1) -> int:
        """Reason of the last EV_ORDER_UPDATE of an order."""
        wanted = int(EventKind.EV_ORDER_UPDATE)
        return int([e["x"] for e in self.events if e["kind"] == wanted and e["seq"] == order_seq][-1])

    def fills(self, order_seq: int = 1) -> list[tuple[int, int, int]]:
        """(price, micro-shares, trade status) of every EV_FILL of an order."""
        wanted = int(EventKind.EV_FILL)
        return [
            (e["i"], e["j"], int(e["x"]))
            for e in self.events
            if e["kind"] == wanted and e["seq"] == order_seq
        ]

    def order_row(self, order_seq: int = 1, *, status: str = "LIVE", matched: str = "0") -> dict[str, Any]:
        """An order object of REST or the user channel."""
        return {
            "id": self.id_of(order_seq),
            "status": status,
            "market": SPEC.condition_id,
            "asset_id": SPEC.token_up,
            "side": "BUY",
            "original_size": "10",
            "size_matched": matched,
            "price": "0.52",
            "associate_trades": [],
            "order_type": "FAK",
            "created_at": "1790616612",
            "expiration": "0",
        }

    def order_event(self, order_seq: int = 1, kind: str = "UPDATE", **fields: Any) -> None:
        """The user channel says something of an order."""
        row = self.order_row(order_seq, **fields)
        self.gateway.on_user_event(row | {"event_type": "order", "type": kind}, self.clock.now_ns())

    def trade_row(
        self,
        order_seq: int = 1,
        *,
        trade_id: str = "t-1",
        size: str = "10",
        price: str = "0.52",
        status: str = "MATCHED",
    ) -> dict[str, Any]:
        """A trade where our order took one maker order of our own token."""
        leg = {
            "order_id": "0x" + "ee" * 32,
            "owner": "somebody",
            "matched_amount": size,
            "price": price,
            "asset_id": SPEC.token_up,
            "outcome": "Up",
            "side": "SELL",
            "fee_rate_bps": "0",
        }
        return {
            "id": trade_id,
            "taker_order_id": self.id_of(order_seq),
            "market": SPEC.condition_id,
            "asset_id": SPEC.token_up,
            "side": "BUY",
            "size": size,
            "price": price,
            "status": status,
            "match_time": "1790616612",
            "trader_side": "TAKER",
            "maker_orders": [leg],
        }

    def trade_event(self, order_seq: int = 1, **fields: Any) -> None:
        """The user channel says something of a trade."""
        row = self.trade_row(order_seq, **fields)
        self.gateway.on_user_event(row | {"event_type": "trade", "type": "TRADE"}, self.clock.now_ns())
