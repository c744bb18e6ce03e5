"""OracleFeed (RTDS) and PolyBoltFeed without a socket: subscriptions, prices, silences, answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from polybot._fast.event import EventFlag, EventKind, FeedId
from polybot.config import FeedsConfig
from polybot.feeds.oracle import OracleFeed, PolyBoltFeed
from tests.feeds.collect import NS, T0_NS, Collector, Sent

SETTINGS = FeedsConfig(oracle_ping_s=5.0, oracle_silence_s=10.0)
T0_MS = T0_NS // 1_000_000
CREDENTIALS = {"apiKey": "k", "secret": "s", "passphrase": "p"}


class Ticks:
    """What a strike capture would get."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, float, int, int, int, bool]] = []

    def __call__(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> None:
        self.taken.append((kind, value, venue_ns, recv_ns, window_s, sequenced))


def rtds(
    second: int = 0, value: str = "78803715261094101516288", twap: bool = True, symbol: str = "btc/usd"
) -> bytes:
    payload: dict[str, Any] = {
        "symbol": symbol,
        "timestamp": T0_MS + second * 1_000,
        "value": int(value) / 1e18,
        "full_accuracy_value": value,
    }
    if twap:
        payload["window_s"] = 60
    topic = "crypto_prices_twap_sixty" if twap else "crypto_prices_chainlink"
    envelope = {"topic": topic, "type": "update", "timestamp": T0_MS + second * 1_000 + 900}
    return json.dumps({**envelope, "payload": payload}).encode()


def polybolt(second: int, seq: int, twap: bool = True, **envelope: Any) -> bytes:
    payload: dict[str, Any] = {
        "symbol": "btcusd",
        "value": 78803.7152610941,
        "full_accuracy_value": "78803.715261094101516288",
        "timestamp": T0_MS + second * 1_000,
        "source": "chainlink",
    }
    if twap:
        payload["window_seconds"] = 60
    channel = "price.crypto.twap" if twap else "price.crypto"
    message = {"v": 1, "channel": channel, "seq": seq, "ts": T0_MS + second * 1_000 + 300, **envelope}
    return json.dumps({**message, "payload": payload}).encode()


def snapshot(seq: int, *seconds: int) -> bytes:
    data = [
        {
            "timestamp": T0_MS + second * 1_000,
            "value": 78788.52564290879,
            "full_accuracy_value": "78788.525642908795142144",
        }
        for second in seconds
    ]
    payload = {"symbol": "btcusd", "window_seconds": 60, "source": "chainlink", "data": data}
    message = {"v": 1, "channel": "price.crypto.twap", "seq": seq, "ts": T0_MS, "snapshot": True}
    return json.dumps({**message, "payload": payload}).encode()


def rtds_feed() -> tuple[OracleFeed, Collector, Sent, Ticks]:
    sink, sent, ticks = Collector(), Sent(), Ticks()
    feed = OracleFeed("wss://rtds", "btc/usd", SETTINGS, sink=sink, on_tick=ticks)
    feed.on_open(sent, T0_NS)
    return feed, sink, sent, ticks


def polybolt_feed(authed: bool = True) -> tuple[PolyBoltFeed, Collector, Sent, Ticks]:
    sink, sent, ticks = Collector(), Sent(), Ticks()
    feed = PolyBoltFeed(
        "wss://bolt/ws", "btcusd", SETTINGS, auth=lambda: CREDENTIALS, sink=sink, on_tick=ticks
    )
    feed.on_open(sent, T0_NS)
    if authed:
        feed.on_payload(b'{"op":"authed","rid":"r1"}', T0_NS)
        sent.take()
    return feed, sink, sent, ticks


class TestRtds:
    def test_subscribes_both_topics_without_filters(self) -> None:
        feed, sink, sent, _ = rtds_feed()
        assert feed.url() == "wss://rtds"
        assert [json.loads(text) for text in sent.take()] == [
            {
                "action": "subscribe",
                "subscriptions": [
                    {"topic": "crypto_prices_twap_sixty", "type": "update"},
                    {"topic": "crypto_prices_chainlink", "type": "*"},
                ],
            }
        ]
        assert sink.states() == ["CONNECTED"]

    def test_prices_become_events_and_ticks(self) -> None:
        feed, sink, _, ticks = rtds_feed()
        feed.on_payload(rtds(0), T0_NS + NS)
        feed.on_payload(rtds(0, "78801000000000000000000", twap=False), T0_NS + NS + 1)
        twap, spot = sink.of(EventKind.EV_ORACLE_TWAP, EventKind.EV_ORACLE_SPOT)
        assert (twap["x"], twap["venue_ns"], twap["i"]) == (78803.7152610941, T0_NS, 60)
        assert (spot["x"], spot["recv_ns"]) == (78801.0, T0_NS + NS + 1)
        assert ticks.taken == [
            (EventKind.EV_ORACLE_TWAP, 78803.7152610941, T0_NS, T0_NS + NS, 60, False),
            (EventKind.EV_ORACLE_SPOT, 78801.0, T0_NS, T0_NS + NS + 1, 0, False),
        ]

    def test_other_assets_duplicates_and_bare_texts_give_nothing(self) -> None:
        feed, sink, _, ticks = rtds_feed()
        feed.on_payload(rtds(0), T0_NS)
        for payload in (rtds(0), rtds(0, symbol="eth/usd"), b"PONG", b"", b'{"statusCode":400}', b"{"):
            feed.on_payload(payload, T0_NS)
        assert len(ticks.taken) == 1
        assert len(sink.of(EventKind.EV_ORACLE_TWAP)) == 1
        counters = feed.counters()
        assert (counters["duplicates"], counters["wrong_symbol"], counters["texts"]) == (1, 1, 2)

    def test_text_ping_goes_out_every_five_seconds(self) -> None:
        feed, _, sent, _ = rtds_feed()
        sent.take()
        pings = []
        for quarter in range(1, 61):
            now_ns = T0_NS + quarter * NS // 4
            feed.on_payload(rtds(quarter), now_ns)
            feed.on_payload(rtds(quarter, twap=False), now_ns)
            feed.on_timer(now_ns)
            pings += [(quarter / 4, text) for text in sent.take()]
        assert pings == [(5.0, "PING"), (10.0, "PING"), (15.0, "PING")]

    def test_prices_of_both_topics_keep_it_alive(self) -> None:
        feed, sink, _, _ = rtds_feed()
        for second in range(1, 60):
            feed.on_payload(rtds(second), T0_NS + second * NS)
            feed.on_payload(rtds(second, twap=False), T0_NS + second * NS)
            feed.on_timer(T0_NS + second * NS)
        assert (feed.wants_reconnect, sink.states()) == (None, ["CONNECTED"])

    @pytest.mark.parametrize(("flowing", "reason"), [(True, "spot silence"), (False, "twap silence")])
    def test_topic_that_stops_alone_gets_a_new_socket(self, flowing: bool, reason: str) -> None:
        feed, sink, _, _ = rtds_feed()
        for second in range(1, 11):
            assert feed.wants_reconnect is None
            feed.on_payload(rtds(second, twap=flowing), T0_NS + second * NS)
            feed.on_timer(T0_NS + second * NS)
        assert feed.wants_reconnect == reason
        assert sink.states() == ["CONNECTED"]  # data of ours still comes: not stale as a whole

    def test_silence_is_stale_then_reconnected_then_connected_again(self) -> None:
        feed, sink, sent, _ = rtds_feed()
        feed.on_payload(rtds(0), T0_NS)
        feed.on_payload(rtds(0, symbol="eth/usd"), T0_NS + 9 * NS)  # others' prices do not help
        feed.on_timer(T0_NS + 10 * NS)
        assert feed.wants_reconnect is not None
        feed.on_close("silence", T0_NS + 11 * NS)
        feed.on_open(sent, T0_NS + 12 * NS)
        assert feed.wants_reconnect is None
        feed.on_payload(rtds(12), T0_NS + 13 * NS)
        assert sink.states() == ["CONNECTED", "STALE", "DISCONNECTED", "RECONNECTED", "CONNECTED"]
        assert {int(row["i"]) for row in sink.of(EventKind.EV_FEED_STATE)} == {FeedId.FEED_ORACLE}
        assert feed.counters()["silences"] == 1

    def test_timer_without_a_socket_does_nothing(self) -> None:
        feed, _, sent, _ = rtds_feed()
        feed.on_close("aborted", T0_NS)
        sent.take()
        feed.on_timer(T0_NS + 100 * NS)
        assert (feed.wants_reconnect, sent.take()) == (None, [])

    def test_recorded_frames_pass(self, shared_dir: Path) -> None:
        feed, sink, _, ticks = rtds_feed()
        recording = shared_dir / "data" / "vipineth+polybot" / "rtds_chainlink_frames.jsonl"
        for line in recording.read_bytes().splitlines():
            feed.on_payload(line, T0_NS)
        counters = feed.counters()
        assert counters["spots"] == len(ticks.taken) == len(sink.of(EventKind.EV_ORACLE_SPOT)) > 0
        assert (counters["malformed"], counters["slow_used"]) == (0, 0)


class TestPolyBolt:
    def test_logs_in_then_subscribes_both_channels(self) -> None:
        feed, _, sent, _ = polybolt_feed(authed=False)
        assert [json.loads(text) for text in sent.take()] == [
            {"op": "auth", "rid": "r1", "auth": CREDENTIALS}
        ]
        feed.on_payload(b'{"op":"authed","rid":"r1"}', T0_NS)
        assert [json.loads(text) for text in sent.take()] == [
            {
                "op": "subscribe",
                "rid": "r2",
                "subscriptions": [
                    {
                        "channel": "price.crypto.twap",
                        "filter": {"symbol": "btcusd", "window_seconds": 60},
                    },
                    {"channel": "price.crypto", "filter": {"symbol": "btcusd", "provider": "chainlink"}},
                ],
            }
        ]

    def test_history_and_prices_become_events_and_sequenced_ticks(self) -> None:
        feed, sink, _, ticks = polybolt_feed()
        feed.on_payload(snapshot(2, -2, -1, 0), T0_NS + NS)
        feed.on_payload(polybolt(1, 3), T0_NS + 2 * NS)
        rows = sink.of(EventKind.EV_ORACLE_TWAP)
        assert [int(row["venue_ns"] - T0_NS) // NS for row in rows] == [-2, -1, 0, 1]
        assert [bool(row["flags"] & EventFlag.F_SNAPSHOT) for row in rows] == [True, True, True, False]
        assert [tick[5] for tick in ticks.taken] == [True] * 4
        assert ticks.taken[2][:5] == (
            EventKind.EV_ORACLE_TWAP,
            78788.525642908795,
            T0_NS,
            T0_NS + NS,
            60,
        )

    @pytest.mark.parametrize(
        "frame",
        [polybolt(2, 5), polybolt(2, 4, dropped=3)],
        ids=["gap", "dropped"],
    )
    def test_lost_messages_subscribe_again_for_the_history(self, frame: bytes) -> None:
        feed, _, sent, _ = polybolt_feed()
        feed.on_payload(polybolt(1, 3), T0_NS + NS)
        assert sent.take() == []
        feed.on_payload(frame, T0_NS + 2 * NS)
        assert [json.loads(text)["op"] for text in sent.take()] == ["subscribe"]
        feed.on_payload(polybolt(3, 9, dropped=1), T0_NS + 2 * NS + NS // 2)  # at most once a second
        assert sent.take() == []
        assert feed.wants_reconnect is None

    def test_sequence_restarts_with_each_connection(self) -> None:
        feed, _, sent, _ = polybolt_feed()
        feed.on_payload(polybolt(1, 40), T0_NS + NS)
        feed.on_close("aborted", T0_NS + 2 * NS)
        feed.on_open(sent, T0_NS + 3 * NS)
        feed.on_payload(b'{"op":"authed","rid":"r3"}', T0_NS + 3 * NS)
        sent.take()
        feed.on_payload(polybolt(4, 2), T0_NS + 4 * NS)
        assert sent.take() == []
        assert feed.counters()["gaps"] == 0

    @pytest.mark.parametrize("code", ["auth_invalid", "auth_attempts", "bad_channel", "bad_filter"])
    def test_error_that_repeating_cannot_cure_ends_it(self, code: str) -> None:
        feed, _, _, _ = polybolt_feed()
        feed.on_payload(json.dumps({"op": "error", "code": code}).encode(), T0_NS)
        assert feed.gives_up == code

    @pytest.mark.parametrize("code", ["auth_expired", "auth_unavailable", "rate_limited", "new_code"])
    def test_other_errors_connect_anew_later(self, code: str) -> None:
        feed, _, sent, _ = polybolt_feed()
        feed.on_payload(json.dumps({"op": "error", "code": code}).encode(), T0_NS)
        assert (feed.gives_up, feed.wants_reconnect, feed.retry_after_s) == (None, f"error {code}", 10.0)
        feed.on_close(f"error {code}", T0_NS)
        feed.on_open(sent, T0_NS + NS)
        assert (feed.wants_reconnect, feed.retry_after_s) == (None, 0.0)

    def test_close_codes_say_whether_to_come_back(self) -> None:
        feed, _, _, _ = polybolt_feed()
        feed.on_close("closed 4003", T0_NS)
        assert (feed.gives_up, feed.retry_after_s) == (None, 10.0)
        feed, _, _, _ = polybolt_feed()
        feed.on_close("closed 4002", T0_NS)
        assert (feed.gives_up, feed.retry_after_s) == (None, 0.0)
        feed, _, _, _ = polybolt_feed()
        feed.on_close("closed 4008", T0_NS)
        assert feed.gives_up == "closed by policy (4008)"

    def test_credentials_refused_three_times_in_a_row_end_it(self) -> None:
        feed, _, sent, _ = polybolt_feed(authed=False)
        for _ in range(2):
            feed.on_close("closed 4001", T0_NS)
            assert feed.gives_up is None
            feed.on_open(sent, T0_NS)
        feed.on_close("closed 4001", T0_NS)
        assert feed.gives_up == "credentials refused (4001)"

    def test_ping_operation_every_thirty_seconds_and_stale_after_ninety(self) -> None:
        feed, _, sent, _ = polybolt_feed()
        pings = 0
        for second in range(1, 91):
            if second < 80:  # then the socket is mute
                feed.on_payload(polybolt(second, second), T0_NS + second * NS)
                feed.on_payload(polybolt(second, second, twap=False), T0_NS + second * NS)
            feed.on_timer(T0_NS + second * NS)
            pings += sent.take().count('{"op":"ping"}')
        assert pings == 2
        assert feed.wants_reconnect == "twap silence"

    def test_answers_without_prices_count_as_a_living_socket_only(self) -> None:
        feed, sink, _, _ = polybolt_feed()
        for second in range(1, 11):
            feed.on_payload(b'{"op":"pong"}', T0_NS + second * NS)
            feed.on_timer(T0_NS + second * NS)
        assert feed.wants_reconnect == "twap silence"
        assert sink.states() == ["CONNECTED", "STALE"]

    @pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"7", b'"text"', b"\xff"])
    def test_nonsense_is_counted(self, payload: bytes) -> None:
        feed, sink, _, _ = polybolt_feed()
        feed.on_payload(payload, T0_NS)
        assert feed.counters()["malformed_texts"] == 1
        assert sink.states() == ["CONNECTED"]
