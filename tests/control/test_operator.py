"""The operator's acts on a whole run in virtual time: what they stop, what survives a restart, what status tells."""

import json

import pytest
from runs import QUIET, configure, rows, run

from polybot.config import default_config
from polybot.control.operator import Operator
from polybot.control.status_text import status_lines
from polybot.control.wire import encode

IDENTITY = {
    "version": "0",
    "pid": 1,
    "mode": "live",
    "venue": "sim",
    "asset": "btc",
    "interval": "5m",
    "risk": "standard",
    "account": "0xa",
    "session": "s",
}


def short_run(folder, *, during=(), state=None, kill_file=None, **changes):
    """The first minute and a half of a window whose quotes are late; `during` gets (operator, trader)."""
    config = configure(venue__makers="slow", venue__seed=4, **QUIET, **changes)
    made = []

    def prepare(trader, venue):
        made.append(Operator(trader, identity=IDENTITY, kill_file=kill_file))
        trader.on_beat = made[0].on_beat

    calls = [(at, lambda trader, venue, act=act: act(made[0], trader)) for at, act in during]
    stop = (120.0, lambda trader, _: trader.stop())
    return run(folder, config, prepare=prepare, during=[*calls, stop], state_dir=state)


def order_times(result):
    return sorted({int(row["ts_ms"]) for row in rows(result, "orders.csv") if row["state"] == "NEW"})


def test_a_halt_lets_no_order_through_until_it_is_resumed_and_a_restart_remembers_who_and_why(tmp_path):
    state, said = tmp_path / "state", []

    def halt(operator, trader):
        said.append((operator.halt("phone", "news"), operator.halts(), trader.losses.problem))

    def resume(operator, trader):
        said.append((operator.resume("desk"), operator.halts()))

    first = short_run(tmp_path / "a", state=state, during=[(45.0, halt)])
    still = short_run(tmp_path / "b", state=state)
    again = short_run(tmp_path / "c", state=state, during=[(50.0, resume)])
    free = short_run(tmp_path / "d", state=state)
    counts = [len(order_times(result)) for result in (first, still, again, free)]
    assert counts[:2] == [0, 0]
    assert counts[2] > 0
    halted = [result.trader.engine.risk.halted_manual for result in (first, still)]
    assert halted == [True, True]
    assert "halted: no" in free.console  # the resume was kept too
    assert said[0] == (
        "halted: no new orders, what rests is cancelled; `resume` lifts it",
        [{"kind": "manual", "by": "phone", "reason": "news"}],
        "",
    )
    assert said[1] == ("resumed", [])
    assert "operator: halt by phone: news" in first.console
    assert "operator: resumed by desk: no reason given" in again.console
    assert all(result.check.is_ok for result in (first, still, again, free))


def test_kill_stops_in_order_and_the_next_start_is_halted(tmp_path):
    state, kill = tmp_path / "state", (70.0, lambda operator, _: operator.kill("phone", "enough"))
    first = short_run(tmp_path / "a", state=state, during=[kill])
    next_start = short_run(tmp_path / "b", state=state)
    assert first.trader.stopping
    assert not first.summary.orders_may_be_open
    assert first.summary.settled == 0
    assert order_times(first)
    assert order_times(next_start) == []
    assert next_start.trader.engine.risk.halted_manual


def test_a_kill_file_does_what_kill_does_within_a_beat_and_its_first_line_is_the_reason(tmp_path):
    kill_file = tmp_path / "KILL"
    seen = []

    def write(operator, trader):
        kill_file.write_text("the cat is on the keyboard\nand more\n")

    def look(operator, trader):
        seen.append((trader.stopping, operator.halts()))

    result = short_run(
        tmp_path / "a", kill_file=kill_file, during=[(60.0, look), (60.05, write), (60.25, look)]
    )
    halted = {"kind": "manual", "by": "kill file", "reason": "the cat is on the keyboard"}
    assert seen[0] == (False, [])
    assert seen[1:] in ([], [(True, [halted])])  # the run may have ended before the second look
    assert result.trader.stopping
    assert "operator: halt by kill file: the cat is on the keyboard" in result.console
    assert kill_file.exists()


def test_acts_wait_for_the_first_beat(tmp_path):
    seen = []

    def prepare_only(operator, trader):
        seen.append(operator.is_ready)

    short_run(tmp_path / "a", during=[(0.0, prepare_only), (5.0, prepare_only)])
    assert seen == [False, True]


def test_a_resume_while_stopping_is_refused(tmp_path):
    said = []

    def both(operator, trader):
        operator.kill("phone", "")
        said.append(operator.resume("phone"))

    result = short_run(tmp_path / "a", during=[(60.0, both)])
    assert said == ["not resumed: the daemon is stopping"]
    assert result.trader.engine.risk.halted_manual


def test_flatten_halts_and_leaves_nothing_open(tmp_path):
    def flatten(operator, trader):
        assert "flattening" in operator.flatten("phone", "")

    seen = []
    during = [(80.0, flatten), (100.0, lambda operator, trader: seen.append(operator.status()))]
    result = short_run(tmp_path / "a", during=during)
    assert order_times(result)
    assert seen[0]["orders"]["count"] == 0
    assert [halt["kind"] for halt in seen[0]["halts"]] == ["manual"]
    assert result.check.is_ok


@pytest.fixture(scope="module")
def statuses(tmp_path_factory):
    """Status before the window, in it with something held, and its traders' own figures at that moment."""
    seen = []

    def look(operator, trader):
        held = sum(sum(market.shares) for market in trader.engine.markets.values())
        seen.append((operator.status(), trader.engine.risk.position_usd, held))

    folder = tmp_path_factory.mktemp("status")
    short_run(folder, during=[(10.0, look), (110.0, look)])
    return seen


def test_status_tells_what_the_engine_holds(statuses):
    before, _, _ = statuses[0]
    held, position_usd, shares = statuses[1]
    assert before["positions"] == {"count": 0, "shown": []}
    assert before["entries"]["open"]
    assert held["positions"]["count"] > 0
    assert sum(item["shares"] for item in held["positions"]["shown"]) == shares
    assert held["exposure"]["open_usd"] == position_usd
    assert all(item["mark_usd"] is not None for item in held["positions"]["shown"])
    assert held["feeds"]["spot"] < 5.0
    assert held["unredeemed_usd"] is None
    (window,) = held["why"]
    names = [one["name"] for one in window["strategies"]]
    assert sorted(names) == sorted(default_config().strategy)
    assert sum(one["orders"] for one in window["strategies"]) > 0
    assert any(one["denied"] for one in window["strategies"])
    assert any(one["miss"] for one in window["strategies"])


def test_status_is_strict_json_of_bounded_size_and_its_text_says_the_same(statuses):
    for status, _, _ in statuses:
        line = encode(status)
        assert len(line) < 64_000
        facts = json.loads(line)
        text = "\n".join(status_lines(facts))
        assert "mode live   venue sim   SIMULATED" in text
        assert "entries   open" in text
        assert f"positions {facts['positions']['count'] or 'none'}" in text
        for item in facts["positions"]["shown"]:
            assert item["slug"] in text
        for window in facts["why"]:
            for one in window["strategies"]:
                assert f"{one['name']:<18} signals {one['signals']}  orders {one['orders']}" in text


def test_the_text_names_halts_reasons_unknown_numbers_and_a_stop(statuses):
    facts = json.loads(encode(statuses[0][0]))
    facts |= {
        "halts": [{"kind": "manual", "by": "phone", "reason": "news"}, {"kind": "daily", "by": "risk", "reason": ""}],
        "stopping": True,
        "entries": {"open": False, "reason": "gateway paused: VENUE_DOWN"},
        "feeds": {"spot": None},
        "orders": {"count": 30, "shown": []},
        "positions": {"count": 1, "shown": [{"slug": "w", "outcome": "Up", "shares": 157_200, "cost_usd": -215_010_000,
                                             "mark_usd": 160_000}]},
        "pnl": {**facts["pnl"], "day_usd": -3},
    }  # fmt: skip
    text = "\n".join(status_lines(facts))
    for words in (
        "HALTED (manual) by phone: news",
        "HALTED (daily) by risk: no reason given",
        "STOPPING",
        "entries   closed: gateway paused: VENUE_DOWN",
        "spot never",
        "w  0.1572 Up  sold for $215.01 above cost  mark $0.16",
        "day +$0.00",
        "and 30 more: control.json=true",
        "why not   no window is open now",
    ):
        assert words in text
