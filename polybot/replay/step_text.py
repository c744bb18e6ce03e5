"""A StepState as lines for a terminal: pure functions of the state and the room there is.

Owns wording, columns and styles of the stepper's panels.  Every fact is a word or a number; a style only repeats what
the text says, so that nothing is lost without colour.  Must not read an engine, a key or a clock.
Called by step_screen.
"""

import math
from collections.abc import Sequence

from rich.text import Text

from polybot.replay.step_state import DENIALS, GateView, Levels, OrderView, StepState, StrategyView
from polybot.telemetry.records import (
    Record,
    clock_text,
    expected_price_text,
    order_status_text,
    order_type_text,
    outcome_text,
    price_text,
    shares_text,
    side_text,
    trade_status_text,
    usd_text,
)

__all__ = [
    "PANELS",
    "account_panel",
    "book_panel",
    "denials_panel",
    "facts_panel",
    "gates_panel",
    "orders_panel",
    "signals_panel",
    "strategies_panel",
    "title_line",
]

# The panels that take turns on a small terminal, in the order of their keys.
PANELS = ("strategies", "gates", "signals", "orders", "denials", "account")
GOOD, BAD, DIM, HEAD = "green", "bold red", "dim", "bold"
BLOCKS = " ▏▎▍▌▋▊▉█"
SHARES_MICRO = 1_000_000
ORDERS_PER_START = 100_000  # numbers a window's start has for its orders
HERE = ">"  # stands before what came out at this very step


def title_line(state: StepState, *, is_playing: bool, speed: int) -> Text:
    """Market, time, what is left, how it plays and where we are."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(state.spec.slug, HEAD)
    line.append(f"  {clock_text(state.now_ns)}  left {left_text(state.tau_s)}  ")
    line.append(f"{'PLAY' if is_playing else 'PAUSE'} {speed}x", GOOD if is_playing else HEAD)
    line.append(f"  step {state.step + 1}/{state.steps}  {state.phase}")
    return line


def facts_panel(state: StepState) -> Text:
    """Prices, model, and what the last message was: four lines."""
    strike = f"{state.strike:,.2f} {state.strike_source}" if not math.isnan(state.strike) else "UNKNOWN"
    lines = [
        _facts(
            ("spot", _price(state.spot)),
            ("strike", strike),
            ("distance", _number(state.distance, "+,.2f")),
            ("oracle", _price(state.oracle)),
            ("exchange", f"{_price(state.spot_bid)}/{_price(state.spot_ask)}"),
        ),
        _facts(
            ("sigma", _number(state.sigma, ".3e")),
            ("z", _number(state.z, "+.3f")),
            ("fair Up", _fair(state.fair, state.se)),
            ("ages", "/".join(_age(one) for one in (state.spot_age_s, state.oracle_age_s, state.book_age_s)) + " s"),
            ("regime", state.regime),
        ),
        _entries(state),
        _line(("message ", DIM), (state.message, "")),
    ]
    return _stack(lines)


def _entries(state: StepState) -> Text:
    """May anything be traded, and what is held."""
    line = Text(no_wrap=True, overflow="ellipsis")
    if state.block_reason:
        line.append(f"BLOCKED {state.block_reason}", BAD)
    else:
        line.append("entries open", GOOD)
    if state.halted:
        line.append(f"  HALTED {state.halted}", BAD)
    line.append("  house ", DIM).append(state.house or "none")
    line.append("  position ", DIM).append(position_text(state.up_shares, state.down_shares))
    line.append("  pnl ", DIM).append(usd_text(state.pnl_usd, sign=True))
    if state.outcome:
        line.append("  outcome ", DIM).append(state.outcome, HEAD)
    return line


def book_panel(state: StepState, outcome: int, *, width: int, levels: int) -> Text:
    """One outcome's book: asks above bids, the best ones in the middle, a bar for each size; * where we rest."""
    bids, asks = state.bids[outcome][:levels], state.asks[outcome][:levels]
    largest = max((size for _, size in (*bids, *asks)), default=0)
    ours = _resting(state, outcome)
    best = f"{_tick(bids)}/{_tick(asks)}"
    lines = [_line((f"{outcome_text(outcome)} {best}", HEAD))]
    lines += [Text("")] * (levels - len(asks))
    for ticks, size in reversed(asks):
        lines.append(_level("ask", ticks, size, largest=largest, width=width, is_ours=(1, ticks) in ours))
    for ticks, size in bids:
        lines.append(_level("bid", ticks, size, largest=largest, width=width, is_ours=(0, ticks) in ours))
    if not bids and not asks:
        lines[-1] = _line(("no book", DIM))
    return _stack(lines)


def _resting(state: StepState, outcome: int) -> set[tuple[int, int]]:
    """(side, price_ticks) of our open orders as they stand in this outcome's book: one mirrored book."""
    found = set()
    for order in state.orders:
        if order.is_open:
            mirrored = order.outcome != outcome
            ticks = 10_000 - order.price_ticks if mirrored else order.price_ticks
            found.add((1 - order.side if mirrored else order.side, ticks))
    return found


def _level(word: str, ticks: int, size: int, *, largest: int, width: int, is_ours: bool) -> Text:
    style = GOOD if word == "bid" else "red"
    head = f"{'*' if is_ours else ' '}{word} {price_text(ticks):<6} {size // SHARES_MICRO:>7,} "
    line = _line((head, style))
    line.append(_bar(size, largest, max(0, width - len(head) - 1)), style)
    return line


def _bar(size: int, largest: int, width: int) -> str:
    """A bar of eighths of a cell; any size is seen."""
    eighths = max(1, round(size / largest * width * 8)) if largest and width else 0
    whole, rest = divmod(eighths, 8)
    return BLOCKS[8] * whole + (BLOCKS[rest] if rest else "")


def strategies_panel(state: StepState, *, chosen: int) -> Text:
    """One line per strategy: edge, fair with what it must exceed, verdict, counts."""
    lines = [_line((f" {'strategy':<18}{'edge':>8}  {'fair Up':<17}{'verdict':<24}{'sig/sent':>8}", DIM))]
    for number, one in enumerate(state.strategies):
        line = _line((f"{HERE if number == chosen else ' '}{one.name:<18}", HEAD if number == chosen else ""))
        line.append(f"{_number(one.edge, '+.4f'):>8}  {_fair(one.fair, one.se * one.se_multiple):<17}")
        line.append(f"{one.verdict[:23]:<24}", _verdict_style(one))
        line.append(f"{f'{one.signals}/{one.sent}':>8}")
        lines.append(line)
    return _stack(lines)


def gates_panel(state: StepState, *, chosen: int) -> Text:
    """The gates of one strategy as it last walked them."""
    if not 0 <= chosen < len(state.strategies):
        return _line(("no strategy", DIM))
    one = state.strategies[chosen]
    past = ", gates as they were walked last" if one.verdict == "market blocked" else ""
    lines = [_line((f"gates of {one.name}: ", DIM), (one.verdict + past, _verdict_style(one)))]
    return _stack([*lines, *(_gate(gate) for gate in one.gates)])


def _gate(gate: GateView) -> Text:
    style = {"ok": GOOD, "NO": BAD}.get(gate.result, DIM)
    line = _line((f"{gate.result:>3} ", style), (f"{gate.name:<14}", ""))
    if gate.result == "-":
        return line.append("not reached", DIM)
    if gate.sign:
        line.append(f"{gate.value:>12.6g} {gate.sign} {gate.threshold:.6g}")
    return line


def signals_panel(state: StepState, here: Sequence[Record]) -> Text:
    """Signals and what became of them, newest first."""
    lines = [_line((f"signals {state.signals_count}, fills {state.fills_count}; {HERE} at this step", DIM))]
    now = {record for record in here if record in state.signals[: len(here)]}
    for record in state.signals:
        sent = record.reason == 0
        line = _line((f"{HERE if record in now else ' '}{clock_text(record.decided_ns)} ", ""))
        line.append(f"{_name(state, record.strategy):<18}{outcome_text(record.outcome):<5}")
        line.append(f"{record.edge:+.4f} ")
        fate = f"order {number_of(record.order_seq)}" if sent else denial_name(record)
        line.append(f"{fate:<20}", GOOD if sent else BAD)
        line.append(f" fair {record.fair:.4f} at {expected_price_text(record)[:6]}")
        lines.append(line)
    return _stack(lines)


def orders_panel(state: StepState, here: Sequence[Record]) -> Text:
    """Fills and orders, newest first; open orders before those that are over."""
    lines = []
    for record in state.fills:
        role = "maker" if record.size_frac == 1.0 else "taker"
        mark = HERE if record in here else " "
        line = _line((f"{mark}FILL {number_of(record.order_seq)} {_name(state, record.strategy)} ", HEAD))
        line.append(f"{_terms(record)} {role} {usd_text(record.usd)} {trade_status_text(record.reason)}")
        lines.append(line)
    orders = sorted(state.orders, key=lambda order: (not order.is_open, -order.seq))
    lines[:0] = [_order(order) for order in orders if order.is_open]
    lines += [_order(order) for order in orders if not order.is_open]
    head = _line((f"orders {len(orders)}, open {sum(order.is_open for order in orders)}", DIM))
    return _stack([head, *lines])


def _order(order: OrderView) -> Text:
    matched = f" {shares_text(order.matched)} matched" if order.matched else ""
    line = _line((f" {number_of(order.seq)} {order.strategy} {_terms(order)} {order_type_text(order.order_type)} ", ""))
    status = order_status_text(order.status)
    line.append(f"{status}{matched}", GOOD if order.is_open or order.matched else DIM)
    return line.append(f"  {order.age_s:.1f} s ago", DIM)


def denials_panel(state: StepState) -> Text:
    """Why signals did not become orders, by strategy, most frequent first."""
    lines = [_line(("denied so far", DIM))]
    for one in state.strategies:
        counts = ", ".join(f"{name} {count}" for name, count in one.denials)
        lines.append(_line((f" {one.name:<18}", ""), (counts or "-", "" if counts else DIM)))
    return _stack(lines)


def account_panel(state: StepState) -> Text:
    """Holdings by strategy, money, settlements."""
    cash = usd_text(state.cash_usd) if state.cash_usd >= 0 else "not told"
    won = {record.strategy: record.usd for record in reversed(state.settlements)}  # the latest counts
    lines = [
        _facts(("cost", usd_text(state.cost_usd)), ("fees", usd_text(state.fees_usd))),
        _facts(("at risk", usd_text(state.exposure_usd)), ("cash", cash)),
    ]
    for number, one in enumerate(state.strategies):
        line = _line((f" {one.name:<18}{position_text(one.up_shares, one.down_shares):<16}", ""))
        if number in won:
            line.append(f"pnl {usd_text(won[number], sign=True)}", HEAD)
        elif one.cost_usd:
            line.append(usd_text(one.cost_usd))
        lines.append(line)
    return _stack(lines)


# -- words --------------------------------------------------------------------------------------------


def left_text(seconds: float) -> str:
    """Time to the end as 4:05 or 1:04:05; after it +0:07."""
    minutes, second = divmod(int(abs(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return text if seconds >= 0 else f"+{text}"


def position_text(up_shares: int, down_shares: int) -> str:
    """Micro-shares as words."""
    held = ((up_shares, "Up"), (down_shares, "Down"))
    return " + ".join(f"{shares_text(size)} {word}" for size, word in held if size) or "flat"


def number_of(order_seq: int) -> str:
    """The last digits of an order's number: what comes before them is the same in the whole window."""
    return f"#{order_seq % ORDERS_PER_START}"


def denial_name(record: Record) -> str:
    """Why a signal was denied."""
    return DENIALS[record.reason] if 0 <= record.reason < len(DENIALS) else f"DENIED_{record.reason}"


def _terms(one: Record | OrderView) -> str:
    size, price = shares_text(one.shares), price_text(one.price_ticks)
    return f"{side_text(one.side)} {size} {outcome_text(one.outcome)} @ {price}"


def _name(state: StepState, index: int) -> str:
    return state.strategies[index].name if index < len(state.strategies) else f"strategy_{index}"


def _verdict_style(one: StrategyView) -> str:
    return GOOD if one.verdict == "fires" else DIM if not one.enabled else ""


def _tick(levels: Levels) -> str:
    return price_text(levels[0][0]) if levels else "-"


def _price(value: float) -> str:
    return _number(value, ",.2f")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _fair(fair: float, se: float) -> str:
    return "-" if math.isnan(fair) else f"{fair:.4f} +/-{se:.4f}"


def _age(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds:.1f}"


def _facts(*pairs: tuple[str, str]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for number, (name, value) in enumerate(pairs):
        line.append(f"{'  ' if number else ''}{name} ", DIM).append(value)
    return line


def _stack(lines: Sequence[Text]) -> Text:
    """Lines as one text; what is too long is cut, never wrapped."""
    text = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")

