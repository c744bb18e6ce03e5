"""Compares the venue's ledger with what polybot wrote of the same run: every fill, every cent.

Reads the ledger file and the CSV files below the run folder (<interval>/<slug>/fills.csv and
orders.csv, <interval>/markets.csv); changes nothing.  Everything is integers: micro-USD,
micro-shares, ticks.  A fill is one leg of one trade for one order, identified as the gateway does
it: the low 52 bits of keccak("trade id|order id|leg index").  Run after a run, never during it.
Files are appended to when a window is traded again in the same folder: `count_rows`, asked before the
run, tells what belongs to runs before it.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from polybot._fast.keccak import keccak_256
from polybot.sim.ledger import Row, read_ledger
from polybot.sim.ledger_view import own_rows
from polybot.sim.markets import BUY
from polybot.sim.messages import OUTCOMES

__all__ = [
    "CheckReport",
    "MarketSums",
    "VenueFill",
    "account_pnl",
    "compare",
    "compare_rows",
    "count_rows",
]

SIDES = ("Buy", "Sell")  # as polybot writes them
UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")  # characters polybot replaces in folder names
KEY_MASK = (1 << 52) - 1
MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One leg as one order's owner should have booked it; cost is with fee, negative for proceeds."""

    key: int
    order_id: str
    market: str
    outcome: int
    side: int
    price_ticks: int
    ushares: int
    fee: int
    cost: int
    is_void: bool = False  # its trade FAILED: the venue undid it


@dataclass(slots=True)
class MarketSums:
    """Money of one account in one market, micro-USD."""

    cost: int = 0
    fees: int = 0
    payout: int = 0

    @property
    def pnl(self) -> int:
        return self.payout - self.cost


@dataclass(slots=True)
class CheckReport:
    """What was compared and every difference found."""

    orders: int = 0
    fills: int = 0
    markets: int = 0
    unheard: int = 0  # settled by the venue, and we had stopped before we heard the outcome
    venue: MarketSums = field(default_factory=MarketSums)
    polybot: MarketSums = field(default_factory=MarketSums)
    differences: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not self.differences

    def text(self) -> str:
        """The report for people."""
        lines = [
            f"{self.orders} orders, {self.fills} fills, {self.markets} settled markets compared",
            f"venue   cost {self.venue.cost} fees {self.venue.fees} payout {self.venue.payout} pnl {self.venue.pnl}",
            f"polybot cost {self.polybot.cost} fees {self.polybot.fees} payout {self.polybot.payout} "
            f"pnl {self.polybot.pnl} (micro-USD)",
            *([f"{self.unheard} more settled after we had stopped: costs compared, no payout"] if self.unheard else []),
            f"{len(self.differences)} differences",
            *self.differences[:MAX_SHOWN],
        ]
        return "\n".join(lines)


def count_rows(run_dir: Path) -> dict[Path, int]:
    """Rows of every CSV file below the run folder; none when there is no such folder."""
    return {path: len(_read_csv(path)) for path in sorted(run_dir.rglob("*.csv"))}


def compare(
    ledger_path: Path,
    run_dir: Path,
    *,
    account: str | None = None,
    before: Mapping[Path, int] | None = None,
) -> CheckReport:
    """Compare one account's venue history with polybot's files; account None: the only one with a key.

    `before` is what count_rows said before the run; rows of earlier runs are left out by it.
    Raises ValueError when the ledger is no ledger or names several accounts and none was chosen.
    """
    return compare_rows(read_ledger(ledger_path), run_dir, account=account, before=before)


def compare_rows(
    rows: list[Row], run_dir: Path, *, account: str | None = None, before: Mapping[Path, int] | None = None
) -> CheckReport:
    """As compare(), for a ledger kept in memory."""
    account = account or _only_account(rows)
    rows = own_rows(rows)
    report = CheckReport()
    slugs = {row["market"]: row["slug"] for row in rows if row["k"] == "market"}
    fills = {fill.key: fill for fill in _venue_fills(rows, account)}
    files = _FileRows(run_dir, slugs.values(), before or {})
    _compare_fills(report, fills, files)
    _compare_orders(report, rows, account, files)
    _compare_markets(report, rows, account, files)
    return report


def account_pnl(rows: Iterable[Row], account: str) -> dict[str, int]:
    """PnL per condition_id of settled markets, micro-USD, from ledger rows alone."""
    rows = own_rows(rows)
    settled = {row["market"] for row in rows if row["k"] == "resolve"}
    return {market: sums.pnl for market, sums in _venue_sums(rows, account).items() if market in settled}


# ---- the venue's side


def _only_account(rows: list[Row]) -> str:
    names = [str(row["account"]) for row in rows if row["k"] == "account"]
    if len(names) != 1:
        raise ValueError(f"the ledger has {len(names)} accounts with a key: name one")
    return names[0]


def _fill_key(row: Row, order_id: str) -> int:
    digest = keccak_256(f"{row['trade']}|{order_id}|{row['leg']}".encode())
    return int.from_bytes(digest[:8], "big") & KEY_MASK


def _venue_fills(rows: Iterable[Row], account: str) -> Iterator[VenueFill]:
    for row in rows:
        for role in ("taker", "maker") if row["k"] == "leg" else ():
            if row[role] != account:
                continue
            order_id, side = row[f"{role}_order"], row[f"{role}_side"]
            fee = row["fee"] if role == "taker" else 0
            usd = row[f"{role}_usd"]
            yield VenueFill(
                key=_fill_key(row, order_id),
                order_id=order_id,
                market=row["market"],
                outcome=row[f"{role}_outcome"],
                side=side,
                price_ticks=row[f"{role}_price"],
                ushares=row["ushares"],
                fee=fee,
                cost=(usd if side == BUY else -usd) + fee,
                is_void=row["void"],
            )


def _venue_sums(rows: list[Row], account: str) -> dict[str, MarketSums]:
    sums: dict[str, MarketSums] = defaultdict(MarketSums)
    for fill in _venue_fills(rows, account):
        if not fill.is_void:
            sums[fill.market].cost += fill.cost
            sums[fill.market].fees += fill.fee
    for row in rows:
        if row["k"] == "settle" and row["account"] == account:
            sums[row["market"]].payout += row["paid"]
    return sums


# ---- polybot's side


class _FileRows:
    """Rows of polybot's CSV files that belong to the ledger's markets and to this run."""

    def __init__(self, run_dir: Path, slugs: Iterable[str], before: Mapping[Path, int]) -> None:
        self._run_dir = run_dir
        self._before = before
        self._folders = {UNSAFE.sub("_", slug) for slug in slugs} | {"unassigned"}

    def per_market(self, name: str) -> Iterator[dict[str, str]]:
        """Rows of <name>.csv and its later versions in the markets' folders."""
        paths = [*self._run_dir.rglob(f"{name}.csv"), *self._run_dir.rglob(f"{name}.*.csv")]
        for path in sorted(paths):
            if path.parent.name in self._folders:
                yield from self._own(path)

    def markets(self) -> dict[str, dict[str, str]]:
        """Latest row per slug of all markets.csv."""
        paths = [*self._run_dir.rglob("markets.csv"), *self._run_dir.rglob("markets.*.csv")]
        return {row["slug"]: row for path in sorted(paths) for row in self._own(path)}

    def _own(self, path: Path) -> list[dict[str, str]]:
        return _read_csv(path)[self._before.get(path, 0) :]


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(row: dict[str, str], column: str) -> int:
    return int(row.get(column) or 0)


# ---- comparisons


def _compare_fills(report: CheckReport, venue: dict[int, VenueFill], files: _FileRows) -> None:
    booked: dict[tuple[int, str], dict[str, str]] = {}
    for row in files.per_market("fills"):
        booked[_number(row, "trade_key"), row["order_id"]] = row  # a later row is a later status of the fill
    report.fills = len(venue)
    for (key, order_id), row in booked.items():
        report.polybot.cost += _number(row, "cost_micro_usd") if row["status"] != "FAILED" else 0
        report.polybot.fees += _number(row, "fee_micro_usd") if row["status"] != "FAILED" else 0
        if key not in venue:
            report.differences.append(f"fill {key} of order {order_id}: the venue knows no such fill")
    for key, fill in venue.items():
        report.venue.cost += 0 if fill.is_void else fill.cost
        report.venue.fees += 0 if fill.is_void else fill.fee
        found = booked.get((key, fill.order_id))
        if found is None and fill.is_void:
            continue  # never heard of, and it never counted
        if found is None:
            report.differences.append(
                f"fill {key} of order {fill.order_id}: missing, {fill.ushares} micro-shares"
            )
            continue
        wanted = {
            "outcome": OUTCOMES[fill.outcome],
            "side": SIDES[fill.side],
            "price_ticks": str(fill.price_ticks),
            "shares_micro": str(fill.ushares),
            "fee_micro_usd": str(fill.fee),
            "cost_micro_usd": str(fill.cost),
        }
        _note_differences(report, f"fill {key} of order {fill.order_id}", wanted, found)
        if (found["status"] == "FAILED") != fill.is_void:
            ours, theirs = found["status"], "FAILED" if fill.is_void else "not FAILED"
            report.differences.append(f"fill {key} of order {fill.order_id}: {ours} here, {theirs} at the venue")


def _compare_orders(report: CheckReport, rows: list[Row], account: str, files: _FileRows) -> None:
    latest = {row["order_id"]: row for row in files.per_market("orders") if row["order_id"]}
    accepted = [row["id"] for row in rows if row["k"] == "order" and row["account"] == account]
    ended = {row["id"]: row for row in rows if row["k"] == "end" and row["account"] == account}
    report.orders = len(accepted)
    for order_id in accepted:
        found, end = latest.get(order_id), ended.get(order_id)
        if found is None:
            report.differences.append(f"order {order_id}: accepted by the venue, unknown here")
            continue
        if end is not None:
            _note_differences(report, f"order {order_id}", {"matched_micro": str(end["matched"])}, found)
            if found["state"] in ("REJECTED", "LIVE", "DELAYED", "UNKNOWN"):
                report.differences.append(
                    f"order {order_id}: {found['state']} here, {end['status']} at the venue"
                )
    for order_id in latest.keys() - set(accepted):
        if latest[order_id]["state"] not in ("NEW", "SENT", "REJECTED", "CANCELED", "UNKNOWN"):
            report.differences.append(
                f"order {order_id}: {latest[order_id]['state']} here, never accepted by the venue"
            )


def _compare_markets(report: CheckReport, rows: list[Row], account: str, files: _FileRows) -> None:
    sums, booked = _venue_sums(rows, account), files.markets()
    slugs = {row["market"]: row["slug"] for row in rows if row["k"] == "market"}
    winners = {row["market"]: row["winner"] for row in rows if row["k"] == "resolve"}
    for market, winner in winners.items():
        slug, expected = slugs[market], sums.get(market, MarketSums())
        found = booked.get(slug)
        wanted = {"cost_micro_usd": expected.cost, "fees_micro_usd": expected.fees}
        if found is not None and not found["outcome"]:  # stopped before the outcome was heard
            report.unheard += 1
            _note_markets(report, slug, wanted, found)
            continue
        report.venue.payout += expected.payout
        if found is None:
            if expected.cost or expected.payout:
                report.differences.append(
                    f"market {slug}: traded and settled at the venue, not in markets.csv"
                )
            continue
        report.markets += 1
        report.polybot.payout += _number(found, "payout_micro_usd")
        _note_markets(
            report, slug, wanted | {"payout_micro_usd": expected.payout, "pnl_micro_usd": expected.pnl}, found
        )
        if found["outcome"] and found["outcome"] != OUTCOMES[winner]:
            report.differences.append(
                f"market {slug}: outcome {found['outcome']} here, {OUTCOMES[winner]} at the venue"
            )


def _note_markets(report: CheckReport, slug: str, wanted: dict[str, int], found: dict[str, str]) -> None:
    got = {column: str(_number(found, column)) for column in wanted}
    _note_differences(report, f"market {slug}", {key: str(value) for key, value in wanted.items()}, got)


def _note_differences(report: CheckReport, what: str, wanted: dict[str, str], found: dict[str, str]) -> None:
    for column, value in wanted.items():
        if found.get(column) != value:
            report.differences.append(f"{what}: {column} {found.get(column)} here, {value} at the venue")
