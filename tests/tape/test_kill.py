"""A recording process killed with -9 at any instant: all but the last entry is there, whole and in order.

The victims tell how many entries they have handed over, in memory they share with their killer.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import polybot.tape
from polybot._fast.event import EventKind
from polybot.tape.records import EntryKind

ROUNDS = 20

KILLER = """
import json, mmap, os, signal, sys
from pathlib import Path
from random import Random
sys.path[:0] = sys.argv[3].split(":")
from tape.world import START_NS, manifest
from polybot.tape.packer import Packer
from polybot.tape.writer import TapeSettings

home, rng = Path(sys.argv[1]), Random(int(sys.argv[2]))


def record_until_killed(folder, shared, seed):
    packer = Packer(folder, TapeSettings(tail_bytes=1 << 15, tails_count=64), sync_s=0.01)
    tape = packer.open("tape", manifest())
    packer.start()
    sizes = Random(seed)
    for number in range(1, 10_000_000):
        payload = number.to_bytes(8, "little") * sizes.randrange(1, 60)
        while not tape.add(number, START_NS + number, feed=0, kind=1, payload=payload):
            continue  # the disk is behind: the same one again
        shared[:8] = number.to_bytes(8, "little")


told = []
for number in range(int(sys.argv[4])):
    shared = mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        record_until_killed(home / str(number), shared, number)
    wanted = rng.randrange(1, 3_000)
    while int.from_bytes(shared[:], "little") < wanted:
        assert os.waitpid(child, os.WNOHANG)[0] == 0, "the recorder ended by itself"
        os.sched_yield()
    for _ in range(rng.randrange(2_000)):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told.append(int.from_bytes(shared[:], "little"))
print(json.dumps(told))
"""


def test_kill_at_any_instant_loses_at_most_the_last_entry(tmp_path: Path, project_dir: Path) -> None:
    seed = os.environ.get("POLYBOT_SEED", "20")
    path = f"{project_dir / 'tests'}:{project_dir}"
    command = [sys.executable, "-c", KILLER, str(tmp_path), seed, path, str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    blocks = damaged = 0
    for number, told in enumerate(json.loads(done.stdout)):
        tape = polybot.tape.open(tmp_path / str(number) / "tape")
        got = [entry for entry in tape.entries() if entry.kind == EntryKind.FRAME]
        numbers = [entry.seq for entry in got]
        assert numbers == list(range(1, len(numbers) + 1)), f"seed {seed} round {number}: missing in the middle"
        assert told <= len(numbers) <= told + 1, f"seed {seed} round {number}"
        again = Random(number)
        assert all(entry.payload == entry.seq.to_bytes(8, "little") * again.randrange(1, 60) for entry in got)
        assert [damage.lost for damage in tape.damages] in ([], [0], [1]), tape.damages
        assert tape.manifest["state"] == "interrupted"
        blocks += len(set(tape.frames["block"].tolist()))
        damaged += bool(tape.damages)
    assert blocks > 2 * ROUNDS
    assert damaged < ROUNDS


def record(folder: Path, project_dir: Path, *settings: str) -> "subprocess.Popen[str]":
    """The real command, in a folder of its own."""
    command = [sys.executable, "-m", "polybot", "record", "record.keep_free_mb=0", *settings]
    env = {**os.environ, "PYTHONPATH": str(project_dir)}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)


@pytest.mark.alone
def test_the_real_recorder_killed_in_a_window_leaves_a_tape_to_use(tmp_path: Path, project_dir: Path) -> None:
    with record(tmp_path, project_dir, "venue.speed=30", "record.report_s=0.2") as process:
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if " entries" in line and int(line.split(" entries")[0].rsplit(" ", 1)[1]) > 8_000:
                break
        os.kill(process.pid, signal.SIGKILL)
    (folder,) = polybot.tape.find_tapes(tmp_path / "tapes")
    tape = polybot.tape.open(folder)
    assert tape.manifest["state"] == "interrupted", seen
    assert [damage.lost for damage in tape.damages] in ([], [0], [1])
    assert len(tape.content) > 8_000
    assert tape.spec is not None
    assert tape.name == tape.spec.slug
    found = set(tape.events["kind"].tolist())
    assert {EventKind.EV_SPOT_TRADE, EventKind.EV_ORACLE_TWAP, EventKind.EV_BOOK_DELTA} <= found
    assert EventKind.EV_FEED_STATE in found


@pytest.mark.alone
def test_the_real_recorder_ends_by_itself_after_its_cycles_with_a_whole_tape(tmp_path: Path, project_dir: Path) -> None:
    with record(tmp_path, project_dir, "cycles=1", "venue.speed=40", "record.report_s=1") as process:
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    (folder,) = polybot.tape.find_tapes(tmp_path / "tapes")
    tape = polybot.tape.open(folder)
    assert (tape.manifest["state"], tape.damages) == ("complete", ())
    assert tape.strike is not None
    assert tape.outcome in (0, 1)
    assert "done 1" in printed
    assert tape.name in printed
