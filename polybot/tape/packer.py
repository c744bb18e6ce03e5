"""The thread that brings tapes to disk, and the list of tapes that are being written.

Owns when tapes are tended (woken by a full tail, else every sync_s) and synced (every sync_s), and the free space of
the disk they look at.
With `start()` it runs on a thread of its own; without, `wake()` does the work at once (tests, virtual time,
importers).  Must not know markets.  Called by recorder and importers.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polybot.clock import wall_clock
from polybot.tape.blocks import TailPacker
from polybot.tape.writer import Numbering, TapeSettings, TapeWriter

__all__ = ["Packer"]

NS = 1_000_000_000
DONE_S = 30.0  # wall; how long a stop waits for the disk


class Packer:
    """Writes the tapes of one recording below one folder."""

    def __init__(
        self,
        folder: Path,
        settings: TapeSettings,
        *,
        sync_s: float = 1.0,
        also: Callable[[], None] | None = None,
    ) -> None:
        """`also` is called whenever the tapes were tended, on the thread if there is one; it must not raise."""
        self.numbers = Numbering()
        self.folder = folder
        self.free_bytes = 1 << 62
        self._settings = settings
        self._tail_packer = TailPacker(settings.zstd_level)
        self._sync_s = sync_s
        self._also = also
        self._tapes: tuple[TapeWriter, ...] = ()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def tapes(self) -> tuple[TapeWriter, ...]:
        """Those not finished yet."""
        return self._tapes

    @property
    def is_alive(self) -> bool:
        """Is somebody bringing tapes to disk?  False after a thread broke (its traceback is on stderr)."""
        return self._thread is None or self._thread.is_alive()

    def open(self, name: str, manifest: Mapping[str, Any], *, has_spares: bool = True) -> TapeWriter:
        """Start a tape in a new folder `name` (or name.2, name.3, ...); touches the disk, raises OSError.

        `has_spares` False: quicker, the spare tails are made with the next work of the thread.
        """
        path, number = self.folder / name, 1
        while path.exists():
            number += 1
            path = self.folder / f"{name}.{number}"
        self._look()
        tape = TapeWriter(
            path,
            self._settings,
            numbers=self.numbers,
            manifest=manifest,
            wake=self.wake,
            tail_packer=self._tail_packer,
        )
        if has_spares:
            tape.tend(self.free_bytes)
        with self._lock:
            self._tapes = (*self._tapes, tape)
        return tape

    def start(self) -> None:
        """Run on a thread from now on."""
        self._thread = threading.Thread(target=self._run, name="tape-packer", daemon=True)
        self._woken.set()  # there may be spare tails to make, which the first burst of data will need
        self._thread.start()

    def stop(self, limit_s: float = DONE_S) -> None:
        """Finish what is closed and end the thread; blocks at most limit_s (wall)."""
        self._stopping = True
        self._woken.set()
        if self._thread is None:
            self._tend()
        else:
            self._thread.join(limit_s)

    def wake(self) -> None:
        """There is something to do."""
        if self._thread is None:
            self._tend()
        else:
            self._woken.set()

    def _run(self) -> None:
        clock, sync_ns = wall_clock(), int(self._sync_s * NS)
        due_ns = clock.mono_ns() + sync_ns
        while True:
            self._woken.wait(max(0, due_ns - clock.mono_ns()) / NS)
            self._woken.clear()
            is_last = self._stopping  # asked before tending: what is closed during a sync is finished as well
            self._tend()
            if is_last:
                return
            if clock.mono_ns() < due_ns:  # a sync costs the loop page faults: full tails must not make for more of them
                continue
            for tape in self._tapes:
                tape.sync()
            due_ns = clock.mono_ns() + sync_ns

    def _tend(self) -> None:
        self._look()
        for tape in self._tapes:
            tape.tend(self.free_bytes)
        if any(tape.done.is_set() for tape in self._tapes):
            with self._lock:
                self._tapes = tuple(tape for tape in self._tapes if not tape.done.is_set())
        if self._also is not None:
            self._also()

    def _look(self) -> None:
        try:
            stat = os.statvfs(self.folder if self.folder.exists() else self.folder.parent)
        except OSError:
            return  # the tape's own writes will say what is wrong
        self.free_bytes = stat.f_bavail * stat.f_frsize
