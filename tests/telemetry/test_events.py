"""What watchers are told of a scripted market: kinds in order, plain facts, figures; the console stays as it is."""

import json
from pathlib import Path

import pytest

from polybot._fast.event import OrderStatus, TradeStatus
from polybot.telemetry.recent import RecentEvents
from tests.telemetry.scripted import END_NS, NS, ORDER_ID, SLUG, START_NS, Desk
from tests.telemetry.test_writer_files import T0, fill, order, place, play_market, settle, signal

COUNTS = ("signals", "dispatched", "orders", "fills", "fees_usd", "pnl_usd")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.recent = RecentEvents(256, scrub=desk.redactor.scrub)
    desk.__post_init__()
    return desk


def events(desk: Desk, *kinds: str) -> list[dict]:
    assert desk.recent is not None
    found = [json.loads(text) for text in desk.recent.since(1, limit=1_000, limit_bytes=1 << 30).events]
    return [event for event in found if not kinds or event["kind"] in kinds]


def test_a_market_from_start_to_end_is_told_in_order(desk: Desk) -> None:
    play_market(desk)
    assert [event["kind"] for event in events(desk)] == [
        *("market_open", "strike", "signal", "order", "order", "order", "fill", "fill"),
        *("notice", "notice", "settlement", "market_end"),
    ]
    assert [event["seq"] for event in events(desk)] == list(range(1, 13))
    of_market = {event["slug"] for event in events(desk)}
    assert of_market == {SLUG}


def test_signals_orders_and_fills_carry_their_terms_as_integers(desk: Desk) -> None:
    play_market(desk)
    (told,) = events(desk, "signal")
    assert (told["ts_ns"], told["strategy"], told["level"]) == (T0, "latency_arb", "INFO")
    assert told["text"].startswith("SIGNAL latency_arb Up edge=+0.0412 fair=0.5787 price=0.52 ")
    facts = told["data"]
    assert (facts["order_seq"], facts["expected_usd"], facts["price_ticks"], facts["left_s"]) == (
        12, 520_000, 5_300, 238.765432,
    )  # fmt: skip
    terms = {"order_seq": 12, "outcome": "Up", "side": "Buy", "shares": 12_340_000}
    states = [event["data"] for event in events(desk, "order")]
    assert [(one["state"], one["matched"]) for one in states] == [("NEW", 0), ("SENT", 0), ("FILLED", 12_340_000)]
    assert all(one.items() >= {**terms, "price_ticks": 5_200, "order_type": "FAK"}.items() for one in states)
    assert {one["order_id"] for one in states} == {ORDER_ID}
    first, second = (event["data"] for event in events(desk, "fill"))
    money = {"cost_usd": 6_630_160, "fee_usd": 215_590, "role": "taker", "price_ticks": 5_199}
    assert first.items() >= {**terms, **money, "state": "MATCHED", "is_first": True}.items()
    assert second.items() >= {**terms, **money, "state": "CONFIRMED", "is_first": False}.items()


def test_a_market_ends_with_what_every_strategy_made_of_it(desk: Desk) -> None:
    play_market(desk)
    (paid,), (end,) = events(desk, "settlement"), events(desk, "market_end")
    money = {"cost_usd": 6_630_160, "payout_usd": 12_340_000, "pnl_usd": 5_709_840}
    assert (paid["strategy"], paid["data"]) == ("latency_arb", {"outcome": "Up", **money})
    facts = end["data"]
    assert facts.items() >= {"outcome": "Up", "our_mark": "Up", **money, "is_correction": False}.items()
    assert facts["denied"] == {"COOLDOWN": 1}
    assert facts["strategies"]["latency_arb"] == {
        "signals": 2, "dispatched": 1, "orders": 1, "fills": 1, "pnl_usd": 5_709_840,
    }  # fmt: skip
    settle(desk, 0, cost=0, payout=0)
    desk.drain_all()
    again = events(desk, "market_end")[1]["data"]
    assert (again["is_correction"], again["pnl_usd"], again["strategies"]["latency_arb"]["pnl_usd"]) == (True, 0, 0)


def test_a_refusal_by_the_venue_is_a_rejection_with_the_venues_words(desk: Desk) -> None:
    desk.open_market()
    place(desk)
    desk.inbox.order_reason(12, "not enough balance")
    order(desk, OrderStatus.OS_REJECTED)
    desk.drain_all()
    (told,) = events(desk, "rejection")
    facts = told["data"]
    assert (told["level"], facts["state"], facts["reason"]) == ("WARNING", "REJECTED", "not enough balance")


def test_a_state_that_is_told_again_is_no_event_but_still_a_line_and_a_row(desk: Desk) -> None:
    desk.open_market()
    place(desk)
    for matched in (5_000_000, 5_000_000, 6_000_000, 6_000_000):
        order(desk, OrderStatus.OS_PARTIAL, matched=matched)
    desk.drain_all()
    told = [(event["data"]["state"], event["data"]["matched"]) for event in events(desk, "order")]
    assert told == [("NEW", 0), ("PARTIAL", 5_000_000), ("PARTIAL", 6_000_000)]
    assert (desk.text().count("PARTIAL"), len(desk.table("orders.csv"))) == (4, 6)


def test_a_failed_fill_is_an_error_and_what_belongs_nowhere_is_told_without_a_market(desk: Desk) -> None:
    fill(desk, TradeStatus.TS_FAILED)
    desk.drain_all()
    (told,) = events(desk, "fill")
    assert (told["level"], told["slug"], told["data"]["state"]) == ("ERROR", "", "FAILED")


def test_denied_signals_are_no_events(desk: Desk) -> None:
    desk.open_market()
    for _ in range(1_000):
        signal(desk, 2)
    desk.drain_all()
    assert [event["kind"] for event in events(desk)] == ["market_open"]


def test_notices_have_the_kind_and_the_facts_they_were_given(desk: Desk) -> None:
    desk.inbox.notice("WARNING", "daily loss halt set", now_ns=5, kind="halt", data={"halt": "daily"})
    desk.inbox.notice("INFO", "nothing special", now_ns=6)
    desk.inbox.market_refused("btc-9", "unexpected_rule", "resolves by tea leaves", now_ns=7)
    desk.drain_all()
    halt, plain, refused = events(desk)
    assert (halt["kind"], halt["level"], halt["data"], halt["ts_ns"]) == ("halt", "WARNING", {"halt": "daily"}, 5)
    assert (plain["kind"], plain["data"]) == ("notice", {})
    assert (refused["kind"], refused["slug"], refused["data"]["code"]) == ("refused_market", "btc-9", "unexpected_rule")


def test_the_stop_is_the_last_event_even_when_it_was_queued_before_the_records(desk: Desk) -> None:
    desk.open_market()
    desk.inbox.milestone("stop", "stopped", now_ns=END_NS, data={"orders_may_be_open": False})
    place(desk)
    order(desk, OrderStatus.OS_SENT)
    desk.drain_all()
    assert [event["kind"] for event in events(desk)] == ["market_open", "order", "order", "stop"]
    assert desk.text().count("stopped") == 0


def test_figures_are_renewed_once_a_second_and_count_running_and_finished_windows(desk: Desk) -> None:
    recent = desk.recent
    assert recent is not None
    desk.open_market()
    signal(desk, 0, order_seq=12)
    place(desk)
    fill(desk, TradeStatus.TS_MATCHED)
    desk.drain_all()
    running = json.loads(recent.figures["totals"])
    assert running["by_strategy"]["latency_arb"] == {
        "signals": 1, "dispatched": 1, "orders": 1, "fills": 1, "fees_usd": 215_590,
        "wins": 0, "losses": 0, "pnl_usd": 0,
    }  # fmt: skip
    assert {name: running[name] for name in COUNTS} == {
        "signals": 1, "dispatched": 1, "orders": 1, "fills": 1, "fees_usd": 215_590, "pnl_usd": 0,
    }  # fmt: skip
    settle(desk, 0, cost=6_630_160, payout=12_340_000)
    desk.inbox.outcome_known(3, 0, source="gamma", now_ns=END_NS)
    desk.inbox.market_finished(3, now_ns=END_NS + 90 * NS)
    desk.drain_all()
    assert json.loads(recent.figures["totals"]) == running
    desk.clock.mono += NS
    desk.drain_all()
    ended = json.loads(recent.figures["totals"])
    assert (ended["markets"], ended["wins"], ended["losses"], ended["pnl_usd"]) == (1, 1, 0, 5_709_840)
    assert ended["by_strategy"]["latency_arb"]["pnl_usd"] == 5_709_840
    assert {name: ended[name] for name in COUNTS[:5]} == {name: running[name] for name in COUNTS[:5]}


def test_latency_figures_have_percentiles_and_buckets_that_end_with_the_count(desk: Desk) -> None:
    recent = desk.recent
    assert recent is not None
    for value_us in range(1, 101):
        desk.inbox.sample("binance", ts_ns=START_NS, wire_ns=None, decode_ns=1, decide_ns=value_us * 1_000)
    desk.drain_all()
    (line,) = json.loads(recent.figures["latency"])
    assert (line["name"], line["count"]) == ("eval_binance", 100)
    assert line["p50_us"] == pytest.approx(50, rel=0.02)
    assert line["sum_s"] == pytest.approx(sum(range(1, 101)) * 1e-6)
    bounds, counts = zip(*line["buckets"], strict=True)
    assert (list(bounds), list(counts)) == (sorted(bounds), sorted(counts))
    assert (counts[1], counts[-1]) == (2, 100)
    at_50_us = min(line["buckets"], key=lambda bucket: abs(bucket[0] - 50e-6))
    assert at_50_us[1] == pytest.approx(50, abs=1)
    assert json.loads(recent.figures["telemetry"])["records_dropped"] == 0


def test_console_and_files_are_the_same_with_watchers_and_without(tmp_path: Path) -> None:
    plain, watched = Desk(tmp_path / "a"), Desk(tmp_path / "b")
    watched.recent = RecentEvents(64, scrub=str)
    watched.__post_init__()
    for desk in (plain, watched):
        play_market(desk)
        desk.writer.close()
    assert watched.text() == plain.text()
    files = [
        {path.relative_to(desk.out_dir): path.read_bytes() for path in desk.out_dir.rglob("*.*")}
        for desk in (plain, watched)
    ]
    assert files[0] == files[1]


def test_samples_have_one_row_a_second_of_the_window_and_empty_cells_for_what_is_unknown(desk: Desk) -> None:
    desk.open_market()
    nan = float("nan")
    numbers = {"spot": 78_812.1, "fair": 0.5787, "bid_ticks": 5_200, "ask_ticks": 5_300}
    known = ((-500, numbers), (200, {}), (300, numbers), (1_100, numbers), (299_900, numbers), (300_000, {}))
    for at_ms, more in known:
        at_ns = START_NS + at_ms * 1_000_000
        facts = {"spot": nan, "fair": nan, "bid_ticks": -1, "ask_ticks": -1, **more}
        desk.inbox.second(3, now_ns=at_ns, spot_fresh=bool(more), book_fresh=True, **facts)
    desk.drain_all()
    start_ms = START_NS // 1_000_000
    assert desk.table("samples.csv") == [
        "ts_ms,tau_s,spot,fair_up,bid,ask",
        f"{start_ms + 200},299.800,,,,",
        f"{start_ms + 1_100},298.900,78812.1,0.5787,0.52,0.53",
        f"{start_ms + 299_900},0.100,78812.1,0.5787,0.52,0.53",
    ]
