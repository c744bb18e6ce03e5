"""Prometheus text from watch answers: names, kinds, units and help of every metric.

Owns the exposition.  One answer per daemon goes in, as the control verb `watch` gives it; a daemon that does not
answer is polybot_up 0 and nothing else, so that no old figure is taken for a live one.  Base units as Prometheus
wants them: seconds, USD, shares of one; counters end in _total and begin anew with the daemon's process.
Per window there is only the one that is traded now, without its slug: no label grows with time.
Must not ask anybody or read a clock.  Called by the dashboard's server.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE_LATEST", "Answers", "exposition"]

MICRO = 1_000_000
TICKS = 10_000
NS = 1_000_000_000
MS = 1_000
Facts = Mapping[str, Any]
# By daemon: its answer, or None while it does not answer.
Answers = Mapping[str, Facts | None]

# name: (help, path into the answer, divisor); a missing or null value gives no sample.
GAUGES: Mapping[str, tuple[str, str, float]] = {
    "polybot_ready": ("1 when the daemon takes the operator's commands.", "ready", 1),
    "polybot_stopping": ("1 while the daemon stops.", "stopping", 1),
    "polybot_entries_open": ("1 when the gateway allows new orders (halts apart).", "entries.open", 1),
    "polybot_healthy": ("1 when loop and needed feeds are good.", "health.ok", 1),
    "polybot_loop_lag_seconds": ("How late the loop ran its last beat, wall seconds.", "health.loop_lag_ms.last", MS),
    "polybot_loop_lag_worst_seconds": ("Worst of ten wall seconds.", "health.loop_lag_ms.worst", MS),
    "polybot_data_age_seconds": ("Age of the oldest feed that trading needs, wall seconds.", "health.data_age_s", 1),
    "polybot_venue_time_seconds": ("The venue's clock, seconds since 1970.", "now_ns", NS),
    "polybot_start_time_seconds": ("When the daemon started, seconds since 1970 of its clock.", "started_ns", NS),
    "polybot_speed_ratio": ("Venue seconds per wall second; 1 but for the embedded venue.", "speed", 1),
    "polybot_pnl_marked_usd": ("Open positions at their mark against cost.", "pnl.marked_usd", MICRO),
    "polybot_exposure_positions_usd": ("Cost of what is held.", "exposure.open_usd", MICRO),
    "polybot_exposure_orders_usd": ("Cash reserved by open orders.", "exposure.reserved_usd", MICRO),
    "polybot_exposure_limit_usd": ("Limit of both together.", "exposure.limit_usd", MICRO),
    "polybot_session_pnl_usd": ("Result of the windows settled since the start.", "totals.pnl_usd", MICRO),
    "polybot_session_fees_usd": ("Fees of all fills since the start.", "totals.fees_usd", MICRO),
    "polybot_open_orders": ("Orders that may still become a fill.", "orders.count", 1),
    "polybot_open_positions": ("Outcomes held and not settled.", "positions.count", 1),
    "polybot_telemetry_waiting_rows": ("CSV rows that wait for the disk.", "telemetry.rows_waiting", 1),
}
COUNTERS: Mapping[str, tuple[str, str]] = {
    "polybot_windows_finished": ("Windows that are over and summarised.", "totals.markets"),
    "polybot_windows_won": ("Of those with fills: with a result above zero.", "totals.wins"),
    "polybot_windows_lost": ("Of those with fills: with a result below zero.", "totals.losses"),
    "polybot_windows_refused": ("Windows that were not traded.", "windows.refused"),
    "polybot_signals": ("Signals of all strategies since the start.", "totals.signals"),
    "polybot_signals_dispatched": ("Of those: became an order.", "totals.dispatched"),
    "polybot_orders": ("Orders since the start.", "totals.orders"),
    "polybot_fills": ("Fills since the start that did not fail.", "totals.fills"),
}
# Of the window that is traded now.
MARKET_GAUGES: Mapping[str, tuple[str, str, float]] = {
    "polybot_window_left_seconds": ("Venue seconds to the end of the window.", "left_s", 1),
    "polybot_spot_usd": ("Spot moved by the basis to the oracle.", "spot", 1),
    "polybot_strike_usd": ("The price to beat.", "strike", 1),
    "polybot_fair_up_ratio": ("Probability of Up by the model.", "fair_up", 1),
    "polybot_sigma_per_sqrt_second": ("Volatility of spot per square root of a second.", "sigma", 1),
    "polybot_window_cost_usd": ("Cost of what is held in the window.", "cost_usd", MICRO),
}
STRATEGY_KINDS = ("signals", "dispatched", "orders", "fills")
LOST = ("records_dropped", "records_lost", "notes_dropped", "notes_lost", "rows_lost", "unassigned", "errors")


def exposition(answers: Answers) -> bytes:
    """The text of all daemons, for CONTENT_TYPE_LATEST."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Answered(answers))
    return generate_latest(registry)


class _Answered(Collector):
    """What prometheus_client collects from."""

    def __init__(self, answers: Answers) -> None:
        self._live = {name: answer for name, answer in answers.items() if answer is not None}
        self._all = answers

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("polybot_up", "1 when the daemon answered the last look at it.", labels=["daemon"])
        for name, answer in self._all.items():
            up.add_metric([name], float(answer is not None))
        yield up
        yield self._info()
        for metric, (text, path, divisor) in GAUGES.items():
            yield self._plain(GaugeMetricFamily(metric, text, labels=["daemon"]), path, divisor)
        for metric, (text, path) in COUNTERS.items():
            yield self._plain(CounterMetricFamily(metric, text, labels=["daemon"]), path, 1)
        yield from self._stops()
        yield from self._markets()
        yield from self._strategies()
        yield from self._feeds()
        yield from self._telemetry()
        yield self._latency()

    def _plain(
        self, family: GaugeMetricFamily | CounterMetricFamily, path: str, divisor: float
    ) -> Metric:
        for name, answer in self._live.items():
            value = _at(answer, path)
            if value is not None:
                family.add_metric([name], value / divisor)
        return family

    def _info(self) -> Metric:
        family = InfoMetricFamily("polybot", "Which daemon this is.", labels=["daemon"])
        for name, answer in self._live.items():
            keys = ("version", "mode", "venue", "asset", "interval", "risk", "account", "session")
            family.add_metric([name], {key: str(answer.get(key, "")) for key in keys})
        return family

    def _stops(self) -> Iterator[Metric]:
        halted = GaugeMetricFamily(
            "polybot_halted", "1 while a halt of that kind is on.", labels=["daemon", "kind"]
        )
        pnl = GaugeMetricFamily(
            "polybot_realised_pnl_usd", "Settled result of the day or week (UTC).", labels=["daemon", "period"]
        )
        limit = GaugeMetricFamily(
            "polybot_loss_limit_usd", "Loss at which that period halts.", labels=["daemon", "period"]
        )
        cash = GaugeMetricFamily("polybot_cash_usd", "Cash at the venue, as last told.", labels=["daemon"])
        for name, answer in self._live.items():
            on = {halt["kind"] for halt in answer.get("halts", ())}
            for kind in ("manual", "daily", "weekly"):
                halted.add_metric([name, kind], float(kind in on))
            for period, halt in (("day", "daily"), ("week", "weekly")):
                for family, path in ((pnl, f"pnl.{period}_usd"), (limit, f"pnl.{halt}_halt_usd")):
                    value = _at(answer, path)
                    if value is not None:
                        family.add_metric([name, period], value / MICRO)
            if (usd := _at(answer, "exposure.cash_usd")) is not None and usd >= 0:  # below 0: not told yet
                cash.add_metric([name], usd / MICRO)
        yield from (halted, pnl, limit, cash)

    def _markets(self) -> Iterator[Metric]:
        live = [(name, market) for name, answer in self._live.items() if (market := _traded_now(answer))]
        for metric, (text, path, divisor) in MARKET_GAUGES.items():
            family = GaugeMetricFamily(metric, text, labels=["daemon"])
            for name, market in live:
                if (value := _at(market, path)) is not None:
                    family.add_metric([name], value / divisor)
            yield family
        quote = GaugeMetricFamily(
            "polybot_quote_usd", "Best price of an outcome.", labels=["daemon", "outcome", "side"]
        )
        held = GaugeMetricFamily("polybot_held_shares", "Shares held of an outcome.", labels=["daemon", "outcome"])
        for name, market in live:
            for outcome in ("Up", "Down"):
                for side in ("bid", "ask"):
                    ticks = _at(market, f"{outcome.lower()}.{side}_ticks")
                    if ticks is not None and ticks > 0:
                        quote.add_metric([name, outcome, side], ticks / TICKS)
                held.add_metric([name, outcome], (_at(market, f"held.{outcome}") or 0) / MICRO)
        yield quote
        yield held

    def _strategies(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "polybot_strategy_events",
            "Signals, dispatched ones, orders and fills of a strategy since the start.",
            labels=["daemon", "strategy", "kind"],
        )
        pnl = GaugeMetricFamily(
            "polybot_strategy_pnl_usd", "Session result of a strategy.", labels=["daemon", "strategy"]
        )
        denied = GaugeMetricFamily(
            "polybot_window_denied_signals",
            "Signals of the window traded now that were denied, by reason.",
            labels=["daemon", "strategy", "reason"],
        )
        for name, answer in self._live.items():
            for strategy, counts in ((answer.get("totals") or {}).get("by_strategy") or {}).items():
                for kind in STRATEGY_KINDS:
                    if (value := _at(counts, kind)) is not None:
                        counted.add_metric([name, strategy, kind], value)
                if (value := _at(counts, "pnl_usd")) is not None:
                    pnl.add_metric([name, strategy], value / MICRO)
            for one in (_traded_now(answer) or {}).get("strategies", ()):
                for reason, count in (one.get("denied") or {}).items():
                    denied.add_metric([name, one["name"], reason], count)
        yield from (counted, pnl, denied)

    def _feeds(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "polybot_feed_age_seconds", "Venue seconds since the last data of a feed.", labels=["daemon", "feed"]
        )
        counted = CounterMetricFamily(
            "polybot_feed_events", "What a feed counted.", labels=["daemon", "feed", "counter"]
        )
        for name, answer in self._live.items():
            ages: dict[str, float] = {}
            for feed, value in (answer.get("feeds") or {}).items():
                if value is not None:  # of several books the oldest: a slug is no label
                    kind = feed.partition(" ")[0]
                    ages[kind] = max(value, ages.get(kind, 0.0))
            for feed, value in ages.items():
                age.add_metric([name, feed], value)
            sums: dict[tuple[str, str], float] = {}
            for feed, counters in (answer.get("counters") or {}).items():
                for counter, count in counters.items():
                    if isinstance(count, int | float):
                        key = (feed.partition(" ")[0], counter)
                        sums[key] = sums.get(key, 0) + count
            for (feed, counter), count in sums.items():
                counted.add_metric([name, feed, counter], count)
        yield age
        yield counted

    def _telemetry(self) -> Iterator[Metric]:
        lost = CounterMetricFamily(
            "polybot_telemetry_lost", "What telemetry dropped or could not do, by kind.", labels=["daemon", "kind"]
        )
        for name, answer in self._live.items():
            for kind in LOST:
                if (value := _at(answer, f"telemetry.{kind}")) is not None:
                    lost.add_metric([name, kind], value)
        yield lost

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "polybot_stage_latency_seconds",
            "Time since the stage before, of orders and sampled events (docs/OPERATIONS.md, Latency).",
            labels=["daemon", "stage"],
        )
        for name, answer in self._live.items():
            for row in answer.get("latency") or ():
                buckets = [(_bound(le), float(count)) for le, count in row["buckets"]]
                if not buckets or buckets[-1][0] != "+Inf":
                    buckets.append(("+Inf", float(row["count"])))
                family.add_metric([name, row["name"]], buckets=buckets, sum_value=row["sum_s"])
        return family


def _at(facts: Facts, path: str) -> float | None:
    """The number at a dotted path; None when something is missing or no number."""
    value: Any = facts
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _bound(le: Any) -> str:
    return "+Inf" if le is None or float(le) == float("inf") else f"{float(le):g}"


def _traded_now(answer: Facts) -> Facts | None:
    """The window that is traded now; None between windows."""
    now_ns = answer["now_ns"]
    for market in answer.get("markets") or ():
        if not market.get("observed") and market["start_ns"] <= now_ns < market["end_ns"]:
            found: Facts = market
            return found
    return None
