"""The venue's own books: an append-only record polybot never reads while it runs.

Owns one JSON object per line, all quantities integers (micro-USD, micro-shares, ticks, ns).
Kinds ("k"): ledger, account, market, order (accepted), reject, end (of an order), leg, trade (status),
resolve, settle (position and payout of every account, the venue's own traders too).  Matches between two of
the venue's own traders are not written one by one.  Must not interpret.  Written by the exchange; read by the checker.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson

__all__ = ["LEDGER_VERSION", "Ledger", "read_ledger"]

LEDGER_VERSION = 1
Row = dict[str, Any]


class Ledger:
    """Append-only rows in a file, or in memory when there is no path."""

    def __init__(self, path: Path | None = None, session_id: str = "") -> None:
        self.session_id = session_id
        self.rows: list[Row] = []  # only without a path
        self._written = 0
        self._flows: dict[tuple[str, str], int] = defaultdict(int)
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        self.write("ledger", 0, version=LEDGER_VERSION, session=session_id)

    def write(self, kind: str, now_ns: int, **fields: Any) -> None:
        """Append one row; on disk before this returns."""
        self._written += 1
        row: Row = {"n": self._written, "t": now_ns, "k": kind, **fields}
        if self._file is None:
            self.rows.append(row)
        else:
            self._file.write(orjson.dumps(row) + b"\n")

    def flow(self, account: str, condition_id: str, micro_usd: int) -> None:
        """Book cash that moved for one market (negative: paid)."""
        self._flows[account, condition_id] += micro_usd

    def account_pnl(self, account: str) -> dict[str, int]:
        """Cash won or lost per condition_id, micro-USD; final for settled markets."""
        return {market: micro_usd for (name, market), micro_usd in self._flows.items() if name == account}

    def drop_flows(self, condition_id: str) -> None:
        """Forget the sums of a market that is no longer known (the file keeps its rows)."""
        for key in [key for key in self._flows if key[1] == condition_id]:
            del self._flows[key]

    def close(self) -> None:
        """No more rows."""
        if self._file is not None:
            self._file.close()


def read_ledger(path: Path) -> list[Row]:
    """All rows of a ledger file; a torn last line is dropped, another version refused."""
    rows: list[Row] = []
    lines = path.read_bytes().split(b"\n")
    for line in lines[:-1]:
        rows.append(orjson.loads(line))
    if not rows or rows[0].get("k") != "ledger" or rows[0].get("version") != LEDGER_VERSION:
        raise ValueError(f"{path.name} is not a version {LEDGER_VERSION} ledger")
    return rows
