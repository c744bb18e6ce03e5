"""`python -m polybot.healthcheck FOLDER`: does a daemon of this state folder live, and is it well?

Owns the exit codes: 0 every daemon that answers is well, 1 one is not (its reasons on stdout), 3 none answers.  Without
settings and large libraries, so that a container or a monitor may call it twice a minute.
Must not act.  Called by the HEALTHCHECK of deploy/Dockerfile.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polybot.config_control import ControlConfig
from polybot.control.watcher import Watcher, list_daemons
from polybot.errors import NoDaemon

__all__ = ["main"]

EXIT_WELL, EXIT_ILL, EXIT_NONE = 0, 1, 3
ANSWER_S = 8.0  # wall; under the ten seconds a container's check is given


async def _look(folder: Path) -> list[dict[str, Any]]:
    """What every daemon of this folder says of itself."""
    settings = ControlConfig(answer_s=ANSWER_S)
    found = []
    for name in await list_daemons(folder, settings):
        watcher = Watcher(folder, name, settings)
        try:
            answer = await watcher.watch()
            if "health" in answer:  # else it has just ended, or still starts
                found.append(answer)
        finally:
            watcher.close()
    return found


def main(words: Sequence[str]) -> int:
    """Look, say what was found in one line per daemon, return the exit code."""
    if len(words) != 1:
        sys.stderr.write("usage: python -m polybot.healthcheck FOLDER (run.state_dir)\n")
        return 2
    try:
        found = asyncio.run(_look(Path(words[0])))
    except NoDaemon as error:
        sys.stdout.write(f"{error}\n")
        return EXIT_NONE
    for one in found:
        state = "well" if one["health"]["ok"] else ", ".join(one["health"]["reasons"])
        sys.stdout.write(f"process {one['pid']}: {state}\n")
    if not found:
        sys.stdout.write(f"no daemon runs in {words[0]}\n")
        return EXIT_NONE
    return EXIT_WELL if all(one["health"]["ok"] for one in found) else EXIT_ILL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
