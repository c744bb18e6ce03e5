"""Recorded spot frames: all of them, verbatim, due at exchange time."""

import gzip
import json
from itertools import pairwise

import pytest

from polybot.errors import ConfigError
from polybot.sim.tape import load_spot_tape, tape_start_ns

NS = 1_000_000_000
MS = 1_000_000
LOCAL_NS = 1_000 * NS


def trade(local_ms, event_ms, trade_id, price="100.50000000"):
    data = {"e": "trade", "E": event_ms, "s": "ABCUSDT", "t": trade_id, "p": price, "q": "0.5", "T": event_ms - 1,
            "m": True, "M": True}  # fmt: skip
    return line(local_ms, {"stream": "abcusdt@trade", "data": data})


def quote(local_ms, update):
    data = {"u": update, "s": "ABCUSDT", "b": "100.50", "B": "1.0", "a": "100.51", "A": "2.0"}
    return line(local_ms, {"stream": "abcusdt@bookTicker", "data": data})


def depth(local_ms, event_ms):
    data = {"e": "depthUpdate", "E": event_ms, "s": "ABCUSDT", "b": [], "a": []}
    return line(local_ms, {"stream": "abcusdt@depth@100ms", "data": data})


def line(local_ms, message):
    return f"{LOCAL_NS + local_ms * MS} {json.dumps(message, separators=(',', ':'))}\n"


@pytest.fixture
def make_tape(tmp_path):
    def make(*lines, name="spot.txt"):
        path = tmp_path / name
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress("".join(lines).encode()))
        else:
            path.write_text("".join(lines))
        return path

    return make


def test_trades_are_due_at_their_event_time_and_quotes_at_the_running_offset(make_tape):
    path = make_tape(trade(0, 5_000, 1), quote(10, 7), depth(20, 5_015), quote(30, 8), trade(40, 5_060, 2))
    tape = load_spot_tape(path)
    assert [frame.due_ns // MS for frame in tape.frames] == [5_000, 5_010, 5_025, 5_060]
    assert tape.first_ns == tape_start_ns(path) == 5_000 * MS
    assert tape.skipped == {"depth@100ms": 1}
    assert tape.symbol == "ABCUSDT"
    assert tape.first_price == 100.5


def test_a_recording_may_begin_with_an_unstamped_quote(make_tape):
    path = make_tape(quote(-20, 6), trade(0, 5_000, 1))
    assert load_spot_tape(path).first_ns == tape_start_ns(path) == 4_980 * MS


def test_due_times_never_go_back_when_the_exchange_clock_jitters(make_tape):
    tape = load_spot_tape(make_tape(trade(0, 5_000, 1), trade(5, 4_990, 2), quote(6, 7), trade(20, 5_020, 3)))
    assert [frame.due_ns // MS for frame in tape.frames] == [5_000, 5_000, 5_000, 5_020]


def test_raw_text_is_a_verbatim_part_of_the_line(make_tape):
    tape = load_spot_tape(make_tape(trade(0, 5_000, 1), name="spot.gz"))
    frame = tape.frames[0]
    assert json.loads(frame.text)["data"] == json.loads(frame.text[frame.raw_at : -1])
    assert frame.trade is not None
    assert (frame.trade.price_e8, frame.trade.qty_e8, frame.trade.at_us) == (
        10_050_000_000,
        50_000_000,
        4_999_000,
    )


@pytest.mark.parametrize("text", ["", "not a tape\n", "12 {}\n", '12 {"stream":"a@trade","data":{}}\n'])
def test_a_file_that_is_no_tape_is_refused_by_name(make_tape, text):
    path = make_tape(text)
    with pytest.raises(ConfigError, match=r"spot\.txt"):
        load_spot_tape(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.gz"):
        load_spot_tape(tmp_path / "absent.gz")


def test_the_recorded_day_is_read_whole(shared_dir):
    tape = load_spot_tape(shared_dir / "data" / "nkaz001+hftbacktest" / "spot_btcusdt_20240808.gz")
    streams = [frame.stream for frame in tape.frames]
    assert streams.count("btcusdt@trade") == 9_757
    assert streams.count("btcusdt@bookTicker") == 28_040
    assert len(streams) == 9_757 + 28_040
    assert tape.skipped == {"depth@100ms": 3_451, "rest": 1}
    boundary_ns = 1_723_161_300 * NS
    assert boundary_ns - tape.first_ns == pytest.approx(44.8 * NS, abs=0.1 * NS)
    assert tape.last_ns - (boundary_ns + 300 * NS) == pytest.approx(1.271 * NS, abs=5 * MS)
    assert all(a.due_ns <= b.due_ns for a, b in pairwise(tape.frames))
    ids = [frame.trade.trade_id for frame in tape.frames if frame.trade is not None]
    assert ids == sorted(set(ids))
