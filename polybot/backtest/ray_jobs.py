"""The same work as polybot.backtest.jobs does on local cores, on a Ray cluster that runs already.

Owns ray: no other module imports it.  Nothing is installed or copied to a node: polybot must be importable there and
the tapes must lie at the same path, and an error of a node that lacks one of them says so.  Ctrl-C cancels what runs.
Must not know what is computed.  Called by jobs for executor=ray.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from polybot.backtest.interrupts import interruptible
from polybot.backtest.worker import JobDone, call
from polybot.errors import ConfigError

__all__ = ["run", "work"]

# Ray's driver looks for a signal of ours so often while it waits for results.
LOOK_S = 0.5
# Of what a node said, so much is kept.
REASON_CHARS = 400
_MISSING_FILE = re.compile(r"FileNotFoundError|No such file|does not exist|TapeError|no tape", re.IGNORECASE)
_MISSING_MODULE = re.compile(r"No module named '[\w.]+'")
FILE_HINT = "every node must see the tapes at the same path (a shared folder, or copies)"
MODULE_HINT = "polybot, and the modules of your strategies, must be installed on every node"


def run(
    function_path: str, texts: Sequence[str], *, address: str, on_done: Callable[[JobDone], None]
) -> None:
    """Compute every item (JSON texts) on the cluster; on_done after each.  Raises ConfigError without a cluster."""
    ray = _connect(address)
    try:
        with interruptible() as told:
            _run(ray, function_path, texts, told=told, on_done=on_done)
    finally:
        ray.shutdown()


def work(function_path: str, text: str) -> tuple[str, str]:
    """One item on a node; returns (who did it, JSON of result and seconds)."""
    import ray

    context = ray.get_runtime_context()
    return f"node {context.get_node_id()[:8]} pid {os.getpid()}", call(function_path, text)


def _connect(address: str) -> Any:
    """The ray module, connected to the running cluster at `address`."""
    if not address:
        raise ConfigError("executor=ray needs the address of a running cluster (ray start --head tells it)")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError("executor=ray needs ray: make extras") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(f"no Ray cluster at {address}: {first}") from None
    return ray


def _run(
    ray: Any, function_path: str, texts: Sequence[str], *, told: int, on_done: Callable[[JobDone], None]
) -> None:
    remote = ray.remote(num_cpus=1, max_retries=0)(work)
    waiting = {remote.remote(function_path, text): index for index, text in enumerate(texts)}
    os.set_blocking(told, False)
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=LOOK_S)
        if _is_told(told):
            for reference in waiting:
                ray.cancel(reference, force=True)
            raise KeyboardInterrupt
        for reference in ready:
            on_done(_take(ray, reference, waiting.pop(reference)))


def _take(ray: Any, reference: Any, index: int) -> JobDone:
    try:
        worker, text = ray.get(reference)
    except ray.exceptions.RayError as error:
        return JobDone(index, None, _reason(error), 0.0, "")
    result, elapsed_s = json.loads(text)
    return JobDone(index, result, "", elapsed_s, worker)


def _reason(error: Exception) -> str:
    """One line of what a node said, with what to do when a file or a module is missing there."""
    cause = getattr(error, "cause", None)
    said = cause if isinstance(cause, Exception) else error
    text = " ".join(f"{type(said).__name__}: {said}".split())
    ip = getattr(error, "ip", "")
    where = f"node {ip}: " if ip else ""
    missing = _MISSING_MODULE.search(text)
    if missing:
        return f"{where}{missing[0]}; {MODULE_HINT}"
    if len(text) > REASON_CHARS:
        text = text[:REASON_CHARS] + "..."
    return f"{where}{text}; {FILE_HINT}" if _MISSING_FILE.search(text) else where + text


def _is_told(told: int) -> bool:
    try:
        return bool(os.read(told, 1))
    except BlockingIOError:
        return False
