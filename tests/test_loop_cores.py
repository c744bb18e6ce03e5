"""Cores that are not there are refused in one line; the loop's thread goes onto its own, the others stay off them."""

import os
import threading
from collections.abc import Callable

import pytest

from polybot.config import default_config
from polybot.config_loop import LoopConfig
from polybot.errors import ConfigError
from polybot.loop_cores import CoreBinding, choose_cores

FOUR = frozenset({0, 1, 2, 3})
HERE = frozenset(os.sched_getaffinity(0))


def in_a_thread(act: Callable[[], None]) -> None:
    """Affinity belongs to a thread: the test's own stays as it is."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for problem in problems:
        raise problem


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (LoopConfig(cores=(9,)), r"loop.cores=\[9\] is not allowed: must be of the cores .* \(0, 1, 2, 3\)"),
        (LoopConfig(cores=(1, 9, 8)), r"loop.cores=\[1, 9, 8\]"),
        (LoopConfig(other_cores=(4,)), r"loop.other_cores=\[4\]"),
        (LoopConfig(busy_spin=True, cores=(2,), other_cores=(2,)), "must not be the core that spins alone"),
    ],
)
def test_cores_that_cannot_be_had_are_refused(settings: LoopConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_cores(settings, FOUR)


def test_spinning_on_the_only_core_is_refused() -> None:
    with pytest.raises(ConfigError, match="busy_spin=true is not allowed: must be false where there is one core only"):
        choose_cores(LoopConfig(busy_spin=True), frozenset({3}))


@pytest.mark.parametrize("value", [[-1], [1024], ["a"], "2", [1.5], [True]])
def test_what_is_no_core_is_refused_with_the_settings(value: object) -> None:
    with pytest.raises(ConfigError, match=r"loop\.cores"):
        default_config(**{"loop.cores": value})


def test_a_policy_that_is_none_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"loop\.gc_policy=never is not allowed: must be one of window_end, python"):
        default_config(**{"loop.gc_policy": "never"})


def test_nothing_asked_for_binds_nothing() -> None:
    assert choose_cores(LoopConfig(), FOUR).loop == frozenset()
    assert choose_cores(LoopConfig(busy_spin=True), FOUR).others == frozenset()


def test_others_get_what_the_loops_thread_leaves() -> None:
    chosen = choose_cores(LoopConfig(cores=(2,)), FOUR)
    assert (chosen.loop, chosen.others) == ({2}, {0, 1, 3})
    chosen = choose_cores(LoopConfig(cores=(2,), other_cores=(0,)), FOUR)
    assert (chosen.loop, chosen.others) == ({2}, {0})
    chosen = choose_cores(LoopConfig(cores=(3,)), frozenset({3}))
    assert (chosen.loop, chosen.others) == ({3}, {3})


def test_threads_made_early_and_late_stay_off_the_loops_core() -> None:
    core = max(HERE)
    others = HERE - {core} or HERE
    seen: dict[str, object] = {}
    done = threading.Event()

    def made(name: str) -> threading.Thread:
        """A thread that tells where it began, and lives until the test is done."""
        begun = threading.Event()

        def work() -> None:
            seen[name] = frozenset(os.sched_getaffinity(0))
            begun.set()
            done.wait(60.0)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        begun.wait()
        return thread

    def act() -> None:
        binding = CoreBinding(LoopConfig(cores=(core,)))
        binding.begin()
        threads = [made("early")]
        binding.take()
        seen["loop"] = frozenset(os.sched_getaffinity(0))
        threads.append(made("late"))
        seen["moved"] = binding.tend()
        seen["late now"] = frozenset(os.sched_getaffinity(threads[1].native_id or 0))
        seen["moved again"] = binding.tend()
        binding.release()
        seen["after"] = frozenset(os.sched_getaffinity(0))
        done.set()
        for thread in threads:
            thread.join()

    in_a_thread(act)
    assert seen["early"] == others
    assert seen["loop"] == {core}
    assert seen["late"] == {core}  # inherited
    assert seen["late now"] == others
    assert seen["moved"] == int(len(HERE) > 1)
    assert seen["moved again"] == 0
    assert seen["after"] == HERE
    assert frozenset(os.sched_getaffinity(0)) == HERE


def test_a_core_that_is_not_there_keeps_a_binding_from_being_made() -> None:
    with pytest.raises(ConfigError, match="loop.cores"):
        CoreBinding(LoopConfig(cores=(1_023,)))
