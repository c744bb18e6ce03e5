"""Paper beside the real gateway: which fills both have, which one misses, what the difference comes to.

What an order got at one price counts as one fill: the venue tells one for every maker met there, paper one for the
level.  A fill of both runs is the same when strategy, outcome, side and price agree and they lie within MATCH_S of
each other; each is used once, the nearest first.  Sizes may differ: what both filled is compared in shares.
"""

from dataclasses import dataclass

from runs import rows

from polybot.harness import VirtualRun

MATCH_S = 1.0
SHARE = 1_000_000


@dataclass(frozen=True)
class Comparison:
    live: int
    paper: int
    agreed: int
    live_shares: float
    paper_shares: float
    live_pnl_usd: float
    paper_pnl_usd: float

    @property
    def missed(self) -> int:
        """The real gateway got it, paper did not."""
        return self.live - self.agreed

    @property
    def extra(self) -> int:
        """Paper got it, the real gateway did not."""
        return self.paper - self.agreed


def fills(run: VirtualRun) -> list[dict[str, str]]:
    """The first match of each order at each price, with the micro-shares of all of them there."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows(run, "fills.csv"):
        if row["status"] == "MATCHED":
            first = found.setdefault((row["order_seq"], row["price_ticks"]), {**row, "shares_micro": "0"})
            first["shares_micro"] = str(int(first["shares_micro"]) + int(row["shares_micro"]))
    return list(found.values())


def same(a: dict[str, str], b: dict[str, str]) -> bool:
    keys = ("strategy", "outcome", "side", "price_ticks")
    return all(a[key] == b[key] for key in keys) and apart_s(a, b) <= MATCH_S


def apart_s(a: dict[str, str], b: dict[str, str]) -> float:
    return abs(int(a["ts_ms"]) - int(b["ts_ms"])) / 1_000


def compare_runs(live: VirtualRun, paper: VirtualRun) -> Comparison:
    mine, theirs = fills(paper), fills(live)
    left = list(mine)
    agreed = 0
    for fill in theirs:
        near = sorted((other for other in left if same(fill, other)), key=lambda other: apart_s(fill, other))
        if near:
            left.remove(near[0])
            agreed += 1
    return Comparison(
        live=len(theirs),
        paper=len(mine),
        agreed=agreed,
        live_shares=sum(int(fill["shares_micro"]) for fill in theirs) / SHARE,
        paper_shares=sum(int(fill["shares_micro"]) for fill in mine) / SHARE,
        live_pnl_usd=live.check.venue.pnl / SHARE,
        paper_pnl_usd=paper.check.venue.pnl / SHARE,
    )


def table(found: dict[int, Comparison]) -> list[str]:
    """One line per seed, as in docs/PAPER.md."""
    lines = ["seed  fills live/paper  agreed missed extra   shares live/paper      PnL live/paper USD"]
    for seed, row in found.items():
        lines.append(
            f"{seed:>4}  {row.live:>5} {row.paper:>6}        {row.agreed:>6} {row.missed:>6} {row.extra:>5}"
            f"   {row.live_shares:>8.2f} {row.paper_shares:>8.2f}"
            f"   {row.live_pnl_usd:>+9.2f} {row.paper_pnl_usd:>+9.2f}"
        )
    return lines
