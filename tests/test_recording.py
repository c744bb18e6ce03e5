"""The journal takes no more: nothing further is sent, what rests is cancelled at once, reading goes on."""

import re
from types import SimpleNamespace

import pytest
from journal.history import SHARE, START_NS, intent, open_journal
from runs import QUIET, configure, run
from scenario import make_spec

from polybot._fast.event import EventBuffer, EventKind
from polybot.crashpoints import CRASH_ENV, CRASH_POINTS, is_armed, reach
from polybot.errors import ConfigError
from polybot.gateway.orders import OrderPlan
from polybot.gateway.tracker import TrackedOrder
from polybot.journal.reader import read_journal
from polybot.journal.records import Intent, MoneyEvent
from polybot.recording import LAG_MAX_S, LATE_BEATS, Recorder
from polybot.sim.ledger import read_ledger

ENGINE = SimpleNamespace(
    orders={
        seq: SimpleNamespace(strategy=0, post_only=False, expires_ns=0, cancel_edge=-1.0, dispatched_ns=START_NS)
        for seq in range(1_000, 1_010)
    },
    strategies=[SimpleNamespace(name="latency_arb")],
)


def order(seq=1_000):
    """A signed order as the gateway hands it over."""
    wanted = intent(seq)
    return TrackedOrder(
        order_seq=seq,
        order_id=wanted.order_id,
        market=0,
        condition_id="0x00",
        token_id=wanted.token_id,
        end_ns=0,
        plan=OrderPlan(seq, 0, 0, 3, 5_000, 10 * SHARE, 10 * SHARE, 5 * SHARE, 10 * SHARE, 0),
        placed_ns=START_NS,
        body=b'{"owner":"key-1","order":{"salt":7}}',
    )


class Kept:
    """A recorder over a journal whose disk can be broken."""

    def __init__(self, folder):
        self.problems = []
        self.journal = open_journal(folder)
        self.recorder = Recorder(self.journal, ENGINE, on_problem=self.problems.append)
        self.recorder.market_open(0, make_spec(), order_seq_base=1_000)

    def break_disk(self):
        def refuse(fd, data):
            raise OSError(5, "Input/output error")

        self.journal.writer._write = refuse

    def sends(self, seq):
        return self.recorder.intent(order(seq), salt=7, api_key="key-1")


def balance():
    events = EventBuffer(1)
    events.add(EventKind.EV_BALANCE, recv_ns=START_NS, j=5)
    return events


def test_an_intent_is_in_the_file_before_the_order_may_be_sent(tmp_path):
    kept = Kept(tmp_path)
    assert kept.sends(1_000)
    kept.journal.abandon()
    (written,) = [item.record for item in read_journal(kept.journal.folder) if isinstance(item.record, Intent)]
    assert written == intent(1_000, strategy="latency_arb", body=b'{"owner":"\x00","order":{"salt":7}}')


@pytest.mark.parametrize("first", ["intent", "events", "trade_seen", "market_drop", "tend"])
def test_whatever_the_disk_refuses_first_stops_orders_once_and_nothing_raises(tmp_path, first):
    kept = Kept(tmp_path)
    kept.break_disk()
    recorder = kept.recorder
    if first == "intent":
        assert not kept.sends(1_000)
    elif first == "events":
        recorder.events(balance())
    elif first == "trade_seen":
        recorder.trade_seen(1, trade_id="t", order_id=order().order_id, leg=0)
    elif first == "market_drop":
        recorder.market_drop(0)
    else:
        recorder.note("x")
        recorder.tend()
    assert len(kept.problems) == 1
    assert "Input/output error" in recorder.problem
    assert not recorder.is_recording
    assert not kept.sends(1_001)
    recorder.events(balance())
    recorder.trade_seen(2, trade_id="t", order_id=order().order_id, leg=0)
    recorder.market_open(1, make_spec(), order_seq_base=5_000)
    recorder.tend()
    assert len(kept.problems) == 1
    kept.journal.abandon()


def test_an_order_whose_body_does_not_name_its_owner_is_not_sent(tmp_path):
    kept = Kept(tmp_path)
    assert not kept.recorder.intent(order(), salt=7, api_key="another")
    assert kept.problems
    kept.journal.abandon()


def test_a_full_disk_closes_entries_until_there_is_space_and_what_is_open_is_still_told(tmp_path):
    kept = Kept(tmp_path)
    kept.journal.writer.space_error = "No space left on device"
    kept.recorder.tend()
    assert "No space left" in kept.recorder.problem
    kept.recorder.events(balance())
    kept.recorder.tend()
    assert len(kept.problems) == 1
    kept.journal.writer.space_error = ""
    kept.recorder.tend()
    assert kept.recorder.problem == ""
    assert kept.sends(1_000)
    kept.journal.close()
    told = [item.record for item in read_journal(kept.journal.folder) if isinstance(item.record, MoneyEvent)]
    assert len(told) == 1


def test_a_disk_that_hangs_stops_orders_until_it_takes_records_again(tmp_path, monkeypatch):
    kept = Kept(tmp_path)
    monkeypatch.setattr(kept.journal.writer, "lag_s", lambda: LAG_MAX_S + 1.0)
    for _ in range(LATE_BEATS - 1):
        kept.recorder.tend()
    assert kept.recorder.problem == ""  # a process that was stopped finds such an age for a moment
    kept.recorder.tend()
    assert "the disk has not taken the journal for 11 s" in kept.recorder.problem
    assert len(kept.problems) == 1
    monkeypatch.setattr(kept.journal.writer, "lag_s", lambda: 0.0)
    kept.recorder.tend()
    assert kept.recorder.problem == ""
    kept.journal.close()


def test_without_a_journal_everything_is_allowed():
    recorder = Recorder(None, ENGINE, on_problem=pytest.fail)
    assert recorder.intent(order(), salt=7, api_key="key-1")
    recorder.events(balance())
    recorder.tend()
    assert not recorder.is_recording


# -- a whole run ---------------------------------------------------------------------------------------------

RESTING = {
    "strategy__lp_extreme__min_abs_z": 0.3,
    "strategy__lp_extreme__max_ask_usd": 0.5,
    "strategy__lp_extreme__min_edge": 0.005,
    "strategy__lp_extreme__life_s": 120.0,
    "strategy__lp_extreme__cancel_edge": -0.9,
    "model__edge_se_multiple": 0.0,
}


class Breaking:
    """Breaks the journal's disk at the first look at which an order rests, and looks on."""

    def __init__(self):
        self.at_s = self.failed_s = self.clear_s = self.now_ns = None
        self.placed = 0

    def look(self, at_s):
        def take(trader, _):
            gateway = trader.gateway
            if self.at_s is None and gateway.open_order_seqs():
                self.at_s, self.placed = at_s, gateway.counters()["placed"]
                assert not trader.recorder.problem

                def refuse(fd, data):
                    raise OSError(28, "No space left on device")

                trader.recorder._journal.writer._write = refuse
            if self.failed_s is None and trader.recorder.problem:
                self.failed_s = at_s
            if self.failed_s is not None and self.clear_s is None and not gateway.open_order_seqs():
                self.clear_s = at_s
            self.now_ns = trader.engine.now_ns

        return take


def test_in_virtual_time_a_failed_journal_stops_orders_cancels_all_within_2_s_and_alarms(tmp_path):
    breaking = Breaking()
    looks = [at / 4 for at in range(4 * 45, 4 * 150)]
    config = configure(venue__makers="slow", venue__seed=4, **QUIET, **RESTING)
    result = run(
        tmp_path,
        config,
        during=[*((at_s, breaking.look(at_s)) for at_s in looks), (200.0, lambda trader, _: trader.stop())],
    )
    assert breaking.at_s is not None
    assert breaking.clear_s is not None
    assert breaking.clear_s - breaking.failed_s <= 2.0
    sent = result.trader.gateway.counters()["placed"]
    assert sent == breaking.placed
    assert "ORDERS STOPPED: the journal failed" in result.console
    assert "entries closed: the journal failed" in result.console
    assert breaking.now_ns >= result.venue.setup.epoch_ns + 149 * 10**9  # it went on reading
    assert not result.summary.orders_may_be_open
    account = result.venue.account("main")["address"]
    ledger = read_ledger(result.out_dir / "venue.ledger")
    assert len([row for row in ledger if row["k"] == "order" and row["account"] == account]) == breaking.placed


# -- crash points --------------------------------------------------------------------------------------------


def test_every_crash_point_is_somewhere_and_every_place_has_a_name(project_dir):
    """What the campaign of kills arms must exist."""
    sources = "".join(path.read_text() for path in (project_dir / "polybot").rglob("*.py"))
    reached = re.findall(r'crashpoints\.reach\("(\w+)"\)', sources)
    assert sorted(set(reached)) == sorted(CRASH_POINTS)


def test_a_crash_point_that_is_not_armed_does_nothing():
    for name in CRASH_POINTS:
        assert not is_armed(name)
        reach(name)


@pytest.mark.parametrize("text", ["nowhere", "mid_stop:0", "mid_stop:x", ":2x"])
def test_a_wrong_crash_point_is_refused(monkeypatch, text):
    from polybot import crashpoints

    monkeypatch.setenv(CRASH_ENV, text)
    if text.startswith(":"):
        assert crashpoints._read_environment() == ("", 0)
    else:
        with pytest.raises(ConfigError, match=CRASH_ENV):
            crashpoints._read_environment()
