"""Faults of feeds are told when new, not again and again, and nothing counted is forgotten."""

from polybot.feeds.tally import AGAIN_NS, FeedTally


def test_a_new_fault_is_told_once_and_growth_only_after_a_while() -> None:
    counts = {"frames": 5, "malformed": 0}
    tally = FeedTally()
    tally.add("spot", lambda: counts)
    assert tally.news(0) == []
    counts["malformed"] = 2
    assert tally.news(1) == ["feed spot: malformed=2"]
    assert tally.news(2) == []
    counts["malformed"] = 7
    assert tally.news(AGAIN_NS) == []
    counts["gaps"] = 1
    assert tally.news(AGAIN_NS) == ["feed spot: gaps=1"]
    assert tally.news(1 + AGAIN_NS) == ["feed spot: malformed=7"]
    assert tally.news(9 * AGAIN_NS) == []


def test_symbols_of_others_are_a_fault_on_the_spot_feed_only() -> None:
    tally = FeedTally()
    tally.add("spot", lambda: {"wrong_symbol": 1})
    tally.add("oracle", lambda: {"wrong_symbol": 1})
    assert tally.news(0) == ["feed spot: wrong_symbol=1"]


def test_feeds_of_one_name_are_added_up_and_kept_after_they_are_gone() -> None:
    first, second = {"payloads": 3, "silences": 1}, {"payloads": 4, "silences": 0}
    first_counters, second_counters = first.copy, second.copy
    tally = FeedTally()
    tally.add("market", first_counters)
    tally.add("market", second_counters)
    assert tally.news(0) == ["feed market: silences=1"]
    tally.remove("market", first_counters)
    first["payloads"] = 100
    second["payloads"] = 5
    assert tally.totals() == {"market": {"payloads": 8, "silences": 1}}
    assert tally.lines() == ["feed market in all: payloads=8 silences=1"]
    assert tally.news(1) == []


def test_a_feed_that_counted_nothing_says_so() -> None:
    tally = FeedTally()
    tally.add("user", lambda: {"messages": 0})
    assert tally.lines() == ["feed user in all: nothing"]
