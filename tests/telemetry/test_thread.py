"""TelemetryThread beside a busy producer: nothing kept is lost, everything dropped is counted."""

import threading
from pathlib import Path

from polybot._fast.event import CommandKind
from polybot._fast.ring import CommandRing
from polybot.telemetry.thread import TelemetryThread
from tests.telemetry.scripted import Desk, command

WAIT_S = 60.0  # nothing waits so long unless it is stuck


def test_a_producer_and_the_thread_lose_no_order_and_count_every_drop(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ring=CommandRing(loose_capacity=64, keep_start=4))
    problems: list[Exception] = []
    thread = TelemetryThread(desk.writer, on_error=problems.append, every_s=0.001)
    desk.open_market()
    denied = command(CommandKind.CMD_SIGNAL, market=3, reason=2)
    thread.start()
    for number in range(3_000):
        desk.push(CommandKind.CMD_FILL, market=3, order_seq=number, confidence=float(number), reason=1)
        for _ in range(3):
            desk.ring.push_bytes(denied)
        if number % 100 == 0:
            thread.poke()
    assert thread.stop(WAIT_S)
    assert problems == []
    keys = [int(line.split(",")[1]) for line in desk.table("fills.csv")[1:]]
    assert keys == list(range(3_000))
    signals = len(desk.table("signals.csv")) - 1
    assert signals + desk.writer.health().records_dropped == 9_000
    assert desk.ring.pushed == desk.ring.drained + desk.ring.dropped
    assert "SUMMARY" in desk.text()


def test_notes_and_records_from_several_threads_all_arrive(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    problems: list[Exception] = []
    thread = TelemetryThread(desk.writer, on_error=problems.append, every_s=0.001)
    thread.start()

    def produce(first: int) -> None:
        for number in range(first, first + 500):
            desk.inbox.order_hash(number, f"0x{number:064x}")
            desk.push(CommandKind.CMD_PLACE, market=3, order_seq=number)

    producers = [threading.Thread(target=produce, args=(first,)) for first in (0, 1_000)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    assert thread.stop(WAIT_S)
    assert problems == []
    rows = [line.split(",") for line in desk.table("orders.csv")[1:]]
    assert sorted(int(row[1]) for row in rows) == [*range(500), *range(1_000, 1_500)]
    assert all(row[2] == f"0x{int(row[1]):064x}" for row in rows)


def test_a_drain_that_raises_is_told_and_the_thread_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open_market()
    problems: list[Exception] = []
    failed = threading.Event()

    def on_error(problem: Exception) -> None:
        problems.append(problem)
        failed.set()

    thread = TelemetryThread(desk.writer, on_error=on_error, every_s=0.001)
    desk.push(CommandKind.CMD_FILL, market=3, order_seq=1, confidence=float("nan"), reason=1)
    thread.start()
    assert failed.wait(WAIT_S)
    desk.push(CommandKind.CMD_PLACE, market=3, order_seq=2)
    assert thread.stop(WAIT_S)
    assert thread.errors == 1
    assert len(desk.table("orders.csv")) == 2


def test_notes_beyond_their_maximum_are_counted_by_sort(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("polybot.telemetry.inbox.LOOSE_NOTES_MAX", 10)
    monkeypatch.setattr("polybot.telemetry.inbox.KEPT_NOTES_MAX", 20)
    desk = Desk(tmp_path)
    for number in range(15):
        desk.inbox.feed_ages({"spot": float(number)})
    for number in range(15):
        desk.inbox.order_hash(number, "0x")
    health = desk.writer.health()
    assert (health.notes_dropped, health.notes_lost) == (5, 5)
    assert len(desk.inbox.take()) == 20
