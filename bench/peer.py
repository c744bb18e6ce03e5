"""A peer library in a Python environment of its own, asked for one round at a time.

Owns the child process: `.venv-peers/<name>/bin/python bench/peers/<name>/serve.py`, one JSON request a line in, one
answer a line out (`bench/peers/serving.py` is the other end).  One request is one round, so that a peer's rounds can
be interleaved with ours.  Must not install anything: `make peers` does.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["ENVIRONMENTS", "PEERS", "STAMP", "Peer", "PeerError", "is_current", "python_of", "why_absent"]

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
ENVIRONMENTS = ROOT / ".venv-peers"
STAMP = ".installed"  # in an environment: a copy of the list it was made from
ANSWER_S = 600.0  # one round, a library's first compilation included
CLOSE_S = 30.0
STDERR_SHOWN = 2_000  # last characters of what the peer wrote to stderr


class PeerError(Exception):
    """The peer said that a request failed, died, or did not answer in time."""


def python_of(name: str, environments: Path = ENVIRONMENTS) -> Path:
    """The interpreter of a peer's environment, whether it is there or not."""
    return environments / name / "bin" / "python"


def is_current(name: str, *, peers: Path = PEERS, environments: Path = ENVIRONMENTS) -> bool:
    """Whether the peer's environment is there, whole, and made from the list as it is now."""
    stamp, pinned = environments / name / STAMP, peers / name / "requirements.txt"
    return stamp.exists() and pinned.exists() and stamp.read_bytes() == pinned.read_bytes()


def why_absent(name: str) -> str:
    """Why the peer cannot be asked, "" when it can."""
    if not (PEERS / name / "requirements.txt").exists():
        return f"there is no peer {name} in bench/peers"
    if not is_current(name):
        return f"peer {name} is not installed as bench/peers/{name}/requirements.txt wants it (make peers)"
    return ""


class Peer:
    """A started peer; a context manager."""

    def __init__(self, name: str, *, python: Path | None = None, script: Path | None = None) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        self._rest = b""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST_"))}
        self._process = subprocess.Popen(
            [str(python or python_of(name)), str(script or PEERS / name / "serve.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**environment, "PYTHONPATH": str(PEERS), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def ask(self, do: str, *, timeout_s: float = ANSWER_S, **fields: Any) -> dict[str, Any]:
        """One round: {"ns": wall, "cpu_ns": CPU of the peer's process, ...}; raises PeerError."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise PeerError(f"peer {self.name} is gone: {error}{self._stderr()}") from error
        answer: dict[str, Any] = json.loads(self._line(timeout_s))
        if "error" in answer:
            raise PeerError(f"peer {self.name}: {do}: {answer['error']}{self._stderr()}")
        return answer

    def close(self) -> None:
        """End the process: by the end of its input, else by force."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                sys.stderr.write(f"peer {self.name} had ended before\n")
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, timeout_s: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        until_s = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([stdout], [], [], left_s)[0]:
                raise PeerError(f"peer {self.name} did not answer in {timeout_s:.0f} s{self._stderr()}")
            part = os.read(stdout.fileno(), 65_536)
            if not part:
                raise PeerError(f"peer {self.name} ended with code {self._process.wait()}{self._stderr()}")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _stderr(self) -> str:
        self._errors.flush()
        self._errors.seek(0)
        text = self._errors.read()[-STDERR_SHOWN:].strip()
        return f"\n{text}" if text else ""
