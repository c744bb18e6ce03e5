"""The dead-man switch: a wallet that stops beating loses its resting orders.

The first beat arms it and nothing disarms it.  A beat must echo the id of the previous answer;
another id is refused with the right one.  No beat for the limit (10 s): at the next sweep (every
5 s) everything resting is canceled, at every sweep until the beats come back.  Called by clob_rest.
"""

from polybot.sim.accounts import Account
from polybot.sim.exchange import Exchange

__all__ = ["Heartbeats"]

NS = 1_000_000_000
LATE_NS = 7_500_000_000  # a beat so long after the last is noted in the ledger


class Heartbeats:
    """Beats of all accounts of one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._beats = 0

    def beat(self, account: Account, heartbeat_id: str, now_ns: int) -> tuple[bool, str]:
        """(accepted, the id to echo next)."""
        current = account.heartbeat_id
        if current is None:
            self._sweep_later(account, now_ns)
        elif heartbeat_id != current:
            return False, current
        elif now_ns - account.beat_ns > LATE_NS:
            self._exchange.ledger.write("beat", now_ns, account=account.name, gap_ns=now_ns - account.beat_ns)
        self._beats += 1
        account.heartbeat_id = f"hb-{account.number}-{self._beats}"
        account.beat_ns = now_ns
        return True, account.heartbeat_id

    def _sweep_later(self, account: Account, now_ns: int) -> None:
        every_ns = self._exchange.settings.heartbeat_sweep_s * NS
        due_ns = (now_ns // every_ns + 1) * every_ns
        self._exchange.scheduler.at(due_ns, lambda: self._sweep(account))

    def _sweep(self, account: Account) -> None:
        now_ns = self._exchange.scheduler.now_ns
        if now_ns - account.beat_ns >= self._exchange.settings.heartbeat_limit_s * NS:
            canceled, _ = self._exchange.cancel_all(account)
            if canceled:
                self._exchange.ledger.write("expire", now_ns, account=account.name, canceled=len(canceled))
        self._sweep_later(account, now_ns)
