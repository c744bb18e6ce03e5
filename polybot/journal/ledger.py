"""The queryable ledger: one SQLite file built from the journal, by SQL of its own.

Theory of operation: `apply` books a batch of records and the position behind them in one transaction, so a crash
at any point goes on where the file says, and applying a record twice is impossible.  Nothing is kept in memory;
positions and results are sums over rows, not a copy of what recovery folds: the two are compared.
Integers only: micro-USD, micro-shares, ticks, ns.  WAL mode: readers never wait for the writer.

Owns the schema.  Must not read the journal's files or know the engine.  Called by the ledger thread, status, check.
"""

import dataclasses
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from polybot import crashpoints
from polybot._fast.event import EventKind, Side
from polybot.journal.booking import (
    F_MAKER,
    FAILED,
    LAST_STATUS,
    OrderState,
    after_fill,
    after_update,
    fill_cost,
    is_local_refusal,
    is_sound_fill,
    is_trade_news,
    utc_day,
)
from polybot.journal.reader import Position
from polybot.journal.records import (
    CleanStop,
    EventFields,
    HaltKind,
    Intent,
    Latch,
    Loss,
    MarketDrop,
    MarketOpen,
    MoneyEvent,
    Note,
    Session,
    SnapshotBegin,
    SnapshotEnd,
    TradeSeen,
)
from polybot.journal.recovery import Stamped
from polybot.market.spec import MarketSpec

__all__ = ["Halt", "Holding", "Ledger", "OpenOrder"]

SCHEMA_VERSION = 1
BUY = int(Side.BUY)
EV_ORDER_UPDATE, EV_FILL = int(EventKind.EV_ORDER_UPDATE), int(EventKind.EV_FILL)
EV_STRIKE, EV_MARKET_CLOSE, EV_OUTCOME = (
    int(EventKind.EV_STRIKE),
    int(EventKind.EV_MARKET_CLOSE),
    int(EventKind.EV_OUTCOME),
)
OS_SENT = 1
BUSY_TIMEOUT_S = 5.0
SCHEMA = """
CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER, offset INTEGER, next_seq INTEGER,
                    adopting INTEGER NOT NULL);
CREATE TABLE sessions (number INTEGER PRIMARY KEY, ns INTEGER, account TEXT, venue_session TEXT, config_digest TEXT,
                       software TEXT, clean_ns INTEGER, open_orders INTEGER);
CREATE TABLE markets (id INTEGER PRIMARY KEY, idx INTEGER, slug TEXT, condition_id TEXT, start_ns INTEGER,
                      end_ns INTEGER, order_seq_base INTEGER, observed INTEGER, spec TEXT, strike REAL,
                      strike_source INTEGER, is_closed INTEGER NOT NULL DEFAULT 0,
                      outcome INTEGER NOT NULL DEFAULT -1, is_live INTEGER NOT NULL DEFAULT 1);
CREATE UNIQUE INDEX live_markets ON markets (idx) WHERE is_live;
CREATE TABLE orders (order_seq INTEGER PRIMARY KEY, market INTEGER REFERENCES markets, strategy TEXT, outcome INTEGER,
                     side INTEGER, order_type INTEGER, post_only INTEGER, price_ticks INTEGER, asked_ushares INTEGER,
                     signed_ushares INTEGER, order_id TEXT UNIQUE, token_id TEXT, dispatched_ns INTEGER,
                     status INTEGER, matched INTEGER, filled INTEGER, changed_ns INTEGER);
CREATE TABLE fills (order_seq INTEGER REFERENCES orders, key INTEGER, status INTEGER, is_booked INTEGER,
                    price_ticks INTEGER, ushares INTEGER, held INTEGER, usd INTEGER, fee_usd INTEGER,
                    is_maker INTEGER, first_ns INTEGER, changed_ns INTEGER, PRIMARY KEY (order_seq, key));
CREATE TABLE trades_seen (key INTEGER PRIMARY KEY, trade_id TEXT, order_id TEXT, leg INTEGER);
CREATE TABLE settlements (market INTEGER REFERENCES markets, strategy TEXT, outcome INTEGER, cost_usd INTEGER,
                          payout_usd INTEGER, pnl_usd INTEGER, PRIMARY KEY (market, strategy));
CREATE TABLE pnl (day INTEGER, strategy TEXT, usd INTEGER, PRIMARY KEY (day, strategy));
CREATE TABLE halts (seq INTEGER PRIMARY KEY, ns INTEGER, kind INTEGER, is_on INTEGER, reason TEXT, by_whom TEXT);
CREATE TABLE results (seq INTEGER PRIMARY KEY, ns INTEGER, day INTEGER, week INTEGER, day_realised_usd INTEGER,
                      week_realised_usd INTEGER, marked_usd INTEGER);
CREATE TABLE notes (seq INTEGER PRIMARY KEY, ns INTEGER, text TEXT);
CREATE TABLE strays (seq INTEGER PRIMARY KEY, ns INTEGER, what TEXT);
"""


class Holding(NamedTuple):
    """What a strategy holds in a market that is not settled."""

    slug: str
    strategy: str
    up_ushares: int
    down_ushares: int
    cost_usd: int
    fees_usd: int


class OpenOrder(NamedTuple):
    """An order of which anything may still become a fill."""

    order_seq: int
    slug: str
    strategy: str
    outcome: int
    side: int
    price_ticks: int
    asked_ushares: int
    filled_ushares: int
    status: int
    order_id: str


class Halt(NamedTuple):
    """A halt that is on."""

    kind: HaltKind
    since_ns: int
    reason: str
    by: str


class Ledger:
    """One SQLite file; used by the thread that opened it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or make the file; raises sqlite3.Error, and ValueError for another schema."""
        self._is_empty = False  # nothing was booked before the record at hand
        if read_only:
            uri = f"{path.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        else:
            path.touch(0o600, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._prepare()
        if self._db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            raise ValueError(f"{path}: not a ledger of version {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def position(self) -> Position | None:
        """Where the journal is to be read on; None: from its beginning."""
        segment, offset, next_seq = self._db.execute("SELECT segment, offset, next_seq FROM place").fetchone()
        return None if segment is None else Position(segment, offset, next_seq)

    def apply(self, items: Iterable[Stamped], behind: Position) -> None:
        """Book records and the position behind them, all or nothing; raises sqlite3.Error."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._is_empty = self.position() is None
            for item in items:
                self._book(item)
                self._is_empty = False
            self._db.execute("UPDATE place SET segment = ?, offset = ?, next_seq = ?", behind)
            crashpoints.reach("before_ledger_commit")
        crashpoints.reach("after_ledger_commit")

    # -- questions --------------------------------------------------------------------------------------------

    def positions(self) -> list[Holding]:
        """What is held in markets whose outcome is not known."""
        rows = self._db.execute(
            "SELECT slug, strategy, SUM(held * (outcome_held = 0)), SUM(held * (outcome_held = 1)), SUM(usd),"
            " SUM(fee_usd) FROM (SELECT m.id, m.slug, o.strategy, o.outcome AS outcome_held, f.held, f.usd, f.fee_usd"
            " FROM fills f JOIN orders o USING (order_seq) JOIN markets m ON m.id = o.market"
            " WHERE f.is_booked AND m.outcome < 0) GROUP BY id, strategy"
            " HAVING SUM(held * (outcome_held = 0)) OR SUM(held * (outcome_held = 1)) OR SUM(usd)"
            " ORDER BY slug, strategy"
        )
        return [Holding(*row) for row in rows]

    def pnl_by_day(self) -> dict[tuple[int, str], int]:
        """Realised micro-USD by (UTC day since 1970, strategy)."""
        rows = self._db.execute("SELECT day, strategy, usd FROM pnl ORDER BY day, strategy")
        return {(day, strategy): usd for day, strategy, usd in rows}

    def open_orders(self) -> list[OpenOrder]:
        """Orders of live markets that may still fill: no last word yet, or more matched than told as fills."""
        rows = self._db.execute(
            "SELECT o.order_seq, m.slug, o.strategy, o.outcome, o.side, o.price_ticks, o.asked_ushares, o.filled,"
            " o.status, o.order_id FROM orders o JOIN markets m ON m.id = o.market"
            " WHERE m.is_live AND o.status != 10 AND (o.status NOT IN (6, 8, 9) OR o.matched > o.filled)"
            " ORDER BY o.order_seq"
        )
        return [OpenOrder(*row) for row in rows]

    def halts(self) -> list[Halt]:
        """Halts that are on."""
        rows = self._db.execute(
            "SELECT kind, ns, reason, by_whom FROM halts h WHERE is_on"
            " AND seq = (SELECT MAX(seq) FROM halts WHERE kind = h.kind) ORDER BY kind"
        )
        return [Halt(HaltKind(kind), ns, reason, by) for kind, ns, reason, by in rows]

    def content(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table, sorted: to compare two ledgers."""
        names = [row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(self._db.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names
        }

    # -- booking ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a lost tail is read again from the journal
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            self._db.executescript(
                f"BEGIN; {SCHEMA} INSERT INTO place VALUES (1, NULL, NULL, NULL, 0);"
                f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    def _book(self, item: Stamped) -> None:
        record = item.record
        if isinstance(record, SnapshotBegin):
            self._begin_snapshot(record)
        elif isinstance(record, SnapshotEnd):
            self._db.execute("UPDATE place SET adopting = 0")
        elif item.is_restated and not self._db.execute("SELECT adopting FROM place").fetchone()[0]:
            return  # said before, and booked then
        elif isinstance(record, MoneyEvent):
            self._on_event(item, record.fields)
        elif isinstance(record, Intent):
            self._on_intent(item, record)
        elif isinstance(record, MarketOpen):
            self._on_market_open(item, record)
        elif isinstance(record, MarketDrop):
            self._on_market_drop(item, record)
        else:
            self._note(item)

    def _note(self, item: Stamped) -> None:
        """Records that only add a row."""
        record, at = item.record, (item.seq, item.ns)
        if isinstance(record, Session):
            values = (record.number, item.ns, *dataclasses.astuple(record)[:4])
            self._db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", values)
        elif isinstance(record, CleanStop):
            self._db.execute(
                "UPDATE sessions SET clean_ns = ?, open_orders = ?"
                " WHERE number = (SELECT MAX(number) FROM sessions)",
                (item.ns, record.open_orders),
            )
        elif isinstance(record, TradeSeen):
            self._db.execute(
                "INSERT OR IGNORE INTO trades_seen VALUES (?, ?, ?, ?)", dataclasses.astuple(record)
            )
        elif isinstance(record, Latch):
            values = (*at, int(record.kind), record.on, record.reason, record.by)
            self._db.execute("INSERT INTO halts VALUES (?, ?, ?, ?, ?, ?)", values)
        elif isinstance(record, Loss):
            self._db.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", (*at, *dataclasses.astuple(record))
            )
        elif isinstance(record, Note):
            self._db.execute("INSERT INTO notes VALUES (?, ?, ?)", (*at, record.text))

    def _stray(self, item: Stamped, what: str) -> None:
        self._db.execute("INSERT INTO strays VALUES (?, ?, ?)", (item.seq, item.ns, what))

    def _begin_snapshot(self, record: SnapshotBegin) -> None:
        """A snapshot only tells something to a ledger that has seen nothing before it."""
        if not self._is_empty:
            return
        self._db.execute("UPDATE place SET adopting = 1")
        self._db.executemany("INSERT OR IGNORE INTO pnl VALUES (?, ?, ?)", record.closed_pnl)

    def _on_market_open(self, item: Stamped, record: MarketOpen) -> None:
        if self._live_market(record.index) is not None:
            self._stray(item, f"market {record.index} is open already")
            return
        spec = record.spec
        self._db.execute(
            "INSERT INTO markets (idx, slug, condition_id, start_ns, end_ns, order_seq_base, observed, spec)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.index,
                spec.slug,
                spec.condition_id,
                spec.start_ns,
                spec.end_ns,
                record.order_seq_base,
                record.observed,
                json.dumps(dataclasses.asdict(spec), sort_keys=True),
            ),
        )

    def _on_market_drop(self, item: Stamped, record: MarketDrop) -> None:
        market = self._live_market(record.index)
        if market is None or (market[1] < 0 and self._holds(market[0])):
            self._stray(item, f"market {record.index} cannot be dropped")
            return
        self._db.execute("UPDATE markets SET is_live = 0 WHERE id = ?", market[:1])

    def _live_market(self, index: int) -> tuple[int, int] | None:
        """(id, outcome) of the market that has this index now."""
        row = self._db.execute(
            "SELECT id, outcome FROM markets WHERE idx = ? AND is_live", (index,)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def _holds(self, market: int) -> bool:
        return any(up or down or cost for _, up, down, cost in self._sums(market))

    def _sums(self, market: int) -> list[tuple[str, int, int, int]]:
        """(strategy, Up shares, Down shares, cost) of one market, also where they came to nothing."""
        rows = self._db.execute(
            "SELECT o.strategy, SUM(f.held * (o.outcome = 0)), SUM(f.held * (o.outcome = 1)), SUM(f.usd)"
            " FROM fills f JOIN orders o USING (order_seq) WHERE o.market = ? AND f.is_booked GROUP BY o.strategy",
            (market,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def _on_intent(self, item: Stamped, record: Intent) -> None:
        market = self._live_market(record.market)
        known = self._db.execute(
            "SELECT 1 FROM orders WHERE order_seq = ? OR order_id = ?", (record.order_seq, record.order_id)
        ).fetchone()
        if market is None or known:
            self._stray(item, f"order {record.order_seq}: no such market, or intended twice")
            return
        self._db.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)",
            (
                record.order_seq, market[0], record.strategy, record.outcome, record.side, record.order_type,
                record.post_only, record.price_ticks, record.asked_ushares, record.signed_ushares, record.order_id,
                record.token_id, record.dispatched_ns, OS_SENT, item.ns,
            ),
        )  # fmt: skip

    def _on_event(self, item: Stamped, event: EventFields) -> None:
        if event.kind in (EV_ORDER_UPDATE, EV_FILL):
            self._on_order_news(item, event)
        elif event.kind in (EV_STRIKE, EV_MARKET_CLOSE, EV_OUTCOME):
            self._on_market_event(item, event)

    def _on_order_news(self, item: Stamped, event: EventFields) -> None:
        row = self._db.execute(
            "SELECT o.status, o.matched, o.filled, o.asked_ushares, o.side, o.outcome, o.strategy, m.id, m.outcome,"
            " m.spec FROM orders o JOIN markets m ON m.id = o.market WHERE o.order_seq = ? AND m.is_live",
            (event.seq,),
        ).fetchone()
        if row is None and is_local_refusal(event):
            return  # it was never sent
        if row is None or (event.kind == EV_FILL and not is_sound_fill(event)):
            self._stray(item, f"event {event.kind} of order {event.seq} fits nothing")
            return
        state = OrderState(*row[:3])
        if event.kind == EV_FILL:
            self._on_fill(item, event, state, row[3:])
        elif not 0 <= event.i <= LAST_STATUS:
            self._stray(item, f"order {event.seq}: status {event.i}")
        else:
            self._set_state(item, event.seq, after_update(state, row[3], event.i, event.j))

    def _set_state(self, item: Stamped, order_seq: int, state: OrderState | None) -> None:
        if state is not None:
            self._db.execute(
                "UPDATE orders SET status = ?, matched = ?, filled = ?, changed_ns = ? WHERE order_seq = ?",
                (*state, item.ns, order_seq),
            )

    def _on_fill(
        self,
        item: Stamped,
        event: EventFields,
        state: OrderState,
        order: tuple[int, int, int, str, int, int, str],
    ) -> None:
        asked, side, outcome, strategy, market, winner, spec_text = order
        key, status = int(event.y), int(event.x)
        row = self._db.execute(
            "SELECT status, is_booked, held, usd, ushares FROM fills WHERE order_seq = ? AND key = ?",
            (event.seq, key),
        ).fetchone()
        if row is not None and not is_trade_news(row[0], status):
            return
        if row is None:
            cost = fill_cost(MarketSpec(**json.loads(spec_text)), event, outcome=outcome, side=side)
            held, usd, ushares, was_booked = (event.j if side == BUY else -event.j), cost.usd, event.j, False
            self._db.execute(
                "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    event.seq, key, status, status != FAILED, event.i, event.j, held, usd, cost.fee_usd,
                    bool(event.flags & F_MAKER), item.ns, item.ns,
                ),
            )  # fmt: skip
        else:
            _, was_booked, held, usd, ushares = row
            self._db.execute(
                "UPDATE fills SET status = ?, is_booked = ?, changed_ns = ? WHERE order_seq = ? AND key = ?",
                (status, status != FAILED, item.ns, event.seq, key),
            )
        failed = status == FAILED
        after = after_fill(state, asked, ushares, booked=bool(was_booked), failed=failed)
        self._set_state(item, event.seq, after)
        if winner >= 0 and failed == bool(was_booked):
            sign = -1 if failed else 1
            self._realise(event.recv_ns, strategy, sign * ((held if outcome == winner else 0) - usd))
            self._settle(market, winner)

    def _on_market_event(self, item: Stamped, event: EventFields) -> None:
        market = self._live_market(event.market)
        if market is None:
            self._stray(item, f"event {event.kind} of market {event.market}, which is not open")
        elif event.kind == EV_STRIKE and event.x > 0.0:
            strike = (event.x, event.i, market[0])
            self._db.execute("UPDATE markets SET strike = ?, strike_source = ? WHERE id = ?", strike)
        elif event.kind == EV_MARKET_CLOSE:
            self._db.execute("UPDATE markets SET is_closed = 1 WHERE id = ?", market[:1])
        elif event.kind == EV_OUTCOME and market[1] < 0 and event.outcome <= 1:
            values = (event.outcome, market[0])
            self._db.execute("UPDATE markets SET outcome = ?, is_closed = 1 WHERE id = ?", values)
            for strategy, up, down, cost in self._sums(market[0]):
                if up or down or cost:
                    self._realise(event.recv_ns, strategy, (down if event.outcome else up) - cost)
            self._settle(market[0], event.outcome)

    def _realise(self, recv_ns: int, strategy: str, usd: int) -> None:
        self._db.execute(
            "INSERT INTO pnl VALUES (?, ?, ?) ON CONFLICT (day, strategy) DO UPDATE SET usd = usd + excluded.usd",
            (utc_day(recv_ns), strategy, usd),
        )

    def _settle(self, market: int, winner: int) -> None:
        """State what each strategy's settlement comes to now."""
        self._db.execute("DELETE FROM settlements WHERE market = ?", (market,))
        for strategy, up, down, cost in self._sums(market):
            payout = down if winner else up
            values = (market, strategy, winner, cost, payout, payout - cost)
            self._db.execute("INSERT INTO settlements VALUES (?, ?, ?, ?, ?, ?)", values)
