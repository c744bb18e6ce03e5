"""Functions for workers of polybot.backtest.jobs; imported by name in the workers."""

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from polybot.errors import TapeError


def double(item: dict[str, Any]) -> dict[str, Any]:
    """Twice the number, and who computed it."""
    return {"twice": item["x"] * 2, "pid": os.getpid()}


def third(x: float) -> float:
    """A fraction without an end."""
    return x / 3


def meet(folder: str) -> int:
    """Ends only when two workers are at it."""
    mine = Path(folder) / str(os.getpid())
    mine.touch()
    while len(list(Path(folder).iterdir())) < 2:
        os.sched_yield()
    return os.getpid()


def misbehave(how: str) -> str:
    """Goes wrong in the way that is asked for."""
    if how == "raise":
        raise TapeError("tape x: frame at 17 is torn")
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)
    if how == "object":
        return object()  # type: ignore[return-value]
    sys.stderr.write("what a function prints is nobody's result\n")
    return how


def hang(folder: str) -> None:
    """Says that it began, then never ends; it holds a temporary folder meanwhile, as a point of a sweep does."""
    with tempfile.TemporaryDirectory(prefix="held_"):
        (Path(folder) / str(os.getpid())).touch()
        threading.Event().wait()


def run_hanging(folder: str) -> None:
    """The parent of two workers that hang; for tests that end it."""
    from polybot.backtest.jobs import run_jobs

    try:
        run_jobs("job_functions:hang", [folder, folder, folder], cores=2)
    except KeyboardInterrupt:
        sys.stdout.write("interrupted\n")
        sys.exit(130)
