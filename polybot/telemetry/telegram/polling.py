"""Asking Telegram for news: one long poll after the other, until cancelled.

Owns the start (what waited before it is dropped), the offset that confirms, and the waits after errors.  An error
never ends it: a bot that a bad gateway made deaf would not hear /kill.  Written on the library's own `get_updates`
since its Updater gives up at an answer of 401 or 404 and cannot be stopped within a moment.
Must not judge updates: they go through the library's dispatch.  Run by telegram.companion.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError
from telegram.ext import Application

from polybot.clock import SystemClock
from polybot.config_telegram import TelegramConfig
from polybot.telemetry.telegram.sender import describe, retry_after_s

__all__ = ["ALLOWED_UPDATES", "Poller"]

# Everything else is not even sent to us.
ALLOWED_UPDATES = ("message",)
# Telegram answers 409 for a moment after another poller went away; so many in a row mean it stays.
CONFLICTS_TOLD = 4


class Poller:
    """Brings updates to one application."""

    def __init__(
        self,
        application: "Application[Any, Any, Any, Any, Any, Any]",
        settings: TelegramConfig,
        clock: SystemClock,
        *,
        on_ready: Callable[[], Awaitable[None]],
        on_conflict: Callable[[], None],
    ) -> None:
        """`on_ready` is called once logged in; `on_conflict` once when another program keeps polling this bot."""
        self.counters: Counter[str] = Counter()
        self.problem = ""
        self.is_listening = False  # logged in, and what waited before is dropped
        self._application = application
        self._settings = settings
        self._clock = clock
        self._on_ready = on_ready
        self._on_conflict = on_conflict
        self._conflicts = 0  # in a row
        self._wait_s = settings.retry_min_s

    async def run(self) -> None:
        """Log in, drop what waits, poll until cancelled."""
        while not await self._begin():
            pass
        self.is_listening = True
        offset: int | None = None
        while True:
            offset = await self._poll_once(offset)

    async def _begin(self) -> bool:
        """Learn who we are and drop what waited for an earlier process."""
        try:
            await self._application.initialize()
            await self._application.bot.delete_webhook(drop_pending_updates=True)
            await self._on_ready()
        except TelegramError as error:
            await self._pause_for(error)
            return False
        self._went_well()
        return True

    async def _poll_once(self, offset: int | None) -> int | None:
        """One long poll; returns the offset of the next."""
        try:
            updates = await self._application.bot.get_updates(
                offset=offset, timeout=int(self._settings.long_poll_s), allowed_updates=ALLOWED_UPDATES
            )
        except TelegramError as error:
            await self._pause_for(error)
            return offset
        except Exception as error:  # one, perhaps a stranger's, that the library cannot read
            logger.error("an update cannot be read, those that wait are dropped error={}", describe(error))
            return await self._drop_waiting(offset)
        self._went_well()
        for update in updates:
            offset = update.update_id + 1
            self.counters["updates"] += 1
            await self._application.process_update(update)
        return offset

    async def _drop_waiting(self, offset: int | None) -> int | None:
        """Drop what waits, unread; returns the offset of the next poll."""
        self.counters["unreadable"] += 1
        try:
            await self._application.bot.delete_webhook(drop_pending_updates=True)
        except TelegramError as error:
            await self._pause_for(error)
            return offset
        await self._clock.sleep(self._settings.retry_min_s)
        return None

    def _went_well(self) -> None:
        if self.problem:
            logger.warning("telegram can be asked again", before=self.problem)
        self.problem = ""
        self._conflicts = 0
        self._wait_s = self._settings.retry_min_s

    async def _pause_for(self, error: TelegramError) -> None:
        problem = describe(error)
        self.counters["conflicts" if isinstance(error, Conflict) else "errors"] += 1
        self._conflicts += isinstance(error, Conflict)
        if self._conflicts == CONFLICTS_TOLD:
            self._on_conflict()
        if problem != self.problem:
            logger.warning("telegram cannot be asked error={}", problem)
        self.problem = problem
        if isinstance(error, RetryAfter):
            await self._clock.sleep(retry_after_s(error))
        elif isinstance(error, InvalidToken):
            await self._clock.sleep(self._settings.retry_max_s)
        else:
            await self._clock.sleep(self._wait_s)
            self._wait_s = min(2.0 * self._wait_s, self._settings.retry_max_s)
