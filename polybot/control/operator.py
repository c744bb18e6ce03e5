"""The operator's acts on a running Trader: halt, resume, flatten, kill, and the question how it stands.

Owns who did what and why, and the kill file's effect.  Every act is an EV_OPERATOR event that the engine and the
journal see, so a replay sees it too; halts are kept over a restart before the act is answered.  Acts are refused
until the first beat: before it, what the last process left behind may not be restored yet.
Must not do I/O besides looking for the kill file, wait, or decide on its own.  Called by control.server and, on
every beat, by the trader; whoever else speaks for the operator (a chat, a page) calls the same methods.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polybot._fast.event import EventKind, OperatorCode
from polybot.control.health import HealthMonitor
from polybot.control.status import describe
from polybot.control.watching import Watched
from polybot.telemetry.recent import RecentEvents

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["Halts", "Operator"]

# Words of the halts that are on, by name (manual, daily, weekly): (by, reason).
Halts = Callable[[], Mapping[str, tuple[str, str]]]
KILL_FILE_CHARS = 200
EXPLAINED_ELSEWHERE = ("risk", "loss limit")  # of a daily or weekly halt
UNKNOWN_WORDS = ("polybot", "see the log: an ERROR line says why")


class Operator:
    """What a person may ask of one running daemon."""

    def __init__(
        self,
        trader: "Trader",
        *,
        identity: Mapping[str, Any],
        kill_file: Path | None = None,
        kept_halts: Halts | None = None,
        recent: RecentEvents | None = None,
    ) -> None:
        """`identity` opens every status (account, session, process); `kept_halts` tells the journal's words.

        `recent` is what telemetry tells those who watch; None: they see no events.
        """
        self.is_ready = False
        self.kill_problem = ""
        self.health = HealthMonitor(trader, trader.config.service, is_ready=lambda: self.is_ready)
        self._trader = trader
        self._identity = dict(identity)
        self._kill_file = kill_file
        self._kept_halts = kept_halts
        self._manual: tuple[str, str] | None = None
        self._watched = Watched(trader, RecentEvents(1, scrub=str) if recent is None else recent)

    # -- acts -------------------------------------------------------------------------------------------------

    def halt(self, by: str, reason: str) -> str:
        """No new orders, and what rests is cancelled; stays over a restart until resumed."""
        self._stop_entries(OperatorCode.OP_HALT, by, reason)
        return f"halted: no new orders, what rests is cancelled; `resume` lifts it{self._not_kept()}"

    def resume(self, by: str, reason: str = "") -> str:
        """Lift the manual halt; loss halts stay until their period ends."""
        if self._trader.stopping:
            return "not resumed: the daemon is stopping"
        self._manual = None
        self._trader.losses.explain(reason or "resumed", by)
        self._trader.tell(EventKind.EV_OPERATOR, i=OperatorCode.OP_RESUME)
        self._trader.losses.note()
        self._say("resume", f"resumed by {by}", by=by, reason=reason)
        left = [halt["kind"] for halt in self.halts()]
        return f"resumed; still halted: {', '.join(left)}" if left else "resumed"

    def flatten(self, by: str, reason: str) -> str:
        """Halt, cancel all, and sell what is held while its market is open; stays halted."""
        self._stop_entries(OperatorCode.OP_FLATTEN, by, reason)
        held = sum(any(market.shares) for market in self._trader.engine.markets.values())
        return (
            f"flattening: halted, cancelling everything, selling what is held in {held} markets; "
            f"watch `status`{self._not_kept()}"
        )

    def kill(self, by: str, reason: str) -> str:
        """Halt, cancel all, stop in order; the halt stays over a restart."""
        self._stop_entries(OperatorCode.OP_HALT, by, reason)
        self._trader.stop()
        text = "killed: halted, cancelling everything, stopping; a restart stays halted until resumed"
        return text + self._not_kept()

    def _stop_entries(self, code: OperatorCode, by: str, reason: str) -> None:
        """Set the manual halt and have it kept before anybody is told that it is on."""
        self._manual = (by, reason)
        self._trader.losses.explain(reason, by)
        self._trader.losses.keep_manual()
        self._trader.tell(EventKind.EV_OPERATOR, i=code)
        self._trader.losses.note()
        word = {OperatorCode.OP_FLATTEN: "flatten"}.get(code, "halt")
        self._say(word, f"{word} by {by}", by=by, reason=reason)

    def _not_kept(self) -> str:
        """What to add when the halt holds now and a restart would not know of it."""
        problem = self._trader.losses.problem
        return f". BUT A RESTART WILL NOT KNOW: {problem}" if problem else ""

    def _say(self, verb: str, what: str, *, by: str, reason: str) -> None:
        data = {"verb": verb, "by": by, "reason": reason}
        self._trader.notice("WARNING", f"operator: {what}: {reason or 'no reason given'}", data=data)

    # -- looks ------------------------------------------------------------------------------------------------

    def on_beat(self) -> None:
        """With every heartbeat of the trader: from the first on acts are taken; the kill file is looked for."""
        self.is_ready = True
        path = self._kill_file
        if path is None or self._trader.stopping:
            return
        try:
            found = path.exists()
        except OSError as error:
            self.kill_problem = f"the kill file cannot be looked for: {error}"
            return
        if found:
            self.kill("kill file", _first_line(path) or str(path))

    def halts(self) -> list[dict[str, str]]:
        """Every halt that is on, with who set it and why."""
        risk = self._trader.engine.risk
        words: dict[str, tuple[str, str]] = {"daily": EXPLAINED_ELSEWHERE, "weekly": EXPLAINED_ELSEWHERE}
        words.update(self._kept_halts() if self._kept_halts is not None else {})
        if self._manual is not None:
            words["manual"] = self._manual
        on = (("manual", risk.halted_manual), ("daily", risk.halted_daily), ("weekly", risk.halted_weekly))
        return [
            dict(zip(("kind", "by", "reason"), (kind, *words.get(kind, UNKNOWN_WORDS)), strict=True))
            for kind, is_on in on
            if is_on
        ]

    def hello(self) -> dict[str, Any]:
        """Who this is."""
        return dict(self._identity)

    def status(self) -> dict[str, Any]:
        """How it stands: plain values, money in micro-USD, sizes in micro-shares, ages in venue seconds."""
        return {**self._identity, "ready": self.is_ready, "halts": self.halts(), **describe(self._trader)}

    def watch(self, since: int | None) -> dict[str, Any]:
        """All of `status`, every window in detail, figures, and the events from `since` on (None: later ones)."""
        return {**self.status(), "health": self.health.describe(), **self._watched.describe(since)}

    def unseen(self, since: int) -> dict[str, Any]:
        """The events from `since` on, for a last word: the newest that fit."""
        return self._watched.last(since)


def _first_line(path: Path) -> str:
    """What somebody wrote into the kill file, cut; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(KILL_FILE_CHARS).decode(errors="replace")
    except OSError:
        return ""
    return "".join(char for char in text.partition("\n")[0] if char.isprintable()).strip()
