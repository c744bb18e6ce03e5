"""P5: what asking one strategy costs, asking the five together, and the risk check of a signal.

A strategy cannot be asked alone: the cost of an event is taken with and without it, BATCH events in one call so that
nothing of Python is in it, in turns, and the median of the differences divided by the machine's scale.  The market
is one where the strategy is asked and says no at the gate that usually ends it; cross_timeframe has no other window
to compare with there (fitting three takes microseconds: shown, and held by bench_cross_timeframe).  The risk check is
the difference between a signal that walks every check (and is too small in the end) and one that the first ends.
The plants: the same question put by a strategy in plain Python; a limit of Greeks over many windows.
"""

import statistics
from collections.abc import Callable
from typing import Any

import pytest
from scenario import SHARE, Scenario, make_risk, make_spec
from surfaces import NOW_S as SURFACE_NOW_S
from surfaces import Leg, Surface

from bench.gate import Gate
from bench.timing import SHORT, calibrate, scale_of, timed_ns
from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.risk import Denial
from polybot._fast.strategy import Strategy, Trigger
from polybot.assembly import build_strategies
from polybot.config import default_config

BATCH = 200
CALLS = 3 if SHORT else 10
ROUNDS = 21 if SHORT else 61
EVALUATE_NS = 100.0
FIVE_NS = 300.0
CHECK_NS = 100.0
NOW_S = 20.5
# the event each is asked on, what makes it walk to its edge in that market, and the gate where it then ends
CASES: dict[str, tuple[str, dict[str, float], str]] = {
    "certainty_capture": ("book", {"min_abs_z": 0.0}, "edge"),
    "convexity_fade": ("book", {}, "overreaction"),
    "cross_timeframe": ("book", {}, "windows"),
    "latency_arb": ("trade", {}, "edge"),
    "lp_extreme": (
        "trade",
        {"min_abs_z": 0.0, "min_left_s": 0.0, "max_ask_usd": 0.9, "min_edge": 0.6},
        "price",
    ),
    "strike_misalign": ("trade", {"opening_s": 200.0, "min_shift_edge": 0.0}, "edge"),
}


class Plain(Strategy):
    """latency_arb's first question, asked in Python."""

    def __init__(self) -> None:
        super().__init__("plain", gate_names=("edge",), triggers=Trigger.ON_SPOT_TRADE | Trigger.ON_BOOK)

    def evaluate(self, market: Any, spot: Any, signal: Any) -> int:
        """Never enough."""
        return int(self.check_least(0, max(self.edge_at_ask(market, 0), self.edge_at_ask(market, 1)), 0.9))


def made(*names: str) -> list[Strategy]:
    """Built-in strategies with the settings of CASES."""
    changes: dict[str, Any] = {f"strategy.{name}.enabled": True for name in names}
    for name in names:
        changes |= {f"strategy.{name}.{key}": value for key, value in CASES[name][1].items()}
    config = default_config(**changes)
    configs = {name: config.strategy[name] for name in names}
    return build_strategies(configs, config.model, config.risk)


def ready(strategies: list[Any]) -> Scenario:
    """A live market at 20 s, its book a cent wide about the fair price."""
    scenario = Scenario(strategies)
    scenario.warm(bid=4_900, ask=5_000)
    return scenario


def events_of(scenario: Scenario, kind: str, at_s: float) -> EventBuffer:
    """BATCH messages of one kind."""
    events = EventBuffer(BATCH)
    for _ in range(BATCH):
        at_ns = scenario.at(at_s)
        if kind == "trade":
            events.add(
                EventKind.EV_SPOT_TRADE,
                recv_ns=at_ns,
                venue_ns=at_ns,
                flags=EventFlag.F_END,
                x=100_001.0,
                y=0.01,
            )
        else:
            fields = {"market": 0, "side": 0, "i": 4_800, "j": 5 * SHARE, "x": -1, "y": -1}
            events.add(EventKind.EV_BOOK_DELTA, recv_ns=at_ns, flags=EventFlag.F_END, **fields)
    return events


def runs(scenario: Scenario, kind: str, *, at_s: float = NOW_S) -> Callable[[], Any]:
    events, process = events_of(scenario, kind, at_s), scenario.engine.process
    return lambda: process(events)


def difference_ns(longer: Callable[[], Any], shorter: Callable[[], Any]) -> float:
    """What `longer` costs more per event, ns of the reference machine: median of differences taken in turns."""
    before_ns = calibrate()
    found = []
    for _ in range(ROUNDS):
        base_ns = timed_ns(shorter, CALLS)
        found.append((timed_ns(longer, CALLS) - base_ns) / CALLS / BATCH)
    return statistics.median(found) / scale_of(before_ns, calibrate())


def cost_of(strategies: list[Any], kind: str) -> Callable[[], float]:
    """Measures what asking these costs on an event that nothing else is asked on."""
    asked, empty = runs(ready(strategies), kind), runs(ready([]), kind)
    asked()
    empty()
    return lambda: difference_ns(asked, empty)


@pytest.mark.parametrize("name", CASES)
def test_one_strategy(gate: Gate, name: str) -> None:
    kind, _, ends_at = CASES[name]
    strategies = made(name)
    scenario = ready(strategies)
    assert len(runs(scenario, kind)()) == 0
    results = [row[3] for row in scenario.market.gate_rows(0)]
    assert strategies[0].gate_names[results.index(0)] == ends_at  # asked, up to here
    planted = cost_of([Plain()], kind)
    gate.value(
        "P5", f"evaluate: {name}", cost_of(made(name), kind), at_most=EVALUATE_NS, unit="ns", planted=planted
    )


def test_cross_timeframe_with_three_other_windows(gate: Gate) -> None:
    legs = [Leg(240.0, 0.8), Leg(540.0, -0.9), Leg(1_500.0, 0.6, "candle"), Leg(9_000.0, -0.8)]
    surface = Surface(legs, observed=frozenset({1, 2, 3}))
    surface.signals()
    asked = runs(surface.scenario, "book", at_s=SURFACE_NOW_S)
    asked()
    assert surface.gate(0, "edge")[3] == 0  # priced from the others, and fair
    empty = runs(ready([]), "book")
    gate.report(
        "P5", "evaluate: cross_timeframe beside three windows", difference_ns(asked, empty), unit="ns"
    )


def test_the_five_together(gate: Gate) -> None:
    """On a book all but latency_arb are asked, on a trade it and two more: both are added up."""
    names = ("certainty_capture", "convexity_fade", "latency_arb", "lp_extreme", "strike_misalign")
    on_book, on_trade = cost_of(made(*names), "book"), cost_of(made("latency_arb"), "trade")
    gate.value(
        "P5",
        "evaluate: the five together",
        lambda: on_book() + on_trade(),
        at_most=FIVE_NS,
        unit="ns",
        planted=cost_of([Plain()], "book"),
    )


def signalling(*, windows: int = 1, halted: bool = False, **limits: float) -> Callable[[], Any]:
    """A market where each trade makes a signal, which risk refuses: at once, or for its size after all else."""
    scenario = Scenario([LatencyArb(require_move=False)], risk=make_risk(**limits))
    scenario.warm(bid=3_900, ask=4_000)
    for index in range(1, windows):
        spec = make_spec(slug=f"w{index}", token_up=str(index), token_down=str(1_000 + index))
        scenario.engine.open_market(index, spec, order_seq_base=index * 1_000_000, observed=True)
    scenario.risk.set_limits(0, per_trade_frac=0.001, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30)
    if limits:  # what is cut to nothing never reaches the limits of Greeks
        scenario.risk.set_limits(0, per_trade_frac=0.02, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30)
    if halted:
        scenario.risk.halt()
    run = runs(scenario, "trade")
    commands = run()
    reasons = {int(reason) for reason in commands.to_numpy()["reason"]}
    wanted = Denial.HALTED_MANUAL if halted else Denial.DELTA_LIMIT if limits else Denial.SIZE_BELOW_MIN
    assert reasons == {int(wanted)}
    return run


def test_the_risk_check(gate: Gate) -> None:
    walked, ended = signalling(), signalling(halted=True)
    dear = signalling(windows=60, max_delta=1e-6)
    gate.value(
        "P5",
        "risk check",
        lambda: difference_ns(walked, ended),
        at_most=CHECK_NS,
        unit="ns",
        planted=lambda: difference_ns(dear, signalling(windows=60, halted=True)),
    )
