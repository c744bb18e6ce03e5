"""The last step of an order: from a signed body to bytes handed to the socket, and its answer read."""

import asyncio
from typing import Any

from polybot.config import GatewayConfig
from polybot.gateway.http import LaneClient
from polybot.gateway.wire import Wire

BODY = b'{"deferExec":false,"order":{' + b"x" * 800 + b"}}"
HEADERS = {
    "POLY_ADDRESS": "0x" + "a" * 40,
    "POLY_API_KEY": "k" * 36,
    "POLY_PASSPHRASE": "p" * 64,
    "POLY_TIMESTAMP": "1790616612",
    "POLY_SIGNATURE": "s" * 44,
    "Content-Type": "application/json",
}
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 180\r\n\r\n{"success":true' + b" " * 165
INNER = 100


class Peer:
    """A transport whose other end answers at once: no socket, no kernel."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)
        assert self.wire is not None
        self.wire.data_received(ANSWER)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        raise AssertionError("a good connection was dropped")


async def connected(client: LaneClient) -> Peer:
    """Give the client's lane of places one connection to a peer."""
    peer = Peer()
    peer.wire = Wire()
    peer.wire.connection_made(peer)  # type: ignore[arg-type]
    lane = client._lane("POST", "http://venue.test/order")
    lane._count = 1
    lane.release(peer.wire)
    return peer


def test_post_and_answer_without_the_kernel(budget: Any) -> None:
    loop = asyncio.new_event_loop()
    client = LaneClient(GatewayConfig())
    peer = loop.run_until_complete(connected(client))

    async def posts() -> None:
        for _ in range(INNER):
            await client.request("POST", "http://venue.test/order", headers=HEADERS, body=BODY)

    try:
        name = "POST written, answer read"
        budget(lambda: loop.run_until_complete(posts()), name=name, median_ns=90_000, inner=INNER)
        assert peer.written > INNER * len(BODY)
    finally:
        loop.close()
