"""Compares three books of one account: the venue's own ledger, the journal, and the SQLite file built from it.

Reads the venue's rows as plain data (the kinds of docs/VENUE.md: account, market, order, end, leg, resolve,
settle; a leg with "void" was undone by the venue) and works its figures out by itself; everything is integers and
every difference is named.  Checked are:
every venue fill exactly once, no intent accepted twice, cost, payout, PnL per market, positions, and cash.
Must not change anything.  Run after a run, by tests and by whoever doubts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polybot._fast.event import TradeStatus
from polybot._fast.keccak import keccak_256
from polybot.journal.ledger import Ledger
from polybot.journal.reader import read_journal
from polybot.journal.records import Intent, MarketOpen, MoneyEvent
from polybot.journal.recovery import Fold, RecoveredMarket

__all__ = ["JournalReport", "compare_journal"]

Row = Mapping[str, Any]
KEY_MASK = (1 << 52) - 1
FAILED = int(TradeStatus.TS_FAILED)
MAX_SHOWN = 50


@dataclass(slots=True)
class JournalReport:
    """What was compared and every difference found; micro-USD."""

    orders: int = 0
    fills: int = 0
    markets: int = 0
    records: int = 0
    venue_pnl_usd: int = 0
    journal_pnl_usd: int = 0
    ledger_pnl_usd: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """True when all books say the same."""
        return not self.differences

    def text(self) -> str:
        """The report for people."""
        return "\n".join(
            [
                f"{self.records} journal records: {self.orders} orders, {self.fills} fills, {self.markets} markets",
                f"PnL micro-USD: venue {self.venue_pnl_usd}, journal {self.journal_pnl_usd}, "
                f"ledger {self.ledger_pnl_usd}",
                f"{len(self.differences)} differences",
                *self.differences[:MAX_SHOWN],
            ]
        )


@dataclass(slots=True)
class _Fill:
    order_id: str
    outcome: int
    price_ticks: int
    ushares: int
    usd: int
    is_void: bool  # its trade FAILED


@dataclass(slots=True)
class _Book:
    """One market's money and shares."""

    usd: int = 0
    shares: list[int] = field(default_factory=lambda: [0, 0])
    payout: int = 0


@dataclass(slots=True)
class _Ours:
    """What the journal says over its whole length."""

    fills: dict[tuple[int, str], tuple[int, int, int, int]] = field(default_factory=dict)
    intents: Counter[str] = field(default_factory=Counter)
    books: dict[str, _Book] = field(default_factory=lambda: defaultdict(_Book))
    outcomes: dict[str, int] = field(default_factory=dict)
    pnl_usd: int = 0
    cash_usd: int = -1
    records: int = 0


def compare_journal(
    rows: Iterable[Row], folder: Path, sqlite_path: Path, *, account: str | None = None
) -> JournalReport:
    """Compare one account's venue history with its journal and ledger; account None: the only one with a key.

    Raises ValueError when the rows name several accounts, StateDamaged when the journal is damaged.
    """
    rows = list(rows)
    names = [str(row["account"]) for row in rows if row["k"] == "account"]
    if account is None and len(names) != 1:
        raise ValueError(f"the ledger has {len(names)} accounts with a key: name one")
    account = account or names[0]
    report = JournalReport()
    ours = _read_ours(folder)
    report.records = ours.records
    _compare_fills(report, _venue_fills(rows, account), ours)
    _compare_orders(report, rows, account, ours)
    _compare_markets(report, rows, account, ours)
    _compare_cash(report, rows, account, ours)
    _compare_ledger(report, sqlite_path, ours)
    return report


# ---- the venue's side


def _venue_fills(rows: Iterable[Row], account: str) -> dict[int, _Fill]:
    found: dict[int, _Fill] = {}
    for row in rows:
        for role in ("taker", "maker") if row["k"] == "leg" else ():
            if row[role] == account:
                order_id = row[f"{role}_order"]
                digest = keccak_256(f"{row['trade']}|{order_id}|{row['leg']}".encode())
                usd = row[f"{role}_usd"] if row[f"{role}_side"] == 0 else -row[f"{role}_usd"]
                usd += row["fee"] if role == "taker" else 0
                found[int.from_bytes(digest[:8], "big") & KEY_MASK] = _Fill(
                    order_id,
                    row[f"{role}_outcome"],
                    row[f"{role}_price"],
                    row["ushares"],
                    usd,
                    bool(row.get("void")),
                )
    return found


def _venue_books(rows: list[Row], account: str) -> dict[str, _Book]:
    books: dict[str, _Book] = defaultdict(_Book)
    for row in rows:
        for role in ("taker", "maker") if row["k"] == "leg" else ():
            if row[role] == account and not row.get("void"):
                sign = 1 if row[f"{role}_side"] == 0 else -1
                book = books[row["market"]]
                book.usd += sign * row[f"{role}_usd"] + (row["fee"] if role == "taker" else 0)
                book.shares[row[f"{role}_outcome"]] += sign * row["ushares"]
        if row["k"] == "settle" and row["account"] == account:
            books[row["market"]].payout += row["paid"]
    return books


# ---- our side


def _read_ours(folder: Path) -> _Ours:
    """One pass over the whole journal: sums of our own, and the fold's result per day."""
    ours, folding = _Ours(), Fold()
    gone: dict[str, RecoveredMarket] = {}
    for item in read_journal(folder):
        ours.records += 1
        folding.apply(item)
        if item.is_restated:
            continue
        if isinstance(item.record, Intent):
            ours.intents[item.record.order_id] += 1
        elif isinstance(item.record, MoneyEvent | MarketOpen):
            for market in folding.state.markets.values():
                gone[market.opened.spec.condition_id] = market
    for condition_id, market in gone.items():
        book = ours.books[condition_id]
        ours.outcomes[condition_id] = market.outcome
        for name in market.positions:
            position = market.positions[name]
            book.usd += position.cost_usd
            book.shares = [mine + held for mine, held in zip(book.shares, position.shares, strict=True)]
        for order in market.orders.values():
            for trade in order.trades.values():
                ours.fills[trade.key, order.intent.order_id] = (
                    trade.status,
                    trade.price_ticks,
                    trade.ushares,
                    trade.usd,
                )
    ours.pnl_usd = sum(folding.state.pnl_by_day().values())
    ours.cash_usd = folding.state.cash_usd
    return ours


# ---- comparisons


def _compare_fills(report: JournalReport, venue: Mapping[int, _Fill], ours: _Ours) -> None:
    report.fills = len(venue)
    for key, fill in venue.items():
        found = ours.fills.get((key, fill.order_id))
        wanted = (fill.price_ticks, fill.ushares, fill.usd)
        if found is None and fill.is_void:
            continue  # never heard of, and it never counted
        if found is None:
            report.differences.append(f"fill {key} of {fill.order_id}: not in the journal")
        elif (found[0] == FAILED) != fill.is_void or found[1:] != wanted:
            report.differences.append(f"fill {key} of {fill.order_id}: {found} here, {wanted} at the venue")
    for key, order_id in ours.fills:
        if key not in venue:
            report.differences.append(f"fill {key} of {order_id}: in the journal, unknown to the venue")


def _compare_orders(report: JournalReport, rows: Iterable[Row], account: str, ours: _Ours) -> None:
    accepted = Counter(row["id"] for row in rows if row["k"] == "order" and row["account"] == account)
    report.orders = len(accepted)
    for order_id, count in accepted.items():
        if count != 1:
            report.differences.append(f"order {order_id}: accepted {count} times")
        if ours.intents[order_id] != 1:
            report.differences.append(
                f"order {order_id}: accepted, {ours.intents[order_id]} intents in the journal"
            )


def _compare_markets(report: JournalReport, rows: list[Row], account: str, ours: _Ours) -> None:
    winners = {row["market"]: row["winner"] for row in rows if row["k"] == "resolve"}
    for market, book in _venue_books(rows, account).items():
        mine = ours.books.get(market, _Book())
        if (mine.usd, mine.shares) != (book.usd, book.shares):
            report.differences.append(
                f"market {market}: cost {mine.usd} shares {mine.shares} here, {book.usd} {book.shares} at the venue"
            )
        if market not in winners:
            continue
        report.markets += 1
        report.venue_pnl_usd += book.payout - book.usd
        if ours.outcomes.get(market, -1) not in (-1, winners[market]):
            report.differences.append(f"market {market}: another outcome than the venue's")
        elif ours.outcomes.get(market, -1) >= 0 and mine.shares[winners[market]] != book.payout:
            report.differences.append(
                f"market {market}: payout {mine.shares[winners[market]]} here, {book.payout} at the venue"
            )
    report.journal_pnl_usd = ours.pnl_usd
    settled = all(ours.outcomes.get(market, -1) >= 0 for market in ours.books if ours.books[market].usd)
    if settled and report.venue_pnl_usd != ours.pnl_usd:
        report.differences.append(f"PnL {ours.pnl_usd} here, {report.venue_pnl_usd} at the venue")


def _compare_cash(report: JournalReport, rows: Iterable[Row], account: str, ours: _Ours) -> None:
    """Cash right after the venue's last settlement: first balance, less costs up to then, plus payouts."""
    rows = list(rows)
    while rows and not (rows[-1]["k"] == "settle" and rows[-1]["account"] == account):
        rows.pop()  # what was traded on afterwards is not in the cash it told
    first = next(
        (row["balance"] for row in rows if row["k"] == "account" and row["account"] == account), None
    )
    last = [row["cash"] for row in rows if row["k"] == "settle" and row["account"] == account]
    if first is None or not last:
        return
    books = _venue_books(rows, account)
    settled = {row["market"] for row in rows if row["k"] == "resolve"}
    mine = first + sum(books[name].payout - ours.books[name].usd for name in books if name in settled)
    open_usd = sum(book.usd for name, book in books.items() if name not in settled)
    if mine - open_usd != last[-1]:
        report.differences.append(f"cash {mine - open_usd} here, {last[-1]} at the venue")


def _compare_ledger(report: JournalReport, sqlite_path: Path, ours: _Ours) -> None:
    ledger = Ledger(sqlite_path, read_only=True)
    try:
        content = ledger.content()
        report.ledger_pnl_usd = sum(ledger.pnl_by_day().values())
    finally:
        ledger.close()
    ids = {row[0]: row[10] for row in content["orders"]}
    fills = {
        (int(str(row[1])), str(ids[row[0]])): (row[2], row[4], row[5], row[7]) for row in content["fills"]
    }
    for name, keys in (
        ("missing in", ours.fills.keys() - fills.keys()),
        ("only in", fills.keys() - ours.fills.keys()),
    ):
        report.differences += [f"fill {key} of {order_id}: {name} SQLite" for key, order_id in sorted(keys)]
    for key, found in ours.fills.items():
        if key in fills and fills[key] != found:
            report.differences.append(
                f"fill {key[0]} of {key[1]}: {fills[key]} in SQLite, {found} in the journal"
            )
    if report.ledger_pnl_usd != ours.pnl_usd:
        report.differences.append(f"PnL {report.ledger_pnl_usd} in SQLite, {ours.pnl_usd} in the journal")
