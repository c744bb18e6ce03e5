"""Seeded faults of REST requests: one draw per request says which kind strikes it, if any.

Owns which kinds can strike which request, their shares, and the drawn details (how late, how much is cut off).
What each kind does is in rest_faults.  Called by seeded_faults.
"""

from collections.abc import Callable
from random import Random

from polybot.config_faults import RestFaults
from polybot.sim import rest_faults
from polybot.sim.fault_tally import FaultTally
from polybot.sim.faults import RestFault

__all__ = ["SeededRequests"]

NS = 1_000_000_000
ANY = (
    "timeout_before",
    "timeout_after",
    "reset_before",
    "reset_after",
    "error_before",
    "error_after",
    "too_many",
    "empty",
    "truncated",
    "late",
    "twice",
)
LISTS = ("page_holed", "cursor_repeated")
# (method, start of the path) -> kinds besides ANY
MORE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("POST", "/order", ("no_order_id",)),
    ("GET", "/data/orders", LISTS),
    ("GET", "/data/order/", ("order_missing", "order_stale")),
    ("GET", "/data/trades", ("trades_lag", *LISTS)),
)


class SeededRequests:
    """The dice for requests."""

    def __init__(self, config: RestFaults, *, factor: float, rng: Random, tally: FaultTally) -> None:
        self._config = config
        self._rng = rng
        self._tally = tally
        self._factor = factor
        make: dict[str, Callable[[int], RestFault]] = {
            "timeout_before": lambda _: rest_faults.timeout_before(),
            "timeout_after": lambda _: rest_faults.timeout_after(),
            "reset_before": lambda _: rest_faults.reset_before(),
            "reset_after": lambda _: rest_faults.reset_after(),
            "error_before": lambda _: rest_faults.refused(502, b"<html>Bad Gateway</html>"),
            "error_after": lambda _: rest_faults.server_error_after(500, {"error": "internal server error"}),
            "too_many": lambda _: self.too_many(),
            "empty": lambda _: rest_faults.empty_body(),
            "truncated": lambda _: rest_faults.truncated(rng.uniform(0.05, 1.0)),
            "late": lambda _: rest_faults.late(rng.uniform(0.5, max(0.5, config.late_max_s))),
            "twice": lambda _: rest_faults.twice(answer_of_second=rng.random() < 0.5),
            "no_order_id": lambda _: rest_faults.without_order_id(),
            "order_missing": lambda _: rest_faults.refused(404, {"error": "order not found"}),
            "order_stale": lambda _: rest_faults.order_as_at_first(),
            "trades_lag": lambda now_ns: rest_faults.trades_until(now_ns // NS - round(config.lag_s)),
            "page_holed": lambda _: rest_faults.page_holed(),
            "cursor_repeated": lambda _: rest_faults.cursor_repeated(),
        }
        self._make = make

    @property
    def retry_s(self) -> float:
        """Retry-After of a 429."""
        return self._config.retry_after_s

    def too_many(self) -> RestFault:
        """429 with the configured Retry-After."""
        return rest_faults.refused(
            429, {"error": "Too Many Requests"}, retry_after_s=self._config.retry_after_s
        )

    def page_size(self, size: int) -> int:
        """Rows of the next page of a list: `size`, or far fewer."""
        if self._rng.random() >= self._factor * self._config.page_short_frac:
            return size
        self._tally.note("page_short")
        return self._rng.randrange(1, 3)

    def draw(self, method: str, path: str, now_ns: int) -> RestFault | None:
        """The fault that strikes this request, or None."""
        left = self._rng.random()
        for kind in self._kinds(method, path):
            left -= self._factor * float(getattr(self._config, f"{kind}_frac"))
            if left < 0.0:
                more = {"retry_s": self._config.retry_after_s} if kind == "too_many" else {}
                self._tally.note(kind, f"{method} {path}", **more)
                return self._make[kind](now_ns)
        return None

    def _kinds(self, method: str, path: str) -> tuple[str, ...]:
        for wanted, start, kinds in MORE:
            if method == wanted and path.startswith(start):
                return ANY + kinds
        return ANY
