"""The real HTTP client: warm keep-alive connections in lanes, behind transport.HttpClient.

Owns the pools, timeouts and what may be repeated.  Each method of a host has connections of its own, so that a cancel
(DELETE) never waits behind a place (POST) or a read.  No redirects, no proxies, no environment: an answer is complete
or VenueUnavailable is raised, which says nothing about what the venue did; NotSent when not one byte had left.  A
POST is never repeated; a read or a cancel is, when a kept connection turns out to be closed (at most once for each).
Messages carry method and path only (never headers, query or body).
Called by the daemon, which hands it to gateway and market.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

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
PLAIN_ANSWER = b"Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: polybot\r\n\r\n"


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

    async def acquire(self) -> Wire:
        """Return a free connection, a new one if there is none; waits when all are busy.  Raises OSError."""
        while True:
            while self._idle:
                wire = self._idle.pop()
                age_s = asyncio.get_running_loop().time() - wire.idle_since
                if wire.is_free and age_s < self._keepalive_s:
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

    async def _open(self) -> Wire:
        self._count += 1
        wire: Wire | None = None
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                Wire, self._host, self._port, ssl=self._context
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
        asked = [
            self._exchange(lane, "GET", url, _fields({}, None), timeout_s=timeout_s)
            for lane in (self._lane(method, url) for method in LANES)
            for _ in range(WARM)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, VenueUnavailable):
                raise answer
        return sum(isinstance(answer, HttpResponse) for answer in answers)

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
        lane = self._lane(method, url)
        payload = _fields(headers or {}, body)
        return await self._exchange(lane, method, url, payload, timeout_s=timeout_s, before_write=before_write)

    async def _exchange(
        self,
        lane: _Lane,
        method: str,
        url: str,
        payload: bytes,
        *,
        timeout_s: float,
        before_write: BeforeWrite | None = None,
    ) -> HttpResponse:
        parts = urlsplit(url)
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        request = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode("latin-1") + payload
        wire: Wire | None = None
        was_written = False
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    wire = await lane.acquire()
                    was_kept = wire.exchanges > 0
                    try:
                        if before_write is not None:
                            before_write()
                        was_written = True
                        return await wire.exchange(request)
                    except ConnectionError:
                        if method == "POST" or not was_kept:
                            raise
                    finally:
                        lane.release(wire)
        except TimeoutError:
            kind = VenueUnavailable if was_written else NotSent
            raise kind(f"{method} {parts.path}: no complete answer in {timeout_s} s") from None
        except (OSError, BrokenAnswer) as error:
            kind = VenueUnavailable if was_written else NotSent
            raise kind(f"{method} {parts.path}: {type(error).__name__}") from None

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


def _fields(headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Header fields, the empty line and the body."""
    for name, value in headers.items():
        if not (_is_word(name) and ":" not in name and value.isascii() and value.isprintable()):
            raise NotSent("a header that cannot be sent")  # its value may be a secret
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}\r\n")
    return "".join(lines).encode("latin-1") + PLAIN_ANSWER + (body or b"")


def _is_word(text: str) -> bool:
    """Can it stand in a request line: printable ASCII without a blank?"""
    return text.isascii() and text.isprintable() and " " not in text
