"""The socket of a feed: connect, deliver, reconnect, roll over.

Owns websockets and nothing of their meaning: a `Feed` (sans I/O) says where to connect, what to send,
and when a socket that is alive carries no life (`wants_reconnect`).  Called by the daemon, one `run()`
task per feed.  Nothing queues: payloads go straight into the feed, where it has an inlet in C (_fast.listener).

Theory of operation.  At most two links exist: the current one, and during a planned rollover its
successor.  Both deliver; the feed drops what it has seen.  The old one goes OVERLAP_S after the new one
brought its first payload (make before break).
    connecting --handshake--> current          connecting --failure--> backoff --> connecting
    current --closed by anyone, wants_reconnect--> backoff --> connecting
    current --rollover_s old, wants_rollover--> current + successor --payload--> current (was successor)
Backoff is full jitter over min(max, min x 2^n), n the failures since a link last lived STABLE_S.
403 and 451 mean "not from here": that host is left alone for a while and the next one tried at once.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Protocol

from picows import (
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    ws_connect,
)

from polybot._fast.listener import FrameListener
from polybot.clock import Clock, SystemClock
from polybot.config import FeedsConfig
from polybot.transport import Feed

__all__ = ["Alarm", "Connection", "FeedWishes"]

NS = 1_000_000_000
TIMER_S = 0.25  # venue seconds between on_timer calls
STABLE_S = 10.0  # a link that lived so long forgives earlier failures
OVERLAP_S = 1.0  # what the old link still had on its way arrives in this time
BLOCKED_S = 600.0  # how long a host that refused our place is left alone
BLOCKED_STATUS = (403, 451)
MAX_HOSTS = 16  # how many times a feed is asked for another address in one attempt
MAX_DOUBLINGS = 20

Alarm = Callable[[str, str], None]  # code, text

_TEXT, _BINARY, _CONTINUATION, _CLOSE = (
    WSMsgType.TEXT,
    WSMsgType.BINARY,
    WSMsgType.CONTINUATION,
    WSMsgType.CLOSE,
)


class FeedWishes(Protocol):
    """What a feed may also have; each is read when present, after callbacks."""

    wants_rollover: str | None  # a reason: open a successor now, keep this link until it delivers
    gives_up: str | None  # a reason: do not connect again (bad credentials)
    retry_after_s: float  # spread the next attempt over so many venue seconds


class Connection:
    """Keeps one feed connected; its public attributes are facts for display."""

    def __init__(
        self,
        feed: Feed,
        clock: Clock,
        settings: FeedsConfig,
        *,
        rng: Random | None = None,
        rollover_s: float = 0.0,
        on_alarm: Alarm | None = None,
    ) -> None:
        """`rollover_s` venue seconds after which a link is replaced, 0 = never.

        `on_alarm(code, text)` is told of "host_blocked", "feed_callback" and "gave_up".
        """
        self.feed = feed
        self.connects = 0
        self.disconnects = 0
        self.failures = 0
        self.rollovers = 0
        self.callback_errors = 0
        self.last_reason = ""
        self._clock = clock
        self._settings = settings
        self._rng = rng or Random()
        self._rollover_ns = int(rollover_s * NS)
        self._on_alarm = on_alarm
        self._wake = asyncio.Event()
        self._links: set[_Link] = set()
        self._last_ns = 0  # last payload of the links that are gone
        self._watchers: dict[_Link, asyncio.Task[None]] = {}
        self._successor: _Link | None = None
        self._rolling: asyncio.Task[None] | None = None
        self._next_roll_ns = 0
        self._blocked_until_ns: dict[str, int] = {}
        self._doublings = -1  # -1: connect at once

    @property
    def connected(self) -> bool:
        """Is any socket up?"""
        return bool(self._links)

    @property
    def last_payload_ns(self) -> int:
        """When the last payload came over any link, venue ns; 0: none yet."""
        return max([self._last_ns, *(link.last_ns for link in self._links)])

    async def run(self) -> None:
        """Keep the feed connected until cancelled, or until the feed gives up.

        Never ends because of the peer or of an exception in a feed callback.
        """
        async with asyncio.TaskGroup() as group:
            try:
                while self._given_up() is None:
                    link = await self._open_until_connected(group)
                    await self._serve(link, group)
                self._alarm("gave_up", f"{self.feed.name}: {self._given_up()}")
            finally:
                self._drop_all("stopped")
                await asyncio.sleep(0)  # let the aborted sockets close

    async def _open_until_connected(self, group: asyncio.TaskGroup) -> "_Link":
        while True:
            await self._clock.sleep(self._delay_s())
            link = await self._open(group)
            if link is not None:
                return link

    async def _open(self, group: asyncio.TaskGroup) -> "_Link | None":
        """Try once; None when it failed (counted and classified)."""
        url, blocked = self._pick_url()
        if blocked:
            await self._clock.sleep(self._settings.backoff_max_s)
        link = _Link(self, self._clock, self._settings.max_frame_bytes)
        timeout_s = self._settings.connect_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await ws_connect(
                    link.accept,
                    url,
                    websocket_handshake_timeout=timeout_s,
                    max_frame_size=self._settings.max_frame_bytes,
                )
            if not link.opened_ns:  # picows calls it a success when the peer hangs up in the handshake
                raise ConnectionResetError("closed during the handshake")
        except asyncio.CancelledError:
            self._give_back(link)
            raise
        except (OSError, WSError) as error:  # TimeoutError is an OSError
            self._give_back(link)
            self._on_failure(url, error)
            return None
        self._watchers[link] = group.create_task(self._watch(link))
        return link

    def _give_back(self, link: "_Link") -> None:
        """Undo an attempt that may have got as far as on_open."""
        link.abort()
        self._finish(link, "handshake")

    async def _watch(self, link: "_Link") -> None:
        """Wait for the end of a link and say why it came."""
        reason = ""
        try:
            await link.wait_disconnected()
        except (OSError, WSError) as error:
            reason = f"protocol: {error}"
        self._finish(link, link.reason or reason or "aborted")

    async def _serve(self, link: "_Link", group: asyncio.TaskGroup) -> None:
        """Tick the feed until the current link is gone."""
        current = link
        while True:
            await self._wait()
            if current not in self._links:
                if self._successor not in self._links:
                    break
                assert self._successor is not None
                current, self._successor = self._successor, None
            self._guard(self.feed.on_timer)
            reason = self.feed.wants_reconnect or self._given_up()
            if reason is not None:
                self.feed.wants_reconnect = None
                self._drop_all(reason)
                break
            current = self._roll(current, group)
        self._stop_rolling()
        self._remember(current)

    async def _wait(self) -> None:
        """Wait for the next timer tick, or less when a link has news."""
        try:
            async with asyncio.timeout(self._clock.real_s(TIMER_S)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _roll(self, current: "_Link", group: asyncio.TaskGroup) -> "_Link":
        """Start, finish or retry a rollover; returns the link that is current afterwards."""
        now_ns = self._clock.now_ns()
        successor = self._successor
        if successor is not None:
            if successor not in self._links:
                self._successor = None
                self._next_roll_ns = now_ns + int(self._settings.backoff_max_s * NS)
                return current
            if not successor.first_ns or now_ns - successor.first_ns < OVERLAP_S * NS:
                return current
            self._successor = None
            self.rollovers += 1
            if hasattr(self.feed, "wants_rollover"):
                self.feed.wants_rollover = None
            current.close("rollover")
            return successor
        due = self._rollover_ns and now_ns - current.opened_ns >= self._rollover_ns
        wanted = due or getattr(self.feed, "wants_rollover", None) is not None
        if wanted and self._rolling is None and now_ns >= self._next_roll_ns:
            self._rolling = group.create_task(self._open_successor(group))
        return current

    async def _open_successor(self, group: asyncio.TaskGroup) -> None:
        link = await self._open(group)
        self._rolling = None
        self._successor = link
        if link is None:
            self._next_roll_ns = self._clock.now_ns() + int(self._settings.backoff_max_s * NS)
        self._wake.set()

    def _stop_rolling(self) -> None:
        if self._rolling is not None:
            self._rolling.cancel()
            self._rolling = None
        self._successor = None

    def _pick_url(self) -> tuple[str, bool]:
        """Ask the feed for an address that is not blocked; (address, are all of them blocked?)."""
        now_ns = self._clock.now_ns()
        url = self.feed.url()
        for _ in range(MAX_HOSTS):
            if self._blocked_until_ns.get(url, 0) <= now_ns:
                return url, False
            url = self.feed.url()
        return url, True

    def _delay_s(self) -> float:
        """Seconds before the next attempt: none the first time, then full jitter, or what the feed asks."""
        if self._doublings < 0:
            return 0.0
        low, high = self._settings.backoff_min_s, self._settings.backoff_max_s
        ceiling = min(high, low * 2.0 ** min(self._doublings, MAX_DOUBLINGS))
        asked = float(getattr(self.feed, "retry_after_s", 0.0))
        return self._rng.uniform(0.0, max(ceiling, asked))

    def _remember(self, link: "_Link") -> None:
        """Set the next backoff by how long the link lived."""
        lived_ns = self._clock.now_ns() - link.opened_ns
        self._doublings = 0 if lived_ns >= STABLE_S * NS else self._doublings + 1

    def _on_failure(self, url: str, error: Exception) -> None:
        self.failures += 1
        status = 0
        if isinstance(error, WSInvalidStatusError) and error.response is not None:
            status = int(error.response.status)
        if status in BLOCKED_STATUS:
            known = url in self._blocked_until_ns
            self._blocked_until_ns[url] = self._clock.now_ns() + int(BLOCKED_S * NS)
            self.last_reason = f"blocked {status}"
            if not known:
                self._alarm("host_blocked", f"{self.feed.name}: {url} answers {status}")
            return
        self._doublings += 1
        self.last_reason = f"status {status}" if status else f"{type(error).__name__}: {error}"

    def _drop_all(self, reason: str) -> None:
        for link in tuple(self._links):
            link.close(reason, graceful=False)
            self._finish(link, reason)

    def _finish(self, link: "_Link", reason: str) -> None:
        """Tell the feed, once, that a link is gone."""
        watcher = self._watchers.pop(link, None)
        if watcher is not None and watcher is not asyncio.current_task():
            watcher.cancel()
        link.let_go()
        if link not in self._links:
            return
        self._links.remove(link)
        self._last_ns = max(self._last_ns, link.last_ns)
        self.disconnects += 1
        self.last_reason = reason
        self._guard(self.feed.on_close, reason)
        self._wake.set()

    def _given_up(self) -> str | None:
        reason: str | None = getattr(self.feed, "gives_up", None)
        return reason

    def _guard(self, callback: Callable[..., None], *args: object) -> None:
        """Call a feed callback; whatever it raises is counted and told, never fatal."""
        try:
            callback(*args, self._clock.now_ns())
        except Exception as error:
            self.on_callback_error(error)

    def on_link_open(self, link: "_Link") -> None:
        """Register a link whose handshake is complete, and let the feed subscribe on it."""
        self._links.add(link)
        self.connects += 1
        self._guard(self.feed.on_open, link.send)

    def on_callback_error(self, error: Exception) -> None:
        """Count an exception of a feed callback; tell of the first of every thousand."""
        if self.callback_errors % 1_000 == 0:
            self._alarm("feed_callback", f"{self.feed.name}: {type(error).__name__}: {error}")
        self.callback_errors += 1

    def wake(self) -> None:
        """Look at the feed's wishes now instead of at the next tick."""
        self._wake.set()

    def _alarm(self, code: str, text: str) -> None:
        if self._on_alarm is not None:
            self._on_alarm(code, text)


class _Link:
    """One socket: what Python does for it; whole messages take the C road where the feed has an inlet."""

    def __init__(self, owner: Connection, clock: Clock, max_bytes: int) -> None:
        self._owner = owner
        self._feed = owner.feed
        self._now_ns = clock.now_ns
        stamp = clock.stamp() if isinstance(clock, SystemClock) else None
        # A feed that something stands before (a tape) shows no inlet: its messages come here.
        self._listener = FrameListener(self, clock.now_ns, stamp=stamp, inlet=getattr(owner.feed, "inlet", None))
        self._transport: WSTransport | None = None
        self._parts = bytearray()
        self._max_bytes = max_bytes
        self._closing = False
        self.opened_ns = 0
        self.reason = ""

    @property
    def first_ns(self) -> int:
        """When the first message came, 0: none yet."""
        return self._listener.first_ns

    @property
    def last_ns(self) -> int:
        """When the last message came, 0: none yet."""
        return self._listener.last_ns

    def accept(self, request: WSUpgradeRequest, response: WSUpgradeResponse) -> WSListener:
        """Give the connection its listener (picows asks a factory)."""
        return self._listener

    def on_connected(self, transport: WSTransport) -> None:
        """Handshake complete."""
        self._transport = transport
        self.opened_ns = self._now_ns()
        self._owner.on_link_open(self)

    def on_frame(self, frame: WSFrame) -> None:
        """Take a fragment or a closing frame; what is neither was answered by picows."""
        kind = frame.msg_type
        if kind is _TEXT or kind is _BINARY:
            self._parts = bytearray(frame.get_payload_as_bytes())
        elif kind is _CONTINUATION:
            self._on_continuation(frame)
        elif kind is _CLOSE:
            self.close(f"closed {frame.get_close_code().value}")

    def on_message(self, payload: bytes, recv_ns: int) -> None:
        """Deliver a message on the Python road; what the feed raises the listener catches."""
        try:
            self._feed.on_payload(payload, recv_ns)
        finally:
            self.look()

    def look(self) -> None:
        """A callback of the feed ran: has it a wish?"""
        if self._feed.wants_reconnect is not None:
            self._owner.wake()

    def on_error(self, error: Exception) -> None:
        """A message raised."""
        self._owner.on_callback_error(error)

    def send(self, text: str) -> None:
        """Send one text message; without effect once the link is closing."""
        if self._transport is not None and not self._closing:
            self._transport.send(_TEXT, text)

    def close(self, reason: str, *, graceful: bool = True) -> None:
        """Say goodbye and close; not graceful: do not wait for what is still to be sent."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        self.reason = reason
        self._transport.send_close()
        self._transport.disconnect(graceful)

    def let_go(self) -> None:
        """The link is over: take nothing more."""
        self._listener.let_go()

    def abort(self) -> None:
        """Drop the socket if there is one."""
        if self._transport is not None:
            self._transport.disconnect(False)

    async def wait_disconnected(self) -> None:
        """Wait for the end; raises what picows found wrong locally."""
        assert self._transport is not None
        await self._transport.wait_disconnected()

    def _on_continuation(self, frame: WSFrame) -> None:
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > self._max_bytes:
            self.close("message too big", graceful=False)
        elif frame.fin:
            whole, self._parts = bytes(self._parts), bytearray()
            self._listener.deliver(whole)
