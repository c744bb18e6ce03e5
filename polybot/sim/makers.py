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
from collections.abc import Sequence
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
THIN = ((5.0, 0.35), (10.0, 0.4), (20.0, 0.5), (30.0, 0.65), (60.0, 0.85))
# and quote wider: (seconds left, USD added per second inside them to the half spread of an even market).
WIDEN = ((60.0, 0.00005), (20.0, 0.0001))
FRESH_FRAC = 0.3  # share of a ladder's sizes drawn anew at a refresh
DEEP_LN_SD = 0.9  # sd of ln(shares) of its levels
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
    """Lag of viewer `index` of `count`: log-evenly spread from low_ms to high_ms, both included."""
    low_ms = max(low_ms, 1.0)
    part = index / (count - 1) if count > 1 else 0.5
    return int(low_ms * (max(high_ms, low_ms) / low_ms) ** part * 1_000_000)


class _Ladder:
    """What one maker has in one market: its own idea of it, the book has the truth."""

    __slots__ = (
        "ask", "bid", "digested", "fair", "noise", "quoted_ns", "refused", "retry", "seen", "seen_ns", "sizes",
    )  # fmt: skip

    def __init__(self, fair: float, now_ns: int) -> None:
        self.bid = self.ask = -1  # first level, -1: none
        self.seen = self.digested = self.fair = fair  # last view, what the maker made of all, with its error
        self.seen_ns = now_ns
        self.noise = 0.0
        self.quoted_ns = -(1 << 62)
        self.refused = 0
        self.retry = False
        self.sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})  # per side: price -> micro-shares


class Maker:
    """One maker: a ladder of levels per market, following the fair values it sees."""

    def __init__(
        self,
        name: str,
        config: MakersConfig,
        desk: "MakerDesk",
        rng: random.Random,
        *,
        base_lag_ns: int,
        digest_frac: float,
        size: float,
    ) -> None:
        self.name = name
        self._config = config
        self._desk = desk
        self._rng = rng
        self.is_instant = base_lag_ns == 0
        self._digest_ns = int(base_lag_ns * digest_frac)
        self._lag_ns = base_lag_ns - self._digest_ns
        self._ladders: dict[str, _Ladder] = {}
        self._noise_sd = config.fair_noise_usd if base_lag_ns else 0.0
        self._gap_ns = config.requote_ms * 1_000_000 if base_lag_ns else 0
        self._newest_ns = 0
        self._touch_shares = size * config.touch_shares
        self._level_shares = size * config.level_shares

    def draw_lag_ns(self) -> int:
        """How late this view arrives; 0 for an instant maker."""
        if not self._lag_ns:
            return 0
        now_ns = self._desk.scheduler.now_ns
        lag = int(self._lag_ns * math.exp(self._rng.gauss(0.0, LAG_LN_SD)))
        self._newest_ns = max(self._newest_ns, now_ns + lag)  # what is seen later was true later
        return self._newest_ns - now_ns

    def see(self, market: QuotedMarket, fair: float) -> None:
        """Keep the ladder, or replace it now or as soon as the pace allows."""
        if not market.is_open:
            return
        now_ns = self._desk.scheduler.now_ns
        ladder = self._ladders.get(market.cid)
        if ladder is None:
            ladder = self._ladders[market.cid] = _Ladder(fair, now_ns)
        if self._digest_ns:
            left = math.exp((ladder.seen_ns - now_ns) / self._digest_ns)
            ladder.digested = ladder.seen + (ladder.digested - ladder.seen) * left
            ladder.seen_ns, ladder.seen = now_ns, fair
            if abs(fair - ladder.digested) >= self._config.startle_usd:
                ladder.digested = fair
        else:
            ladder.digested = fair
        ladder.fair = min(max(ladder.digested + ladder.noise, 0.0), 1.0)
        if ladder.refused or self._wanted(ladder, market, now_ns) != (ladder.bid, ladder.ask):
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
        for sizes in ladder.sizes:
            for price in [price for price in sizes if self._rng.random() < FRESH_FRAC]:
                del sizes[price]
        self._place(market, ladder)

    def has_refused(self, market: QuotedMarket) -> bool:
        """The last ladder was not placed in full."""
        ladder = self._ladders.get(market.cid)
        return ladder is not None and ladder.refused > 0

    def _wanted(self, ladder: _Ladder, market: QuotedMarket, now_ns: int) -> tuple[int, int]:
        """First bid and ask for this fair: the present ones while good enough, else new ones."""
        config, tick = self._config, market.tick_ticks
        half = config.half_spread_usd * ONE
        left_s = market.left_s(now_ns)
        if left_s < WIDEN[0][0]:
            doubt = 4.0 * ladder.fair * (1.0 - ladder.fair)
            half += doubt * ONE * sum(max(0.0, last_s - left_s) * per_s for last_s, per_s in WIDEN)
        fair = ladder.fair * ONE
        slack = half + tick * (1.0 + config.keep_frac)
        bid, ask = ladder.bid, ladder.ask
        if not (bid > 0 and 0.0 <= fair - bid <= slack and bid % tick == 0):
            bid = math.floor((fair - half) / tick) * tick
        if not (ask > 0 and 0.0 <= ask - fair <= slack and ask % tick == 0):
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
        bid, ask = ladder.bid, ladder.ask = self._wanted(ladder, market, now_ns)
        offsets = _offsets(market.tick_ticks, self._config.levels)
        quotes: list[tuple[int, int, int]] = []
        for side, top, way in ((BUY, bid, -1), (SELL, ask, 1)):
            if top < 0:
                continue
            sizes, is_touch = ladder.sizes[side], True
            for offset in offsets:
                price = top + way * offset
                if not 0 < price < ONE:
                    break
                ushares = sizes.get(price)
                if ushares is None:
                    ushares = sizes[price] = self._draw_shares(is_touch)
                is_touch = False
                quotes.append((side, price, ushares))
        scale = _thinned(market.left_s(now_ns))
        if scale < 1.0:
            quotes = [(side, price, _scaled(ushares, scale)) for side, price, ushares in quotes]
        ladder.quoted_ns = now_ns
        refused = self._desk.exchange.replace_ladder(self.name, market.cid, quotes)
        # What a longshot bidder is in the way of can wait for the next refill.
        ladder.refused = 0 if ask == market.tick_ticks or bid == ONE - market.tick_ticks else refused
        for side, sizes in enumerate(ladder.sizes):
            if len(sizes) > 4 * self._config.levels:
                kept = {price for quoted, price, _ in quotes if quoted == side}
                for price in [price for price in sizes if price not in kept]:
                    del sizes[price]

    def _draw_shares(self, is_touch: bool) -> int:
        """Micro-shares of a new level, whole shares."""
        median = self._touch_shares if is_touch else self._level_shares
        return max(5, int(median * math.exp(self._rng.gauss(0.0, self._config.shares_sd)))) * SHARE


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
            (side, price): max(5, int(config.deep_shares * math.exp(rng.gauss(0.0, DEEP_LN_SD)))) * SHARE
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
        scale = _thinned(market.left_s(self._desk.scheduler.now_ns))
        quotes = []
        for level in range(self._config.deep_levels):
            for side, price in ((BUY, bid - level * CENT_TICKS), (SELL, ask + level * CENT_TICKS)):
                if 0 < price < ONE:
                    quotes.append((side, price, _scaled(self._sizes[side, price], scale)))
        self._desk.exchange.replace_ladder(self.name, market.cid, quotes)


class LongshotBidder:
    """Bids the last cent for the outcome that is all but lost, while it has some chance left.

    Whoever holds the winner gets out at 0.99 that way, before the outcome is certain.  It pays more
    than the chance is worth, so it is absent with instant makers and on the 0.001 grid.
    """

    def __init__(
        self, config: MakersConfig, desk: "MakerDesk", rng: random.Random, *, base_lag_ns: int
    ) -> None:
        self.name = "longshot"
        self._config = config
        self._desk = desk
        self._rng = rng
        self.is_instant = False
        self._lag_ns = base_lag_ns
        self._bids_for: dict[str, tuple[bool, bool]] = {}  # market: for Up, for Down

    def draw_lag_ns(self) -> int:
        """How late this view arrives."""
        return self._lag_ns

    def see(self, market: QuotedMarket, fair: float) -> None:
        """Come and go with the chance."""
        least = self._config.longshot_least_usd
        wanted = (least <= fair, fair <= 1.0 - least)
        if market.is_open and wanted != self._bids_for.get(market.cid):
            self._bids_for[market.cid] = wanted
            self.refresh(market)

    def leave(self, market: QuotedMarket) -> None:
        """Pull everything."""
        if self._bids_for.pop(market.cid, None) is not None:
            self._desk.exchange.cancel_internal(self.name, market.cid)

    def refresh(self, market: QuotedMarket) -> None:
        """Refill."""
        wanted = self._bids_for.get(market.cid)
        if wanted is None or not market.is_open:
            return
        quotes = []
        if market.tick_ticks == CENT_TICKS:
            config = self._config
            for bids, side, price in ((wanted[0], BUY, CENT_TICKS), (wanted[1], SELL, ONE - CENT_TICKS)):
                shares = int(config.longshot_shares * math.exp(self._rng.gauss(0.0, DEEP_LN_SD)))
                if bids:
                    quotes.append((side, price, max(5, shares) * SHARE))
        self._desk.exchange.replace_ladder(self.name, market.cid, quotes)

    def has_refused(self, market: QuotedMarket) -> bool:
        """Never tried again before the next refill."""
        del market
        return False


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
        self._makers: list[Maker | DeepMaker | LongshotBidder] = [
            Maker(
                f"maker-{i}",
                config,
                self,
                stream(seed, f"maker/{i}"),
                base_lag_ns=0 if instant else lag_ns(low, high, i, config.count),
                digest_frac=config.digest_frac if kind == "lagged" else 0.0,
                size=_size_of(config, i),
            )
            for i in range(config.count)
        ]
        if config.deep_levels:
            deep_lag_ns = 0 if instant else high * 1_000_000
            self._makers.append(DeepMaker(config, self, stream(seed, "maker/deep"), base_lag_ns=deep_lag_ns))
        if config.longshot_shares and not instant:
            bidder_lag_ns = high * 1_000_000
            rng = stream(seed, "maker/longshot")
            self._makers.append(LongshotBidder(config, self, rng, base_lag_ns=bidder_lag_ns))
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

    def _refresh(self, maker: "Maker | DeepMaker | LongshotBidder") -> None:
        for market in self._markets.values():
            maker.refresh(market)
        due_ns = self.scheduler.now_ns + int(self._refresh_ns * (0.7 + 0.6 * self._refresh_rng.random()))
        self.scheduler.at(due_ns, partial(self._refresh, maker))


def _deliver(viewer: Viewer, views: list[tuple[QuotedMarket, float]]) -> None:
    for market, fair in views:
        viewer.see(market, fair)


def _offsets(tick_ticks: int, levels: int) -> Sequence[int]:
    """Distances of a ladder's levels from its first, in ticks of the 1e-4 grid."""
    if tick_ticks >= CENT_TICKS:
        return range(0, tick_ticks * levels, tick_ticks)
    return [offset * tick_ticks // 10 for offset in FINE_OFFSETS[: levels + 3]]


def _thinned(left_s: float) -> float:
    """Share of the usual size so many seconds before the end."""
    if left_s >= THIN[-1][0]:
        return 1.0
    return next(share for limit_s, share in THIN if left_s < limit_s)


def _scaled(ushares: int, scale: float) -> int:
    """Part of a size in whole shares, at least the venue's minimum."""
    return max(5, int(ushares / SHARE * scale)) * SHARE


def _size_of(config: MakersConfig, index: int) -> float:
    """Size of one maker beside the others': the later it sees, the larger, size_growth_frac from one to the next."""
    return math.pow(config.size_growth_frac, index - 0.5 * (config.count - 1))
