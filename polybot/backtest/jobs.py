"""Independent pieces of work on all cores, or on a Ray cluster: one function, many items, results in their order.

    run_jobs("package.module:function", items) -> [function(item) for item in items]

Owns the worker processes and their end.  Items and results go through JSON, so that a result is the same from every
executor.  A worker starts with an item and takes the next when it is done; one that raises or dies fails its item
alone, is replaced, and the others go on; at the end JobsFailed names them all.  Ctrl-C and SIGTERM end the workers, and
they end by themselves when this process is gone.  Must not know what is computed.
Called by sweeps, the flattery table and whoever has many backtests.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal

from polybot.backtest import ray_jobs
from polybot.backtest.interrupts import interruptible
from polybot.backtest.worker import JobDone
from polybot.errors import ConfigError, JobsFailed

__all__ = ["EXECUTORS", "Executor", "JobDone", "core_count", "run_jobs"]

Executor = Literal["local", "ray"]
EXECUTORS: tuple[Executor, ...] = ("local", "ray")
# A worker that was told to end has no business of its own; after so many seconds it is killed.
END_WAIT_S = 5.0
# Of what a worker said before it died, the end is read.
LAST_WORDS_BYTES = 65_536
# Every worker is one core: libraries that would start threads of their own are told so.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from polybot.backtest.worker import main; main(*map(int, sys.argv[2:]))"
)
_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")
_ERROR_TYPE = re.compile(r"^(?:\w+\.)+(\w+: )")


OnDone = Callable[[JobDone], None]


def run_jobs(
    function_path: str,
    items: Sequence[Any],
    *,
    cores: int = 0,
    executor: Executor = "local",
    address: str = "",
    on_done: OnDone | None = None,
) -> list[Any]:
    """Compute function(item) for every item; returns the results in the order of the items.

    function_path is "module:function", importable wherever it runs; it takes one JSON value and returns one.
    cores: worker processes at once, 0 for one per core (local); Ray takes what the cluster has.
    on_done is called in this thread after each item, in the order they end.
    Raises JobsFailed when all others are done, ConfigError for what cannot be begun, KeyboardInterrupt.
    """
    if _PATH.fullmatch(function_path) is None:
        raise ConfigError(f"{function_path} names no function: must be module:function")
    if executor not in EXECUTORS:
        raise ConfigError(f"executor={executor} is not allowed: must be one of {', '.join(EXECUTORS)}")
    done: dict[int, JobDone] = {}

    def note(item: JobDone) -> None:
        done[item.index] = item
        if on_done is not None:
            on_done(item)

    texts = [json.dumps(item) for item in items]
    if executor == "ray":
        ray_jobs.run(function_path, texts, address=address, on_done=note)
    elif texts:
        _run_local(function_path, texts, cores=min(len(texts), cores or core_count()), on_done=note)
    results = [done[index].result for index in range(len(texts))]
    failures = {index: done[index].error for index in sorted(done) if done[index].error}
    if failures:
        raise JobsFailed(failures, results)
    return results


def core_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


# -- local processes --------------------------------------------------------------------------------


def _run_local(function_path: str, texts: Sequence[str], *, cores: int, on_done: OnDone) -> None:
    with tempfile.TemporaryDirectory(prefix="polybot_jobs_") as folder, interruptible() as told:
        pool = _Pool(function_path, deque(enumerate(texts)), Path(folder), on_done)
        try:
            pool.run(told, cores)
        finally:
            pool.end()


@dataclass(slots=True)
class _Worker:
    """A process, the item it works on, and where it says its last words."""

    process: subprocess.Popen[bytes]
    pipe: connection.Connection
    life_fd: int  # the process ends when this end of a pipe is closed, whoever closes it
    error_path: Path
    index: int


@dataclass(slots=True)
class _Pool:
    """Workers and what waits for them."""

    function_path: str
    waiting: deque[tuple[int, str]]
    folder: Path
    on_done: OnDone
    workers: dict[connection.Connection, _Worker] = field(default_factory=dict)
    started: int = 0

    def run(self, told: int, cores: int) -> None:
        """Until nothing waits; KeyboardInterrupt when `told` becomes readable."""
        while self.waiting or self.workers:
            while self.waiting and len(self.workers) < cores:
                self._start()
            ready = connection.wait([told, *self.workers])
            if told in ready:
                raise KeyboardInterrupt
            for pipe in ready:
                assert isinstance(pipe, connection.Connection)
                self._take(self.workers[pipe])

    def end(self) -> None:
        """End who is still there."""
        for worker in self.workers.values():
            worker.process.terminate()
        for worker in self.workers.values():
            try:
                worker.process.wait(END_WAIT_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
            self._bury(worker)
        self.workers.clear()

    def _start(self) -> None:
        """Start a worker with its first item; it inherits that Ctrl-C is blocked, which is the parent's to act on."""
        index, text = self.waiting.popleft()
        self.started += 1
        error_path = self.folder / f"{self.started}.error"
        ours, theirs = connection.Pipe()
        life_read, life_write = os.pipe()
        fds = (theirs.fileno(), life_read)
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), *map(str, fds)]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with error_path.open("ab") as error_file:
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **ONE_THREAD},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=error_file,
                    pass_fds=fds,
                )
            self.workers[ours] = worker = _Worker(process, ours, life_write, error_path, index)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            os.close(life_read)
        self._give(worker, index, text)

    def _give(self, worker: _Worker, index: int, text: str) -> None:
        worker.index = index
        os.truncate(worker.error_path, 0)  # what was said of an earlier item is not of this one
        try:
            worker.pipe.send_bytes(json.dumps([self.function_path, text]).encode())
        except (BrokenPipeError, ConnectionResetError):
            return  # it died; the next look at its pipe says so

    def _take(self, worker: _Worker) -> None:
        """Take a result and give the next item, or find that the worker died."""
        try:
            result, elapsed_s = json.loads(worker.pipe.recv_bytes())
        except (EOFError, ConnectionResetError):
            del self.workers[worker.pipe]
            code = worker.process.wait()
            error = f"exit code {code}: {_last_words(worker.error_path)}"
            self._bury(worker)
            self.on_done(JobDone(worker.index, None, error, 0.0, f"pid {worker.process.pid}"))
            return
        index = worker.index
        if self.waiting:
            self._give(worker, *self.waiting.popleft())
        else:
            del self.workers[worker.pipe]
            self._bury(worker)
        self.on_done(JobDone(index, result, "", elapsed_s, f"pid {worker.process.pid}"))

    def _bury(self, worker: _Worker) -> None:
        """Close what was its own: without its pipe it ends."""
        worker.pipe.close()
        os.close(worker.life_fd)
        worker.process.wait()
        worker.error_path.unlink()


def _last_words(path: Path) -> str:
    """The last line a worker wrote; of an exception its name and text."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_WORDS_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return _ERROR_TYPE.sub(r"\1", lines[-1]) if lines else "no word"
