"""`status --why`: what is told of a window, live or from its market.json, and how it reads on a terminal."""

import json
import math
import os

import pytest
from scenario import Scenario
from test_nearest_miss import Walker, look

from polybot._fast.state import GateCompare
from polybot.cli import load_config
from polybot.config import default_config
from polybot.control.past_windows import find_window
from polybot.control.why import describe_strategy, window_counts
from polybot.control.why_text import past_lines, why_lines
from polybot.errors import ConfigError
from tests.control.test_client import Acts, command, daemons

LEAST, MOST, FLAG = GateCompare.GATE_AT_LEAST, GateCompare.GATE_AT_MOST, GateCompare.GATE_FLAG
NEAR = {
    "gate": "edge",
    "value": 0.02712,
    "threshold": 0.03,
    "wanted": "at least",
    "passed": 1,
    "of": 5,
    "left_s": 123.4,
}
TAKER = {
    "name": "latency_arb",
    "enabled": True,
    "signals": 12,
    "orders": 3,
    "dropped": 0,
    "denied": {"COOLDOWN": 2, "HOUSE_SIDE": 7},
    "miss": {"gate": "move", "value": None, "threshold": 0.01, "wanted": "at most"},
    "nearest": NEAR,
}
IDLE = {"name": "mine", "enabled": True, "signals": 0, "orders": 0, "dropped": 0, "denied": {}, "miss": None}
LIVE = {
    "slug": "btc-updown-5m-1795338600",
    "left_s": 61.0,
    "blocked": "BOOK_CROSSED",
    "seconds": {"ASKED": 230.25, "BOOK_CROSSED": 8.0},
    "strategies": [TAKER, {**IDLE, "nearest": None}, {**IDLE, "name": "off", "enabled": False, "nearest": None}],
}
TEXT = """\
why not   btc-updown-5m-1795338600  61 s left   every entry blocked: BOOK_CROSSED
    time      ASKED 230.2 s, BOOK_CROSSED 8.0 s
    latency_arb        signals 12 = orders 3 + dropped 0 + denied 9
                       denied: HOUSE_SIDE 7, COOLDOWN 2
                       last look blocked by move: unknown, wanted at most 0.01
                       nearest miss edge: 0.02712, wanted at least 0.03 (1 of 5 gates passed, 123 s left)
    mine               signals 0 = orders 0 + dropped 0 + denied 0
                       nearest miss: none; it was never asked
    off                signals 0 = orders 0 + dropped 0 + denied 0   disabled
"""


class Knowing(Acts):
    """A daemon with one live window."""

    def status(self):
        return {**self.hello(), "why": [LIVE]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path.__class__("state")


def write(folder, slug, *, sessions=1, final=True, untold=0, outcome="Up", **changes):
    """A market.json as telemetry leaves it."""
    counts = {"seconds": LIVE["seconds"], "strategies": {"latency_arb": TAKER}}
    why = {"at": "2026-11-22T09:15:30Z", "final": final, **counts}
    one = {"opened": "2026-11-22T09:09:25Z", "finished": None, "why": why, "totals": {"untold": untold}, "rows_lost": 0}
    document = {"spec": {"slug": slug}, "outcome": outcome, **one, "earlier_sessions": [one] * (sessions - 1)}
    path = folder / "logs" / "5m" / slug / "market.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document | changes))
    return path


# -- what is told --------------------------------------------------------------------------------------------


def test_a_strategys_counts_and_misses_are_the_engines():
    strategy = Walker("walker")
    scenario = Scenario([strategy])
    scenario.warm()
    look(scenario, strategy, 21, (0, 0.5, 0.4, LEAST), (2, 0.03, 0.02, MOST))
    look(scenario, strategy, 22, (0, 0.3, 0.4, LEAST))
    facts = describe_strategy(scenario.market, scenario.market.stats(), strategy)
    assert facts["miss"] == {"gate": "g0", "value": 0.3, "threshold": 0.4, "wanted": "at least"}
    near = {"gate": "g2", "value": 0.03, "threshold": 0.02, "wanted": "at most", "passed": 1, "of": 4, "left_s": 279.0}
    assert facts["nearest"] == near
    scenario.risk.halt()
    look(scenario, strategy, 23, (0, 0.5, 0.4, LEAST))
    facts = describe_strategy(scenario.market, scenario.market.stats(), strategy)
    assert (facts["signals"], facts["orders"], facts["dropped"]) == (1, 0, 0)
    assert (facts["denied"], facts["miss"], facts["nearest"]) == ({"HALTED_MANUAL": 1}, None, near)


def test_numbers_that_json_does_not_know_are_none_in_market_json():
    strategy = Walker("walker")
    scenario = Scenario([strategy])
    scenario.warm()
    look(scenario, strategy, 21, (0, math.nan, math.inf, LEAST))
    told = json.loads(json.dumps(window_counts(scenario.market, [strategy]), allow_nan=False))
    near = told["strategies"]["walker"]["nearest"]
    assert (near["gate"], near["value"], near["threshold"]) == ("g0", None, None)
    assert told["strategies"]["walker"]["unasked"] == 0


# -- how it reads --------------------------------------------------------------------------------------------


def test_a_live_window_reads_as_the_page_shows_it():
    assert "\n".join(why_lines([LIVE])) + "\n" == TEXT
    assert why_lines([]) == ["why not   no window is open now"]


def test_a_yes_no_gate_needs_no_number_and_a_strategy_that_always_signalled_missed_nothing():
    flag = {"gate": "ask", "value": 0.0, "threshold": 1.0, "wanted": "yes"}
    strategies = [{**TAKER, "miss": flag, "nearest": None}]
    text = "\n".join(why_lines([{**LIVE, "strategies": strategies}]))
    assert "last look blocked by ask\n" in text
    assert text.endswith("nearest miss: none; every look made a signal")


def test_a_finished_window_shows_its_sessions_and_what_was_lost(tmp_path):
    path = write(tmp_path, "btc-updown-5m-1", sessions=2, untold=4)
    lines = past_lines(find_window(tmp_path / "logs", "btc"))
    assert lines[0] == "why not   btc-updown-5m-1  outcome Up"
    assert [line for line in lines if "counting from 0" in line] == [
        "    the process that joined it 2026-11-22T09:09:25Z, counting from 0:"
    ] * 2
    assert lines.count("    4 of these signals have no row in signals.csv: their records were lost on the way") == 2
    path.unlink()
    path.parent.rmdir()
    write(tmp_path, "btc-updown-5m-1", final=False, outcome=None)
    lines = past_lines(find_window(tmp_path / "logs", "btc"))
    assert lines[:2] == [
        "why not   btc-updown-5m-1  outcome unknown",
        "    counts as of 2026-11-22T09:15:30Z: later ones were not told (it still runs, or was killed)",
    ]


def test_a_file_of_an_older_version_says_that_it_holds_no_counts(tmp_path):
    write(tmp_path, "btc-updown-5m-1", why=None, earlier_sessions=[{"opened": "2026-11-22T09:09:25Z"}, "rubbish"])
    lines = past_lines(find_window(tmp_path / "logs", "btc"))
    assert sum("no counts" in line for line in lines) == 2


# -- which window --------------------------------------------------------------------------------------------


def test_of_several_windows_the_one_written_last_is_shown_and_the_others_are_counted(tmp_path):
    assert find_window(tmp_path / "logs", "") is None
    for place, slug in enumerate(("btc-updown-5m-2", "btc-updown-5m-1", "eth-updown-5m-9")):
        os.utime(write(tmp_path, slug), (1_000 + place, 1_000 + place))
    found = find_window(tmp_path / "logs", "btc-updown-5m-")
    assert (found.slug, found.others) == ("btc-updown-5m-1", 1)
    assert "    1 more begin so; this one was written last" in past_lines(found)
    assert find_window(tmp_path / "logs", "btc-updown-5m-2").others == 0
    assert find_window(tmp_path / "logs", "sol") is None


@pytest.mark.parametrize("content", ["", "[]", '{"spec": 5}', "\udc80"])
def test_a_file_that_is_no_market_json_is_named(folder, capsys, content):
    write(folder.parent, "btc-updown-5m-1").write_text(content, errors="surrogateescape")
    assert command("status", market="btc") == 1
    assert "control.market=btc: its file cannot be read" in capsys.readouterr().err


def test_why_shows_the_live_windows_alone_and_for_programs_as_json(folder, capsys):
    with daemons(folder, "aaaa", acts_like=Knowing):
        assert command("status", why=True) == 0
        assert capsys.readouterr().out == TEXT
        assert command("status", why=True, json=True) == 0
        assert json.loads(capsys.readouterr().out) == {"why": [LIVE]}


def test_a_window_that_is_live_is_asked_of_its_daemon_and_any_other_of_the_files(folder, capsys):
    write(folder.parent, "btc-updown-5m-1795338300")
    with daemons(folder, "aaaa", acts_like=Knowing):
        assert command("status", market="btc-updown-5m-17953386") == 0
        assert capsys.readouterr().out == TEXT
        assert command("status", market="btc-updown-5m-1795338600", json=True) == 0
        assert json.loads(capsys.readouterr().out) == {"why": [LIVE]}
        assert command("status", market="btc-updown-5m-17953383") == 0
        assert capsys.readouterr().out.startswith("why not   btc-updown-5m-1795338300  outcome Up\n")
        assert command("status", market="btc-updown-5m-4") == 1
        assert "no window that is live begins so, and none in logs" in capsys.readouterr().err
    with daemons(folder, "aaaa", "bbbb", acts_like=Knowing):
        assert command("status", market="btc-updown-5m-17953386") == 1  # which daemon is meant is not known
        capsys.readouterr()


def test_the_flag_is_the_setting_and_belongs_to_status():
    assert load_config(["status", "--why"]).control.why
    assert not default_config().control.why
    with pytest.raises(ConfigError, match="--why belongs to the command status"):
        load_config(["halt", "--why"])
    with pytest.raises(ConfigError, match="the beginning of a window's slug"):
        default_config(**{"control.market": "../../etc"})
