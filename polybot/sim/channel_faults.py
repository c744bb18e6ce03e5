"""Seeded faults of one websocket channel: each message may be lost, late, doubled, spoilt; a channel may go quiet.

Theory of operation: one draw per message while a spell lasts; the shares of the kinds add up.  What lasts (a gap, a
freeze) and a close come at exponential times of their own and take hold of whatever is sent next.
    gap     everything is lost, pongs too       freeze  pongs come, nothing else
Owns the messages it holds back; never changes what the venue knows.  Called by seeded_faults.
"""

from collections.abc import Callable
from random import Random

from polybot.config_faults import ChannelFaults
from polybot.sim.fault_tally import FaultTally, Spells
from polybot.sim.faults import Receiver
from polybot.sim.scheduler import Scheduler

__all__ = ["SeededChannel"]

NS = 1_000_000_000
PONG = "PONG"
HOUR_S = 3_600.0
SWAP_WAIT_S = 1.0  # a message that waits for the next one to overtake it waits no longer
CLOSE_CODES = (1_006, 1_008, 1_012)
KINDS = ("drop", "delay", "swap", "duplicate", "garbage", "truncate")
GARBAGE = '{"event_type":"\u0000\ufffd'
Deliver = Callable[[Receiver, str], None]


class SeededChannel:
    """One channel, `name` "market" or "user"."""

    def __init__(
        self,
        name: str,
        config: ChannelFaults,
        *,
        factor: float,
        rng: Random,
        scheduler: Scheduler,
        spells: Spells,
        tally: FaultTally,
    ) -> None:
        self._name = name
        self._config = config
        self._rng = rng
        self._scheduler = scheduler
        self._spells = spells
        self._tally = tally
        self._shares = [(kind, factor * float(getattr(config, f"{kind}_frac"))) for kind in KINDS]
        self._total = sum(share for _, share in self._shares)
        self._silent_until_ns = {"gap": 0, "freeze": 0}
        self._close_code = 0  # of a close that waits for the next message
        self._held: tuple[Receiver, str] | None = None
        for kind, per_h in (
            ("close", config.close_per_h),
            ("gap", config.gap_per_h),
            ("freeze", config.freeze_per_h),
        ):
            if per_h > 0.0:
                self._await(kind, factor * per_h)

    def deliver(self, text: str, to: Receiver, now_ns: int) -> None:
        """Pass one message on, as the dice fall."""
        if to.close_reason is not None:
            return
        if self._close_code:
            self._close(to)
            return
        if now_ns < self._silent_until_ns["gap"] or (
            text != PONG and now_ns < self._silent_until_ns["freeze"]
        ):
            return
        kind = self._draw() if text != PONG and self._spells.active(now_ns) else ""
        if kind:
            self._tally.note(f"{self._name}_{kind}")
            self._spoil(kind, text, to, now_ns)
        else:
            self._send(to, text)

    def _draw(self) -> str:
        left = self._rng.random()
        if left >= self._total:
            return ""
        for kind, share in self._shares:
            left -= share
            if left < 0.0:
                return kind
        return ""

    def _spoil(self, kind: str, text: str, to: Receiver, now_ns: int) -> None:
        if kind == "delay":
            due_ns = now_ns + round(self._rng.uniform(0.05, max(0.05, self._config.delay_max_s)) * NS)
            self._scheduler.at(due_ns, lambda: self._send(to, text))
        elif kind == "swap":
            self._release()
            self._held = (to, text)
            self._scheduler.at(now_ns + round(SWAP_WAIT_S * NS), self._release)
        elif kind == "duplicate":
            self._send(to, text)
            self._send(to, text)
        elif kind == "garbage":
            self._send(to, GARBAGE)
        elif kind == "truncate":
            self._send(to, text[: self._rng.randrange(len(text))])

    def _send(self, to: Receiver, text: str) -> None:
        """Send, and after it what was held back for it."""
        if to.close_reason is None:
            to.send(text)
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            (to, text), self._held = self._held, None
            if to.close_reason is None:
                to.send(text)

    def _close(self, to: Receiver) -> None:
        self._tally.note(f"{self._name}_close", str(self._close_code))
        to.close_reason = f"{self._close_code} fault"
        self._close_code = 0

    # ---- what lasts

    def _await(self, kind: str, per_h: float) -> None:
        due_ns = self._scheduler.now_ns + round(self._rng.expovariate(per_h / HOUR_S) * NS)
        self._scheduler.at(due_ns, lambda: self._begin(kind, per_h))

    def _begin(self, kind: str, per_h: float) -> None:
        now_ns = self._scheduler.now_ns
        if self._spells.active(now_ns):
            if kind == "close":
                self._close_code = CLOSE_CODES[self._rng.randrange(len(CLOSE_CODES))]
            else:
                seconds = self._config.gap_s if kind == "gap" else self._config.freeze_s
                self._silent_until_ns[kind] = now_ns + round(seconds * NS)
                self._tally.note(f"{self._name}_{kind}", seconds=seconds)
        self._await(kind, per_h)
