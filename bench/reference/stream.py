"""Wire bytes of several windows with moves, stale and wrong quotes at known places: what both sides are fed.

A random walk with jumps makes spot and oracle; a market maker of each window quotes its fair a second late, one cent
wide, and in the episodes of `OFFSETS` wrongly, so that every strategy has something to find: off at the open (S4),
late after a jump (S1), moved without the spot (S3), the likely outcome cheap (S2), far from the strike (S5), one window
against the others (S6).  Frames are spelled as the venues spell them.  Must not know what is decided.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from scenario import make_spec

from bench.reference.pricing import Inputs, norm_cdf, price
from polybot.market.spec import MarketSpec

__all__ = ["MEASURED", "NS", "START_NS", "Rates", "Step", "Window", "World", "five_minute_spec"]

NS = 1_000_000_000
START_NS = 1_790_000_100 * NS
BASE = 100_000.0
BASIS = 25.0  # oracle minus spot, USD
SIGMA = 1e-4  # per sqrt(s)
GRID_S = 0.1
MAKER_LAG_S = 1.0
JUMP_EVERY_S = 41.0
JUMP_USD = 35.0
# (seconds into a 5m window, until, USD per share by which Up is quoted too dear), by window number modulo their count
OFFSETS = (
    ((70.0, 74.0, -0.08), (120.0, 124.0, 0.08), (170.0, 175.0, -0.09), (225.0, 245.0, 0.05)),
    ((1.0, 8.0, -0.07), (90.0, 93.0, 0.08), (215.0, 240.0, -0.06)),
    ((1.0, 8.0, 0.07), (60.0, 64.0, 0.09), (130.0, 134.0, -0.08), (250.0, 285.0, 0.05)),
)
STRIKE_ERROR_USD = (0.0, -16.0, 16.0)  # how far the captured strike lies from the last minute, for S4

# (ns of receipt, "spot" | "oracle" | "clob" | a fact's name, frame or the fact's fields)
Step = tuple[int, str, Any]


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages a second, and levels of a book's side."""

    trade: float = 8.0
    quote: float = 10.0
    book: float = 1.5
    change: float = 6.0
    told: float = 0.5
    print_: float = 1.0
    observed_book: float = 0.5
    levels: int = 20


# As measured on the real market (event_stream says from what).
MEASURED = Rates(trade=30.0, quote=115.0, book=12.1, change=50.0, told=0.0, print_=8.0, levels=49)


def five_minute_spec(number: int) -> MarketSpec:
    """Metadata of the 5m window number so many after START_NS."""
    start_ns = START_NS + number * 300 * NS
    return make_spec(
        slug=f"btc-updown-5m-{start_ns // NS}",
        condition_id="0x" + f"{number + 1:02x}" * 32,
        token_up=str(7 * 10**76 + number),
        token_down=str(5 * 10**76 + number),
        start_ns=start_ns,
        end_ns=start_ns + 300 * NS,
    )


def observed_spec(interval: str, start_s: int, length_s: int, rule: str) -> MarketSpec:
    """Metadata of a window that is followed and never traded; start_s relative to START_NS."""
    start_ns, mark = START_NS + start_s * NS, length_s // 900
    return replace(
        five_minute_spec(0),
        slug=f"btc-updown-{interval}-{start_ns // NS}",
        interval=interval,
        condition_id="0x" + f"{0xC0 + mark:02x}" * 32,
        token_up=str(8 * 10**76 + mark),
        token_down=str(6 * 10**76 + mark),
        start_ns=start_ns,
        end_ns=start_ns + length_s * NS,
        rule=rule,
        twap_window_s=60 if rule == "twap" else 0,
    )


@dataclass(slots=True)
class Window:
    """One window as its market maker sees it; sizes in micro-shares, prices in ticks of Up."""

    index: int
    spec: MarketSpec
    observed: bool
    strike: float
    offsets: tuple[tuple[float, float, float], ...] = ()
    middle: int = 5_000
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def offset(self, seconds: float) -> float:
        return sum(usd for first, last, usd in self.offsets if first <= seconds < last)


class World:
    """The path of the price, and all steps made from it, in the order of receipt."""

    def __init__(
        self, *, windows: int, rates: Rates, seed: int, warm_s: int = 120, observed: bool = True
    ) -> None:
        self.rng, self.rates, self.warm_s = random.Random(seed), rates, warm_s
        self.end_s = windows * 300.0
        self.path = self._walk()
        self.trade_id = self.quote_id = 0
        self.windows = [self._window(number) for number in range(windows)]
        if observed:
            self.windows += self._observed()

    # -- the price --------------------------------------------------------------------------------

    def _walk(self) -> list[float]:
        price, found = BASE, []
        next_jump = JUMP_EVERY_S
        for k in range(round((self.warm_s + self.end_s + 5.0) / GRID_S)):
            price += self.rng.gauss(0.0, SIGMA * BASE * math.sqrt(GRID_S))
            if k * GRID_S - self.warm_s >= next_jump:
                price += self.rng.choice((-1.0, 1.0)) * JUMP_USD
                next_jump += JUMP_EVERY_S
            found.append(price)
        return found

    def at(self, seconds: float) -> float:
        """Spot at seconds from START_NS."""
        place = int((seconds + self.warm_s) / GRID_S)
        return self.path[min(max(place, 0), len(self.path) - 1)]

    def oracle_at(self, second: int) -> float:
        return self.at(float(second)) + BASIS

    def average(self, last: int) -> float:
        """Mean of the oracle's 60 seconds up to and with `last`."""
        return sum(self.oracle_at(second) for second in range(last - 59, last + 1)) / 60.0

    def winner(self, window: Window) -> int:
        """0 when the last minute's average is at the strike or above."""
        end_s = (window.spec.end_ns - START_NS) // NS
        return 0 if self.average(end_s - 3) >= window.strike else 1

    # -- windows ----------------------------------------------------------------------------------

    def _window(self, number: int) -> Window:
        strike = self.average(number * 300 - 3) + STRIKE_ERROR_USD[number % len(STRIKE_ERROR_USD)]
        offsets = OFFSETS[number % len(OFFSETS)]
        return Window(number, five_minute_spec(number), False, round(strike, 6), offsets)

    def _observed(self) -> list[Window]:
        specs = (
            observed_spec("15m", -300, 900, "twap"),
            observed_spec("1h", -1_200, 3_600, "candle"),
            observed_spec("4h", -7_200, 14_400, "twap"),
        )
        away = (-90.0, 110.0, -400.0)
        return [
            Window(100 + k, spec, True, self.at(0.0) + (0.0 if spec.rule == "candle" else BASIS) + usd)
            for k, (spec, usd) in enumerate(zip(specs, away, strict=True))
        ]

    def fair(self, window: Window, seconds: float) -> float:
        """What the maker thinks Up is worth: the true sigma, the price a moment ago, his own error."""
        spot = self.at(seconds - MAKER_LAG_S) + (0.0 if window.spec.rule == "candle" else BASIS)
        tau_s = (window.spec.end_ns - START_NS) / NS - seconds
        u = max(0.0, tau_s - 3.0)
        over = 60.0 - u
        first = (window.spec.end_ns - START_NS) // NS - 62
        seen = sum(self.oracle_at(first + k) for k in range(int(over))) if over > 0 else 0.0
        locked = seen + (over - int(over)) * spot if over > 0 else 0.0
        found = price(
            Inputs(
                window.spec.rule, spot, window.strike, SIGMA, 0.0, tau_s, 60.0, 3.0, locked, 0.0, 1e-12, 0.0
            )
        )
        fair = 0.5 if found is None else norm_cdf(found.d2)
        return fair + window.offset(seconds - (window.spec.start_ns - START_NS) / NS)

    # -- steps ------------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """Every step, sorted by receipt."""
        found = [*self._prices(), *self._beats(), *self._oracle()]
        for window in self.windows:
            found += self._market(window)
        return sorted(found, key=lambda step: step[0])

    def _times(self, rate: float, first: float, last: float) -> Iterator[float]:
        t = first + self.rng.expovariate(rate) if rate > 0.0 else last
        while t < last:
            yield t
            t += self.rng.expovariate(rate)

    def _prices(self) -> Iterator[Step]:
        for t in self._times(self.rates.trade, -float(self.warm_s), self.end_s):
            self.trade_id += 1
            yield _ns(t + 0.005), "spot", self._trade(t)
        for t in self._times(self.rates.quote, -float(self.warm_s), self.end_s):
            self.quote_id += 1
            yield _ns(t + 0.004), "spot", self._quote(t)

    def _trade(self, t: float) -> bytes:
        us, size = _ns(t) // 1_000, self.rng.lognormvariate(-4.0, 1.0)
        return (
            f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{us + 100},"s":"BTCUSDT","t":{self.trade_id},'
            f'"p":"{self.at(t):.2f}000000","q":"{size:.5f}000","T":{us},"m":true,"M":true}}}}'
        ).encode()

    def _quote(self, t: float) -> bytes:
        bid = self.at(t)
        return (
            f'{{"stream":"btcusdt@bookTicker","data":{{"u":{self.quote_id},"s":"BTCUSDT","b":"{bid:.2f}000000",'
            f'"B":"1.50000000","a":"{bid + 0.01:.2f}000000","A":"2.25000000"}}}}'
        ).encode()

    def _beats(self) -> Iterator[Step]:
        for k in range(round((self.warm_s + self.end_s + 4.0) * 10)):
            yield _ns(-self.warm_s + k / 10), "timer", ()

    def _oracle(self) -> Iterator[Step]:
        for second in range(-self.warm_s, int(self.end_s) + 2):
            value = self.oracle_at(second)
            stamp_ms = _ns(float(second)) // 1_000_000
            sent_ms = stamp_ms + 900
            at_ns = _ns(second + 1.1)
            for topic, price_usd, more in (
                ("crypto_prices_chainlink", value, ""),
                ("crypto_prices_twap_sixty", self.average(second - 3), ',"window_s":60'),
            ):
                exact = round(price_usd * 1e6) * 10**12
                yield (
                    at_ns,
                    "oracle",
                    (
                        f'{{"payload":{{"full_accuracy_value":"{exact}","symbol":"btc/usd","timestamp":{stamp_ms},'
                        f'"value":{exact / 10**18}{more}}},"timestamp":{sent_ms},"topic":"{topic}","type":"update"}}'
                    ).encode(),
                )

    def _market(self, window: Window) -> list[Step]:
        """Joined 20 s before its start (observed ones from the beginning), settled after its end."""
        start, end = ((ns - START_NS) / NS for ns in (window.spec.start_ns, window.spec.end_ns))
        join = max(start - 20.0, 2.0 - self.warm_s)
        found: list[Step] = [
            (_ns(join), "open", (window.index, window.spec, 1 + window.index * 10_000, window.observed)),
            (_ns(max(start + 1.2, join)), "strike", (window.index, window.strike)),
        ]
        if end <= self.end_s:
            found += [
                (window.spec.end_ns, "close", (window.index,)),
                (window.spec.end_ns + 3 * NS, "outcome", (window.index, self.winner(window))),
            ]
        last, rates = min(end, self.end_s), self.rates
        if window.observed:
            rates = replace(rates, book=rates.observed_book, change=rates.observed_book, told=0.0, print_=0.0)
        kinds = [(t, "book") for t in self._times(rates.book, join, last)]
        kinds += [(t, "change") for t in self._times(rates.change, join, last)]
        kinds += [(t, "told") for t in self._times(rates.told, join, last)]
        kinds += [(t, "print") for t in self._times(rates.print_, join, last)]
        for t, kind in [(join, "book"), *sorted(kinds)]:
            payload = getattr(self, f"_spell_{kind}")(window, t)
            if payload is not None:
                found.append((_ns(t + 0.02), "clob", payload))
        return found

    # -- frames of the market channel -------------------------------------------------------------

    def _spell_book(self, window: Window, t: float) -> bytes:
        """The whole book about the maker's fair, told for Up or, now and then, for Down."""
        window.middle = min(max(round(self.fair(window, t) * 100), 1), 98) * 100
        reach = range(self.rates.levels)
        bids = (window.middle - 100 * k for k in reach)
        asks = (window.middle + 100 + 100 * k for k in reach)
        window.bids = {ticks: self._size() for ticks in bids if ticks > 0}
        window.asks = {ticks: self._size() for ticks in asks if ticks < 10_000}
        is_down = self.rng.random() < 0.2
        told_bids, told_asks = window.bids, window.asks
        if is_down:
            told_bids = {10_000 - ticks: size for ticks, size in window.asks.items()}
            told_asks = {10_000 - ticks: size for ticks, size in window.bids.items()}
        return orjson.dumps(
            {
                "market": window.spec.condition_id,
                "asset_id": window.spec.token_down if is_down else window.spec.token_up,
                "timestamp": str(_ns(t) // 1_000_000),
                "hash": "ab",
                "bids": _levels(sorted(told_bids.items())),
                "asks": _levels(sorted(told_asks.items(), reverse=True)),
                "tick_size": "0.01",
                "event_type": "book",
            }
        )

    def _size(self) -> int:
        """Micro-shares of a level, on the cent of a share."""
        return int(self.rng.lognormvariate(5.0, 1.0) * 100 + 1) * 10_000

    def _spell_change(self, window: Window, t: float) -> bytes | None:
        """A new size at one price near the best, told for Up and mirrored for Down; or the maker moves a tick."""
        is_bid = self.rng.random() < 0.5
        best = max(window.bids, default=0) if is_bid else min(window.asks, default=0)
        if not best:
            return None
        away = 100 * int(self.rng.expovariate(0.5))
        ticks = best - away if is_bid else best + away
        if not 0 < ticks < 10_000:
            return None
        side = window.bids if is_bid else window.asks
        ushares = self._size()
        if self.rng.random() < 0.1 and len(side) > 5:
            ushares = 0
            side.pop(ticks, None)
        else:
            side[ticks] = ushares
        bid, ask = max(window.bids), min(window.asks)
        rows = [
            _change(window.spec.token_up, ticks, ushares, is_bid, bid, ask),
            _change(window.spec.token_down, 10_000 - ticks, ushares, not is_bid, 10_000 - ask, 10_000 - bid),
        ]
        return orjson.dumps(
            {
                "market": window.spec.condition_id,
                "price_changes": rows,
                "timestamp": str(_ns(t) // 1_000_000),
                "event_type": "price_change",
            }
        )

    def _spell_told(self, window: Window, t: float) -> bytes | None:
        if not (window.bids and window.asks):
            return None
        return orjson.dumps(
            {
                "market": window.spec.condition_id,
                "asset_id": window.spec.token_up,
                "best_bid": _usd(max(window.bids)),
                "best_ask": _usd(min(window.asks)),
                "spread": "0.01",
                "timestamp": str(_ns(t) // 1_000_000),
                "event_type": "best_bid_ask",
            }
        )

    def _spell_print(self, window: Window, t: float) -> bytes:
        return orjson.dumps(
            {
                "market": window.spec.condition_id,
                "asset_id": window.spec.token_up,
                "price": _usd(window.middle + 100),
                "size": "11.6",
                "side": "BUY",
                "fee_rate_bps": "0",
                "timestamp": str(_ns(t) // 1_000_000),
                "event_type": "last_trade_price",
            }
        )


def _ns(seconds: float) -> int:
    return START_NS + round(seconds * 1e6) * 1_000


def _usd(ticks: int) -> str:
    return f"{ticks / 10_000:.2f}"


def _levels(rows: list[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"price": _usd(ticks), "size": f"{ushares / 1e6:.2f}"} for ticks, ushares in rows]


def _change(token: str, ticks: int, ushares: int, is_bid: bool, bid: int, ask: int) -> dict[str, str]:
    return {
        "asset_id": token,
        "price": _usd(ticks),
        "size": f"{ushares / 1e6:.2f}",
        "side": "BUY" if is_bid else "SELL",
        "hash": "0f",
        "best_bid": _usd(bid),
        "best_ask": _usd(ask),
    }
