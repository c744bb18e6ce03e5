"""Windows and slugs: alignment, both clock changes of 2026, the year's end, tiling, round trips."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybot.errors import DecodeError
from polybot.market.window import INTERVALS, Window, next_windows, parse_slug, slug, window_at

NS = 1_000_000_000
HOUR_NS = 3_600 * NS


@dataclass(frozen=True)
class Asset:
    name: str = "btc"
    long_name: str = "bitcoin"


BTC = Asset()


def utc_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def day_of(interval: str, first: str, until: str) -> list[Window]:
    windows = [window_at(interval, utc_ns(first))]
    while windows[-1].end_ns < utc_ns(until):
        windows.append(window_at(interval, windows[-1].end_ns))
    return windows


@pytest.mark.parametrize(
    ("interval", "now", "start", "end"),
    [
        ("5m", "2026-09-23T00:34:59", "2026-09-23T00:30:00", "2026-09-23T00:35:00"),
        ("5m", "2026-09-23T00:35:00", "2026-09-23T00:35:00", "2026-09-23T00:40:00"),
        ("15m", "2026-09-28T17:44:59", "2026-09-28T17:30:00", "2026-09-28T17:45:00"),
        ("1h", "2026-09-28T17:30:00", "2026-09-28T17:00:00", "2026-09-28T18:00:00"),
        ("4h", "2026-09-28T17:30:00", "2026-09-28T16:00:00", "2026-09-28T20:00:00"),  # 12-16 EDT
        ("4h", "2026-12-28T17:30:00", "2026-12-28T17:00:00", "2026-12-28T21:00:00"),  # 12-16 EST
        ("4h", "2026-12-28T16:59:59", "2026-12-28T13:00:00", "2026-12-28T17:00:00"),
    ],
)
def test_window_holds_the_instant_and_is_aligned(interval: str, now: str, start: str, end: str) -> None:
    assert window_at(interval, utc_ns(now)) == Window(interval, utc_ns(start), utc_ns(end))


def test_last_nanosecond_belongs_to_the_earlier_window() -> None:
    boundary = utc_ns("2026-09-23T00:35:00")
    assert window_at("5m", boundary - 1).end_ns == boundary
    assert window_at("5m", boundary).start_ns == boundary


def test_unknown_interval_is_an_error() -> None:
    with pytest.raises(ValueError, match="1d"):
        window_at("1d", 0)


def test_four_hour_windows_on_the_23_hour_day() -> None:
    windows = day_of("4h", "2026-03-08T05:00:00", "2026-03-09T04:00:00")
    assert [w.duration_s for w in windows] == [10_800, 14_400, 14_400, 14_400, 14_400, 14_400]
    assert windows[0] == Window("4h", utc_ns("2026-03-08T05:00:00"), utc_ns("2026-03-08T08:00:00"))
    assert windows[-1].end_ns == utc_ns("2026-03-09T04:00:00")


def test_four_hour_windows_on_the_25_hour_day() -> None:
    windows = day_of("4h", "2026-11-01T04:00:00", "2026-11-02T05:00:00")
    assert [w.duration_s for w in windows] == [18_000, 14_400, 14_400, 14_400, 14_400, 14_400]
    assert windows[0] == Window("4h", utc_ns("2026-11-01T04:00:00"), utc_ns("2026-11-01T09:00:00"))
    # 05:30Z and 06:30Z are both 01:30 in New York: the same window
    assert window_at("4h", utc_ns("2026-11-01T05:30:00")) == window_at("4h", utc_ns("2026-11-01T06:30:00"))


def test_repeated_hour_has_two_windows_and_one_slug() -> None:
    first = window_at("1h", utc_ns("2026-11-01T05:10:00"))
    second = window_at("1h", utc_ns("2026-11-01T06:10:00"))
    name = "bitcoin-up-or-down-november-1-2026-1am-et"
    assert first != second
    assert first.end_ns == second.start_ns
    assert slug(BTC, "1h", first.start_ns) == slug(BTC, "1h", second.start_ns) == name
    assert parse_slug(name).windows == (first, second)


def test_skipped_hour_has_no_window() -> None:
    before = window_at("1h", utc_ns("2026-03-08T06:59:59"))
    after = window_at("1h", before.end_ns)
    assert slug(BTC, "1h", before.start_ns) == "bitcoin-up-or-down-march-8-2026-1am-et"
    assert slug(BTC, "1h", after.start_ns) == "bitcoin-up-or-down-march-8-2026-3am-et"
    with pytest.raises(DecodeError):
        parse_slug("bitcoin-up-or-down-march-8-2026-2am-et")


def test_every_hour_of_both_change_days_has_a_slug_that_parses_back() -> None:
    for first, until, hours in (
        ("2026-03-08T05:00:00", "2026-03-09T04:00:00", 23),
        ("2026-11-01T04:00:00", "2026-11-02T05:00:00", 25),
    ):
        windows = day_of("1h", first, until)
        assert len(windows) == hours
        slugs = [slug(BTC, "1h", w.start_ns) for w in windows]
        assert len(set(slugs)) == min(hours, 24)
        assert all(w in parse_slug(s).windows for w, s in zip(windows, slugs, strict=True))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2026-09-28T17:00:00", "bitcoin-up-or-down-september-28-2026-1pm-et"),
        ("2026-09-28T16:00:00", "bitcoin-up-or-down-september-28-2026-12pm-et"),
        ("2026-09-28T04:00:00", "bitcoin-up-or-down-september-28-2026-12am-et"),
        ("2027-01-01T04:00:00", "bitcoin-up-or-down-december-31-2026-11pm-et"),  # still the old year there
        ("2027-01-01T05:00:00", "bitcoin-up-or-down-january-1-2027-12am-et"),
    ],
)
def test_hour_slug_is_new_york_wall_time_with_year(start: str, expected: str) -> None:
    assert slug(BTC, "1h", utc_ns(start)) == expected
    assert parse_slug(expected).windows[0].start_ns == utc_ns(start)


def test_epoch_slugs_carry_the_window_start() -> None:
    assert slug(BTC, "5m", 1_790_123_400 * NS) == "btc-updown-5m-1790123400"  # recorded 2026-09-23
    assert slug(BTC, "15m", 1_790_616_600 * NS) == "btc-updown-15m-1790616600"
    start_ns = utc_ns("2026-12-31T21:00:00")  # 16:00 EST
    assert slug(BTC, "4h", start_ns) == f"btc-updown-4h-{start_ns // NS}"


def test_four_hour_windows_at_the_year_end() -> None:
    last, first = next_windows("4h", utc_ns("2027-01-01T04:59:59"), 2)
    assert last == Window("4h", utc_ns("2027-01-01T01:00:00"), utc_ns("2027-01-01T05:00:00"))
    assert first.start_ns == last.end_ns


def test_slug_of_a_time_that_starts_no_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="no 4h window"):
        slug(BTC, "4h", utc_ns("2026-09-28T17:00:00"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "btc-updown-5m-",
        "btc-updown-5m-1790123401",  # not a window start
        "btc-updown-4h-1790616600",
        "btc-updown-1h-1790614800",  # the venue has no such slugs
        "btc-updown-5m-1790123400-x",
        "bitcoin-up-or-down-september-28-1pm-et",  # 2025 style, without a year
        "bitcoin-up-or-down-september-31-2026-1pm-et",
        "bitcoin-up-or-down-septembre-28-2026-1pm-et",
        "bitcoin-up-or-down-september-28-2026-13pm-et",
        "bitcoin-up-or-down-september-28-2026-0am-et",
    ],
)
def test_slug_that_names_no_window_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_slug(text)


# 2020 .. 2040, the span in which the zone's rules are the ones known today
instants = st.integers(min_value=1_577_836_800 * NS, max_value=2_208_988_800 * NS)


@given(instants, st.sampled_from(INTERVALS))
def test_windows_tile_time_without_gap_or_overlap(now_ns: int, interval: str) -> None:
    window = window_at(interval, now_ns)
    assert window.start_ns <= now_ns < window.end_ns
    assert window_at(interval, window.start_ns) == window
    assert window_at(interval, window.end_ns - 1) == window
    assert window_at(interval, window.end_ns).start_ns == window.end_ns
    assert window_at(interval, window.start_ns - 1).end_ns == window.start_ns


@given(instants, st.sampled_from(INTERVALS), st.integers(min_value=1, max_value=12))
def test_next_windows_follow_each_other(now_ns: int, interval: str, count: int) -> None:
    windows = next_windows(interval, now_ns, count)
    assert len(windows) == count
    assert windows[0].start_ns <= now_ns
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(windows))


@given(instants, st.sampled_from(INTERVALS))
def test_slugs_parse_back_to_their_window(now_ns: int, interval: str) -> None:
    window = window_at(interval, now_ns)
    parts = parse_slug(slug(BTC, interval, window.start_ns))
    assert window in parts.windows
    assert parts.asset == (BTC.long_name if interval == "1h" else BTC.name)


def test_a_whole_year_of_four_hour_windows_has_one_short_and_one_long() -> None:
    windows = day_of("4h", "2026-01-01T05:00:00", "2027-01-01T05:00:00")
    odd = sorted(w.duration_s for w in windows if w.duration_s != 14_400)
    assert odd == [10_800, 18_000]
    assert len(windows) == 365 * 6
