"""What is kept for pages that come later: bounded, thinned to the last of each stretch, renewed with the daemon."""

import random

from polybot.telemetry.dashboard.history import COLUMNS, Curve, Events, History, Money, point
from tests.dashboard.made import START_NS, made_answer

NS = 1_000_000_000


def slow_thinning(rows, step_ms):
    """The last row of each stretch, over the whole list."""
    kept = {}
    for row in rows:
        kept[row[0] // step_ms] = row
    return list(kept.values())


def test_a_curve_keeps_the_last_row_of_each_stretch_and_no_more_than_allowed() -> None:
    draws = random.Random(7)
    for points in (60, 100, 600):
        curve = Curve(1_000_000, 1_360_000, points)
        at, rows = 1_000_000, []
        while at < 1_360_000:
            rows.append((at, draws.random()))
            at += draws.randrange(0, 2_000)
        for row in rows:
            curve.add(row)
        assert list(curve.rows) == slow_thinning(rows, curve.step_ms)
        assert len(curve.rows) <= points + 1


def test_a_curve_takes_no_row_of_the_past() -> None:
    curve = Curve(0, 60_000, 60)
    for row in ((5_000, 1.0), (4_000, 2.0), (5_500, 3.0)):
        curve.add(row)
    assert list(curve.rows) == [(5_500, 3.0)]


def test_money_stays_within_its_bound_for_ever_and_keeps_first_and_last() -> None:
    money = Money(100)
    for at in range(50_000):
        money.add((at * 500, at, -at, 0))
        assert len(money.rows) <= 101
    assert money.rows[0] == (0, 0, 0, 0)
    assert money.rows[-1] == (49_999 * 500, 49_999, -49_999, 0)
    times = [row[0] for row in money.rows]
    assert times == sorted(set(times))
    assert len(times) >= 50


def test_events_are_numbered_on_and_dropped_oldest_first() -> None:
    events = Events(3)
    events.add([{"seq": at} for at in range(5)])
    assert [event["seq"] for event in events.after(0)] == [2, 3, 4]
    assert [event["seq"] for event in events.after(4)] == [4]
    assert events.after(events.newest) == []


def test_a_point_has_the_quotes_that_are_there_and_nothing_for_those_that_are_not() -> None:
    answer = made_answer(40)
    market = answer["markets"][0]
    row = dict(zip(COLUMNS, point(market, answer["now_ns"]), strict=True))
    assert row["t_ms"] == START_NS // 10**6 + 100_000
    assert (row["spot"], row["fair_up"]) == (market["spot"], market["fair_up"])
    assert row["up_bid"] == market["up"]["bid_ticks"]
    market["up"]["bid_ticks"], market["strike"] = -1, 0.0
    row = dict(zip(COLUMNS, point(market, answer["now_ns"]), strict=True))
    assert (row["up_bid"], row["strike"]) == (None, None)


def test_windows_are_dropped_oldest_first_and_not_followed_after_their_end() -> None:
    history = History(windows=2, points=60, events=10)
    for number in range(4):
        answer = made_answer(10)
        answer["markets"][0]["slug"] = f"window-{number}"
        history.add(answer)
    assert list(history.curves()) == ["window-2", "window-3"]
    over = made_answer(130)
    over["markets"][0]["slug"] = "window-4"
    history.add(over)
    assert list(history.curves()) == ["window-2", "window-3"]


def test_another_process_begins_its_money_anew_and_another_session_its_curves_too() -> None:
    history = History(windows=5, points=60, events=10)
    history.add(made_answer(10))
    history.add(made_answer(11))
    history.add(made_answer(12, started_ns=5 * NS))
    assert len(history.money.rows) == 1
    (curve,) = history.curves().values()
    assert len(curve["t_ms"]) >= 1
    history.add(made_answer(13, session="other"))
    (curve,) = history.curves().values()
    assert len(curve["t_ms"]) == 1
    assert len(history.events.after(0)) == 4
