"""P9: from the event that makes an order to its bytes in the socket, beside the official client with its HTTP library.

One run end to end: engine with six strategies, runner, gateway (checks, hash, signature), journal, request, and the
write into a real loopback socket, as the daemon is wired; the venue is a process of its own.  Theirs: make, sign and
post the same kind of order to a venue of the same kind, with the same curve library under it.  Compared is CPU of the
thread that does it, up to the return of the write of the last byte to the socket, stamped alike.  Both begin warm:
connected, logged in, everything cached.  Orders one after the other keep the processor's caches warm, which a market
does not: the figures of orders with a pause before each are reported beside.
"""

import json
import statistics
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.gate import Gate
from bench.loopback_venue import loopback_venue
from bench.send_desk import Cost, SendDesk

ORDERS = 20
WARM_UP = 30
COLD_ORDERS = 12
PAUSE_S = 0.05  # long enough for the caches to be somebody else's


@pytest.fixture
def venue() -> Iterator[str]:
    with loopback_venue() as url:
        yield url


@pytest.fixture
def desk(venue: str, tmp_path: Path) -> Iterator[SendDesk]:
    made = SendDesk(venue, tmp_path)
    for _ in range(WARM_UP):
        made.order()
    yield made
    made.close()


def typical(costs: list[Cost]) -> Cost:
    """Medians of each figure."""
    return Cost(*(statistics.median(figures) for figures in zip(*costs, strict=True)))


def test_an_order_leaves_for_a_fraction_of_the_official_clients_work(
    gate: Gate, desk: SendDesk, venue: str
) -> None:
    peer = gate.peer("P9", "clob")
    wholes: list[tuple[float, float]] = []
    with loopback_venue() as their_venue:
        peer.ask("open", url=their_venue, token_id=desk.scenario.spec.token_up)

        def theirs() -> float:
            told = peer.ask("order", count=ORDERS)
            wholes.append((told["whole_cpu_ns"], typical([desk.order() for _ in range(ORDERS)]).whole_cpu_ns))
            return float(told["sent_cpu_ns"])

        gate.paired(
            "P9",
            "decided event to bytes in the socket, CPU, against py-clob-client-v2 with httpx",
            ours=lambda: typical([desk.order() for _ in range(ORDERS)]).cpu_ns,
            theirs=theirs,
            at_least=4.0,
        )
        told = peer.ask("order", count=COLD_ORDERS, pause_s=PAUSE_S)
        cold = typical([desk.order(pause_s=PAUSE_S) for _ in range(COLD_ORDERS)])
    gate.report("P9", f"the same, {PAUSE_S * 1e3:.0f} ms apart", told["sent_cpu_ns"] / cold.cpu_ns, unit="x")
    ratio = statistics.median(their / our for their, our in wholes)
    gate.report("P9", "the same with the answer read and booked, times less CPU than theirs", ratio, unit="x")
    with urllib.request.urlopen(f"{venue}/count", timeout=60.0) as answer:
        assert json.load(answer)["orders"] >= desk.written > 0


def test_how_long_an_order_takes_from_its_event_to_the_socket(gate: Gate, desk: SendDesk) -> None:
    costs = [desk.order() for _ in range(10 * ORDERS)]
    cold = typical([desk.order(pause_s=PAUSE_S) for _ in range(COLD_ORDERS)])
    gate.report("P9", "decided event to bytes in the socket, wall", typical(costs).wall_ns, unit="ns")
    gate.report("P9", "decided event to bytes in the socket, CPU", typical(costs).cpu_ns, unit="ns")
    gate.report("P9", f"the same CPU, {PAUSE_S * 1e3:.0f} ms apart", cold.cpu_ns, unit="ns")
