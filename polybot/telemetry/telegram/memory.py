"""What the companion knew last, kept over its own end: is a daemon up, did it say its last word, what was heard of it?

Owns one small file below `run.state_dir`, replaced as a whole.  Without it a crash of everything at once would never
be told.  A file that cannot be read or written is no reason to stop: alerts go on without it.
Must not hold secrets.  Called by telegram.follower.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from loguru import logger

__all__ = ["Memory"]


class Memory:
    """The last known state of one target's daemon."""

    def __init__(self, path: Path) -> None:
        self.heard: tuple[tuple[Any, ...], str] | None = None  # of which process, and the cursor after it
        self._path = path
        self._state, self._identity = self._read()

    def is_left_open(self, identity: str) -> bool:
        """The run before this one was up, or gone, and never said its last word."""
        return self._state in ("up", "gone") and self._identity not in ("", identity)

    def was_followed(self, identity: str) -> bool:
        """A companion before this one followed this very run."""
        return self._state in ("up", "gone") and self._identity == identity

    def keep(self, state: str, identity: str) -> None:
        """Note a change; nothing is kept of a run that ended in order."""
        self._state, self._identity = state, identity
        self._write()

    def hear(self, process: Sequence[Any], cursor: str) -> None:
        """Note up to where this process's events were heard."""
        if self.heard != (tuple(process), cursor):
            self.heard = (tuple(process), cursor)
            self._write()

    def _write(self) -> None:
        if self._state == "ended":
            self.heard = None
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
                self._path.parent.rmdir()  # unless others are in it
            return
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = {"state": self._state, "identity": self._identity, "heard": self.heard}
            fresh.write_text(json.dumps(data))
            os.replace(fresh, self._path)
        except OSError as error:
            logger.warning("what the companion knows is not kept error={}", error)

    def _read(self) -> tuple[str, str]:
        try:
            data = json.loads(self._path.read_text())
            if data["heard"] is not None:
                process, cursor = data["heard"]
                self.heard = (tuple(process), str(int(cursor)))
            return str(data["state"]), str(data["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", ""
