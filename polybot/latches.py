"""What the account lost today and this week, and what is halted: carried between Risk and what outlives the process.

Owns the record (`LossState`) and the carrying (`LossKeeper`): restored at the start, saved whenever it changed.
Where it is kept is a LossStore (the money journal); without one it ends with the process.
Must not decide when to halt (Risk does) or touch the hot path: it looks once per heartbeat.
Called by polybot.trader.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from polybot._fast.risk import Risk
from polybot.errors import JournalError

__all__ = ["LossKeeper", "LossState", "LossStore"]

MICRO = 1_000_000
# The mark is saved when it fell by this part of the bankroll since the last save: 1/400 is a quarter of a percent.
MARK_STEP = 400
UNEXPLAINED = ("manual halt", "operator or fault")  # reason and name when nobody gave other words
Notice = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossState:
    """Results and halts of one account; money in micro-USD, days and weeks counted from 1970 in UTC."""

    day: int
    week: int
    day_realised_usd: int
    week_realised_usd: int
    marked_usd: int  # of what was open when this was saved: mark minus cost
    halted_manual: bool
    halted_daily: bool
    halted_weekly: bool


class LossStore(Protocol):
    """Where a LossState outlives the process."""

    def load(self) -> LossState | None:
        """Return what was saved last, None when nothing was."""
        ...

    def save(self, state: LossState, before: LossState | None, *, reason: str, by: str) -> None:
        """Keep this state, so that a kill right after the return loses nothing; raises JournalError.

        `before` is what was saved last; reason and by are the words for a manual halt that changed.
        """
        ...


class LossKeeper:
    """Carries losses and halts between a store and Risk; without a store it keeps nothing.

    `problem` says why entries must stay closed: a save that failed.
    """

    def __init__(
        self,
        risk: Risk,
        store: LossStore | None,
        *,
        notice: Notice,
        put_back: Callable[..., None] | None = None,
    ) -> None:
        """`put_back` is what `restore` puts results and halts back with; None: Risk.restore."""
        self.problem = ""
        self._risk = risk
        self._store = store
        self._notice = notice
        self._put_back = risk.restore if put_back is None else put_back
        self._saved: LossState | None = None
        self._seen: tuple[int, ...] = ()  # at the last look
        self._manual: bool | None = None  # the manual halt as the operator left it, once we are stopping
        self._words = UNEXPLAINED

    def restore(self, *, resume: bool) -> None:
        """Put what was saved into Risk; `resume` lifts a manual halt of an earlier run.

        Positions are restored with their cost beside this, so what was open is marked again by its own book.
        """
        state = None if self._store is None else self._store.load()
        if state is None:
            return
        self._saved = state
        if resume:
            self._words = ("run.resume", "operator")
        self._put_back(
            day=state.day,
            week=state.week,
            day_realised_usd=state.day_realised_usd,
            week_realised_usd=state.week_realised_usd,
            halted_manual=state.halted_manual and not resume,
            halted_daily=state.halted_daily,
            halted_weekly=state.halted_weekly,
        )
        self._notice("INFO", f"results and halts of the last run restored: {_words(self._state())}")

    def explain(self, reason: str, by: str) -> None:
        """Words for the manual halt or resume that is about to be told to the engine."""
        self._words = (reason, by)

    def note(self) -> None:
        """Save what must be kept and has changed; cheap, called with every heartbeat."""
        if self._store is None:
            return
        risk = self._risk
        seen = (
            risk.day, risk.week, risk.day_realised_usd, risk.week_realised_usd,
            risk.halted_manual, risk.halted_daily, risk.halted_weekly,
        )  # fmt: skip
        if seen == self._seen and not self.problem and not self._has_sunk():
            return
        self._seen = seen
        if self._differs() or self._has_sunk():
            self.flush()

    def freeze_manual(self) -> None:
        """From here on the manual halt is part of stopping: the one before is what stays."""
        if self._manual is None:
            self._manual = self._risk.halted_manual

    def keep_manual(self) -> None:
        """The operator halts: also while we are stopping this is no part of it, and stays."""
        if self._manual is not None:
            self._manual = True
            self._seen = ()  # saved by the next note, whatever was seen before

    def flush(self) -> bool:
        """Save now what has changed; False when it could not be saved: entries close until a save succeeds."""
        store, state = self._store, self._state()
        if store is None or not self._differs(mark=True):
            return True
        reason, by = self._words
        try:
            store.save(state, self._saved, reason=reason, by=by)
        except JournalError as error:
            self.problem = f"results and halts cannot be saved: {error}"
            return False
        self._saved, self.problem, self._words = state, "", UNEXPLAINED
        return True

    def _state(self) -> LossState:
        risk = self._risk
        return LossState(
            day=risk.day,
            week=risk.week,
            day_realised_usd=risk.day_realised_usd,
            week_realised_usd=risk.week_realised_usd,
            marked_usd=risk.marked_usd,
            halted_manual=risk.halted_manual if self._manual is None else self._manual,
            halted_daily=risk.halted_daily,
            halted_weekly=risk.halted_weekly,
        )

    def _differs(self, *, mark: bool = False) -> bool:
        """Anything new to keep; the mark, which moves with every price, only when asked for."""
        state, saved = self._state(), self._saved
        if saved is None:
            known = (state.day_realised_usd, state.week_realised_usd) != (0, 0) or _halted(state)
            return known or (mark and state.marked_usd != 0)
        return state != (saved if mark else dataclasses.replace(saved, marked_usd=state.marked_usd))

    def _has_sunk(self) -> bool:
        """Open positions lost so much since the last save that the books should say so."""
        before = 0 if self._saved is None else self._saved.marked_usd
        return before - self._risk.marked_usd >= self._risk.bankroll_usd // MARK_STEP


def _halted(state: LossState) -> bool:
    return state.halted_manual or state.halted_daily or state.halted_weekly


def _words(state: LossState) -> str:
    names = ("manual", "daily", "weekly")
    halts = [name for name in names if getattr(state, f"halted_{name}")]
    return (
        f"day {state.day_realised_usd / MICRO:+,.2f} USD, week {state.week_realised_usd / MICRO:+,.2f} USD, "
        f"halted: {', '.join(halts) or 'no'}"
    )
