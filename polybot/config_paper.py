"""Settings of paper trading: how late simulated orders are, how they queue, what they start with.

Owns names, units, defaults and ranges of the section `paper`; conf/paper/default.yaml repeats the defaults with
a comment each.  Read by polybot.paper; without effect unless mode=paper.
"""

from dataclasses import dataclass
from typing import Literal

from polybot.config_schema import ranged

__all__ = ["PaperConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """Simulated execution; milliseconds of venue time, on the clock of what we receive."""

    order_latency_ms: float = ranged(40.0, 0.0, 10_000.0)  # decision to arrival, and its data back to us
    cancel_latency_ms: float = ranged(40.0, 0.0, 10_000.0)
    confirm_s: float = ranged(5.0, 0.0, 600.0)  # a fill is final so long after its match
    queue: Literal["pessimistic", "proportional"] = "pessimistic"
    extra_ticks: int = ranged(0, 0, 100)  # every taken price is so much worse than shown
    balance_usd: float = ranged(1_000.0, 0.0, 1e9)  # cash at the start
