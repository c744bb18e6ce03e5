"""The embedded venue's rate limits, as documented for the real one (reference, section 4.6).

Two layers: requests of one client by kind in a sliding 10 s, and a token bucket per wallet for orders and cancels.
Beyond a limit the answer is 429 with Retry-After.  A client that goes on asking through BAN_AFTER refusals within
10 s is banned for BAN_S: everything is refused (our rule: the real one's is not documented).
Owns counts and bans; must not know what a request does.  Called by clob_rest.
"""

from collections import deque
from dataclasses import dataclass, field

from polybot.sim.ledger import Ledger

__all__ = ["RateLimits"]

NS = 1_000_000_000
WINDOW_NS = 10 * NS
BAN_AFTER = 50  # refusals within a window
BAN_S = 60
ORDER_PER_S, ORDER_BURST = 40, 60  # tier Standard
CANCEL_PER_S, CANCEL_BURST = 80, 120
GENERAL = 9_000
# (method, path or start of it) -> requests per 10 s; the first that fits counts, and the general one too
LIMITS: tuple[tuple[str, str, int], ...] = (
    ("POST", "/orders", 2_000),
    ("POST", "/order", 5_000),
    ("DELETE", "/orders", 2_000),
    ("DELETE", "/order", 5_000),
    ("DELETE", "/cancel-all", 250),
    ("DELETE", "/cancel-market-orders", 1_500),
    ("GET", "/balance-allowance/update", 50),
    ("GET", "/balance-allowance", 200),
    ("GET", "/data/", 500),
    ("GET", "/book", 1_500),
    ("", "/auth/", 100),
)


@dataclass(slots=True)
class _Bucket:
    """Tokens that refill evenly."""

    per_s: int
    burst: int
    tokens: float
    at_ns: int

    def wait_s(self, cost: int, now_ns: int) -> float:
        """Take `cost` tokens; the seconds to wait when they are not there (then none is taken)."""
        self.tokens = min(float(self.burst), self.tokens + (now_ns - self.at_ns) / NS * self.per_s)
        self.at_ns = now_ns
        if self.tokens >= cost or self.tokens >= self.burst:  # more than the burst is let through from full
            self.tokens -= cost
            return 0.0
        return (cost - self.tokens) / self.per_s


@dataclass(slots=True)
class RateLimits:
    """Limits of one venue session; all requests are one client's."""

    ledger: Ledger
    throttled: int = 0
    bans: int = 0
    _times: dict[str, deque[int]] = field(default_factory=dict)
    _refusals: deque[int] = field(default_factory=deque)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _banned_until_ns: int = 0

    def refuse_s(self, method: str, path: str, now_ns: int, *, wallet: str = "", cost: int = 1) -> float:
        """0.0 when the request may pass, else the seconds of Retry-After."""
        if now_ns < self._banned_until_ns:
            return (self._banned_until_ns - now_ns) / NS
        wait_s = self._window_s("", GENERAL, now_ns)
        for wanted, start, limit in LIMITS:
            if wanted in ("", method) and path.startswith(start):
                wait_s = max(wait_s, self._window_s(f"{wanted} {start}", limit, now_ns))
                break
        if wait_s == 0.0 and wallet:
            wait_s = self._wallet_s(method, path, wallet, cost, now_ns)
        if wait_s > 0.0:
            self._note_refusal(now_ns)
        return wait_s

    def _window_s(self, name: str, limit: int, now_ns: int) -> float:
        times = self._times.setdefault(name, deque())
        while times and times[0] <= now_ns - WINDOW_NS:
            times.popleft()
        if len(times) >= limit:
            return (times[0] + WINDOW_NS - now_ns) / NS
        times.append(now_ns)
        return 0.0

    def _wallet_s(self, method: str, path: str, wallet: str, cost: int, now_ns: int) -> float:
        if method == "POST" and path in ("/order", "/orders"):
            per_s, burst = ORDER_PER_S, ORDER_BURST
        elif method == "DELETE":
            per_s, burst = CANCEL_PER_S, CANCEL_BURST
        else:
            return 0.0
        bucket = self._buckets.setdefault((wallet, method), _Bucket(per_s, burst, float(burst), now_ns))
        return bucket.wait_s(cost, now_ns)

    def _note_refusal(self, now_ns: int) -> None:
        self.throttled += 1
        self._refusals.append(now_ns)
        while self._refusals[0] <= now_ns - WINDOW_NS:
            self._refusals.popleft()
        if len(self._refusals) > BAN_AFTER:
            self.bans += 1
            self._banned_until_ns = now_ns + BAN_S * NS
            self._refusals.clear()
            self.ledger.write("ban", now_ns, seconds=BAN_S)
