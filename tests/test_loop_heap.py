"""The collector keeps out of the way while a window is traded, and no leak goes unnoticed for it."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from polybot.config_loop import LoopConfig
from polybot.loop_heap import HeapKeeper, private_mb

MANY = 5_000
HOUR_NS = 3_600 * 10**9


class Ring:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


class World:
    """What a keeper sees of its process, set by hand."""

    def __init__(self, **changes: object) -> None:
        self.mb = 100.0
        self.ns = 0
        self.told: list[tuple[str, str]] = []
        settings = LoopConfig(**{"gc_young_count": 1_000, "gc_growth_mb": 64, "gc_thaw_h": 24.0, **changes})
        self.keeper = HeapKeeper(
            settings,
            tell=lambda level, text: self.told.append((level, text)),
            mono_ns=lambda: self.ns,
            memory_mb=lambda: self.mb,
        )


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.keeper.close()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def leave_a_ring() -> "weakref.ref[Ring]":
    ring = Ring()
    return weakref.ref(ring)


def test_after_the_warm_up_the_collector_is_off_and_what_exists_is_frozen(world: World) -> None:
    assert gc.isenabled()
    dead = leave_a_ring()
    world.keeper.settle()
    assert dead() is None  # what was garbage before is not kept for ever
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 1_000


def test_closing_gives_the_collector_back_as_it_was_found() -> None:
    world = World()
    gc.disable()
    try:
        keeper = World().keeper
        keeper.settle()
        keeper.close()
        assert not gc.isenabled()
    finally:
        gc.enable()
    world.keeper.close()
    assert gc.isenabled()  # one that never settled touches nothing


def test_garbage_of_a_window_waits_for_its_end_guard(world: World) -> None:
    world.keeper.settle()
    dead = leave_a_ring()
    _ = [[number] for number in range(MANY)]  # enough to have made Python collect
    assert dead() is not None
    world.keeper.collect()
    assert dead() is None
    assert not gc.isenabled()
    assert world.keeper.collections == 1
    assert world.told == []


def test_too_many_young_objects_turn_the_collector_on_until_the_next_end_guard(world: World) -> None:
    world.keeper.settle()
    assert world.keeper.watch()
    kept = [[number] for number in range(MANY)]
    assert not world.keeper.watch()
    assert gc.isenabled()
    ((level, text),) = world.told
    assert level == "WARNING"
    assert "loop.gc_young_count" in text
    assert not world.keeper.watch()
    assert world.keeper.alarms == 1  # it is on already
    world.keeper.collect()
    assert not gc.isenabled()
    assert world.keeper.watch()
    assert len(kept) == MANY


def test_too_many_young_objects_between_windows_are_collected_at_once(world: World) -> None:
    world.keeper.settle()
    dead = leave_a_ring()
    kept = [[number] for number in range(MANY)]
    assert world.keeper.watch(may_collect=True)
    assert dead() is None
    assert not gc.isenabled()
    assert world.told == []
    assert len(kept) == MANY


def test_memory_that_grows_turns_the_collector_on_and_it_stays_on_until_it_shrank(world: World) -> None:
    world.keeper.settle()
    world.mb = 163.0
    assert world.keeper.watch()
    world.mb = 165.0
    assert not world.keeper.watch()
    assert gc.isenabled()
    world.keeper.collect()
    assert gc.isenabled()  # collecting did not help
    world.keeper.collect()
    assert len(world.told) == 1
    assert "memory grew by 65 MB" in world.told[0][1]
    world.mb = 120.0
    world.keeper.collect()
    assert not gc.isenabled()
    world.mb = 165.0
    assert not world.keeper.watch()
    assert len(world.told) == 2  # a new trouble is told anew


def test_memory_that_grew_unseen_is_noticed_by_the_collection_of_an_end_guard(world: World) -> None:
    world.keeper.settle()
    world.mb = 500.0
    world.keeper.collect()
    assert gc.isenabled()
    assert "collecting did not help" in world.told[0][1]


def test_what_was_frozen_and_became_garbage_is_found_once_a_day(world: World) -> None:
    ring = Ring()
    dead = weakref.ref(ring)
    world.keeper.settle()
    del ring
    world.ns = 24 * HOUR_NS - 1
    world.keeper.collect()
    assert dead() is not None
    world.ns += 1
    world.keeper.collect()
    assert dead() is None
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 1_000
    again = Ring()
    dead = weakref.ref(again)
    world.keeper.collect()
    del again
    world.ns += 24 * HOUR_NS - 1
    world.keeper.collect()  # it was young and not frozen: every end guard finds it
    assert dead() is None


def test_collections_are_timed_and_the_longest_of_the_guards_is_kept() -> None:
    now_ms = iter((0, 7, 7, 10, 10, 13, 20, 20, 22))  # each collection first asks whether the frozen objects are due
    keeper = HeapKeeper(
        LoopConfig(), tell=lambda level, text: None, mono_ns=lambda: next(now_ms) * 1_000_000, memory_mb=lambda: 1.0
    )
    try:
        assert keeper.settle() == 7.0
        assert keeper.longest_ms == 0.0  # the warm-up's own is none of a window
        assert keeper.collect() == 3.0
        assert keeper.collect() == 2.0
        assert keeper.longest_ms == 3.0
    finally:
        keeper.close()


def test_memory_of_this_process_is_that_of_no_file() -> None:
    before = private_mb()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert 50.0 < private_mb() - before < 100.0
