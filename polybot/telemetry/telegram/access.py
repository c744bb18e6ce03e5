"""Whom the bot is and whom it obeys: token, chat and user ids from environment, file or credential.

Owns reading and checking them; the token shows in no repr.  Must not import the Telegram library (the trading process
reads the secrets for its child and must not pay for it), nor put a value into a message.
Called by telegram.command, by the daemon for its child, and by that child.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from polybot.config_telegram import TelegramConfig
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError

__all__ = ["TelegramSecrets", "read_telegram_secrets"]

_TOKEN = re.compile(r"\d{5,12}:[A-Za-z0-9_-]{30,64}")
_ID = re.compile(r"-?\d{1,19}")


@dataclass(frozen=True, slots=True)
class TelegramSecrets:
    """The bot's token, the chat it speaks to (0: not known yet), and the users it obeys."""

    token: str = field(repr=False)
    chat_id: int = 0
    user_ids: frozenset[int] = frozenset()

    def to_mapping(self) -> dict[str, str]:
        """Plain text values, for the pipe to a child."""
        users = ",".join(str(number) for number in sorted(self.user_ids))
        return {"token": self.token, "chat_id": str(self.chat_id), "user_ids": users}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, str]) -> "TelegramSecrets":
        """Inverse of to_mapping; raises ConfigError."""
        users = mapping.get("user_ids", "")
        return _checked(mapping.get("token", ""), mapping.get("chat_id", ""), users, chat_needed=False)


def read_telegram_secrets(
    settings: TelegramConfig, secrets: Secrets, *, chat_needed: bool = True
) -> TelegramSecrets:
    """Read token and ids from where `settings` say; raises ConfigError with what is missing and how to give it."""
    token = secrets.read("the Telegram bot's token", settings.token_env, path=settings.token_file)
    if token is None:
        raise ConfigError(
            f"no Telegram token is given: {settings.token_env}=... in the environment, {settings.token_env}_FILE=... "
            "or telegram.token_file=... with a file of mode 0600 (docs/TELEGRAM.md)"
        )
    chat = secrets.read("the Telegram chat's id", settings.chat_env, is_public=True) or ""
    users = secrets.read("the Telegram users' ids", settings.user_env, is_public=True) or ""
    if not chat and chat_needed:
        raise ConfigError(
            f"no Telegram chat is given: write a word to your bot, let `telegram telegram.check=true` find its id, "
            f"and set {settings.chat_env}"
        )
    return _checked(token, chat, users, chat_needed=chat_needed)


def _checked(token: str, chat: str, users: str, *, chat_needed: bool) -> TelegramSecrets:
    if _TOKEN.fullmatch(token) is None:
        raise ConfigError("the Telegram token (hidden) is none: BotFather's look like 123456789:AA...")
    chat_id = _number(chat, "the Telegram chat's id") if chat else 0
    if chat_needed and chat_id == 0:
        raise ConfigError("the Telegram chat's id must not be 0")
    user_ids = frozenset(
        _number(part.strip(), "a Telegram user's id") for part in users.split(",") if part.strip()
    )
    if not user_ids and chat_id > 0:  # a private chat has its user's id
        user_ids = frozenset({chat_id})
    return TelegramSecrets(token, chat_id, user_ids)


def _number(text: str, what: str) -> int:
    if _ID.fullmatch(text) is None:
        raise ConfigError(f"{what} is not a whole number (ids are, names with @ are not)")
    return int(text)
