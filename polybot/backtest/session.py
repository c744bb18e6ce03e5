"""A session that was traded (live, paper or on the embedded venue) as a Result, and its inputs as a backtest.

Owns the reading of an inputs log (polybot.replay) as items of a reel.  `result_of_session` plays the log through the
engine exactly and writes down what happened; `backtest_session` gives the same engine the same market data, in the
same order and with the same heartbeats, and fills its orders at the desk.  Signals before risk are then the same: no
built-in strategy reads positions or orders.  What was told of our own orders and money is not given.
Must not decide.  Called by programs, tests, and whoever compares a session with its backtest.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.engine import Engine
from polybot._fast.event import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    QUOTE_DTYPE,
    CommandKind,
    EventKind,
    OrderStatus,
    Outcome,
)
from polybot.assembly import HARD_MAX_ENV, build_engine
from polybot.backtest.play import Backtest, Progress, engine_counters, timing
from polybot.backtest.reel import Act, Chunk, Drop, Item, Open, Settle, Strike, Window
from polybot.backtest.result import (
    LATENCY_DTYPE,
    Result,
    ResultWriter,
    is_result,
    load_result,
    settings_digest,
    settings_of,
)
from polybot.backtest.seconds import seconds_of
from polybot.backtest.tables import MarketFacts, Tables
from polybot.backtest.world import Title
from polybot.clock import wall_clock
from polybot.config import Config
from polybot.config_backtest import BacktestSettings
from polybot.errors import ConfigError, TapeError
from polybot.market.spec import MarketSpec
from polybot.replay.inputs import OWN_KINDS, Call, InputsLog, find_inputs, open_inputs
from polybot.replay.verify import Player, config_of

__all__ = [
    "SIGNAL_FIELDS",
    "backtest_session",
    "kept_session",
    "result_of_session",
    "session_config",
    "session_of",
    "stamp_name",
    "strategy_signals",
]

NS = 1_000_000_000
# What a strategy said; the rest of a CMD_SIGNAL is what became of it (order_seq, reason, and shares cut by risk).
SIGNAL_FIELDS = (
    "decided_ns", "market", "outcome", "side", "order_type", "strategy", "price_ticks", "usd", "edge", "fair",
    "confidence", "size_frac", "spot", "distance", "tau_s", "delta", "gamma", "vega",
)  # fmt: skip
BOOK_KINDS = frozenset(range(EventKind.EV_BOOK_SNAPSHOT, EventKind.EV_TICK_SIZE + 1))
BALANCE, OUTCOME = int(EventKind.EV_BALANCE), int(EventKind.EV_OUTCOME)
NO_WORD = (int(OrderStatus.OS_SENT), int(OrderStatus.OS_DELAYED))  # of an order: at rest, matched or refused is one
NO_STRIKE = Strike(float("nan"), 0, 0, 0.0, 0)
# Acts that say something of the world or the account's past; orders of an earlier process are its own.
ACTS = ("look", "restore_losses", "halt")
TURNS = 1_024  # of what the engine said, taken at once
PIECE_NS = 30 * NS  # the desk's cash is told so often

Rows = npt.NDArray[np.void]


def session_of(tapes: Sequence[str]) -> InputsLog | None:
    """The inputs log that is meant when it is named where tapes are, None: tapes are meant.

    Raises ConfigError for several logs, or logs among tapes.
    """
    logs = [log for name in tapes for log in find_inputs(name)]
    if not logs:
        return None
    if len(logs) > 1 or len(tapes) > 1:
        there = ", ".join(str(log) for log in logs[:3])
        raise ConfigError(f"backtest.tapes={', '.join(tapes)}: name one session's inputs alone; there are {there}")
    return open_inputs(logs[0])


def stamp_name() -> str:
    """A name for a run that starts now: its time, UTC."""
    return datetime.fromtimestamp(wall_clock().now_ns() / NS, UTC).strftime("%Y%m%d-%H%M%S")


def strategy_signals(result: Result) -> Rows:
    """What the strategies said, in order, without what became of it: equal in a session and in its backtest."""
    signals = result.table("signals")
    made: Rows = np.empty(len(signals), [(name, COMMAND_DTYPE[name]) for name in SIGNAL_FIELDS])
    for name in SIGNAL_FIELDS:
        made[name] = signals[name]
    return made


def result_of_session(
    log: InputsLog, folder: Path | None = None, *, settings: BacktestSettings | None = None
) -> Result:
    """Write what happened in a session as a run's folder (default: `<out_dir>/session-<name>`).

    Raises TapeError for a log whose beginning is gone, or that the engine cannot take.
    """
    _check_beginning(log)
    given = settings or BacktestSettings()
    clock = wall_clock()
    began_ns = clock.mono_ns()
    with ResultWriter(folder or Path(given.out_dir) / f"session-{log.name}") as writer:
        session = _Session(log, writer, given)
        session.play()
        return writer.finish({**session.info(), **timing(clock.mono_ns() - began_ns, session.messages)})


def _check_beginning(log: InputsLog) -> None:
    """Nothing can be said of orders and windows of a log whose first part was removed."""
    if log.manifest["part"] != 1:
        raise TapeError(f"{log.folder}: its beginning is not there any more ({log.parts[0].name} is the first part)")


def kept_session(log: InputsLog, settings: BacktestSettings) -> Result:
    """The session as a run's folder where it is kept (`<out_dir>/session-<name>`), made when it is not there whole."""
    place = Path(settings.out_dir) / f"session-{log.name}"
    if is_result(place):
        kept = load_result(place)
        if kept.info["state"] == "complete":
            return kept
        shutil.rmtree(place)  # made while the session ran: its log may have gone on since
    return result_of_session(log, place, settings=settings)


def backtest_session(
    log: InputsLog,
    folder: Path | None = None,
    *,
    settings: BacktestSettings | None = None,
    variant: Mapping[str, Any] | None = None,
    watch: Callable[[Progress], None] | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Result:
    """Backtest a session on what its engine was given; `settings` are the desk's (its balance is the session's).

    Default folder: `<out_dir>/<name>`, the name that of a run that starts now.  The rest is as in run_backtest.
    """
    _check_beginning(log)
    given = settings or BacktestSettings()
    clock = wall_clock()
    began_ns = clock.mono_ns()
    notes: list[str] = []
    config = session_config(log, given, notes)
    world = _LogWorld(log, notes, spot_delay_ns=round(given.spot_delay_s * NS))
    with ResultWriter(folder or Path(given.out_dir) / (given.name or stamp_name())) as writer:
        run = Backtest(config, world, writer, engine=_engine(log, config), has_timers=True)
        stopped = run.go(world.items(), watch=watch, is_stopping=is_stopping)
        info = run.info(state="interrupted" if stopped else "complete", variant=variant or {})
        return writer.finish({**info, "session": log.name, **timing(clock.mono_ns() - began_ns, run.messages)})


def session_config(log: InputsLog, settings: BacktestSettings, notes: list[str] | None = None) -> Config:
    """What a session is backtested with: its own settings and balance, the desk's from `settings`."""
    own = config_of(log, [] if notes is None else notes)
    return replace(own, backtest=replace(settings, balance_usd=_balance_usd(log, settings)))


class _Session:
    """A log played through the engine it was of, its market data watched."""

    def __init__(self, log: InputsLog, writer: ResultWriter, settings: BacktestSettings) -> None:
        self._log = log
        self._writer = writer
        self._player = Player(log)
        self._config = replace(self._player.config, backtest=settings)
        self._engine = self._player.engine = _engine(log, self._config)
        names = [strategy.name for strategy in self._engine.strategies]
        self._tables = Tables(writer, names, keep_signals=settings.keep_signals)
        self._specs: dict[int, MarketFacts] = {}
        self._best: dict[int, tuple[int, int]] = {}
        self._said: list[bytes] = []
        self._given: list[bytes] = []
        self._quotes: list[tuple[int, int, int, int]] = []
        self._told: dict[int, int] = {}  # first word on an order
        self._decided: dict[int, int] = {}
        self.messages = 0

    def play(self) -> None:
        """Everything that can be played exactly."""
        for turn in self._log.turns():
            if turn.call is not None and turn.call.name == "drop_market":
                self._finish(int(turn.call.args["index"]))
            made = self._player.play(turn)
            if turn.call is not None:
                self._note_call(turn.call)
                continue
            self._said.append(made)
            if len(self._said) >= TURNS:
                self._flush()
            self._given.append(turn.events)
            self._watch(np.frombuffer(turn.events, EVENT_DTYPE))
            self._engine.alerts.clear()
        self._flush()
        for index in sorted(self._specs):
            self._finish(index)
        rows = [(seq, at_ns, 0, self._told.get(seq, 0)) for seq, at_ns in self._decided.items()]
        self._writer.append("latency", np.array(rows, LATENCY_DTYPE))

    def info(self) -> dict[str, Any]:
        """What run.json says."""
        config, settings = self._config, settings_of(self._config)
        kind = "paper" if config.mode.name == "paper" else "sim" if self._venue == "sim" else "live"
        return {
            "kind": kind,
            "state": "complete" if self._log.is_ended else "interrupted",
            "label": self._label,
            "variant": {},
            "session": self._log.name,
            "strategies": self._tables.strategies,
            "totals": dict(self._tables.totals),
            "denials": self._tables.denials(),
            "blocked": self._tables.blocked(),
            "counters": engine_counters(self._engine),
            "alerts": [],
            "tapes": [_title(self._log, [*self._player.notes, *self._endings()]).told()],
            "unreadable": [],
            "settings": settings,
            "settings_digest": settings_digest(settings),
        }

    @property
    def _venue(self) -> str:
        return str(self._log.config["venue"]["name"])

    @property
    def _label(self) -> str:
        return _label(self._log)

    def _endings(self) -> list[str]:
        return [f"the log is used up to where {self._log.ending}"] if self._log.ending else []

    def _note_call(self, call: Call) -> None:
        if call.name == "open_market":
            observed = bool(call.args["observed"])
            facts = MarketFacts(MarketSpec(**call.args["spec"]), self._label, observed)
            self._specs[int(call.args["index"])] = facts

    def _finish(self, index: int) -> None:
        self._flush()
        facts = self._specs.pop(index)
        self._tables.take_market(self._engine.markets[index], facts)
        self._best.pop(index, None)

    def _flush(self) -> None:
        """Hand on what the engine was given and said, many turns at a time."""
        self._writer.append("seconds", seconds_of(np.frombuffer(b"".join(self._given), EVENT_DTYPE)))
        self._given.clear()
        commands = np.frombuffer(b"".join(self._said), COMMAND_DTYPE)
        self._said.clear()
        self._tables.take(commands)
        self._tables.take_quotes(np.array(self._quotes, QUOTE_DTYPE))
        self._quotes.clear()
        for row in commands[commands["kind"] == CommandKind.CMD_PLACE]:
            self._decided[int(row["order_seq"])] = int(row["decided_ns"])

    def _watch(self, events: Rows) -> None:
        """Note new best prices, and the first word on our orders."""
        kinds = events["kind"].tolist()
        self.messages += kinds[0] <= EventKind.EV_RESOLVED
        if kinds[0] in OWN_KINDS:
            for row in events:
                if row["kind"] == EventKind.EV_FILL or row["i"] not in NO_WORD:
                    self._told.setdefault(int(row["seq"]), int(row["recv_ns"]))
        if BOOK_KINDS.isdisjoint(kinds):
            return
        for index in set(events["market"].tolist()):
            market = self._engine.markets.get(index)
            if market is None:
                continue
            best = max(0, market.best_bid(Outcome.UP)), max(0, market.best_ask(Outcome.UP))
            if best != self._best.get(index):
                self._best[index] = best
                self._quotes.append((int(events["recv_ns"][0]), index, *best))


class _LogWorld:
    """A log as the origin of a backtest's items."""

    def __init__(self, log: InputsLog, notes: Sequence[str], *, spot_delay_ns: int = 0) -> None:
        self._log = log
        self._delay_ns = spot_delay_ns
        self._late: Rows = np.zeros(0, EVENT_DTYPE)  # spot events that are not received yet
        self.titles = [_title(log, notes)]
        self.unreadable: Sequence[Mapping[str, str]] = ()
        self._windows: dict[int, Window] = {}
        self._now_ns = 0

    @property
    def span_ns(self) -> tuple[int, int]:
        """Not known before the end."""
        return self.titles[0].first_ns, self.titles[0].last_ns

    def title_of(self, index: int) -> Title:
        """All windows are of the one log."""
        return self.titles[0]

    def items(self) -> Iterator[Item]:
        """Windows opened and dropped when they were, events as they came."""
        # Not over a gap: books would be wrong behind it, and windows that were opened in it are not known.
        for item in self._log.items(without=OWN_KINDS, over_gaps=False):
            if not isinstance(item, Call):
                yield from self._events(self._delayed(item) if self._delay_ns else item)
            elif item.name == "open_market":
                yield self._open(item.args)
            elif item.name == "drop_market":
                yield Drop(self._windows.pop(int(item.args["index"])), self._now_ns)
            elif item.name in ACTS:
                yield Act(item.name, item.args)
            else:
                self.titles[0].warnings.append(f"{item.name} of an earlier process is left out")
        if self._log.ending:
            self.titles[0].warnings.append(f"the log is used up to where {self._log.ending}")

    def _open(self, args: Mapping[str, Any]) -> Open:
        spec = MarketSpec(**args["spec"])
        window = Window(
            index=int(args["index"]),
            spec=spec,
            order_seq_base=int(args["order_seq_base"]),
            observed=bool(args["observed"]),
            strike=NO_STRIKE,  # it is among the events, like the close
            outcome=None,
            outcome_ns=spec.end_ns,
            drop_ns=spec.end_ns,
        )
        self._windows[window.index] = window
        return Open(window, self._now_ns)

    def _delayed(self, events: Rows) -> Rows:
        """The same with every spot event later, among what is received then."""
        rows: Any = events.copy()
        is_spot = np.isin(rows["kind"], (EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE))
        rows["recv_ns"][is_spot] += self._delay_ns
        rows["venue_ns"][is_spot & (rows["venue_ns"] > 0)] += self._delay_ns
        late = np.concatenate([self._late, rows[is_spot]])
        last_ns = int(events["recv_ns"].max()) if len(events) else 0
        self._late = late[late["recv_ns"] > last_ns]
        both = np.concatenate([rows[~is_spot], late[late["recv_ns"] <= last_ns]])
        merged: Rows = both[np.argsort(both["recv_ns"], kind="stable")]
        return merged

    def _events(self, events: Rows) -> Iterator[Item]:
        """Pieces of some time each; outcomes are cut out, and told as such."""
        cuts: list[int] = (np.flatnonzero(np.diff(events["recv_ns"] // PIECE_NS)) + 1).tolist()
        outcomes: list[int] = np.flatnonzero(events["kind"] == OUTCOME).tolist()
        start = 0
        for stop in sorted({*cuts, *outcomes, *(at + 1 for at in outcomes), len(events)}):
            piece = events[start:stop]
            if len(piece):
                self._now_ns = max(self._now_ns, int(piece["recv_ns"][-1]))
                if start in outcomes:
                    yield from self._outcome(piece[0])
                else:
                    yield Chunk(np.ascontiguousarray(piece))
            start = stop

    def _outcome(self, row: Any) -> Iterator[Item]:
        """An outcome that a log tells before the window's end is not believed."""
        window = self._windows.get(int(row["market"]))
        if window is None:
            return
        if int(row["recv_ns"]) < window.spec.end_ns:
            self.titles[0].warnings.append(f"{window.spec.slug}: an outcome before the window's end: not used")
            return
        yield Settle(window, int(row["recv_ns"]), int(row["outcome"]))


def _engine(log: InputsLog, config: Config) -> Engine:
    """The engine as then, telling its prices as often as samples are wanted."""
    sampled = replace(config, engine=replace(config.engine, diagnostics_s=config.backtest.sample_s))
    return build_engine(sampled, environ={HARD_MAX_ENV: str(log.facts["hard_max_usd"])})


def _balance_usd(log: InputsLog, settings: BacktestSettings) -> float:
    """The first balance the session was told, else that of the settings; USD."""
    for step in log.steps():
        if not isinstance(step.payload, Mapping) and step.payload.dtype == EVENT_DTYPE:
            told = step.payload[step.payload["kind"] == BALANCE]
            if len(told):
                return int(told["j"][0]) / 1e6
    return settings.balance_usd


def _label(log: InputsLog) -> str:
    venue, mode = (str(log.config[section]["name"]) for section in ("venue", "mode"))
    return f"session, {'simulated venue' if venue == 'sim' else venue}, mode={mode}"


def _title(log: InputsLog, notes: Sequence[str]) -> Title:
    return Title(
        path=log.folder,
        name=log.name,
        label=_label(log),
        spec=None,
        first_ns=0,
        last_ns=0,
        outcome=None,
        role="traded",
        warnings=list(notes),
        damage=[damage.text() for damage in log.damages],
    )
