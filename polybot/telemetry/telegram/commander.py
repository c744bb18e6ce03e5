"""Commands from the phone: judged by the guard, answered from what the follower knows, carried out by the daemon.

Owns the verbs, which of them need a second step, and what a person is told.  An act goes to the very process that was
shown when it was asked for: a nonce is bound to it, and the connection is checked before the act is sent.  Looks ask
nobody: they read the latest answer.  Must not send (the sender does) or decide about trading (the daemon does).
Called by the library's dispatch for every update; its errors end one answer, never the companion.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from loguru import logger
from telegram import Update

from polybot.clock import SystemClock
from polybot.config_telegram import TelegramConfig
from polybot.errors import PolybotError
from polybot.telemetry.telegram import answers
from polybot.telemetry.telegram.confirming import Confirmations
from polybot.telemetry.telegram.follower import Follower
from polybot.telemetry.telegram.guard import Guard, Refusal, Word
from polybot.telemetry.telegram.markup import hours_text, plain
from polybot.telemetry.telegram.sender import Reply

__all__ = ["HELP", "MENU", "Act", "Commander"]

NS = 1_000_000_000
# An allowed person is told why nothing happened, but not once per message.
HINT_GAP_NS = 30 * NS
# verb, reason, via, the process that is meant.
Act = Callable[[str, str, str, Mapping[str, Any]], Awaitable[str]]
LOOKS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "pnl": answers.pnl_text,
    "positions": answers.positions_text,
    "orders": answers.orders_text,
    "why": answers.why_text,
    "latency": answers.latency_text,
    "risk": answers.risk_text,
    "mode": answers.mode_text,
}
FROM_FILES = ("daily", "calib", "equity")
ACTS: Mapping[str, str] = {
    "halt": "no new orders, what rests is cancelled",
    "resume": "lifts the manual halt: polybot trades again",
    "flatten": "halts, cancels everything and sells what is held",
    "kill": "halts, cancels everything and stops polybot; a restart stays halted",
}
# A halt is never wrong for long; everything else is said twice.
AT_ONCE = ("halt",)
MENU: tuple[tuple[str, str], ...] = (
    ("status", "how it stands"),
    ("pnl", "day, week, session, strategies"),
    ("daily", "results of the last days"),
    ("positions", "what is held"),
    ("orders", "what is open"),
    ("why", "why it does not trade"),
    ("latency", "microseconds by stage"),
    ("calib", "picture: forecasts against outcomes"),
    ("equity", "picture: money over time"),
    ("risk", "limits and how much is used"),
    ("mode", "simulated, paper or real"),
    ("halt", "no new orders, at once"),
    ("resume", "trade again (asks twice)"),
    ("flatten", "sell everything (asks twice)"),
    ("kill", "stop polybot (asks twice)"),
    ("help", "this list"),
)
HELP = "\n".join(f"/{verb} {text}" for verb, text in MENU)


class Commander:
    """Answers one bot's commands."""

    def __init__(
        self,
        guard: Guard,
        follower: Follower,
        *,
        act: Act,
        reply: Callable[[Reply], None],
        from_files: Callable[[str, Reply], None],
        footer: Callable[[], str],
        settings: TelegramConfig,
        clock: SystemClock,
    ) -> None:
        """`from_files` answers verbs of FROM_FILES later; `footer` ends a status with this companion's own troubles."""
        self.counters: Counter[str] = Counter()  # acts sent to the daemon, by verb
        self._guard = guard
        self._follower = follower
        self._act = act
        self._reply = reply
        self._from_files = from_files
        self._footer = footer
        self._settings = settings
        self._clock = clock
        self._confirmations = Confirmations(valid_s=settings.confirm_s)
        self._hinted_ns = -HINT_GAP_NS

    async def on_update(self, update: Update, context: object = None) -> None:
        """One update of whatever kind and origin."""
        verdict = self._guard.judge(update)
        if isinstance(verdict, Refusal):
            if verdict.from_allowed:
                self._hint(update, verdict.why)
            return
        await self._on_word(verdict)

    async def _on_word(self, word: Word) -> None:
        if word.verb in ACTS:
            self._say(word, await self._on_act(word))
        elif word.verb in FROM_FILES:
            self._from_files(word.verb, Reply(word.chat_id, "", self._clock.mono_ns()))
        elif word.verb in LOOKS or word.verb == "status":
            self._say(word, self._look(word.verb))
        else:
            self._say(word, HELP)

    def _look(self, verb: str) -> str:
        facts, silent_s = self._follower.facts, self._follower.silent_s
        if facts is None:
            return f"no daemon was seen yet: {plain(self._follower.problem or 'looking for it')}"
        tag = f"{answers.tag_of(facts)} ".lstrip()
        if verb == "status":
            is_ended = self._follower.state == "ended"
            text = answers.status_text(facts, silent_s=silent_s, is_ended=is_ended)
            return "\n".join(filter(None, (f"{tag}{text}", self._footer())))
        is_old = silent_s > self._settings.gone_s
        old = f"🔴 no answer for {hours_text(silent_s)}; what was known before:\n" if is_old else ""
        return f"{tag}{old}{LOOKS[verb](facts)}"

    # -- acts ---------------------------------------------------------------------------------------------------

    async def _on_act(self, word: Word) -> str:
        facts = self._follower.facts
        session = self._follower.session
        if facts is None or not session:
            return f"🔴 not done: no daemon answers ({plain(self._follower.problem or 'it ended')})"
        if word.verb in AT_ONCE:
            return await self._carry_out(word, facts)
        who = {
            "chat_id": word.chat_id,
            "user_id": word.user_id,
            "session": session,
            "mono_ns": self._clock.mono_ns(),
        }
        if not word.argument:
            nonce = self._confirmations.ask(word.verb, **who)  # type: ignore[arg-type]
            return self._question(word.verb, nonce, facts)
        problem = self._confirmations.take(word.verb, word.argument, **who)  # type: ignore[arg-type]
        if problem:
            self._guard.counters["bad confirmation"] += 1
            return f"🔴 not done: {problem}. Begin again: /{word.verb}"
        return await self._carry_out(word, facts)

    def _question(self, verb: str, nonce: str, facts: Mapping[str, Any]) -> str:
        return "\n".join(
            [
                f"⚠️ <b>{verb.upper()}</b> {ACTS[verb]}",
                f"{answers.tag_of(facts) or '[REAL]'} {answers.identity_line(facts)}",
                answers.held_line(facts),
                f"Sure? Tap within {self._settings.confirm_s:.0f} s: /{verb}_{nonce}",
            ]
        )

    async def _carry_out(self, word: Word, facts: Mapping[str, Any]) -> str:
        self.counters[word.verb] += 1
        logger.warning("telegram command verb={} user={}", word.verb, word.user_id)
        try:
            text = await self._act(word.verb, "from the phone", f"Telegram user {word.user_id}", facts)
        except (PolybotError, OSError) as error:
            return f"🔴 <b>{word.verb} is NOT sure to be done</b>: {plain(error)}"
        return f"✅ {plain(text)}"

    # -- words --------------------------------------------------------------------------------------------------

    def _say(self, word: Word, text: str) -> None:
        self._reply(Reply(word.chat_id, text, self._clock.mono_ns()))

    def _hint(self, update: Update, why: str) -> None:
        """Tell an allowed person why nothing happened, not too often."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._hinted_ns < HINT_GAP_NS or update.message is None:
            return
        self._hinted_ns = now_ns
        text = {
            "stale": f"not done: it came more than {self._settings.stale_s:.0f} s after it was sent; send it again",
            "no command": "not understood; /help lists the commands",
        }.get(why, f"not done: {why}")
        self._reply(Reply(update.message.chat.id, text, now_ns))
