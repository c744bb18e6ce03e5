"""Whether new orders may leave: every reason why entries are closed, in one place.

Owns the answer, and the comparisons with the venue that open entries again:

    CLOSED --user channel connected, a complete comparison agrees, gateway not paused, nothing of ours broken--> OPEN
    OPEN   --any of it no longer so--> CLOSED
A comparison that began before a gap of the user channel does not count after it.  One that fails, or disagrees, is
made again soon, with growing pauses; while the venue is down nobody asks.
Must not touch orders, markets or feeds.  Called by polybot.trader: its beat, its user feed, its regular tasks.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from polybot._fast.event import EventBuffer, FeedState
from polybot.clock import Clock
from polybot.errors import VenueError
from polybot.gateway.reasons import RejectReason
from polybot.gateway.reconcile import ReconcileReport
from polybot.telemetry.inbox import Notify

__all__ = ["EntryGate", "EntrySource"]

NS = 1_000_000_000
# Venue seconds until a comparison that failed or disagreed is made again; doubled up to the longest.
AGAIN_MIN_S, AGAIN_MAX_S = 1.0, 10.0
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class EntrySource(Protocol):
    """What the gate asks of a gateway."""

    def on_beat(self) -> None:
        """The timer beats: a beat that comes far too late pauses entries until a comparison."""
        ...

    def entry_pause(self) -> RejectReason:
        """Why new orders are refused now, NONE when they are not."""
        ...

    def pause_detail(self) -> str:
        """The lasting blocks in words."""
        ...

    async def reconcile(self) -> ReconcileReport:
        """One complete comparison with the venue; raises VenueError."""
        ...


class EntryGate:
    """Opens and closes entries of one account; `close_entries` hands the state to the engine when it changes."""

    def __init__(
        self,
        gateway: EntrySource,
        clock: Clock,
        *,
        close_entries: Callable[[bool], None],
        problem: Callable[[], str],
        notice: Notify,
        spawn: Spawn,
        reconcile_s: float,
    ) -> None:
        """`problem` tells what of our own keeping (results, halts, journal) forbids orders now, "" for nothing."""
        self._gateway = gateway
        self._clock = clock
        self._close_entries = close_entries
        self._problem = problem
        self._notice = notice
        self._spawn = spawn
        self._reconcile_s = reconcile_s
        self._gaps = 0
        self._user_connected = False
        self._reconciled = False
        self._mismatch = ""  # what the last comparison could not explain
        self._told_mismatch = ""
        self._comparing = 0  # comparisons under way
        self._again_ns = 0  # not again before
        self._again_s = AGAIN_MIN_S
        self._is_told = False
        self._closed_by = ""

    @property
    def closed_by(self) -> str:
        """Why entries are closed, "" when they are open."""
        return self._closed_by

    @property
    def reconciled(self) -> bool:
        """True when the venue and we agreed and nothing has cast doubt on it since."""
        return self._reconciled

    def check(self) -> None:
        """Open or close entries as everything stands now; called on every beat, before the engine's timer."""
        self._gateway.on_beat()
        self._update()
        self._compare_when_due()

    def _update(self) -> None:
        reason = self._reason()
        changed = bool(reason) != bool(self._closed_by)
        self._closed_by = reason
        if changed or not self._is_told:
            self._is_told = True
            self._close_entries(bool(reason))
        if changed:
            word = f"entries closed: {reason}" if reason else "entries open"
            level, kind = ("WARNING", "entries_closed") if reason else ("INFO", "entries_open")
            self._notice(level, word, kind=kind, data={"reason": reason})

    def _reason(self) -> str:
        if problem := self._problem():
            return problem
        paused = self._gateway.entry_pause()
        if paused is not RejectReason.NONE:
            detail = self._gateway.pause_detail()  # names the blocks itself, in words
            return f"gateway paused: {detail if detail.startswith(paused.name) else f'{paused.name} {detail}'}".rstrip()
        if self._reconciled:
            return ""
        if self._mismatch:
            return f"the venue and our books differ: {self._mismatch}"
        return "user channel not connected and reconciled"

    def _compare_when_due(self) -> None:
        """Compare again when that is all entries wait for."""
        paused = self._gateway.entry_pause()
        waits = paused is RejectReason.HUNG or (paused is RejectReason.NONE and not self._reconciled)
        if not waits or self._comparing or not self._user_connected:
            return
        now_ns = self._clock.now_ns()
        if now_ns < self._again_ns:
            return
        self._again_ns = now_ns + round(self._again_s * NS)
        self._again_s = min(AGAIN_MAX_S, 2.0 * self._again_s)
        self._spawn(self.reconcile())

    async def reconcile_regularly(self) -> None:
        """Compare every reconcile_s until cancelled."""
        while True:
            await self._clock.sleep(self._reconcile_s)
            await self.reconcile()

    async def reconcile(self) -> None:
        """Compare with the venue; an incomplete comparison closes entries until one succeeds."""
        self._comparing += 1
        try:
            await self._compare()
        finally:
            self._comparing -= 1

    async def _compare(self) -> None:
        gaps = self._gaps
        try:
            report = await self._gateway.reconcile()
        except VenueError as error:
            self._reconciled = False
            self._notice("WARNING", f"reconcile failed: {error}", kind="reconcile")
            return
        if report.canceled_strangers:
            ids = ", ".join(report.canceled_strangers)
            text = f"canceled {len(report.canceled_strangers)} open orders that are not ours: {ids}"
            self._notice("WARNING", text, kind="reconcile")
        self._note_mismatch(report)
        if gaps != self._gaps:  # it compared what was before the gap: the next one counts
            return
        self._reconciled = self._user_connected and not self._mismatch
        if self._reconciled:
            self._again_s = AGAIN_MIN_S

    def _note_mismatch(self, report: ReconcileReport) -> None:
        """What the comparison could not explain; told as an error when a second one in a row finds something too."""
        problems = list(report.problems)
        if report.strangers:
            problems.insert(0, f"{len(report.strangers)} open orders are not ours: {', '.join(report.strangers)}")
        before, self._mismatch = self._mismatch, "; ".join(problems)
        if self._mismatch and (report.strangers or before) and self._told_mismatch != self._mismatch:
            self._told_mismatch = self._mismatch
            self._notice("ERROR", self._mismatch, kind="reconcile")
        elif not self._mismatch:
            self._told_mismatch = ""

    def on_user_connected(self) -> None:
        """The user channel is subscribed (again): compare before anything is believed.

        A comparison under way began when nobody listened: what happened since may be in neither.
        """
        self._gaps += 1
        self._user_connected = True
        self._spawn(self.reconcile())

    def on_user_state(self, events: EventBuffer) -> None:
        """States of the user feed: a disconnect closes entries at once."""
        for row in events.to_numpy():
            if row["j"] == FeedState.FS_DISCONNECTED:
                self._user_connected = self._reconciled = False
                self._gaps += 1
        self._update()
