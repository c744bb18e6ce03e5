"""Appends records to the journal: one write before the effect, on disk within milliseconds, failing loudly.

Theory of operation: `append` builds one frame and gives it to the kernel with one unbuffered write, so a killed
process loses nothing that append returned for.  A helper thread calls fdatasync while anything is not on disk
yet, at most every `sync_every_s`, and at once when asked; it also reserves space ahead, makes the next segment
and seals the last one, so that the caller's thread never waits for a disk.
A write or sync that fails is final: `failed` says why, and nothing is accepted afterwards.
Must not know what records mean.  Called by journal, on the engine's thread.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polybot.clock import Clock
from polybot.errors import JournalError
from polybot.journal.frames import build_frame
from polybot.journal.records import VERSION, RecordType
from polybot.journal.segment import SegmentFile, sync_folder

__all__ = ["InlineWriter", "JournalSettings", "JournalWriter"]

INTENT = int(RecordType.INTENT)
MAX_UNSYNCED = (1 << 32) - 1
# Space is asked for again so many beats after it was refused.
RETRY_BEATS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """Limits of one journal."""

    sync_every_s: float = 0.05  # a record is on disk so soon after it was written
    preallocate_bytes: int = 64 << 20  # reserved ahead; half of it used asks for as much again
    reserve_bytes: int = (
        1 << 20
    )  # kept for what must be said of orders already sent: no new intent goes there
    stop_wait_s: float = 2.0  # how long close() waits for the disk


class JournalWriter:
    """The one writer of a folder."""

    def __init__(
        self,
        segment: SegmentFile,
        clock: Clock,
        *,
        settings: JournalSettings,
        write: Callable[[int, bytes], int] = os.write,
        fdatasync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        """Take over a published segment; `write` and `fdatasync` are replaced by tests of failing disks."""
        self.failed = ""
        self.space_error = ""
        self.syncs = 0
        self._clock = clock
        self._settings = settings
        self._write = write
        self._fdatasync = fdatasync
        self._segment = segment
        self._seq = segment.next_seq - 1
        self.synced_seq = self._seq
        # mono_ns of the oldest append that waits for a sync, and of the oldest in the one under way; 0: none.
        self._dirty_ns = self._syncing_ns = 0
        self.last_ns = 0  # the stamp of the last record written
        self._retired: list[SegmentFile] = []
        self._new_folder_entry = True
        self._refused_beats = 0
        self._job: Callable[[], None] | None = None
        self._stopping = False
        self._wake = threading.Event()
        self._news = threading.Condition()
        self._thread: threading.Thread | None = self._begin()

    def _begin(self) -> threading.Thread | None:
        # Daemonic: a disk that hangs for ever must not keep the process from exiting.
        thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        thread.start()
        return thread

    @property
    def seq(self) -> int:
        """Sequence number of the last record written."""
        return self._seq

    @property
    def path(self) -> Path:
        """The segment now written to."""
        return self._segment.path

    @property
    def used_bytes(self) -> int:
        """Size of the present segment so far."""
        return self._segment.offset

    def lag_s(self) -> float:
        """Wall seconds that the oldest record not known to be on disk has waited, 0: none waits."""
        since = self._syncing_ns or self._dirty_ns
        return 0.0 if since == 0 else (self._clock.mono_ns() - since) / 1e9

    def append(self, kind: int, payload: bytes) -> int:
        """Write one record and return its sequence number; raises JournalError when it is not in the file."""
        return self.append_all(((kind, payload),))

    def append_all(self, records: Sequence[tuple[int, bytes]]) -> int:
        """Write records with one write, all or none believed; returns the last one's sequence number."""
        if self.failed:
            raise JournalError(self.failed)
        segment, seq, ns = self._segment, self._seq, self._clock.now_ns()
        unsynced = min(seq - self.synced_seq, MAX_UNSYNCED - len(records))
        if len(records) == 1:
            kind, payload = records[0]
            seq += 1
            data = build_frame(
                segment.seed, seq, ns, unsynced=unsynced + 1, kind=kind, version=VERSION, payload=payload
            )
        else:
            parts = []
            for kind, payload in records:
                seq, unsynced = seq + 1, unsynced + 1
                parts.append(
                    build_frame(
                        segment.seed, seq, ns, unsynced=unsynced, kind=kind, version=VERSION, payload=payload
                    )
                )
            data = b"".join(parts)
        if segment.offset + len(data) + self._settings.reserve_bytes > segment.allocated:
            self._check_space(records)
        try:
            written = self._write(segment.fd, data)
        except OSError as error:
            raise self._fail(f"write failed: {error}") from error
        if written != len(data):
            raise self._fail(f"short write: {written} of {len(data)} bytes")
        segment.offset += written
        if self._dirty_ns == 0:
            self._dirty_ns = self._clock.mono_ns()
        self._seq, self.last_ns = seq, ns
        return seq

    def request_sync(self) -> None:
        """Bring everything written to disk at the next moment; returns at once (see synced_seq)."""
        self._wake.set()

    def sync(self, limit_s: float) -> bool:
        """Wait until everything written so far is on disk, at most limit_s (wall); False when it is not."""
        target = self._seq
        self._wake.set()
        with self._news:
            self._news.wait_for(lambda: self.synced_seq >= target or bool(self.failed), limit_s)
        return self.synced_seq >= target and not self.failed

    def run_beside(self, job: Callable[[], None]) -> bool:
        """Let the helper thread do a job (make a segment); False while another is under way."""
        if self._job is not None:
            return False
        self._job = job
        self._wake.set()
        return True

    def switch(self, segment: SegmentFile) -> None:
        """Publish a segment that was made for exactly this moment and go on in it; raises JournalError."""
        assert segment.header.first_seq == self._seq + 1, "a snapshot of another moment"
        try:
            segment.publish()
        except OSError as error:
            raise self._fail(f"a new segment cannot be named: {error}") from error
        self._new_folder_entry = True
        self._retired.append(self._segment)
        self._segment, self._seq = segment, segment.next_seq - 1
        self._wake.set()

    def close(self) -> bool:
        """Bring everything to disk, seal the segment, end the thread; False when the disk did not answer in time."""
        thread, self._thread = self._thread, None
        self._stopping = True
        self._wake.set()
        if thread is not None:
            thread.join(self._settings.stop_wait_s)
        done = thread is not None and not thread.is_alive() and not self.failed
        self.failed = self.failed or "the journal is closed"
        return done

    def abandon(self) -> None:
        """Let go of the file as a killed process does: nothing more is written, synced or sealed."""
        self.failed = self.failed or "the journal was abandoned"
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._settings.stop_wait_s)
        for segment in (*self._retired, self._segment):
            os.close(segment.fd)

    def tend(self) -> None:
        """With every heartbeat: what an inline writer does here, the helper thread does by itself."""

    def _check_space(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Into the reserve goes what must be said of orders already sent, never a new one."""
        self._wake.set()
        if any(kind == INTENT for kind, _ in records):
            raise JournalError(f"no space for a new order: {self.space_error or 'more is being reserved'}")

    def _fail(self, why: str) -> JournalError:
        self.failed = self.failed or f"{self._segment.path.name}: {why}"
        self._wake.set()
        return JournalError(self.failed)

    # -- the helper thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait(self._settings.sync_every_s)
            self._wake.clear()
            stopping = self._stopping
            try:
                self._beat()
                if stopping and not self.failed:
                    self._segment.seal()
            except Exception as error:  # the guard of the thread: records that nobody syncs must not be accepted
                self._fail(f"sync failed: {error}")
            with self._news:
                self._news.notify_all()
            if stopping or self.failed:
                return

    def _beat(self) -> None:
        while True:
            while self._retired:
                self._fdatasync(self._retired[0].fd)
                self._retired.pop(0).seal()
            segment, seq = self._segment, self._seq
            if not self._retired:  # else a switch came between, and seq may be of either segment
                break
        if seq != self.synced_seq or self._new_folder_entry:
            self._sync(segment, seq)
        self._reserve(segment)
        job = self._job
        if job is not None:
            job()
            self._job = None

    def _sync(self, segment: SegmentFile, seq: int) -> None:
        self._syncing_ns, self._dirty_ns = self._dirty_ns, 0
        if self._new_folder_entry:
            self._new_folder_entry = False
            sync_folder(segment.path.parent)
        self._fdatasync(segment.fd)
        self._syncing_ns = 0
        self.synced_seq = max(self.synced_seq, seq)
        self.syncs += 1

    def _reserve(self, segment: SegmentFile) -> None:
        """Reserve space ahead; without it no new order is taken, but what is open can still be told."""
        size = self._settings.preallocate_bytes
        if segment.allocated - segment.offset > size // 2:
            return
        self._refused_beats -= 1
        if self._refused_beats > 0:
            return
        try:
            segment.extend(size)
        except OSError as error:
            self.space_error = f"{error.strerror or error}"
            self._refused_beats = RETRY_BEATS
        else:
            self.space_error, self._refused_beats = "", 0


class InlineWriter(JournalWriter):
    """The writer without a thread, for virtual time: what waits is done by `tend`, `sync` and `close`."""

    def _begin(self) -> threading.Thread | None:
        return None

    def tend(self) -> None:
        """Sync what was written, do what the helper thread would."""
        if self.failed:
            return
        try:
            self._beat()
        except OSError as error:
            self._fail(f"sync failed: {error}")

    def sync(self, limit_s: float) -> bool:
        """Bring everything to disk here and now."""
        self.tend()
        return not self.failed

    def run_beside(self, job: Callable[[], None]) -> bool:
        """Do it here and now."""
        job()
        return True

    def close(self) -> bool:
        """Bring everything to disk and seal the segment."""
        self.tend()
        done = not self.failed
        self.failed = self.failed or "the journal is closed"
        if done:
            self._segment.seal()
        return done
