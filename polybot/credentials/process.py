"""A process that holds a key leaves no picture of its memory behind.

Owns the two switches: not dumpable (no core file, no debugger or /proc access by another process of the same
user) and a core size limit of zero, soft and hard, which children inherit.
Must be called before the first secret is read.  Called by polybot.cli for `run` and `wallet`.
"""

import ctypes
import resource

from polybot.errors import PolybotError

__all__ = ["harden_process"]

PR_SET_DUMPABLE = 4  # linux/prctl.h


def harden_process() -> None:
    """Forbid core dumps and foreign eyes; raises PolybotError when the kernel refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise PolybotError("this process cannot be protected against memory dumps: prctl refused")
