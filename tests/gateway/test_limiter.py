"""Token buckets and pauses in venue time."""

from random import Random

from polybot.gateway.limiter import TokenBucket
from polybot.gateway.pause import EntryPause
from polybot.gateway.reasons import RejectReason as Why

NS = 1_000_000_000


def test_burst_then_steady_rate() -> None:
    bucket = TokenBucket(10.0, 3)
    assert [bucket.take(5 * NS) for _ in range(5)] == [True, True, True, False, False]
    assert bucket.take_or_wait(5 * NS) == NS // 10
    assert bucket.take(5 * NS + NS // 10)
    assert not bucket.take(5 * NS + NS // 10)


def test_long_run_rate_never_exceeds_the_limit() -> None:
    bucket = TokenBucket(20.0, 30)
    taken = sum(bucket.take(k * 1_000_000) for k in range(10_000))
    assert 229 <= taken <= 231


def test_idle_time_fills_the_bucket_no_further_than_its_depth() -> None:
    bucket = TokenBucket(1.0, 2)
    assert [bucket.take(1_000 * NS) for _ in range(3)] == [True, True, False]


def test_pause_ends_by_itself_and_grows_with_full_jitter_until_an_order_is_dealt_with() -> None:
    lengths = []
    for seed in range(200):
        pause = EntryPause(Random(seed))
        for _ in range(6):
            pause.pause(Why.VENUE_DOWN, 0.0, now_ns=0)
        lengths.append(next(ns for ns in range(0, 11 * NS, NS // 10) if pause.reason(ns) is Why.NONE))
        pause.resumed()
        pause.pause(Why.RATE_LIMIT, 0.0, now_ns=100 * NS)
        assert pause.reason(101 * NS - 1) is Why.RATE_LIMIT
        assert pause.reason(102 * NS) is Why.NONE
    assert max(lengths) > 9.5 * NS
    assert 2 * NS < sorted(lengths)[20] < 9 * NS  # full jitter: not all at the ceiling


def test_after_a_pause_one_order_proves_and_the_others_wait_for_its_answer() -> None:
    pause = EntryPause(Random(1))
    assert pause.admits(1, now_ns=0) is pause.admits(2, now_ns=0) is Why.NONE
    pause.pause(Why.VENUE_DOWN, 3.0, now_ns=0)
    assert pause.admits(1, now_ns=3 * NS - 1) is Why.VENUE_DOWN
    assert pause.admits(3, now_ns=3 * NS) is Why.NONE
    pause.started(3)
    assert pause.admits(4, now_ns=3 * NS) is Why.VENUE_DOWN
    assert pause.admits(3, now_ns=3 * NS) is Why.NONE  # asked again when it is written
    pause.answered(3, now_ns=3 * NS)  # with what proves nothing: the next trial is not before a second
    assert pause.admits(4, now_ns=4 * NS - 1) is Why.VENUE_DOWN
    assert pause.admits(4, now_ns=4 * NS) is Why.NONE
    pause.started(4)
    pause.answered(4, now_ns=4 * NS)
    pause.resumed()
    assert pause.admits(5, now_ns=4 * NS) is pause.admits(6, now_ns=4 * NS) is Why.NONE


def test_shorter_pause_does_not_end_a_longer_one() -> None:
    pause = EntryPause(Random(0))
    pause.pause(Why.RATE_LIMIT, 60.0, now_ns=0)
    pause.resumed()
    pause.pause(Why.RATE_LIMIT, 1.0, now_ns=0)
    assert pause.reason(59 * NS) is Why.RATE_LIMIT


def test_block_holds_until_lifted_and_says_why() -> None:
    pause = EntryPause(Random(0))
    pause.block(Why.HEARTBEAT_LOST, "2 beats missed")
    pause.pause(Why.VENUE_DOWN, 1.0, now_ns=0)
    assert pause.reason(10**15) is Why.HEARTBEAT_LOST
    assert pause.detail() == "HEARTBEAT_LOST: 2 beats missed"
    pause.lift(Why.HEARTBEAT_LOST)
    assert pause.reason(0) is Why.VENUE_DOWN
    assert pause.detail() == ""
