"""The embedded venue without sockets: HTTP and websockets as calls on a virtual-time loop.

Owns what stands between a client and the venue when there is no network: `MemoryHttp` is a
transport.HttpClient, `drive` keeps a transport.Feed connected as feeds.connection does (open, timer,
reconnect with full-jitter backoff, planned rollover), `pump` lets venue time pass.  Every message
takes `latency_s` one way and stays in order.  Nothing here is random but the seeded backoff, so a run
is a function of the seed and of what the client does.
Addresses are `http://<service>.sim` and `ws://<service>.sim`; services are sim.venue.SERVICES.
Called by the harness, which wires the same feeds and gateway to it that run on the network.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

from polybot._fast.timers import Line, Pump
from polybot.clock import Clock
from polybot.config import FeedsConfig, VenueConfig
from polybot.errors import VenueUnavailable
from polybot.sim.faults import Withheld
from polybot.sim.path import NS
from polybot.sim.venue import SERVICES, Session, Venue
from polybot.sim.virtual_loop import running_loop
from polybot.transport import BeforeWrite, Feed, HttpClient, HttpResponse

__all__ = ["FeedWishes", "MemoryHttp", "MemoryNetwork", "MemoryRoute", "memory_venue"]

TIMER_S = 0.25  # venue seconds between on_timer calls
OVERLAP_S = 1.0  # at a rollover the old connection stays so long
STABLE_S = 10.0  # a connection that lived so long forgives earlier failures
MAX_DOUBLINGS = 20


class FeedWishes(Protocol):
    """What a feed may also have; read when present."""

    wants_rollover: str | None
    gives_up: str | None
    retry_after_s: float


def memory_venue(config: VenueConfig) -> VenueConfig:
    """The configuration with in-memory addresses filled in."""
    http = {name: f"http://{name}.sim" for name in SERVICES}
    ws = {name: f"ws://{name}.sim" for name in SERVICES}
    return replace(
        config,
        clob_url=http["clob"],
        gamma_url=http["gamma"],
        market_ws_url=f"{ws['clob']}/ws/market",
        user_ws_url=f"{ws['clob']}/ws/user",
        rtds_url=ws["rtds"],
        polybolt_url=f"{ws['polybolt']}/ws",
        geoblock_url=f"{http['geoblock']}/api/geoblock",
        spot_ws_urls=(ws["spot"],),
        spot_rest_urls=(http["spot"],),
    )


class MemoryNetwork:
    """A venue and the way to it; `http` and `drive` are what a trader needs."""

    def __init__(
        self, venue: Venue, clock: Clock, settings: FeedsConfig, *, latency_s: float = 0.002, seed: int = 0
    ) -> None:
        self.venue = venue
        self.http = MemoryHttp(self, latency_s)
        self.latency_s = latency_s
        self.clock = clock
        self._settings = settings
        self._seed = seed
        self.carried: dict[str, int] = {}  # messages handed to each feed so far, by its name
        self._drives = 0
        self._pump: Pump | None = None  # while venue time passes

    def now_ns(self) -> int:
        """Venue time."""
        return self.clock.now_ns()

    def poke(self) -> None:
        """Something may be due earlier than the pump thinks."""
        if self._pump is not None:
            self._pump.poke()

    async def pump(self) -> None:
        """Let venue time pass until cancelled."""
        loop = running_loop()
        epoch_ns = self.clock.now_ns() - self.clock.mono_ns()
        self._pump = Pump(loop.queue, self.venue.scheduler, loop.ready, epoch_ns=epoch_ns)
        self._pump.start()
        try:
            await loop.create_future()
        finally:
            self._pump.stop()
            self._pump = None

    async def drive(self, feed: Feed, rollover_s: float = 0.0) -> None:
        """Keep a feed connected until cancelled, or until it gives up."""
        self._drives += 1
        rng = Random(f"{self._seed}/{self._drives}/{feed.name}")
        doublings = -1
        while getattr(feed, "gives_up", None) is None:
            await asyncio.sleep(self._delay_s(feed, rng, doublings))
            links: list[_Link] = []
            opened_ns = self.now_ns()
            try:
                if await self._connect(feed, links):
                    opened_ns = await self._serve(feed, links, rollover_s)
            finally:
                for link in links:
                    link.finish("stopped")
            doublings = 0 if self.now_ns() - opened_ns >= STABLE_S * NS else doublings + 1

    async def _connect(self, feed: Feed, links: "list[_Link]") -> bool:
        """Make one more connection; False when the venue has no such endpoint."""
        link = _Link(self, feed)
        await asyncio.sleep(2 * self.latency_s)  # the handshake
        if link.open():
            links.append(link)
            return True
        return False

    async def _serve(self, feed: Feed, links: "list[_Link]", rollover_s: float) -> int:
        """Tick the feed until its last connection ends; returns when that one was opened."""
        opened_ns = self.now_ns()
        while True:
            current = links[-1]
            await current.wait(TIMER_S)
            feed.on_timer(self.now_ns())
            current.check()
            reason = feed.wants_reconnect or getattr(feed, "gives_up", None) or current.ended
            if reason is not None:
                feed.wants_reconnect = None
                for link in links:
                    link.finish(reason)
                return opened_ns
            due = rollover_s and self.now_ns() - opened_ns >= rollover_s * NS
            if due or getattr(feed, "wants_rollover", None) is not None:
                if hasattr(feed, "wants_rollover"):
                    feed.wants_rollover = None
                if await self._connect(feed, links):  # make before break
                    opened_ns = self.now_ns()
                    asyncio.get_running_loop().call_later(OVERLAP_S, current.finish, "rollover")
                    del links[:-2]

    def _delay_s(self, feed: Feed, rng: Random, doublings: int) -> float:
        if doublings < 0:
            return 0.0
        low, high = self._settings.backoff_min_s, self._settings.backoff_max_s
        ceiling = min(high, low * 2.0 ** min(doublings, MAX_DOUBLINGS))
        return rng.uniform(0.0, max(ceiling, float(getattr(feed, "retry_after_s", 0.0))))


class _Link:
    """One connection of one feed."""

    def __init__(self, network: MemoryNetwork, feed: Feed) -> None:
        self.feed = feed
        self.ended: str | None = None  # why the venue ended it
        self._network = network
        self._now_ns = network.clock.now_ns
        self._session: Session | None = None
        self._news = asyncio.Event()
        self._is_open = False
        self._queue = queue = running_loop().queue
        self._inbound = Line(queue, network.latency_s, self._deliver)
        self._outbound = Line(queue, network.latency_s, self._receive)

    def open(self) -> bool:
        """Complete the handshake; False when the venue has no such endpoint."""
        service, path_qs = _split(self.feed.url())
        now_ns = self._network.now_ns()
        self._session = self._network.venue.ws_open(service, path_qs, self._inbound.put, now_ns)
        if self._session is None:
            return False
        self._is_open = True
        self._network.poke()
        self.feed.on_open(self._outbound.put, now_ns)
        return True

    def finish(self, reason: str) -> None:
        """Tell both ends, once, that the connection is gone."""
        if self._session is not None:
            self._network.venue.ws_close(self._session)
            self._session = None
        if self._is_open:
            self._is_open = False
            self.feed.on_close(reason, self._network.now_ns())

    async def wait(self, seconds: float) -> None:
        """Wait for the next timer tick, or less when there is news."""
        timer = self._queue.plan(self._queue.now + seconds, self._news.set)
        await self._news.wait()
        timer.cancel()
        self._news.clear()

    def _deliver(self, texts: list[str]) -> None:
        """What the venue sent has arrived."""
        feed, now_ns = self.feed, self._now_ns()
        carried = self._network.carried
        for text in texts:
            if self._is_open:
                carried[feed.name] = carried.get(feed.name, 0) + 1
                feed.on_payload(text.encode(), now_ns)
                if feed.wants_reconnect is not None:
                    self._news.set()

    def _receive(self, texts: list[str]) -> None:
        """What the feed sent has arrived."""
        for text in texts:
            session = self._session
            if session is None:
                return
            self._network.venue.ws_text(session, text, self._network.now_ns())
            self._network.poke()
            self.check()

    def check(self) -> None:
        """Has the venue closed this session?"""
        if self._session is not None and self._session.close_reason is not None and self.ended is None:
            self.ended = f"closed: {self._session.close_reason}"
            self._news.set()


class MemoryHttp:
    """transport.HttpClient straight into the venue."""

    def __init__(self, network: MemoryNetwork, latency_s: float) -> None:
        self.network = self._network = network
        self._latency_s = latency_s
        self.requests = 0

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
        """Send one request; raises VenueUnavailable when it takes longer than timeout_s."""
        self.requests += 1
        network = self._network
        if before_write is not None:
            before_write()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self._latency_s)
                found = self._answer(method, url, headers or {}, body or b"")
                network.poke()
                answer = await _arrival(found) if isinstance(found, Withheld) else found
                await asyncio.sleep(self._latency_s)
        except TimeoutError:
            path = urlsplit(url).path
            raise VenueUnavailable(f"{method} {path}: no complete answer in {timeout_s} s") from None
        except ConnectionResetError:
            raise VenueUnavailable(f"{method} {urlsplit(url).path}: ConnectionResetError") from None
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status, lowered, answer.body)

    def route(self, method: str, url: str, headers: Mapping[str, str]) -> "MemoryRoute":
        """Prepare requests that may leave at once."""
        return MemoryRoute(self, method, url, headers)

    async def warm(self, url: str, timeout_s: float) -> int:
        """There are no connections."""
        return 0

    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse | Withheld:
        service, path_qs = _split(url)
        path, _, query = path_qs.partition("?")
        return self._network.venue.http(
            service,
            method,
            path,
            query,
            headers=dict(headers),
            body=body,
            now_ns=self._network.now_ns(),
        )


class MemoryRoute:
    """transport.Route of a client without sockets: always free; a request sets out when its answer is asked for."""

    def __init__(self, http: HttpClient, method: str, url: str, headers: Mapping[str, str]) -> None:
        self._http = http
        self._method, self._url = method, url
        self._headers = dict(headers)

    def begin(
        self, lines: bytes, body: bytes, *, timeout_s: float, before_write: BeforeWrite
    ) -> "_MemoryExchange":
        """Make the last check."""
        before_write()
        told = (line.split(": ", 1) for line in lines.decode().splitlines())
        whole, ask = {**self._headers, **dict(told)}, self._http.request
        return _MemoryExchange(lambda: ask(self._method, self._url, headers=whole, body=body, timeout_s=timeout_s))


class _MemoryExchange:
    """transport.Exchange over a request that was checked."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, HttpResponse]]) -> None:
        self._ask = ask

    async def answer(self) -> HttpResponse:
        """Ask now."""
        return await self._ask()


async def _arrival(withheld: Withheld) -> HttpResponse:
    """Wait for an answer as its fault says; raises ConnectionResetError, or waits until cancelled."""
    if withheld.is_reset:
        raise ConnectionResetError
    if withheld.after_s is None or withheld.response is None:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody answers this")
    await asyncio.sleep(withheld.after_s)
    return withheld.response


def _split(url: str) -> tuple[str, str]:
    """(service, path and query) of an in-memory address; raises VenueUnavailable for any other."""
    parts: Any = urlsplit(url)
    service, _, domain = (parts.hostname or "").partition(".")
    if domain != "sim" or service not in SERVICES:
        raise VenueUnavailable(f"no such host: {parts.hostname}")
    path = parts.path or "/"
    return service, f"{path}?{parts.query}" if parts.query else path
