"""One tape being written: the loop adds entries, the packer's thread packs full tails into blocks.

Theory of operation.  The loop copies entries into the active tail.  A full tail is handed over and the spare one
becomes active; with no spare (the disk is slow or full) entries are dropped and counted, and the first entry that
goes again is a GAP that says so.  Nothing here makes the loop wait.  On the thread:
    spares made; full tail --pack--> block appended to frames.zst --sync--> tail removed
After a crash every entry is in a block, in a tail or in both; the block counts when it is sound.
What is simply copied into the active tail never comes up here: `counts` does it in C, and follows the active tail as
long as nothing is lost (`_follow`); whatever it does not take goes the long way, `_add_to_next`.
`add`, `gap`, `save`, `close`, `abandon` belong to the loop, `tend` to the thread; what they share are deques and
swapped references.  Called by recorder and importers (loop), packer (thread).
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polybot._fast.tail import Numbering, TapeCounts
from polybot.config_record import RecordConfig
from polybot.tape.blocks import TailPacker
from polybot.tape.manifest import MANIFEST_NAME, write_manifest
from polybot.tape.records import FEED_NAMES, HEAD_BYTES, TAIL_HEADER_BYTES, EntryKind, TapeFeed
from polybot.tape.tail import Tail

__all__ = ["FRAMES_NAME", "Numbering", "TapeSettings", "TapeWriter", "tape_settings"]

FRAMES_NAME = "frames.zst"
FILE_MODE = 0o644
GAP, END, OWN = int(EntryKind.GAP), int(EntryKind.END), int(TapeFeed.OWN)
SPARES = 3  # tails made ahead: what comes while the thread packs one goes into them
MAX_GAPS = 10_000  # told one by one in the manifest; the entries have all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeSettings:
    """Sizes of one tape."""

    tail_bytes: int = 1 << 20
    tails_count: int = 16  # active, spare and waiting to be packed
    zstd_level: int = 3
    keep_free_bytes: int = 0  # with less free space no new tail is made


def tape_settings(record: RecordConfig) -> TapeSettings:
    """Sizes of tapes as configured."""
    return TapeSettings(
        tail_bytes=record.tail_mb << 20,
        tails_count=record.tails_count,
        zstd_level=record.zstd_level,
        keep_free_bytes=record.keep_free_mb << 20,
    )


class TapeWriter:
    """A folder being written."""

    def __init__(
        self,
        folder: Path,
        settings: TapeSettings,
        *,
        numbers: Numbering,
        manifest: Mapping[str, Any],
        wake: Callable[[], None],
        tail_packer: TailPacker,
    ) -> None:
        """Make the folder, its manifest and its first tail (touches the disk); raises OSError, also if it is there."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.counts = TapeCounts(numbers)  # of what went in; whoever writes from C goes through it
        self.packed_bytes = 0
        self.dropped = 0
        self.gaps: list[dict[str, Any]] = []
        self.error = ""  # why the disk does not take any more
        self.done = threading.Event()
        self._settings = settings
        self._numbers = numbers
        self._wake = wake
        self._tail_packer = tail_packer  # of the thread
        self._digest = hashlib.sha256()
        self._next_tail = 2
        self._full: deque[Tail] = deque()
        self._spares: deque[Tail] = deque()
        self._lost = 0  # entries dropped since the last that went
        self._lost_from_ns = 0
        self._lost_why = ""
        self._closing = False
        self._document = dict(manifest)
        self._to_write: bytes | None = None
        self._fd = -1
        self._active: Tail | None = None
        try:
            self._active = self._begin()
        except OSError:  # who tries again and again must not fill the folder or run out of files
            if self._fd >= 0:
                os.close(self._fd)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._synced_end = 0
        self._follow()

    @property
    def entries(self) -> int:
        """How many went in."""
        return self.counts.entries

    @property
    def raw_bytes(self) -> int:
        """Bytes of their payloads."""
        return self.counts.raw_bytes

    @property
    def first_ns(self) -> int:
        """When the first of them was received, 0: there is none."""
        return self.counts.first_ns

    @property
    def last_ns(self) -> int:
        """When the last of them was received."""
        return self.counts.last_ns

    @property
    def by_feed(self) -> list[int]:
        """Entries by TapeFeed."""
        return self.counts.by_feed()

    @property
    def frames_by_feed(self) -> list[int]:
        """Websocket messages by TapeFeed."""
        return self.counts.frames_by_feed()

    def _begin(self) -> Tail:
        """The files of a tape that holds nothing yet."""
        self._fd = os.open(self.folder / FRAMES_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process: who seals asks for it
        write_manifest(self.folder / MANIFEST_NAME, self._document)
        return Tail(self.folder, 1, self._settings.tail_bytes)

    # -- on the loop ------------------------------------------------------------------------------------------

    def add(self, seq: int, recv_ns: int, *, feed: int, kind: int, payload: bytes, aux: int = 0) -> bool:
        """Add one entry; False when it was dropped (no room; or larger than a tail)."""
        if self.counts.add(seq, recv_ns, feed=feed, kind=kind, aux=aux, payload=payload):
            return True
        is_in = self._add_to_next(seq, recv_ns, feed=feed, kind=kind, aux=aux, payload=payload)
        if is_in:
            self.counts.count(recv_ns, feed=feed, kind=kind, n_bytes=len(payload))
        else:
            if not self._lost:
                self._lost_from_ns, self._lost_why = recv_ns, ""
            self._lost_why = self.error or self._lost_why
            self._lost += 1
            self.dropped += 1
        self._follow()
        return is_in

    def own(self, recv_ns: int, kind: int, payload: bytes, *, feed: int = OWN, aux: int = 0) -> bool:
        """Add an entry of the recorder's own, with a number of its own."""
        return self.add(self._numbers.take(), recv_ns, feed=feed, kind=kind, payload=payload, aux=aux)

    def gap(self, feed: str, cause: str, *, from_ns: int, to_ns: int, frames: int | None, detail: str = "") -> None:
        """Say that something is missing, as an entry and in the manifest."""
        told = {"feed": feed, "cause": cause, "from_ns": from_ns, "to_ns": to_ns, "frames": frames, "detail": detail}
        self._note_gap(told)
        self.own(to_ns, GAP, json.dumps(told).encode())

    def save(self, **fields: Any) -> None:
        """Change fields of the manifest; the thread writes it."""
        self._document.update(fields)
        self._to_write = json.dumps(self._snapshot()).encode()
        self._wake()

    def close(self, now_ns: int, *, state: str, aux: int = 0) -> None:
        """Nothing more comes; `done` is set when everything is on disk.  aux: of the END entry."""
        if self._closing:
            return
        self.own(now_ns, END, b"", aux=aux)
        if self._lost:  # no room even for this: what was dropped is said by the manifest alone
            self._note_gap(self._dropped(now_ns))
        self._document["state"] = state
        self._to_write = json.dumps(self._snapshot()).encode()
        if self._active is not None:
            self._full.append(self._active)
            self._active = None
        self._closing = True
        self._follow()
        self._wake()

    def abandon(self) -> None:
        """End as a killed process does: nothing more is written, the files stay as they are (virtual time)."""
        self._closing = True
        if self._active is not None:
            self._full.append(self._active)
            self._active = None
        self._follow()
        self._let_go()

    def _follow(self) -> None:
        """Entries go directly into the active tail, unless something was lost and must be said first."""
        tail = self._active
        self.counts.follow(None if tail is None or self._lost else tail.space)

    def _add_to_next(self, seq: int, recv_ns: int, *, feed: int, kind: int, aux: int, payload: bytes) -> bool:
        """Go on in the spare tail, first saying what was dropped; False when there is none or it does not fit."""
        if self._closing or HEAD_BYTES + len(payload) > self._settings.tail_bytes - TAIL_HEADER_BYTES:
            return False
        if self._active is None or not self._lost:
            if self._active is not None:
                self._full.append(self._active)
            self._active = self._spares.popleft() if self._spares else None
            self._wake()
        tail = self._active
        if tail is None:
            return False
        if self._lost:
            told = self._dropped(recv_ns)
            text = json.dumps(told).encode()
            if not tail.add(self._numbers.take(), recv_ns, feed=OWN, kind=GAP, aux=0, payload=text):
                self._full.append(tail)
                self._active = None
                return False
            self.counts.count_gap()
            self._note_gap(told)
            self._lost = 0
        return tail.add(seq, recv_ns, feed=feed, kind=kind, aux=aux, payload=payload)

    def _dropped(self, to_ns: int) -> dict[str, Any]:
        return {
            "feed": "all",
            "cause": "dropped",
            "from_ns": self._lost_from_ns,
            "to_ns": to_ns,
            "frames": self._lost,
            "detail": self._lost_why or "the disk is slow, or an entry was too large",
        }

    def _note_gap(self, told: dict[str, Any]) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(told)

    def _snapshot(self) -> dict[str, Any]:
        by_feed = self.by_feed
        counts = {name: by_feed[feed] for feed, name in FEED_NAMES.items() if by_feed[feed]}
        facts = {
            "entries": self.entries,
            "raw_bytes": self.raw_bytes,
            "dropped": self.dropped,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "by_feed": counts,
        }
        return {**self._document, "content": facts, "gaps": list(self.gaps)}

    # -- on the thread ----------------------------------------------------------------------------------------

    def tend(self, free_bytes: int) -> None:
        """Make spares, pack, write the manifest, finish; what the disk refuses is tried again at the next call."""
        problem = self._make_spares(free_bytes)
        try:
            while self._full:
                self._pack(self._full[0])
                self._full.popleft()
                problem = self._make_spares(free_bytes)
            closing, document = self._closing, self._to_write
            if document is not None:
                self._write(document)
                if self._to_write is document:
                    self._to_write = None
            if closing and not self._full and self._to_write is None and not self.done.is_set():
                self._finish()
        except OSError as error:
            problem = _text(error)
        self.error = problem
        if self._closing and problem:
            self._let_go()

    def sync(self) -> None:
        """Bring the active tail to disk: a power cut loses what came since."""
        tail = self._active
        if tail is None or tail.end == self._synced_end:
            return
        end = tail.end
        try:
            tail.sync(self._synced_end)
        except OSError as error:
            self.error = _text(error)
            return
        self._synced_end = end

    def _pack(self, tail: Tail) -> None:
        with tail.written() as data:
            block = self._tail_packer.block(tail.number, data)
        if block:
            os.ftruncate(self._fd, self.packed_bytes)  # what an earlier try left
            written = 0
            while written < len(block):
                written += os.pwrite(self._fd, memoryview(block)[written:], self.packed_bytes + written)
            os.fdatasync(self._fd)
            self._digest.update(block)
            self.packed_bytes += len(block)
        tail.remove()

    def _make_spares(self, free_bytes: int) -> str:
        """Make tails ahead; returns why there are fewer than wanted, "" when there are enough."""
        size = self._settings.tail_bytes
        while not self._closing and len(self._spares) < SPARES:
            if len(self._full) + len(self._spares) + 2 > self._settings.tails_count:
                return ""  # packing makes room
            if free_bytes < self._settings.keep_free_bytes + size:
                return "less free space than is to be kept (record.keep_free_mb)"
            try:
                self._spares.append(Tail(self.folder, self._next_tail, size))
            except OSError as error:
                return _text(error)
            self._next_tail += 1
        return ""

    def _write(self, document: bytes) -> None:
        files = {FRAMES_NAME: {"bytes": self.packed_bytes, "sha256": self._digest.hexdigest()}}
        write_manifest(self.folder / MANIFEST_NAME, {**json.loads(document), "files": files})

    def _finish(self) -> None:
        while self._spares:
            self._spares.popleft().remove()
        os.close(self._fd)
        self.done.set()

    def _let_go(self) -> None:
        """The disk refuses at the end: tails stay as they are, a reader finds everything in them."""
        if self.done.is_set():
            return
        while self._full:
            self._full.popleft().close()
        while self._spares:
            self._spares.popleft().close()
        os.close(self._fd)
        self.done.set()


def _text(error: OSError) -> str:
    return f"{type(error).__name__}: {error.strerror}"
