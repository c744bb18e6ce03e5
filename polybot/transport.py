"""The seam between sans-I/O logic and sockets: what a feed, a gateway and a venue see of the wire.

Real sockets implement these in feeds.connection and gateway.http; the virtual-time harness
implements them in memory.  Nothing here does I/O or knows a venue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["BeforeWrite", "Exchange", "Feed", "HttpClient", "HttpResponse", "Route", "SendText"]

SendText = Callable[[str], None]
BeforeWrite = Callable[[], None]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One HTTP answer, body complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(Protocol):
    """A request that was written; its answer is to come."""

    async def answer(self) -> HttpResponse:
        """The whole answer; raises VenueUnavailable when there is none in time.  Asked for once."""
        ...


class Route(Protocol):
    """One method and address with fixed header fields, prepared for requests that must leave at once."""

    def begin(
        self, lines: bytes, body: bytes, *, timeout_s: float, before_write: BeforeWrite
    ) -> Exchange | None:
        """Write a request on this call stack; None, with nothing asked or written, when no warm connection is free.

        `lines` are whole header lines behind the fixed ones, each with its CRLF; the caller knows that they are
        sound.  before_write and timeout_s (wall, from now on) as in HttpClient.request: what before_write raises
        passes through with nothing written.
        """
        ...


class HttpClient(Protocol):
    """A warm HTTP client; raises VenueUnavailable when there is no complete answer."""

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
        """Send one request; timeout in wall seconds covers connect to last byte.

        `before_write` is called once, directly before the first byte is written; what it raises ends the
        request with nothing sent.  NotSent says the same of a connection that could not be made.
        """
        ...

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> Route:
        """Prepare requests of one kind; raises NotSent for an address or a header that cannot stand in a request."""
        ...

    async def warm(self, url: str, timeout_s: float) -> int:
        """Open connections to the host of url ahead of their use, by asking it; returns how many answered."""
        ...


class Feed(Protocol):
    """A websocket feed without a socket; a driver (real or in memory) owns the connection.

    The driver calls on_open, then on_payload for every text or binary message, on_timer about
    every 250 ms of venue time while connected, and on_close once per connection.  It reads
    `wants_reconnect` after each callback: a reason there makes it close and connect anew.
    """

    name: str
    wants_reconnect: str | None

    def url(self) -> str:
        """URL for the next connection attempt (hosts may rotate)."""
        ...

    def on_open(self, send: SendText, now_ns: int) -> None:
        """Connected: subscribe. `send` is valid until on_close."""
        ...

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """One whole message as received; recv_ns is venue time."""
        ...

    def on_timer(self, now_ns: int) -> None:
        """Pings and staleness."""
        ...

    def on_close(self, reason: str, now_ns: int) -> None:
        """The connection is gone."""
        ...
