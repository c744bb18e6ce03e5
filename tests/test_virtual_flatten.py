"""Flatten in whole virtual runs: what is held is sold to the venue's bids, and venue, journal and files agree."""

from runs import configure, rows, run

from polybot._fast.event import EventKind, OperatorCode

SHARE = 1_000_000
DUST = 5 * SHARE  # the venue's smallest order


class Watch:
    """Looks at the run every second; flattens when enough is held, and notes what is left."""

    def __init__(self) -> None:
        self.flattened_s = 0.0
        self.before = 0
        self.left: list[int] = []

    def look(self, at_s: float, trader) -> None:
        held = [sum(market.position()) for market in trader.engine.markets.values() if not market.settled]
        if self.flattened_s:
            self.left.append(sum(held))
        elif sum(held) >= 3 * DUST:
            self.flattened_s, self.before = at_s, sum(held)
            trader.tell(EventKind.EV_OPERATOR, i=OperatorCode.OP_FLATTEN)


def test_what_is_held_is_sold_within_five_seconds_and_the_books_agree(tmp_path):
    watch = Watch()
    during = [(float(s), lambda trader, _, s=s: watch.look(s, trader)) for s in range(60, 300)]
    config = configure(venue__makers="slow", venue__seed=4)
    result = run(tmp_path, config, during=during)
    assert watch.before >= 3 * DUST
    assert watch.left[5] < DUST
    assert watch.left[-1] == watch.left[5] or not watch.left[-1], "nothing was bought again"
    sales = [row for row in rows(result, "fills.csv") if row["side"] == "Sell"]
    assert sales
    assert result.check.is_ok, result.check.text()
    assert not result.summary.orders_may_be_open
    assert result.check.venue.pnl == sum(result.summary.pnl_usd.values())
