"""The books of one run: the money journal, the SQLite ledger that follows it, and their comparison at the end.

Owns where they live, how they are opened and closed, and what is on disk when.  In virtual time there is no
thread: what is written is synced with the heartbeat, and the ledger is built when the run ends.
Must not trade.  Made by daemon and harness, which give the journal to the trader.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from polybot import __version__
from polybot.clock import Clock
from polybot.config import Config, config_to_mapping
from polybot.errors import JournalError
from polybot.journal.check import JournalReport, compare_journal
from polybot.journal.journal import LEDGER_NAME, Journal
from polybot.journal.ledger_thread import LedgerThread, catch_up
from polybot.journal.writer import InlineWriter, JournalSettings

__all__ = ["Books"]

MB = 1 << 20


class Books:
    """An open journal and what follows it."""

    def __init__(self, journal: Journal, ledger: LedgerThread | None) -> None:
        """Use `open`."""
        self.journal = journal
        self._ledger = ledger

    @classmethod
    def open(
        cls,
        config: Config,
        clock: Clock,
        *,
        state_dir: Path,
        account: str,
        session: str,
        on_ledger_error: Callable[[str], None] | None,
    ) -> "Books":
        """Recover what the last process left and begin to write; on_ledger_error None means virtual time.

        Raises AlreadyRunning, StateDamaged, and JournalError when nothing can be written there.
        """
        given = config.journal
        settings = JournalSettings(
            sync_every_s=given.sync_ms / 1000.0,
            preallocate_bytes=(given.preallocate_mb if on_ledger_error is not None else given.reserve_mb * 2) * MB,
            reserve_bytes=given.reserve_mb * MB,
        )
        more: dict[str, Any] = {}
        if on_ledger_error is None:
            more["make_writer"] = partial(InlineWriter, fdatasync=_nothing)
        try:
            journal = Journal.open(
                state_dir,
                clock,
                account=account,
                venue_session=session,
                config_digest=_digest(config),
                software=__version__,
                settings=settings,
                accept_damage=config.run.accept_damage,
                **more,
            )
        except OSError as error:
            raise JournalError(f"no journal can be written in {state_dir}: {error.strerror or error}") from error
        ledger = None
        if on_ledger_error is not None:
            ledger = LedgerThread(
                journal.folder,
                journal.folder / LEDGER_NAME,
                durable_seq=lambda: journal.writer.synced_seq,
                on_error=on_ledger_error,
                every_s=given.ledger_ms / 1000.0,
            )
        return cls(journal, ledger)

    def start(self) -> None:
        """Let the ledger follow."""
        if self._ledger is not None:
            self._ledger.start()

    def close(self, *, open_orders: int | None) -> str:
        """Bring journal and ledger to disk; returns what went wrong, "" for nothing.

        `open_orders` may still be open at the venue after an orderly end; None: it was not orderly.
        """
        problem = self.journal.failed
        if not self.journal.close(clean=open_orders is not None, open_orders=open_orders or 0, hold=True):
            problem = problem or "the disk did not answer in time"
        if self._ledger is None:
            catch_up(self.journal.folder, self.journal.folder / LEDGER_NAME)
        elif not self._ledger.stop():
            problem = problem or "the ledger is behind the journal; the next start catches up"
        self.journal.release()
        return problem

    def compare(self, rows: Iterable[Mapping[str, Any]], account: str) -> JournalReport:
        """After close: does the venue's own ledger say what journal and SQLite say?"""
        return compare_journal(rows, self.journal.folder, self.journal.folder / LEDGER_NAME, account=account)


def _digest(config: Config) -> str:
    """What the run was configured with, but for where it writes."""
    plain = {name: part for name, part in config_to_mapping(config).items() if name not in ("run", "telemetry")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _nothing(fd: int) -> None:
    """In virtual time no power is lost."""
