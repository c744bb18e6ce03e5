"""Token buckets and pauses in venue time."""

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


def test_pause_ends_by_itself_and_doubles_until_an_order_is_accepted() -> None:
    pause = EntryPause()
    pause.pause(Why.VENUE_DOWN, 2.0, now_ns=0)
    assert pause.reason(2 * NS - 1) is Why.VENUE_DOWN
    assert pause.reason(2 * NS) is Why.NONE
    pause.pause(Why.VENUE_DOWN, 2.0, now_ns=0)
    assert pause.reason(4 * NS - 1) is Why.VENUE_DOWN
    for _ in range(10):
        pause.pause(Why.VENUE_DOWN, 2.0, now_ns=0)
    assert pause.reason(30 * NS) is Why.NONE
    pause.resumed()
    pause.pause(Why.RATE_LIMIT, 2.0, now_ns=100 * NS)
    assert pause.reason(102 * NS) is Why.NONE


def test_shorter_pause_does_not_end_a_longer_one() -> None:
    pause = EntryPause()
    pause.pause(Why.RATE_LIMIT, 60.0, now_ns=0)
    pause.resumed()
    pause.pause(Why.RATE_LIMIT, 1.0, now_ns=0)
    assert pause.reason(59 * NS) is Why.RATE_LIMIT


def test_block_holds_until_lifted_and_says_why() -> None:
    pause = EntryPause()
    pause.block(Why.HEARTBEAT_LOST, "2 beats missed")
    pause.pause(Why.VENUE_DOWN, 1.0, now_ns=0)
    assert pause.reason(10**15) is Why.HEARTBEAT_LOST
    assert pause.detail() == "HEARTBEAT_LOST: 2 beats missed"
    pause.lift(Why.HEARTBEAT_LOST)
    assert pause.reason(0) is Why.VENUE_DOWN
    assert pause.detail() == ""
