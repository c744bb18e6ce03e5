"""Where daemons listen: one unix socket per account and venue session below `<state_dir>/control`, and the kill file.

Owns names, folder and modes: the folder is 0700, a socket 0600.  A name that would not fit the kernel's 107 bytes
is replaced by its hash; a folder that is too long itself is refused.  Must not connect or serve.
Called by control.server (one socket), control.client, control.nobody (all of them) and the daemon's start (kill file).
"""

import hashlib
import os
import re
from pathlib import Path

from polybot.errors import ConfigError, KillFileFound

__all__ = [
    "KILL_NAME", "MAX_PATH_BYTES", "check_no_kill_file", "control_folder", "kill_file", "make_folder", "socket_path",
    "sockets",
]  # fmt: skip

KILL_NAME = "KILL"
FOLDER_NAME = "control"
FOLDER_MODE = 0o700
# sizeof(sockaddr_un.sun_path) less the NUL at its end (man 7 unix).
MAX_PATH_BYTES = 107
SUFFIX = ".sock"


def control_folder(state_dir: Path) -> Path:
    """The folder of the sockets."""
    return state_dir / FOLDER_NAME


def kill_file(state_dir: Path) -> Path:
    """The file whose mere presence stops every daemon of this state folder and keeps one from starting."""
    return state_dir / KILL_NAME


def check_no_kill_file(state_dir: Path) -> None:
    """Raise KillFileFound while the kill file is there."""
    path = kill_file(state_dir)
    if path.exists():
        raise KillFileFound(
            f"{path} is there and stops every start: find out who put it there and why, remove it, start again"
        )


def socket_path(state_dir: Path, account: str, session: str) -> Path:
    """Path of one daemon's socket; raises ConfigError when the folder is too long for any."""
    folder = control_folder(state_dir)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{account.lower()}-{session}")
    for stem in (name, hashlib.sha256(name.encode()).hexdigest()[:16]):
        path = folder / f"{stem}{SUFFIX}"
        if len(os.fsencode(path)) <= MAX_PATH_BYTES:
            return path
    raise ConfigError(
        f"run.state_dir={state_dir} is not allowed: the control socket's path would have {len(os.fsencode(path))} "
        f"bytes, {MAX_PATH_BYTES} are possible; choose a shorter folder, or control.enabled=false"
    )


def make_folder(state_dir: Path) -> Path:
    """Make the sockets' folder for us alone, also when it was there with other modes; raises OSError."""
    folder = control_folder(state_dir)
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    return folder


def sockets(state_dir: Path) -> list[Path]:
    """Every socket file there is, of the living and of the dead."""
    return sorted(control_folder(state_dir).glob(f"*{SUFFIX}"))
