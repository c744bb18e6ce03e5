"""What the doctor says of the cores a run asks for: one that is not there, one that is shared, one that dozes."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polybot.config import default_config
from polybot.doctor import machine
from polybot.doctor.machine import check_cores
from polybot.doctor.verdict import FAIL, INAPPLICABLE, OK, WARN, Verdict


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of four cores whose clocks nothing governs; returns its folder of cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1, 2, 3})
    monkeypatch.setattr(machine, "CPUS", tmp_path)
    return tmp_path


def look(**loop: Any) -> Verdict:
    site: Any = SimpleNamespace(config=default_config(**{f"loop.{name}": value for name, value in loop.items()}))
    return asyncio.run(check_cores(site))


def test_nothing_asked_is_nothing_to_check() -> None:
    assert look().level == INAPPLICABLE


def test_a_core_that_is_not_there_fails_and_says_which_are() -> None:
    verdict = look(cores=[7])
    assert verdict.level == FAIL
    assert "loop.cores=[7]" in verdict.seen
    assert "(0, 1, 2, 3)" in verdict.seen
    assert "loop.cores=[3]" in verdict.fix


@pytest.mark.parametrize("more", [{}, {"other_cores": [0, 1]}, {"cores": [1], "other_cores": [0, 1]}])
def test_spinning_on_a_core_that_others_use_is_a_warning(more: dict[str, Any]) -> None:
    verdict = look(busy_spin=True, **more)
    expected = OK if more == {"other_cores": [0, 1]} else WARN  # there the loop's thread has 2 and 3 to itself
    assert verdict.level == expected


def test_a_core_of_its_own_is_well() -> None:
    verdict = look(busy_spin=True, cores=[2])
    assert (verdict.level, verdict.seen) == (OK, "the loop's thread on 2; the others on 0, 1, 3")


def test_a_clock_that_saves_power_is_a_warning_with_the_command_that_mends_it(four_cores: Path) -> None:
    governor = four_cores / "cpu2" / "cpufreq" / "scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    verdict = look(cores=[2])
    assert verdict.level == WARN
    assert verdict.fix == "cpupower -c 2 frequency-set -g performance"
    governor.write_text("performance\n")
    assert look(cores=[2]).level == OK
