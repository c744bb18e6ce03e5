"""From a frame's bytes to the end of its step, without a signal, nothing is allocated: no Python object, no memory.

A child process counts what its loop's thread asks the allocator for, with Python's own allocator replaced by malloc
and all free lists emptied before: a single float that comes and goes at once is seen.
"""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LIMIT_S = 300.0  # nothing waits so long unless it is stuck
FRAMES, MARKET_FRAMES = 1_000, 140


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the child counted."""
    folder = tmp_path_factory.mktemp("counter")
    library = folder / "counter.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    subprocess.run(
        [*compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(TESTS / "allocation_counter.c")],
        check=True,
        timeout=LIMIT_S,
    )
    env = {**os.environ, "LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "PYTHONPATH": str(TESTS.parent)}
    done = subprocess.run(
        [sys.executable, str(TESTS / "allocation_child.py"), str(library)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_frames_of_both_feeds_ask_for_nothing_while_nothing_is_decided(counted: dict[str, int]) -> None:
    assert (counted["spot"], counted["market"]) == (counted["nothing"], counted["nothing"])


def test_what_was_counted_is_the_whole_road_with_strategies_asked_and_no_signal(counted: dict[str, int]) -> None:
    assert counted["messages"] == counted["logged"] == FRAMES + MARKET_FRAMES
    assert counted["trades"] > FRAMES // 10
    assert counted["block_reason"] == 0
    assert (counted["commands"], counted["orders"]) == (0, 0)
    assert counted["samples"] >= (FRAMES + MARKET_FRAMES) // 64  # what is timed for the latency table is among them


def test_an_object_for_every_frame_is_seen_even_one_that_a_free_list_takes_back(counted: dict[str, int]) -> None:
    assert counted["a list for every frame"] >= counted["nothing"] + FRAMES
    assert counted["a float for every frame"] > counted["nothing"]
