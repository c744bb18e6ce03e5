"""`python -m polybot telegram`: the companion as a process of its own, or the check of its set-up.

Owns reading the secrets (and taking them out of the environment before anything else runs), signals and the lines on
the terminal.  Must not be imported by a trading process: the Telegram library takes a second to load.
Called by polybot.cli.
"""

import asyncio
import os
import signal
import sys

from polybot.config import Config
from polybot.credentials.process import harden_process
from polybot.credentials.sources import Secrets
from polybot.telemetry.log import configure_logging
from polybot.telemetry.redact import Redactor
from polybot.telemetry.telegram.access import TelegramSecrets, read_telegram_secrets
from polybot.telemetry.telegram.check import check
from polybot.telemetry.telegram.companion import serve

__all__ = ["run", "serve"]

LOG_NAME = "telegram"


def run(config: Config) -> int:
    """Serve until SIGINT or SIGTERM, or check the set-up; returns the exit code, raises ConfigError."""
    harden_process()
    secrets = Secrets(os.environ)
    try:
        access = read_telegram_secrets(config.telegram, secrets, chat_needed=not config.telegram.check)
    finally:
        secrets.forget()
    if config.telegram.check:
        return asyncio.run(check(config.telegram, access))
    return asyncio.run(_serve(config, access))


async def _serve(config: Config, access: TelegramSecrets) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sys.stdout.write(
        f"telegram companion: chat {access.chat_id}, daemon {config.control.account or '(the only one)'} in "
        f"{config.run.state_dir}, log {config.telemetry.out_dir}/log/{LOG_NAME}.log; Ctrl-C stops it\n"
    )
    sys.stdout.flush()
    logs = configure_logging(config.telemetry, Redactor(access.token), stderr=sys.stderr, name=LOG_NAME)
    try:
        return await serve(config, access, target=config.control.account, stop=stop)
    finally:
        logs.close()
