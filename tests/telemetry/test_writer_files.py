"""The files of one market for a scripted sequence of records: exact content, restart, late news, lost disks."""

import csv
import json
from pathlib import Path

import pytest

from polybot._fast.event import CommandKind, OrderStatus, Outcome, Side, StrikeSource, TradeStatus
from polybot._fast.ring import CommandRing
from tests.telemetry.scripted import END_NS, NS, ORDER_ID, SLUG, START_NS, Desk, spec

UP, DOWN = int(Outcome.UP), int(Outcome.DOWN)
T0 = START_NS + 61_234_567_890
T0_MS = 1_763_797_861_234


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def signal(desk: Desk, reason: int, **fields: object) -> None:
    terms = {
        "market": 3,
        "strategy": 0,
        "outcome": UP,
        "price_ticks": 5_300,
        "usd": 520_000,
        "edge": 0.0412,
        "fair": 0.5787,
    }
    more = {"confidence": 0.412, "size_frac": 0.02, "spot": 78_812.1, "distance": 12.1, "tau_s": 238.765432}
    greeks = {"delta": 2.5e-4, "gamma": -1.25e-9, "vega": float("nan")}
    desk.push(CommandKind.CMD_SIGNAL, eval_ns=1_250, reason=reason, **{**terms, **more, **greeks, **fields})


def place(desk: Desk, order_seq: int = 12, **fields: object) -> None:
    terms = {
        "market": 3,
        "strategy": 0,
        "outcome": UP,
        "side": Side.BUY,
        "order_type": 3,
        "price_ticks": 5_200,
    }
    desk.push(CommandKind.CMD_PLACE, **{**terms, "order_seq": order_seq, "shares": 12_340_000, **fields})


def order(
    desk: Desk, status: OrderStatus, *, order_seq: int = 12, matched: int = 0, **fields: object
) -> None:
    desk.push(
        CommandKind.CMD_ORDER, market=3, strategy=0, order_seq=order_seq, reason=status, usd=matched, **fields
    )


def fill(desk: Desk, status: TradeStatus, *, order_seq: int = 12, **fields: object) -> None:
    terms = {
        "market": 3,
        "strategy": 0,
        "outcome": UP,
        "side": Side.BUY,
        "price_ticks": 5_199,
        "shares": 12_340_000,
    }
    money = {"usd": 6_630_160, "edge": 215_590.0, "confidence": 4_503_599_627_370_495.0}
    desk.push(CommandKind.CMD_FILL, order_seq=order_seq, reason=status, **{**terms, **money, **fields})


def settle(desk: Desk, strategy: int, *, cost: int, payout: int, winner: int = UP) -> None:
    desk.push(
        CommandKind.CMD_SETTLEMENT,
        market=3,
        strategy=strategy,
        outcome=winner,
        shares=payout,
        usd=payout - cost,
        edge=float(cost),
        decided_ns=END_NS + 90 * NS,
    )


def play_market(desk: Desk) -> None:
    """One market from start to end: two signals, an order with its fill, settlement."""
    desk.open_market()
    desk.inbox.strike_captured(
        3, 78_800.0, source=StrikeSource.STRIKE_RTDS_TWAP, stamp_ns=START_NS, now_ns=START_NS + NS
    )
    desk.inbox.order_hash(12, ORDER_ID)
    signal(desk, 0, order_seq=12)
    place(desk)
    signal(desk, 2)
    order(desk, OrderStatus.OS_SENT)
    order(desk, OrderStatus.OS_FILLED, matched=12_340_000)
    fill(desk, TradeStatus.TS_MATCHED)
    fill(desk, TradeStatus.TS_CONFIRMED)
    for second in range(0, 300):
        at_ns = START_NS + second * NS + 500_000_000
        desk.inbox.second(3, now_ns=at_ns, spot_fresh=second < 294, book_fresh=second % 2 == 0)
    desk.drain_all()
    desk.inbox.market_marked(3, UP, now_ns=END_NS)
    desk.inbox.outcome_known(3, UP, source="gamma", now_ns=END_NS + 80 * NS)
    settle(desk, 0, cost=6_630_160, payout=12_340_000)
    settle(desk, 1, cost=0, payout=0)
    desk.inbox.market_finished(3, now_ns=END_NS + 90 * NS)
    desk.drain_all()


def test_signals_csv_has_every_signal_exactly(desk: Desk) -> None:
    play_market(desk)
    numbers = "0.0412,0.5787,0.52,0.412,0.02,78812.1,12.1,238.765432,1.250,0.00025,-1.25e-09,"
    assert desk.table("signals.csv") == [
        "ts_ms,strategy,outcome,edge,fair,market_price,confidence,size_frac,spot,distance,time_left_s,eval_us,"
        "delta,gamma,vega,status,order_seq",
        f"{T0_MS},latency_arb,Up,{numbers},DISPATCHED,12",
        f"{T0_MS},latency_arb,Up,{numbers},COOLDOWN,",
    ]


def test_orders_csv_has_every_state_with_the_terms_of_the_order(desk: Desk) -> None:
    play_market(desk)
    terms = f"12,{ORDER_ID},latency_arb,Up,Buy,FAK,0.52,5200,12.34,12340000"
    assert desk.table("orders.csv") == [
        "ts_ms,order_seq,order_id,strategy,outcome,side,order_type,price,price_ticks,shares,shares_micro,state,"
        "matched_micro,reason",
        f"{T0_MS},{terms},NEW,0,",
        f"{T0_MS},{terms},SENT,0,",
        f"{T0_MS},{terms},FILLED,12340000,",
    ]


def test_fills_csv_has_exact_integers(desk: Desk) -> None:
    play_market(desk)
    body = f"4503599627370495,12,{ORDER_ID},latency_arb,Up,Buy,0,5199,0.5199,12340000,12.34,215590,6630160"
    assert desk.table("fills.csv") == [
        "ts_ms,trade_key,order_seq,order_id,strategy,outcome,side,maker,price_ticks,price,shares_micro,shares,"
        "fee_micro_usd,cost_micro_usd,status",
        f"{T0_MS},{body},MATCHED",
        f"{T0_MS},{body},CONFIRMED",
    ]


def test_markets_csv_has_one_row_that_sums_the_market(desk: Desk) -> None:
    play_market(desk)
    assert desk.markets() == [
        {
            "slug": SLUG,
            "start": "2025-11-22T07:50:00Z",
            "end": "2025-11-22T07:55:00Z",
            "strike": "78800",
            "strike_source": "RTDS_TWAP",
            "outcome": "Up",
            "our_mark": "Up",
            "spot_coverage": "0.9800",
            "book_coverage": "0.5000",
            "signals": "2",
            "dispatched": "1",
            "denied": "1",
            "dropped": "0",
            "untold": "0",
            "orders": "1",
            "fills": "1",
            "cost_micro_usd": "6630160",
            "fees_micro_usd": "215590",
            "payout_micro_usd": "12340000",
            "pnl_micro_usd": "5709840",
            "pnl_latency_arb_micro_usd": "5709840",
            "pnl_certainty_capture_micro_usd": "0",
        }
    ]


def test_market_json_tells_spec_strike_outcome_stats_refusals_and_coverage(desk: Desk) -> None:
    play_market(desk)
    document = json.loads("\n".join(desk.table("market.json")))
    assert document["spec"]["slug"] == SLUG
    assert document["spec"]["fee_rate_ppm"] == 70_000
    assert document["strike"] == {
        "value": 78_800.0,
        "source": "RTDS_TWAP",
        "stamp_ms": START_NS // 1_000_000,
        "verified": False,
    }
    assert (document["outcome"], document["our_mark"], document["outcome_source"]) == ("Up", "Up", "gamma")
    assert document["coverage"] == {"spot": 0.98, "book": 0.5}
    assert document["refusals"] == {"COOLDOWN": 1}
    assert document["totals"]["pnl_micro_usd"] == 5_709_840
    assert document["strategies"]["latency_arb"]["fills"] == 1
    assert document["strategies"]["certainty_capture"]["pnl_micro_usd"] == 0
    assert document["cost_differs_from_fills"] is False
    assert document["finished"] == "2025-11-22T07:56:30Z"


def test_the_engines_final_counts_are_the_truth_where_records_were_lost(desk: Desk) -> None:
    row = {"signals": 40, "orders": 1, "dropped": 2, "denied": {"COOLDOWN": 30, "HOUSE_SIDE": 7}}
    counts = {"seconds": {}, "strategies": {"latency_arb": row}}
    desk.open_market()
    desk.inbox.market_counts(3, counts, now_ns=START_NS + 10 * NS)
    play_market(desk)
    document = json.loads("\n".join(desk.table("market.json")))
    assert (document["totals"]["signals"], document["totals"]["untold"]) == (2, 0)
    desk.inbox.market_counts(3, counts, now_ns=END_NS + 95 * NS, is_final=True)
    desk.inbox.market_finished(3, now_ns=END_NS + 95 * NS)
    desk.drain_all()
    document = json.loads("\n".join(desk.table("market.json")))
    told = {name: document["totals"][name] for name in ("signals", "dispatched", "denied", "dropped", "untold")}
    assert told == {"signals": 40, "dispatched": 1, "denied": 37, "dropped": 2, "untold": 36}
    assert document["refusals"] == {"COOLDOWN": 30, "HOUSE_SIDE": 7}
    assert document["why"] == {"at": "2025-11-22T07:56:35Z", "final": True, **counts}
    assert {name: desk.markets()[-1][name] for name in told} == {name: str(count) for name, count in told.items()}


def test_counts_of_a_window_that_still_runs_are_written_with_the_next_drain(desk: Desk) -> None:
    desk.open_market()
    desk.drain_all()
    assert json.loads("\n".join(desk.table("market.json")))["why"] is None
    counts = {"seconds": {"ASKED": 9.5}, "strategies": {}}
    desk.inbox.market_counts(3, counts, now_ns=START_NS + 10 * NS)
    desk.inbox.market_counts(9, counts, now_ns=START_NS + 10 * NS)  # of a market nobody announced
    desk.drain_all()
    why = json.loads("\n".join(desk.table("market.json")))["why"]
    assert why == {"at": "2025-11-22T07:50:10Z", "final": False, **counts}
    assert desk.writer.health().unassigned == 1


def test_run_totals_add_up(desk: Desk) -> None:
    play_market(desk)
    totals = desk.writer.totals
    assert (totals.markets, totals.settled, totals.wins, totals.losses) == (1, 1, 1, 0)
    assert (totals.signals, totals.dispatched, totals.orders, totals.fills) == (2, 1, 1, 1)
    assert (totals.pnl_micro, totals.fees_micro) == (5_709_840, 215_590)
    assert totals.strategy_wins["latency_arb"] == 1


def test_a_restart_in_the_same_window_appends_and_keeps_the_earlier_session(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.open_market()
    place(first)
    signal(first, 2)
    first.clock.at_ns = START_NS + 100 * NS
    first.writer.close()
    second = Desk(tmp_path)
    play_market(second)
    lines = second.table("orders.csv")
    assert len(lines) == 5
    assert sum(line.startswith("ts_ms") for line in lines) == 1
    document = json.loads("\n".join(second.table("market.json")))
    assert [session["totals"]["signals"] for session in document["earlier_sessions"]] == [1]
    assert document["totals"]["signals"] == 2
    assert [(row["slug"], row["outcome"]) for row in second.markets()] == [(SLUG, ""), (SLUG, "Up")]


def test_a_line_torn_by_a_crash_is_ended_before_the_next_row(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.open_market()
    place(first)
    first.drain_all()
    path = tmp_path / "5m" / SLUG / "orders.csv"
    path.write_text(path.read_text()[:-9])
    second = Desk(tmp_path)
    second.open_market()
    place(second, order_seq=13)
    second.drain_all()
    lines = second.table("orders.csv")
    assert len(lines) == 3
    assert lines[2].startswith(f"{T0_MS},13,")


def test_another_set_of_strategies_starts_a_new_markets_file_and_keeps_the_old(tmp_path: Path) -> None:
    play_market(Desk(tmp_path))
    before = (tmp_path / "5m" / "markets.csv").read_text()
    play_market(Desk(tmp_path, strategies=("latency_arb", "certainty_capture", "mine")))
    assert (tmp_path / "5m" / "markets.csv").read_text() == before
    newer = (tmp_path / "5m" / "markets.2.csv").read_text().splitlines()
    assert newer[0].endswith("pnl_mine_micro_usd")
    assert len(newer) == 2


def test_settlements_pushed_just_before_the_finish_are_in_the_summary(desk: Desk) -> None:
    """The writer takes the ring before the notes; the finish must wait for what was pushed in between."""
    desk.open_market()
    desk.drain_all()
    take = desk.inbox.take

    def take_late() -> object:
        settle(desk, 0, cost=1_000_000, payout=3_000_000)
        desk.inbox.market_finished(3, now_ns=END_NS + NS)
        desk.inbox.take = take  # type: ignore[method-assign]
        return take()

    desk.inbox.take = take_late  # type: ignore[assignment,method-assign]
    desk.drain_all()
    assert desk.markets()[0]["pnl_micro_usd"] == "2000000"


def test_a_trade_that_fails_after_the_summary_corrects_row_and_totals(desk: Desk) -> None:
    play_market(desk)
    fill(desk, TradeStatus.TS_FAILED)
    settle(desk, 0, cost=0, payout=0)
    desk.drain_all()
    rows = desk.markets()
    assert [(row["fills"], row["pnl_micro_usd"]) for row in rows] == [("1", "5709840"), ("0", "0")]
    assert desk.table("fills.csv")[-1].endswith(",FAILED")
    assert (desk.writer.totals.markets, desk.writer.totals.pnl_micro, desk.writer.totals.wins) == (1, 0, 0)


def test_settled_cost_that_differs_from_the_fills_is_told(desk: Desk) -> None:
    desk.open_market()
    fill(desk, TradeStatus.TS_CONFIRMED)
    settle(desk, 0, cost=5_000_000, payout=12_340_000)
    desk.inbox.market_finished(3, now_ns=END_NS)
    desk.drain_all()
    assert json.loads("\n".join(desk.table("market.json")))["cost_differs_from_fills"] is True
    assert "settled cost differs" in desk.text()
    assert desk.markets()[0]["cost_micro_usd"] == "5000000"


def test_a_market_without_an_outcome_has_a_row_without_money(desk: Desk) -> None:
    desk.open_market()
    fill(desk, TradeStatus.TS_MATCHED)
    desk.clock.at_ns = END_NS
    desk.writer.close()
    row = desk.markets()[0]
    assert (row["outcome"], row["payout_micro_usd"], row["pnl_micro_usd"]) == ("", "", "")
    assert row["cost_micro_usd"] == "6630160"


def test_a_market_that_never_began_has_no_row(desk: Desk) -> None:
    desk.open_market()
    desk.clock.at_ns = START_NS - 10 * NS
    desk.writer.close()
    assert not (desk.out_dir / "5m" / "markets.csv").exists()
    assert json.loads("\n".join(desk.table("market.json")))["finished"] is None


def test_an_order_without_market_is_kept_in_the_unassigned_folder(desk: Desk) -> None:
    place(desk, market=9)
    fill(desk, TradeStatus.TS_MATCHED, market=9)
    desk.drain_all()
    unassigned = desk.out_dir / "unassigned"
    assert len((unassigned / "orders.csv").read_text().splitlines()) == 2
    assert len((unassigned / "fills.csv").read_text().splitlines()) == 2
    assert desk.writer.health().unassigned == 2


def test_the_venues_words_are_quoted_disarmed_and_scrubbed(desk: Desk) -> None:
    desk.redactor.register("hunter2-hunter2")
    desk.open_market()
    place(desk)
    desk.inbox.order_reason(12, '=cmd|"x", not enough\nbalance hunter2-hunter2')
    order(desk, OrderStatus.OS_REJECTED)
    desk.drain_all()
    with (desk.out_dir / "5m" / SLUG / "orders.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["state"] == "REJECTED"
    assert rows[-1]["reason"] == '\'=cmd|"x", not enough\nbalance [redacted]'


def test_a_slug_cannot_leave_its_folder(desk: Desk) -> None:
    desk.inbox.market_opened(3, spec(slug="../../evil/slug"), now_ns=START_NS)
    desk.drain_all()
    assert [path.name for path in (desk.out_dir / "5m").iterdir()] == ["_.._evil_slug"]


def test_drops_are_counted_exactly_and_shown_at_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ring=CommandRing(loose_capacity=16))
    desk.open_market()
    for _ in range(100):
        signal(desk, 2)
    place(desk)
    desk.drain_all()
    assert len(desk.table("signals.csv")) == 1 + 16
    assert len(desk.table("orders.csv")) == 1 + 1
    assert desk.writer.health().records_dropped == 84
    desk.writer.close()
    assert "dropped records=84 notes=0; lost records=0 notes=0 rows=0" in desk.text()


def test_a_market_index_used_again_finishes_the_market_before(desk: Desk) -> None:
    desk.open_market()
    later = spec(slug="btc-updown-5m-later", start_ns=END_NS, end_ns=END_NS + 300 * NS)
    desk.inbox.market_opened(3, later, now_ns=END_NS)
    place(desk)
    desk.drain_all()
    assert desk.markets()[0]["slug"] == SLUG
    assert len(desk.table("orders.csv", slug="btc-updown-5m-later")) == 2


def test_two_intervals_have_folders_of_their_own(desk: Desk) -> None:
    desk.open_market()
    desk.inbox.market_opened(4, spec(slug="btc-updown-15m-1", interval="15m"), now_ns=START_NS)
    place(desk)
    place(desk, order_seq=20, market=4)
    desk.drain_all()
    assert (desk.out_dir / "15m" / "btc-updown-15m-1" / "orders.csv").exists()
    assert len(desk.table("orders.csv")) == 2


def test_many_markets_are_forgotten_with_their_orders(desk: Desk) -> None:
    for index in range(60):
        desk.inbox.market_opened(index, spec(slug=f"m{index}"), now_ns=START_NS)
        place(desk, market=index, order_seq=1_000 + index)
        desk.inbox.market_finished(index, now_ns=END_NS)
        desk.drain_all()
    assert len(desk.writer._logs) <= 17
    assert len(desk.writer._orders) <= 17
    assert desk.writer.totals.markets == 60


def test_a_broken_record_is_counted_and_the_next_one_is_written(tmp_path: Path) -> None:
    problems: list[Exception] = []
    desk = Desk(tmp_path, on_error=problems.append)
    desk.open_market()
    fill(desk, TradeStatus.TS_MATCHED, confidence=float("nan"))
    place(desk)
    desk.drain_all()
    assert [type(problem) for problem in problems] == [ValueError]
    assert desk.writer.health().errors == 1
    assert len(desk.table("orders.csv")) == 2


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        play_market(Desk(folder))
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_disk_that_refuses_is_told_once_and_heals_without_loss(tmp_path: Path) -> None:
    out_dir = tmp_path / "out"
    out_dir.write_text("a file where the folder should be")
    desk = Desk(out_dir)
    play_market(desk)
    desk.drain_all()
    health = desk.writer.health()
    assert desk.text().count("WARNING   telemetry cannot write: NotADirectoryError") == 1
    assert (health.rows_waiting, health.rows_lost) == (2 + 3 + 2 + 1 + 300, 0)
    assert health.disk_error
    out_dir.unlink()
    desk.drain_all()
    assert desk.text().count("WARNING   telemetry writes again") == 1
    assert (desk.writer.health().rows_waiting, desk.writer.health().disk_error) == (0, "")
    assert [len(desk.table(name)) for name in ("signals.csv", "orders.csv", "fills.csv")] == [3, 4, 3]
    assert json.loads("\n".join(desk.table("market.json")))["outcome"] == "Up"
    assert len(desk.markets()) == 1


def test_a_secret_in_what_the_venue_said_reaches_no_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.redactor.register("api-secret-value-1")
    play_market(desk)
    desk.inbox.order_reason(12, "key api-secret-value-1 unknown")
    order(desk, OrderStatus.OS_UNKNOWN)
    desk.inbox.outcome_known(3, UP, source="api-secret-value-1", now_ns=END_NS)
    desk.writer.close()
    found = [path for path in tmp_path.rglob("*") if path.is_file() and b"api-secret" in path.read_bytes()]
    assert found == []
    assert "api-secret" not in desk.text()
