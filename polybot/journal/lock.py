"""One process per account: an exclusive lock on a file, held for as long as the process lives.

The kernel drops the lock with the process, however it ends, so a stale file never keeps a start from happening.
Must not delete the file: two processes could then hold two of them.  Called by journal and the daemon's start.
"""

import fcntl
import os
from pathlib import Path

from polybot.errors import AlreadyRunning

__all__ = ["AccountLock"]

FILE_MODE = 0o600


class AccountLock:
    """Holds `<folder>/<account>.lock`; raises AlreadyRunning naming the holder's process id."""

    def __init__(self, folder: Path, account: str) -> None:
        self.path = folder / f"{account.lower()}.lock"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).split(b"\n")[0].decode(errors="replace") or "unknown"
            os.close(self._fd)
            raise AlreadyRunning(
                f"account {account} is already traded by process {holder} (lock file {self.path})"
            ) from None
        except OSError:
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have the account; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
