"""P7: CPU of a client per frame on a saturated loopback: ours with the whole engine, peers only receiving.

One process sends frames made beforehand as fast as the socket takes them; three clients, each in its own process,
receive the same bytes in turn.  Ours (bench/whole_client.py) decodes, prices, asks six strategies and keeps telemetry;
aiohttp and websockets count messages.  All run on uvloop; what is compared is the CPU time of the whole process, all
its threads and the kernel's work for it included, per frame.  The gate holds the engine alone, without the inputs log
(replay.record=false); with the log, which no peer writes, compressed and synced, the same ratios are reported: what
its thread put off is waited for.
"""

import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.event_stream import START_NS
from bench.gate import Gate
from bench.one_way import START_S
from bench.peer import Peer
from bench.timing import SHORT

HERE = Path(__file__).resolve().parent
STREAM_NS = START_NS + START_S * 1_000_000_000
# Frames of a round: three (five) tails of the inputs log full and hardly any more, so that the packing counts in full.
SPOT = 35_000 if SHORT else 58_000
BESIDE = 20_000  # ... with the market channel's beside them, as many of each as the real ones bring
MARKET = BESIDE * 70 // 145
AIOHTTP_TIMES, WEBSOCKETS_TIMES = 3.0, 10.0
ROUNDS = 7 if SHORT else 11
LOGGED_ROUNDS = 3 if SHORT else 7

Figure = Callable[[], float]


class Loopback:
    """The sending process and our client; `told` is what our last round told."""

    def __init__(self, server: Peer, ours: Peer) -> None:
        self.server, self.ours = server, ours
        self.told: dict[str, Any] = {}

    def figure(self, client: Peer, do: str, kinds: list[str], **fields: Any) -> Figure:
        """CPU ns per frame of one round of a client."""
        counts = {"spot": SPOT} if kinds == ["spot"] else {"spot": BESIDE, "market": MARKET}
        for kind in kinds:
            self.server.ask("prepare", kind=kind, count=counts[kind], start_ns=STREAM_NS)
        links = [[kind, counts[kind], STREAM_NS] for kind in kinds]
        wanted = sum(counts[kind] for kind in kinds)

        def one_round() -> float:
            port = self.server.ask("offer", links=links)["port"]
            told = client.ask(do, url=f"ws://127.0.0.1:{port}", paths=kinds, **fields)
            trouble = self.server.ask("ended")["trouble"]
            assert not trouble, trouble
            assert told["frames"] == wanted, f"{do}: {told}"
            if client is self.ours:
                assert told["errors"] == 0
                is_whole = not fields.get("objects") and len(kinds) == 1
                assert not is_whole or told["orders"] > 0, "spot left the book and nothing was decided"
                self.told = told
            return float(told["cpu_ns"]) / wanted

        return one_round


@pytest.fixture(scope="module")
def loopback() -> Iterator[Loopback]:
    python = Path(sys.executable)
    with (
        Peer("frame server", python=python, script=HERE / "frame_server.py") as server,
        Peer("ours", python=python, script=HERE / "whole_client.py") as ours,
    ):
        yield Loopback(server, ours)


@pytest.mark.parametrize(("library", "times"), [("aiohttp", AIOHTTP_TIMES), ("websockets", WEBSOCKETS_TIMES)])
def test_spot_frames_through_the_whole_engine_cost_less_than_only_receiving(
    gate: Gate, loopback: Loopback, library: str, times: float
) -> None:
    peer = gate.peer("P7", "ws")
    gate.paired(
        "P7",
        f"spot frame: whole engine vs {library} only receiving",
        ours=loopback.figure(loopback.ours, "receive", ["spot"], log=False),
        theirs=loopback.figure(peer, library, ["spot"]),
        at_least=times,
        planted=loopback.figure(loopback.ours, "receive", ["spot"], log=False, objects=True),
        rounds=ROUNDS,
    )
    logged, theirs = loopback.figure(loopback.ours, "receive", ["spot"]), loopback.figure(peer, library, ["spot"])
    ratio = statistics.median(theirs() / logged() for _ in range(LOGGED_ROUNDS))
    gate.report("P7", f"the same with the inputs log written, vs {library}", ratio, unit="x")


def test_what_books_beside_spot_cost_is_reported(gate: Gate, loopback: Loopback) -> None:
    """Books of 98 levels among the frames: decoding them is most of ours, and nothing the peers do."""
    peer, kinds = gate.peer("P7", "ws"), ["spot", "market"]
    ours = loopback.figure(loopback.ours, "receive", kinds)
    rounds = [(ours(), loopback.told["orders"]) for _ in range(3)]
    assert any(orders > 0 for _, orders in rounds), "in no round was the book, which comes beside, behind spot"
    figures = sorted(figure for figure, _ in rounds)
    gate.report("P7", "spot and market frames: whole engine, CPU per frame", figures[1], unit="ns")
    gate.report("P7", "of it on the loop's thread", loopback.told["loop_ns"] / loopback.told["frames"], unit="ns")
    gate.report("P7", "the same frames: aiohttp only receiving", loopback.figure(peer, "aiohttp", kinds)(), unit="ns")
