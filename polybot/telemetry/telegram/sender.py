"""The only one who sends: answers first, then alerts in order, each until Telegram took it or refused it for good.

Theory of operation: one task, one request at a time.  Alerts are gathered for a moment, sounding ones are not.  No
answer, a reset or 5xx: the same message again, with a growing wait; 429: after Retry-After; a chat that is closed to
us or a token that is not valid: again, slowly, since a person may mend it; a message Telegram does not accept: once
more as plain text, then it is counted and left.  A message whose answer was lost may arrive twice: better than never.
Answers grow old and are dropped then, counted.  Must not decide what is told.  Run by telegram.companion.
"""

import html
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from loguru import logger
from telegram import Bot
from telegram.constants import ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter, TelegramError

from polybot.clock import SystemClock
from polybot.config_telegram import TelegramConfig
from polybot.telemetry.telegram.alerts import Alert
from polybot.telemetry.telegram.bursts import Letter, compose
from polybot.telemetry.telegram.outbox import Outbox

__all__ = ["Reply", "Sender", "describe", "plain_text", "retry_after_s"]

NS = 1_000_000_000
MAX_REPLIES = 20
# An answer nobody waits for any more.
REPLY_LIFE_S = 120.0
LOOK_S = 0.05  # wall, between two looks whether a wait is over
TOKEN = re.compile(r"\d{5,12}:[A-Za-z0-9_-]{30,64}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a command: text, or a picture with a caption."""

    chat_id: int
    html: str
    asked_ns: int  # monotonic
    picture: bytes = b""


class Sender:
    """Sends what waits in the outbox and what commands answered."""

    def __init__(
        self, bot: Bot, outbox: Outbox, *, chat_id: int, settings: TelegramConfig, clock: SystemClock
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.problem = ""  # why nothing gets through now; "" while it does
        self.is_hurried = False  # the end: nothing is gathered, no gaps
        self.tag = ""  # stands before every alert: SIM, PAPER
        self._bot = bot
        self._outbox = outbox
        self._chat_id = chat_id
        self._settings = settings
        self._clock = clock
        self._replies: deque[Reply] = deque()
        self._sent_ns = -(1 << 62)
        self._busy = False
        self._wait_s = settings.retry_min_s

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is on its way."""
        return not self._busy and not self._replies and not len(self._outbox)

    def reply(self, reply: Reply) -> None:
        """Answer a command; the oldest answer goes when too many wait."""
        self._replies.append(reply)
        if len(self._replies) > MAX_REPLIES:
            self._replies.popleft()
            self.counters["answers dropped"] += 1
        self._outbox.news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._outbox.news.wait()
            self._busy = True
            while self._replies:
                await self._send_reply(self._replies.popleft())
            if len(self._outbox):
                await self._send_alerts()
            elif not self._replies:
                self._outbox.news.clear()
            self._busy = False

    async def _send_alerts(self) -> None:
        """One batch, gathered first."""
        due_ns = self._clock.mono_ns() + int(self._settings.gather_s * NS)
        await self._wait_until(
            lambda: self._clock.mono_ns() >= due_ns or self._outbox.is_urgent or bool(self._replies)
        )
        if self._replies:
            return
        alerts = self._outbox.take()
        for letter in self._compose(alerts):
            gap_ns = self._sent_ns + int(self._settings.gap_s * NS)
            await self._wait_until(lambda until_ns=gap_ns: self._clock.mono_ns() >= until_ns)  # type: ignore[misc]
            await self._deliver(letter)
            self._sent_ns = self._clock.mono_ns()
            while self._replies:
                await self._send_reply(self._replies.popleft())

    def _compose(self, alerts: list[Alert]) -> list[Letter]:
        drops = self._outbox.take_drops()
        return compose(
            alerts,
            lines_count=self._settings.lines_count,
            tag=self.tag,
            now_ns=self._clock.now_ns(),
            drops=drops,
        )

    async def _wait_until(self, is_due: Callable[[], bool]) -> None:
        while not self.is_hurried and not is_due():
            await self._clock.sleep(LOOK_S)

    async def _deliver(self, letter: Letter) -> None:
        """Send one message, again and again until it is taken or refused for good."""
        text, mode = letter.html, ParseMode.HTML
        while True:
            try:
                await self._bot.send_message(
                    self._chat_id, text, parse_mode=mode, disable_notification=letter.is_silent
                )
            except BadRequest as error:
                if mode is None or "chat not found" in str(error).lower():
                    self._refused(error)
                    return
                text, mode = plain_text(text), None  # type: ignore[assignment]
                self.counters["sent as plain text"] += 1
            except ChatMigrated as error:
                self._refused(error)
                return
            except TelegramError as error:
                await self._pause_for(error)
            else:
                self._went_well("alerts")
                return

    async def _send_reply(self, reply: Reply) -> None:
        """Answer one command; gives up when the answer is old."""
        while self._clock.mono_ns() - reply.asked_ns < REPLY_LIFE_S * NS:
            try:
                if reply.picture:
                    await self._bot.send_photo(
                        reply.chat_id, reply.picture, caption=reply.html, parse_mode=ParseMode.HTML
                    )
                else:
                    await self._bot.send_message(reply.chat_id, reply.html, parse_mode=ParseMode.HTML)
            except (BadRequest, ChatMigrated) as error:
                self._refused(error)
                return
            except TelegramError as error:
                await self._pause_for(error)
            else:
                self._went_well("answers")
                return
        self.counters["answers dropped"] += 1

    def _went_well(self, what: str) -> None:
        self.counters[what] += 1
        if self.problem:
            logger.warning("telegram answers again", before=self.problem)
        self.problem = ""
        self._wait_s = self._settings.retry_min_s

    def _refused(self, error: TelegramError) -> None:
        self.counters["refused"] += 1
        logger.error("telegram refused a message error={}", describe(error))

    async def _pause_for(self, error: TelegramError) -> None:
        """Wait as long as this trouble asks for."""
        problem = describe(error)
        if problem != self.problem:
            logger.warning("telegram cannot be reached error={}", problem)
        self.problem = problem
        if isinstance(error, RetryAfter):
            self.counters["retry after"] += 1
            await self._clock.sleep(retry_after_s(error))
            return
        self.counters["retries"] += 1
        if isinstance(error, Forbidden | InvalidToken):
            await self._clock.sleep(self._settings.retry_max_s)
            return
        await self._clock.sleep(self._wait_s)
        self._wait_s = min(2.0 * self._wait_s, self._settings.retry_max_s)


def retry_after_s(error: RetryAfter) -> float:
    """Seconds Telegram asks us to wait."""
    value = error.retry_after
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def describe(error: BaseException) -> str:
    """An error in one line, without a token that an address in it may hold."""
    text = TOKEN.sub("[token]", " ".join(str(error).split()))[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def plain_text(text: str) -> str:
    """A message without its markup."""
    return html.unescape(re.sub(r"<[^<>]{1,40}>", "", text))
