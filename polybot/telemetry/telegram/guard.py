"""Who may say what: one update from Telegram in, a command of an allowed person out, or the reason why not.

Owns the order of the checks and a counter for each.  Allowed is a message written by an allowed user in the allowed
chat, himself, now, once: not forwarded, edited, sent through a bot or in a channel's name, no button, no file, not
longer than a command can be, not older than the limit or than this process, not seen before.  Strangers come first,
so that nothing they send costs memory or an answer.  Must not answer or act.  Called by telegram.commander.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from telegram import Message, Update
from telegram.constants import ChatType

from polybot.gateway.limiter import TokenBucket
from polybot.telemetry.telegram.access import TelegramSecrets

__all__ = ["Guard", "Refusal", "Word"]

NS = 1_000_000_000
# The longest command is /flatten with a nonce and the bot's name.
MAX_CHARS = 128
# Updates of allowed people remembered against repeats; stale ones are refused by their age anyway.
MAX_SEEN = 4_096
# Never refused for being one too many: who wants out must get out.
URGENT = ("halt", "kill")
# Telegram's stamps are whole seconds, and clocks differ a little.
CLOCK_SLACK_S = 5
_COMMAND = re.compile(
    r"/([a-z]{1,16})(?:_([a-z0-9]{1,16}))?(?:@(\w{1,64}))?(?:\s+([a-z0-9]{1,16}))?\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Word:
    """One command of an allowed person."""

    verb: str
    argument: str
    chat_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an update is not carried out; `from_allowed`: the sender is one of ours and may be told."""

    why: str
    from_allowed: bool = False


class Guard:
    """Judges every update of one bot."""

    def __init__(
        self,
        access: TelegramSecrets,
        *,
        private_only: bool,
        stale_s: float,
        bucket: TokenBucket,
        now_ns: Callable[[], int],
        mono_ns: Callable[[], int],
    ) -> None:
        """`now_ns` is the wall's clock; what was sent before this moment is refused."""
        self.counters: Counter[str] = Counter()
        self.bot_name = ""
        self._access = access
        self._private_only = private_only
        self._stale_s = stale_s
        self._bucket = bucket
        self._now_ns = now_ns
        self._mono_ns = mono_ns
        self._started_s = now_ns() // NS - CLOCK_SLACK_S
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def judge(self, update: Update) -> Word | Refusal:
        """One update; counts it."""
        verdict = self._judge(update)
        self.counters["commands" if isinstance(verdict, Word) else verdict.why] += 1
        return verdict

    def _judge(self, update: Update) -> Word | Refusal:
        message = update.message
        if message is None:
            return Refusal("not a message")
        stranger = self._why_stranger(message)
        if stranger:
            return Refusal(stranger)
        odd = _why_odd(message)
        if odd:
            return Refusal(odd)
        if self._is_repeated(update.update_id, message.message_id):
            return Refusal("repeated")
        age_s = self._now_ns() // NS - int(message.date.timestamp())
        if age_s > self._stale_s or age_s < -self._stale_s or int(message.date.timestamp()) < self._started_s:
            return Refusal("stale", from_allowed=True)
        word = self._parse(message)
        is_urgent = isinstance(word, Word) and word.verb in URGENT
        if not is_urgent and self._bucket.take_or_wait(self._mono_ns()):
            return Refusal("too many")
        return word

    def _why_stranger(self, message: Message) -> str:
        user, access = message.from_user, self._access
        if access.chat_id == 0 or message.chat.id != access.chat_id:
            return "stranger's chat"
        if user is None or user.id not in access.user_ids or user.is_bot:
            return "stranger in the chat"
        if self._private_only and (message.chat.type != ChatType.PRIVATE or message.chat.id != user.id):
            return "group"
        return ""

    def _is_repeated(self, update_id: int, message_id: int) -> bool:
        """Was this update, or this message under another number, here before?"""
        keys = (("update", update_id), ("message", message_id))
        if any(key in self._seen for key in keys):
            return True
        for key in keys:
            self._seen[key] = None
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return False

    def _parse(self, message: Message) -> Word | Refusal:
        text = message.text or ""
        found = _COMMAND.fullmatch(text)
        if found is None or (found[2] and found[4]):
            return Refusal("no command", from_allowed=True)
        if found[3] and found[3].lower() != self.bot_name.lower():
            return Refusal("another bot's command")
        assert message.from_user is not None
        argument = (found[2] or found[4] or "").lower()
        return Word(found[1].lower(), argument, message.chat.id, message.from_user.id)


def _why_odd(message: Message) -> str:
    """What keeps a message of an allowed person from being his own word, written now; "": nothing."""
    if message.forward_origin is not None or message.is_automatic_forward:
        return "forwarded"
    if (
        message.sender_chat is not None
        or message.via_bot is not None
        or message.sender_business_bot is not None
    ):
        return "in another's name"
    if message.edit_date is not None:
        return "edited"
    if message.text is None:
        return "no text"
    if len(message.text) > MAX_CHARS:
        return "too long"
    return ""
