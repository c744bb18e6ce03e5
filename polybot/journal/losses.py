"""Day and week results and halts in the journal: the LossStore of polybot.latches.

Theory of operation: halts are what LATCH records say.  Results are what the journal's own fills and outcomes
come to, so a process killed between an outcome and the next save forgets nothing; a LOSS record says which day
and week the results were last kept for, and what was open then.
Must not decide when to halt or what to save.  Called by LossKeeper, on the engine's thread.
"""

from polybot.journal.booking import utc_week
from polybot.journal.journal import Journal
from polybot.journal.records import HaltKind, Loss
from polybot.latches import LossState

__all__ = ["JournalStore"]

HALTS = ((HaltKind.MANUAL, "halted_manual"), (HaltKind.DAILY, "halted_daily"), (HaltKind.WEEKLY, "halted_weekly"))


class JournalStore:
    """LossStore over one open journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def load(self) -> LossState | None:
        """What the last process left, None when it left neither results nor halts."""
        state = self._journal.recovered
        loss = state.loss[1] if state.loss is not None else None
        days = [day for day, _ in state.pnl_by_day()]
        if isinstance(loss, Loss):
            days.append(loss.day)
        if not days and not state.latches:
            return None
        day = max(days, default=0)
        day_usd, week_usd = state.realised(day)
        return LossState(
            day=day,
            week=utc_week(day),
            day_realised_usd=day_usd,
            week_realised_usd=week_usd,
            marked_usd=loss.marked_usd if isinstance(loss, Loss) else 0,
            halted_manual=HaltKind.MANUAL in state.latches,
            halted_daily=HaltKind.DAILY in state.latches,
            halted_weekly=HaltKind.WEEKLY in state.latches,
        )

    def save(self, state: LossState, before: LossState | None, *, reason: str, by: str) -> None:
        """Write the results, and each halt that changed since `before`; raises JournalError."""
        self._journal.loss(
            day=state.day,
            week=state.week,
            day_realised_usd=state.day_realised_usd,
            week_realised_usd=state.week_realised_usd,
            marked_usd=state.marked_usd,
        )
        for kind, name in HALTS:
            on = getattr(state, name)
            if on != (before is not None and getattr(before, name)):
                is_manual = kind is HaltKind.MANUAL
                self._journal.latch(
                    kind, on, reason=reason if is_manual else "loss limit", by=by if is_manual else "risk"
                )
        self._journal.request_sync()
