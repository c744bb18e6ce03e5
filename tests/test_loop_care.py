"""When a daemon's heap is collected, its cores are taken and it begins to spin: by the windows it trades."""

import asyncio
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from polybot.config import default_config
from polybot.config_loop import LoopConfig
from polybot.loop_care import WARM_S, LoopCare
from polybot.loop_cores import CoreBinding
from polybot.loop_heap import HeapKeeper

NS = 1_000_000_000
START_NS = 1_790_000_100 * NS
END_S = 300.0


@dataclass
class Window:
    """What is looked at of a market."""

    start_ns: int = START_NS
    end_ns: int = START_NS + 300 * NS
    observed: bool = False
    closed: bool = False
    spec: Any = field(default_factory=lambda: SimpleNamespace(slug="btc-updown-5m-1790000100"))


class Daemon:
    """One trader as the care for its loop sees it; seconds are relative to the window's start."""

    def __init__(self, **loop: object) -> None:
        config = default_config(**{f"loop.{name}": value for name, value in loop.items()})
        self.now_s = 10.0
        self.markets: dict[int, Window] = {0: Window()}
        self.entries = SimpleNamespace(closed_by="")
        self.told: list[tuple[str, str]] = []
        clock = SimpleNamespace(
            now_ns=lambda: START_NS + round(self.now_s * NS), mono_ns=lambda: 10**15 + round(self.now_s * NS)
        )
        trader: Any = SimpleNamespace(
            config=config,
            clock=clock,
            entries=self.entries,
            engine=SimpleNamespace(markets=self.markets),
            notice=lambda level, text: self.told.append((level, text)),
        )
        self.cores = CoreBinding(config.loop)
        self.has_beaten = True
        self.care = LoopCare(trader, self.cores, has_beaten=lambda: self.has_beaten)

    def beats(self, *seconds: float) -> list[float]:
        """A beat at each of these times; those at which the heap was collected."""
        collected = []
        for at_s in seconds:
            self.now_s = at_s
            before = self.care.heap.collections
            self.care.on_beat()
            if self.care.heap.collections > before:
                collected.append(at_s)
        return collected


@pytest.fixture
def made() -> Iterator[list[Daemon]]:
    daemons: list[Daemon] = []
    yield daemons
    for daemon in daemons:
        daemon.care.stop()
        daemon.cores.release()
    assert gc.isenabled()


def daemon_of(made: list[Daemon], **loop: object) -> Daemon:
    made.append(Daemon(**loop))
    return made[-1]


def test_the_heap_is_settled_when_entries_open_first(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.entries.closed_by = "user channel"
    daemon.beats(10.0, 11.0)
    assert not daemon.care.heap.is_settled
    daemon.entries.closed_by = ""
    daemon.beats(12.0)
    assert daemon.care.heap.is_settled
    assert not gc.isenabled()


def test_before_the_first_beat_nothing_is_known_of_entries_and_nothing_is_settled(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.has_beaten = False
    daemon.beats(10.0, 10.0 + 2 * WARM_S)
    assert not daemon.care.heap.is_settled
    daemon.has_beaten = True
    daemon.entries.closed_by = "user channel"
    daemon.beats(80.0, 80.0 + WARM_S - 0.1)
    assert not daemon.care.heap.is_settled
    daemon.beats(80.0 + WARM_S)
    assert daemon.care.heap.is_settled


def test_entries_that_stay_closed_end_the_warm_up_after_its_limit(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.entries.closed_by = "venue"
    daemon.beats(10.0, 10.0 + WARM_S - 0.1)
    assert not daemon.care.heap.is_settled
    daemon.beats(10.0 + WARM_S)
    assert daemon.care.heap.is_settled


def test_a_window_is_collected_once_in_its_end_guard_and_never_before(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.beats(10.0)
    collected = daemon.beats(*(second / 10 for second in range(110, 3_060)))
    assert collected == [297.0]  # guard of 5 s, its first 40 % are for the cancels


def test_every_window_is_collected_in_its_own_guard(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.beats(10.0)
    later = Window(start_ns=START_NS + 300 * NS, end_ns=START_NS + 600 * NS)
    assert daemon.beats(280.0, 298.0, 299.0) == [298.0]
    daemon.markets[1] = later
    daemon.markets[0].closed = True
    assert daemon.beats(310.0, 590.0, 596.9, 597.1, 599.9, 605.0) == [597.1]


def test_a_guard_that_was_missed_is_made_good_at_the_next_beat(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.beats(10.0)
    assert daemon.beats(290.0, 301.0, 302.0) == [301.0]


def test_windows_that_are_only_observed_and_windows_of_the_past_are_no_reason(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.markets[0].observed = True
    daemon.markets[1] = Window(start_ns=START_NS - 600 * NS, end_ns=START_NS - 300 * NS, closed=True)
    daemon.beats(10.0)
    assert daemon.beats(20.0, 298.0, 301.0) == []


def test_a_leak_during_a_window_is_told_and_outside_of_one_collected(made: list[Daemon]) -> None:
    daemon = daemon_of(made, gc_young_count=1_000, gc_watch_s=5.0)
    daemon.beats(10.0, 10.1)
    kept = [[number] for number in range(5_000)]
    assert daemon.beats(12.0, 15.0) == []  # not looked at yet
    assert daemon.told == []
    assert daemon.beats(15.2) == []
    assert gc.isenabled()
    assert [level for level, _ in daemon.told] == ["WARNING"]
    assert daemon.beats(298.0) == [298.0]
    assert not gc.isenabled()
    del daemon.markets[0]
    kept += [[number] for number in range(5_000)]
    assert daemon.beats(310.0) == [310.0]
    assert len(daemon.told) == 1
    assert len(kept) == 10_000


def test_the_interpreters_own_policy_touches_nothing(made: list[Daemon]) -> None:
    daemon = daemon_of(made, gc_policy="python")
    assert daemon.beats(10.0, 100.0, 298.0, 301.0) == []
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_stopping_gives_everything_back(made: list[Daemon]) -> None:
    daemon = daemon_of(made)
    daemon.beats(10.0)
    daemon.care.stop()
    assert gc.isenabled()
    daemon.beats(298.0)  # a beat that was on its way
    assert gc.isenabled()
    assert daemon.care.heap.collections == 0


def test_spinning_and_cores_begin_with_the_end_of_the_warm_up(made: list[Daemon], monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1})
    placed: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, cores: placed.append(set(cores)))
    daemon = daemon_of(made, busy_spin=True, cores=[1])
    daemon.cores.begin()
    assert placed == [{0}]

    async def live() -> None:
        daemon.entries.closed_by = "user channel"
        daemon.beats(10.0)
        assert not daemon.care.spin.is_on
        assert placed == [{0}]
        daemon.entries.closed_by = ""
        daemon.beats(11.0)
        assert daemon.care.spin.is_on
        assert placed == [{0}, {1}]
        daemon.care.stop()

    asyncio.run(live())
    assert not daemon.care.spin.is_on
    daemon.cores.release()
    assert placed[-1] == {0, 1}


def test_settings_of_the_loop_have_their_defaults(made: list[Daemon]) -> None:
    settings = default_config().loop
    assert settings == LoopConfig()
    assert (settings.busy_spin, settings.cores, settings.gc_policy) == (False, (), "window_end")
    assert HeapKeeper is type(daemon_of(made).care.heap)
