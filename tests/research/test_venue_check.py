"""The embedded venue against the recorded market: the figures themselves, and how they are measured."""

from dataclasses import replace

import pytest

from polybot.cli import load_config
from polybot.errors import ConfigError
from polybot.research.venue_check import measure, measured_config, run, table, tasks_of
from polybot.research.venue_facts import FACTS, Fact

WINDOWS = 200


@pytest.mark.alone
def test_every_figure_of_the_embedded_venue_is_within_a_quarter_of_the_recorded_one():
    """The ones the recording has, over 200 windows under the recording's rule."""
    config = measured_config(load_config(), rule="point")
    figures = measure(tasks_of(config, WINDOWS), workers=2)
    assert figures.windows == WINDOWS
    assert not figures.failures(), "\n" + table(figures)


def test_the_measured_world_is_the_default_one_but_for_what_is_named():
    config = load_config()
    measured = measured_config(config, rule="point").venue.world
    world = config.venue.world
    assert measured.takers == world.takers
    assert measured.oracle == world.oracle
    assert replace(measured.makers, ahead_s=world.makers.ahead_s) == world.makers
    same = replace(measured.spot, quotes_per_s=world.spot.quotes_per_s, history_h=world.spot.history_h)
    assert same == world.spot
    assert (measured.lifecycle.rule, measured.lifecycle.tick_change) == ("point", False)
    assert measured_config(config, rule="").venue.world.lifecycle.tick_change


def test_windows_follow_one_another_and_every_venue_has_its_own_seed():
    tasks = tasks_of(load_config(["venue.seed=7"]), 20)
    assert [task.windows for task in tasks] == [8, 8, 4]
    assert [task.seed for task in tasks] == [7, 8, 9]
    assert [task.start_s - tasks[0].start_s for task in tasks] == [0, 2_400, 4_800]
    assert tasks[0].start_s % 300 == 0


def test_the_command_prints_every_figure_and_fails_when_a_bound_one_is_too_far(capsys):
    words = ["research.windows=1", "research.workers=1", "venue.world.takers.noise_per_s=0.5"]
    assert run(load_config(words)) == 1
    shown = capsys.readouterr().out
    for fact in FACTS:
        assert f"\n{fact.name} " in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("prints ")]
    assert line.endswith("TOO FAR")
    assert "7 to 9.5" in line


def test_only_5m_windows_can_be_compared():
    with pytest.raises(ConfigError, match="interval=15m"):
        run(load_config(["interval=15m"]))


@pytest.mark.parametrize(
    ("fact", "value", "is_met"),
    [
        (Fact("x", "c", 1.0, 1.0), 1.25, True),
        (Fact("x", "c", 1.0, 1.0), 1.26, False),
        (Fact("x", "c", 1.0, 1.0), 0.74, False),
        (Fact("x", "per s", 7.0, 9.5), 5.3, True),
        (Fact("x", "per s", 7.0, 9.5), 11.9, False),
        (Fact("x", "%", 0.0, 0.0, slack=1.5), 1.4, True),
        (Fact("x", "%", 0.0, 0.0, slack=1.5), 1.6, False),
        (Fact("x", "c", 1.0, 1.0), float("nan"), False),
    ],
)
def test_a_figure_is_met_within_a_quarter(fact, value, is_met):
    assert fact.is_met(value) is is_met
