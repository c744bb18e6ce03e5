"""A whole run in virtual time with a journal beside it: venue, journal, SQLite and engine say the same."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from runs import configure, run

from polybot._fast.event import EventBuffer, OrderStatus
from polybot.journal.check import compare_journal
from polybot.journal.journal import LEDGER_NAME, Journal
from polybot.journal.ledger_thread import catch_up
from polybot.journal.reader import read_journal
from polybot.journal.records import Intent
from polybot.journal.recovery import RecoveredState, fold
from polybot.sim.ledger import read_ledger
from polybot.trader import Trader

ORDERS_PER_MARKET = 100_000
CANCEL_SENT = int(OrderStatus.OS_CANCEL_SENT)


class Wired:
    """Looks at the journal of a run beside its engine."""

    def __init__(self) -> None:
        self.compared = 0
        self.trader: Trader = None  # type: ignore[assignment]
        self.journal: Journal = None  # type: ignore[assignment]

    def prepare(self, trader: Trader, venue: Any) -> None:
        self.trader, self.journal = trader, trader.recorder._journal

    def compare_engine(self, trader: Trader, venue: Any) -> None:
        """Every order, position and result of the engine, as the journal has it at this moment."""
        state, engine = self.journal.state(), trader.engine
        for index, market in engine.markets.items():
            mine = state.markets[index]
            orders = {seq: order for seq, order in engine.orders.items() if order.market == index}
            sent = {seq: order for seq, order in orders.items() if seq in mine.orders}
            refused_here = {seq for seq in orders if seq not in sent}
            assert all(orders[seq].status == OrderStatus.OS_REJECTED for seq in refused_here)
            for seq, order in sent.items():
                known = mine.orders[seq].state
                if order.status == CANCEL_SENT:
                    known = known._replace(status=CANCEL_SENT)
                assert known == (order.status, order.matched, order.filled)
            held = [sum(position.shares[side] for position in mine.positions.values()) for side in (0, 1)]
            assert held == list(market.position())
            assert sum(position.cost_usd for position in mine.positions.values()) == sum(market.cost_usd)
            self.compared += len(sent)
        day = trader.engine.risk.day
        assert state.realised(day) == (engine.risk.day_realised_usd, engine.risk.week_realised_usd)
        assert day > 0


@pytest.fixture(scope="module")
def wired_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wired, Any, list[dict[str, Any]], Path]:
    """One window with slow makers, compared with the engine every 20 seconds."""
    tmp_path = tmp_path_factory.mktemp("wired")
    wired = Wired()
    config = configure(venue__makers="slow", venue__seed=4, run__markets=1)
    during = [(at, wired.compare_engine) for at in range(60, 700, 20)]
    result = run(tmp_path, config, prepare=wired.prepare, during=during)
    sqlite = wired.journal.folder / LEDGER_NAME
    return wired, result, read_ledger(result.out_dir / "venue.ledger"), sqlite


def test_venue_journal_sqlite_and_engine_agree_to_the_micro_unit(wired_run):
    wired, result, rows, sqlite = wired_run
    report = compare_journal(rows, wired.journal.folder, sqlite)
    assert report.is_ok, report.text()
    assert report.fills >= 10
    assert report.markets == 1
    assert report.venue_pnl_usd == report.journal_pnl_usd == report.ledger_pnl_usd
    assert report.venue_pnl_usd == sum(result.summary.pnl_usd.values()) != 0
    assert wired.compared > 50


def test_the_journal_of_a_run_ends_clean_flat_and_without_strays(wired_run):
    wired, _, _, _ = wired_run
    state: RecoveredState = fold(read_journal(wired.journal.folder))
    assert state.is_clean
    assert state.markets == {}
    assert state.strays == 0


def test_what_is_traded_after_the_last_settlement_is_not_held_against_its_cash(wired_run):
    wired, _, rows, sqlite = wired_run
    account = next(row["account"] for row in rows if row["k"] == "account")
    leg = next(row for row in rows if row["k"] == "leg" and row["taker"] == account)
    later = {**leg, "n": rows[-1]["n"] + 1, "market": "0xnext", "trade": "later", "taker_order": "0xlater"}
    report = compare_journal([*rows, later], wired.journal.folder, sqlite)
    assert report.differences  # the journal knows no such fill
    assert not any(text.startswith("cash") for text in report.differences)


@pytest.mark.parametrize(
    "fault", ["fill missing", "fill twice", "other price", "foreign order", "other winner", "cash"]
)
def test_a_difference_is_found(wired_run, fault):
    """The venue's rows are changed one at a time: the check must not be one that cannot fail."""
    wired, _, rows, sqlite = wired_run
    account = next(row["account"] for row in rows if row["k"] == "account")
    ours = next(
        n for n, row in enumerate(rows) if row["k"] == "leg" and account in (row["taker"], row["maker"])
    )
    changed = list(rows)
    role = "taker" if rows[ours]["taker"] == account else "maker"
    if fault == "fill missing":
        del changed[ours]
    elif fault == "fill twice":
        changed.append({**rows[ours], "trade": "another"})
    elif fault == "other price":
        changed[ours] = {**rows[ours], f"{role}_price": rows[ours][f"{role}_price"] + 1}
    elif fault == "foreign order":
        order = next(row for row in rows if row["k"] == "order" and row["account"] == account)
        changed.append({**order, "id": "0x" + "cc" * 32})
    elif fault == "other winner":
        n = next(
            n for n, row in enumerate(rows) if row["k"] == "resolve" and row["market"] == rows[ours]["market"]
        )
        changed[n] = {**rows[n], "winner": 1 - rows[n]["winner"]}
    else:
        n = max(n for n, row in enumerate(rows) if row["k"] == "settle" and row["account"] == account)
        changed[n] = {**rows[n], "cash": rows[n]["cash"] + 1}
    report = compare_journal(changed, wired.journal.folder, sqlite)
    assert not report.is_ok
    assert report.text()


def test_a_ledger_that_misses_a_batch_is_found(wired_run, tmp_path):
    wired, _, rows, _ = wired_run
    total = catch_up(wired.journal.folder, tmp_path / "full.sqlite")
    catch_up(wired.journal.folder, tmp_path / "short.sqlite", limit_seq=total // 2)
    report = compare_journal(rows, wired.journal.folder, tmp_path / "short.sqlite")
    assert any("SQLite" in difference for difference in report.differences)


def test_every_body_can_be_sent_again_byte_for_byte(wired_run):
    wired, _, _, _ = wired_run
    gateway = wired.trader.gateway
    key = gateway._rest.auth.credentials.api_key
    sent = {order.order_seq: order.body for order in gateway._tracker}
    found = 0
    for item in read_journal(wired.journal.folder):
        if isinstance(item.record, Intent):
            assert item.record.body.replace(b"\x00", key.encode()) == sent[item.record.order_seq]
            found += 1
    assert found == len(sent) >= 5
    for path in wired.journal.folder.iterdir():
        assert key.encode() not in path.read_bytes()


def test_the_buffer_of_events_reads_like_the_records(wired_run):
    wired, _, _, _ = wired_run
    events = [item.record for item in read_journal(wired.journal.folder) if hasattr(item.record, "raw")]
    buffer = EventBuffer()
    for record in events:
        fields = record.fields._asdict()
        buffer.add(fields.pop("kind"), **fields)
    assert buffer.to_bytes() == b"".join(record.raw for record in events)
    assert dataclasses.is_dataclass(events[0])
