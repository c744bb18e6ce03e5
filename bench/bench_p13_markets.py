"""P13: cost of one message as the markets of one live process go from 1 to 16, and the memory a market takes."""

import statistics

from bench.gate import Gate
from bench.many_markets import ManyMarkets, market_kb
from bench.timing import SHORT

ROUNDS = 7 if SHORT else 13
MOST = 1.2
MANY = 16


def times_dearer(few: ManyMarkets, many: ManyMarkets) -> float:
    """Median over rounds, measured in turns, of CPU per message with many markets to that with few."""
    ratios = []
    for _ in range(ROUNDS):
        few_ns = few.round_ns()
        ratios.append(many.round_ns() / few_ns)
    return statistics.median(ratios)


def both(**world: object) -> tuple[ManyMarkets, ManyMarkets]:
    """Two worlds, with one market and with many, warm; what is to be traded in them is."""
    worlds = ManyMarkets(1, **world), ManyMarkets(MANY, **world)  # type: ignore[arg-type]
    for made in worlds:
        made.round_ns()
        assert made.is_trading()
    return worlds


def with_a_loop_over_all_markets(**world: object) -> float:
    """The planted fault: every message is a look at every market."""
    few, many = both(**world)
    few.fault_markets, many.fault_markets = 1, MANY
    return times_dearer(few, many)


def test_a_message_costs_a_daemon_as_much_with_sixteen_markets_as_with_one(gate: Gate) -> None:
    few, many = both()
    gate.value(
        "P13",
        "CPU per message: 16 markets as one daemon holds them vs 1",
        lambda: times_dearer(few, many),
        at_most=MOST,
        planted=with_a_loop_over_all_markets,
        unit="x",
    )
    gate.report("P13", "CPU per message, 1 market", statistics.median(few.round_ns() for _ in range(ROUNDS)), unit="ns")
    four = ManyMarkets(4)
    gate.report("P13", "CPU per message: 4 markets vs 1", times_dearer(few, four), unit="x")


def test_a_message_of_one_market_costs_as_much_when_sixteen_are_traded_at_once(gate: Gate) -> None:
    few, many = both(kind="traded", spot_share=0.0)
    gate.value(
        "P13",
        "CPU per message of a market: 16 traded at once vs 1",
        lambda: times_dearer(few, many),
        at_most=MOST,
        planted=lambda: with_a_loop_over_all_markets(kind="traded", spot_share=0.0),
        unit="x",
    )


def test_what_is_dearer_with_more_markets_is_stated(gate: Gate) -> None:
    """A spot trade is a question to every market that is traded, and cross_timeframe looks at all books."""
    traded, followed = times_dearer(*both(kind="traded")), times_dearer(*both(all_six=True))
    gate.report("P13", "all messages: 16 traded at once (no daemon does) vs 1", traded, unit="x")
    gate.report("P13", "16 markets as one daemon holds them vs 1, cross_timeframe on", followed, unit="x")
    gate.report("P13", "memory of one more market with feed and full book", market_kb(), unit="KB")
