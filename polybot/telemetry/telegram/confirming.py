"""Second steps: what must be said twice, and the word that makes the second time valid.

Owns the open confirmations: at most one per person, made of random characters, bound to command, chat, user and the
daemon's session, valid for a limited time and once.  A wrong word voids the open one after a few tries.
Must not act, send or read a clock.  Called by telegram.commander.
"""

import hmac
import secrets
from dataclasses import dataclass

__all__ = ["Confirmations"]

NS = 1_000_000_000
# No letters or digits that look alike on a phone.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
NONCE_CHARS = 8  # 31^8: 8.5e11
MAX_WRONG = 3


@dataclass(slots=True)
class _Open:
    """One command that waits for its second step."""

    verb: str
    session: str
    nonce: str
    until_ns: int
    wrong: int = 0


class Confirmations:
    """The open second steps of all allowed persons."""

    def __init__(self, *, valid_s: float) -> None:
        self._valid_ns = int(valid_s * NS)
        self._open: dict[tuple[int, int], _Open] = {}

    def ask(self, verb: str, *, chat_id: int, user_id: int, session: str, mono_ns: int) -> str:
        """Open a second step, in place of one that this person had open; returns its word."""
        nonce = "".join(secrets.choice(ALPHABET) for _ in range(NONCE_CHARS))
        self._open[chat_id, user_id] = _Open(verb, session, nonce, mono_ns + self._valid_ns)
        return nonce

    def take(self, verb: str, nonce: str, *, chat_id: int, user_id: int, session: str, mono_ns: int) -> str:
        """Use a word up; returns "" when it is valid, else why it is not."""
        item = self._open.get((chat_id, user_id))
        if item is None:
            return "nothing of yours waits for it"
        if mono_ns > item.until_ns:
            del self._open[chat_id, user_id]
            return "it came too late"
        if item.verb != verb or not hmac.compare_digest(item.nonce, nonce):
            item.wrong += 1
            if item.wrong >= MAX_WRONG:
                del self._open[chat_id, user_id]
            return "it is not the one that waits"
        del self._open[chat_id, user_id]
        if item.session != session:
            return "it was for a session that is over"
        return ""
