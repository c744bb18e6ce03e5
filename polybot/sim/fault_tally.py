"""What struck so far, and when anything may strike at all.

Owns the counts by kind and the ledger's "fault" rows, and the rhythm of spells and calm that lets the world heal.
Must not decide what strikes.  Used by every part of the seeded faults.
"""

from polybot.config_faults import FaultConfig
from polybot.sim.ledger import Ledger
from polybot.sim.scheduler import Scheduler

__all__ = ["FaultTally", "Spells"]

NS = 1_000_000_000


class FaultTally:
    """Counts every strike by kind and notes it in the ledger."""

    def __init__(self, ledger: Ledger, scheduler: Scheduler) -> None:
        self.counts: dict[str, int] = {}
        self._ledger = ledger
        self._scheduler = scheduler

    def note(self, kind: str, what: str = "", **more: object) -> None:
        """One strike; `what` names the request or message it hit."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._ledger.write("fault", self._scheduler.now_ns, fault=kind, what=what, **more)


class Spells:
    """Whether faults may strike: spells and calm in turn, from `begin_s` after the start to `end_s`."""

    def __init__(self, config: FaultConfig, epoch_ns: int) -> None:
        self._begin_ns = epoch_ns + round(config.begin_s * NS)
        self._end_ns = epoch_ns + round(config.end_s * NS) if config.end_s else None
        self._spell_ns = round(config.spell_s * NS)
        self._round_ns = self._spell_ns + round(config.calm_s * NS)

    def active(self, now_ns: int) -> bool:
        """True within a spell."""
        if now_ns < self._begin_ns or (self._end_ns is not None and now_ns >= self._end_ns):
            return False
        return (now_ns - self._begin_ns) % self._round_ns < self._spell_ns
