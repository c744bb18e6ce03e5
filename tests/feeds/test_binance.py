"""SpotFeed without a socket: events from literal frames, silence, shutdown notices, warm start."""

import asyncio
import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from polybot._fast.event import EventFlag, EventKind, FeedId, Side
from polybot._fast.vwap import RollingVwap
from polybot.config import FeedsConfig, default_config
from polybot.errors import VenueUnavailable
from polybot.feeds.binance import SpotFeed
from polybot.feeds.connection import Connection
from polybot.transport import HttpResponse
from polybot.volatility import build_vol
from tests.feeds.collect import NS, T0_NS, Collector, Sent
from tests.feeds.peer import WAIT_S, Peer, clock, listen, peer_of, running

URLS = ("wss://data-stream.binance.vision", "wss://stream.binance.com:9443/")
SETTINGS = FeedsConfig(spot_silence_s=5.0, warm_trades=1_000)


def trade(number: int, price: str = "78803.71000000", maker: bool = False) -> bytes:
    stamp_us = T0_NS // 1_000 + number
    return (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"%s","q":"0.00120000",'
        b'"T":%d,"m":%s,"M":true}}'
        % (stamp_us + 900, number, price.encode(), stamp_us, b"true" if maker else b"false")
    )


def quote(update: int) -> bytes:
    return (
        b'{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"78803.70000000","B":"3.10000000",'
        b'"a":"78803.71000000","A":"1.25000000"}}' % update
    )


SHUTDOWN = b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'


def opened(settings: FeedsConfig = SETTINGS) -> tuple[SpotFeed, Collector]:
    sink = Collector()
    feed = SpotFeed(URLS, "BTCUSDT", settings, sink=sink)
    feed.on_open(Sent(), T0_NS)
    return feed, sink


def test_address_holds_the_subscription_and_every_call_goes_to_the_next_host() -> None:
    feed = SpotFeed(URLS, "BTCUSDT", SETTINGS, sink=Collector())
    path = "/stream?streams=btcusdt@trade/btcusdt@bookTicker&timeUnit=MICROSECOND"
    assert [feed.url() for _ in range(3)] == [
        "wss://data-stream.binance.vision" + path,
        "wss://stream.binance.com:9443" + path,
        "wss://data-stream.binance.vision" + path,
    ]


def test_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SpotFeed((), "BTCUSDT", SETTINGS, sink=Collector())


def test_trade_and_quote_become_events() -> None:
    feed, sink = opened()
    feed.on_payload(trade(12345, maker=True), T0_NS + 5)
    feed.on_payload(quote(7), T0_NS + 6)
    traded, quoted = sink.of(EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE)
    assert (traded["x"], traded["y"], traded["side"]) == (78803.71, 0.0012, Side.SELL)
    assert (traded["recv_ns"], traded["venue_ns"], traded["seq"]) == (
        T0_NS + 5,
        T0_NS + 12345 * 1_000,
        12345,
    )
    assert (quoted["x"], quoted["y"], quoted["seq"]) == (78803.70, 78803.71, 7)
    assert traded["flags"] & EventFlag.F_END
    assert quoted["flags"] & EventFlag.F_END


def test_second_socket_brings_no_trade_twice_and_a_hole_is_flagged() -> None:
    feed, sink = opened()
    for number in (1, 2, 2, 1, 3, 6):
        feed.on_payload(trade(number), T0_NS)
    trades = sink.of(EventKind.EV_SPOT_TRADE)
    assert [int(row["seq"]) for row in trades] == [1, 2, 3, 6]
    assert [bool(row["flags"] & EventFlag.F_GAP) for row in trades] == [False, False, False, True]
    counters = feed.counters()
    assert (counters["duplicates"], counters["gaps"], counters["frames"]) == (2, 1, 6)


def test_frame_the_scanner_refuses_takes_the_slow_path() -> None:
    feed, sink = opened()
    feed.on_payload(trade(1).replace(b'"p":"78803.71000000"', b'"p":"78803.71\\u0030"'), T0_NS)
    assert [row["x"] for row in sink.of(EventKind.EV_SPOT_TRADE)] == [78803.71]
    assert feed.counters()["slow_used"] == 1


def test_nonsense_is_counted_and_gives_nothing() -> None:
    feed, sink = opened()
    for payload in (b"", b"{", b"null", b'{"result":null,"id":1}', b"\xff\xfe", trade(1)[:-9]):
        feed.on_payload(payload, T0_NS)
    assert sink.of(EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE) == []
    assert feed.wants_reconnect is None


def test_states_tell_connected_stale_once_and_reconnected() -> None:
    feed, sink = opened()
    feed.on_payload(trade(1), T0_NS)
    feed.on_timer(T0_NS + 5 * NS - 1)
    assert (sink.states(), feed.wants_reconnect) == (["CONNECTED"], None)
    feed.on_timer(T0_NS + 5 * NS)
    assert (sink.states(), feed.wants_reconnect) == (["CONNECTED", "STALE"], "silence")
    feed.on_close("silence", T0_NS + 6 * NS)
    feed.on_open(Sent(), T0_NS + 7 * NS)
    assert feed.wants_reconnect is None
    feed.on_timer(T0_NS + 11 * NS)
    assert feed.wants_reconnect is None
    feed.on_timer(T0_NS + 12 * NS)  # still nothing: an exchange halt; stale is not told again
    assert feed.wants_reconnect == "silence"
    feed.on_payload(trade(2), T0_NS + 13 * NS)
    assert sink.states() == ["CONNECTED", "STALE", "DISCONNECTED", "RECONNECTED", "CONNECTED"]
    state = sink.of(EventKind.EV_FEED_STATE)[0]
    assert (state["i"], state["market"], state["recv_ns"]) == (FeedId.FEED_SPOT, 65_535, T0_NS)
    assert feed.counters()["silences"] == 2


def test_frames_that_bring_nothing_new_do_not_keep_the_feed_fresh() -> None:
    feed, sink = opened()
    feed.on_payload(trade(9), T0_NS)
    feed.on_payload(trade(9), T0_NS + 4 * NS)
    feed.on_timer(T0_NS + 5 * NS)
    assert sink.states() == ["CONNECTED", "STALE"]


def test_sequence_that_starts_anew_at_the_other_end_is_accepted_after_two_silences() -> None:
    feed, sink = opened()
    feed.on_payload(trade(1_000), T0_NS)
    at_ns = T0_NS
    for _ in range(2):
        at_ns += 5 * NS
        feed.on_payload(trade(3), at_ns - 1)
        feed.on_timer(at_ns)
    feed.on_payload(trade(4), at_ns + 1)
    assert [int(row["seq"]) for row in sink.of(EventKind.EV_SPOT_TRADE)] == [1_000, 4]


def test_second_link_of_a_rollover_is_no_news() -> None:
    feed, sink = opened()
    feed.on_open(Sent(), T0_NS + NS)
    feed.on_close("rollover", T0_NS + 2 * NS)
    assert sink.states() == ["CONNECTED"]
    feed.on_close("aborted", T0_NS + 3 * NS)
    assert sink.states() == ["CONNECTED", "DISCONNECTED"]


def test_shutdown_notice_asks_for_a_successor_and_then_for_a_new_socket() -> None:
    feed, _ = opened()
    feed.on_payload(SHUTDOWN, T0_NS + NS)
    assert (feed.wants_rollover, feed.wants_reconnect) == ("server_shutdown", None)
    feed.on_payload(trade(1), T0_NS + 5 * NS)
    feed.on_timer(T0_NS + 6 * NS)
    assert feed.wants_reconnect is None
    feed.on_timer(T0_NS + 6 * NS + 1)
    assert feed.wants_reconnect == "server_shutdown"
    feed.on_close("server_shutdown", T0_NS + 7 * NS)
    feed.on_open(Sent(), T0_NS + 7 * NS)
    assert (feed.wants_rollover, feed.wants_reconnect) == (None, None)


def test_recorded_minutes_pass_without_a_refusal(shared_dir: Path) -> None:
    feed, sink = opened()
    recording = shared_dir / "data" / "nkaz001+hftbacktest" / "spot_btcusdt_20240808.gz"
    with gzip.open(recording, "rb") as lines:
        for line in lines:
            stamp, frame = line.rstrip().split(b" ", 1)
            feed.on_payload(frame, int(stamp))
    counters = feed.counters()
    assert (counters["trades"], counters["quotes"]) == (9_757, 28_040)
    assert (counters["malformed"], counters["slow_used"], counters["gaps"]) == (0, 0, 0)
    assert len(sink.buffers) == 1 + 9_757 + 28_040


class RestHttp:
    """The spot exchange's REST, canned by host and path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 5.0,
    ) -> HttpResponse:
        self.asked.append(url)
        host = url.removeprefix("http://").split("/")[0]
        kind = "trades" if "klines" not in url else "minutes" if "interval=1m" in url else "klines"
        answer = self.answers.get(f"{host}_{kind}", [])
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return HttpResponse(answer, {}, b'{"code":0}')
        return HttpResponse(200, {}, answer if isinstance(answer, bytes) else json.dumps(answer).encode())


T0_MS = T0_NS // 1_000_000


def candle(end_ms: int, close: str, count: int = 5) -> list[Any]:
    return [end_ms - 999, "1", "1", "1", close, "0.5", end_ms, "1", count, "1", "1", "0"]


def agg_trade(number: int, stamp: int, price: str) -> dict[str, Any]:
    return {
        "a": number,
        "p": price,
        "q": "0.25",
        "f": 2 * number,
        "l": 2 * number + 1,
        "T": stamp,
        "m": number % 2 == 1,
        "M": True,
    }


CANDLES = [
    candle(T0_MS - 3_001, "100.0"),
    candle(T0_MS - 2_001, "101.0", count=0),
    candle(T0_MS - 1_001, "102.0"),
    candle(T0_MS - 1, "103.0"),  # ends after the first trade: covered by the trades
]
TRADES = [agg_trade(1, T0_MS - 500, "103.5"), agg_trade(2, (T0_MS - 200) * 1_000, "104.5")]


def warm(http: RestHttp, settings: FeedsConfig = SETTINGS) -> tuple[SpotFeed, list[Any]]:
    feed = SpotFeed(URLS, "BTCUSDT", settings, sink=Collector())
    events = asyncio.run(feed.warm_start(http, ("http://a/", "http://b"), T0_NS))
    return feed, list(events.to_numpy())


def test_warm_start_reads_candles_then_trades_oldest_first() -> None:
    http = RestHttp(a_trades=TRADES, a_klines=CANDLES)
    feed, rows = warm(http)
    assert [float(row["x"]) for row in rows] == [100.0, 102.0, 103.5, 104.5]
    ages_ms = [(T0_NS - int(row["venue_ns"])) // 1_000_000 for row in rows]
    assert ages_ms == [3_001, 1_001, 500, 200]
    backfill = int(EventFlag.F_SNAPSHOT | EventFlag.F_AGG)
    assert {(int(row["kind"]), int(row["flags"]), int(row["recv_ns"])) for row in rows} == {
        (int(EventKind.EV_SPOT_TRADE), backfill, T0_NS)
    }
    assert [(int(row["i"]), int(row["seq"]), int(row["side"])) for row in rows[2:]] == [
        (2, 3, Side.SELL),
        (4, 5, Side.BUY),
    ]
    assert http.asked == [
        "http://a/api/v3/aggTrades?symbol=BTCUSDT&limit=1000",
        f"http://a/api/v3/klines?symbol=BTCUSDT&interval=1s&endTime={T0_MS - 501}&limit=1000",
        f"http://a/api/v3/klines?symbol=BTCUSDT&interval=1m&endTime={T0_MS - 4_001}&limit=240",
    ]
    assert feed.counters()["warm_errors"] == 0


MINUTES = [
    [T0_MS - 180_000, "1", "1", "1", "97.0", "90.0", T0_MS - 120_001, "1", 800, "1", "1", "0"],
    [T0_MS - 120_000, "1", "1", "1", "98.0", "90.0", T0_MS - 60_001, "1", 800, "1", "1", "0"],
    [T0_MS - 60_000, "1", "1", "1", "99.0", "90.0", T0_MS - 1, "1", 800, "1", "1", "0"],  # runs into the seconds
]


def test_warm_start_begins_with_whole_minutes_that_carry_no_quantity() -> None:
    _, rows = warm(RestHttp(a_trades=TRADES, a_klines=CANDLES, a_minutes=MINUTES))
    assert [float(row["x"]) for row in rows] == [97.0, 98.0, 100.0, 102.0, 103.5, 104.5]
    assert [float(row["y"]) for row in rows] == [0.0, 0.0, 0.5, 0.5, 0.25, 0.25]
    ages_ms = [(T0_NS - int(row["venue_ns"])) // 1_000_000 for row in rows[:2]]
    assert ages_ms == [120_001, 60_001]


def test_warm_start_by_minutes_alone_leaves_no_vwap_and_a_warm_volatility() -> None:
    rnd = Random(1)
    minutes, price = [], 60_000.0
    for k in range(240, 0, -1):
        price *= math.exp(rnd.gauss(0.0, 8e-5 * math.sqrt(60.0)))
        stamp = T0_MS - 60_000 * k
        minutes.append([stamp, "1", "1", "1", str(price), "90.0", stamp + 59_999, "1", 800, "1", "1", "0"])
    _, rows = warm(RestHttp(a_trades=[], a_klines=[], a_minutes=minutes))
    assert len(rows) == 240
    vol, vwap = build_vol(default_config().model.vol), RollingVwap(60.0)
    for row in rows:
        vol.add(float(row["x"]), int(row["venue_ns"]))
        vwap.add(float(row["x"]), float(row["y"]), int(row["venue_ns"]))
    assert math.isnan(vwap.mean)
    assert vol.warm
    assert 4e-5 < vol.value() < 16e-5
    assert vol.standard_error() > default_config().model.vol.forecast_ln_sd


def test_warm_start_without_minutes_is_the_shorter_one() -> None:
    http = RestHttp(a_trades=TRADES, a_klines=CANDLES, a_minutes=MINUTES)
    _, rows = warm(http, FeedsConfig(warm_trades=1_000, warm_h=0.0))
    assert len(rows) == 4
    assert not any("interval=1m" in url for url in http.asked)


def test_warm_start_goes_to_the_next_host() -> None:
    http = RestHttp(a_trades=451, b_trades=TRADES, a_klines=VenueUnavailable("x"), b_klines=CANDLES)
    feed, rows = warm(http)
    assert len(rows) == 4
    assert feed.counters()["warm_errors"] == 2


def test_warm_start_without_candles_still_has_the_trades() -> None:
    feed, rows = warm(RestHttp(a_trades=TRADES, a_klines=b"<html>", b_klines=400))
    assert [float(row["x"]) for row in rows] == [103.5, 104.5]
    assert feed.counters()["warm_errors"] == 2


@pytest.mark.parametrize("trades", [b"{", 503, [{"T": "x"}], [7], [{"T": 1}]])
def test_warm_start_that_fails_is_empty_and_counted(trades: Any) -> None:
    feed, rows = warm(RestHttp(a_trades=trades, b_trades=trades, a_klines=[], b_klines=[]))
    assert rows == []
    assert feed.counters()["warm_errors"] > 0


def test_warm_start_can_be_turned_off() -> None:
    http = RestHttp()
    _, rows = warm(http, FeedsConfig(warm_trades=0))
    assert (rows, http.asked) == ([], [])


def test_rollover_at_a_shutdown_notice_loses_and_repeats_no_trade() -> None:
    """Over real sockets: every trade goes out on every open socket; the engine sees each once."""

    async def scenario() -> None:
        async with peer_of(listen, path="/stream") as peer:
            sink = Collector()
            patient = FeedsConfig(spot_silence_s=600.0, connect_timeout_s=60.0)
            feed = SpotFeed((peer.base,), "BTCUSDT", patient, sink=sink)
            connection = Connection(feed, clock(), patient, rng=Random(1))
            number, second_notice = 0, 0
            async with running(connection), asyncio.timeout(WAIT_S):
                await peer.sockets.reach(1)
                while connection.disconnects < 2:
                    number += 1
                    frames = [trade(number)]
                    if connection.disconnects == 1 and not second_notice:
                        second_notice = number + 100
                    if number in (20, second_notice):
                        frames.append(SHUTDOWN)
                    for socket in tuple(peer.sockets.items):
                        assert isinstance(socket, web.WebSocketResponse)
                        for frame in frames:
                            if not socket.closed:
                                await socket.send_bytes(frame)
                    await asyncio.sleep(0.001)
            trades = [int(row["seq"]) for row in sink.of(EventKind.EV_SPOT_TRADE)]
            assert trades == list(range(1, len(trades) + 1))
            assert len(trades) >= number - 10
            assert connection.rollovers == 2
            assert feed.counters()["gaps"] == 0
            assert feed.counters()["duplicates"] > 0
            assert sink.states() == ["CONNECTED", "DISCONNECTED"]

    asyncio.run(scenario())


class Before:
    """What a tape recorder is to a feed: it stands before it, and shows no inlet."""

    def __init__(self, feed: SpotFeed) -> None:
        self.name, self.feed = feed.name, feed
        self.wants_reconnect: str | None = None
        self.url, self.on_open, self.on_timer, self.on_close = feed.url, feed.on_open, feed.on_timer, feed.on_close
        self.payloads: list[bytes] = []

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        self.payloads.append(payload)
        self.feed.on_payload(payload, recv_ns)


def test_both_roads_from_a_socket_bring_the_same_events_and_counts() -> None:
    """The C road, and the Python road of a feed that something stands before: odd frames and fragments included."""
    slow = trade(7).replace(b'"p":"78803.71000000"', b'"p":"78803.71\\u0030"')
    frames = [trade(1), quote(1), trade(2), trade(2), slow, b"{", b'{"result":null}', SHUTDOWN, quote(1), trade(9)]

    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        for frame in frames:
            await socket.send_bytes(frame)
        transport = socket._req.transport if socket._req is not None else None
        assert isinstance(transport, asyncio.Transport)
        last = trade(10)
        transport.write(bytes((0x01, 100)) + last[:100] + bytes((0x80, len(last) - 100)) + last[100:])
        await listen(peer, socket)

    async def life(*, is_before: bool) -> tuple[list[Any], dict[str, int], str | None, int]:
        sink, patient = Collector(), FeedsConfig(spot_silence_s=6_000.0, connect_timeout_s=60.0)
        async with peer_of(handler, path="/stream") as peer:
            feed = SpotFeed((peer.base,), "BTCUSDT", patient, sink=sink)
            before = Before(feed)
            driven: Any = before if is_before else feed
            connection = Connection(driven, clock(speed=1.0), patient, rng=Random(1))
            async with running(connection), asyncio.timeout(WAIT_S):
                while feed.counters()["trades"] < 5:
                    await asyncio.sleep(0.001)
                last_ns = connection.last_payload_ns
        rows = [row.copy() for row in sink.rows]
        assert last_ns == rows[-2]["recv_ns"]  # the very last one is the disconnect
        for row in rows:
            row["recv_ns"] = 0
        assert len(before.payloads) == (len(frames) + 1 if is_before else 0)
        return rows, feed.counters(), feed.wants_rollover, connection.callback_errors

    through_c, through_python = (asyncio.run(life(is_before=before)) for before in (False, True))
    assert through_c == through_python
    rows, counters, wish, errors = through_c
    assert [int(row["seq"]) for row in rows if row["kind"] == EventKind.EV_SPOT_TRADE] == [1, 2, 7, 9, 10]
    assert (counters["slow_used"], counters["duplicates"], counters["shutdowns"]) == (1, 1, 1)
    assert (wish, errors) == ("server_shutdown", 0)
