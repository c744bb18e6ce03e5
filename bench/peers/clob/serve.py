"""The official order client of the venue with the HTTP library it brings: signs orders, and posts them to loopback.

Runs in its own environment (bench/peer.py asks it).  The key is the public test key of the recorded signing vectors.
CPU is this process's: the client is synchronous and has one thread; the venue is another process.
"""

import statistics
import time
from typing import Any

import httpcore._backends.sync
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import ApiCreds, OrderArgsV2, OrderType, PartialCreateOrderOptions
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2
from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.signer import Signer
from serving import serve

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
CHAIN_ID = 137
CREDENTIALS = ("6d9f8a0e-0000-4000-8000-000000000000", "A" * 43 + "=", "a" * 64)


class Desk:
    """One client, connected."""

    def __init__(self) -> None:
        self.client: ClobClient | None = None
        self.written_cpu_ns = 0
        self.written_ns = 0
        self._stamp_writes()

    def _stamp_writes(self) -> None:
        """Note after each write to the socket how much CPU was used so far."""
        stream = httpcore._backends.sync.SyncStream
        write = stream.write

        def stamped(inner: Any, buffer: bytes, timeout: float | None = None) -> None:
            write(inner, buffer, timeout)
            self.written_cpu_ns, self.written_ns = time.thread_time_ns(), time.perf_counter_ns()

        stream.write = stamped

    def open(self, url: str, token_id: str) -> None:
        """Log in at a venue and make one order, so that everything is asked, cached and connected."""
        self.token_id = token_id
        self.client = ClobClient(url, CHAIN_ID, key=KEY, creds=ApiCreds(*CREDENTIALS))
        self._order()

    def order(self, count: int, pause_s: float = 0.0) -> dict[str, Any]:
        """Medians over `count` orders, a pause before each: wall and CPU to the last byte in the socket, CPU in all."""
        costs = []
        for _ in range(count):
            time.sleep(pause_s)
            costs.append(self._order())
        names = ("wall_ns", "sent_cpu_ns", "whole_cpu_ns")
        return {name: statistics.median(cost[k] for cost in costs) for k, name in enumerate(names)}

    def _order(self) -> tuple[int, int, int]:
        assert self.client is not None
        ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        self.client.create_and_post_order(
            OrderArgsV2(token_id=self.token_id, price=0.52, size=10.0, side="BUY"),
            PartialCreateOrderOptions(tick_size="0.01", neg_risk=False),
            OrderType.FAK,
        )
        return self.written_ns - ns, self.written_cpu_ns - cpu_ns, time.thread_time_ns() - cpu_ns


def signed(order: dict[str, Any], contract: str) -> tuple[Any, Any]:
    """(signed order, hash) of one recorded order."""
    builder = ExchangeOrderBuilderV2(contract, CHAIN_ID, Signer(KEY, CHAIN_ID), generate_salt=lambda: order["salt"])
    data = data_of(order)
    made = builder.build_signed_order(data)
    return made, builder.build_order_hash(builder.build_order_typed_data(builder.build_order(data)))


def data_of(order: dict[str, Any]) -> OrderDataV2:
    """A recorded order as the client's own input."""
    return OrderDataV2(
        maker=order["maker"],
        tokenId=order["tokenId"],
        makerAmount=order["makerAmount"],
        takerAmount=order["takerAmount"],
        side=Side.BUY if order["side"] == "BUY" else Side.SELL,
        signer=order["signer"],
        signatureType=order["signatureType"],
        timestamp=order["timestamp"],
        metadata=order["metadata"],
        builder=order["builder"],
    )


def sign(orders: list[dict[str, Any]]) -> dict[str, Any]:
    """Order ids and signatures of orders, each with its exchange's address as `contract`."""
    found = [signed(order, order["contract"]) for order in orders]
    return {"hashes": [order_id for _, order_id in found], "signatures": [made.signature for made, _ in found]}


def time_signing(order: dict[str, Any], count: int) -> dict[str, Any]:
    """Wall ns of one order, built and signed; the builder is kept."""
    builder = ExchangeOrderBuilderV2(
        order["contract"], CHAIN_ID, Signer(KEY, CHAIN_ID), generate_salt=lambda: order["salt"]
    )
    data = data_of(order)
    builder.build_signed_order(data)
    start_ns = time.perf_counter_ns()
    for _ in range(count):
        builder.build_signed_order(data)
    return {"ns": (time.perf_counter_ns() - start_ns) / count}


if __name__ == "__main__":
    desk = Desk()
    serve(open=desk.open, order=desk.order, sign=sign, time_signing=time_signing)
