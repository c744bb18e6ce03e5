"""Settings of an embedded venue with little traffic, and a daemon of ours as a child process beside it.

Owns the words of the command line that the whole-process benches share.  Must not measure.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["QUIET", "ROOT", "run_script"]

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 300.0
SAID = 2_000  # characters of what a run that failed said last
# A tenth of the usual messages: at many times real speed the venue must not use up the machine.
QUIET = (
    "venue.world.spot.trades_per_s=2",
    "venue.world.spot.bursts_per_s=1.5",
    "venue.world.spot.quotes_per_s=2",
    "venue.world.takers.noise_per_s=0.2",
    "venue.world.takers.informed_count=0",
    "venue.world.makers.count=1",
    "venue.world.makers.requote_ms=1500",
    "venue.world.makers.refresh_ms=4000",
    "venue.world.makers.deep_levels=5",
)


def run_script(name: str, *words: str, **environment: str) -> dict[str, Any]:
    """Run a script of this folder in an empty folder; the last line of its stdout, which is JSON.

    `environment` is added to this process's; an empty value takes a variable away.
    """
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "NO_COLOR": "1", **environment}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "bench" / name), *words],
            cwd=folder,
            env={key: value for key, value in env.items() if value},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    if done.returncode:
        said = f"{done.stdout[-SAID:]}\n{done.stderr[-SAID:]}"
        raise RuntimeError(f"{name} {' '.join(words)} ended with {done.returncode}:\n{said}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
