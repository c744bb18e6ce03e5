"""A worker process of polybot.backtest.jobs: takes an item, calls the function, sends the result; until told to end.

Owns its own end: it is gone as soon as its parent is, whatever it computes; told to end (SIGTERM) or left alone it
removes its temporary folders first.  An exception ends it; its last words, on the error output, are the parent's to
read.  Started by jobs alone, with two inherited file descriptors; `call` also runs inside the workers of a Ray cluster.
"""

import faulthandler
import importlib
import json
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from polybot.clock import wall_clock

__all__ = ["JobDone", "call", "main"]

NS = 1e9
EXIT_ORPHAN = 1
EXIT_TOLD = 143  # as a shell calls an end by SIGTERM
LAST_S = 3.0  # left alone, for removing what it made; shorter than the parent's own patience


@dataclass(frozen=True, slots=True)
class JobDone:
    """One item is done: its result, or `error` says why there is none."""

    index: int
    result: Any
    error: str
    elapsed_s: float
    worker: str  # who did it: "pid 4711", on Ray "node 5f3a01c2 pid 4711"


def main(pipe_fd: int, life_fd: int) -> None:
    """Serve one parent; returns when it closes the pipe."""
    faulthandler.enable()
    signal.signal(signal.SIGTERM, _on_term)
    threading.Thread(target=_end_with_parent, args=(life_fd,), daemon=True).start()
    with Connection(pipe_fd) as pipe:
        while True:
            try:
                function_path, text = json.loads(pipe.recv_bytes())
            except EOFError:
                return
            pipe.send_bytes(call(function_path, text).encode())


def call(function_path: str, text: str) -> str:
    """Call the function with the item in `text`; returns [result, seconds it took], both as JSON."""
    clock = wall_clock()
    began_ns = clock.mono_ns()
    module, _, name = function_path.partition(":")
    result = getattr(importlib.import_module(module), name)(json.loads(text))
    return json.dumps([result, (clock.mono_ns() - began_ns) / NS])


def _on_term(number: int, frame: FrameType | None) -> None:
    """Unwind, so that temporary folders go; once."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(EXIT_TOLD)


def _end_with_parent(life_fd: int) -> None:
    """Nobody reads a result when the parent is gone."""
    os.read(life_fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LAST_S)
    os._exit(EXIT_ORPHAN)
