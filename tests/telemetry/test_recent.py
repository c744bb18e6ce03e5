"""The ring of events for watchers: numbering, bounds of one answer, and an exact count of what was missed."""

import json
import sys
import threading
from random import Random

import pytest

from polybot.telemetry.recent import SECRET_CHARS_MIN, TEXT_MAX, RecentEvents, Seen
from polybot.telemetry.redact import MIN_SECRET_CHARS, Redactor

WIDE = 1 << 30


def ring(capacity: int = 64, *secrets: str) -> RecentEvents:
    return RecentEvents(capacity, scrub=Redactor(*secrets).scrub if secrets else str)


def add(recent: RecentEvents, count: int = 1, text: str = "a word") -> None:
    for _ in range(count):
        recent.add("notice", text, ts_ns=7)


def numbers(seen: Seen) -> list[int]:
    return [json.loads(event)["seq"] for event in seen.events]


def look(recent: RecentEvents, cursor: int | None, *, limit: int = WIDE, limit_bytes: int = WIDE) -> Seen:
    return recent.since(cursor, limit=limit, limit_bytes=limit_bytes)


def test_an_event_is_one_json_object_with_everything_a_watcher_needs() -> None:
    recent = ring()
    data = {"cost_usd": 5_000_000, "fair": float("nan"), "is_first": True}
    recent.add("fill", "FILL      12  Buy", ts_ns=9, level="ERROR", slug="btc-1", strategy="arb", data=data)
    assert json.loads(look(recent, 0).events[0]) == {
        "seq": 1,
        "ts_ns": 9,
        "kind": "fill",
        "level": "ERROR",
        "slug": "btc-1",
        "strategy": "arb",
        "text": "FILL 12 Buy",
        "data": {"cost_usd": 5_000_000, "fair": None, "is_first": True},
    }


def test_without_a_cursor_only_what_is_still_to_come_is_told() -> None:
    recent = ring()
    add(recent, 3)
    first = look(recent, None)
    assert first == Seen([], 4, 0)
    add(recent, 2)
    assert (numbers(look(recent, first.next)), look(recent, first.next).missed) == ([4, 5], 0)


def test_a_cursor_of_another_process_beyond_the_last_event_is_no_cursor() -> None:
    recent = ring()
    add(recent, 3)
    assert look(recent, 1_000_000) == Seen([], 4, 0)


def test_a_burst_comes_in_bounded_answers_and_what_the_ring_lost_is_counted_exactly() -> None:
    recent = ring(4_096)
    add(recent, 10_000)
    got, missed, cursor, answers = [], 0, 1, 0
    while cursor < recent.next:
        seen = look(recent, cursor, limit=500)
        assert 0 < len(seen.events) <= 500
        got += numbers(seen)
        missed += seen.missed
        cursor = seen.next
        answers += 1
    assert got == list(range(10_000 - 4_096 + 1, 10_001))
    assert (missed, answers) == (10_000 - 4_096, 9)


def test_one_answer_has_at_most_so_many_bytes_but_always_an_event() -> None:
    recent = ring()
    add(recent, 20, text="x" * 300)
    size = len(look(recent, 1, limit=1).events[0])
    assert numbers(look(recent, 1, limit_bytes=5 * size)) == [1, 2, 3, 4, 5]
    assert numbers(look(recent, 6, limit_bytes=1)) == [6]


def test_the_last_word_has_the_newest_that_fit_and_counts_the_others() -> None:
    recent = ring(16)
    add(recent, 40)
    word = recent.newest(10, limit=8, limit_bytes=WIDE)
    assert (numbers(word), word.missed, word.next) == (list(range(33, 41)), 23, 41)
    whole = recent.newest(38, limit=8, limit_bytes=WIDE)
    assert (numbers(whole), whole.missed) == ([38, 39, 40], 0)
    lost = recent.newest(1, limit=100, limit_bytes=WIDE)
    assert (numbers(lost), lost.missed) == (list(range(25, 41)), 24)
    size = len(look(recent, 40).events[0])
    narrow = recent.newest(30, limit=100, limit_bytes=3 * size)
    assert (numbers(narrow), narrow.missed) == ([38, 39, 40], 8)
    assert recent.newest(41, limit=8, limit_bytes=WIDE) == Seen([], 41, 0)


@pytest.mark.parametrize("seed", range(10))
def test_random_adds_and_looks_agree_with_a_list_that_forgets_nothing(seed: int) -> None:
    rnd = Random(seed)
    recent, told = ring(rnd.choice((64, 100, 257))), 0
    got, missed, cursor = [], 0, 1
    for _ in range(200):
        more = rnd.choice((0, 0, 1, 5, 40, 300))
        add(recent, more)
        told += more
        seen = look(recent, cursor, limit=rnd.choice((1, 7, 50, 500)))
        got += numbers(seen)
        missed += seen.missed
        assert seen.next - cursor == len(seen.events) + seen.missed
        cursor = seen.next
    rest = look(recent, cursor)
    got += numbers(rest)
    assert got == sorted(set(got))
    assert len(got) + missed + rest.missed == told


def test_a_reader_beside_a_writing_thread_gets_or_counts_every_event_once() -> None:
    recent, count = ring(64), 30_000
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    writer = threading.Thread(target=add, args=(recent, count))
    got, missed, cursor = [], 0, 1
    try:
        writer.start()
        while cursor <= count:
            seen = look(recent, cursor, limit=50)
            got += numbers(seen)
            missed += seen.missed
            cursor = seen.next
    finally:
        writer.join()
        sys.setswitchinterval(before)
    assert got == sorted(set(got))
    assert len(got) + missed == count


def test_an_event_is_in_its_slot_before_its_number_is_told() -> None:
    recent = ring()
    told: list[int] = []

    class Slots(list[tuple[int, bytes]]):
        def __setitem__(self, at: object, slot: object) -> None:
            told.append(recent.next)
            super().__setitem__(at, slot)  # type: ignore[call-overload]

    recent._slots = Slots(recent._slots)
    add(recent, 3)
    assert (told, recent.next) == ([1, 2, 3], 4)


def test_texts_are_one_printable_line_of_bounded_length_without_secrets() -> None:
    secret = "hunter2-hunter2-hunter2"
    recent = ring(64, secret)
    text = f"first\nsecond \x1b[31mred  {secret}" + "z" * 1_000
    order_id = "0x" + "ab" * 32
    data = {"reason": f"key {secret}", "order_id": order_id, "by": "x\ny" * 5, "at": "\ud800!"}
    recent.add("notice", text, ts_ns=1, data=data)
    event = json.loads(look(recent, 1).events[0])
    assert event["text"].startswith("first second [31mred [redacted]zzz")
    assert (len(event["text"]), event["text"].isprintable()) == (TEXT_MAX, True)
    assert event["data"] == {"reason": "key [redacted]", "order_id": order_id, "by": "x yx yx yx yx y", "at": " !"}
    assert SECRET_CHARS_MIN == MIN_SECRET_CHARS


def test_an_unknown_kind_is_an_error_of_ours() -> None:
    with pytest.raises(AssertionError, match="unknown kind"):
        ring().add("earthquake", "", ts_ns=1)


def test_the_end_is_known_once_its_event_is_in_the_ring() -> None:
    recent = ring()
    add(recent)
    assert not recent.is_ended
    recent.add("stop", "stopped", ts_ns=1)
    assert recent.is_ended
