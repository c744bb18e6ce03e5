"""The embedded venue on real sockets: one loopback port per service, HTTP and websocket on each.

Owns sockets, the loop timer that lets venue time pass, and the queues towards the clients.  The venue
itself is sans I/O: this shell hands requests and messages in, and writes out what it sends.  Texts
wait in a queue per connection and leave in one go after each step of venue time; a client that lets
MAX_QUEUED texts pile up is cut off (4002), so memory stays bounded.
Ports are bound first, so that their addresses can be told before venue time begins.
Called by sim.child.
"""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from polybot.clock import Clock
from polybot.sim.faults import Withheld
from polybot.sim.path import NS
from polybot.sim.venue import SERVICES, Session, Venue

__all__ = ["VenueServer"]

HOST = "127.0.0.1"
BACKLOG = 128
STEP_S = 0.001  # wall: least time between two steps
SLICE_NS = NS  # venue time of one step at most, so that requests are answered while catching up
MAX_QUEUED = 200_000
PING_S = 20.0  # wall
MAX_MESSAGE_BYTES = 1 << 20
MAX_BODY_BYTES = 4 << 20
HOLD_S = 300.0  # wall: an answer that never comes keeps its connection at most so long
STOP_S = 2.0  # wall: clients get so long to say goodbye
SLOW = 4_002
POLICY = 1_008
ABNORMAL = 1_006  # never sent: the connection just ends
RESET = struct.pack("ii", 1, 0)  # SO_LINGER for 0 s: closing sends RST


class _Socket:
    """One websocket towards a client: its queue and the task that empties it."""

    def __init__(self, ws: web.WebSocketResponse, request: web.BaseRequest) -> None:
        self.ws = ws
        self._request = request
        self.session: Session | None = None
        self.queue: deque[str] = deque()
        self.wake = asyncio.Event()
        self.closing: tuple[int, str] | None = None

    def send(self, text: str) -> None:
        """Queue one text; it leaves at the next flush."""
        if len(self.queue) >= MAX_QUEUED:
            self.queue.clear()
            self.closing = (SLOW, "slow consumer")
        if self.closing is None:
            self.queue.append(text)

    def flush(self) -> None:
        """Wake the writer if there is anything to do."""
        session = self.session
        if self.closing is None and session is not None and session.close_reason is not None:
            self.closing = (_close_code(session.close_reason), session.close_reason)
        if self.queue or self.closing is not None:
            self.wake.set()

    async def write(self) -> None:
        """Write queued texts until closed."""
        queue, ws = self.queue, self.ws
        while True:
            await self.wake.wait()
            self.wake.clear()
            while queue:
                await ws.send_str(queue.popleft())
            if self.closing is not None:
                code, reason = self.closing
                if code == ABNORMAL:
                    _reset(self._request)
                    return
                await ws.close(code=code, message=reason.encode()[:120])
                return


class VenueServer:
    """Serves one venue; `urls` are known after bind()."""

    def __init__(self) -> None:
        self.urls: dict[str, Any] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._runners: list[web.ServerRunner] = []
        self._sockets: set[_Socket] = set()
        self._venue: Venue | None = None
        self._clock: Clock | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._stopping = asyncio.Event()

    def bind(self) -> None:
        """Take a free loopback port per service."""
        for service in SERVICES:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, 0))
            listener.listen(BACKLOG)
            listener.setblocking(False)
            self._listeners[service] = listener
        self.urls = _urls({name: item.getsockname()[1] for name, item in self._listeners.items()})

    async def start(self, venue: Venue, clock: Clock) -> None:
        """Serve; venue time follows the clock from now on."""
        assert self._listeners, "bind() first"
        self._venue, self._clock = venue, clock
        venue.info["urls"] = self.urls
        for service, listener in self._listeners.items():
            server = web.Server(self._handler(service), access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=STOP_S)
            await runner.setup()
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            self._runners.append(runner)
        self._step()

    async def stop(self) -> None:
        """Close every socket."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stopping.set()
        for item in list(self._sockets):
            item.closing = item.closing or (int(WSCloseCode.GOING_AWAY), "venue stops")
            item.wake.set()
        for runner in self._runners:
            await runner.cleanup()
        for listener in self._listeners.values():
            listener.close()

    def _handler(self, service: str) -> Any:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._serve_websocket(service, request)
            return await self._serve_http(service, request)

        return handle

    async def _serve_http(self, service: str, request: web.BaseRequest) -> web.StreamResponse:
        assert self._venue is not None
        assert self._clock is not None
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.Response(status=413)
        body = await request.read()
        url = request.rel_url
        answer = self._venue.http(
            service,
            request.method,
            url.raw_path,
            url.raw_query_string,
            headers=dict(request.headers),
            body=body,
            now_ns=self._clock.now_ns(),
        )
        self._after()
        if isinstance(answer, Withheld):
            return await self._withhold(answer, request)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _withhold(self, withheld: Withheld, request: web.BaseRequest) -> web.StreamResponse:
        """Answer late, or not at all; the end of the venue ends the waiting."""
        assert self._clock is not None
        answer, after_s = withheld.response, withheld.after_s
        if not withheld.is_reset:
            wait_s = HOLD_S if answer is None or after_s is None else self._clock.real_s(after_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        if withheld.is_reset or answer is None or after_s is None:
            _reset(request)
            return web.Response(status=500)  # goes nowhere
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _serve_websocket(self, service: str, request: web.BaseRequest) -> web.StreamResponse:
        assert self._venue is not None
        assert self._clock is not None
        ws = web.WebSocketResponse(compress=False, heartbeat=PING_S, max_msg_size=MAX_MESSAGE_BYTES)
        item = _Socket(ws, request)
        session = self._venue.ws_open(service, request.path_qs, item.send, self._clock.now_ns())
        if session is None:
            return web.Response(status=404)
        item.session = session
        writer: asyncio.Task[None] | None = None
        try:
            await ws.prepare(request)
            self._sockets.add(item)
            writer = asyncio.get_running_loop().create_task(item.write())
            item.flush()
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._venue.ws_text(session, message.data, self._clock.now_ns())
                    self._after()
        except ConnectionError:
            pass  # the client is gone, which is all there is to know
        finally:
            self._sockets.discard(item)
            self._venue.ws_close(session)
            if writer is not None:
                writer.cancel()
                await asyncio.wait([writer])
                if not writer.cancelled():
                    writer.exception()
        return ws

    def _step(self) -> None:
        """Let venue time pass up to now, in bounded slices."""
        assert self._venue is not None
        assert self._clock is not None
        self._timer = None
        now_ns = self._clock.now_ns()
        self._venue.advance(min(now_ns, self._venue.scheduler.now_ns + SLICE_NS))
        self._after()

    def _after(self) -> None:
        """Write what was sent, and set the timer for what comes next."""
        assert self._venue is not None
        assert self._clock is not None
        for item in self._sockets:
            item.flush()
        wait_s = self._clock.real_s((self._venue.next_ns() - self._clock.now_ns()) / NS)
        loop = asyncio.get_running_loop()
        due = loop.time() + max(wait_s, STEP_S)
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_at(due, self._step)


def _reset(request: web.BaseRequest) -> None:
    """Break the connection of a request without a goodbye."""
    transport = request.transport
    if transport is None:
        return
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()


def _close_code(reason: str) -> int:
    """Code of a close: the number a reason begins with, else a policy violation."""
    head = reason.partition(" ")[0]
    return int(head) if head.isdigit() and len(head) == 4 else POLICY


def _urls(ports: dict[str, int]) -> dict[str, Any]:
    """Addresses by the names that VenueConfig has for them, and the session's own page."""
    http = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    ws = {name: f"ws://{HOST}:{port}" for name, port in ports.items()}
    return {
        "clob_url": http["clob"],
        "gamma_url": http["gamma"],
        "market_ws_url": f"{ws['clob']}/ws/market",
        "user_ws_url": f"{ws['clob']}/ws/user",
        "rtds_url": ws["rtds"],
        "polybolt_url": f"{ws['polybolt']}/ws",
        "geoblock_url": f"{http['geoblock']}/api/geoblock",
        "spot_ws_urls": [ws["spot"]],
        "spot_rest_urls": [http["spot"]],
        "sim_url": http["sim"],
    }
