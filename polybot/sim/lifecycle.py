"""Markets of the embedded venue from listing to resolution.

Owns one record per market and everything that happens to it by the calendar:

    listed --ahead_s before the start--> quoted --end--> closed --20-90 s--> resolved --1 h--> forgotten
    quoted, late, mid beyond 0.04/0.96 --> tick size 0.01 becomes 0.001 (once)

Windows of every interval are listed `windows_ahead` in advance, others when Gamma is asked for their
slug.  The strike is fixed at the start and the final value taken at resolution, both exactly as the
oracle publishes them (1h: as the spot exchange's REST shows the candle); a tie is Up.
The exchange half knows orders and money; the makers are told when to quote and when to leave.
"""

from dataclasses import dataclass
from functools import partial

from polybot.config import AssetConfig, IntervalConfig
from polybot.config_sim import LifecycleConfig
from polybot.errors import DecodeError
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, next_windows, parse_slug, slug, window_at
from polybot.sim.exchange import Exchange
from polybot.sim.fair import Terms
from polybot.sim.makers import MakerDesk, QuotedMarket
from polybot.sim.markets import DOWN, ONE, UP
from polybot.sim.oracle import E18, Oracle, published_e18
from polybot.sim.path import E8, NS
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeds import condition_id, numeric_id, stream, token_id
from polybot.sim.spot import SpotMarket
from polybot.sim.takers import NoiseTakers

__all__ = ["Lifecycle", "MarketRecord", "SeriesRecord", "rule_of"]

HOUR_NS = 3_600 * NS
FORGET_NS = HOUR_NS  # after resolution: the exchange drops the market's orders and trades
DROP_NS = 24 * HOUR_NS  # after resolution: Gamma does not know it any more
SETTLED_NS = 1_000_000  # after a boundary: every price that belongs to it is in
TICK_TICKS = 100  # 0.01
FINE_TICKS = 10  # 0.001
RULES = {"5m": "twap", "15m": "twap", "1h": "candle", "4h": "twap"}
# Series ids of the real venue (2026-09); others are made up.
SERIES_IDS = {
    "btc-up-or-down-5m": "10684",
    "btc-up-or-down-15m": "10192",
    "btc-up-or-down-hourly": "10114",
    "btc-up-or-down-4h": "10331",
    "eth-up-or-down-15m": "10191",
    "sol-up-or-down-15m": "10423",
    "xrp-up-or-down-15m": "10422",
}


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """One series: all windows of one interval."""

    series_id: str
    slug: str
    interval: str
    title: str


@dataclass(slots=True, eq=False)
class MarketRecord:
    """One market as Gamma shows it."""

    spec: MarketSpec
    terms: Terms
    series: SeriesRecord
    event_id: str
    market_id: str
    tick_ticks: int = TICK_TICKS
    is_over: bool = False  # the window ended
    strike_e18: int | None = None  # 1e-18 USD, as published
    final_e18: int | None = None
    winner: int | None = None
    resolved_ns: int = 0
    metadata_ns: int = 0  # when priceToBeat and finalPrice appear
    quoted: QuotedMarket | None = None


class Lifecycle:
    """Lists, opens, closes and resolves markets; `records` in order of listing."""

    def __init__(
        self,
        config: LifecycleConfig,
        scheduler: Scheduler,
        exchange: Exchange,
        desk: MakerDesk,
        *,
        noise: NoiseTakers,
        spot: SpotMarket,
        oracle: Oracle,
        asset: AssetConfig,
        interval: IntervalConfig,
        ahead_s: float,
        twap_s: int,
        taker_delay_ms: int,
        seed: int,
        epoch_ns: int,
    ) -> None:
        self._config = config
        self._scheduler = scheduler
        self._exchange = exchange
        self._desk = desk
        self._noise = noise
        self._spot = spot
        self._oracle = oracle
        self._asset = asset
        self._ahead_ns = int(ahead_s * NS)
        self._twap_s = twap_s
        self._taker_delay_ms = taker_delay_ms
        self._seed = seed
        self.records: dict[str, MarketRecord] = {}  # by slug
        intervals = dict.fromkeys((interval.name, *config.intervals))
        self._rules = {name: RULES[name] for name in intervals} | {interval.name: interval.rule_expected}
        if config.rule:
            self._rules = dict.fromkeys(intervals, config.rule)
        self.series = {name: self._make_series(name) for name in intervals}
        for name in intervals:
            self._list_first(name, epoch_ns)

    def find(self, name: str) -> MarketRecord | None:
        """A market by slug; lists it now when it is a coming window within `list_on_request_h`."""
        record = self.records.get(name)
        if record is not None:
            return record
        try:
            parts = parse_slug(name)
        except DecodeError:
            return None
        now_ns = self._scheduler.now_ns
        limit_ns = now_ns + int(self._config.list_on_request_h * HOUR_NS)
        for window in parts.windows:
            known = window.interval in self.series and parts.asset in (
                self._asset.name,
                self._asset.long_name,
            )
            if known and now_ns < window.start_ns <= limit_ns:
                named = slug(self._asset, window.interval, window.start_ns)
                return self._list(window, now_ns) if named == name else None
        return None

    def by_condition(self, cid: str) -> MarketRecord | None:
        """A market by condition_id."""
        return next((record for record in self.records.values() if record.spec.condition_id == cid), None)

    def _make_series(self, interval: str) -> SeriesRecord:
        name = self._asset.series_slugs.get(interval, f"{self._asset.name}-up-or-down-{interval}")
        series_id = SERIES_IDS.get(name) or numeric_id(self._seed, f"series/{name}", 5)
        return SeriesRecord(series_id, name, interval, f"{self._asset.name.upper()} Up or Down {interval}")

    def _list_first(self, interval: str, epoch_ns: int) -> None:
        running, *coming = next_windows(interval, epoch_ns, self._config.windows_ahead + 1)
        on_tape = self._spot.tape is not None
        if running.start_ns == epoch_ns or (self._config.running_window and not on_tape):
            self._list(running, epoch_ns)
        for window in coming:
            self._list(window, epoch_ns)
        self._scheduler.at(running.end_ns, partial(self._list_next, interval, coming[-1].end_ns))

    def _list_next(self, interval: str, start_ns: int) -> None:
        """A window began: list the one that is `windows_ahead` from it."""
        window = window_at(interval, start_ns)
        if slug(self._asset, interval, start_ns) not in self.records:
            self._list(window, self._scheduler.now_ns)
        began = window_at(interval, self._scheduler.now_ns)
        self._scheduler.at(began.end_ns, partial(self._list_next, interval, window.end_ns))

    def _list(self, window: Window, now_ns: int) -> MarketRecord:
        record = self._make_record(window)
        self.records[record.spec.slug] = record
        self._exchange.create_market(record.spec, now_ns)
        self._scheduler.at(max(now_ns, window.start_ns - self._ahead_ns), partial(self._quote, record))
        self._scheduler.at(max(now_ns, window.start_ns) + SETTLED_NS, partial(self._start, record))
        self._scheduler.at(window.end_ns, partial(self._end, record))
        if self._config.tick_change:
            late_ns = max(now_ns, window.end_ns - int(self._config.tick_change_late_s * NS), window.start_ns)
            self._scheduler.at(late_ns, partial(self._watch_tick, record))
        return record

    def _make_record(self, window: Window) -> MarketRecord:
        name = slug(self._asset, window.interval, window.start_ns)
        if name in self.records:  # the hour that repeats when clocks go back: two markets, one slug
            name = f"{name}-{window.start_ns // NS}"
        rule = self._rules[window.interval]
        twap_s = self._twap_s if rule == "twap" else 0
        spec = MarketSpec(
            slug=name,
            asset=self._asset.name,
            interval=window.interval,
            condition_id=condition_id(self._seed, name),
            token_up=token_id(self._seed, name, "Up"),
            token_down=token_id(self._seed, name, "Down"),
            start_ns=window.start_ns,
            end_ns=window.end_ns,
            tick_size_ticks=TICK_TICKS,
            min_size_ushares=5_000_000,
            fees_enabled=True,
            fee_rate_ppm=70_000,
            fee_exponent=1,
            taker_delay_ms=self._taker_delay_ms,
            neg_risk=False,
            rule=rule,
            twap_window_s=twap_s,
            resolution_source=rule_of(rule, self._asset, self._twap_s),
        )
        terms = Terms(rule, window.start_ns // NS, window.end_ns // NS, self._twap_s)
        return MarketRecord(
            spec,
            terms,
            self.series[window.interval],
            numeric_id(self._seed, f"event/{name}", 7),
            numeric_id(self._seed, f"market/{name}", 7),
        )

    def _quote(self, record: MarketRecord) -> None:
        record.quoted = self._desk.open_market(record.spec.condition_id, record.terms, record.tick_ticks)
        self._noise.open_market(record.quoted)

    def _start(self, record: MarketRecord) -> None:
        """The strike of an averaged or printed price is known by now; a candle opens with its first trade."""
        if record.terms.rule != "candle":
            record.strike_e18 = self._published_e18(record, record.terms.start_s)

    def _end(self, record: MarketRecord) -> None:
        record.is_over = True
        config, now_ns = self._config, self._scheduler.now_ns
        rng = stream(self._seed, f"resolve/{record.spec.slug}")
        self._desk.close_market(record.spec.condition_id)
        self._exchange.close_market(record.spec.condition_id, now_ns)
        due_s = rng.uniform(config.resolve_min_s, max(config.resolve_min_s, config.resolve_max_s))
        told_s = rng.uniform(config.metadata_min_s, max(config.metadata_min_s, config.metadata_max_s))
        record.metadata_ns = now_ns + int(told_s * 1_000) * 1_000_000
        due_ns = now_ns + int(due_s * 1_000) * 1_000_000 + SETTLED_NS
        self._scheduler.at(due_ns, partial(self._resolve, record))

    def _resolve(self, record: MarketRecord) -> None:
        now_ns = self._scheduler.now_ns
        if record.terms.rule == "candle":
            candle = self._spot.history.candle("1h", record.terms.start_s)
            price_e8 = int(self._spot.price * E8)
            opened_e8, closed_e8 = (candle.open_e8, candle.close_e8) if candle else (price_e8, price_e8)
            record.strike_e18, record.final_e18 = opened_e8 * (E18 // E8), closed_e8 * (E18 // E8)
        else:
            record.final_e18 = self._published_e18(record, record.terms.end_s)
        assert record.strike_e18 is not None, "resolved before the start"
        record.winner = UP if record.final_e18 >= record.strike_e18 else DOWN
        record.resolved_ns = now_ns
        self._exchange.resolve_market(record.spec.condition_id, record.winner, now_ns)
        self._scheduler.at(now_ns + FORGET_NS, partial(self._forget, record))
        self._scheduler.at(now_ns + DROP_NS, partial(self._drop, record))

    def _published_e18(self, record: MarketRecord, stamp_s: int) -> int:
        """The number the oracle publishes for this stamp; it is known at the stamp, if not yet sent."""
        is_twap = record.terms.rule == "twap"
        value = self._oracle.twap_at(stamp_s) if is_twap else self._oracle.print_at(stamp_s)
        assert value is not None, "no oracle price at a boundary"
        return published_e18(value)

    def _forget(self, record: MarketRecord) -> None:
        self._exchange.forget_market(record.spec.condition_id)

    def _drop(self, record: MarketRecord) -> None:
        self.records.pop(record.spec.slug, None)

    def _watch_tick(self, record: MarketRecord) -> None:
        """Once a second, late in the window: a finer grid once the market is nearly decided."""
        if record.is_over or record.quoted is None:
            return
        bid, ask = self._exchange.best(record.spec.condition_id)
        edge = self._config.tick_change_beyond_usd * ONE
        low = ask if bid < 0 else (bid + ask) / 2 if ask > 0 else bid
        if low > 0 and (low < edge or low > ONE - edge):
            record.tick_ticks = record.quoted.tick_ticks = FINE_TICKS
            self._exchange.set_tick_size(record.spec.condition_id, FINE_TICKS, self._scheduler.now_ns)
            return
        self._scheduler.at(self._scheduler.now_ns + NS, partial(self._watch_tick, record))


def rule_of(rule: str, asset: AssetConfig, twap_s: int) -> str:
    """Resolution source of a rule, as the real venue writes it."""
    if rule == "candle":
        base = asset.spot_symbol.removesuffix("USDT")
        return f"https://www.binance.com/en/trade/{base}_USDT"
    tail = f"-twap-{twap_s}s-streams" if rule == "twap" else ""
    return f"https://data.chain.link/streams/{asset.name}-usd{tail}"
