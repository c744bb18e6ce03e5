"""What the operator hears regularly: halts with their kind, feeds that go silent and come back, each once."""

from types import SimpleNamespace

import pytest

from polybot.feeds.tally import FeedTally
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telling import Teller

NS = 1_000_000_000
T0 = 1_795_337_000 * NS
NEVER = -(1 << 60)
LOST_S = 15.0


class Desk:
    """A teller over an engine that is set by hand."""

    def __init__(self):
        self.told = []
        self.spot = SimpleNamespace(data_ns=T0, oracle_ns=T0)
        risk = SimpleNamespace(halted_manual=False, halted_daily=False, halted_weekly=False)
        self.engine = SimpleNamespace(spot=self.spot, risk=risk, markets={}, alerts=[], strategies=[])
        self.teller = Teller(
            self.engine, TelemetryInbox(), FeedTally(), notice=self._notice, lost_after_s=LOST_S
        )

    def _notice(self, level, text, *, kind="notice", data=None):
        self.told.append((kind, level, text, data))

    def second(self, at_s, *, fresh=("spot", "oracle", "book")):
        """One look, `at_s` after the start; the named feeds brought something just now."""
        now_ns = T0 + round(at_s * NS)
        for name, field in (("spot", "data_ns"), ("oracle", "oracle_ns")):
            if name in fresh:
                setattr(self.spot, field, now_ns)
        for market in self.engine.markets.values():
            if "book" in fresh:
                market.book_ns = now_ns
        before = len(self.told)
        self.teller.feeds(now_ns)
        return [(kind, data["feed"]) for kind, _, _, data in self.told[before:]]

    def open(self, index, *, start_s, end_s, observed=False, closed=False):
        self.engine.markets[index] = SimpleNamespace(
            observed=observed,
            closed=closed,
            start_ns=T0 + start_s * NS,
            end_ns=T0 + end_s * NS,
            book_ns=NEVER,
            spec=SimpleNamespace(slug=f"btc-{index}"),
            stats=lambda: {"reason_ns": {}},
        )


@pytest.fixture
def desk():
    return Desk()


def test_a_silent_feed_is_told_lost_once_and_back_once_with_the_gap(desk):
    desk.second(0)
    assert [desk.second(at_s, fresh=("oracle",)) for at_s in (5, 15, 16, 17, 40)] == [
        [], [], [("feed_lost", "spot")], [], [],
    ]  # fmt: skip
    kind, level, text, data = desk.told[-1]
    assert (kind, level, text) == ("feed_lost", "WARNING", "feed lost: spot, no data for 16 s")
    assert data == {"feed": "spot", "age_s": 16.0}
    assert desk.second(41) == [("feed_back", "spot")]
    assert desk.told[-1][1:] == (
        "INFO",
        "feed back: spot, after 41 s without data",
        {"feed": "spot", "gap_s": 41.0},
    )
    assert desk.second(42) == []


def test_a_feed_that_never_said_anything_is_lost_from_the_first_look_on(desk):
    desk.spot.oracle_ns = NEVER
    assert [desk.second(at_s, fresh=("spot",)) for at_s in (100, 115, 116)] == [[], [], [("feed_lost", "oracle")]]


def test_a_book_counts_from_its_windows_start_and_is_forgotten_with_it(desk):
    desk.second(0)
    desk.open(3, start_s=10, end_s=60)
    both = ("spot", "oracle")
    assert [desk.second(at_s, fresh=both) for at_s in (9, 20, 25, 26, 59)] == [
        [], [], [], [("feed_lost", "book btc-3")], [],
    ]  # fmt: skip
    assert desk.second(60, fresh=both) == []
    del desk.engine.markets[3]
    desk.open(4, start_s=60, end_s=120)
    assert desk.second(70) == []


def test_observed_windows_and_those_that_do_not_run_are_not_needed(desk):
    desk.second(0)
    desk.open(3, start_s=10, end_s=600, observed=True)
    desk.open(4, start_s=500, end_s=800)
    desk.open(5, start_s=10, end_s=14_400, closed=True)  # it broke: nobody follows its book
    assert [desk.second(at_s, fresh=("spot", "oracle")) for at_s in (100, 400)] == [[], []]


def test_halts_set_and_lifted_are_told_once_with_their_kind(desk):
    desk.teller.changes(is_stopping=False)
    assert desk.told == []
    desk.engine.risk.halted_daily = True
    desk.teller.changes(is_stopping=False)
    desk.teller.changes(is_stopping=False)
    desk.engine.risk.halted_daily = False
    desk.engine.risk.halted_manual = True
    desk.teller.changes(is_stopping=True)
    facts = {"stopping": False}
    assert desk.told == [
        ("halt", "WARNING", "daily loss halt set", {"halt": "daily", **facts}),
        ("halt", "WARNING", "manual halt set", {"halt": "manual", "stopping": True}),
        ("resume", "WARNING", "daily loss halt lifted", {"halt": "daily", "stopping": True}),
    ]


def test_alerts_of_the_engine_are_errors_and_taken_away(desk):
    desk.engine.alerts.append("InvariantBroken: order 7: more filled than asked; halted")
    desk.teller.changes(is_stopping=False)
    assert desk.told == [("notice", "ERROR", "InvariantBroken: order 7: more filled than asked; halted", None)]
    assert desk.engine.alerts == []
