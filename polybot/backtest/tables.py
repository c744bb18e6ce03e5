"""From Commands to the tables of a run: signals, orders, fills with what their signals promised, samples, markets.

Owns which Command becomes which row.  The same rows come of a backtest and of a session that was traded: both are what
an engine said.  A market's fills are held until it is dropped, everything else goes to the writer at once.
Must not decide or compute scores.  Called by run and session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.event import CommandKind, Special
from polybot._fast.risk import Denial
from polybot._fast.state import MarketState
from polybot.backtest.result import FILLS_DTYPE, MARKETS_DTYPE, SAMPLES_DTYPE, ResultWriter
from polybot.errors import InvariantBroken
from polybot.market.spec import MarketSpec

__all__ = ["KEPT", "MarketFacts", "Tables"]

DAY_NS = 86_400 * 1_000_000_000
TICKS_PER_USD = 10_000
MICRO_PER_TICK = 100
SIGNAL, ORDER, FILL = int(CommandKind.CMD_SIGNAL), int(CommandKind.CMD_ORDER), int(CommandKind.CMD_FILL)
DIAGNOSTIC, SETTLEMENT = int(CommandKind.CMD_DIAGNOSTIC), int(CommandKind.CMD_SETTLEMENT)
# What the pump is to keep.
KEPT = sum(1 << kind for kind in (SIGNAL, ORDER, FILL, DIAGNOSTIC, SETTLEMENT))
NAN = float("nan")

Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """What the engine does not know of a window."""

    spec: MarketSpec
    label: str
    observed: bool
    gap_ns: int = 0


class Tables:
    """Everything one engine said, row by row."""

    def __init__(self, writer: ResultWriter, strategies: Sequence[str], *, keep_signals: bool) -> None:
        self._writer = writer
        self._keep_signals = keep_signals
        self._signals: dict[int, Any] = {}  # of orders of live markets
        self._fills: dict[int, dict[tuple[int, int], Any]] = {}  # by market, order and trade
        self._settled: dict[int, dict[int, int]] = {}  # PnL by market and strategy
        self._reasons = np.zeros((Special.NO_STRATEGY + 1, 256), np.int64)
        self._blocked: dict[str, int] = {}
        self.strategies = list(strategies)
        self.totals = dict.fromkeys(("markets", "counted", "fills", "signals", "orders"), 0)
        self.totals |= dict.fromkeys(("pnl", "cost", "payout", "fees"), 0)

    # -- what the engine said ---------------------------------------------------------------------------------

    def take(self, commands: Rows) -> None:
        """Take Commands in order (COMMAND_DTYPE)."""
        if not len(commands):
            return
        kind = commands["kind"]
        signals = commands[kind == SIGNAL]
        self._take_signals(signals)
        self._writer.append("orders", commands[kind == ORDER])
        self._writer.append("samples", _samples(commands[kind == DIAGNOSTIC]))
        for row in commands[kind == FILL]:
            self._take_fill(row)
        for row in commands[kind == SETTLEMENT]:
            self._settled.setdefault(int(row["market"]), {})[int(row["strategy"])] = int(row["usd"])

    def take_quotes(self, quotes: Rows) -> None:
        """Take best prices (QUOTE_DTYPE)."""
        self._writer.append("quotes", quotes)

    def take_market(self, market: MarketState, facts: MarketFacts, *, rows: int = 0) -> None:
        """Write a market that is about to be dropped, with its fills; `rows` of its tape were given.

        Raises InvariantBroken when the engine's own figures contradict each other.
        """
        fills = list(self._fills.pop(market.index, {}).values())
        stats, spec = market.stats(), facts.spec
        counted = not facts.observed and market.settled
        up, down = market.position()
        payout = (down if market.outcome else up) if market.settled else 0
        cost = sum(market.cost_usd)
        told = sum(self._settled.pop(market.index, {}).values())
        if counted and told != payout - cost:
            raise InvariantBroken(f"{spec.slug}: PnL told {told}, payout {payout} less cost {cost} micro-USD")
        row = np.zeros(1, MARKETS_DTYPE)
        fields = {
            "index": market.index,
            "slug": spec.slug,
            "asset": spec.asset,
            "interval": spec.interval,
            "start_ns": spec.start_ns,
            "end_ns": spec.end_ns,
            "strike": market.strike,
            "strike_source": market.strike_source,
            "outcome": market.outcome if market.settled else -1,
            "counted": counted,
            "label": facts.label,
            "day": spec.start_ns // DAY_NS,
            "events": rows,
            "gap_ns": facts.gap_ns,
            "pnl": payout - cost if counted else 0,
            "cost": cost,
            "payout": payout,
            "fees": market.fees_usd,
            "fills": len(fills),
            "observed": facts.observed,
            "signals": sum(stats["signals"]),
            "orders": sum(stats["dispatched"]),
        }
        for name, value in fields.items():
            row[name] = value
        self._writer.append("markets", row)
        if fills:
            self._writer.append("fills", np.array(fills, FILLS_DTYPE))
        self._add_up(fields, stats["blocked"])
        self._signals = {seq: one for seq, one in self._signals.items() if one["market"] != market.index}

    def denials(self) -> dict[str, dict[str, int]]:
        """How many signals of every strategy became what, by the reason's name; DISPATCHED: orders."""
        names = {int(one): one.name for one in Denial}
        return {
            name: {
                names.get(code, f"DENIED_{code}"): int(self._reasons[index, code])
                for code in np.flatnonzero(self._reasons[index]).tolist()
            }
            for index, name in enumerate(self.strategies)
            if self._reasons[index].any()
        }

    def blocked(self) -> Mapping[str, int]:
        """How often a market could not be traded at all, by the reason's name: evaluations, not signals."""
        return dict(sorted(self._blocked.items(), key=lambda item: (-item[1], item[0])))

    # -- within -----------------------------------------------------------------------------------------------

    def _take_signals(self, signals: Rows) -> None:
        if not len(signals):
            return
        np.add.at(self._reasons, (signals["strategy"], signals["reason"]), 1)
        if self._keep_signals:
            self._writer.append("signals", signals)
        for row in signals[signals["order_seq"] != 0]:
            self._signals[int(row["order_seq"])] = row

    def _take_fill(self, row: Any) -> None:
        seq, key = int(row["order_seq"]), int(row["confidence"])
        fills = self._fills.setdefault(int(row["market"]), {})
        known = fills.get((seq, key))
        if known is not None:
            known["status"] = int(row["reason"])
            return
        fills[seq, key] = self._fill(row, self._signals.get(seq))

    def _fill(self, row: Any, signal: Any) -> Any:
        made = np.zeros(1, FILLS_DTYPE)[0]
        maker = bool(row["size_frac"] == 1.0)
        made["recv_ns"], made["decided_ns"] = row["decided_ns"], 0 if signal is None else signal["decided_ns"]
        for name in ("market", "strategy", "outcome", "side", "order_seq", "price_ticks", "shares"):
            made[name] = row[name]
        made["maker"], made["status"] = maker, int(row["reason"])
        made["fee"], made["cost"] = int(row["edge"]), int(row["usd"])
        if signal is None:  # an operator's sale: nobody promised anything
            made["expected_ticks"] = made["price_ticks"]
            made["fair"] = made["edge"] = made["confidence"] = made["tau_s"] = made["spot"] = NAN
            return made
        limit = int(signal["price_ticks"])
        made["expected_ticks"] = limit if maker else round(int(signal["usd"]) / MICRO_PER_TICK) or limit
        for name in ("fair", "edge", "confidence", "tau_s", "spot"):
            made[name] = signal[name]
        return made

    def _add_up(self, fields: Mapping[str, Any], blocked: Mapping[int, int]) -> None:
        totals = self.totals
        totals["markets"] += 1
        totals["counted"] += bool(fields["counted"])
        for name in ("fills", "signals", "orders"):
            totals[name] += fields[name]
        if fields["counted"]:
            for name in ("pnl", "cost", "payout", "fees"):
                totals[name] += fields[name]
        for code, count in blocked.items():
            name = Denial(code).name
            self._blocked[name] = self._blocked.get(name, 0) + count


def _samples(diagnostics: Rows) -> Rows:
    made = np.zeros(len(diagnostics), SAMPLES_DTYPE)
    bid, ask = diagnostics["price_ticks"].astype(np.float64), diagnostics["reason"].astype(np.float64)
    made["recv_ns"], made["market"] = diagnostics["decided_ns"], diagnostics["market"]
    made["tau_s"], made["fair"], made["spot"] = diagnostics["tau_s"], diagnostics["fair"], diagnostics["spot"]
    made["mid"] = np.where((bid > 0) & (ask > 0), (bid + ask) / (2 * TICKS_PER_USD), NAN)
    return made
