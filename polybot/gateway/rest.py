"""Signed REST calls to the CLOB: headers, paging, time offset; one method per kind of request.

Owns the base URL, the L2 headers and the venue's clock offset.  No retries: a call returns the
answer or raises VenueUnavailable; lists are complete or VenueError is raised (an incomplete page
must never read as "nothing there").  Every private call passes gateway.outage, before and after.
Called by gateway.clob, resolver, canceler, heartbeat, reconcile and admission.
"""

from collections.abc import Mapping
from random import Random
from typing import Any
from urllib.parse import urlencode

import orjson

from polybot.clock import Clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import VenueError, VenueUnavailable
from polybot.gateway.auth import RequestSigner
from polybot.gateway.limiter import TokenBucket
from polybot.gateway.outage import BEAT, CANCEL, PLACE, PROBE_S, READ, Outage
from polybot.transport import BeforeWrite, Exchange, HttpClient, HttpResponse, Route

__all__ = ["ClobRest", "lone_rest", "read_json"]

NS = 1_000_000_000
FIRST_CURSOR, END_CURSOR = "MA==", "LTE="
# Wall seconds for a read: the venue answers in milliseconds, and whoever asks what became of an order must ask
# again soon when the venue comes back.
READ_TIMEOUT_S = 2.0
MIN_PROBE_S = 0.25  # wall: a fast venue must not make an answer of the loopback late
_LANES = {"POST": PLACE, "DELETE": CANCEL, "GET": READ}
HEARTBEATS = "/v1/heartbeats"
ORDER = "/order"
POST_ORDER = b"POST/order"  # as L2 signs it


class ClobRest:
    """The venue's REST interface for one account; `auth` is set after login."""

    def __init__(
        self, http: HttpClient, clock: Clock, *, venue: VenueConfig, gateway: GatewayConfig, outage: Outage
    ) -> None:
        self._http = http
        self._clock = clock
        self._base = venue.clob_url.rstrip("/")
        self._timeout_s = venue.request_timeout_s
        self._outage = outage
        self._max_pages = gateway.max_pages
        self._reads = TokenBucket(gateway.read_per_s, gateway.read_burst)
        self.auth: RequestSigner | None = None
        self._order_route: Route | None = None
        self._routed: RequestSigner | None = None  # whose header fields the route has
        self.offset_ns = 0  # venue's clock minus ours

    def timestamp_s(self) -> int:
        """The venue's time in whole seconds, for signatures."""
        return (self._clock.now_ns() + self.offset_ns) // NS

    def timestamp_ms(self) -> int:
        """The venue's time in milliseconds, for orders."""
        return (self._clock.now_ns() + self.offset_ns) // 1_000_000

    async def public(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, base: str | None = None
    ) -> HttpResponse:
        """Send a request without L2 headers; `base` replaces the CLOB's URL."""
        url = (self._base if base is None else base) + path
        return await self._http.request(method, url, headers=headers, timeout_s=self._timeout_s)

    def begin_order(self, body: bytes, before_write: BeforeWrite) -> Exchange | None:
        """Write exactly these bytes of one order now; None when no warm connection is free (then: `order`).

        Raises what before_write raises, and NotSent; nothing has left then.
        """
        auth = self.auth
        assert auth is not None, "an order before login"
        route = self._order_route
        if route is None or self._routed is not auth:
            fixed = {**auth.account_headers(), "Content-Type": "application/json"}
            route = self._order_route = self._http.route("POST", self._base + ORDER, fixed)
            self._routed = auth
        lines = auth.request_lines(self.timestamp_s(), POST_ORDER, body)
        return route.begin(lines, body, timeout_s=self._timeout_s, before_write=before_write)

    async def order_answer(self, exchange: Exchange) -> HttpResponse:
        """Wait for the answer to an order that was written; raises VenueUnavailable."""
        response = await exchange.answer()
        self._outage.on_answer(PLACE, response)
        return response

    async def order(self, body: bytes, before_write: BeforeWrite) -> HttpResponse:
        """Send an order: exactly these bytes, on a connection that is waited for or opened.

        Raises VenueUnavailable, NotSent when unsent.
        """
        headers = self._headers("POST", ORDER, body)
        url = self._base + ORDER
        response = await self._http.request(
            "POST", url, headers=headers, body=body, timeout_s=self._timeout_s, before_write=before_write
        )
        self._outage.on_answer(PLACE, response)
        return response

    async def private(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes | None = None,
        timeout_s: float = 0.0,
        is_probe: bool = False,
    ) -> HttpResponse:
        """Send a request with L2 headers over exactly these body bytes; waits while the venue is down.

        Raises VenueUnavailable without asking when a read must not be made now.
        """
        lane = BEAT if path == HEARTBEATS else _LANES[method]
        await self._outage.admit(lane, is_probe=is_probe)
        headers = self._headers(method, path, body)
        url = f"{self._base}{path}?{query}" if query else self._base + path
        limit_s = timeout_s or self._timeout_s
        try:
            response = await self._http.request(method, url, headers=headers, body=body, timeout_s=limit_s)
        except VenueUnavailable:
            self._outage.on_no_answer()
            raise
        self._outage.on_answer(lane, response)
        return response

    def _headers(self, method: str, path: str, body: bytes | None) -> dict[str, str]:
        assert self.auth is not None, "a private call before login"
        headers = self.auth.headers(self.timestamp_s(), method, path=path, body=body or b"")
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    async def read(self, path: str, **query: str) -> HttpResponse:
        """Send a private GET, after waiting for a token of the read bucket."""
        await self._reads.acquire(self._clock)
        limit_s = min(READ_TIMEOUT_S, self._timeout_s)
        return await self.private("GET", path, query=urlencode(query), timeout_s=limit_s)

    async def read_pages(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return all items of a paged list; raises VenueError unless every page came whole."""
        items: list[dict[str, Any]] = []
        cursor = FIRST_CURSOR
        seen = {cursor}
        for _ in range(self._max_pages):
            page = read_json(await self.read(path, **query, next_cursor=cursor), f"GET {path}")
            rows = page.get("data") if isinstance(page, dict) else None
            following = page.get("next_cursor") if isinstance(page, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise VenueError(f"GET {path}: a page without a list")
            if page.get("count") not in (None, len(rows)):
                raise VenueError(f"GET {path}: a page of {len(rows)} rows tells {str(page['count'])[:20]}")
            items.extend(rows)
            if following == END_CURSOR:
                return items
            if not isinstance(following, str) or not following or following in seen:
                raise VenueError(f"GET {path}: the list does not end")
            seen.add(following)
            cursor = following
        raise VenueError(f"GET {path}: more than {self._max_pages} pages")

    async def beat(self, body: object, timeout_s: float) -> HttpResponse:
        """Send one heartbeat."""
        return await self.private("POST", HEARTBEATS, body=orjson.dumps(body), timeout_s=timeout_s)

    async def warm(self) -> None:
        """Keep connections open to the venue, so that an order does not wait for a handshake."""
        await self._http.warm(f"{self._base}/time", READ_TIMEOUT_S)

    async def probe(self) -> None:
        """Ask something cheap that needs the whole path; raises VenueUnavailable.  Any honest answer ends an outage."""
        query = urlencode({"next_cursor": FIRST_CURSOR})
        limit_s = max(MIN_PROBE_S, self._clock.real_s(PROBE_S))
        await self.private("GET", "/data/orders", query=query, timeout_s=limit_s, is_probe=True)

    async def delete(self, path: str, body: object | None = None) -> HttpResponse:
        """Send a private DELETE, with a JSON body unless it is None."""
        return await self.private("DELETE", path, body=None if body is None else orjson.dumps(body))


def read_json(response: HttpResponse, what: str) -> Any:
    """Return the JSON of a 200 answer; raises VenueError naming `what` otherwise."""
    if response.status != 200:
        raise VenueError(f"{what}: HTTP {response.status}")
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise VenueError(f"{what}: not JSON") from None


def lone_rest(http: HttpClient, clock: Clock, *, venue: VenueConfig, gateway: GatewayConfig) -> ClobRest:
    """REST of one caller without a gateway: its outage closes no door to another and is told to nobody."""
    outage = Outage(
        clock,
        rng=Random(0),
        on_down=lambda why: None,
        on_up=lambda: None,
        on_limited=lambda seconds: None,
    )
    return ClobRest(http, clock, venue=venue, gateway=gateway, outage=outage)
