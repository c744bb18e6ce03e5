"""The child's end of polybot.companions: one JSON line on stdin, then telegram or dashboard until stdin closes.

    {"name": "telegram", "config": {...}, "secrets": {...}, "target": "ACCOUNT-SESSION"}

Owns the child's process: its log file (<out_dir>/log/NAME.log, secrets masked), its priority, the watch on stdin.
EOF there means that the daemon is gone, however it ended: `gone` is set, and the companion ends within its own limit.
Ctrl-C is the daemon's business.  Must not be imported by a daemon (the libraries it loads are large).
Run as `python -m polybot.companion_child`.  Exit code 2: a wrong setting, starting it again would not help.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from polybot.config import Config, config_from_mapping
from polybot.credentials.process import harden_process
from polybot.errors import ConfigError, PolybotError
from polybot.sim.process import LINE_BYTES
from polybot.telemetry.log import configure_logging
from polybot.telemetry.redact import Redactor

__all__ = ["main"]

EXIT_FAILED, EXIT_CONFIG = 1, 2
MIN_HIDDEN_CHARS = 8
Serve = Callable[[asyncio.Event], Coroutine[Any, Any, int]]


def main() -> int:
    """Entry point of the child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        harden_process()
        return asyncio.run(_child())
    except ConfigError as error:
        return _fail(error, EXIT_CONFIG)
    except (PolybotError, OSError) as error:
        return _fail(f"{type(error).__name__}: {error}", EXIT_FAILED)


async def _child() -> int:
    """Read the line, serve, and say when stdin has closed."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    if not line:
        return 0
    try:
        message = json.loads(line)
        config = config_from_mapping(message["config"])
        name, secrets, target = str(message["name"]), dict(message["secrets"]), str(message["target"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"this process is a daemon's child and got no proper settings: {error!r}") from None
    redactor = Redactor(*(value for value in secrets.values() if len(value) >= MIN_HIDDEN_CHARS))
    logs = configure_logging(config.telemetry, redactor, stderr=None, name=name)
    try:
        os.nice(config.service.nice)
        serve = _serving(name, config, secrets, target)
        return await _until_gone(reader, serve)
    finally:
        logs.close()


async def _until_gone(reader: asyncio.StreamReader, serve: Serve) -> int:
    gone = asyncio.Event()

    async def watch() -> None:
        await reader.read()
        gone.set()

    code, problem = 0, None
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        try:
            code = await serve(gone)
        except (PolybotError, OSError) as error:  # as it is, not wrapped in the group's
            problem = error
        watching.cancel()
    if problem is not None:
        raise problem
    return code


def _serving(name: str, config: Config, secrets: Mapping[str, str], target: str) -> Serve:
    """What this child does, with its libraries loaded; raises ConfigError for a name that is none."""
    if name == "telegram":
        from polybot.telemetry.telegram import companion as telegram
        from polybot.telemetry.telegram.access import TelegramSecrets

        given = TelegramSecrets.from_mapping(secrets)
        return lambda gone: telegram.serve(config, given, target=target, gone=gone)
    if name == "dashboard":
        from polybot.telemetry.dashboard import serving as dashboard

        return lambda gone: dashboard.serve(config, target=target, gone=gone)
    raise ConfigError(f"there is no companion {name!r}")


def _fail(error: Exception | str, code: int) -> int:
    sys.stderr.write(f"polybot: error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
