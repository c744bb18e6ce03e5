"""A surface of several live windows of one asset, fed through the engine by hand.

One still minute of spot, then windows with chosen ends, rules and distances from their strikes, quoted around the
probability that a forward variance of the test's own choosing gives them.  Times are seconds from the base window's
start; everything is evaluated at NOW_S.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from reference import surface_reference as ref
from scenario import NS, SHARE, Scenario, make_spec, rows

from polybot._fast.cross_timeframe import CrossTimeframe
from polybot._fast.event import CommandKind, EventKind, StrikeSource

NOW_S = 20.0
LAG_S = 3.0
SPOT = 100_000.0
# What spot did in the last second of the still minute (scenario.warm goes up and down by one).
JUST_NOW = math.log(100_001.0 / 100_000.0)
DEPTH = 1_000
RULES = {"twap": 60, "point": 0, "candle": 0}
SOURCES = {
    "twap": "https://data.chain.link/streams/btc-usd-twap-60s-streams",
    "point": "https://data.chain.link/streams/btc-usd",
    "candle": "https://www.binance.com/en/trade/BTC_USDT",
}


@dataclass
class Leg:
    """One window to be made: seconds left, how far from its strike in deviations, its rule."""

    tau: float
    z: float
    rule: str = "twap"


class Surface:
    """Windows in an engine with cross_timeframe alone; `legs` and markets have the same order."""

    def __init__(
        self,
        legs: list[Leg],
        *,
        forward: list[float] | float = 1.0,
        half_spread: int = 50,
        noise: np.ndarray | None = None,
        strategy: CrossTimeframe | None = None,
        observed: frozenset[int] = frozenset(),
    ) -> None:
        """`forward`: variance of each piece between ends in sigma^2; half_spread in ticks; noise: of mids, USD."""
        self.strategy = strategy or CrossTimeframe()
        self.legs = legs
        self.half_spread = half_spread
        first = legs[0]
        self.scenario = Scenario([self.strategy], spec=self._spec(0, first))
        self.scenario.risk.set_limits(0, per_trade_frac=1.0, total_frac=1.0, cooldown_ns=0, max_orders=50)
        self.scenario.warm(until=NOW_S, strike=None)
        self.scenario.trade(NOW_S, SPOT)
        self.scenario.go()
        self.engine, self.spot = self.scenario.engine, self.scenario.spot
        for k, leg in enumerate(legs[1:], start=1):
            self.engine.open_market(
                k, self._spec(k, leg), order_seq_base=1_000 * (k + 1), observed=k in observed
            )
        ends = sorted({leg.tau for leg in legs})
        pieces = [forward] * len(ends) if isinstance(forward, float) else forward
        self.true_v2 = [self._variance(leg, ends, pieces) for leg in legs]
        self.strikes = [
            self._level(leg) * math.exp(-leg.z * math.sqrt(v2))
            for leg, v2 in zip(legs, self.true_v2, strict=True)
        ]
        self.fair = [
            ref.norm_cdf(leg.z - 0.5 * math.sqrt(v2)) for leg, v2 in zip(legs, self.true_v2, strict=True)
        ]
        self.mids = [
            round((p + (0.0 if noise is None else float(noise[k]))) * 1e3) * 10
            for k, p in enumerate(self.fair)
        ]

    def _spec(self, k: int, leg: Leg) -> Any:
        base = make_spec()
        end_ns = base.start_ns + round((NOW_S + leg.tau) * NS)
        return make_spec(
            slug=f"window-{k}",
            start_ns=base.start_ns if k == 0 else base.start_ns - 7 * NS * k,
            end_ns=end_ns,
            rule=leg.rule,
            twap_window_s=RULES[leg.rule],
            resolution_source=SOURCES[leg.rule],
            tick_size_ticks=10,
            condition_id=f"0x{k:064x}",
        )

    def _level(self, leg: Leg) -> float:
        return SPOT + (0.0 if leg.rule == "candle" else self.spot.basis.beta)

    def window(self, k: int) -> ref.Window:
        """The window as the reference wants it, without its quote."""
        leg = self.legs[k]
        lag = LAG_S if leg.rule == "twap" else 0.0
        reach = min(1.0, (leg.tau - lag) / RULES[leg.rule]) if RULES[leg.rule] else 1.0
        var_basis = 0.0 if leg.rule == "candle" else self.spot.basis.var_ln * reach * reach
        return ref.Window(
            tau=leg.tau,
            x=math.log(self._level(leg) / self.strikes[k]) if hasattr(self, "strikes") else 0.0,
            twap=float(RULES[leg.rule]),
            lag=lag,
            reach=reach,
            basis_reach=0.0 if leg.rule == "candle" else reach,
            extra=var_basis,
        )

    def _variance(self, leg: Leg, ends: list[float], pieces: list[float]) -> float:
        shape = self.window(self.legs.index(leg))
        total = 0.0
        for start, end, piece in zip([0.0, *ends[:-1]], ends, pieces, strict=True):
            total += piece * ref.length(shape, start, end)
        return self.spot.sigma**2 * total + shape.extra

    def reference(self, k: int, *, skip: int = -1, unquoted: frozenset[int] = frozenset()) -> ref.Answer:
        """What the reference says of window k with the present quotes."""
        windows = [self.window(i) for i in range(len(self.legs))]
        for i, window in enumerate(windows):
            if i not in unquoted:
                window.bid = (self.mids[i] - self.half_spread) * 1e-4
                window.ask = (self.mids[i] + self.half_spread) * 1e-4
        return ref.price(
            windows,
            k,
            sigma=self.spot.sigma,
            se_ln_sigma=self.spot.se_ln_sigma,
            var_basis=self.spot.basis.var_ln,
            skip=skip,
            move=JUST_NOW,
        )

    def shift(self, k: int, usd: float) -> None:
        """Move a window's quote."""
        self.mids[k] += round(usd * 1e3) * 10

    def strike(self, k: int) -> None:
        """Tell the engine a window's strike."""
        self.scenario.events.add(
            EventKind.EV_STRIKE,
            recv_ns=self.scenario.at(NOW_S),
            market=k,
            x=self.strikes[k],
            i=StrikeSource.STRIKE_RTDS_TWAP,
        )

    def quote(self, k: int, *, at: float = NOW_S) -> None:
        """Tell the engine a window's book."""
        bid, ask = self.mids[k] - self.half_spread, self.mids[k] + self.half_spread
        self.scenario.book(at, [(bid, DEPTH)], [(ask, DEPTH)], market=k)

    def prepare(self) -> None:
        """All strikes and all books but the last; what the strategy says meanwhile is forgotten."""
        for k in range(len(self.legs)):
            self.strike(k)
        for k in range(len(self.legs) - 1):
            self.quote(k)
        self.scenario.go()

    def signals(self) -> np.ndarray[Any, Any]:
        """The last book comes: every window is asked once; the signals of that one message."""
        self.prepare()
        self.quote(len(self.legs) - 1)
        return rows(self.scenario.go(), CommandKind.CMD_SIGNAL)

    def gate(self, k: int, name: str) -> tuple[float, float, int, int]:
        """(value, threshold, compare, result) of a gate of window k as last walked."""
        return self.engine.markets[k].gate_rows(0)[self.strategy.gate_names.index(name)]

    def blocked_by(self, k: int, name: str) -> bool:
        """True when `name` blocked window k, all gates before it passed and none after it was reached."""
        results = [row[3] for row in self.engine.markets[k].gate_rows(0)]
        place = self.strategy.gate_names.index(name)
        return results[:place] == [1] * place and results[place] == 0 and set(results[place + 1 :]) <= {-1}


__all__ = ["NOW_S", "SHARE", "Leg", "Surface"]
