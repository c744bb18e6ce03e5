"""A websocket server on loopback, in a process of its own, that sends frames made beforehand.

Owns the sockets of one round at a time: it waits until every wanted client has said that it begins, sends either as
fast as the sockets take it ("offer": links take turns, so that none is finished long before another) or one frame at
its time ("pace": each carries the moment of its sending), then closes.
What else clients say (subscriptions) is not looked at.
Started by the benches of receiving through bench.peer.Peer; run as a script it answers requests on stdin.
"""

import base64
import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from serving import serve

from bench.frame_stream import market_frames, packed, spot_frames

__all__ = ["Server", "bind"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAKERS = {"spot": spot_frames, "market": market_frames}
PIECE_BYTES = 64 << 10  # sent to one link before the next one's turn
CLOSE = b"\x88\x02\x03\xe8"  # 1000
HANDSHAKE_S = 60.0
GO = b"go"  # what a client says on each link when it has noted where it begins
NS = 1_000_000_000


class Server:
    """One listening socket and at most one round under way."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._made: dict[tuple[str, int, int], bytes] = {}
        self._round: threading.Thread | None = None
        self._trouble = ""

    def prepare(self, kind: str, count: int, start_ns: int) -> dict[str, int]:
        """Make the frames of one link; the same again costs nothing."""
        key = (kind, count, start_ns)
        if key not in self._made:
            self._made[key] = b"".join(map(packed, MAKERS[kind](count, start_ns)))
        return {"bytes": len(self._made[key])}

    def offer(self, links: list[list[object]], piece_bytes: int = PIECE_BYTES) -> dict[str, int]:
        """A round: wait for a client of each [kind, count, start_ns], by the kind in its path, and send them all."""
        blobs = {str(link[0]): self._made[str(link[0]), int(str(link[1])), int(str(link[2]))] for link in links}
        return self._begin(lambda: self._send_all(self._accept(set(blobs)), blobs, piece_bytes))

    def pace(self, count: int, per_s: float, epoch_ns: int, mono_ns: int) -> dict[str, int]:
        """A round of trades to one client of kind "spot", each stamped with the venue time of its sending, in ns."""
        return self._begin(lambda: self._send_paced(self._accept({"spot"})["spot"], count, per_s, epoch_ns - mono_ns))

    def ended(self) -> dict[str, str]:
        """Wait for the end of the round."""
        if self._round is not None:
            self._round.join()
        trouble, self._trouble = self._trouble, ""
        return {"trouble": trouble}

    def _begin(self, work: Callable[[], None]) -> dict[str, int]:
        self.ended()

        def guarded() -> None:
            try:
                work()
            except OSError as error:  # a client that left early: the bench hears of it
                self._trouble = str(error)

        self._round = threading.Thread(target=guarded, daemon=True)
        self._round.start()
        return {"port": self._listening.getsockname()[1]}

    def _accept(self, kinds: set[str]) -> dict[str, socket.socket]:
        found: dict[str, socket.socket] = {}
        while len(found) < len(kinds):
            link, _ = self._listening.accept()
            link.settimeout(HANDSHAKE_S)
            head = b""
            while b"\r\n\r\n" not in head:
                part = link.recv(4_096)
                if not part:
                    raise ConnectionResetError("a client left before it had said what it wants")
                head += part
            kind = head.split(b" ", 2)[1].decode().strip("/").split("/")[0]
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
            key = {name.lower(): value for name, value in fields.items()}["sec-websocket-key"]
            accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
            link.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            )
            found[kind] = link
        for link in found.values():
            _wait_for_go(link)
        return found

    def _send_all(self, links: dict[str, socket.socket], blobs: dict[str, bytes], piece_bytes: int) -> None:
        """Every link gets its share in each turn, so that all of them end together."""
        longest = max(map(len, blobs.values()))
        turns = max(1, longest // piece_bytes)
        for turn in range(turns):
            for kind, link in links.items():
                blob = blobs[kind]
                link.sendall(memoryview(blob)[len(blob) * turn // turns : len(blob) * (turn + 1) // turns])
        for link in links.values():
            _close(link)

    def _send_paced(self, link: socket.socket, count: int, per_s: float, offset_ns: int) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start_ns = time.monotonic_ns() + NS // 20
        for number in range(1, count + 1):
            due_ns = start_ns + int(number * NS / per_s)
            while (wait_ns := due_ns - time.monotonic_ns()) > 0:
                if wait_ns > 200_000:  # the last part is waited for awake
                    time.sleep((wait_ns - 150_000) / NS)
            stamp = time.monotonic_ns() + offset_ns
            link.sendall(
                packed(
                    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"100000.01000000",'
                    b'"q":"0.00100000","T":%d,"m":true,"M":true}}' % (stamp, number, stamp)
                )
            )
        _close(link)


def _wait_for_go(link: socket.socket) -> None:
    """Read the client's (masked, short) text frames up to its GO."""
    while True:
        size = _exactly(link, 2)[1] & 0x7F
        if size == 126:
            size = int.from_bytes(_exactly(link, 2), "big")
        mask, payload = _exactly(link, 4), _exactly(link, size)
        if bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload)) == GO:
            return


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the client has gone")
        data += part
    return data


def bind(cores: list[int]) -> None:
    """Run on these cores alone."""
    os.sched_setaffinity(0, cores)


def _close(link: socket.socket) -> None:
    """Say goodbye and wait until the client has gone."""
    link.sendall(CLOSE)
    link.shutdown(socket.SHUT_WR)
    while link.recv(4_096):
        pass
    link.close()


if __name__ == "__main__":
    server = Server()
    serve(prepare=server.prepare, offer=server.offer, pace=server.pace, ended=server.ended, bind=bind)
