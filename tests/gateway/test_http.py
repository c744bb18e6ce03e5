"""The real HTTP client against a real server on loopback: complete answers or VenueUnavailable."""

import asyncio
import queue
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from polybot.config import GatewayConfig
from polybot.errors import NotSent, VenueUnavailable
from polybot.gateway.http import LaneClient
from polybot.gateway.wire import MAX_BODY_BYTES
from polybot.transport import HttpResponse
from tests.test_review_findings_wire import make_certificate

Scenario = Callable[[LaneClient, str], Awaitable[None]]
GIVE_UP = web.AppKey("GIVE_UP", asyncio.Event)
SEEN: list[tuple[str, str, bytes, str | None]] = []
PATIENCE_S = 60.0  # nothing waits so long unless it is stuck


async def echo(request: web.Request) -> web.Response:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    SEEN.append(
        (request.method, request.path_qs, await request.read(), request.headers.get("POLY_SIGNATURE"))
    )
    return web.json_response({"port": peer[1]}, status=418, headers={"Retry-After": "3"})


async def silent(request: web.Request) -> web.Response:
    SEEN.append((request.method, request.path_qs, b"", None))
    await request.app[GIVE_UP].wait()
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"success":true')
    assert request.transport is not None
    request.transport.abort()
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(MAX_BODY_BYTES // 1_048_576 + 2):
        await response.write(bytes(1_048_576))
    return response


async def moved(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/echo"})


def with_server(scenario: Scenario) -> None:
    async def main() -> None:
        app = web.Application()
        app[GIVE_UP] = asyncio.Event()
        for path, handler in (
            ("/echo", echo),
            ("/silent", silent),
            ("/cut", cut),
            ("/endless", endless),
            ("/moved", moved),
        ):
            app.router.add_route("*", path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        client = LaneClient(GatewayConfig())
        try:
            await scenario(client, f"http://127.0.0.1:{port}")
        finally:
            app[GIVE_UP].set()
            await client.close()
            await runner.cleanup()

    SEEN.clear()
    asyncio.run(main())


def test_bytes_headers_and_status_pass_unchanged_over_one_warm_connection() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        body = b'{"a":1,"b":"\xc3\xa9"}'
        headers = {"POLY_SIGNATURE": "s=", "Content-Type": "application/json"}
        first = await client.request("POST", f"{base}/echo", headers=headers, body=body)
        again = await client.request("POST", f"{base}/echo", headers=headers, body=body)
        SEEN.pop(1)
        second = await client.request("DELETE", f"{base}/echo?next_cursor=MA%3D%3D&x=1", body=b"[]")
        assert first.status == second.status == 418
        assert first.body == again.body, "the same client port: the connection was kept"
        assert first.body != second.body, "a cancel has a connection of its own"
        assert first.headers["retry-after"] == "3"
        assert SEEN[0] == ("POST", "/echo", body, "s=")
        assert SEEN[1][0::2] == ("DELETE", b"[]")
        assert SEEN[1][1] in ("/echo?next_cursor=MA%3D%3D&x=1", "/echo?next_cursor=MA==&x=1")

    with_server(scenario)


def test_redirects_are_answers_and_not_followed() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        assert (await client.request("POST", f"{base}/moved", body=b"{}")).status == 302
        assert SEEN == []

    with_server(scenario)


@pytest.mark.parametrize(
    ("path", "words"), [("/silent", "no complete answer"), ("/cut", "/cut"), ("/endless", "BrokenAnswer")]
)
def test_no_complete_answer_is_unavailable(path: str, words: str) -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        with pytest.raises(VenueUnavailable, match=words):
            await client.request(
                "POST", f"{base}{path}?key=secret", body=b"{}", timeout_s=0.3 if path == "/silent" else PATIENCE_S
            )

    with_server(scenario)


def test_refused_connection_is_unavailable_and_says_neither_query_nor_headers() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        closed = base.rpartition(":")[0] + ":9"
        with pytest.raises(NotSent) as caught:
            await client.request(
                "GET", f"{closed}/data/orders?key=secret", headers={"POLY_PASSPHRASE": "secret"}
            )
        assert "secret" not in repr(caught.value)
        assert "/data/orders" in str(caught.value)
        assert caught.value.__cause__ is None

    with_server(scenario)


def test_what_before_write_raises_ends_the_request_unsent_and_leaves_the_connection_usable() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        def refuse() -> None:
            raise NotSent("too late")

        first = await client.request("POST", f"{base}/echo", body=b"{}")
        with pytest.raises(NotSent, match="too late"):
            await client.request("POST", f"{base}/echo", body=b"{}", before_write=refuse)
        called: list[int] = []
        second = await client.request("POST", f"{base}/echo", body=b"{}", before_write=lambda: called.append(1))
        assert len(SEEN) == 2
        assert called == [1]
        assert first.body == second.body

    with_server(scenario)


def test_a_cancel_does_not_wait_behind_places_that_hang() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        def places(count: int, timeout_s: float) -> list[asyncio.Future[HttpResponse]]:
            asked = [client.request("POST", f"{base}/silent", body=b"{}", timeout_s=timeout_s) for _ in range(count)]
            return [asyncio.ensure_future(one) for one in asked]

        hanging = places(GatewayConfig().connections, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S / 2):
            while len(SEEN) < len(hanging):
                await asyncio.sleep(0.001)
        behind = places(20, PATIENCE_S)
        answer = await client.request("DELETE", f"{base}/echo", body=b"{}", timeout_s=PATIENCE_S / 2)
        assert answer.status == 418
        assert not any(place.done() for place in hanging + behind)
        late = await asyncio.gather(*places(20, 0.05), return_exceptions=True)
        assert [type(error) for error in late] == [NotSent] * 20, "those never had a connection"
        for place in hanging + behind:
            place.cancel()
        await asyncio.gather(*hanging, *behind, return_exceptions=True)
        assert len(SEEN) == len(hanging) + 1

    with_server(scenario)


def test_warm_connections_are_there_before_the_first_order() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        assert await client.warm(f"{base}/echo", PATIENCE_S) == 6
        ports = [await client.request(method, f"{base}/echo") for method in ("POST", "DELETE", "GET") for _ in range(3)]
        assert len({answer.body for answer in ports}) == 3, "one warm connection of each lane was used"
        opened = sum(lane.opened for lane in client._lanes.values())
        assert opened == 6, "and none was opened anew"
        assert await client.warm(base.rpartition(":")[0] + ":9/time", PATIENCE_S) == 0

    with_server(scenario)


def test_client_can_be_closed_twice_and_used_again() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        await client.close()
        await client.close()
        assert (await client.request("GET", f"{base}/echo")).status == 418

    with_server(scenario)


def serve_tls(listener: socket.socket, pem: Path, heard: "queue.Queue[bytes]") -> None:
    """Answer a first request, then tell what arrives next."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener.settimeout(PATIENCE_S)
    raw, _ = listener.accept()
    raw.settimeout(PATIENCE_S)
    with context.wrap_socket(raw, server_side=True) as peer:
        for _ in range(2):
            said = b""
            while not said.endswith(b"\r\n\r\n{}"):
                said += peer.recv(1 << 16)
            heard.put(said)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_over_tls_too_the_request_arrives_while_the_loop_stands_still(
    loop: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = make_certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    heard: queue.Queue[bytes] = queue.Queue()

    async def scenario(url: str) -> None:
        client = LaneClient(GatewayConfig())
        try:
            assert (await client.request("POST", url, body=b"{}", timeout_s=PATIENCE_S)).status == 200
            heard.get(timeout=PATIENCE_S)
            route = client.route("POST", url, {"Content-Type": "application/json"})
            exchange = route.begin(b"POLY_TIMESTAMP: 1\r\n", b"{}", timeout_s=PATIENCE_S, before_write=lambda: None)
            arrived = heard.get(timeout=PATIENCE_S)  # blocks this thread: the loop does not turn
            assert b"\r\nPOLY_TIMESTAMP: 1\r\n" in arrived
            assert exchange is not None
            assert (await exchange.answer()).body == b"{}"
        finally:
            await client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_tls, args=(listener, pem, heard))
        thread.start()
        try:
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(scenario(f"https://localhost:{listener.getsockname()[1]}/order"))
        finally:
            thread.join(PATIENCE_S)
