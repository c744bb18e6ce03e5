"""Everything that goes wrong at the embedded venue, from one seed.

Theory of operation: `venue.faults` chooses how much (light: the shares of `venue.fault`; storm: those times
`storm_factor`), `venue.fault_seed` what.  Spells of faults and calm take turns, so the world always heals.  Each
request and each message draws once; what lasts comes at times of its own.  All draws are from streams of the
fault seed: without faults nothing here is made, and the world's own streams are never touched.
Owns the composition; the dice are in request_faults, channel_faults and spells.  Called by the venue.
"""

from polybot.config import VenueConfig
from polybot.sim.channel_faults import SeededChannel
from polybot.sim.exchange import Exchange
from polybot.sim.fault_tally import FaultTally, Spells
from polybot.sim.faults import Call, FaultPlan, NoFaults, Receiver, TradeFate, Withheld
from polybot.sim.request_faults import SeededRequests
from polybot.sim.seeds import stream
from polybot.sim.spells import SeededSpells
from polybot.transport import HttpResponse

__all__ = ["SeededFaults", "plan_of"]

BEATS = ("POST", "/v1/heartbeats")


def plan_of(venue: VenueConfig, exchange: Exchange, epoch_ns: int) -> "FaultPlan | SeededFaults":
    """The plan that the configuration names."""
    return NoFaults() if venue.faults == "none" else SeededFaults(venue, exchange, epoch_ns)


class SeededFaults:
    """The seeded plan of one venue session."""

    def __init__(self, venue: VenueConfig, exchange: Exchange, epoch_ns: int) -> None:
        config, seed = venue.fault, venue.fault_seed
        factor = config.storm_factor if venue.faults == "storm" else 1.0
        self.tally = FaultTally(exchange.ledger, exchange.scheduler)
        self._scheduler = exchange.scheduler
        self._trade, self._factor = config.trade, factor
        self._spells = Spells(config, epoch_ns)
        self._fates = stream(seed, "faults/trades")
        self._requests = SeededRequests(
            config.rest, factor=factor, rng=stream(seed, "faults/rest"), tally=self.tally
        )
        self._lasting = SeededSpells(
            config, exchange, factor=factor, seed=seed, spells=self._spells, tally=self.tally
        )
        self._channels = {
            name: SeededChannel(
                name,
                part,
                factor=factor,
                rng=stream(seed, f"faults/{name}"),
                scheduler=exchange.scheduler,
                spells=self._spells,
                tally=self.tally,
            )
            for name, part in (("market", config.market_channel), ("user", config.user_channel))
        }

    def deliver(self, channel: str, text: str, to: Receiver, now_ns: int) -> None:
        """Pass one message on, or not."""
        self._channels[channel].deliver(text, to, now_ns)

    def answer(self, method: str, path: str, call: Call, now_ns: int) -> HttpResponse | Withheld:
        """Answer one request, or let a fault do it."""
        if now_ns < self._lasting.storm_until_ns:
            self.tally.note("storm_429", f"{method} {path}", retry_s=self._requests.retry_s)
            return self._requests.too_many()(call)
        if now_ns < self._lasting.beats_lost_until_ns and (method, path) == BEATS:
            self.tally.note("beat_lost", f"{method} {path}")
            return Withheld()
        fault = self._requests.draw(method, path, now_ns) if self._spells.active(now_ns) else None
        return call() if fault is None else fault(call)

    def page_size(self, size: int) -> int:
        """Rows of the next page."""
        return self._requests.page_size(size) if self._spells.active(self._scheduler.now_ns) else size

    def trade_fate(self) -> TradeFate | None:
        """Draw what becomes of a trade."""
        if not self._spells.active(self._scheduler.now_ns):
            return None
        left = self._fates.random()
        for kind, share in (
            ("fail", self._trade.fail_frac),
            ("retry", self._trade.retry_frac),
            ("slow", self._trade.slow_frac),
        ):
            left -= self._factor * share
            if left < 0.0:
                self.tally.note(f"trade_{kind}")
                if kind == "slow":
                    return TradeFate(late_s=self._trade.slow_s)
                return TradeFate(retry_s=self._trade.retry_s, is_failed=kind == "fail")
        return None
