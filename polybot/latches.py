"""What the account lost today and this week, and what is halted: a small file that survives the process.

Owns the record (`LossState`), its file (`LossFile`: written whole, synced, then renamed over the old one) and
the carrying between file and Risk (`LossKeeper`).  One file per account and venue session, so that a fresh
embedded venue never meets the halts of another.  A file that cannot be what it claims halts entries: what it
held is not known, and nothing overwrites it.  Must not decide when to halt (Risk does) or touch the hot path:
saves run beside the loop, after the change.  Called by polybot.trader; made by the daemon or the harness.
"""

import asyncio
import dataclasses
import hashlib
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from polybot._fast.risk import Risk
from polybot.errors import StateDamaged

__all__ = ["LossFile", "LossKeeper", "LossState", "LossStore", "OffLoop", "run_inline"]

VERSION = 1
MICRO = 1_000_000
# A save that failed is tried again so soon, venue seconds.
# The mark is saved when it fell by this part of the bankroll since the last save: 1/400 is a quarter of a percent.
MARK_STEP = 400
RETRY_S = 1.0
Notice = Callable[[str, str], None]
OffLoop = Callable[[Callable[[], None]], Awaitable[None]]


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
        """Return what was saved last, None when nothing was; raises StateDamaged."""
        ...

    def save(self, state: LossState) -> None:
        """Keep this state, so that a kill right after the return loses nothing; raises OSError."""
        ...


class LossFile:
    """LossStore in one JSON file of `folder`, for this account on this venue session."""

    def __init__(self, folder: Path, *, account: str, session: str) -> None:
        self.account = account.lower()
        self.session = session
        name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{self.account}-{session}")
        self.path = folder / f"halts-{name}.json"
        self._one_writer = threading.Lock()  # a save that was let go of may still be writing

    def load(self) -> LossState | None:
        """Read and check the file."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._damaged(error.strerror or type(error).__name__) from error
        try:
            record = json.loads(text)
        except ValueError as error:
            raise self._damaged("not JSON") from error
        return self._check(record)

    def save(self, state: LossState) -> None:
        """Write a new file beside the old one, sync it, rename it over the old one, sync the folder."""
        record = {
            "version": VERSION,
            "account": self.account,
            "session": self.session,
            **dataclasses.asdict(state),
        }
        record["sha256"] = _digest(record)
        with self._one_writer:
            self._write(json.dumps(record, indent=1) + "\n")

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _check(self, record: Any) -> LossState:
        if not isinstance(record, dict) or record.get("version") != VERSION:
            raise self._damaged("not a file of this version")
        if record.pop("sha256", None) != _digest(record):
            raise self._damaged("its checksum is wrong")
        if (record.pop("account", None), record.pop("session", None)) != (self.account, self.session):
            raise self._damaged("it belongs to another account or venue session")
        del record["version"]
        wanted = get_type_hints(LossState)
        if {key: type(value) for key, value in record.items()} != wanted:
            raise self._damaged("fields are missing or of the wrong type")
        return LossState(**record)

    def _damaged(self, why: str) -> StateDamaged:
        return StateDamaged(f"{self.path}: {why}")


class LossKeeper:
    """Carries losses and halts between a store and Risk; without a store it keeps nothing.

    `problem` says why entries must stay closed: a save that failed.  A file that cannot be read halts them.
    """

    def __init__(self, risk: Risk, store: LossStore | None, *, notice: Notice, off_loop: OffLoop) -> None:
        self.problem = ""
        self._risk = risk
        self._store = store
        self._notice = notice
        self._off_loop = off_loop
        self._saved: LossState | None = None
        self._manual: bool | None = None  # the manual halt as the operator left it, once we are stopping
        self._changed = asyncio.Event()

    def restore(self, *, resume: bool) -> None:
        """Put what was saved into Risk; `resume` lifts a manual halt of an earlier run.

        What was open at the last save is known to no book of this process: its mark counts as lost, not as won.
        """
        if self._store is None:
            return
        try:
            state = self._store.load()
        except StateDamaged as error:
            self._store = None  # what cannot be read is not written over
            self._risk.halt()
            text = "ENTRIES HALTED: results and halts of the last run cannot be read; look into the file, move it away"
            self._notice("ERROR", f"{text}, start again: {error}")
            return
        if state is None:
            return
        self._saved = state
        lost_usd = min(0, state.marked_usd)
        self._risk.restore(
            day=state.day,
            week=state.week,
            day_realised_usd=state.day_realised_usd + lost_usd,
            week_realised_usd=state.week_realised_usd + lost_usd,
            halted_manual=state.halted_manual and not resume,
            halted_daily=state.halted_daily,
            halted_weekly=state.halted_weekly,
        )
        self._notice("INFO", f"results and halts of the last run restored: {_words(self._state())}")

    def note(self) -> None:
        """Look whether anything changed that must be kept; cheap, called with every heartbeat."""
        if self._store is not None and (self._differs() or self._has_sunk()):
            self._changed.set()

    def freeze_manual(self) -> None:
        """From here on the manual halt is part of stopping: the one before is what stays."""
        if self._manual is None:
            self._manual = self._risk.halted_manual

    async def run(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Save after every change, until cancelled; a save that fails closes entries and is tried again."""
        while True:
            await self._changed.wait()
            if not await self.flush():
                await sleep(RETRY_S)

    async def flush(self) -> bool:
        """Save now what has changed; False when it could not be saved."""
        store, state = self._store, self._state()
        self._changed.clear()
        if store is None or not self._differs(mark=True):
            return True
        try:
            await self._off_loop(lambda: store.save(state))
        except OSError as error:
            self._changed.set()
            self.problem = f"results and halts cannot be saved: {error}"
            return False
        self._saved, self.problem = state, ""
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
        """Open positions lost so much since the last save that a crash must not forget it."""
        before = 0 if self._saved is None else self._saved.marked_usd
        return before - self._risk.marked_usd >= self._risk.bankroll_usd // MARK_STEP


async def run_inline(work: Callable[[], None]) -> None:
    """Do it here and now: for virtual time, where nothing waits."""
    work()


def _halted(state: LossState) -> bool:
    return state.halted_manual or state.halted_daily or state.halted_weekly


def _words(state: LossState) -> str:
    names = ("manual", "daily", "weekly")
    halts = [name for name in names if getattr(state, f"halted_{name}")]
    return (
        f"day {state.day_realised_usd / MICRO:+,.2f} USD, week {state.week_realised_usd / MICRO:+,.2f} USD, "
        f"halted: {', '.join(halts) or 'no'}"
    )


def _digest(record: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
