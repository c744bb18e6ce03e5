"""The real HTTP client: warm keep-alive connections in lanes, behind transport.HttpClient.

Owns the pools, timeouts and what may be repeated.  Each method of a host has connections of its own, so that a cancel
(DELETE) never waits behind a place (POST) or a read.  No redirects, no proxies, no environment: an answer is complete
or VenueUnavailable is raised, which says nothing about what the venue did; NotSent when not one byte had left.  A
POST is never repeated; a read or a cancel is, when a kept connection turns out to be closed (at most once for each).
A route writes on its caller's stack, on a warm connection that is free; its transport gives the bytes to the kernel at
once (uvloop's own would at the end of its turn).  Messages carry method and path only (never headers, query or body).
Called by the daemon, which hands it to gateway and market.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import aiofastnet

from polybot.config import GatewayConfig
from polybot.errors import NotSent, VenueUnavailable
from polybot.gateway.wire import BrokenAnswer, Wire
from polybot.transport import BeforeWrite, HttpResponse

__all__ = ["LaneClient"]

WARM = 2  # connections of each lane that are opened ahead
LANES = ("POST", "DELETE", "GET")
# Bytes not acknowledged for so long (ms): the connection is half open, and an error beats a timeout.
UNACKNOWLEDGED_MS = 3_000
PORTS = {"http": 80, "https": 443}
PLAIN_ANSWER = b"Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: polybot\r\n"


class _Lane:
    """Connections of one method to one host, at most `limit`; the warmest is used first."""

    def __init__(self, host: str, port: int, *, context: ssl.SSLContext | None, settings: GatewayConfig) -> None:
        self._host, self._port = host, port
        self._context = context
        self._limit = settings.connections
        self._keepalive_s = settings.keepalive_s
        self._idle: list[Wire] = []
        self._count = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = False
        self.opened = 0

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    async def acquire(self, *, coldest: bool = False) -> Wire:
        """Return a free connection, a new one if there is none; waits when all are busy.  Raises OSError.

        The warmest one, or the one that waited longest.
        """
        while True:
            while self._idle:
                wire = self._idle.pop(0 if coldest else -1)
                age_s = asyncio.get_running_loop().time() - wire.idle_since
                if wire.is_silent and age_s < self._keepalive_s:
                    return wire
                self._drop(wire)
            if self._count < self._limit:
                return await self._open()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._next_turn()
                raise

    def free(self) -> Wire | None:
        """The connection a request can be written on at this moment, not taken yet; None: wait with acquire()."""
        if self._waiting or self._is_closed:
            return None
        while self._idle:
            wire = self._idle[-1]
            if wire.is_silent and asyncio.get_running_loop().time() - wire.idle_since < self._keepalive_s:
                return wire
            self._drop(self._idle.pop())
        return None

    def begin(self, wire: Wire, request: bytes) -> "asyncio.Future[HttpResponse]":
        """Take the connection that free() named and write; it comes back by itself when its answer has ended."""
        taken = self._idle.pop()
        assert taken is wire, "free() named another one"

        def over(ended: "asyncio.Future[HttpResponse]") -> None:
            wire.finish(ended)
            self.release(wire)

        waiter: asyncio.Future[HttpResponse] | None = None
        try:
            waiter = wire.begin(request)
        finally:
            if waiter is None:
                wire.close()
                self.release(wire)
        waiter.add_done_callback(over)
        return waiter

    async def _open(self) -> Wire:
        self._count += 1
        wire: Wire | None = None
        try:
            _, wire = await aiofastnet.create_connection(
                asyncio.get_running_loop(), Wire, self._host, self._port, ssl=self._context
            )
        finally:
            if wire is None:
                self._count -= 1
                self._next_turn()
        self.opened += 1
        sock = wire.transport_socket()
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            except OSError:  # gone already
                self._drop(wire)
                self._next_turn()
                raise
        return wire

    def release(self, wire: Wire) -> None:
        """Take a connection back, or count it gone."""
        if self._is_closed:
            wire.close()
        if wire.is_free:
            wire.idle_since = asyncio.get_running_loop().time()
            self._idle.append(wire)
        else:
            self._count -= 1
        self._next_turn()

    def _drop(self, wire: Wire) -> None:
        wire.close()
        self._count -= 1

    def _next_turn(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def close(self) -> None:
        """Close what nobody uses now, and later whatever comes back."""
        self._is_closed = True
        for wire in self._idle:
            wire.close()
        self._idle.clear()


class _LaneExchange:
    """transport.Exchange: a request on one connection of a lane."""

    def __init__(self, waiter: "asyncio.Future[HttpResponse]", name: str, timeout_s: float) -> None:
        self._waiter = waiter
        self._name = name
        self._timeout_s = timeout_s
        self._until_s = waiter.get_loop().time() + timeout_s

    async def answer(self) -> HttpResponse:
        """Wait for it; a caller that gives up closes the connection."""
        try:
            async with asyncio.timeout_at(self._until_s):
                return await self._waiter
        except TimeoutError:
            raise VenueUnavailable(f"{self._name}: no complete answer in {self._timeout_s} s") from None
        except (OSError, BrokenAnswer) as error:
            raise VenueUnavailable(f"{self._name}: {type(error).__name__}") from None


class _LaneRoute:
    """transport.Route: the head of a request is built once."""

    def __init__(self, lane: _Lane, name: str, head: bytes) -> None:
        self._lane = lane
        self._name = name
        self._head = head

    def begin(
        self, lines: bytes, body: bytes, *, timeout_s: float, before_write: BeforeWrite
    ) -> _LaneExchange | None:
        """Write on a warm connection that is free."""
        wire = self._lane.free()
        if wire is None:
            return None
        request = b"%s%sContent-Length: %d\r\n\r\n%s" % (self._head, lines, len(body), body)
        before_write()
        try:
            waiter = self._lane.begin(wire, request)
        except ConnectionError as error:
            raise NotSent(f"{self._name}: {type(error).__name__}") from None
        return _LaneExchange(waiter, self._name, timeout_s)


class LaneClient:
    """transport.HttpClient; close() when done."""

    def __init__(self, settings: GatewayConfig) -> None:
        self._settings = settings
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._context: ssl.SSLContext | None = None

    async def close(self) -> None:
        """Close all connections that are not in use."""
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()

    async def warm(self, url: str, timeout_s: float) -> int:
        """Ask url on WARM connections of every lane of its host; returns how many answered in time."""
        lanes = [self._lane(method, url) for method in LANES]
        return sum(await asyncio.gather(*[self._warm_lane(lane, url, timeout_s) for lane in lanes]))

    async def _warm_lane(self, lane: _Lane, url: str, timeout_s: float) -> int:
        """Open what is missing at once; what is open is asked one by one, so that an order finds one free meanwhile."""
        request = _head("GET", urlsplit(url)) + _fields({}, None)

        async def ask() -> bool:
            try:
                await self._exchange(
                    lane, "GET to keep warm", request, timeout_s=timeout_s, may_repeat=True, coldest=True
                )
            except VenueUnavailable:
                return False
            return True

        if lane.idle < WARM:
            return sum(await asyncio.gather(*[ask() for _ in range(WARM)]))
        return sum([await ask() for _ in range(WARM)])

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 5.0,
        before_write: BeforeWrite | None = None,
    ) -> HttpResponse:
        """Send one request; timeout_s in wall seconds covers waiting for a connection to the last byte.

        Raises NotSent for an address or a header that cannot stand in a request.
        """
        lane, parts = self._lane(method, url), urlsplit(url)
        request = _head(method, parts) + _fields(headers or {}, body)
        return await self._exchange(
            lane,
            f"{method} {parts.path}",
            request,
            timeout_s=timeout_s,
            may_repeat=method != "POST",
            before_write=before_write,
        )

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> _LaneRoute:
        """Prepare requests that may leave at once."""
        lane, parts = self._lane(method, url), urlsplit(url)
        return _LaneRoute(lane, f"{method} {parts.path}", _head(method, parts) + _lines(headers))

    async def _exchange(
        self,
        lane: _Lane,
        name: str,
        request: bytes,
        *,
        timeout_s: float,
        may_repeat: bool,
        before_write: BeforeWrite | None = None,
        coldest: bool = False,
    ) -> HttpResponse:
        wire: Wire | None = None
        was_written = False
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    wire = await lane.acquire(coldest=coldest)
                    was_kept = wire.exchanges > 0
                    try:
                        if before_write is not None:
                            before_write()
                        was_written = True
                        return await wire.exchange(request)
                    except ConnectionError:
                        if not (may_repeat and was_kept):
                            raise
                    finally:
                        lane.release(wire)
        except TimeoutError:
            kind = VenueUnavailable if was_written else NotSent
            raise kind(f"{name}: no complete answer in {timeout_s} s") from None
        except (OSError, BrokenAnswer) as error:
            kind = VenueUnavailable if was_written else NotSent
            raise kind(f"{name}: {type(error).__name__}") from None

    def _lane(self, method: str, url: str) -> _Lane:
        """Connections for this method to the host of url; raises NotSent when it is no address."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            raise NotSent(f"{method}: not an address") from None
        is_plain = _is_word(parts.netloc + parts.path + parts.query) and "@" not in parts.netloc
        if not is_plain or not host or parts.scheme not in PORTS:
            raise NotSent(f"{method} {parts.path}: not an address")
        origin = f"{parts.scheme}://{parts.netloc}"
        lane = self._lanes.get((origin, method))
        if lane is None:
            if parts.scheme == "https" and self._context is None:
                self._context = ssl.create_default_context()
            context = self._context if parts.scheme == "https" else None
            lane = _Lane(host, port, context=context, settings=self._settings)
            self._lanes[origin, method] = lane
        return lane


def _head(method: str, parts: SplitResult) -> bytes:
    """Request line and the fields that every request has."""
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    return f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode("latin-1") + PLAIN_ANSWER


def _fields(headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The other header fields, the empty line and the body."""
    if body is None:
        return _lines(headers) + b"\r\n"
    return b"%sContent-Length: %d\r\n\r\n%s" % (_lines(headers), len(body), body)


def _lines(headers: Mapping[str, str]) -> bytes:
    """Header fields, one a line; raises NotSent for one that would be two, or none."""
    for name, value in headers.items():
        if not (_is_word(name) and ":" not in name and value.isascii() and value.isprintable()):
            raise NotSent("a header that cannot be sent")  # its value may be a secret
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")


def _is_word(text: str) -> bool:
    """Can it stand in a request line: printable ASCII without a blank?"""
    return text.isascii() and text.isprintable() and " " not in text
