"""The venue's ledger as one account's program should have seen it: what others did there left out, what failed marked.

Owns that view of ledger rows and changes none of them in place:
    leg            gets "void": True when its trade ended FAILED (it was undone to the micro-unit)
    end            "matched" without what was undone
    order, end, leg of a manual order (somebody else's hand on the account)    left out
    settle         "up", "down", "paid" and "cash" as if the manual orders had never been
Must not read polybot's files.  Called by sim.checker, and before the journal is compared.
"""

from collections import defaultdict
from collections.abc import Iterable

from polybot.sim.ledger import Row
from polybot.sim.markets import BUY, UP

__all__ = ["own_rows"]

ROLES = ("taker", "maker")


def own_rows(rows: Iterable[Row]) -> list[Row]:
    """The view of all rows, in their order."""
    rows = list(rows)
    failed = {row["trade"] for row in rows if row["k"] == "trade" and row["status"] == "FAILED"}
    manual = {row["id"]: row["account"] for row in rows if row["k"] == "manual"}
    undone: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["k"] == "leg" and row["trade"] in failed:
            for role in ROLES:
                undone[row[f"{role}_order"]] += row["ushares"]
    hands = _Hands(manual)
    out: list[Row] = []
    for row in rows:
        kind = row["k"]
        if kind == "leg":
            out.append(hands.leg(row | {"void": row["trade"] in failed}))
        elif kind == "settle":
            out.append(hands.settle(row))
        elif kind not in ("order", "end", "manual") or row["id"] not in manual:
            is_cut = kind == "end" and row["id"] in undone
            out.append(row | {"matched": row["matched"] - undone[row["id"]]} if is_cut else row)
    return out


class _Hands:
    """What manual orders moved so far."""

    def __init__(self, manual: dict[str, str]) -> None:
        self._manual = manual
        self._shares: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])  # account, market
        self._cash: dict[str, int] = defaultdict(int)  # by account

    def leg(self, row: Row) -> Row:
        """Note a manual party's part, and give the party another name."""
        for role in ROLES:
            account = self._manual.get(row[f"{role}_order"])
            if account is None:
                continue
            if not row["void"]:
                sign = 1 if row[f"{role}_side"] == BUY else -1
                fee = row["fee"] if role == "taker" else 0
                self._shares[account, row["market"]][row[f"{role}_outcome"]] += sign * row["ushares"]
                self._cash[account] -= sign * row[f"{role}_usd"] + fee
            row = row | {role: f"{account} by hand"}
        return row

    def settle(self, row: Row) -> Row:
        """A payout without what was bought by hand."""
        account = row["account"]
        up, down = self._shares.get((account, row["market"]), (0, 0))
        paid = up if row["winner"] == UP else down
        self._cash[account] += paid
        return row | {
            "up": row["up"] - up,
            "down": row["down"] - down,
            "paid": row["paid"] - paid,
            "cash": row["cash"] - self._cash[account],
        }
