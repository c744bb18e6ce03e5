"""The set-up check: is the token right, which chat is meant, does a message arrive?

Owns what a person setting it up sees, step by step, each failure with its remedy.  Asks Telegram a few times with
bounded waits; changes nothing but sending one test message (it does not confirm updates, so a companion that runs
meanwhile loses none).  Must not show the token.  Called by telegram.command.
"""

import sys
from typing import Any

from telegram import Bot, Update
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, TelegramError

from polybot.config_telegram import TelegramConfig
from polybot.telemetry.telegram.access import TelegramSecrets
from polybot.telemetry.telegram.companion import build_application
from polybot.telemetry.telegram.sender import describe

__all__ = ["check"]

EXIT_OK, EXIT_FAILED = 0, 1
TEST_TEXT = "polybot: this chat gets the alerts. Send /help once the companion runs."


async def check(settings: TelegramConfig, secrets: TelegramSecrets) -> int:
    """Test token and chat, and send a message; returns the exit code."""
    bot = build_application(settings, secrets.token).bot
    try:
        await bot.initialize()
    except InvalidToken:
        return _fail("Telegram does not know this token", "copy it again from BotFather (/mybots, API Token)")
    except TelegramError as error:
        return _fail(
            f"{settings.api_url} cannot be reached: {describe(error)}", "look at the network, then again"
        )
    try:
        _say(f"ok    the token is right: the bot is @{bot.username}")
        return await _check_chat(bot, settings, secrets)
    except TelegramError as error:
        return _fail(f"Telegram said: {describe(error)}", "look at the network, then again")
    finally:
        await bot.shutdown()


async def _check_chat(bot: Bot, settings: TelegramConfig, secrets: TelegramSecrets) -> int:
    if secrets.chat_id == 0:
        return await _find_chat(bot, settings)
    try:
        message = await bot.send_message(secrets.chat_id, TEST_TEXT)
    except Forbidden:
        return _fail(
            "the bot may not write to this chat", f"open @{bot.username} in Telegram and press Start"
        )
    except BadRequest as error:
        await _find_chat(bot, settings)
        return _fail(
            f"the chat is not known to the bot: {describe(error)}", f"set {settings.chat_env} to an id above"
        )
    _say(f"ok    a test message was sent to the chat {secrets.chat_id} ({message.chat.type})")
    if secrets.chat_id < 0 and settings.private_only:
        _say(
            "note  this chat is a group: alerts go there, commands are not taken (telegram.private_only=false would)"
        )
    if not secrets.user_ids:
        return _fail("nobody may command", f"set {settings.user_env} to your own id (with commas: several)")
    _say(f"ok    commands are taken from {', '.join(str(number) for number in sorted(secrets.user_ids))}")
    return EXIT_OK


async def _find_chat(bot: Bot, settings: TelegramConfig) -> int:
    """Say who wrote to the bot lately."""
    try:
        updates = await bot.get_updates(timeout=0, allowed_updates=("message",))
    except Conflict:
        return _fail(
            "another program asks for this bot's messages", "end the companion that runs, then again"
        )
    chats = {update.message.chat.id: update for update in updates if update.message is not None}
    if not chats:
        return _fail(
            "no chat is set and nobody wrote to the bot lately",
            f"write a word to @{bot.username}, then again",
        )
    for number, update in chats.items():
        _say(f"found {settings.chat_env}={number}   {_who(update)}")
    return _fail("no chat is set", f"set {settings.chat_env} to the id that is yours, then again")


def _who(update: Update) -> str:
    assert update.message is not None
    chat: Any = update.message.chat
    name = chat.title or " ".join(filter(None, (chat.first_name, chat.last_name)))
    handle = f" @{chat.username}" if chat.username else ""
    user = update.message.from_user
    sender = "" if user is None or user.id == chat.id else f", written by user {user.id}"
    return f"({chat.type}: {_printable(name)}{_printable(handle)}{sender})"


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:80]


def _fail(problem: str, remedy: str) -> int:
    _say(f"FAIL  {problem}\n      {remedy}")
    return EXIT_FAILED


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
