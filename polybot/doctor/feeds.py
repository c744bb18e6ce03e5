"""Checks of the websockets: each is connected by the daemon's own connection and feed until it brings data, then left.

Owns how long is waited and what counts as life: data, not pongs; for the user channel, where a quiet account is quiet,
a login that is not turned away and an answer.  Called by doctor.rounds through doctor.checks.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot.clock import wall_clock
from polybot.doctor.site import Site
from polybot.doctor.verdict import Verdict, fail, ok, warn
from polybot.feeds.binance import SpotFeed
from polybot.feeds.connection import Connection
from polybot.feeds.oracle import OracleFeed, PolyBoltFeed
from polybot.feeds.polymarket import MarketFeed
from polybot.feeds.user import UserFeed
from polybot.transport import Feed

__all__ = [
    "check_market_feed",
    "check_oracle_feed",
    "check_polybolt_feed",
    "check_spot_feed",
    "check_user_feed",
]

NS = 1_000_000_000
SPOT_KINDS = (EventKind.EV_SPOT_TRADE,)
ORACLE_KINDS = (EventKind.EV_ORACLE_TWAP, EventKind.EV_ORACLE_SPOT)
BOOK_KINDS = (EventKind.EV_BOOK_SNAPSHOT,)
PING_WALL_S = 0.5
LOOK_S = 0.02  # wall, between two looks
REACH_FIX = "look at the network and the firewall (443 outgoing), and whether another tool reaches"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What became of a connection until it was left: wall seconds to what was waited for, None: it did not come."""

    took_s: float | None
    connects: int
    disconnects: int
    reason: str


@dataclass(slots=True)
class _Ear:
    """Hears a feed's events: the first that counts, and how old each was when it came."""

    kinds: tuple[EventKind, ...]
    with_backfill: bool = False
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    lags_ns: list[int] = field(default_factory=list)

    def sink(self, events: EventBuffer) -> None:
        """Take what a feed decoded."""
        rows = events.to_numpy()
        wanted = np.isin(rows["kind"], [int(kind) for kind in self.kinds])
        if not self.with_backfill:
            wanted &= (rows["flags"] & int(EventFlag.F_SNAPSHOT)) == 0
        for row in rows[wanted]:
            self.lags_ns.append(int(row["recv_ns"]) - int(row["venue_ns"]))
            self.heard.set()


async def check_spot_feed(site: Site) -> Verdict:
    """The spot exchange's trades come."""
    config = site.there.config
    ear = _Ear(SPOT_KINDS)
    site.spot_lags_ns, listen_s = ear.lags_ns, site.config.doctor.listen_s
    try:
        feed = SpotFeed(config.venue.spot_ws_urls, config.asset.spot_symbol, config.feeds, sink=ear.sink)
        urls, what = config.venue.spot_ws_urls, f"trade of {config.asset.spot_symbol}"
        return await _hear(site, feed, ear, urls=urls, what=what, listen_s=listen_s)
    finally:
        site.spot_heard.set()


async def check_oracle_feed(site: Site) -> Verdict:
    """The oracle's prices come; without them no strike is known."""
    config = site.there.config
    ear = _Ear(ORACLE_KINDS)
    feed = OracleFeed(config.venue.rtds_url, config.asset.oracle_symbol, config.feeds, sink=ear.sink)
    return await _hear(site, feed, ear, urls=[feed.url()], what=f"price of {config.asset.oracle_symbol}")


async def check_polybolt_feed(site: Site) -> Verdict:
    """The oracle's second channel; without it the first one alone tells strikes."""
    config = site.there.config
    ear = _Ear(ORACLE_KINDS)
    feed = PolyBoltFeed(
        config.venue.polybolt_url, config.asset.polybolt_symbol, config.feeds, auth=_auth(site), sink=ear.sink
    )
    verdict = await _hear(site, feed, ear, urls=[feed.url()], what=f"price of {config.asset.polybolt_symbol}")
    if verdict.fix:
        return warn(f"{verdict.seen}; strikes then come from the first channel alone", verdict.fix)
    return verdict


async def check_market_feed(site: Site) -> Verdict:
    """A book of a live market comes."""
    config, spec = site.there.config, site.live_spec
    assert spec is not None, "needs the market's check"
    ear = _Ear(BOOK_KINDS, with_backfill=True)
    feed = MarketFeed(config.venue.market_ws_url, config.feeds, sink=ear.sink)
    feed.add_market(0, spec)
    return await _hear(site, feed, ear, urls=[feed.url()], what=f"book of {spec.slug}")


async def check_user_feed(site: Site) -> Verdict:
    """The channel of our own orders lets the account in and stays."""
    place = site.there
    often = replace(place.config.feeds, user_ping_s=PING_WALL_S / place.clock.real_s(1.0))
    feed = UserFeed(
        place.config.venue.user_ws_url,
        often,
        auth=_auth(site),
        sink=lambda events: None,
        on_user_event=lambda event, recv_ns: None,
        on_connected=lambda: None,
    )
    connection = Connection(feed, place.clock, often)
    host, limit_s = urlsplit(feed.url()).netloc, site.config.doctor.feed_s
    fix = "the API key's check says whether the key is right; " + f"{REACH_FIX} {host}"

    def is_known() -> bool:  # let in, or turned away
        return feed.counters()["pongs"] > 0 or connection.disconnects > 0

    seen = await _watch(connection, is_known, limit_s, stay_s=site.config.doctor.stay_s)
    if seen.disconnects:
        return fail(f"{host} closes the connection after the login ({seen.reason})", fix)
    if seen.took_s is None:
        return fail(_silence(seen, host, "answer", limit_s), fix)
    return ok(f"logged in at {host} and stays")


async def _hear(
    site: Site, feed: Feed, ear: _Ear, *, urls: Sequence[str], what: str, listen_s: float = 0.0
) -> Verdict:
    """Connect until the ear heard something; a feed with several hosts tries them in turn."""
    place, limit_s = site.there, site.config.doctor.feed_s
    connection = Connection(feed, place.clock, place.config.feeds)
    hosts = " or ".join(urlsplit(url).netloc for url in urls)
    seen = await _watch(connection, ear.heard.is_set, limit_s, stay_s=listen_s)
    if seen.took_s is None:
        return fail(_silence(seen, hosts, what, limit_s), f"{REACH_FIX} {hosts}; is the venue at work?")
    return ok(f"{what} from {hosts} after {seen.took_s:.1f} s")


async def _watch(
    connection: Connection, is_done: Callable[[], bool], limit_s: float, *, stay_s: float
) -> _Seen:
    """Keep connected until `is_done`, at most limit_s, and until stay_s have passed."""
    began_ns = wall_clock().mono_ns()
    took_s, waited_s = None, 0.0
    async with asyncio.TaskGroup() as group:
        task = group.create_task(connection.run())
        try:
            while waited_s < (limit_s if took_s is None else stay_s):
                await asyncio.sleep(LOOK_S)
                waited_s = (wall_clock().mono_ns() - began_ns) / NS
                if took_s is None and is_done():
                    took_s = waited_s
            return _Seen(took_s, connection.connects, connection.disconnects, connection.last_reason)
        finally:
            task.cancel()


def _silence(seen: _Seen, host: str, what: str, limit_s: float) -> str:
    """Why nothing was heard: no connection, or a mute one."""
    if not seen.connects:
        return f"no connection to {host} within {limit_s:g} s (doctor.feed_s): {seen.reason or 'no answer'}"
    return f"{host} is connected and silent: no {what} within {limit_s:g} s (doctor.feed_s)"


def _auth(site: Site) -> Callable[[], Mapping[str, Any]]:
    assert site.auth is not None, "needs the API key's check"
    return site.auth.credentials.user_channel_auth
