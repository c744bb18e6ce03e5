"""The desk of a backtest: gateway Commands in, orders in the simulated venue, with latencies as they were measured.

Owns the simulated venue (SimExecution), the draw of every order's latency, and who was told what when.  An order is
planned, refused or limited by the code that mode=paper uses (paper.intake), which is the real gateway's own.
A latency is drawn from a table of quantiles by (seed, order number): the same order gets the same latency whatever
else was ordered, so that variants of one backtest differ by what is varied alone.
Must not decide what is filled.  Called by the pump (on_actions, on_told, on_tick_size) and by backtest.world.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.engine import Engine
from polybot._fast.event import CommandBuffer, EventBuffer, EventKind, OrderStatus
from polybot._fast.execution import SimExecution
from polybot._fast.keccak import keccak_256
from polybot._fast.pump import Pump
from polybot.backtest.result import LATENCY_DTYPE
from polybot.errors import ConfigError
from polybot.gateway.orders import CommandHead, OrderPlan, TradedMarket
from polybot.gateway.reasons import RejectReason
from polybot.market.spec import MarketSpec
from polybot.paper.intake import QUEUES, Intake, build_refusal

__all__ = ["Desk", "DeskSettings", "LatencyTable"]

NS = 1_000_000_000
NS_PER_MS = 1_000_000
MICRO = 1_000_000
EV_ORDER_UPDATE = int(EventKind.EV_ORDER_UPDATE)
OS_DELAYED = int(OrderStatus.OS_DELAYED)
UNSIGNED = (b"", b"")
PLACE, CANCEL = b"place", b"cancel"


class LatencyTable:
    """A distribution of latencies, ms, by evenly spaced quantiles: the least first, the greatest last."""

    def __init__(self, quantiles_ms: Sequence[float], *, factor: float, seed: int) -> None:
        """`factor` stretches every latency; raises ConfigError for quantiles that fall or are below 0."""
        if not quantiles_ms or list(quantiles_ms) != sorted(quantiles_ms) or quantiles_ms[0] < 0.0:
            raise ConfigError(f"latency quantiles must rise from 0 on, not {list(quantiles_ms)}")
        if not factor >= 0.0:
            raise ConfigError(f"latency_factor {factor} is not allowed: must be at least 0")
        self._points = [value * factor * NS_PER_MS for value in quantiles_ms]
        self._seed = seed.to_bytes(8, "big", signed=True)

    def draw_ns(self, kind: bytes, order_seq: int) -> int:
        """Return the latency of one order's `kind` of request, linear between the quantiles."""
        digest = keccak_256(self._seed + kind + order_seq.to_bytes(8, "big", signed=True))
        at = int.from_bytes(digest[:8], "big") / 2.0**64 * (len(self._points) - 1)
        below = int(at)
        above = min(below + 1, len(self._points) - 1)
        return round(self._points[below] + (at - below) * (self._points[above] - self._points[below]))

    def median_ns(self) -> int:
        """The middle of the table."""
        middle = (len(self._points) - 1) / 2.0
        return round((self._points[int(middle)] + self._points[int(middle + 0.5)]) / 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSettings:
    """What a simulated account is like; money in USD, times as named."""

    balance_usd: float
    order_latency_ms: Sequence[float]  # quantiles: decision to the data that show the venue with the order
    cancel_latency_ms: Sequence[float]
    latency_factor: float = 1.0
    seed: int = 0
    confirm_s: float = 5.0
    queue: str = "pessimistic"
    extra_ticks: int = 0
    post_only: bool = True
    place_per_s: float
    place_burst: int


class Desk:
    """One simulated account of one backtest."""

    def __init__(self, settings: DeskSettings) -> None:
        self._place_latency = LatencyTable(
            settings.order_latency_ms, factor=settings.latency_factor, seed=settings.seed
        )
        self._cancel_latency = LatencyTable(
            settings.cancel_latency_ms, factor=settings.latency_factor, seed=settings.seed
        )
        self.venue = SimExecution(
            cash_usd=round(settings.balance_usd * MICRO),
            confirm_ns=round(settings.confirm_s * NS),
            cancel_ns=self._cancel_latency.median_ns(),
            queue=QUEUES[settings.queue],
            extra_ticks=settings.extra_ticks,
        )
        self._intake = Intake(
            self.venue,
            post_only=settings.post_only,
            place_per_s=settings.place_per_s,
            place_burst=settings.place_burst,
        )
        self._pump: Pump | None = None
        self._now_ns = 0
        self._told: dict[int, int] = {}  # order_seq -> place in _latency, until it is told
        self._latency: list[tuple[int, int, int]] = []
        self._told_ns: list[int] = []
        self._refusals: dict[str, int] = {}

    def build_pump(
        self,
        engine: Engine,
        *,
        keep: int,
        timer_ns: int = 100 * NS_PER_MS,
        balance_ns: int = 30 * NS,
        note_quotes: bool = False,
    ) -> Pump:
        """Make the pump that this desk serves."""
        pump = Pump(
            engine,
            self.venue,
            on_actions=self.execute,
            on_told=self.on_told,
            on_tick_size=self.set_tick_size,
            timer_ns=timer_ns,
            balance_ns=balance_ns,
            keep=keep,
            note_quotes=note_quotes,
        )
        self.serve(pump)
        return pump

    def serve(self, pump: Pump) -> None:
        """Tell this pump of refusals from now on."""
        self._pump = pump

    # -- markets ----------------------------------------------------------------------------------------------

    def register_market(self, index: int, spec: MarketSpec) -> None:
        """Make a market tradable; nothing is signed here, so any token id will do."""
        self._intake.register_market(TradedMarket(index, spec, UNSIGNED, spec.tick_size_ticks))

    def set_tick_size(self, index: int, tick_size_ticks: int) -> None:
        """The price grid changed; holds from the next order on."""
        self._intake.set_tick_size(index, tick_size_ticks)

    def forget_market(self, index: int) -> None:
        """Forget a settled market with its orders."""
        self._intake.forget_market(index)
        if self._pump is not None:
            self._pump.forget_market(index)

    def settle(self, index: int, winner: int) -> int:
        """Pay out what is held; returns micro-USD.  The engine is told of the cash by the next EV_BALANCE."""
        return self.venue.settle(index, winner)

    # -- what the pump calls ----------------------------------------------------------------------------------

    def execute(self, commands: CommandBuffer, now_ns: int) -> None:
        """Take the gateway's commands out of a buffer: cancels first, then places."""
        self._now_ns = now_ns
        self._intake.take(commands, cancel=self._cancel, place=self._place)

    def on_told(self, events: EventBuffer) -> None:
        """Note when the venue's word on each order came: at rest, matched, killed or refused (not: held)."""
        if not self._told:
            return
        for row in events.to_numpy():
            seq = int(row["seq"])
            if seq in self._told and not (row["kind"] == EV_ORDER_UPDATE and row["i"] == OS_DELAYED):
                self._told_ns[self._told.pop(seq)] = int(row["recv_ns"])

    def _cancel(self, seqs: tuple[int, ...]) -> None:
        for seq in seqs:
            self.venue.cancel(seq, self._now_ns + self._cancel_latency.draw_ns(CANCEL, seq))

    def _place(self, command: CommandHead) -> None:
        plan = self._intake.plan(command, self._now_ns)
        if isinstance(plan, RejectReason):
            self._refuse(command, plan)
        else:
            self._send(command, plan)

    def _send(self, command: CommandHead, plan: OrderPlan) -> None:
        arrive_ns = self._now_ns + self._place_latency.draw_ns(PLACE, plan.order_seq)
        self._intake.send(command.market, plan, arrive_ns=arrive_ns)
        self._told[plan.order_seq] = len(self._latency)
        self._latency.append((plan.order_seq, self._now_ns, arrive_ns))
        self._told_ns.append(0)

    def _refuse(self, command: CommandHead, reason: RejectReason) -> None:
        """Count a local refusal and report it; the pump lets it wait its turn."""
        assert self._pump is not None, "commands come from the pump"
        self._refusals[reason.name] = self._refusals.get(reason.name, 0) + 1
        self._pump.tell(build_refusal(command, reason, market=command.market, now_ns=self._now_ns))

    # -- what may be looked at --------------------------------------------------------------------------------

    def latency(self) -> npt.NDArray[Any]:
        """One row of LATENCY_DTYPE per order that was sent, in the order of sending."""
        rows = np.zeros(len(self._latency), LATENCY_DTYPE)
        for k, (found, told_ns) in enumerate(zip(self._latency, self._told_ns, strict=True)):
            rows[k] = (*found, told_ns)
        return rows

    def counters(self) -> dict[str, int]:
        """Everything counted."""
        refused = {f"refused_{name.lower()}": value for name, value in self._refusals.items()}
        return {**self.venue.counters(), **refused}
