"""The Telegram companion as a whole: its parts, their tasks, and the order of its end.

Owns the application of the library (token, server, rate limits, timeouts) and the end:
asking Telegram stops at once (a second poller of the same bot would be in its way), what waits is sent for a few
seconds, then everything closes.  The only link to trading is the daemon's control socket.
Must not know how alerts read or who may command.  Called by telegram.command and, as a child of `run`, by
polybot.companion_child.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from loguru import logger
from telegram import BotCommand, Update
from telegram.error import TelegramError
from telegram.ext import AIORateLimiter, Application, TypeHandler
from telegram.request import HTTPXRequest

from polybot.clock import SystemClock, wall_clock
from polybot.config import Config
from polybot.config_telegram import TelegramConfig
from polybot.control.address import sockets
from polybot.control.watcher import Watcher
from polybot.errors import NoDaemon
from polybot.gateway.limiter import TokenBucket
from polybot.telemetry.telegram.access import TelegramSecrets
from polybot.telemetry.telegram.alerts import Alert
from polybot.telemetry.telegram.answers import tag_of
from polybot.telemetry.telegram.commander import MENU, Commander
from polybot.telemetry.telegram.follower import Follower
from polybot.telemetry.telegram.guard import Guard
from polybot.telemetry.telegram.memory import Memory
from polybot.telemetry.telegram.outbox import Outbox
from polybot.telemetry.telegram.painter import Painter
from polybot.telemetry.telegram.polling import Poller
from polybot.telemetry.telegram.sender import Sender, describe

__all__ = ["Companion", "build_application", "serve"]

EXIT_OK = 0
FOLDER = "telegram"  # of its memory, below run.state_dir
POLL_SLACK_S = 5.0  # a long poll may take so much longer than it was asked to
IDLE_LOOK_S = 0.05
PART_OF_STOP = 0.75  # of service.stop_s: time is left to say in the log what was not sent


async def serve(
    config: Config,
    secrets: TelegramSecrets,
    *,
    target: str = "",
    gone: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Tell and obey until `gone` (the daemon whose child this is went away) or `stop` is set; returns the exit code.

    `target` is the beginning of ACCOUNT-SESSION, "": the only daemon there is.
    """
    companion = Companion(config, secrets, target=target, is_child=gone is not None)
    await companion.run(gone=gone, stop=stop)
    return EXIT_OK


def build_application(settings: TelegramConfig, token: str) -> "Application[Any, Any, Any, Any, Any, Any]":
    """The library's application for one bot: no updater, no job queue, bounded waits everywhere."""
    os.environ["PTB_TIMEDELTA"] = "1"  # spans as timedelta: the other way warns at every 429
    # It writes a traceback for every answer that is no JSON; sender and poller say what happened, once.
    logging.getLogger("telegram.request").setLevel(logging.CRITICAL)
    waits: dict[str, Any] = {
        "connect_timeout": settings.timeout_s,
        "write_timeout": settings.timeout_s,
        "pool_timeout": settings.timeout_s,
    }
    poll_s = settings.long_poll_s + POLL_SLACK_S + settings.timeout_s
    return (
        Application.builder()
        .token(token)
        .base_url(f"{settings.api_url}/bot")
        .base_file_url(f"{settings.api_url}/file/bot")
        .request(
            HTTPXRequest(4, read_timeout=settings.timeout_s, media_write_timeout=settings.timeout_s, **waits)
        )
        .get_updates_request(HTTPXRequest(1, read_timeout=poll_s, **waits))
        .rate_limiter(AIORateLimiter(max_retries=0))
        .updater(None)
        .job_queue(None)
        .build()
    )


class Companion:
    """All parts of one companion, joined."""

    def __init__(
        self,
        config: Config,
        secrets: TelegramSecrets,
        *,
        target: str = "",
        is_child: bool = False,
        clock: SystemClock | None = None,
    ) -> None:
        self.settings = settings = config.telegram
        self.clock = clock = wall_clock() if clock is None else clock
        self.application = build_application(settings, secrets.token)
        self.outbox = Outbox(settings.outbox_count)
        self._config = config
        self._is_child = is_child
        self._state_dir = Path(config.run.state_dir)
        memory = Memory(self._state_dir / FOLDER / f"{target or 'daemon'}.json")
        self._watcher = Watcher(
            self._state_dir, target, config.control, from_start=is_child, known=memory.heard
        )
        self.follower = Follower(self._watcher, self.outbox, settings=settings, memory=memory, clock=clock)
        self.sender = Sender(
            self.application.bot, self.outbox, chat_id=secrets.chat_id, settings=settings, clock=clock
        )
        self.guard = Guard(
            secrets,
            private_only=settings.private_only,
            stale_s=settings.stale_s,
            bucket=TokenBucket(settings.commands_per_s, settings.commands_burst),
            now_ns=clock.now_ns,
            mono_ns=clock.mono_ns,
        )
        self.painter = Painter(
            Path(config.telemetry.out_dir), facts=lambda: self.follower.facts, send=self.sender.reply
        )
        self.commander = Commander(
            self.guard,
            self.follower,
            act=self._act,
            reply=self.sender.reply,
            from_files=self.painter.ask,
            footer=self._footer,
            settings=settings,
            clock=clock,
        )
        self.poller = Poller(
            self.application, settings, clock, on_ready=self._on_ready, on_conflict=self._on_conflict
        )
        self.application.add_handler(TypeHandler(Update, self.commander.on_update))
        self.application.add_error_handler(_log_error)

    async def run(self, *, gone: asyncio.Event | None = None, stop: asyncio.Event | None = None) -> None:
        """Serve until one of the events is set."""
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(self.poller.run())
            following = group.create_task(self._follow())
            others = [group.create_task(self.sender.run()), group.create_task(self.painter.run()), following]
            await _first(group, *(event for event in (gone, stop) if event is not None))
            polling.cancel()
            ending_ns = self.clock.mono_ns()
            if gone is not None and gone.is_set():
                await self.follower.parent_gone(left_socket=bool(sockets(self._state_dir)))
            following.cancel()
            await self._flush(ending_ns)
            for task in others:
                task.cancel()
        self._watcher.close()
        with suppress(TelegramError, RuntimeError):
            await self.application.shutdown()

    async def _follow(self) -> None:
        """The follower's looks, and what they mean for the sender."""
        while True:
            try:
                await self.follower.look()
            except Exception as error:  # an answer of another version must not end the alerts
                logger.opt(exception=error).error("an answer of the daemon could not be understood")
            if self.follower.facts is not None:
                self.sender.tag = tag_of(self.follower.facts)
            await self.clock.sleep(self.settings.watch_s)

    async def _flush(self, ending_ns: int) -> None:
        """Send what waits, for flush_s at most; a parent that ends in order kills us at stop_s, so before that."""
        self.follower.finish()
        self.sender.is_hurried = True
        due_ns = self.clock.mono_ns() + int(self.settings.flush_s * 1e9)
        if self._is_child and self.follower.state == "ended":
            due_ns = min(due_ns, ending_ns + int(PART_OF_STOP * self._config.service.stop_s * 1e9))
        while not self.sender.is_idle and self.clock.mono_ns() < due_ns:
            await self.clock.sleep(IDLE_LOOK_S)
        if not self.sender.is_idle:
            logger.warning(
                "alerts are left unsent at the end count={} problem={}", len(self.outbox), self.sender.problem
            )
            self.follower.note_unsent()

    async def _act(self, verb: str, reason: str, via: str, facts: Mapping[str, Any]) -> str:
        """Have exactly the process that `facts` tell of do it; raises NoDaemon."""
        watcher = Watcher(self._state_dir, f"{facts['account']}-{facts['session']}", self._config.control)
        try:
            await watcher.watch()
            if any(watcher.hello.get(key) != facts.get(key) for key in ("pid", "started_ns")):  # pids come again
                raise NoDaemon("another process answers now: look at /status and ask again")
            return await watcher.act(verb, reason, via)
        finally:
            watcher.close()

    def _footer(self) -> str:
        """This companion's own troubles; "" when there are none."""
        strangers = sum(count for why, count in self.guard.counters.items() if "stranger" in why)
        counts = (
            (sum(self.outbox.dropped.values()), "alerts dropped"),
            (self.follower.counters["events missed"], "events missed"),
            (self.follower.counters["blips"], "short gaps of feeds or entries not told"),
            (strangers, "messages of strangers ignored"),
            (self.sender.counters["refused"], "messages refused by Telegram"),
        )
        parts = [f"{count} {what}" for count, what in counts if count]
        return f"telegram: {', '.join(parts)}" if parts else ""

    async def _on_ready(self) -> None:
        """Logged in: our name, and the menu the phone shows."""
        self.guard.bot_name = self.application.bot.username
        logger.info("telegram is reached bot={}", self.guard.bot_name)
        try:
            await self.application.bot.set_my_commands([BotCommand(verb, text) for verb, text in MENU])
        except TelegramError as error:  # a convenience
            logger.warning("the menu could not be set error={}", describe(error))

    def _on_conflict(self) -> None:
        line = "⚠️ another program asks Telegram for this bot's messages: commands may not reach polybot"
        self.outbox.put(Alert("error", line, True, self.clock.now_ns()))


async def _first(group: asyncio.TaskGroup, *events: asyncio.Event) -> None:
    """Wait until one of the events is set; without any for ever."""
    waits = [group.create_task(event.wait()) for event in (events or (asyncio.Event(),))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _log_error(update: object, context: Any) -> None:
    logger.opt(exception=context.error).error("an update could not be handled")
