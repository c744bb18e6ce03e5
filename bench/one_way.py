"""How long a frame is under way: from the moment it is sent on loopback to the stamp of its receipt.

Owns one round of the paced loopback (bench/frame_server.py) against our client (bench/whole_client.py), each in a
process of its own; both read the same monotonic clock.  Must not judge: P14 is reported.
Called by bench_p14 and bench/trader_settings.py.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench.event_stream import START_NS
from bench.peer import Peer

__all__ = ["START_S", "OneWay", "one_way"]

HERE = Path(__file__).resolve().parent
START_S = 60  # of the window, when sockets are opened
NS = 1_000_000_000
PATIENCE_S = 60.0  # beyond the round itself; a client that hangs is an error, not a wait of minutes


class OneWay(NamedTuple):
    """Microseconds one way, of all frames of one round; the client's CPU as a share of one core."""

    p50_us: float
    p99_us: float
    frames: int
    cpu_frac: float


def one_way(
    *,
    frames_per_s: float = 1_000.0,
    seconds: float = 3.0,
    spin: bool = False,
    cores: tuple[int, ...] = (),
    server_cores: tuple[int, ...] = (),
    python_road: bool = False,
) -> OneWay:
    """One round; `spin`: the client's loop never sleeps, `cores` its affinity, `python_road`: not through C."""
    python = Path(sys.executable)
    with (
        Peer("frame server", python=python, script=HERE / "frame_server.py") as server,
        Peer("ours", python=python, script=HERE / "whole_client.py") as ours,
    ):
        for peer, bound in ((server, server_cores), (ours, cores)):
            if bound:
                peer.ask("bind", cores=list(bound))
        epoch_ns, mono_ns = START_NS + START_S * NS, time.monotonic_ns()
        port = server.ask(
            "pace", count=int(frames_per_s * seconds), per_s=frames_per_s, epoch_ns=epoch_ns, mono_ns=mono_ns
        )["port"]
        told = ours.ask(
            "one_way",
            timeout_s=seconds + PATIENCE_S,
            url=f"ws://127.0.0.1:{port}",
            epoch_ns=epoch_ns,
            mono_ns=mono_ns,
            spin=spin,
            python_road=python_road,
        )
        trouble = server.ask("ended", timeout_s=PATIENCE_S)["trouble"]
        assert not trouble, trouble
    return OneWay(told["p50_ns"] / 1e3, told["p99_ns"] / 1e3, told["frames"], told["cpu_frac"])
