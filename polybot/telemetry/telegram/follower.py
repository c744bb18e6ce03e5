"""Following the daemon: its events become alerts, its silence too.

Theory of operation.  `never` until a daemon answered; `up` while it answers; `ended` after its last word; `gone` when
it was up, said no last word and does not answer for gone_s (or, for a child, when the parent's pipe closed).  up ->
gone tells "daemon gone", gone -> up "back again"; ended -> up is an ordinary start.  A feed or entries that come back
within blip_s are counted and not told.  What the companion knew last outlives it in a small file, so that a start
after a crash of everything says "back again" as well.  Must not send: alerts go into the outbox.
Run by telegram.companion; telegram.commander reads `facts`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from loguru import logger

from polybot.clock import SystemClock
from polybot.config_telegram import TelegramConfig
from polybot.errors import PolybotError
from polybot.telemetry.telegram.alerts import Alert, Labels, alert_of, noise_of
from polybot.telemetry.telegram.answers import alive_line, held_line, identity_line
from polybot.telemetry.telegram.markup import hours_text, plain
from polybot.telemetry.telegram.memory import Memory
from polybot.telemetry.telegram.outbox import Outbox
from polybot.telemetry.telegram.repeats import Repeats

__all__ = ["Follower", "Looks"]

NS = 1_000_000_000
HOUR_NS = 3_600 * NS
# Pairs that come and go: the second cancels the first when it is quick.
BLIPS: Mapping[str, str] = {"feed_lost": "feed_back", "entries_closed": "entries_open"}
PROCESS = ("account", "session", "pid", "started_ns")  # what another run cannot have in common with this one
ENDS = {end: begin for begin, end in BLIPS.items()}
# After the parent's pipe closed: how long its last word may take to be read, and the looks for it.
LAST_LOOK_S, LAST_LOOKS = 0.05, 20


class Looks(Protocol):
    """What is asked of polybot.control.watcher.Watcher."""

    async def watch(self) -> dict[str, Any]: ...


class Follower:
    """One daemon, or one after the other on the same target."""

    def __init__(
        self, looks: Looks, outbox: Outbox, *, settings: TelegramConfig, memory: Memory, clock: SystemClock
    ) -> None:
        self.facts: Mapping[str, Any] | None = None  # the latest answer
        self.state = "never"
        self.problem = ""
        self.counters: Counter[str] = Counter()
        self._looks = looks
        self._outbox = outbox
        self._settings = settings
        self._memory = memory
        self._clock = clock
        self._labels = Labels()
        self._repeats = Repeats(settings.dedupe_s)
        self._held: dict[str, tuple[Alert, int]] = {}
        self._turn = asyncio.Lock()
        self._is_back = False
        self._identity = ""
        self._heard_ns = 0
        self._alive_ns = clock.mono_ns()

    async def look(self) -> None:
        """One look, and what follows from it."""
        async with self._turn:
            try:
                facts = await self._looks.watch()
            except (PolybotError, OSError) as error:
                self._on_silence(str(error) or type(error).__name__)
            else:
                self._on_facts(facts)
            self._on_time()

    async def parent_gone(self, *, left_socket: bool) -> None:
        """The daemon's pipe closed: hear its last word if there is one, else say that it is gone.

        `left_socket`: its socket is still there; an end in order removes it.
        """
        for _ in range(LAST_LOOKS):
            if self.state != "up" or self.problem:
                break
            await self.look()
            await self._clock.sleep(LAST_LOOK_S)
        if self.state == "never" and not left_socket:
            self._tell("stop", "⏹ it ended in order before this companion heard of it; not by you? read its log")
        elif self.state in ("up", "never"):
            self._tell_gone("its process ended")

    @property
    def silent_s(self) -> float:
        """How long nobody has answered; 0: somebody does."""
        return (
            0.0 if self.state == "up" and not self.problem else (self._clock.mono_ns() - self._heard_ns) / NS
        )

    def finish(self) -> None:
        """The end of this companion: counts that were held back, feeds that were not told yet."""
        for alert, _ in self._held.values():
            if self.state == "ended":  # part of an orderly end
                self.counters["blips"] += 1
            else:
                self._put(alert)
        self._held.clear()
        for alert in self._repeats.due(self._clock.mono_ns(), is_end=True):
            self._outbox.put(alert)

    def note_unsent(self) -> None:
        """Alerts were left at the end, its news perhaps among them: the next start says "back again"."""
        if self.state == "ended":
            self._memory.keep("gone", self._identity)

    @property
    def session(self) -> str:
        """Which run answers now; "" when none does."""
        return self._identity if self.state == "up" else ""

    # -- an answer ----------------------------------------------------------------------------------------------

    def _on_facts(self, facts: Mapping[str, Any]) -> None:
        self._heard_ns = self._clock.mono_ns()
        self.problem = ""
        events = list(facts.get("events") or ())
        if "account" in facts:
            self._on_identity(facts, has_start=any(event.get("kind") == "start" for event in events))
            self.facts = facts
        for market in facts.get("markets") or ():
            self._labels.learn(str(market.get("slug", "")), market)
        if self._is_back and events:
            self._is_back = False
            events = [event for event in events if event.get("kind") != "start"]  # "back again" said it
        missed = int(facts.get("events_missed") or 0)
        if missed:
            self.counters["events missed"] += missed
            self._tell(
                "missed", f"⚠️ {missed} events came too fast to be told; the files of the run have them"
            )
        for event in events:
            self.counters["events"] += 1
            try:
                self._on_event(event, facts)
            except Exception as error:  # the guard of an event: one of another version must not take the others with it
                logger.opt(exception=error).error("an event could not be understood")
                self._tell("error", f"🔴 {plain(event.get('kind', '?'))}: {plain(event.get('text', ''))}")
        if "account" in facts and "events_next" in facts:
            self._memory.hear([facts.get(key) for key in PROCESS], str(facts["events_next"]))
        if facts.get("ended"):
            self.state = "ended"
            self._memory.keep("ended", self._identity)

    def _on_event(self, event: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        told = _with_reason(event, facts)
        if told is None:
            return
        alert = alert_of(told, noise=self._settings.noise, labels=self._labels, at_ns=self._clock.now_ns())
        if event.get("kind") in (*BLIPS, *ENDS):
            alert = self._without_blips(event, alert)
        if alert is not None:
            self._put(alert)

    def _on_identity(self, facts: Mapping[str, Any], *, has_start: bool) -> None:
        """Who answers: the same as before, a new one, one that was believed dead."""
        identity = _identity_of(facts)
        before, self.state = self.state, "up"
        if identity == self._identity and before == "up":
            return
        was_left = before == "gone" or (before == "never" and self._memory.is_left_open(identity))
        was_left = was_left or (before == "up" and identity != self._identity)
        is_restarted = before == "never" and self._memory.was_followed(identity)
        self._identity = identity
        self._memory.keep("up", identity)
        if was_left:
            self._is_back = has_start
            self._tell("daemon_back", f"✅ <b>BACK AGAIN</b> {identity_line(facts)}\n{held_line(facts)}")
        elif is_restarted:
            lost = "this companion ended in between, alerts that waited in it are lost"
            self._tell("start", f"▶️ following again ({lost}) {identity_line(facts)}")
        elif not has_start:
            self._tell("start", f"▶️ following {identity_line(facts)}")

    def _without_blips(self, event: Mapping[str, Any], alert: Alert | None) -> Alert | None:
        """Hold what may be over soon; swallow it with its end."""
        kind = str(event["kind"])
        key = f"{ENDS.get(kind, kind)} {event.get('slug', '')} {(event.get('data') or {}).get('feed', '')}"
        if kind in BLIPS:
            if alert is not None:
                self._held.setdefault(key, (alert, self._clock.mono_ns()))
            return None
        if self._held.pop(key, None) is not None:
            self.counters["blips"] += 1
            return None
        return alert

    # -- silence and time ---------------------------------------------------------------------------------------

    def _on_silence(self, problem: str) -> None:
        if problem != self.problem:
            logger.info("the daemon does not answer reason={}", problem)
        self.problem = problem
        silent_s = (self._clock.mono_ns() - self._heard_ns) / NS
        if self.state == "up" and silent_s >= self._settings.gone_s:
            self._tell_gone(f"no answer for {hours_text(silent_s)}: {problem}")

    def _tell_gone(self, why: str) -> None:
        """Dead man: it left without a word."""
        self.state = "gone"
        self._memory.keep("gone", self._identity)
        facts = self.facts
        head = f"☠️ <b>DAEMON GONE</b> without a last word: {plain(why, 160)}"
        lines = [head, "Orders may be open at the venue: look there."]
        if facts is not None:
            lines += [identity_line(facts), f"last known: {held_line(facts)}"]
        self._tell("daemon_gone", "\n".join(lines))

    def _on_time(self) -> None:
        now_ns = self._clock.mono_ns()
        for key, (alert, since_ns) in list(self._held.items()):
            if now_ns - since_ns >= int(self._settings.blip_s * NS):
                del self._held[key]
                self._put(alert)
        for alert in self._repeats.due(now_ns):
            self._outbox.put(alert)
        every_ns = int(self._settings.alive_h * HOUR_NS)
        if every_ns and now_ns - self._alive_ns >= every_ns:
            self._alive_ns = now_ns
            if self.state == "up" and self.facts is not None:
                self._tell("alive", f"💓 alive: {alive_line(self.facts)}")

    # -- alerts -------------------------------------------------------------------------------------------------

    def _tell(self, kind: str, line: str) -> None:
        loudness = noise_of(self._settings.noise, kind)
        if loudness != "off":
            self._outbox.put(Alert(kind, line, loudness == "on", self._clock.now_ns()))

    def _put(self, alert: Alert) -> None:
        for each in self._admitted(alert):
            self._outbox.put(each)

    def _admitted(self, alert: Alert) -> Iterator[Alert]:
        return self._repeats.admit(alert, self._clock.mono_ns())


def _identity_of(facts: Mapping[str, Any]) -> str:
    """What another run cannot have in common with this one."""
    return "-".join(str(facts.get(key)) for key in PROCESS)


def _with_reason(event: Mapping[str, Any], facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A halt with who set it and why; None for the halt that is a part of stopping, which is told by itself."""
    data = event.get("data") or {}
    if event.get("kind") != "halt":
        return event
    if data.get("stopping"):
        return None
    found = next((one for one in facts.get("halts") or () if one.get("kind") == data.get("halt")), None)
    if found is None:
        return event
    return {
        **event,
        "text": f"{event.get('text', '')} by {found.get('by')}: {found.get('reason') or 'no reason given'}",
    }
