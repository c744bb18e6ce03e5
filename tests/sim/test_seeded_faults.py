"""Seeded faults: the same seed the same faults, every kind strikes, the world heals, and it is never touched."""

import json
from dataclasses import dataclass, field
from random import Random

import pytest
from sim.desk import BUY, Desk
from sim.world import NS, QUIET, make_world

from polybot.config_faults import ChannelFaults, FaultConfig, RestFaults
from polybot.sim.channel_faults import KINDS, SeededChannel
from polybot.sim.fault_tally import FaultTally, Spells
from polybot.sim.ledger import Ledger
from polybot.sim.request_faults import SeededRequests
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeded_faults import SeededFaults
from polybot.transport import HttpResponse

NONE = {f"{kind}_frac": 0.0 for kind in KINDS} | {"close_per_h": 0.0, "gap_per_h": 0.0, "freeze_per_h": 0.0}
ALWAYS = FaultConfig(begin_s=0.0, spell_s=1_000.0, calm_s=0.0)


@dataclass
class Ear:
    """The venue's end of a websocket."""

    heard: list[str] = field(default_factory=list)
    close_reason: str | None = None

    def send(self, text):
        self.heard.append(text)


class Line:
    """One channel with faults of one kind, and its clock."""

    def __init__(self, seed=1, **faults):
        self.scheduler = Scheduler(0)
        self.tally = FaultTally(Ledger(), self.scheduler)
        self.ear = Ear()
        self.channel = SeededChannel(
            "user",
            ChannelFaults(**NONE | faults),
            factor=1.0,
            rng=Random(seed),
            scheduler=self.scheduler,
            spells=Spells(ALWAYS, 0),
            tally=self.tally,
        )

    def say(self, *texts):
        for text in texts:
            self.channel.deliver(text, self.ear, self.scheduler.now_ns)

    def run(self, seconds):
        self.scheduler.advance(self.scheduler.now_ns + round(seconds * NS))


def test_without_faults_every_message_passes_in_order():
    line = Line()
    line.say("a", "b", "c")
    assert line.ear.heard == ["a", "b", "c"]


def test_a_dropped_message_never_comes_and_a_pong_is_never_dropped():
    line = Line(drop_frac=1.0)
    line.say("a", "PONG")
    line.run(100)
    assert line.ear.heard == ["PONG"]
    assert line.tally.counts == {"user_drop": 1}


def test_a_delayed_message_is_overtaken_and_comes_within_its_limit():
    line = Line(delay_frac=1.0, delay_max_s=3.0)
    line.say("late", "PONG")
    assert line.ear.heard == ["PONG"]
    line.run(3.0)
    assert line.ear.heard == ["PONG", "late"]


def test_a_swapped_message_comes_after_the_next_one_or_after_a_second():
    line = Line(swap_frac=1.0)
    line.say("a", "PONG")
    assert line.ear.heard == ["PONG", "a"]
    line.say("b")
    line.run(1.0)
    assert line.ear.heard == ["PONG", "a", "b"]


def test_duplicates_garbage_and_halves_arrive_as_such():
    line = Line(duplicate_frac=1.0)
    line.say("a")
    assert line.ear.heard == ["a", "a"]
    line = Line(truncate_frac=1.0)
    line.say('{"whole":1}')
    assert '{"whole":1}'.startswith(line.ear.heard[0])
    assert line.ear.heard[0] != '{"whole":1}'
    line = Line(garbage_frac=1.0)
    line.say('{"whole":1}')
    with pytest.raises(json.JSONDecodeError):
        json.loads(line.ear.heard[0])


def test_a_close_takes_the_next_message_and_nothing_is_sent_after_it():
    line = Line(close_per_h=3_600.0)
    line.run(20.0)
    line.say("a", "b")
    assert line.ear.heard == []
    assert line.ear.close_reason.split()[0] in {"1006", "1008", "1012"}
    line.ear = Ear()
    line.say("c")
    assert line.ear.heard == ["c"]


def test_a_gap_loses_pongs_too_and_a_freeze_does_not_and_both_end():
    gap, freeze = Line(gap_per_h=360.0, gap_s=5.0), Line(freeze_per_h=360.0, freeze_s=5.0)
    for line in (gap, freeze):
        while not line.tally.counts:
            line.run(0.1)
        line.say("a", "PONG")
    assert (gap.ear.heard, freeze.ear.heard) == ([], ["PONG"])
    for line, kind in ((gap, "gap"), (freeze, "freeze")):
        while line.scheduler.now_ns < line.channel._silent_until_ns[kind]:
            line.run(1.0)
        line.say("b")
        assert line.ear.heard[-1] == "b"


KINDS_BY_REQUEST = {
    ("GET", "/balance-allowance"): {
        "timeout_before",
        "timeout_after",
        "reset_before",
        "reset_after",
        "error_before",
    }
    | {"error_after", "too_many", "empty", "truncated", "late", "twice"},
    ("POST", "/order"): {"no_order_id"},
    ("GET", "/data/order/0x1"): {"order_missing", "order_stale"},
    ("GET", "/data/orders"): {"page_holed", "cursor_repeated"},
    ("GET", "/data/trades"): {"trades_lag", "page_holed", "cursor_repeated"},
}


def test_each_request_is_struck_by_the_kinds_that_fit_it_and_by_no_other():
    config = RestFaults(**{name: 0.03 for name in RestFaults.__dataclass_fields__ if name.endswith("_frac")})
    anything = KINDS_BY_REQUEST["GET", "/balance-allowance"]
    for (method, path), more in KINDS_BY_REQUEST.items():
        tally = FaultTally(Ledger(), Scheduler(0))
        dice = SeededRequests(config, factor=1.0, rng=Random(5), tally=tally)
        hits = sum(dice.draw(method, path, 0) is not None for _ in range(4_000))
        assert set(tally.counts) == anything | more
        assert sum(tally.counts.values()) == hits
        assert min(tally.counts.values()) > 60


def test_spells_begin_late_take_turns_with_calm_and_end_for_good():
    spells = Spells(FaultConfig(begin_s=10.0, spell_s=40.0, calm_s=20.0, end_s=100.0), 0)
    active = [second for second in range(200) if spells.active(second * NS)]
    assert active == [*range(10, 50), *range(70, 100)]


def storm(seed=3, **more):
    """A venue where faults never pause."""
    faults = {
        "venue.faults": "storm",
        "venue.fault_seed": seed,
        "venue.fault.begin_s": 0.0,
        "venue.fault.calm_s": 0.0,
    }
    return make_world(**QUIET | faults | more)


def listen(world, seconds):
    """Hear everything of spot and of the market channel for a while: (spot texts, market texts)."""
    record = world.record()
    spot, market = world.tap("spot", "/stream?streams=btcusdt@trade"), world.tap("clob", "/ws/market")
    market.say({"type": "market", "assets_ids": _tokens(record)})
    world.run_to(seconds)
    return spot.texts, market.texts


def _tokens(record):
    return [record.spec.token_up, record.spec.token_down]


def test_faults_change_what_is_sent_and_never_the_world_itself():
    calm_spot, calm_market = listen(make_world(**QUIET), 30)
    spot, market = listen(storm(), 30)
    assert spot == calm_spot
    assert market != calm_market
    assert set(market) & set(calm_market)


def test_the_same_seed_strikes_the_same_and_another_seed_does_not():
    first, again, other = (storm(seed) for seed in (3, 3, 4))
    texts = [listen(world, 60)[1] for world in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    counts = [world.venue.fault_counts() for world in (first, again, other)]
    assert counts[0] == counts[1] != counts[2]


def test_every_strike_is_counted_told_and_in_the_ledger():
    world = storm()
    listen(world, 60)
    counts = world.venue.fault_counts()
    assert sum(counts.values()) > 8
    noted = {}
    for row in world.venue.ledger.rows:
        if row["k"] == "fault":
            noted[row["fault"]] = noted.get(row["fault"], 0) + 1
    assert noted == counts
    info = world.get("sim", "/info")
    assert (info["faults"], info["fault_counts"], info["bans"]) == ("storm", counts, 0)


def test_without_faults_nothing_is_counted():
    world = make_world(**QUIET)
    listen(world, 30)
    assert world.get("sim", "/info")["fault_counts"] == {}
    assert [row for row in world.venue.ledger.rows if row["k"] == "fault"] == []


def test_modes_storms_and_lost_beats_come_and_go():
    world = storm(
        **{
            f"venue.fault.mode.{kind}_per_h": 60.0
            for kind in ("restart", "disabled", "cancel_only", "rate_storm")
        },
        **{
            "venue.fault.mode.beats_lost_per_h": 60.0,
            "venue.fault.mode.restart_s": 5.0,
            "venue.fault.end_s": 300.0,
        },
    )
    world.run_to(280)
    counts = world.venue.fault_counts()
    assert {"restart", "disabled", "cancel_only", "rate_storm", "beats_lost"} <= set(counts)
    world.run_to(500)
    modes = [row["mode"] for row in world.venue.ledger.rows if row["k"] == "mode"]
    assert modes[-1] == "open"
    assert {"restarting", "post-only", "disabled", "cancel-only"} <= set(modes)


def test_others_place_orders_and_buy_on_the_account_and_the_ledger_names_them():
    world = storm(
        **{"venue.fault.account.foreign_orders_per_h": 60.0, "venue.fault.account.manual_trades_per_h": 60.0}
    )
    world.run_to(290)
    rows = world.venue.ledger.rows
    manual = {row["id"] for row in rows if row["k"] == "manual"}
    accepted = {row["id"] for row in rows if row["k"] == "order"}
    ended = {row["id"] for row in rows if row["k"] == "end"}
    counts = world.venue.fault_counts()
    assert accepted <= manual
    assert len(accepted) == counts["foreign_order"] + counts["manual_trade"] > 4
    assert len(accepted - ended) <= counts["foreign_order"]
    world.venue.exchange.audit()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"venue.fault.mode.beats_lost_per_h": 3_600.0}, None),
        ({"venue.fault.mode.rate_storm_per_h": 3_600.0}, 429),
    ],
)
def test_lost_beats_and_storms_hit_what_they_say(changes, status):
    world = storm(**changes)
    world.run_to(20)
    plan = world.venue.faults
    assert isinstance(plan, SeededFaults)
    answer = plan.answer(
        "POST", "/v1/heartbeats", lambda: HttpResponse(200, {}, b"{}"), world.venue.scheduler.now_ns
    )
    assert getattr(answer, "status", None) == status


def test_a_short_page_leads_to_the_rest_and_nothing_is_lost():
    desk = Desk()
    spec = desk.list()
    wallet = desk.wallet()
    ids = [wallet.post(spec.token_up, BUY, 1_000 + 100 * k, 5)[1]["orderID"] for k in range(7)]
    tally = FaultTally(desk.ledger, desk.scheduler)
    dice = SeededRequests(RestFaults(page_short_frac=1.0), factor=1.0, rng=Random(1), tally=tally)
    desk.rest._faults.page_size = dice.page_size
    found, cursor = [], "MA=="
    while cursor != "LTE=":
        page = wallet.call("GET", "/data/orders", next_cursor=cursor)[1]
        assert 1 <= len(page["data"]) <= 2
        found += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
    assert found == ids
    assert tally.counts["page_short"] >= 4
