"""Why no daemon answers in a state folder: none was started, one hangs, one was killed, or a path is too long.

Owns the look behind each socket file and the words for what is found, with what to do about open orders.  A process
that is stopped or hangs still lets connections in: the kernel names it.  Must not wait or speak with a daemon.
Called by control.client and control.watcher once nobody has answered.
"""

import os
import socket
import struct
from pathlib import Path

from polybot.control.address import MAX_PATH_BYTES, control_folder, sockets

__all__ = ["listener", "why_nobody"]

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (man 7 unix, SO_PEERCRED)
_CARE = "ORDERS MAY BE OPEN: look at the venue"


def listener(path: Path) -> int | None:
    """Process that listens at a socket file, answering or not; 0: one whose id cannot be seen; None: nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as peer:
        try:
            peer.connect(os.fspath(path))
        except BlockingIOError:  # its queue of connections is full
            return 0
        except OSError:
            return None
        told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[0])


def why_nobody(state_dir: Path) -> str:
    """What is the matter with the sockets of a state folder of which none has answered; "" when there is none."""
    found = sockets(state_dir)
    for path in found:
        length = len(os.fsencode(path))
        if length > MAX_PATH_BYTES:
            return (
                f"{path} is there, but nothing can connect to a path of {length} bytes ({MAX_PATH_BYTES} are possible):"
                " give the command in the folder the daemon was started in, with the same run.state_dir"
            )
    for path in found:
        pid = listener(path)
        if pid is not None:
            who, end = (f"process {pid}", f"kill -9 {pid}") if pid else ("a process", "end it")
            hangs = f"{who} is behind {path} and does not answer: it hangs. {_CARE}"
            return f"{hangs}; when it stays so, {end} and start it again"
    if found:
        who = f"the one of {found[0].name}" if len(found) == 1 else f"{len(found)} that ran there"
        return (
            f"no daemon found in {control_folder(state_dir)}: {who} left without a last word "
            f"(crashed, or killed). {_CARE}; start it again with the same settings: it recovers"
        )
    return ""
