"""One pass of an engine through a reel: the pump and the desk carry out its items, the tables take what is said.

Theory of operation: the engine of a configuration (polybot.assembly, as everywhere) with the simulated account of the
desk; items come one by one, and after each what the engine said goes to the tables.  Where the items are from (tapes,
the inputs of a session) is its Origin's business.  Must not decide what is traded or filled.
Called by run and session.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from polybot._fast.engine import Engine
from polybot._fast.event import EventBuffer, EventKind
from polybot.assembly import build_engine
from polybot.backtest.desk import Desk, DeskSettings
from polybot.backtest.reel import Act, Chunk, Drop, Item, Open, Settle, Tell, Window
from polybot.backtest.result import ResultWriter, settings_digest, settings_of
from polybot.backtest.seconds import seconds_of
from polybot.backtest.tables import KEPT, MarketFacts, Tables
from polybot.backtest.world import Title
from polybot.config import Config
from polybot.replay.calls import apply_call

__all__ = ["Backtest", "Origin", "Progress", "desk_settings", "engine_counters", "sampling_engine", "timing"]

NS = 1_000_000_000
NS_PER_MS = 1_000_000
MAX_ALERTS = 100  # words of the engine that are kept


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    at_ns: int  # tape time
    first_ns: int
    last_ns: int
    messages: int
    settled: int
    fills: int


def desk_settings(config: Config) -> DeskSettings:
    """The simulated account of a configuration."""
    given, gateway = config.backtest, config.gateway
    return DeskSettings(
        balance_usd=given.balance_usd,
        order_latency_ms=given.order_latency_ms,
        cancel_latency_ms=given.cancel_latency_ms,
        latency_factor=given.latency_factor,
        seed=given.seed,
        confirm_s=given.confirm_s,
        queue=given.queue,
        extra_ticks=given.extra_ticks,
        post_only=gateway.post_only,
        place_per_s=gateway.place_per_s,
        place_burst=gateway.place_burst,
    )


class Origin(Protocol):
    """Where the items of a run are from."""

    @property
    def titles(self) -> Sequence[Title]:
        """All tapes."""
        ...

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last receive time."""
        ...

    @property
    def unreadable(self) -> Sequence[Mapping[str, str]]:
        """Folders that could not be read, and why."""
        ...

    def title_of(self, index: int) -> Title:
        """The tape of a window that was opened."""
        ...


class Backtest:
    """One pass; `engine`, `desk` and `pump` may be looked at between items."""

    def __init__(
        self,
        config: Config,
        world: Origin,
        writer: ResultWriter,
        *,
        engine: Engine | None = None,
        has_timers: bool = False,
    ) -> None:
        """`engine` replaces the configuration's; `has_timers`: heartbeats are among the events."""
        self.config = config
        self.world = world
        self.engine = engine or sampling_engine(config)
        self.desk = Desk(desk_settings(config))
        self.pump = self.desk.build_pump(
            self.engine,
            keep=KEPT,
            timer_ns=0 if has_timers else config.engine.timer_ms * NS_PER_MS,
            balance_ns=round(config.gateway.reconcile_s * NS),
            note_quotes=True,
        )
        self._has_timers = has_timers
        self.tables = Tables(
            writer, [one.name for one in self.engine.strategies], keep_signals=config.backtest.keep_signals
        )
        self._writer = writer
        self._windows: dict[int, Window] = {}
        self._alerts: list[str] = []
        self.messages = 0

    def go(
        self,
        items: Iterable[Item],
        *,
        watch: Callable[[Progress], None] | None = None,
        is_stopping: Callable[[], bool],
    ) -> bool:
        """Give everything; returns True when it was stopped before the end."""
        stopped = False
        for item in items:
            self.do(item)
            if watch is not None:
                watch(self._progress())
            if is_stopping():
                stopped = True
                break
        for index in sorted(self._windows):  # stopped: their outcome was not reached
            self._finish(index, 0)
        self._writer.append("latency", self.desk.latency())
        return stopped

    def do(self, item: Item) -> None:
        """Carry out one item of the reel, and take what the engine said of it."""
        if isinstance(item, Chunk):
            self.messages += self.pump.run(item.events, market=item.market)
            self._writer.append("seconds", seconds_of(item.events))
        elif isinstance(item, Open):
            self.pump.advance(item.at_ns - 1)  # what was due before is without this window
            self._take()
            self._open(item.window)
        elif isinstance(item, Tell):
            self._tell(item)
        elif isinstance(item, Settle):
            self._event(EventKind.EV_OUTCOME, item.at_ns, market=item.window.index, outcome=item.outcome)
            self.desk.settle(item.window.index, item.outcome)
        elif isinstance(item, Act):
            apply_call(self.engine, item.name, item.args)
        else:
            self._drop(item)
        if self._has_timers and self.pump.now_ns:
            self._event(EventKind.EV_BALANCE, self.pump.now_ns, j=self.desk.venue.cash_usd)
        self._take()

    # -- windows ----------------------------------------------------------------------------------------------

    def _open(self, window: Window) -> None:
        if not window.observed:
            self.desk.register_market(window.index, window.spec)
        self.engine.open_market(
            window.index, window.spec, order_seq_base=window.order_seq_base, observed=window.observed
        )
        self._windows[window.index] = window

    def _tell(self, item: Tell) -> None:
        index, strike = item.window.index, item.strike
        if strike is None:
            self._event(EventKind.EV_MARKET_CLOSE, item.at_ns, market=index)
            return
        told = {"venue_ns": strike.stamp_ns, "x": strike.value, "y": strike.variance, "i": strike.source}
        self._event(EventKind.EV_STRIKE, item.at_ns, market=index, **told)

    def _event(self, kind: int, at_ns: int, **fields: Any) -> None:
        events = EventBuffer(1)
        events.add(kind, recv_ns=at_ns, **fields)
        self.pump.tell(events)

    def _drop(self, item: Drop) -> None:
        index = item.window.index
        self.pump.advance(item.at_ns - 1)
        self._take()
        self._finish(index, item.rows)
        self.engine.drop_market(index)
        self.desk.forget_market(index)
        self._windows.pop(index)

    def _finish(self, index: int, rows: int) -> None:
        title, window = self.world.title_of(index), self._windows[index]
        facts = MarketFacts(window.spec, title.label, window.observed, title.gap_ns)
        self.tables.take_market(self.engine.markets[index], facts, rows=rows)

    def _take(self) -> None:
        self.tables.take(self.pump.take_commands())
        self.tables.take_quotes(self.pump.take_quotes())
        if self.engine.alerts:
            self._alerts += self.engine.alerts[: MAX_ALERTS - len(self._alerts)]
            self.engine.alerts.clear()

    # -- what it came to --------------------------------------------------------------------------------------

    def _progress(self) -> Progress:
        first_ns, last_ns = self.world.span_ns
        return Progress(
            at_ns=self.pump.now_ns,
            first_ns=first_ns,
            last_ns=last_ns,
            messages=self.messages,
            settled=self.tables.totals["counted"],
            fills=self.tables.totals["fills"],
        )

    def info(self, *, state: str, variant: Mapping[str, Any]) -> dict[str, Any]:
        """What run.json says of the run, times of the machine left out."""
        settings = settings_of(self.config)
        used = [title for title in self.world.titles if title.role]
        labels = sorted({title.label for title in used})
        assumed = sorted({text for title in used for text in title.assumptions})
        return {
            "kind": "backtest",
            "state": state,
            "label": "; ".join([*labels, *(f"assumed: {text}" for text in assumed)]),
            "variant": dict(variant),
            "strategies": self.tables.strategies,
            "totals": {**self.tables.totals, "cash": self.desk.venue.cash_usd},
            "denials": self.tables.denials(),
            "blocked": self.tables.blocked(),
            "counters": {**self.desk.counters(), **engine_counters(self.engine)},
            "alerts": self._alerts,
            "tapes": [title.told() for title in self.world.titles],
            "unreadable": list(self.world.unreadable),
            "settings": settings,
            "settings_digest": settings_digest(settings),
        }


def sampling_engine(config: Config) -> Engine:
    """The engine of this configuration, telling its prices as often as samples are wanted.  Decisions are the same."""
    return build_engine(replace(config, engine=replace(config.engine, diagnostics_s=config.backtest.sample_s)))


def engine_counters(engine: Engine) -> dict[str, int]:
    """What the engine counted over all markets."""
    return {
        "strays": engine.strays,
        "duplicates": engine.duplicates,
        "overfills": engine.overfills,
        "contradictions": engine.account.contradictions,
        "broken": engine.account.broken,
        "spot_trades": engine.spot.trades,
        "spot_quotes": engine.spot.quotes,
        "spot_gaps": engine.spot.gaps,
    }


def timing(elapsed_ns: int, messages: int) -> dict[str, Any]:
    """What run.json says of the machine's time."""
    elapsed_s = elapsed_ns / NS
    rate = messages / elapsed_s if elapsed_s > 0 else 0.0
    return {"elapsed_s": round(elapsed_s, 3), "messages": messages, "messages_per_s": round(rate)}
