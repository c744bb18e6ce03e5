"""MarketFeed without a socket: subscriptions, pings, watchdogs, resync, events from literal frames."""

import json
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scenario import make_spec

from polybot._fast.event import EventBuffer, EventKind, FeedId
from polybot.config import FeedsConfig
from polybot.feeds.polymarket import MarketFeed
from polybot.market.spec import MarketSpec
from tests.feeds.collect import NS, T0_NS, Collector, Sent

SETTINGS = FeedsConfig(market_ping_s=10.0, market_silence_s=15.0, pong_timeout_s=30.0)
SPEC = make_spec(token_up="7270001", token_down="7284002", start_ns=T0_NS, end_ns=T0_NS + 300 * NS)
NEXT = replace(SPEC, condition_id="0x" + "cd" * 32, token_up="9900001", token_down="9900002")


def book(spec: MarketSpec = SPEC, token: str | None = None, **changes: Any) -> bytes:
    message = {
        "event_type": "book",
        "market": spec.condition_id,
        "asset_id": token or spec.token_up,
        "bids": [{"price": "0.50", "size": "200.0"}],
        "asks": [{"price": "0.52", "size": "150"}],
        "timestamp": "1790616612345",
        "hash": "0x1",
        "tick_size": "0.01",
    }
    return json.dumps({**message, **changes}).encode()


def change(spec: MarketSpec = SPEC, price: str = "0.51") -> bytes:
    return json.dumps(
        {
            "event_type": "price_change",
            "market": spec.condition_id,
            "timestamp": "1790616612400",
            "price_changes": [
                {
                    "asset_id": spec.token_up,
                    "price": price,
                    "size": "120",
                    "side": "BUY",
                    "hash": "0x2",
                    "best_bid": "0.51",
                    "best_ask": "0.52",
                }
            ],
        }
    ).encode()


def tick_size_change(spec: MarketSpec = SPEC) -> bytes:
    return json.dumps(
        {
            "event_type": "tick_size_change",
            "market": spec.condition_id,
            "asset_id": spec.token_up,
            "old_tick_size": "0.01",
            "new_tick_size": "0.001",
            "timestamp": "1790616612400",
        }
    ).encode()


def feed_of(*specs: MarketSpec) -> tuple[MarketFeed, Collector, Sent]:
    """A feed with the markets 0, 1, ... added, connected at T0_NS, its first frames still in Sent."""
    sink, sent = Collector(), Sent()
    feed = MarketFeed("wss://venue/ws/market", SETTINGS, sink=sink)
    for index, spec in enumerate(specs):
        feed.add_market(index, spec)
    feed.on_open(sent, T0_NS)
    return feed, sink, sent


def with_books(*specs: MarketSpec) -> tuple[MarketFeed, Collector, Sent]:
    feed, sink, sent = feed_of(*specs)
    for spec in specs:
        feed.on_payload(book(spec), T0_NS)
    sent.take()
    return feed, sink, sent


def objects(sent: Sent) -> list[dict[str, Any]]:
    return [json.loads(text) for text in sent.take() if text != "PING"]


def again(spec: MarketSpec = SPEC) -> list[dict[str, Any]]:
    """What subscribing a market once more looks like."""
    tokens = [spec.token_up, spec.token_down]
    return [
        {"operation": "unsubscribe", "assets_ids": tokens},
        {"operation": "subscribe", "assets_ids": tokens, "custom_feature_enabled": True},
    ]


def test_first_frame_subscribes_all_markets_and_later_ones_use_operations() -> None:
    feed, _, sent = feed_of(SPEC)
    assert objects(sent) == [
        {
            "type": "market",
            "assets_ids": [SPEC.token_up, SPEC.token_down],
            "custom_feature_enabled": True,
        }
    ]
    feed.add_market(1, NEXT)
    assert objects(sent) == [again(NEXT)[1]]
    feed.remove_market(0)
    assert objects(sent) == [again(SPEC)[0]]
    feed.remove_market(7)
    assert objects(sent) == []


def test_market_added_after_connecting_with_none_opens_the_channel() -> None:
    feed, sink, sent = feed_of()
    assert sent.take() == []
    feed.add_market(4, SPEC)
    assert [message.get("type") for message in objects(sent)] == ["market"]
    assert sink.states(4) == ["CONNECTED"]


def test_reconnect_subscribes_everything_anew() -> None:
    feed, sink, sent = with_books(SPEC, NEXT)
    feed.on_close("aborted", T0_NS + NS)
    feed.on_open(sent, T0_NS + 2 * NS)
    (message,) = objects(sent)
    assert message["type"] == "market"
    assert len(message["assets_ids"]) == 4
    assert sink.states(1) == ["CONNECTED", "DISCONNECTED", "RECONNECTED"]
    assert {int(row["i"]) for row in sink.of(EventKind.EV_FEED_STATE)} == {FeedId.FEED_MARKET}


def test_book_and_change_become_events_of_their_market() -> None:
    feed, sink, _ = feed_of(NEXT, SPEC)
    feed.on_payload(b"[" + book() + b"," + book(token=SPEC.token_down) + b"]", T0_NS + 5)
    feed.on_payload(change(), T0_NS + 6)
    snapshots = sink.of(EventKind.EV_BOOK_SNAPSHOT)
    assert [(int(row["market"]), int(row["outcome"]), int(row["i"])) for row in snapshots] == [
        (1, 0, 100),
        (1, 1, 100),
    ]
    (delta,) = sink.of(EventKind.EV_BOOK_DELTA)
    assert (delta["market"], delta["i"], delta["j"]) == (1, 5_100, 120_000_000)
    assert delta["recv_ns"] == T0_NS + 6


def test_pong_and_nonsense_are_no_data() -> None:
    feed, sink, _ = feed_of(SPEC)
    for payload in (b"PONG", b"", b"{", b"[]", b'{"event_type":"new_market"}', b"INVALID OPERATION"):
        feed.on_payload(payload, T0_NS)
    assert sink.states() == ["CONNECTED"]
    assert len(sink.buffers) == 1
    counters = feed.counters()
    assert (counters["pongs"], counters["payloads"]) == (1, 5)


def test_unknown_token_is_counted_and_its_neighbours_applied() -> None:
    feed, sink, _ = feed_of(SPEC)
    feed.on_payload(b"[" + book(NEXT) + b"," + book() + b"]", T0_NS)
    assert [int(row["market"]) for row in sink.of(EventKind.EV_BOOK_SNAPSHOT)] == [0]
    assert feed.counters()["unknown_token"] == 1


def test_text_ping_goes_out_every_ten_seconds() -> None:
    feed, _, sent = with_books(SPEC)
    pings = []
    for quarter in range(1, 101):
        now_ns = T0_NS + quarter * NS // 4
        feed.on_payload(change(), now_ns)
        feed.on_payload(b"PONG", now_ns)
        feed.on_timer(now_ns)
        pings += [quarter / 4 for text in sent.take() if text == "PING"]
    assert pings == [10.0, 20.0]
    assert feed.wants_reconnect is None


def test_missing_pong_asks_for_a_new_socket_although_data_flows() -> None:
    feed, _, _ = with_books(SPEC)
    for second in range(1, 30):
        feed.on_payload(change(), T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
    assert feed.wants_reconnect is None
    feed.on_payload(change(), T0_NS + 30 * NS)
    feed.on_timer(T0_NS + 30 * NS)
    assert feed.wants_reconnect == "no pong"
    assert feed.counters()["pong_timeouts"] == 1


def test_missing_first_book_is_asked_for_again_ever_more_slowly() -> None:
    feed, _, sent = feed_of(SPEC, NEXT)
    feed.on_payload(book(NEXT), T0_NS)
    sent.take()
    asked_at: list[float] = []
    for quarter in range(1, 400):
        now_ns = T0_NS + quarter * NS // 4
        feed.on_payload(change(NEXT), now_ns)
        feed.on_payload(b"PONG", now_ns)
        feed.on_timer(now_ns)
        messages = objects(sent)
        if messages:
            assert messages == again(SPEC)
            asked_at.append(quarter / 4)
    assert asked_at == [3.0, 9.0, 21.0, 45.0, 75.0]  # waits of 3, 6, 12, 24, 30 s
    assert feed.wants_reconnect is None  # the CLOB may not have this market yet: others are not disturbed
    assert feed.counters()["no_first_book"] == 5


def test_first_book_ends_the_waiting() -> None:
    feed, _, sent = with_books(SPEC)
    for second in range(1, 14):
        feed.on_timer(T0_NS + second * NS)
    assert objects(sent) == []


def test_silent_market_is_stale_and_subscribed_again_while_others_go_on() -> None:
    feed, sink, sent = with_books(SPEC, NEXT)
    for second in range(1, 15):
        feed.on_payload(change(NEXT), T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
    assert (sink.states(0), objects(sent)) == (["CONNECTED"], [])
    feed.on_payload(change(NEXT), T0_NS + 15 * NS)
    feed.on_timer(T0_NS + 15 * NS)
    assert sink.states(0) == ["CONNECTED", "STALE"]
    assert objects(sent) == again(SPEC)
    feed.on_payload(book(), T0_NS + 16 * NS)
    assert sink.states(0) == ["CONNECTED", "STALE", "CONNECTED"]
    assert sink.states(1) == ["CONNECTED"]
    assert feed.wants_reconnect is None


def test_market_that_no_subscription_brings_back_gets_a_new_socket() -> None:
    feed, _, sent = with_books(SPEC, NEXT)
    asked = 0
    second = 0
    while feed.wants_reconnect is None and second < 120:
        second += 1
        feed.on_payload(change(NEXT), T0_NS + second * NS)
        feed.on_payload(b"PONG", T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
        asked += len(objects(sent)) // 2
    assert feed.wants_reconnect == "no book"
    assert (asked, second) == (4, 60)  # asked at 15, 18, 24, 36 s, given up after 24 s more


def test_socket_without_any_data_is_left_although_it_pongs() -> None:
    feed, sink, _ = with_books(SPEC)
    for second in range(1, 20):
        feed.on_payload(b"PONG", T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
    assert feed.wants_reconnect is None
    feed.on_timer(T0_NS + 20 * NS)
    assert feed.wants_reconnect == "silence"
    assert sink.states() == ["CONNECTED", "STALE"]


def test_socket_without_markets_is_not_silent() -> None:
    feed, _, _ = feed_of()
    for second in range(1, 60):
        feed.on_payload(b"PONG", T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
    assert feed.wants_reconnect is None
    feed.add_market(0, SPEC)
    feed.on_timer(T0_NS + 60 * NS)
    assert feed.wants_reconnect is None


@pytest.mark.parametrize("call", ["request_resync", "request_tick_refetch"])
def test_requested_snapshot_is_asked_for_at_most_every_two_seconds(call: str) -> None:
    feed, _, sent = with_books(SPEC, NEXT)
    feed.on_payload(change(), T0_NS + 2 * NS)
    request = getattr(feed, call)
    request(0)
    assert objects(sent) == again(SPEC)
    feed.on_payload(book(), T0_NS + 2 * NS + 1)
    request(0)
    request(0)
    request(5)
    assert objects(sent) == []
    feed.on_timer(T0_NS + 4 * NS - 1)
    assert objects(sent) == []
    feed.on_timer(T0_NS + 4 * NS)
    assert objects(sent) == again(SPEC)
    feed.on_payload(book(), T0_NS + 4 * NS + 1)
    feed.on_timer(T0_NS + 7 * NS)
    assert objects(sent) == []


def test_request_while_disconnected_waits_for_the_next_connection() -> None:
    feed, _, sent = with_books(SPEC)
    feed.on_close("aborted", T0_NS + 5 * NS)
    feed.request_resync(0)
    assert sent.take() == []
    feed.on_open(sent, T0_NS + 6 * NS)
    assert [message.get("type") for message in objects(sent)] == ["market"]


def test_request_from_inside_the_sink_is_safe() -> None:
    sink, sent = Collector(), Sent()

    def sink_that_asks(events: EventBuffer) -> None:
        sink(events)
        if events.kind_at(0) == EventKind.EV_BOOK_DELTA:
            feed.request_resync(0)

    feed = MarketFeed("wss://venue/ws/market", SETTINGS, sink=sink_that_asks)
    feed.add_market(0, SPEC)
    feed.on_open(sent, T0_NS)
    feed.on_payload(book(SPEC), T0_NS)
    sent.take()
    feed.on_payload(change(), T0_NS + 3 * NS)
    assert objects(sent) == again(SPEC)
    assert len(sink.of(EventKind.EV_BOOK_DELTA)) == 1


def test_tick_size_change_brings_a_new_snapshot() -> None:
    feed, sink, sent = with_books(SPEC)
    feed.on_payload(tick_size_change(), T0_NS + 3 * NS)
    (event,) = sink.of(EventKind.EV_TICK_SIZE)
    assert event["i"] == 10
    assert objects(sent) == again(SPEC)
    assert feed.counters()["tick_changes"] == 1


def test_price_finer_than_the_grid_asks_for_a_snapshot() -> None:
    feed, sink, sent = with_books(SPEC)
    feed.on_payload(change(price="0.51005"), T0_NS + 3 * NS)
    (event,) = sink.of(EventKind.EV_TICK_SIZE)
    assert (event["i"], event["market"]) == (0, 0)
    assert objects(sent) == again(SPEC)


def test_equal_witness_keeps_a_quiet_book_fresh_and_another_one_resyncs() -> None:
    feed, sink, sent = with_books(SPEC)
    for second in range(1, 60):
        feed.on_payload(b"PONG", T0_NS + second * NS)
        if second % 3 == 0:
            feed.on_witness(0, equal=True, now_ns=T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
    assert (sink.states(), feed.wants_reconnect) == (["CONNECTED"], None)
    assert objects(sent) == []
    feed.on_witness(0, equal=False, now_ns=T0_NS + 60 * NS)
    assert objects(sent) == again(SPEC)
    feed.on_witness(9, equal=False, now_ns=T0_NS + 60 * NS)


def test_removed_market_is_no_longer_watched() -> None:
    feed, sink, sent = with_books(SPEC, NEXT)
    feed.remove_market(0)
    sent.take()
    for second in range(1, 40):
        feed.on_payload(change(NEXT), T0_NS + second * NS)
        feed.on_payload(b"PONG", T0_NS + second * NS)
        feed.on_timer(T0_NS + second * NS)
    assert objects(sent) == []
    assert sink.states(0) == ["CONNECTED"]
    feed.on_payload(book(), T0_NS + 41 * NS)
    assert feed.counters()["unknown_token"] == 1


def test_recorded_frames_pass_without_a_refusal(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "CronosVirus00+polymarket-BTC5min-database" / "clob_book_frames"
    recording = folder / "2026-04-13" / "btc-updown-5m-1776081900.jsonl.xz"
    with lzma.open(recording, "rt") as lines:
        frames = [json.loads(line) for line in lines]
    raws = [frame["raw"] if isinstance(frame["raw"], str) else json.dumps(frame["raw"]) for frame in frames]
    tokens = sorted({json.loads(raw)["asset_id"] for raw in raws})
    market = json.loads(raws[0])["market"]
    spec = replace(
        SPEC,
        condition_id=market,
        token_up=tokens[0],
        token_down=tokens[1] if len(tokens) > 1 else "1",
    )
    feed, sink, _ = feed_of(spec)
    for frame, raw in zip(frames, raws, strict=True):
        feed.on_payload(raw.encode(), int(frame["recv"] * 1e9))
    counters = feed.counters()
    assert len(raws) > 1_000
    assert counters["books"] == len(raws) == len(sink.of(EventKind.EV_BOOK_SNAPSHOT))
    assert (counters["malformed"], counters["slow_used"], counters["unknown_token"]) == (0, 0, 0)
