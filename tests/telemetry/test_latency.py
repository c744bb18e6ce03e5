"""Stages of an order and of sampled events: durations, rows, percentiles."""

from pathlib import Path

import pytest

from polybot._fast.event import CommandKind, OrderStatus
from polybot.telemetry.latency import LATENCY_COLUMNS, LatencyBook
from tests.telemetry.scripted import END_NS, NS, START_NS, Desk

US = 1_000
TS_NS = START_NS + 5 * NS
TS_MS = TS_NS // 1_000_000
STAGES = (("sign", 150), ("write", 160), ("ack", 25_160), ("match", 175_160), ("confirm", 2_175_160))


def play_order(book: LatencyBook, *, until: str = "confirm") -> None:
    """An order whose trigger came in at monotonic 0 us; each stage's stamp in us."""
    book.decision(12, TS_NS, 3_500 * US, (0, 80 * US, 120 * US))
    for stage, at_us in STAGES:
        book.stage(stage, 12, at_us * US)
        if stage == until:
            return


def test_a_stage_is_the_time_since_the_stage_before() -> None:
    book = LatencyBook()
    play_order(book)
    stages = "3500.000,80.000,40.000,30.000,10.000,25000.000,150000.000,2000000.000"
    assert [",".join(row) for row in book.finish(12)] == [
        f"{TS_MS},order,12,160.000,{stages}",
        f"{TS_MS},e2e,12,160.000,,,,,,,,",
    ]


def test_columns_name_every_stage_with_its_unit() -> None:
    assert ",".join(LATENCY_COLUMNS) == (
        "ts_ms,name,order_seq,value_us,recv_us,decode_us,decide_us,sign_us,write_us,ack_us,match_us,confirm_us"
    )


def test_a_missing_stage_leaves_its_cell_empty_and_the_next_spans_it() -> None:
    book = LatencyBook()
    book.decision(12, TS_NS, None, (0, 80 * US, 120 * US))
    book.stage("write", 12, 160 * US)
    book.stage("match", 12, 460 * US)
    assert book.finish(12)[0][4:] == ("", "80.000", "40.000", "", "40.000", "", "300.000", "")


def test_an_order_is_counted_once_and_only_if_it_was_measured() -> None:
    book = LatencyBook()
    play_order(book, until="write")
    assert len(book.finish(12)) == 2
    assert book.finish(12) == []
    assert book.finish(99) == []
    assert book.histogram("write").count == 1
    assert book.histogram("ack").count == 0


def test_the_first_stamp_of_a_stage_counts() -> None:
    book = LatencyBook()
    play_order(book, until="write")
    book.stage("write", 12, 999 * US)
    assert book.finish(12)[0][3] == "160.000"


def test_late_news_of_an_order_that_has_its_row_gives_no_second_one() -> None:
    book = LatencyBook()
    play_order(book, until="match")
    assert len(book.finish(12)) == 2
    book.stage("confirm", 12, 500)
    assert book.finish(12) == []


def test_orders_beyond_the_maximum_are_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polybot.telemetry.latency.ORDERS_MAX", 10)
    book = LatencyBook()
    for order_seq in range(15):
        book.stage("write", order_seq, 1)
    assert book.forgotten == 5
    assert book.finish(4) == []
    assert len(book.finish(5)) == 1


def test_an_order_of_which_only_sending_is_known_has_no_end_to_end() -> None:
    book = LatencyBook()
    book.stage("write", 12, 500)
    rows = book.finish(12)
    assert [row[1] for row in rows] == ["order"]
    assert rows[0][3] == ""


def test_samples_keep_the_original_names() -> None:
    book = LatencyBook()
    rows = book.sample("binance", TS_NS, 900 * US, 150, 450)
    rows += book.sample("pm", TS_NS, None, 900, 1_100)
    assert [",".join(row) for row in rows] == [
        f"{TS_MS},binance_recv,,900.000,900.000,,,,,,,",
        f"{TS_MS},eval_binance,,0.450,,0.150,0.450,,,,,",
        f"{TS_MS},eval_pm,,1.100,,0.900,1.100,,,,,",
    ]


def test_table_has_percentiles_of_what_was_measured() -> None:
    book = LatencyBook()
    for value in range(1, 1_001):
        book.sample("pm", TS_NS, value * US, 0, 100)
    table = {line.name: line for line in book.table()}
    assert list(table) == ["pm_recv", "eval_pm"]
    line = table["pm_recv"]
    assert line.count == 1_000
    assert (line.p50_us, line.p90_us, line.p99_us) == pytest.approx((500, 900, 990), rel=0.01)
    assert line.max_us == 1_000


def test_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown latency stage think"):
        LatencyBook().stage("think", 1, 2)


def send_order(desk: Desk, order_seq: int, stages: tuple[str, ...]) -> None:
    desk.inbox.decision(order_seq, ts_ns=TS_NS, wire_ns=US, stamps=(0, US, 2 * US))
    desk.push(CommandKind.CMD_PLACE, market=3, order_seq=order_seq)
    for number, stage in enumerate(stages, 3):
        desk.inbox.on_stage(stage, order_seq, number * US)


def test_an_orders_row_is_written_when_it_is_confirmed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    send_order(desk, 12, ("sign", "write", "ack", "match", "confirm"))
    desk.drain_all()
    assert [line.split(",")[1:3] for line in desk.table("latency.csv")[1:]] == [
        ["order", "12"],
        ["e2e", "12"],
    ]


def test_an_order_that_ended_without_a_match_has_its_row_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    send_order(desk, 12, ("sign", "write", "ack"))
    desk.push(CommandKind.CMD_ORDER, market=3, order_seq=12, reason=OrderStatus.OS_CANCELED)
    desk.drain_all()
    assert desk.table("latency.csv")[1].startswith(
        f"{TS_MS},order,12,4.000,1.000,1.000,1.000,1.000,1.000,1.000,,"
    )


def test_an_order_that_was_never_confirmed_has_its_row_at_the_end_of_the_market(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    send_order(desk, 12, ("sign", "write", "ack", "match"))
    desk.push(CommandKind.CMD_ORDER, market=3, order_seq=12, reason=OrderStatus.OS_FILLED)
    desk.drain_all()
    assert not (desk.out_dir / "5m" / "latency.csv").exists()
    desk.inbox.market_finished(3, now_ns=END_NS)
    desk.drain_all()
    assert len(desk.table("latency.csv")) == 3
    assert desk.writer.latency.histogram("e2e").count == 1


def test_a_spot_sample_goes_to_the_market_whose_window_it_is_in(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    desk.inbox.sample("binance", ts_ns=TS_NS, wire_ns=US, decode_ns=10, decide_ns=20)
    desk.inbox.sample("binance", ts_ns=END_NS + NS, wire_ns=US, decode_ns=10, decide_ns=20)
    desk.inbox.sample("pm", ts_ns=TS_NS, wire_ns=US, decode_ns=10, decide_ns=20, market=3)
    desk.drain_all()
    names = [line.split(",")[1] for line in desk.table("latency.csv")[1:]]
    assert names == ["binance_recv", "eval_binance", "pm_recv", "eval_pm"]
    assert desk.writer.latency.histogram("binance_recv").count == 2


def test_the_first_sample_of_a_market_goes_into_its_file_when_both_are_taken_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    early_ns = START_NS - NS  # books come before the window begins
    assert desk.inbox.samples.add(source=2, ts_ns=early_ns, wire_ns=None, decode_ns=10, decide_ns=20, market=3)
    desk.drain_all()
    assert [line.split(",")[1] for line in desk.table("latency.csv")[1:]] == ["eval_pm"]
