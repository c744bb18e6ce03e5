"""StepModel: one market of a script, at one step; forward, back, by time, to signals, orders and fills.

Theory of operation: a step is one venue message (or one event that stands alone) that can touch the market: its own,
one without a market, or one that made it speak.  One pass over the script notes where every command came out; the
state at a step is read from an engine that took exactly the events up to it.  Going back feeds a new engine from the
start to KEPT_STEPS before the goal and keeps what each of those steps showed, so that the next steps back cost nothing.
Must not draw, wait or read a clock.  Called by step_screen.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.event import CommandKind, Special
from polybot.market.spec import MarketSpec
from polybot.replay.step_script import Life, Noted, Script, Walk, find_ends, note_commands, times_of
from polybot.replay.step_state import StepState, read_state
from polybot.replay.step_words import describe_event
from polybot.telemetry.records import Record, read_records

__all__ = ["Choice", "StepModel", "Studied", "parse_time", "study"]

NS = 1_000_000_000
DAY_S = 86_400
KEPT_STEPS = 100  # states kept behind a step that was gone back to
RECENT_RECORDS = 200  # signals: the newest of them are shown
SIGNAL, ORDER, FILL = CommandKind.CMD_SIGNAL, CommandKind.CMD_ORDER, CommandKind.CMD_FILL
SETTLEMENT = CommandKind.CMD_SETTLEMENT
DIFFERS = "this program decides otherwise than the session did: run `replay` without --step for the first difference"


@dataclass(frozen=True, slots=True)
class Studied:
    """A script and what one pass over it found; shared by the models of its markets."""

    script: Script
    ends: npt.NDArray[np.int64]
    noted: Noted


def study(script: Script) -> Studied:
    """Go through the script once; a warning is added when the engine decides otherwise than the session did."""
    ends = find_ends(script)
    noted = note_commands(script, ends)
    if script.told is not None and noted.rows[: len(script.told)].tobytes() != script.told.tobytes():
        script = replace(script, warnings=(*script.warnings, DIFFERS))
    return Studied(script, ends, noted)


@dataclass(frozen=True, slots=True)
class Choice:
    """A market that can be shown; `open` may take a moment and raises PolybotError when there is nothing to show."""

    label: str
    open: Callable[[], "StepModel"]


class StepModel:
    """One market of a studied script; `life` is its time in the engine."""

    def __init__(self, studied: Studied, life: Life) -> None:
        self.studied = studied
        self.life = life
        self._walk = Walk(studied.script, studied.ends)
        self._kept: OrderedDict[int, StepState] = OrderedDict()
        mine = studied.noted.rows["market"] == life.index
        mine &= (studied.noted.at > life.first) & (studied.noted.at <= max(life.last, life.first))
        self._rows = studied.noted.rows[mine]
        self._at = studied.noted.at[mine]
        self._ends = self._own_ends()
        self._times = times_of(studied.script, self._ends)
        self._records = list(read_records(self._rows))
        self._places = {
            kind: np.flatnonzero(self._rows["kind"] == kind) for kind in (SIGNAL, FILL, SETTLEMENT)
        }
        self._news = self._first_words()
        self._step = 0
        self._play_ns = 0
        if len(self._ends):
            self.jump(int(np.searchsorted(self._times, life.spec.start_ns)))

    # -- what is shown ----------------------------------------------------------------------------------------

    @property
    def spec(self) -> MarketSpec:
        """The market."""
        return self.life.spec

    @property
    def steps(self) -> int:
        """Number of steps; 0: nothing happened in this market's time."""
        return len(self._ends)

    @property
    def at(self) -> int:
        """Number of the step that is shown."""
        return self._step

    @property
    def now_ns(self) -> int:
        """Receive time of the step that is shown."""
        return int(self._times[self._step])

    @property
    def span_ns(self) -> tuple[int, int]:
        """Receive times of the first and the last step."""
        return int(self._times[0]), int(self._times[-1])

    @property
    def state(self) -> StepState:
        """What is known at this step."""
        assert self.steps, "a market without steps has no state"
        kept = self._kept.get(self._step)
        if kept is None:
            kept = self._read(self._step)
        return kept

    # -- going ------------------------------------------------------------------------------------------------

    def jump(self, step: int) -> None:
        """Go to this step, or to the nearest there is."""
        self._step = min(max(0, step), self.steps - 1)
        self._play_ns = self.now_ns

    def step(self, count: int = 1) -> None:
        """Go on by messages."""
        self.jump(self._step + count)

    def back(self, count: int = 1) -> None:
        """Go back by messages."""
        self.jump(self._step - count)

    def seek(self, at_ns: int) -> None:
        """Go to the last step received at `at_ns` or before."""
        self.jump(int(np.searchsorted(self._times, at_ns, side="right")) - 1)

    def move(self, by_ns: int) -> None:
        """Go by time; at least one step, so that a silence is crossed."""
        here, wanted = self._step, self._play_ns + by_ns
        self.seek(wanted)
        if self._step == here:
            self.jump(here + (1 if by_ns > 0 else -1))
        else:
            self._play_ns = max(wanted, self.now_ns)

    def advance(self, by_ns: int) -> bool:
        """Play: let so much market time pass; False at the end."""
        wanted = self._play_ns + by_ns
        self.seek(max(wanted, self.now_ns))
        self._play_ns = wanted
        return self._step < self.steps - 1

    def next_signal(self) -> bool:
        """Go to the next step with a signal; False: there is none."""
        return self._go_after(self._spots(SIGNAL))

    def previous_signal(self) -> bool:
        """Go to the last step with a signal before this one."""
        return self._go_before(self._spots(SIGNAL))

    def next_order(self) -> bool:
        """Go to the next signal that became an order."""
        return self._go_after(self._spots(SIGNAL, sent=True))

    def previous_order(self) -> bool:
        """Go to the last signal before this step that became an order."""
        return self._go_before(self._spots(SIGNAL, sent=True))

    def next_fill(self) -> bool:
        """Go to the next fill."""
        return self._go_after(self._news)

    def previous_fill(self) -> bool:
        """Go to the last fill before this step."""
        return self._go_before(self._news)

    def records_here(self) -> list[Record]:
        """Commands of this market that came out at this very step."""
        at = int(self._ends[self._step])
        first, last = np.searchsorted(self._at, at, side="left"), np.searchsorted(self._at, at, side="right")
        return self._records[int(first) : int(last)]

    # -- within -----------------------------------------------------------------------------------------------

    def _own_ends(self) -> npt.NDArray[np.int64]:
        """Numbers of events after which something of this market may have changed."""
        ends, life = self.studied.ends, self.life
        ends = ends[(ends > life.first) & (ends <= life.last)]
        markets = self.studied.script.events["market"][ends - 1]
        touched = (markets == life.index) | (markets == int(Special.NO_MARKET)) | np.isin(ends, self._at)
        own: npt.NDArray[np.int64] = ends[touched]
        return own

    def _spots(self, kind: int, *, sent: bool = False) -> npt.NDArray[np.int64]:
        """Steps at which a command of this kind came out."""
        chosen = self._rows["kind"] == kind
        if sent:
            chosen &= self._rows["reason"] == 0
        return self._steps_at(self._at[chosen])

    def _steps_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers of the steps that end at these numbers of events."""
        steps: npt.NDArray[np.int64] = np.unique(np.searchsorted(self._ends, places)).astype(np.int64)
        return steps

    def _first_words(self) -> npt.NDArray[np.int64]:
        """Steps at which a fill was heard of for the first time: later words only change its status."""
        seen: set[tuple[int, float]] = set()
        places = []
        for place in self._places[FILL].tolist():
            key = _fill_key(self._records[place])
            if key not in seen:
                seen.add(key)
                places.append(self._at[place])
        return self._steps_at(np.array(places, np.int64))

    def _go_after(self, steps: npt.NDArray[np.int64]) -> bool:
        place = int(np.searchsorted(steps, self._step, side="right"))
        if place == len(steps):
            return False
        self.jump(int(steps[place]))
        return True

    def _go_before(self, steps: npt.NDArray[np.int64]) -> bool:
        place = int(np.searchsorted(steps, self._step)) - 1
        if place < 0:
            return False
        self.jump(int(steps[place]))
        return True

    def _read(self, step: int) -> StepState:
        """The state at a step, by feeding: on from where the engine is, or anew and keeping what is passed."""
        at = int(self._ends[step])
        if at < self._walk.at:
            self._walk = Walk(self.studied.script, self.studied.ends)
            for before in range(max(0, step - KEPT_STEPS), step):
                self._keep(before)
        return self._keep(step)

    def _keep(self, step: int) -> StepState:
        self._walk.go(int(self._ends[step]))
        state = self._state_of(step)
        self._kept[step] = state
        while len(self._kept) > 2 * KEPT_STEPS:
            self._kept.popitem(last=False)
        return state

    def _state_of(self, step: int) -> StepState:
        at, engine = int(self._ends[step]), self._walk.engine
        market = engine.markets.get(self.life.index)
        place = {
            "step": step,
            "steps": self.steps,
            "events": at,
            "now_ns": int(self._times[step]),
            "message": describe_event(self.studied.script.events[at - 1]),
        }
        return read_state(engine, market, spec=self.spec, place=place, noted=self._noted(at))

    def _noted(self, at: int) -> dict[str, Any]:
        """What came out up to `at`, newest first."""
        count = int(np.searchsorted(self._at, at, side="right"))
        numbers = {kind: places[: np.searchsorted(places, count)] for kind, places in self._places.items()}
        found = {
            kind: tuple(self._records[k] for k in numbers[kind][::-1][:RECENT_RECORDS].tolist())
            for kind in (SIGNAL, SETTLEMENT)
        }
        fills: dict[tuple[int, float], Record] = {}  # by the latest word on each
        for place in numbers[FILL][::-1].tolist():
            fills.setdefault(_fill_key(self._records[place]), self._records[place])
        latest: dict[int, int] = {}  # of a strategy's settlements the latest counts
        for record in reversed(found[SETTLEMENT]):
            latest[record.strategy] = record.usd
        return {
            "signals": found[SIGNAL],
            "fills": tuple(fills.values()),
            "settlements": found[SETTLEMENT],
            "signals_count": len(numbers[SIGNAL]),
            "fills_count": len(fills),
            "pnl_usd": sum(latest.values()),
        }


def _fill_key(record: Record) -> tuple[int, float]:
    """Order and trade: one trade may fill several orders of ours."""
    return record.order_seq, record.confidence


def parse_time(text: str, spec: MarketSpec) -> int:
    """Read a time: `1:30` after the window's start, `-0:30` before its end, `12:34:56.7` UTC; ns since the epoch.

    Raises ValueError with what is allowed.
    """
    parts = text.strip().removeprefix("-").split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    is_clock = len(numbers) == 3 and not text.strip().startswith("-")
    if not (len(numbers) == 2 or is_clock) or any(not 0 <= number < 10_000 for number in numbers):
        raise ValueError("a time is 1:30 (after the start), -0:30 (before the end) or 12:34:56 (UTC)")
    if is_clock:
        second = numbers[0] * 3_600 + numbers[1] * 60 + numbers[2]
        midnight = spec.start_ns - spec.start_ns % (DAY_S * NS)
        at = midnight + round(second * NS)
        return at if at >= spec.start_ns - DAY_S * NS // 2 else at + DAY_S * NS
    by_ns = round((numbers[0] * 60 + numbers[1]) * NS)
    return spec.end_ns - by_ns if text.strip().startswith("-") else spec.start_ns + by_ns
