"""Ours and the reference behind one face: the same steps in, comparable fates out; and a venue that answers both.

`Fast` is decoders and engine as the daemon builds them from conf/, `Slow` the plain one with the same settings.
`Venue` answers orders by their number alone, so two sides that order the same hear the same.  `record` runs one,
`difference` says where two first decided otherwise.  Called by bench_p04 and tests/bench.
"""

import heapq
from collections.abc import Iterable
from typing import Any, Protocol

from bench.reference.engine import Fate, ReferenceEngine
from bench.reference.risk import Limits, Row
from bench.reference.spot import Basis, Regime, Spot, Vwap
from bench.reference.stream import NS, START_NS, Step
from bench.reference.volatility import MultiVol
from polybot._fast import event as ev
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.decode_oracle import OracleDecoder
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer
from polybot._fast.risk import HARD_OPEN_USD, HARD_ORDER_USD, Denial
from polybot.assembly import build_engine
from polybot.config import Config

__all__ = ["Fast", "Side", "Slow", "Venue", "difference", "differing", "record"]

MILLION = 1_000_000
LOT = 10_000
EDGE_AGREES = 1e-9  # USD per share
CONFIDENCE_AGREES = 1e-6
ORDER_TYPES = {int(code): code.name for code in ev.OrderType}


class Side(Protocol):
    """Whoever decides."""

    def take(self, step: Step) -> list[Fate]:
        """Apply one step; what was decided."""
        ...


class Fast:
    """The compiled core."""

    def __init__(self, config: Config) -> None:
        self.engine = build_engine(config, environ={})
        self.names = [strategy.name for strategy in self.engine.strategies]
        self.spot, self.clob = SpotDecoder("btcusdt"), ClobDecoder()
        self.oracle = OracleDecoder("btc/usd")
        self.feeds = {"spot": self.spot.feed, "clob": self.clob.feed, "oracle": self.oracle.feed}
        self.events = EventBuffer()

    def take(self, step: Step) -> list[Fate]:
        """Apply one step; what was decided."""
        at_ns, source, payload = step
        self.events.reset()
        feed = self.feeds.get(source)
        if feed is not None:
            feed(payload, at_ns, self.events)
        else:
            self.tell(source, at_ns, payload)
        commands = self.engine.process(self.events)
        return self.fates(commands) if len(commands) else []

    def tell(self, fact: str, at_ns: int, fields: tuple[Any, ...]) -> None:
        """Make the event of a fact, or do what only a call does."""
        add = self.events.add
        if fact == "open":
            index, spec, base, observed = fields
            self.engine.open_market(index, spec, order_seq_base=base, observed=observed)
            self.clob.add_market(
                index, spec.token_up.encode(), spec.token_down.encode(), spec.condition_id.encode()
            )
        elif fact == "drop":
            self.engine.drop_market(fields[0])
            self.clob.remove_market(fields[0])
        elif fact == "timer":
            add(ev.EV_TIMER, recv_ns=at_ns)
        elif fact == "balance":
            add(ev.EV_BALANCE, recv_ns=at_ns, j=fields[0])
        elif fact == "strike":
            add(ev.EV_STRIKE, recv_ns=at_ns, market=fields[0], x=fields[1], i=ev.STRIKE_RTDS_TWAP)
        elif fact == "close":
            add(ev.EV_MARKET_CLOSE, recv_ns=at_ns, market=fields[0])
        elif fact == "outcome":
            add(ev.EV_OUTCOME, recv_ns=at_ns, market=fields[0], outcome=fields[1])
        elif fact == "update":
            seq, status, matched = fields
            add(ev.EV_ORDER_UPDATE, recv_ns=at_ns, seq=seq, i=ev.OrderStatus[f"OS_{status}"], j=matched)
        else:
            seq, ticks, ushares, key, maker = fields
            flags = ev.F_MAKER if maker else 0
            add(ev.EV_FILL, recv_ns=at_ns, seq=seq, i=ticks, j=ushares, x=1.0, y=float(key), flags=flags)

    def fates(self, commands: Any) -> list[Fate]:
        """Signals with what became of them, and cancels, as the reference tells them."""
        found: list[Fate] = []
        for row in commands.to_numpy():
            if row["kind"] == ev.CMD_CANCEL:
                found.append(("cancel", int(row["market"]), int(row["order_seq"])))
            if row["kind"] != ev.CMD_SIGNAL:
                continue
            kind = ORDER_TYPES[int(row["order_type"])]
            found.append(
                (
                    "signal",
                    int(row["market"]),
                    self.names[row["strategy"]],
                    int(row["outcome"]),
                    kind,
                    kind == "GTC",
                    int(row["price_ticks"]),
                    int(row["shares"]),
                    float(row["edge"]),
                    float(row["confidence"]),
                    Denial(int(row["reason"])).name,
                    int(row["order_seq"]),
                )
            )
        return found


class Slow:
    """The plain one."""

    def __init__(self, config: Config) -> None:
        self.adopt(self._build(config))

    def adopt(self, engine: ReferenceEngine) -> None:
        """Go on with this engine, e.g. a copy of a warm one."""
        self.engine = engine
        self.feeds = {
            "spot": engine.on_spot_frame,
            "clob": engine.on_clob_frame,
            "oracle": engine.on_oracle_frame,
        }

    @staticmethod
    def _build(config: Config) -> ReferenceEngine:
        return ReferenceEngine(
            spot=_spot(config),
            limits=_limits(config),
            settings={
                name: {
                    **item.params,
                    "enabled": item.enabled,
                    "edge_se_multiple": config.model.edge_se_multiple,
                }
                for name, item in config.strategy.items()
            },
            symbol="btcusdt",
            oracle_symbol="btc/usd",
            bankroll_usd=config.risk.bankroll_usd,
            kelly_cap=config.model.kelly_cap_frac,
            end_guard_s=config.engine.end_guard_s,
            oracle_lag_s=config.model.oracle_lag_s,
            max_missing_s=config.model.max_missing_s,
        )

    def take(self, step: Step) -> list[Fate]:
        """Apply one step; what was decided."""
        at_ns, source, payload = step
        feed = self.feeds.get(source)
        if feed is not None:
            return feed(payload, at_ns)
        if source == "timer":
            return self.engine.on_timer(at_ns)
        self.tell(source, at_ns, payload)
        return []

    def tell(self, fact: str, at_ns: int, fields: tuple[Any, ...]) -> None:
        """Apply a fact."""
        engine = self.engine
        if fact == "open":
            engine.open_market(fields[0], fields[1], order_seq_base=fields[2], observed=fields[3])
        elif fact == "drop":
            engine.drop_market(fields[0])
        elif fact == "balance":
            engine.on_balance(fields[0])
        elif fact == "strike":
            engine.on_strike(*fields)
        elif fact == "close":
            engine.on_close(fields[0], at_ns)
        elif fact == "outcome":
            engine.on_outcome(fields[0], fields[1], at_ns)
        elif fact == "update":
            engine.on_update(*fields)
        else:
            seq, ticks, ushares, _, maker = fields
            engine.on_fill(seq, ticks=ticks, ushares=ushares, maker=maker)


def _spot(config: Config) -> Spot:
    model, vol = config.model, config.model.vol
    return Spot(
        MultiVol(
            half_lives_s=vol.half_lives_s,
            weights_frac=vol.weights_frac,
            sample_ms=vol.sample_ms,
            warmup=vol.warmup_samples,
            floor_annual=vol.floor_annual,
            jump_threshold_sd=vol.jump_threshold_sd,
            jump_half_life_s=vol.jump_half_life_s,
            prior_annual=vol.prior_annual,
            prior_weight_s=vol.prior_weight_s,
            prior_ln_sd=vol.prior_ln_sd,
            prior_jump_frac=vol.prior_jump_frac,
            prior_kurtosis=vol.prior_kurtosis,
            forecast_ln_sd=vol.forecast_ln_sd,
            hour_variance_frac=vol.hour_variance_frac,
        ),
        Vwap(model.vwap_window_s),
        Regime(model.regime_window_s, model.regime_min_ticks, model.regime_trend_frac),
        Basis(model.basis.window_s, model.basis.lag_s, model.basis.min_pairs),
    )


def _limits(config: Config) -> Limits:
    risk = config.risk
    bankroll = round(risk.bankroll_usd * MILLION)
    rows = {
        name: Row(
            int(bankroll * row.per_trade_frac),
            int(bankroll * row.total_frac),
            row.cooldown_ms * MILLION,
            row.max_orders_per_market,
        )
        for name, row in risk.strategies.items()
    }
    return Limits(
        exposure=int(bankroll * risk.max_exposure_frac),
        daily_loss=int(bankroll * risk.daily_loss_halt_frac),
        weekly_loss=int(bankroll * risk.weekly_loss_halt_frac),
        hard_order=HARD_ORDER_USD,
        hard_open=HARD_OPEN_USD,
        spot_age_ns=round(risk.spot_max_age_s * NS),
        stale_ns=round(risk.stale_feed_s * NS),
        oracle_age_ns=round(risk.oracle_max_age_s * NS),
        skew_ns=round(risk.max_clock_skew_s * config.venue.speed * NS),
        collar_ticks=risk.price_collar_ticks,
        orders_per_s=risk.orders_per_s,
        rows=rows,
    )


class Venue:
    """Answers orders: takers are filled in part, in full, not at all or refused, makers rest and some are filled."""

    def __init__(self) -> None:
        self.due: list[tuple[int, int, str, tuple[Any, ...]]] = []
        self.serial = 0
        self.resting: set[int] = set()

    def later(self, at_ns: int, fact: str, fields: tuple[Any, ...]) -> None:
        self.serial += 1
        heapq.heappush(self.due, (at_ns, self.serial, fact, fields))

    def on_fate(self, fate: Fate, at_ns: int) -> None:
        """Make the answers to one decision."""
        if fate[0] == "cancel":
            if fate[2] in self.resting:
                self.resting.remove(fate[2])
                self.later(at_ns + 40_000_000, "update", (fate[2], "CANCELED", -1))
        elif fate[10] == "DISPATCHED":
            kind, ticks, ushares, seq = fate[4], fate[6], fate[7], fate[11]
            (self._rest if kind == "GTC" else self._match)(seq, ticks, ushares, at_ns)

    def _match(self, seq: int, ticks: int, ushares: int, at_ns: int) -> None:
        what = seq % 8
        if what == 0:
            self.later(at_ns + 190_000_000, "fill", (seq, ticks, ushares, seq, False))
        elif what == 3:
            part = ushares // 2 // LOT * LOT
            self.later(at_ns + 190_000_000, "fill", (seq, ticks, part, seq, False))
            self.later(at_ns + 200_000_000, "update", (seq, "CANCELED", part))
        elif what == 5:
            self.later(at_ns + 30_000_000, "update", (seq, "REJECTED", -1))
        else:
            self.later(at_ns + 180_000_000, "update", (seq, "CANCELED", -1))

    def _rest(self, seq: int, ticks: int, ushares: int, at_ns: int) -> None:
        self.later(at_ns + 50_000_000, "update", (seq, "LIVE", -1))
        if seq % 5 == 0:
            part = ushares // 3 // LOT * LOT
            self.later(at_ns + 900_000_000, "fill", (seq, ticks, part, seq, True))
        self.resting.add(seq)


def record(side: Side, steps: Iterable[Step], *, cash_usd: int) -> tuple[list[Step], list[list[Fate]]]:
    """Run a side against a venue of its own: (every step it saw, answers included, what it decided at each)."""
    venue = Venue()
    seen: list[Step] = []
    fates: list[list[Fate]] = []

    def play(step: Step) -> None:
        seen.append(step)
        fates.append(side.take(step))
        for fate in fates[-1]:
            venue.on_fate(fate, step[0])

    first = True
    for step in steps:
        if first:
            play((step[0], "balance", (cash_usd,)))
            first = False
        while venue.due and venue.due[0][0] <= step[0]:
            at_ns, _, fact, fields = heapq.heappop(venue.due)
            play((at_ns, fact, fields))
        play(step)
    return seen, fates


def difference(steps: list[Step], ours: list[list[Fate]], theirs: list[list[Fate]]) -> str:
    """Where two sides first decided otherwise, in words; "" when nowhere."""
    if len(ours) != len(theirs):
        return f"{len(ours)} steps against {len(theirs)}"
    for k in differing(ours, theirs):
        at_ns, source, _ = steps[k]
        return f"{(at_ns - START_NS) / NS:.3f} s after the start, on {source}: {ours[k]} against {theirs[k]}"
    return ""


def differing(ours: list[list[Fate]], theirs: list[list[Fate]]) -> list[int]:
    """Places where two sides decided otherwise; what comes after the first may follow from it."""
    return [
        k
        for k, (here, there) in enumerate(zip(ours, theirs, strict=False))
        if len(here) != len(there) or not all(map(_agree, here, there))
    ]


def _agree(a: Fate, b: Fate) -> bool:
    """The same in every field; edge and confidence as near as doubles of another order of sums are."""
    if a[0] != "signal" or b[0] != "signal":
        return a == b
    is_near = abs(a[8] - b[8]) <= EDGE_AGREES and abs(a[9] - b[9]) <= CONFIDENCE_AGREES
    return is_near and a[:8] + a[10:] == b[:8] + b[10:]
