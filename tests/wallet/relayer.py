"""A relayer, a chain and a market directory on loopback, as far as the official client asks them something.

They keep what they were sent, so that a test can see which transaction would have happened, signed by whom.
Nothing of it is a proof about the real ones; shapes are those of the official client's models.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["FakeWorld", "serve"]

TRANSACTION_HASH = "0x" + "ab" * 32
BLOCK_S = 1_790_616_612
BALANCE_OF_BATCH = "0x4e1273f4"


@dataclass
class FakeWorld:
    """What the servers answer, and what they were asked."""

    market: Mapping[str, Any] = field(default_factory=dict)
    states: list[str] = field(default_factory=lambda: ["STATE_EXECUTED", "STATE_MINED", "STATE_CONFIRMED"])
    balances: tuple[int, int] = (0, 0)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    sent_raw: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    approved: int = 0  # what every approval that is asked for says
    submit_status: int = 200
    submit_error: str = ""

    def get(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
        self.asked.append(path)
        if path == "/markets/keyset":
            wanted = query.get("condition_ids", [])
            return 200, {"markets": [self.market] if self.market.get("conditionId") in wanted else []}
        if path == "/deployed":
            return 200, {"deployed": True}
        if path in ("/v1/account/transactions/params", "/relay-payload"):
            return 200, {"address": "0x" + "12" * 20, "nonce": "7"}
        if path.startswith("/v1/account/transactions/"):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            told = {"state": state, "transaction_id": "tx-1", "transaction_hash": TRANSACTION_HASH}
            return 200, {**told, "error_msg": "reverted" if state == "STATE_FAILED" else None}
        return 404, {"error": "not found"}

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        if path == "/submit":
            if self.submit_status != 200:
                return self.submit_status, {"error": self.submit_error}
            self.submitted.append(body)
            return 200, {"transactionID": "tx-1", "state": "STATE_NEW", "transactionHash": ""}
        answers = [
            {"jsonrpc": "2.0", "id": item["id"], "result": self._call(item["method"], item["params"])}
            for item in (body if isinstance(body, list) else [body])
        ]
        return 200, answers if isinstance(body, list) else answers[0]

    def _call(self, method: str, params: list[Any]) -> Any:
        self.asked.append(method)
        if method == "eth_chainId":
            return hex(137)
        if method == "eth_call" and not params[0]["data"].startswith(BALANCE_OF_BATCH):
            return f"0x{self.approved:064x}"
        if method == "eth_call":  # an array: offset, length, values
            words = (32, len(self.balances), *self.balances)
            return "0x" + "".join(f"{word:064x}" for word in words)
        if method == "eth_getTransactionReceipt":
            return {"status": "0x1", "transactionHash": TRANSACTION_HASH, "blockNumber": "0x10"}
        if method == "eth_sendRawTransaction":
            self.sent_raw.append(params[0])
            return TRANSACTION_HASH
        if method == "eth_getBlockByNumber":
            return {"timestamp": hex(BLOCK_S), "baseFeePerGas": "0x10", "number": "0x10"}
        return hex(100_000)


@contextmanager
def serve(world: FakeWorld) -> Iterator[str]:
    """Serve on a free loopback port; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            self._answer(*world.get(url.path, parse_qs(url.query)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            world.headers.append({name.upper(): value for name, value in self.headers.items()})
            self._answer(*world.post(urlsplit(self.path).path, body))

        def _answer(self, status: int, data: Any) -> None:
            text = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
