"""What every followed window needs, traded or only observed: discovery with retries, a witness of its book.

Owns how long a market that is not listed yet is asked for, and when a quiet book is compared with REST.
Must not know what the window is followed for: polybot.cycle trades it, polybot.observer only watches.
"""

from typing import TYPE_CHECKING

from polybot._fast.book import Book
from polybot._fast.event import EventKind, FeedId, FeedState, Outcome, Side, StrikeSource
from polybot.errors import InvariantBroken, MarketRefused, VenueError
from polybot.feeds.polymarket import MarketFeed
from polybot.market.discovery import RETRYABLE, AssetIds, Discovery, NotListedYet
from polybot.market.resolution import Strike
from polybot.market.rest import BookLevels, MarketRest
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, slug

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["JOIN_MARGIN_S", "discover", "find_market", "is_contradiction", "strike_of_running", "witness"]

NS = 1_000_000_000
# Connecting, subscribing and the first book take a moment: join so much earlier than promised.
JOIN_MARGIN_S = 5.0


async def find_market(discovery: Discovery, window: Window, asset: AssetIds, *, rule: str) -> MarketSpec:
    """Return the market of this window if it resolves by `rule`; raises what Discovery.find raises."""
    spec = await discovery.find(window, asset)
    if spec.rule != rule:
        raise MarketRefused("unexpected_rule", f"{spec.slug} resolves by {spec.rule}, expected {rule}")
    return spec


async def discover(trader: "Trader", window: Window, *, rule: str, until_ns: int) -> MarketSpec:
    """Ask until the market is listed; `rule` is the resolution rule it must have.

    Raises MarketRefused when it must not be followed, the last reason when it does not show before until_ns.
    """
    engine = trader.config.engine
    delay_s = engine.discover_retry_min_s
    name = slug(trader.config.asset, window.interval, window.start_ns)
    told = ""
    while True:
        try:
            return await find_market(trader.discovery, window, trader.config.asset, rule=rule)
        except MarketRefused as refused:
            last: Exception = refused
            code = refused.code
            if code not in RETRYABLE:
                raise
        except VenueError as error:
            last = error
            code = "not_listed" if isinstance(error, NotListedYet) else "venue_error"
        if code != told:
            text = f"{name}: not to be traded yet, {code}, asking again: {last}"
            trader.notice("WARNING", text)
            told = code
        if trader.clock.now_ns() + int(delay_s * NS) >= until_ns:
            raise last
        await trader.clock.sleep(delay_s)
        delay_s = min(delay_s * 2.0, engine.discover_retry_max_s)


async def strike_of_running(trader: "Trader", spec: MarketSpec) -> Strike | None:
    """The strike of a window that runs already as the venue shows it, None when it does not; raises VenueError."""
    rest = MarketRest(trader.wires.http, trader.config.venue)
    for market in await rest.event(spec.slug) or ():
        if market.condition_id == spec.condition_id and market.price_to_beat is not None:
            return Strike(market.price_to_beat, StrikeSource.STRIKE_GAMMA, spec.start_ns)
    return None


async def witness(trader: "Trader", spec: MarketSpec, index: int, feed: MarketFeed) -> None:
    """While the book is quiet, compare it with REST /book: equal is fresh, different asks for a new snapshot."""
    rest = MarketRest(trader.wires.http, trader.config.venue)
    quiet_s = trader.config.feeds.market_witness_s
    while True:
        await trader.clock.sleep(quiet_s)
        market = trader.engine.markets[index]
        seen_ns = market.book_ns
        if not market.book.has_snapshot or trader.clock.now_ns() - seen_ns < quiet_s * NS:
            continue
        try:
            levels = await rest.book(spec.token_up)
        except (VenueError, MarketRefused):
            continue  # no witness: the book goes on ageing
        if market.book_ns != seen_ns:
            continue  # the book moved meanwhile: nothing to compare
        equal = market.book.equals(_book_of(levels))
        feed.on_witness(index, equal=equal, now_ns=trader.clock.now_ns())
        if equal:
            trader.tell(EventKind.EV_FEED_STATE, market=index, i=FeedId.FEED_MARKET, j=FeedState.FS_WITNESSED)


def is_contradiction(error: BaseException) -> bool:
    """Tell whether our own state contradicts itself, in one error or in any of a group."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(InvariantBroken) is not None
    return isinstance(error, InvariantBroken)


def _book_of(levels: BookLevels) -> Book:
    """The REST levels of the Up token as a book."""
    book = Book()
    book.begin_snapshot()
    for side, rows in ((Side.BUY, levels.bids), (Side.SELL, levels.asks)):
        for price_ticks, ushares in rows:
            book.set_level(Outcome.UP, side, price_ticks, ushares)
    return book
