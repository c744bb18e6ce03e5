"""What the console says: facts in, plain lines out.

Owns the wording of the live console: one line per event, the status line, the 10 s diagnostic block.
ASCII only, so that any terminal and any log collector shows it.  Must not print, colour or keep state.
Used by TelemetryWriter; banner and summaries have files of their own.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from polybot._fast.event import Special
from polybot.market.spec import MarketSpec
from polybot.telemetry.inbox import Second, StrikeCaptured
from polybot.telemetry.latency import StageStats
from polybot.telemetry.market_log import MarketLog
from polybot.telemetry.records import (
    REGIMES,
    GateCompare,
    Record,
    clock_text,
    denial_text,
    expected_price_text,
    iso_text,
    order_status_text,
    order_type_text,
    outcome_text,
    price_text,
    shares_text,
    side_text,
    strike_source_text,
    trade_status_text,
    usd_text,
)
from polybot.telemetry.totals import RunTotals

__all__ = [
    "DiagnosticBlock",
    "counts_text",
    "diagnostic_lines",
    "facts_text",
    "fill_line",
    "open_line",
    "order_line",
    "settlement_line",
    "signal_line",
    "status_line",
    "strike_line",
    "us_text",
]

INDENT = " " * 4
NO_STRATEGY = int(Special.NO_STRATEGY)
FULL_TICKS = 10_000
_GATE_SIGN = {GateCompare.AT_LEAST: ">=", GateCompare.AT_MOST: "<="}


@dataclass(slots=True)
class DiagnosticBlock:
    """One market's diagnostic: its record, its gates, and what the shell adds."""

    log: MarketLog
    record: Record
    gates: list[Record] = field(default_factory=list)


def facts_text(**facts: object) -> str:
    """key=value pairs, two spaces apart."""
    return "  ".join(f"{key}={value}" for key, value in facts.items())


def counts_text(counts: Counter[str]) -> str:
    """Names with counts, most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)


def us_text(value_us: float) -> str:
    """Microseconds, with a decimal while that says something."""
    return f"{value_us:.1f}" if value_us < 1000 else f"{value_us:.0f}"


def open_line(log: MarketLog) -> str:
    """A market was joined."""
    spec = log.spec
    facts = facts_text(
        rule=f"{spec.rule}({spec.twap_window_s}s)" if spec.twap_window_s else spec.rule,
        tick=price_text(spec.tick_size_ticks),
        min_shares=shares_text(spec.min_size_ushares),
        fee_rate=_fee_text(spec),
    )
    return f"OPEN      {spec.slug}  {iso_text(spec.start_ns)} to {iso_text(spec.end_ns)}  {facts}"


def strike_line(note: StrikeCaptured) -> str:
    """The strike became known, or better known."""
    facts = facts_text(source=strike_source_text(note.source), stamp=clock_text(note.stamp_ns))
    return f"STRIKE    {note.strike:,.2f}  {facts}" + ("  verified" if note.verified else "")


def signal_line(record: Record, strategy: str, status: str) -> str:
    """A signal that became an order."""
    facts = facts_text(
        edge=f"{record.edge:+.4f}",
        fair=f"{record.fair:.4f}",
        price=expected_price_text(record),
        confidence=f"{record.confidence:.2f}",
        size=f"{record.size_frac:.2%}",
        order=record.order_seq,
    )
    return f"SIGNAL    {strategy}  {outcome_text(record.outcome)}  {facts}  {status}"


def order_line(record: Record, *, strategy: str, status: int, matched_micro: int, reason: str) -> str:
    """An order is on its way or changed state."""
    parts = [
        f"ORDER     {record.order_seq}",
        strategy,
        f"{_terms_text(record)} {order_type_text(record.order_type)}",
        order_status_text(status),
    ]
    if matched_micro:
        parts.append(f"matched={shares_text(matched_micro)}")
    if reason:
        parts.append(f"({reason})")
    return "  ".join(parts)


def fill_line(record: Record, strategy: str) -> str:
    """A fill as booked."""
    role = "maker" if record.size_frac == 1.0 else "taker"
    facts = facts_text(cost=usd_text(record.usd), fee=f"${int(record.edge) / 1e6:.4f}")
    head = f"FILL      {record.order_seq}  {strategy}  {_terms_text(record)}  {role}"
    return f"{head}  {facts}  {trade_status_text(record.reason)}"


def settlement_line(record: Record, strategy: str) -> str:
    """PnL of one strategy in one market."""
    facts = facts_text(
        winner=outcome_text(record.outcome),
        cost=usd_text(int(record.edge)),
        payout=usd_text(record.shares),
        pnl=usd_text(record.usd, sign=True),
    )
    return f"SETTLED   {strategy}  {facts}"


def diagnostic_lines(
    block: DiagnosticBlock,
    *,
    strategies: Sequence[str],
    gate_names: Mapping[str, Sequence[str]],
    denials: tuple[str, ...],
    ages_s: Mapping[str, float],
    latency: Iterable[StageStats],
) -> list[str]:
    """The 10 s block of one market; the first line is its heading."""
    lines = _state_lines(block.record, block.log.strike_source)
    # In a diagnostic `strategy` is the denial that keeps every strategy of this market from being asked.
    if block.record.strategy:
        lines.append(f"{INDENT}entries blocked: {denial_text(block.record.strategy, denials)}")
    lines.append(f"{INDENT}ages {_ages_text(ages_s)}")
    stages = [f"{line.name} {us_text(line.p50_us)}/{us_text(line.p99_us)}" for line in latency]
    if stages:
        lines.append(f"{INDENT}latency p50/p99 us  {'  '.join(stages)}")
    lines += _gate_lines(block.gates, strategies, gate_names)
    if block.log.recent_denials:
        lines.append(f"{INDENT}denied since the last block: {counts_text(block.log.recent_denials)}")
    return lines


def status_line(log: MarketLog, second: Second, totals: RunTotals) -> str:
    """The line at the bottom of a terminal."""
    facts = facts_text(
        left=_left_text((log.spec.end_ns - second.now_ns) / 1e9),
        spot=f"{second.spot:,.2f}",
        strike=f"{log.strikes[-1].strike:,.2f}" if log.strikes else "unknown",
        fair_up=f"{second.fair:.3f}",
        up=f"{_ticks(second.bid_ticks)}/{_ticks(second.ask_ticks)}",
        orders=sum(part.orders for part in log.strategies.values()),
        pnl=usd_text(totals.pnl_micro, sign=True),
    )
    stale = "" if second.spot_fresh and second.book_fresh else "  STALE"
    return f"{clock_text(second.now_ns)[:8]} {log.label}  {facts}{stale}"


def _state_lines(record: Record, strike_source: str) -> list[str]:
    """What the model and the book say; field meanings as in a CMD_DIAGNOSTIC."""
    regime = REGIMES[record.order_type] if record.order_type < len(REGIMES) else "unknown"
    bid, ask = record.price_ticks, record.reason
    strike = f"{record.usd / 1e6:,.2f}({strike_source or 'source unknown'})" if record.usd else "UNKNOWN"
    price = facts_text(
        left=_left_text(record.tau_s),
        spot=f"{record.spot:,.2f}",
        strike=strike,
        distance="-" if math.isnan(record.distance) else f"{record.distance:+,.2f}",
    )
    model = facts_text(
        sigma=f"{record.edge:.3e}/sqrt(s)",
        z="-" if math.isnan(record.confidence) else f"{record.confidence:+.3f}",
        fair_up="unknown" if math.isnan(record.fair) else f"{record.fair:.4f} +/- {record.size_frac:.4f}",
        regime=f"{regime} {record.vega:.2f}",
    )
    book = facts_text(
        up=f"{_ticks(bid)}/{_ticks(ask)}",
        down=f"{_ticks(_mirror(ask))}/{_ticks(_mirror(bid))}",
        house=outcome_text(record.side - 1) if record.side else "none",
        position=_position_text(record.shares),
        delta=f"{record.delta:.3e}",
        gamma=f"{record.gamma:.3e}",
    )
    return [price, INDENT + model, INDENT + book]


def _gate_lines(
    gates: Iterable[Record], strategies: Sequence[str], names: Mapping[str, Sequence[str]]
) -> list[str]:
    """What the account holds, if anything; then one line per strategy: edge, which gate blocks, every gate."""
    by_strategy: dict[int, list[Record]] = {}
    lines = []
    for gate in gates:
        if gate.strategy == NO_STRATEGY:
            lines.append(_portfolio_line(gate))
        else:
            by_strategy.setdefault(gate.strategy, []).append(gate)
    for index, found in by_strategy.items():
        strategy = strategies[index] if index < len(strategies) else f"strategy_{index}"
        lines.append(
            _strategy_line(strategy, [(_label(names.get(strategy, ()), gate), gate) for gate in found])
        )
    return lines


def _strategy_line(strategy: str, gates: Sequence[tuple[str, Record]]) -> str:
    edge = next((gate.edge for label, gate in gates if label == "edge" and gate.size_frac >= 0.0), math.nan)
    blocking = next((label for label, gate in gates if gate.size_frac == 0.0), None)
    asked = any(gate.size_frac >= 0.0 for _, gate in gates)
    verdict = f"blocked by {blocking}" if blocking else "fires" if asked else "not asked"
    if any(gate.order_type for _, gate in gates):
        verdict = "DISABLED"
    edge_text = "-" if math.isnan(edge) else f"{edge:+.4f}"
    walk = ", ".join(_gate_text(label, gate) for label, gate in gates)
    return f"{INDENT}{strategy:<18} edge={edge_text:<8} {verdict:<22} [{walk}]"


def _portfolio_line(record: Record) -> str:
    """The net share position over all live windows; field meanings as in record_portfolio of the core."""
    net, short = round(record.edge * 1e6), round(record.distance * 1e6)
    facts = facts_text(
        net=_position_text(net) + _limit_text(record.fair),
        short_gamma=shares_text(short) + _limit_text(record.spot),
        delta=f"{record.delta:.3e}",
        gamma=f"{record.gamma:.3e}",
    )
    return f"{INDENT}portfolio  {facts}"


def _limit_text(shares: float) -> str:
    return f" of {shares:g}" if shares > 0.0 else ""


def _gate_text(label: str, gate: Record) -> str:
    if gate.size_frac < 0.0:
        return f"{label} -"
    verdict = "ok" if gate.size_frac else "NO"
    sign = _GATE_SIGN.get(GateCompare(int(gate.confidence)))
    return f"{label} {verdict}" if sign is None else f"{label} {gate.edge:.4g}{sign}{gate.fair:.4g} {verdict}"


def _label(names: Sequence[str], gate: Record) -> str:
    return names[gate.reason] if 0 <= gate.reason < len(names) else f"gate_{gate.reason}"


def _terms_text(record: Record) -> str:
    size, price = shares_text(record.shares), price_text(record.price_ticks)
    return f"{side_text(record.side)} {size} {outcome_text(record.outcome)} @ {price}"


def _fee_text(spec: MarketSpec) -> str:
    if not spec.fees_enabled:
        return "none"
    return "UNKNOWN" if spec.fee_rate_ppm is None else f"{spec.fee_rate_ppm / 1e6:g}"


def _left_text(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _ticks(price_ticks: int) -> str:
    return "-" if not 0 <= price_ticks <= FULL_TICKS else f"{price_ticks / FULL_TICKS:.4f}"


def _mirror(price_ticks: int) -> int:
    return -1 if price_ticks < 0 else FULL_TICKS - price_ticks


def _position_text(shares_micro: int) -> str:
    if shares_micro == 0:
        return "flat"
    return f"{shares_text(abs(shares_micro))} {'Up' if shares_micro > 0 else 'Down'}"


def _ages_text(ages_s: Mapping[str, float]) -> str:
    return "  ".join(f"{name}={age:.1f}s" for name, age in ages_s.items()) or "unknown"
