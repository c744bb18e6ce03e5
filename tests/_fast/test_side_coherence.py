"""Side coherence, row by row: signals in, and what became of each (engine.md, Pipeline 2 to 4 and the pair rule)."""

from typing import NamedTuple

import pytest
from scenario import SHARE, Scenario, rows
from test_engine import Scripted, opinion

from polybot._fast.event import DOWN, SELL, UP, CommandKind, OrderStatus
from polybot._fast.risk import Denial

SENT, OTHER_SIDE, DROPPED, PAIR = Denial.DISPATCHED, Denial.HOUSE_SIDE, Denial.DECONFLICTED, Denial.PAIR_COST


class Say(NamedTuple):
    """One strategy's signal: outcome, edge, confidence, limit; passive ones rest."""

    outcome: int
    edge: float = 0.05
    confidence: float = 0.5
    ticks: int = 5_000
    passive: bool = False
    side: int = 0


class Row(NamedTuple):
    """Signals of one instant, the house before, what was bought before, then each fate and the house after."""

    says: tuple[Say, ...]
    fates: tuple[Denial, ...]
    house: int
    before: int = -1
    held: tuple[tuple[int, int], ...] = ()  # (outcome, price_ticks) of 10 shares each, bought passively
    confidence_min: float = 0.0


NONE = -1
TABLE = {
    # -- the house ------------------------------------------------------------------------------------------
    "the first dispatched active signal sets the house": Row((Say(UP),), (SENT,), UP),
    "of either outcome": Row((Say(DOWN),), (SENT,), DOWN),
    "two that agree are both sent": Row((Say(UP), Say(UP)), (SENT, SENT), UP),
    "a later signal that agrees is sent": Row((Say(UP),), (SENT,), UP, before=UP),
    "a later signal that does not is not": Row((Say(DOWN, 0.5, 1.0),), (OTHER_SIDE,), UP, before=UP),
    "with a house, the weaker agrees and the stronger does not": Row(
        (Say(UP, 0.01, 0.1), Say(DOWN, 0.5, 1.0)), (SENT, OTHER_SIDE), UP, before=UP
    ),
    "below house_confidence_min it is sent and sets no house": Row(
        (Say(UP, confidence=0.3),), (SENT,), NONE, confidence_min=0.4
    ),
    "at house_confidence_min it sets the house": Row(
        (Say(UP, confidence=0.4),), (SENT,), UP, confidence_min=0.4
    ),
    # -- conflict without a house ---------------------------------------------------------------------------
    "the larger edge x confidence wins: Up": Row((Say(UP, 0.10), Say(DOWN, 0.05)), (SENT, DROPPED), UP),
    "the larger edge x confidence wins: Down": Row((Say(UP, 0.05), Say(DOWN, 0.10)), (DROPPED, SENT), DOWN),
    "confidence counts as much as edge": Row(
        (Say(UP, 0.05, 0.3), Say(DOWN, 0.04, 0.9)), (DROPPED, SENT), DOWN
    ),
    "the sum counts, not the best": Row(
        (Say(UP, 0.06), Say(DOWN, 0.04), Say(DOWN, 0.04)), (DROPPED, SENT, SENT), DOWN
    ),
    "a tie goes to Up": Row((Say(DOWN), Say(UP)), (DROPPED, SENT), UP),
    "a tie of sums goes to Up": Row(
        (Say(DOWN, 0.04), Say(DOWN, 0.04), Say(UP, 0.08)), (DROPPED, DROPPED, SENT), UP
    ),
    # -- passive --------------------------------------------------------------------------------------------
    "a passive signal sets no house": Row((Say(UP, ticks=3_000, passive=True),), (SENT,), NONE),
    "a passive signal is not bound by the house": Row(
        (Say(DOWN, ticks=3_000, passive=True),), (SENT,), UP, before=UP
    ),
    "a passive signal weighs nothing in a conflict": Row(
        (Say(UP, 0.02), Say(DOWN, 0.03), Say(UP, 0.5, 1.0, 3_000, passive=True)), (DROPPED, SENT, SENT), DOWN
    ),
    "a passive signal against one active one is no conflict": Row(
        (Say(UP, 0.02), Say(DOWN, 0.9, 1.0, 3_000, passive=True)), (SENT, SENT), UP
    ),
    # -- what the pair costs --------------------------------------------------------------------------------
    "a pair below 1 with fees is allowed": Row(
        (Say(DOWN, ticks=4_000, passive=True),), (SENT,), NONE, held=((UP, 5_500),)
    ),
    "a pair of just 1 is too dear with the taker's fee of what is held": Row(
        (Say(DOWN, ticks=4_500, passive=True),), (PAIR,), NONE, held=((UP, 5_500),)
    ),
    "a pair above 1 is refused": Row(
        (Say(DOWN, ticks=4_800, passive=True),), (PAIR,), NONE, held=((UP, 5_500),)
    ),
    "also to the active": Row((Say(DOWN, ticks=4_800),), (PAIR,), NONE, held=((UP, 5_500),)),
    "the taker's own fee counts": Row((Say(DOWN, ticks=4_400),), (PAIR,), NONE, held=((UP, 5_500),)),
    "open orders are part of the pair": Row(
        (Say(UP, 0.09, ticks=5_900), Say(DOWN, ticks=3_900, passive=True)), (SENT, SENT), UP
    ),
    "and make it too dear": Row(
        (Say(UP, 0.09, ticks=5_900), Say(DOWN, ticks=4_090, passive=True)), (SENT, PAIR), UP
    ),
    "more of the same is no pair": Row((Say(UP, ticks=5_500),), (SENT,), UP, held=((UP, 5_500),)),
    "a sale is no pair": Row(
        (Say(DOWN, ticks=4_900, side=SELL, passive=True),), (SENT,), NONE, held=((UP, 5_500), (DOWN, 4_000))
    ),
    "the house is asked before the pair": Row(
        (Say(DOWN, ticks=4_800),), (OTHER_SIDE,), UP, before=UP, held=((UP, 5_500),)
    ),
}


def build(row):
    """One strategy per signal; what was held before was bought by the first passive one, the house by an extra one."""
    actors = [Scripted(f"s{k}", passive=say.passive) for k, say in enumerate(row.says)]
    buyer, setter = Scripted("buyer", passive=True), Scripted("setter")
    scenario = Scenario([*actors, buyer, setter], house_confidence_min=row.confidence_min)
    scenario.warm()
    for index in range(len(actors) + 2):
        scenario.risk.set_limits(index, per_trade_frac=0.05, total_frac=0.1, cooldown_ns=0, max_orders=50)
    t, key, seq = 21.0, 0, 1_000
    holder = actors[0] if row.says[0].side == SELL else buyer
    for outcome, ticks in row.held:
        holder.say = opinion(outcome, ticks=ticks)
        t, key, seq = pass_on(scenario, t, key, seq, ticks)
        holder.say = None
    if row.before >= 0:
        setter.say = opinion(row.before, ticks=4_950)
        pass_on(scenario, t, key, seq, 0)
        setter.say = None
    return scenario, actors


def pass_on(scenario, t, key, seq, fill_ticks):
    """Send what is said, and let it fill whole at this price, or end unfilled."""
    scenario.trade(t, 100_000.0)
    assert [int(r["order_seq"]) for r in rows(scenario.go(), CommandKind.CMD_PLACE)] == [seq]
    if fill_ticks:
        scenario.fill(t + 0.05, seq, fill_ticks, 10 * SHARE, key=key)
    else:
        scenario.update(t + 0.05, seq, OrderStatus.OS_CANCELED, 0)
    scenario.go()
    return t + 0.2, key + 1, seq + 1


@pytest.mark.parametrize("name", TABLE)
def test_side_coherence(name):
    row = TABLE[name]
    scenario, actors = build(row)
    assert scenario.market.house == row.before
    for actor, say in zip(actors, row.says, strict=True):
        resting = say.passive and say.side != SELL
        actor.say = opinion(
            say.outcome,
            ticks=say.ticks,
            edge=say.edge,
            confidence=say.confidence,
            side=say.side,
            **({"post_only": True} if resting else {}),
        )
    scenario.book(22.0, [(4_900, 1_000)], [(5_000, 1_000)])
    scenario.trade(22.0, 100_000.0)
    signals = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    fates = {int(signal["strategy"]): Denial(int(signal["reason"])) for signal in signals}
    assert tuple(fates[k] for k in range(len(actors))) == row.fates
    assert scenario.market.house == row.house


def test_a_refused_signal_sets_no_house_and_the_next_best_of_the_other_side_still_may_not_go():
    """The weaker side is dropped before risk speaks: it does not step in when the stronger one is then denied."""
    up, down = Scripted("up"), Scripted("down")
    scenario = Scenario([up, down])
    scenario.warm()
    scenario.risk.set_limits(0, per_trade_frac=0.02, total_frac=0.0, cooldown_ns=0, max_orders=50)
    up.say, down.say = opinion(UP, edge=0.1), opinion(DOWN, ticks=5_100)
    scenario.trade(21.0, 100_000.0)
    signals = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    assert [int(s["reason"]) for s in signals] == [Denial.STRATEGY_EXPOSURE, Denial.DECONFLICTED]
    assert scenario.market.house == -1
