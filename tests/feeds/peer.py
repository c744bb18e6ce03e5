"""A websocket server on loopback and a running Connection, for tests over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from polybot.clock import SystemClock
from polybot.feeds.connection import Connection

NS = 1_000_000_000
WAIT_S = 60.0  # nothing waits so long unless it is stuck
SPEED = 25.0  # venue seconds per wall second: the 250 ms timer ticks every 10 ms

Handler = Callable[["Peer", web.WebSocketResponse], Awaitable[None]]


class Record:
    """A list that can be awaited to reach a length."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self._news = asyncio.Event()

    def add(self, item: object) -> None:
        self.items.append(item)
        self._news.set()

    async def reach(self, count: int) -> list[object]:
        async with asyncio.timeout(WAIT_S):
            while len(self.items) < count:
                self._news.clear()
                await self._news.wait()
        return self.items


@dataclass
class Peer:
    """The server's side of the test."""

    handler: Handler
    sockets: Record = field(default_factory=Record)
    texts: Record = field(default_factory=Record)
    status: int = 0
    path: str = "/ws"
    server: TestServer | None = None

    @property
    def base(self) -> str:
        assert self.server is not None
        return f"ws://127.0.0.1:{self.server.port}"

    @property
    def url(self) -> str:
        return self.base + self.path

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.status:
            return web.Response(status=self.status, text="not from here")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        await self.handler(self, socket)
        return socket


async def echo_forever(peer: Peer, socket: web.WebSocketResponse) -> None:
    """Greet, then record what the client says."""
    await socket.send_str(f"greeting {len(peer.sockets.items)}")
    await listen(peer, socket)


async def listen(peer: Peer, socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            peer.texts.add(message.data)


@asynccontextmanager
async def peer_of(handler: Handler = echo_forever, status: int = 0, path: str = "/ws") -> AsyncIterator[Peer]:
    peer = Peer(handler, status=status, path=path)
    app = web.Application()
    app.router.add_get(path, peer.serve)
    peer.server = TestServer(app)
    await peer.server.start_server(shutdown_timeout=0.05)
    try:
        yield peer
    finally:
        await peer.server.close()


def clock(speed: float = SPEED) -> SystemClock:
    return SystemClock(1_790_000_000 * NS, asyncio.get_running_loop().time().__trunc__() * NS, speed)


@asynccontextmanager
async def running(connection: Connection) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(connection.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=WAIT_S)
        assert task.done()
