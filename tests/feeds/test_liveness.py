"""Liveness: what is told when, and that it is told once."""

import pytest

from polybot._fast.event import EventKind, FeedId
from polybot.feeds.liveness import Liveness
from tests.feeds.collect import NS, T0_NS, Collector


def test_states_carry_feed_market_and_time() -> None:
    sink = Collector()
    Liveness(FeedId.FEED_MARKET, sink, silence_s=5.0, market=3).on_open(T0_NS)
    (row,) = sink.of(EventKind.EV_FEED_STATE)
    assert (row["i"], row["market"], row["recv_ns"]) == (FeedId.FEED_MARKET, 3, T0_NS)


def test_silence_is_told_once_and_data_ends_it() -> None:
    sink = Collector()
    live = Liveness(FeedId.FEED_SPOT, sink, silence_s=5.0)
    assert not live.is_silent(T0_NS)  # not connected: nothing to be silent
    live.on_open(T0_NS)
    assert not live.is_silent(T0_NS + 5 * NS - 1)
    assert live.is_silent(T0_NS + 5 * NS)
    assert live.is_silent(T0_NS + 6 * NS)
    live.restart(T0_NS + 6 * NS)
    assert not live.is_silent(T0_NS + 7 * NS)
    assert live.stale
    live.on_data(T0_NS + 8 * NS)
    assert not live.stale
    assert sink.states() == ["CONNECTED", "STALE", "CONNECTED"]


def test_overlapping_links_are_one_connection() -> None:
    sink = Collector()
    live = Liveness(FeedId.FEED_SPOT, sink, silence_s=5.0)
    live.on_open(T0_NS)
    live.on_open(T0_NS + 1)
    live.on_close(T0_NS + 2)
    assert sink.states() == ["CONNECTED"]
    live.on_close(T0_NS + 3)
    live.on_open(T0_NS + 4)
    assert sink.states() == ["CONNECTED", "DISCONNECTED", "RECONNECTED"]


def test_closing_more_links_than_were_opened_is_our_own_fault() -> None:
    live = Liveness(FeedId.FEED_SPOT, Collector(), silence_s=5.0)
    with pytest.raises(AssertionError):
        live.on_close(T0_NS)
