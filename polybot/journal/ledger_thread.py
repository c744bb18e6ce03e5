"""The thread that keeps the SQLite ledger behind the journal, and packs segments it has read.

Owns when and in which portions: a batch per transaction, never ahead of what is on disk.  What goes wrong here is
counted and told once, and tried again; trading does not wait for it.  A ledger that knows more than the journal
(a disk that lost its last milliseconds) or has another schema is built again from the beginning.
Called by the daemon through LedgerThread; `catch_up` by tools and tests.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from polybot.errors import StateDamaged
from polybot.journal.archive import pack_segments
from polybot.journal.follower import Follower
from polybot.journal.ledger import Ledger

__all__ = ["LedgerThread", "catch_up", "open_ledger", "rebuild"]

EVERY_S = 0.25
STOP_WAIT_S = 5.0
EVERYTHING = (1 << 63) - 1
# Plain segments left beside the one being written.
KEEP_PLAIN = 1


class LedgerThread:
    """Follows one journal folder into one SQLite file until stopped."""

    def __init__(
        self,
        folder: Path,
        path: Path,
        *,
        durable_seq: Callable[[], int],
        on_error: Callable[[str], None],
        every_s: float = EVERY_S,
    ) -> None:
        """`durable_seq` says what is on disk; `on_error` is told each new trouble once, from this thread."""
        self.applied_seq = 0
        self.errors = 0
        self.trouble = ""
        self._folder = folder
        self._path = path
        self._durable_seq = durable_seq
        self._on_error = on_error
        self._every_s = every_s
        self._stop = threading.Event()
        # Daemonic: a disk that hangs for ever must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, wait_s: float = STOP_WAIT_S) -> bool:
        """Read what is on disk by now, then end; False when that took longer (wall s)."""
        self._stop.set()
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._follow():
            if self._stop.wait(self._every_s):
                return

    def _follow(self) -> bool:
        """Open and follow until stopped (True) or something goes wrong (False: again from the file's place)."""
        try:
            ledger = open_ledger(self._path, self._durable_seq() + 1)
            follower = Follower(self._folder, ledger.position())
            try:
                while True:
                    last = self._stop.is_set()
                    while self._step(ledger, follower):
                        pass
                    if last:
                        return True
                    if follower.at is not None:
                        pack_segments(self._folder, follower.at.segment - KEEP_PLAIN)
                    self._stop.wait(self._every_s)
            finally:
                follower.close()
                ledger.close()
        except Exception as error:  # the guard of the thread: a ledger must not stay behind unsaid
            self._tell(f"the ledger is behind: {type(error).__name__}: {error}")
            return False

    def _step(self, ledger: Ledger, follower: Follower) -> bool:
        items = follower.poll(self._durable_seq())
        if follower.finding is not None:
            self._tell(f"the ledger stops: {follower.finding.text()}")
        if not items or follower.at is None:
            return False
        ledger.apply(items, follower.at)
        self.applied_seq = items[-1].seq
        return True

    def _tell(self, trouble: str) -> None:
        self.errors += 1
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_error(trouble)


def open_ledger(path: Path, next_seq: int) -> Ledger:
    """Open a ledger; one that is ahead of the journal or of another version is put aside and begun again."""
    try:
        ledger = Ledger(path)
    except (ValueError, sqlite3.DatabaseError):
        return Ledger(_put_aside(path))
    at = ledger.position()
    if at is not None and at.next_seq > next_seq:
        ledger.close()
        return Ledger(_put_aside(path))
    return ledger


def catch_up(folder: Path, path: Path, limit_seq: int = EVERYTHING) -> int:
    """Book everything the journal has up to limit_seq; returns how many records that were.

    Raises StateDamaged where the journal cannot be read on.
    """
    ledger, total = Ledger(path), 0
    follower = Follower(folder, ledger.position())
    try:
        while items := follower.poll(limit_seq):
            assert follower.at is not None
            ledger.apply(items, follower.at)
            total += len(items)
    finally:
        follower.close()
        ledger.close()
    if follower.finding is not None:
        raise StateDamaged(follower.finding.text())
    return total


def rebuild(folder: Path, path: Path) -> int:
    """Build a ledger from the beginning of the journal, in place of what is there; returns the records booked."""
    _put_aside(path)
    return catch_up(folder, path)


def _put_aside(path: Path) -> Path:
    """Rename a ledger and what SQLite keeps beside it, over an earlier one."""
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(path.with_name(path.name + ".old" + suffix))
    return path
