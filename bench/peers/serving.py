"""The peer's end of bench/peer.py: answers one JSON request a line with what a task returned and what it cost.

Runs in a peer's own environment, so it imports the standard library only.  A peer's serve.py ends with
`serve(task=function, ...)`; a request {"do": "task", ...} calls function(...) with the rest as keywords, and what it
returns (a dict or None) is sent back together with "ns" and "cpu_ns" unless the function measured them itself.
What libraries print goes to stderr.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]


def serve(**tasks: Callable[..., Any]) -> None:
    """Answer requests until the input ends."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints must not break the protocol
    for line in sys.stdin:
        request = json.loads(line)
        task = tasks.get(request.pop("do"))
        answer = {"error": "no such task"} if task is None else _answer(task, request)
        out.write(json.dumps(answer) + "\n")
    out.close()


def _answer(task: Callable[..., Any], fields: dict[str, Any]) -> dict[str, Any]:
    gc.collect()
    start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    try:
        found = task(**fields) or {}
    except Exception as error:  # told to the asker, who fails
        return {"error": f"{type(error).__name__}: {error}"}
    cpu_ns, ns = time.process_time_ns() - start_cpu_ns, time.perf_counter_ns() - start_ns
    return {"ns": ns, "cpu_ns": cpu_ns, **found}
