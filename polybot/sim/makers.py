"""Makers: each quotes a ladder around the fair value it saw, as late as `venue.makers` says.

Theory: fair is computed once per change of spot (and once a second, for the passing of time) with
the market's true rule.  Every viewer (makers here, informed takers in sim.takers) gets that value
after its own lag: at once for `instant`, 150-600 ms for `lagged`, seconds for `slow`.  A maker keeps
its quotes while they are still on the right side of fair and near it; otherwise it replaces its
ladder, not more often than `requote_ms`.  A level that would cross another maker's stale quote is
refused by the exchange and tried again shortly: that is why prices move in steps and the spread
opens for a moment.  Quotes are never better than fair as the maker sees it, so with `instant`
there is nothing to earn; with `lagged` only what real latency leaves.

One more maker (the deep one) fills the book far from fair and moves rarely.  Ladders are in Up
terms: one mirrored book.  sim.lifecycle opens and closes markets here.
"""

import math
import random
from functools import partial
from typing import Protocol

from polybot.config_sim import MakersConfig
from polybot.sim.exchange import Exchange
from polybot.sim.fair import FairModel, Terms
from polybot.sim.markets import BUY, ONE, SELL
from polybot.sim.path import NS
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeds import stream
from polybot.sim.spot import SpotMarket

__all__ = ["MakerDesk", "QuotedMarket", "Viewer", "lag_ns"]

CENT_TICKS = 100  # 0.01 on the 1e-4 grid
SHARE = 1_000_000  # micro-shares
HEARTBEAT_NS = NS
LAG_LN_SD = 0.15  # spread of one viewer's own lag from view to view
FINE_OFFSETS = (0, 10, 20, 30, 50, 80, 120, 200, 300, 400, 500, 600, 700, 800)  # ladder on the 0.001 grid
# Near the end makers step back: (seconds left, share of the usual size).
THIN = ((5.0, 0.45), (10.0, 0.5), (30.0, 0.7))
WIDEN_LAST_S = 10.0
WIDEN_PER_S = 0.0015  # USD added to the half spread per second inside the last ten
FRESH_FRAC = 0.3  # share of a ladder's sizes drawn anew at a refresh
DEEP_MOVE = 0.02  # USD: the deep maker moves when fair did by this much


class QuotedMarket:
    """A market that is being quoted."""

    __slots__ = ("cid", "fair", "is_open", "terms", "tick_ticks")

    def __init__(self, cid: str, terms: Terms, tick_ticks: int) -> None:
        self.cid = cid
        self.terms = terms
        self.tick_ticks = tick_ticks
        self.fair = 0.5
        self.is_open = True

    def left_s(self, now_ns: int) -> float:
        """Seconds to the end of the window."""
        return self.terms.end_s - now_ns / NS


class Viewer(Protocol):
    """Someone who acts on fair values, some time after they were true."""

    def draw_lag_ns(self) -> int:
        """How late this view arrives."""
        ...

    def see(self, market: QuotedMarket, fair: float) -> None:
        """A fair value arrived."""
        ...

    def leave(self, market: QuotedMarket) -> None:
        """The market is over."""
        ...


def lag_ns(low_ms: float, high_ms: float, index: int, count: int) -> int:
    """Lag of viewer `index` of `count`: log-evenly spread over [low_ms, high_ms]."""
    low_ms = max(low_ms, 1.0)
    part = (index + 0.5) / count
    return int(low_ms * (max(high_ms, low_ms) / low_ms) ** part * 1_000_000)


class _Ladder:
    """What one maker has in one market: its own idea of it, the book has the truth."""

    __slots__ = ("ask", "bid", "fair", "noise", "quoted_ns", "refused", "retry", "sizes")

    def __init__(self) -> None:
        self.bid = self.ask = -1  # first level, -1: none
        self.fair = 0.5
        self.noise = 0.0
        self.quoted_ns = -(1 << 62)
        self.refused = 0
        self.retry = False
        self.sizes: dict[tuple[int, int], int] = {}


class Maker:
    """One maker: a ladder of levels per market, following the fair values it sees."""

    def __init__(
        self, name: str, config: MakersConfig, desk: "MakerDesk", rng: random.Random, *, base_lag_ns: int
    ) -> None:
        self.name = name
        self._config = config
        self._desk = desk
        self._rng = rng
        self.is_instant = base_lag_ns == 0
        self._lag_ns = base_lag_ns
        self._ladders: dict[str, _Ladder] = {}
        self._noise_sd = config.fair_noise_usd if base_lag_ns else 0.0
        self._gap_ns = config.requote_ms * 1_000_000 if base_lag_ns else 0

    def draw_lag_ns(self) -> int:
        """How late this view arrives; 0 for an instant maker."""
        if not self._lag_ns:
            return 0
        return int(self._lag_ns * math.exp(self._rng.gauss(0.0, LAG_LN_SD)))

    def see(self, market: QuotedMarket, fair: float) -> None:
        """Keep the ladder, or replace it now or as soon as the pace allows."""
        if not market.is_open:
            return
        ladder = self._ladders.setdefault(market.cid, _Ladder())
        ladder.fair = min(max(fair + ladder.noise, 0.0), 1.0)
        bid, ask = self._wanted(ladder, market)
        if (bid, ask) != (ladder.bid, ladder.ask) or ladder.refused:
            self._requote(market, ladder)

    def leave(self, market: QuotedMarket) -> None:
        """Pull everything."""
        if self._ladders.pop(market.cid, None) is not None:
            self._desk.exchange.cancel_internal(self.name, market.cid)

    def refresh(self, market: QuotedMarket) -> None:
        """Refill what was taken, change some sizes, drift the own error."""
        ladder = self._ladders.get(market.cid)
        if ladder is None or not market.is_open:
            return
        ladder.noise = 0.8 * ladder.noise + 0.6 * self._noise_sd * self._rng.gauss(0.0, 1.0)
        for key in [key for key in ladder.sizes if self._rng.random() < FRESH_FRAC]:
            del ladder.sizes[key]
        self._place(market, ladder)

    def has_refused(self, market: QuotedMarket) -> bool:
        """The last ladder was not placed in full."""
        ladder = self._ladders.get(market.cid)
        return ladder is not None and ladder.refused > 0

    def _wanted(self, ladder: _Ladder, market: QuotedMarket) -> tuple[int, int]:
        """First bid and ask for this fair: the present ones while good enough, else new ones."""
        config, tick = self._config, market.tick_ticks
        left_s = market.left_s(self._desk.scheduler.now_ns)
        half = (config.half_spread_usd + max(0.0, WIDEN_LAST_S - left_s) * WIDEN_PER_S) * ONE
        fair = ladder.fair * ONE
        slack = half + tick * (1.0 + config.keep_frac)
        bid, ask = ladder.bid, ladder.ask
        if not (bid % tick == 0 and bid > 0 and 0.0 <= fair - bid <= slack):
            bid = math.floor((fair - half) / tick) * tick
        if not (ask % tick == 0 and ask > 0 and 0.0 <= ask - fair <= slack):
            ask = math.ceil((fair + half) / tick) * tick
        return (bid if bid >= tick else -1), (ask if ask <= ONE - tick else -1)

    def _requote(self, market: QuotedMarket, ladder: _Ladder) -> None:
        now_ns = self._desk.scheduler.now_ns
        due_ns = ladder.quoted_ns + self._gap_ns
        if now_ns >= due_ns:
            self._place(market, ladder)
        elif not ladder.retry:
            ladder.retry = True
            self._desk.scheduler.at(due_ns, partial(self._retry, market, ladder))

    def _retry(self, market: QuotedMarket, ladder: _Ladder) -> None:
        ladder.retry = False
        if market.is_open and self._ladders.get(market.cid) is ladder:
            self._place(market, ladder)

    def _place(self, market: QuotedMarket, ladder: _Ladder) -> None:
        """Send the whole ladder for the present fair."""
        now_ns = self._desk.scheduler.now_ns
        ladder.bid, ladder.ask = self._wanted(ladder, market)
        left_s = market.left_s(now_ns)
        scale = next((share for limit_s, share in THIN if left_s < limit_s), 1.0)
        quotes = []
        for offset in _offsets(market.tick_ticks, self._config.levels):
            for side, price in ((BUY, ladder.bid - offset), (SELL, ladder.ask + offset)):
                top = ladder.bid if side == BUY else ladder.ask
                if top > 0 and 0 < price < ONE:
                    shares = self._shares(ladder, side, price, is_touch=offset == 0)
                    quotes.append((side, price, max(5, int(shares * scale)) * SHARE))
        ladder.quoted_ns = now_ns
        ladder.refused = self._desk.exchange.replace_ladder(self.name, market.cid, quotes)
        if len(ladder.sizes) > 8 * self._config.levels:
            ladder.sizes = {(side, price): ladder.sizes[side, price] for side, price, _ in quotes}

    def _shares(self, ladder: _Ladder, side: int, price: int, *, is_touch: bool) -> int:
        shares = ladder.sizes.get((side, price))
        if shares is None:
            config = self._config
            median = config.touch_shares if is_touch else config.level_shares
            shares = int(median * math.exp(self._rng.gauss(0.0, config.shares_sd)))
            ladder.sizes[side, price] = shares
        return shares


class DeepMaker:
    """Fills the book beyond a few cents from fair, on the 0.01 grid; moves when fair moved a lot."""

    def __init__(
        self, config: MakersConfig, desk: "MakerDesk", rng: random.Random, *, base_lag_ns: int
    ) -> None:
        self.name = "deep"
        self._config = config
        self._desk = desk
        self._rng = rng
        self.is_instant = base_lag_ns == 0
        self._lag_ns = base_lag_ns
        self._sizes = {
            (side, price): int(config.deep_shares * math.exp(rng.gauss(0.0, config.shares_sd)))
            for price in range(CENT_TICKS, ONE, CENT_TICKS)
            for side in (BUY, SELL)
        }
        self._quoted: dict[str, float] = {}

    def draw_lag_ns(self) -> int:
        """How late this view arrives; 0 when makers are instant."""
        return self._lag_ns

    def see(self, market: QuotedMarket, fair: float) -> None:
        """Follow a large move."""
        quoted = self._quoted.get(market.cid)
        if market.is_open and (quoted is None or abs(fair - quoted) >= DEEP_MOVE):
            self._place(market, fair)

    def leave(self, market: QuotedMarket) -> None:
        """Pull everything."""
        if self._quoted.pop(market.cid, None) is not None:
            self._desk.exchange.cancel_internal(self.name, market.cid)

    def refresh(self, market: QuotedMarket) -> None:
        """Refill at the present place."""
        quoted = self._quoted.get(market.cid)
        if market.is_open and quoted is not None:
            self._place(market, quoted)

    def has_refused(self, market: QuotedMarket) -> bool:
        """Never tried again: refused levels are the business of the others."""
        del market
        return False

    def _place(self, market: QuotedMarket, fair: float) -> None:
        self._quoted[market.cid] = fair
        gap = self._config.deep_offset_ticks * CENT_TICKS
        bid = math.floor((fair * ONE - gap) / CENT_TICKS) * CENT_TICKS
        ask = math.ceil((fair * ONE + gap) / CENT_TICKS) * CENT_TICKS
        quotes = []
        for level in range(self._config.deep_levels):
            for side, price in ((BUY, bid - level * CENT_TICKS), (SELL, ask + level * CENT_TICKS)):
                if 0 < price < ONE:
                    quotes.append((side, price, max(5, self._sizes[side, price]) * SHARE))
        self._desk.exchange.replace_ladder(self.name, market.cid, quotes)


class MakerDesk:
    """All makers and other viewers of one venue, and the fair values they are shown."""

    def __init__(
        self,
        config: MakersConfig,
        kind: str,
        scheduler: Scheduler,
        exchange: Exchange,
        fair: FairModel,
        *,
        spot: SpotMarket,
        seed: int,
        epoch_ns: int,
    ) -> None:
        self.scheduler = scheduler
        self.exchange = exchange
        self._fair = fair
        self._markets: dict[str, QuotedMarket] = {}
        low, high = {
            "instant": (0, 0),
            "lagged": (config.lag_min_ms, config.lag_max_ms),
            "slow": (config.slow_min_ms, config.slow_max_ms),
        }[kind]
        instant = kind == "instant"
        self._makers: list[Maker | DeepMaker] = [
            Maker(
                f"maker-{i}",
                config,
                self,
                stream(seed, f"maker/{i}"),
                base_lag_ns=0 if instant else lag_ns(low, high, i, config.count),
            )
            for i in range(config.count)
        ]
        if config.deep_levels:
            deep_lag_ns = 0 if instant else high * 1_000_000
            self._makers.append(DeepMaker(config, self, stream(seed, "maker/deep"), base_lag_ns=deep_lag_ns))
        self._viewers: list[Viewer] = [*self._makers]
        self._refresh_ns = config.refresh_ms * 1_000_000
        self._refresh_rng = stream(seed, "maker/refresh")
        spot.listen(self._on_spot)
        scheduler.at(epoch_ns + HEARTBEAT_NS, self._heartbeat)
        for maker in self._makers:
            scheduler.at(epoch_ns + self._refresh_ns, partial(self._refresh, maker))

    def add_viewer(self, viewer: Viewer) -> None:
        """Show fair values to one more."""
        self._viewers.append(viewer)

    def markets(self) -> list[QuotedMarket]:
        """Markets being quoted."""
        return list(self._markets.values())

    def open_market(self, cid: str, terms: Terms, tick_ticks: int) -> QuotedMarket:
        """Begin to quote."""
        market = QuotedMarket(cid, terms, tick_ticks)
        self._markets[cid] = market
        self._show([market])
        return market

    def close_market(self, cid: str) -> None:
        """The window ended: everybody pulls out."""
        market = self._markets.pop(cid, None)
        if market is not None:
            market.is_open = False
            for viewer in self._viewers:
                viewer.leave(market)

    def _on_spot(self, now_ns: int, price: float) -> None:
        del now_ns, price
        if self._markets:
            self._show(list(self._markets.values()))

    def _heartbeat(self) -> None:
        """Time passes even when spot stands still."""
        if self._markets:
            self._show(list(self._markets.values()))
        self.scheduler.at(self.scheduler.now_ns + HEARTBEAT_NS, self._heartbeat)

    def _show(self, markets: list[QuotedMarket]) -> None:
        """Value the markets and let every viewer know in its own time."""
        now_ns = self.scheduler.now_ns
        views = []
        for market in markets:
            market.fair = self._fair.up(market.terms, now_ns)
            views.append((market, market.fair))
        for viewer in self._viewers:
            delay_ns = viewer.draw_lag_ns()
            if delay_ns:
                self.scheduler.at(now_ns + delay_ns, partial(_deliver, viewer, views))
            else:
                _deliver(viewer, views)
        self._second_try(markets)

    def _second_try(self, markets: list[QuotedMarket]) -> None:
        """Instant makers all move at once: who was in another's way a moment ago no longer is."""
        for maker in self._makers:
            if maker.is_instant:
                for market in markets:
                    if maker.has_refused(market):
                        maker.see(market, market.fair)

    def _refresh(self, maker: Maker | DeepMaker) -> None:
        for market in self._markets.values():
            maker.refresh(market)
        due_ns = self.scheduler.now_ns + int(self._refresh_ns * (0.7 + 0.6 * self._refresh_rng.random()))
        self.scheduler.at(due_ns, partial(self._refresh, maker))


def _deliver(viewer: Viewer, views: list[tuple[QuotedMarket, float]]) -> None:
    for market, fair in views:
        viewer.see(market, fair)


def _offsets(tick_ticks: int, levels: int) -> list[int]:
    """Distances of a ladder's levels from its first, in ticks of the 1e-4 grid."""
    if tick_ticks >= CENT_TICKS:
        return [tick_ticks * i for i in range(levels)]
    return [offset * tick_ticks // 10 for offset in FINE_OFFSETS[: levels + 3]]
