"""Latency stages of orders and of sampled events: histograms, table for people, rows for latency.csv.

Theory of operation.  An order collects one monotonic stamp per stage; a stage's latency is the time since
the nearest earlier stage that has a stamp:

    recv     the venue's or exchange's stamp -> our receipt (across clocks, so only as good as their sync)
    decode   receipt -> events decoded          sign   decided -> signed
    decide   decoded -> commands out            write  signed -> request handed to the transport
    ack      written -> the venue's answer      match  answered -> first fill seen    confirm  -> confirmed

    e2e = write - receipt (tick to trade)

Sampled events give binance_recv, pm_recv (recv of spot and market events) and eval_binance, eval_pm (decide).
Must not read a clock.  Used on the telemetry thread; percentiles may be read from anywhere.
"""

from dataclasses import dataclass, field

from polybot._fast.histogram import LatencyHistogram
from polybot.telemetry.records import NS_PER_MS

__all__ = ["LATENCY_COLUMNS", "STAGES", "LatencyBook", "LatencyRow", "OrderStages", "StageStats"]

STAGES = ("recv", "decode", "decide", "sign", "write", "ack", "match", "confirm")
LATER = ("",) * len(STAGES[3:])  # cells of a sampled event, which is received, decoded and decided on, no more
LOCAL_STAGES = frozenset(STAGES[1:5])  # what this process does itself, before the venue answers
# Orders between decision and end; the oldest beyond is forgotten and counted.
ORDERS_MAX = 1 << 14
SOURCES = {"binance": ("binance_recv", "eval_binance"), "pm": ("pm_recv", "eval_pm")}
NAMES = (*STAGES, "binance_recv", "pm_recv", "eval_binance", "eval_pm", "e2e")
LATENCY_COLUMNS = ("ts_ms", "name", "order_seq", "value_us", *(f"{stage}_us" for stage in STAGES))

LatencyRow = tuple[str, ...]


@dataclass(slots=True)
class OrderStages:
    """Stamps of one order: raw monotonic ns by stage, and how long the trigger was on the wire."""

    ts_ns: int = 0
    wire_ns: int | None = None
    stamps: dict[str, int] = field(default_factory=dict)

    def durations_ns(self) -> dict[str, int]:
        """Latency by stage, for the stages that can be told."""
        found: dict[str, int] = {}
        if self.wire_ns is not None:
            found["recv"] = self.wire_ns
        before: int | None = None
        for stage in STAGES:
            stamp = self.stamps.get(stage)
            if stamp is None:
                continue
            if before is not None:
                found[stage] = stamp - before
            before = stamp
        return found

    def e2e_ns(self) -> int | None:
        """Receipt of the trigger to the request handed over; None while either is unknown."""
        if "recv" not in self.stamps or "write" not in self.stamps:
            return None
        return self.stamps["write"] - self.stamps["recv"]


@dataclass(frozen=True, slots=True)
class StageStats:
    """One line of the latency table; us."""

    name: str
    count: int
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float


class LatencyBook:
    """All histograms of this run, and the stamps of orders that are still on their way."""

    def __init__(self) -> None:
        self._histograms = {name: LatencyHistogram() for name in NAMES}
        self._orders: dict[int, OrderStages] = {}
        self.forgotten = 0

    def decision(self, order_seq: int, ts_ns: int, wire_ns: int | None, stamps: tuple[int, int, int]) -> None:
        """An order was decided: monotonic ns of its trigger's receipt, of decoded, of decided."""
        order = self._order(order_seq)
        order.ts_ns = ts_ns
        order.wire_ns = wire_ns
        order.stamps.update(zip(("recv", "decode", "decide"), stamps, strict=True))

    def stage(self, stage: str, order_seq: int, mono_ns: int) -> None:
        """One stage of an order; the first stamp of a stage counts."""
        if stage not in STAGES:
            raise ValueError(f"unknown latency stage {stage}")
        self._order(order_seq).stamps.setdefault(stage, mono_ns)

    def has(self, order_seq: int, stage: str) -> bool:
        """Whether a stage of an unfinished order is known."""
        order = self._orders.get(order_seq)
        return order is not None and stage in order.stamps

    def finish(self, order_seq: int) -> list[LatencyRow]:
        """Count an order's stages and give its rows; empty when it has none or was finished before."""
        order = self._orders.pop(order_seq, None)
        if order is None or not order.stamps.keys() & LOCAL_STAGES:
            # Only late news (a confirmation after the market's end) of an order that has its row.
            return []
        durations = order.durations_ns()
        for stage, value_ns in durations.items():
            self._histograms[stage].record(value_ns)
        e2e_ns = order.e2e_ns()
        head = str(order.ts_ns // NS_PER_MS)
        cells = tuple(_us_text(durations.get(stage)) for stage in STAGES)
        rows = [(head, "order", str(order_seq), _us_text(e2e_ns), *cells)]
        if e2e_ns is not None:
            self._histograms["e2e"].record(e2e_ns)
            rows.append((head, "e2e", str(order_seq), _us_text(e2e_ns), *[""] * len(STAGES)))
        return rows

    def sample(
        self, source: str, ts_ns: int, wire_ns: int | None, decode_ns: int, decide_ns: int
    ) -> list[LatencyRow]:
        """Count one sampled event of `source` (binance or pm) and give its rows."""
        recv_name, eval_name = SOURCES[source]
        head = str(ts_ns // NS_PER_MS)
        decide = f"{decide_ns / 1000:.3f}"
        self._histograms[eval_name].record(decide_ns)
        told = (head, eval_name, "", decide, "", f"{decode_ns / 1000:.3f}", decide, *LATER)
        if wire_ns is None:
            return [told]
        wire = f"{wire_ns / 1000:.3f}"
        self._histograms[recv_name].record(wire_ns)
        return [(head, recv_name, "", wire, wire, "", "", *LATER), told]

    def histogram(self, name: str) -> LatencyHistogram:
        """The histogram of a stage or of an original name, ns."""
        return self._histograms[name]

    def _order(self, order_seq: int) -> OrderStages:
        order = self._orders.get(order_seq)
        if order is None:
            order = self._orders[order_seq] = OrderStages()
            if len(self._orders) > ORDERS_MAX:
                del self._orders[next(iter(self._orders))]
                self.forgotten += 1
        return order

    def table(self) -> list[StageStats]:
        """Percentiles of everything that was measured, in the order of NAMES."""
        return [
            StageStats(
                name=name,
                count=histogram.count,
                p50_us=histogram.percentile(0.5) / 1000,
                p90_us=histogram.percentile(0.9) / 1000,
                p99_us=histogram.percentile(0.99) / 1000,
                max_us=histogram.max / 1000,
            )
            for name, histogram in self._histograms.items()
            if histogram.count
        ]


def _us_text(value_ns: int | None) -> str:
    return "" if value_ns is None else f"{value_ns / 1000:.3f}"
