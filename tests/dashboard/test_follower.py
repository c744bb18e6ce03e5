"""A daemon that is followed: numbered looks, gone and back, last words, odd answers; and which one a page means."""

import asyncio

from polybot.clock import wall_clock
from polybot.config_dashboard import DashboardConfig
from polybot.telemetry.dashboard.follower import Follower
from polybot.telemetry.dashboard.hub import Hub
from tests.dashboard.made import MadeSource, made_answer

SETTINGS = DashboardConfig(watch_ms=100, looks_count=3, daemons_count=2)
LIMIT_S = 60.0


def follower(source=None, name="one"):
    return Follower(name, source or MadeSource(), SETTINGS, wall_clock())


def test_looks_are_numbered_and_the_last_are_kept() -> None:
    one = follower()
    for step in range(5):
        one.on_answer(made_answer(step))
    assert one.newest.number == 5
    assert [one.look(number) is not None for number in range(1, 6)] == [False, False, True, True, True]
    assert one.look(4).answer == made_answer(3)


def test_it_is_gone_from_the_first_moment_it_does_not_answer_until_it_does() -> None:
    one = follower()
    assert not one.is_live
    one.on_answer(made_answer(1))
    assert one.is_live
    one.on_gone("no daemon runs")
    since = one.gone_ms
    one.on_gone("still none")
    assert (one.gone_ms, one.gone_why) == (since, "no daemon runs")
    assert one.newest.number == 1
    one.on_answer(made_answer(2))
    assert (one.is_live, one.gone_why) == (True, "")


def test_a_last_word_brings_its_events_and_says_whether_orders_may_be_open() -> None:
    for may_be_open, words in ((False, "it ended in order"), (True, "ORDERS MAY BE OPEN")):
        one = follower()
        one.on_answer(made_answer(1))
        event = {"seq": 9, "kind": "stop", "text": "the end"}
        one.on_answer({"ok": True, "ended": True, "orders_may_be_open": may_be_open, "events": [event]})
        assert not one.is_live
        assert words in one.gone_why
        assert one.history.events.after(0)[-1] == event
        assert one.newest.number == 1


def test_a_refusal_is_no_look() -> None:
    one = follower()
    one.on_answer({"ok": False, "error": "too many requests"})
    assert (one.newest, one.gone_why) == (None, "not looked for yet")
    one.on_answer(made_answer(1))
    one.on_answer({"ok": False, "error": "too many requests"})
    assert (one.is_live, one.gone_why) == (False, "too many requests")


def test_a_running_follower_survives_an_answer_it_does_not_understand_and_a_daemon_that_comes_back() -> None:
    class Odd(MadeSource):
        async def watch(self):
            answer = await super().watch()
            return {"ok": True, "markets": 7} if self.step == 2 else answer

    async def play():
        source = Odd()
        one = follower(source)
        task = asyncio.ensure_future(one.run())
        seen = []
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):
                await one.beyond(one.changes)
                seen.append((one.is_live, one.gone_why.partition(":")[0]))
            source.gone = "no daemon runs"
            while one.is_live:
                await one.beyond(one.changes)
            source.gone = ""
            await one.beyond(one.changes)
        task.cancel()
        return seen, one.is_live

    seen, is_live = asyncio.run(play())
    assert seen == [(True, ""), (False, "its answer was not understood"), (True, "")]
    assert is_live


def test_a_page_that_names_none_means_the_living_one_that_was_found_last() -> None:
    hub = Hub(None, None, SETTINGS, wall_clock())
    assert hub.chosen() is None
    first, second = follower(name="first"), follower(name="second")
    hub.followers = {"first": first, "second": second}
    first.on_answer(made_answer(1))
    assert hub.chosen() is first
    second.on_answer(made_answer(1))
    assert hub.chosen() is second
    second.on_gone("gone")
    assert hub.chosen() is first
    first.on_gone("gone")
    first.gone_ms -= 5_000
    assert hub.chosen() is second
    assert hub.chosen("first") is first
    assert hub.chosen("third") is None


def test_of_more_daemons_than_allowed_those_that_are_gone_give_way_and_living_ones_stay() -> None:
    async def play():
        names = ["a", "b"]
        sources = {name: MadeSource() for name in "abcd"}

        async def find():
            return names

        hub = Hub(find, sources.__getitem__, SETTINGS, wall_clock())
        task = asyncio.ensure_future(hub.run())
        async with asyncio.timeout(LIMIT_S):
            while [one.is_live for one in hub.followers.values()] != [True, True]:
                await asyncio.sleep(0.01)
            names.append("c")
            before = sorted(hub.followers)
            sources["a"].gone = "gone"
            while "c" not in hub.followers:
                await asyncio.sleep(0.01)
        after = sorted(hub.followers)
        task.cancel()
        return before, after

    assert asyncio.run(play()) == (["a", "b"], ["b", "c"])
