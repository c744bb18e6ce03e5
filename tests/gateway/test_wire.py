"""One connection: answers are framed as RFC 9112 says, and nothing out of turn is ever read as an answer."""

import asyncio
import select
import socket
import struct
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest
import uvloop

from polybot.config import GatewayConfig
from polybot.errors import VenueUnavailable
from polybot.gateway.http import LaneClient
from polybot.gateway.wire import MAX_BODY_BYTES, BrokenAnswer, _Answer
from polybot.transport import HttpResponse


def read(raw: bytes, *, cuts: list[int] | None = None) -> HttpResponse | None:
    answer, at, whole = _Answer(), 0, None
    for cut in [*(cuts or []), len(raw)]:
        told = answer.feed(raw[at:cut])
        whole = told or whole
        at = cut
    return whole


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n"
FORETASTE = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(("raw", "status", "body"), [
    (PLAIN, 200, b"hello"), (CHUNKED, 201, b"hello"), (FORETASTE, 200, b"hello"), (EMPTY, 204, b""),
    (b"HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n", 425, b""),
])  # fmt: skip
def test_answers_are_the_same_however_they_are_cut(raw: bytes, status: int, body: bytes) -> None:
    rnd = Random(raw[:12])
    for _ in range(300):
        cuts = sorted(rnd.sample(range(1, len(raw)), rnd.randrange(min(12, len(raw) - 1))))
        answer = read(raw, cuts=cuts)
        assert answer is not None
        assert (answer.status, answer.body) == (status, body)
    assert all(read(raw[:end]) is None for end in range(len(raw)))
    assert read(PLAIN).headers["x-a"] == "1, 2"  # type: ignore[union-attr]


@pytest.mark.parametrize("raw", [
    b"HTTP/2 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"HTTP/1.1 2x0 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSpace : 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n",
    b"x" * 70_000,
])  # fmt: skip
def test_what_is_no_honest_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        read(raw)
    assert MAX_BODY_BYTES < 99_999_999_999


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Coroutine[Any, Any, None]]


def with_peer(serve: Serve, scenario: Callable[[LaneClient, str], Coroutine[Any, Any, None]]) -> int:
    """Run a scenario against a peer that answers by hand; returns how many connections it saw."""
    connections = 0

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                for number in range(100):
                    await reader.readuntil(b"\r\n\r\n")
                    await serve(reader, writer, connections * 100 + number)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        client = LaneClient(GatewayConfig())
        try:
            await scenario(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/order")
        finally:
            await client.close()
            server.close()

    asyncio.run(main())
    return connections


def answer_of(number: int) -> bytes:
    body = str(number).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def until(ready: Callable[[], bool]) -> None:
    """Turns of the loop until it is ready."""
    async with asyncio.timeout(60.0):
        while not ready():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("is_late", [False, True])
def test_an_answer_told_twice_is_never_read_as_the_answer_to_the_next_order(is_late: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(answer_of(number) * (1 if is_late else 2))
        await writer.drain()
        if is_late:
            told.append(number)
            await asyncio.sleep(0.01)
            writer.write(answer_of(number))
            await writer.drain()

    told: list[int] = []

    async def scenario(client: LaneClient, url: str) -> None:
        first = await client.request("POST", url, body=b"")
        lane = next(iter(client._lanes.values()))
        await until(lambda: not any(wire.is_free for wire in lane._idle))
        second = await client.request("POST", url, body=b"")
        assert first.body != second.body

    assert with_peer(serve, scenario) == 2


def test_a_late_answer_of_a_request_given_up_is_not_read_as_the_next_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 100:
            await asyncio.sleep(0.15)
        writer.write(answer_of(number))
        await writer.drain()

    async def scenario(client: LaneClient, url: str) -> None:
        with pytest.raises(VenueUnavailable, match="no complete answer"):
            await client.request("POST", url, body=b"", timeout_s=0.05)
        assert (await client.request("POST", url, body=b"")).body == b"200"

    assert with_peer(serve, scenario) == 2


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_only_what_may_be_repeated_is_repeated_when_a_kept_connection_is_gone(method: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 101:
            writer.transport.abort()  # type: ignore[attr-defined]
            return
        writer.write(answer_of(number))
        await writer.drain()

    async def scenario(client: LaneClient, url: str) -> None:
        assert (await client.request(method, url)).body == b"100"
        if method == "POST":
            with pytest.raises(VenueUnavailable, match="ConnectionResetError"):
                await client.request(method, url)
        else:
            assert (await client.request(method, url)).body == b"200"

    assert with_peer(serve, scenario) == (1 if method == "POST" else 2)


END, WORD, RESET = "end", "word", "reset"


@pytest.mark.parametrize("news", [END, WORD, RESET])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nothing_is_written_on_a_kept_connection_with_news_that_nobody_has_read_yet(
    news: str, loop: Callable[[], Any]
) -> None:
    """The loop stands still from the news to the request: only the kernel knows."""

    def tell(peer: socket.socket) -> None:
        if news == END:
            peer.shutdown(socket.SHUT_WR)
        elif news == WORD:
            peer.sendall(answer_of(7))
        else:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

    async def scenario(listener: socket.socket, client: LaneClient) -> None:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/order"
        asking = asyncio.create_task(client.request("POST", url, body=b""))
        peer, _ = await asyncio.get_running_loop().sock_accept(listener)
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_recv(peer, 1 << 16)
        peer.sendall(answer_of(1))
        assert (await asking).body == b"1"
        lane = next(iter(client._lanes.values()))
        with peer:
            assert lane.free() is lane._idle[0]
            own = lane._idle[0].transport_socket()
            tell(peer)
            assert select.select([own], [], [], 60.0)[0]
            checks: list[int] = []
            route = client.route("POST", url, {})
            assert route.begin(b"", b"", timeout_s=60.0, before_write=lambda: checks.append(1)) is None
            assert checks == []
            assert (lane.idle, lane._count) == (0, 0)
        asking = asyncio.create_task(client.request("POST", url, body=b""))
        peer, _ = await asyncio.get_running_loop().sock_accept(listener)
        peer.setblocking(False)
        with peer:
            await asyncio.get_running_loop().sock_recv(peer, 1 << 16)
            peer.sendall(answer_of(2))
            assert (await asking).body == b"2"

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            client = LaneClient(GatewayConfig())
            try:
                await scenario(listener, client)
            finally:
                await client.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_a_write_that_raises_costs_its_connection_and_no_place_in_the_lane() -> None:
    async def scenario(client: LaneClient, url: str) -> None:
        assert (await client.request("POST", url, body=b"")).body == b"100"
        lane = next(iter(client._lanes.values()))
        wire = lane._idle[0]
        monkeypatch.setattr(wire, "begin", broken)
        route = client.route("POST", url, {})
        with pytest.raises(RuntimeError, match="after some bytes"):
            route.begin(b"", b"", timeout_s=60.0, before_write=lambda: None)
        assert (lane.idle, lane._count) == (0, 0)
        assert wire.transport_socket() is None

    def broken(request: bytes) -> None:
        raise RuntimeError("after some bytes")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(answer_of(number))
        await writer.drain()

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert with_peer(serve, scenario) == 1
