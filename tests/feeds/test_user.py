"""The user channel as a feed: login, pings, liveness, and objects handed on untouched."""

import json
from typing import Any

import pytest

from polybot._fast.event import EventBuffer, EventKind, FeedId, FeedState, Special
from polybot.config import FeedsConfig
from polybot.feeds.user import UserFeed

NS = 1_000_000_000
AUTH = {"apiKey": "key-value", "secret": "secret-value", "passphrase": "phrase-value"}
URL = "wss://user.test/ws/user"
FS = FeedState


class Wired:
    """A UserFeed with everything it calls recorded."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.states: list[tuple[int, int, int, int]] = []
        self.events: list[tuple[dict[str, Any], int]] = []
        self.connects = 0
        self.feed = UserFeed(
            URL,
            FeedsConfig(user_ping_s=10.0, pong_timeout_s=30.0),
            auth=lambda: AUTH,
            sink=self.sink,
            on_user_event=lambda raw, recv_ns: self.events.append((raw, recv_ns)),
            on_connected=self.connected,
        )

    def connected(self) -> None:
        self.connects += 1

    def sink(self, events: EventBuffer) -> None:
        for row in events.to_numpy():
            assert row["kind"] == EventKind.EV_FEED_STATE
            self.states.append((int(row["i"]), int(row["j"]), int(row["market"]), int(row["recv_ns"])))

    def told(self) -> list[int]:
        return [state for _, state, _, _ in self.states]


def opened(now_ns: int = 0) -> Wired:
    wired = Wired()
    wired.feed.on_open(wired.sent.append, now_ns)
    return wired


def test_login_is_the_first_message_for_all_markets_and_then_the_daemon_is_told() -> None:
    wired = opened(5)
    assert [json.loads(text) for text in wired.sent] == [{"type": "user", "auth": AUTH}]
    assert wired.states == [(FeedId.FEED_USER, FS.FS_CONNECTED, Special.NO_MARKET, 5)]
    assert wired.connects == 1
    assert wired.feed.url() == URL


def test_each_reconnect_logs_in_again_and_asks_for_a_reconcile() -> None:
    wired = opened()
    wired.feed.on_close("1006", 60 * NS)
    wired.feed.on_open(wired.sent.append, 61 * NS)
    assert wired.told() == [FS.FS_CONNECTED, FS.FS_DISCONNECTED, FS.FS_RECONNECTED]
    assert wired.connects == 2
    assert len(wired.sent) == 2


def test_objects_and_arrays_are_handed_on_with_their_stamp() -> None:
    wired = opened()
    order, trade = {"event_type": "order", "id": "0x1"}, {"event_type": "trade", "id": "t"}
    wired.feed.on_payload(json.dumps(order).encode(), 7)
    wired.feed.on_payload(json.dumps([trade, order]).encode(), 8)
    assert wired.events == [(order, 7), (trade, 8), (order, 8)]
    assert (wired.feed.counters()["orders"], wired.feed.counters()["trades"]) == (2, 1)


@pytest.mark.parametrize(
    ("payload", "counter"),
    [(b"PONG", "pongs"), (b"{", "malformed"), (b"5", "malformed"), (b"[1]", "malformed"), (b"\xff", "malformed"),
     (b"{}", "other"), (b'{"event_type":"news"}', "other"), (b'{"event_type":null}', "other")],
)  # fmt: skip
def test_anything_else_is_counted_and_not_handed_on(payload: bytes, counter: str) -> None:
    wired = opened()
    wired.feed.on_payload(payload, 1)
    assert wired.events == []
    assert wired.feed.counters()[counter] == 1
    assert wired.feed.wants_reconnect is None


def test_text_ping_every_ten_seconds() -> None:
    wired = opened()
    for tenth in range(0, 251):
        wired.feed.on_timer(tenth * NS // 10)
        wired.feed.on_payload(b"PONG", tenth * NS // 10)
    assert wired.sent[1:] == ["PING", "PING"]


def test_silence_asks_for_a_new_socket_once() -> None:
    wired = opened()
    for second in range(0, 40):
        wired.feed.on_timer(second * NS)
    assert wired.feed.wants_reconnect == "no pong"
    assert wired.told().count(FS.FS_STALE) == 1
    assert wired.sent[1:] == ["PING", "PING"]
    wired.feed.on_close("no pong", 40 * NS)
    wired.feed.on_open(wired.sent.append, 41 * NS)
    assert wired.feed.wants_reconnect is None


def test_quiet_account_with_pongs_stays_connected() -> None:
    wired = opened()
    for second in range(0, 600):
        wired.feed.on_timer(second * NS)
        if second % 10 == 1:
            wired.feed.on_payload(b"PONG", second * NS)
    assert wired.feed.wants_reconnect is None


def test_close_right_after_the_login_is_counted() -> None:
    wired = opened()
    wired.feed.on_close("1000", NS)
    assert wired.feed.counters()["closed_after_login"] == 1
    wired.feed.on_timer(100 * NS)
    assert len(wired.sent) == 1


def test_credentials_are_not_in_the_repr_or_kept() -> None:
    wired = opened()
    shown = repr(wired.feed) + str(wired.feed) + repr(vars(wired.feed))
    assert not [value for value in AUTH.values() if value in shown]
