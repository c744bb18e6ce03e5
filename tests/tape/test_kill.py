"""A recording process killed with -9 at any instant: all but the last entry is there, whole and in order.

The victims tell how many entries they have handed over, in memory they share with their killer.
"""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from tape.world import START_NS, manifest

import polybot.tape
from polybot.tape.packer import Packer
from polybot.tape.records import EntryKind
from polybot.tape.writer import TapeSettings

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


# The real command, whose every number given to an entry is told to its killer before the entry is written.
WITNESSED = """
import mmap, os, sys
from polybot.cli import main
from polybot.tape import packer

shared = mmap.mmap(os.open("told", os.O_RDWR), 8)

class Witnessed(packer.Numbering):
    def take(self):
        number = super().take()
        shared[:8] = number.to_bytes(8, "little")
        return number

packer.Numbering = Witnessed
sys.exit(main(sys.argv[1:]))
"""
# A venue that is quick to compute: the recorder is what is looked at.
LIGHT = (
    "venue.world.makers.count=1",
    "venue.world.makers.requote_ms=2000",
    "venue.world.makers.refresh_ms=4000",
    "venue.world.takers.noise_per_s=0.2",
    "venue.world.takers.informed_count=0",
    "venue.world.spot.trades_per_s=2",
    "venue.world.spot.bursts_per_s=1",
    "venue.world.spot.quotes_per_s=2",
)


def start(folder: Path, project_dir: Path, program: list[str], *settings: str) -> "subprocess.Popen[str]":
    """A command of polybot, in a folder of its own."""
    command = [sys.executable, *program, *settings, "record.keep_free_mb=0"]
    env = {**os.environ, "PYTHONPATH": str(project_dir)}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)


def record(folder: Path, project_dir: Path, *settings: str) -> "subprocess.Popen[str]":
    """The real recorder."""
    return start(folder, project_dir, ["-m", "polybot", "record"], *settings)


def killed_recording(folder: Path, project_dir: Path, *, after: int) -> int:
    """Record two intervals at once and kill the recorder once `after` entries were numbered; returns how many were."""
    (folder / "told").write_bytes(bytes(8))
    with (folder / "told").open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)
    program = ["-c", WITNESSED, "record"]
    settings = ("cycles=1", "intervals=[5m,15m]", "interval=15m", "venue.speed=60", "record.tail_mb=1", *LIGHT)
    with shared, start(folder, project_dir, program, *settings) as process:
        while int.from_bytes(shared[:8], "little") < after:
            with pytest.raises(subprocess.TimeoutExpired):  # it goes on
                process.wait(0.02)
        process.kill()
        process.communicate()
        return int.from_bytes(shared[:8], "little")


@pytest.mark.alone
@pytest.mark.parametrize("attempt", range(8 if os.environ.get("POLYBOT_HARD") else 1))
def test_the_real_recorder_of_several_markets_killed_loses_at_most_the_last_frame_and_is_sealed(
    tmp_path: Path, project_dir: Path, attempt: int
) -> None:
    told = killed_recording(tmp_path, project_dir, after=2_000 + 350 * attempt)
    folders = polybot.tape.find_tapes(tmp_path / "tapes")
    before = {path: list(polybot.tape.open(path).entries()) for path in folders}
    numbers = {entry.seq for entries in before.values() for entry in entries}
    first = min(entry.seq for entries in before.values() for entry in entries if entry.kind == EntryKind.FRAME)
    lost = set(range(first, told + 1)) - numbers
    assert lost <= {told}, f"of {told} entries {len(lost)} are on no tape"
    shared_feeds = [one.seq for entries in before.values() for one in entries if one.feed == 0 and one.kind == 1]
    for path, entries in before.items():
        tape = polybot.tape.open(path)
        assert tape.manifest["state"] == "interrupted"
        assert [damage.lost for damage in tape.damages] in ([], [0], [1])
        own = {entry.seq for entry in entries}
        begin = min(entry.seq for entry in entries if entry.kind == EntryKind.FRAME and entry.feed == 0)
        assert {seq for seq in shared_feeds if seq > begin} - own <= {told}  # and no frame is missing on one of them
    assert {tape.spec.interval for tape in map(polybot.tape.open, folders) if tape.spec} == {"5m", "15m"}
    events = {path: polybot.tape.open(path).events.tobytes() for path in folders}
    with start(tmp_path, project_dir, ["-m", "polybot", "import"], "source=tapes") as process:
        printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    assert printed.count("sealed as killed") == len(folders)
    for path in folders:
        tape = polybot.tape.open(path)
        assert tape.manifest["state"] == "killed"
        assert [entry.path for entry in path.parent.glob("*/tail-*")] == []
        assert (list(tape.entries()), tape.damages) == (before[path], ())
        assert tape.events.tobytes() == events[path]
        assert [gap.cause for gap in tape.gaps if gap.cause != "damage"][-1] == "killed"


@pytest.mark.alone
def test_the_real_recorder_of_several_intervals_ends_by_itself_after_its_cycles_with_whole_tapes(
    tmp_path: Path, project_dir: Path
) -> None:
    """A window of each interval; with POLYBOT_HARD three of each, every quote and trade of an ordinary venue.

    Beside them lies what a killed recorder left: it is sealed first.
    """
    left = Packer(tmp_path / "tapes", TapeSettings()).open("left", manifest())
    left.add(1, START_NS, feed=0, kind=EntryKind.FRAME, payload=b"{}")
    left.abandon()
    is_full = bool(os.environ.get("POLYBOT_HARD"))
    cycles, speed, world = (3, 20, ()) if is_full else (1, 60, LIGHT)
    words = ("interval=15m", "intervals=[5m,15m]", f"cycles={cycles}", f"venue.speed={speed}", "record.report_s=1")
    with record(tmp_path, project_dir, *words, *world) as process:
        printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    assert "record: left: sealed as killed: 1 entries, 1 tails packed" in printed
    found = [polybot.tape.open(path) for path in polybot.tape.find_tapes(tmp_path / "tapes")]
    assert [tape.manifest["state"] for tape in found if tape.name == "small"] == ["killed"]
    tapes = [tape for tape in found if tape.name != "small"]
    assert sorted(tape.spec.interval for tape in tapes if tape.spec) == ["15m"] * cycles + ["5m"] * cycles
    for tape in tapes:
        assert (tape.manifest["state"], tape.manifest["missing"], tape.damages) == ("complete", [], ())
        assert tape.strike is not None
        assert tape.outcome in (0, 1)
        assert tape.name in printed
        spec = tape.spec
        assert spec is not None
        assert tape.events["recv_ns"][0] < spec.start_ns < spec.end_ns < tape.events["recv_ns"][-1]
    assert f"done {2 * cycles}" in printed
