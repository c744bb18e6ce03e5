"""Logs for tests: a session with everything in it, and copies of a log with something changed."""

from collections.abc import Callable, Iterable
from pathlib import Path

from runs import QUIET, configure, run

from polybot._fast.event import EventKind, OperatorCode
from polybot.harness import Restart, VirtualRun
from polybot.replay.inputs import InputsLog, open_inputs
from polybot.sim.modes import Mode
from polybot.tape.manifest import MANIFEST_NAME, read_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import Entry
from polybot.tape.writer import TapeSettings

Change = Callable[[Iterable[Entry]], Iterable[Entry]]


def play(folder: Path, *, with_inputs: bool = True) -> VirtualRun:
    """Two 5m windows in virtual time: killed while it holds a position, stopped in order, halted twice, an outage."""

    def operator(code: OperatorCode):
        return lambda trader, _: trader.tell(EventKind.EV_OPERATOR, i=code)

    def outage(_, venue):
        venue.exchange.modes.begin(Mode.RESTARTING, 12.0, then_post_only_s=5.0)

    observed = {"engine__observe_report_s": 60.0, "strategy__cross_timeframe__enabled": True}
    config = configure(venue__makers="slow", venue__seed=4, run__markets=2, **observed, **QUIET)
    return run(
        folder,
        config,
        with_inputs=with_inputs,
        restarts=[Restart(70.0, down_s=2.0), Restart(230.0, down_s=3.0, is_kill=False)],
        during=[
            (62.0, operator(OperatorCode.OP_HALT)),  # kept over the kill
            (90.0, operator(OperatorCode.OP_RESUME)),
            (110.0, outage),
            (160.0, operator(OperatorCode.OP_HALT)),
            (170.0, operator(OperatorCode.OP_RESUME)),
        ],
    )


def rewrite(log: InputsLog, folder: Path, change: Change) -> InputsLog:
    """A copy of a log with other entries, every checksum right: as if it had been written so."""
    manifest = read_manifest(log.parts[0] / MANIFEST_NAME)
    packer = Packer(folder, TapeSettings())
    tape = packer.open("part-0001", manifest)
    for entry in change(log.entries()):
        tape.add(*entry[:2], feed=entry.feed, kind=entry.kind, aux=entry.aux, payload=entry.payload)
    tape.abandon()
    return open_inputs(folder)
