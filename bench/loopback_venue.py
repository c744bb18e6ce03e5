"""A venue that answers at once and knows nothing: the other end of the socket for benches of sending orders.

Owns one HTTP/1.1 server on loopback in a process of its own, so that its work is not counted as the client's.  It
answers a login, and every POST /order with the same text: nothing matched, the order is killed.  It counts requests
and bytes of orders (GET /count).  Standard library only: peers in environments of their own post to it too.
Run as a script it prints its port and serves until its input ends.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["KILLED", "loopback_venue"]

CLOSE_S = 30.0
# What the venue says of a FAK order that met nothing; both clients take it as an orderly answer.
KILLED = {
    "success": False,
    "errorMsg": "no orders found to match with FAK order. FAK orders are partially filled or killed.",
    "orderID": "",
    "status": "",
}
ANSWERS: dict[str, object] = {
    "GET /version": {"version": 2},
    "GET /tick-size": {"minimum_tick_size": 0.01},
    "GET /neg-risk": {"neg_risk": False},
    "GET /geoblock": {"blocked": False, "ip": "203.0.113.1", "country": "IE", "region": "L"},
    "GET /auth/derive-api-key": {
        "apiKey": "6d9f8a0e-0000-4000-8000-000000000000",
        "secret": "A" * 43 + "=",
        "passphrase": "a" * 64,
    },
    "GET /auth/ban-status/closed-only": {"closed_only": False},
    "POST /order": KILLED,
}


class _Venue(asyncio.Protocol):
    """One connection."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:])
            whole = end + 4 + int(fields.get("content-length", "0"))
            if len(self._buffer) < whole:
                return
            self._answer(head[0].rpartition(" ")[0].partition("?")[0], whole)
            self._buffer = self._buffer[whole:]

    def _answer(self, route: str, size: int) -> None:
        assert self._transport is not None
        if route == "POST /order":
            self._counts["orders"] += 1
            self._counts["bytes"] += size
        told = {"GET /time": int(time.time()), "GET /count": self._counts}.get(route, ANSWERS.get(route))
        status = b"404 Not Found" if told is None else b"200 OK"
        body = json.dumps(told).encode()
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self._transport.write(head + body)


@contextlib.contextmanager
def loopback_venue() -> Iterator[str]:
    """A venue in a process of its own; yields its address."""
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.stdin.close()
        try:
            child.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


async def _serve() -> None:
    counts = {"orders": 0, "bytes": 0}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Venue(counts), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
