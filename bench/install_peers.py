"""`make peers`: each peer library into an environment of its own, from its hash-pinned list.

Owns .venv-peers/<name>; a copy of the list that was installed lies in each, so that a second run does nothing and a
changed list installs anew.  A peer that cannot be installed is named with the reason and left out; the others go on.
Must not touch the project's own environment.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.peer import ENVIRONMENTS, PEERS, STAMP, is_current, python_of

__all__ = ["install", "main", "peer_names"]

INSTALL_S = 1_800.0


def peer_names(folder: Path = PEERS) -> list[str]:
    """Every peer with a list of what it needs."""
    return sorted(path.parent.name for path in folder.glob("*/requirements.txt"))


def install(name: str, *, peers: Path = PEERS, environments: Path = ENVIRONMENTS) -> str:
    """Make the peer's environment; returns why it could not be made, "" when it could."""
    home, pinned = environments / name, peers / name / "requirements.txt"
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    python = python_of(name, environments)
    steps: list[Sequence[str]] = [[sys.executable, "-m", "venv", *_without_pip(), str(home)], _install(python, pinned)]
    for step in steps:
        reason = _failure(step)
        if reason:
            shutil.rmtree(home, ignore_errors=True)
            return reason
    (home / STAMP).write_bytes(pinned.read_bytes())
    return ""


def main(names: Sequence[str] = (), *, peers: Path = PEERS, environments: Path = ENVIRONMENTS) -> int:
    """Install what is not there; one line each.  0 also when a peer is missing: the benches say what that costs."""
    for name in names or peer_names(peers):
        if is_current(name, peers=peers, environments=environments):
            print(f"peer {name}: there already", flush=True)  # noqa: T201
            continue
        print(f"peer {name}: installing what bench/peers/{name}/requirements.txt pins", flush=True)  # noqa: T201
        reason = install(name, peers=peers, environments=environments)
        print(f"peer {name}: {f'NOT INSTALLED: {reason}' if reason else 'installed'}", flush=True)  # noqa: T201
    return 0


def _uv() -> str | None:
    """uv, which is several times quicker than pip, where there is one."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _without_pip() -> list[str]:
    return ["--without-pip"] if _uv() else []


def _install(python: Path, pinned: Path) -> list[str]:
    uv = _uv()
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(pinned)]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--require-hashes", "-r", str(pinned)]


def _failure(step: Sequence[str]) -> str:
    """What a command that failed said about it, in one line; "" when it did not fail."""
    try:
        ended = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ended.returncode == 0:
        return ""
    said = [line.strip() for line in (ended.stderr + ended.stdout).splitlines() if line.strip()]
    return " ".join(said[-3:]) or f"{step[0]} ended with code {ended.returncode}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
