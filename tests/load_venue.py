"""The embedded venue as a process of its own that can be told to send far more than a market ever does.

The venue is the product's own, on its own sockets; a flood puts extra frames among its frames: spot trades with
unbroken ids and stamps of the moment they were made, and changes of one far book level whose sizes number them.
So whoever receives can tell exactly what is missing, and how old each frame was when it was read.
Venue time stands still until somebody asks /info: a slow machine does not make a trader miss the first window.

    argv[1]              JSON list of settings, as on polybot's command line
    stdout  first line   {"ready": true, "pid": ..., "url": ...}
    stdin   one line     {"trades_per_s": 10000, "books_per_s": 1000, "seconds": 1.0, ...}  (see Flood)
    stdout  one line     what was sent (Flood.told); end of stdin ends the process
"""

import asyncio
import json
import re
import secrets
import sys
from typing import Any

import uvloop

from polybot._fast.wire_text import SpotText
from polybot.cli import load_config
from polybot.clock import SystemClock, wall_clock
from polybot.config import Config
from polybot.sim.markets import BUY, UP, MarketState
from polybot.sim.messages import price_change_text
from polybot.sim.opening import new_session_id, opening
from polybot.sim.server import VenueServer
from polybot.sim.venue import Session, Venue, VenueSetup
from polybot.transport import HttpResponse, SendText

NS = 1_000_000_000
TURN_S = 0.002  # wall: between two handfuls of a flood
FAR_TICKS = 100  # the level whose size is changed: a bid for Up at 0.01
FAR_USHARES = 50_000_000  # it seems larger by twice this, so that no size of its own is taken for a numbered one
START_DELAY_S = 0.5
TRADE_ID = re.compile(r'"t":(\d+)')
QUANTITY_E8 = 65_000
MAX_LINE_BYTES = 1 << 16

__all__ = ["FAR_TICKS"]


class LateClock:
    """Venue time that stands just short of the epoch until `begin`."""

    def __init__(self, epoch_ns: int, speed: float) -> None:
        self._epoch_ns, self._speed = epoch_ns, speed
        self._clock: SystemClock | None = None

    def begin(self) -> int:
        """Let it run; returns the monotonic ns that the epoch is at."""
        if self._clock is None:
            mono_ns = wall_clock().mono_ns() + int(START_DELAY_S * NS)
            self._clock = SystemClock(self._epoch_ns, mono_ns, self._speed)
        return self._clock.mono_anchor_ns

    def now_ns(self) -> int:
        return self._epoch_ns - 1 if self._clock is None else self._clock.now_ns()

    def mono_ns(self) -> int:
        return wall_clock().mono_ns()

    def real_s(self, seconds: float) -> float:
        return seconds / self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.real_s(seconds))


class LoadVenue(Venue):
    """A venue among whose frames others can be put."""

    def __init__(self, setup: VenueSetup, clock: LateClock) -> None:
        super().__init__(setup)
        self.clock = clock
        self.last_trade_id = 0
        self.spot_sends: list[SendText] = []
        self.market_sends: list[SendText] = []
        self.text = SpotText(setup.asset.spot_symbol, combined=True, micro=True)

    def http(self, service: str, *args: Any, **kwargs: Any) -> Any:
        """The first who asks what there is to join sets the world going."""
        if service == "sim":
            self.info["mono_ns"] = self.clock.begin()
        answer = super().http(service, *args, **kwargs)
        assert service != "sim" or isinstance(answer, HttpResponse)
        return answer

    def ws_open(self, service: str, path_qs: str, send: SendText, now_ns: int) -> Session | None:
        """Remember where spot frames and book frames go; the venue's own trades are numbered on with ours."""
        if service == "clob" and path_qs.startswith("/ws/market"):
            self.market_sends.append(send)
        if service != "spot":
            return super().ws_open(service, path_qs, send, now_ns)
        self.spot_sends.append(send)
        assert len(self.spot_sends) == 1, "one spot socket at a time: its ids are one sequence"

        def numbered(text: str) -> None:
            if '"e":"trade"' in text:
                own = TRADE_ID.search(text)
                assert own is not None
                self.last_trade_id = self.last_trade_id + 1 if self.last_trade_id else int(own[1])
                text = f'{text[: own.start()]}"t":{self.last_trade_id}{text[own.end() :]}'
            send(text)

        return super().ws_open(service, path_qs, numbered, now_ns)

    def running_market(self) -> MarketState:
        """The market whose window is on."""
        now_ns = self.clock.now_ns()
        found = [m for m in self.exchange.listings.all() if m.spec.start_ns <= now_ns < m.spec.end_ns]
        return found[0]


class Flood:
    """Extra frames at given rates, each with the stamp of its making."""

    def __init__(self, venue: LoadVenue, server: VenueServer, order: dict[str, Any]) -> None:
        self._venue, self._server = venue, server
        self._trades_per_s = float(order["trades_per_s"])
        self._books_per_s = float(order["books_per_s"])
        self._seconds = float(order["seconds"])
        self._ramp_frac = float(order.get("ramp_frac", 0.0))  # how far prices wander up and back
        self._skip = int(order.get("skip", 0))  # so many trades are numbered and never sent
        self._late_us = round(1e6 * float(order.get("late_s", 0.0)))  # the trades' stamps are so old
        self._trades = self._books = 0
        self._first_id = 0
        self._last_ns = 0
        self._first_book = 0

    async def run(self) -> dict[str, Any]:
        """Send all of it; returns what was sent."""
        venue = self._venue
        began_ns, began = venue.clock.now_ns(), venue.clock.mono_ns()
        self._first_id = venue.last_trade_id + 1
        trades, books = round(self._trades_per_s * self._seconds), round(self._books_per_s * self._seconds)
        while self._trades < trades or self._books < books:
            passed_s = (venue.clock.mono_ns() - began) / NS
            self._send_trades(min(trades, int(passed_s * self._trades_per_s) + 1) - self._trades)
            self._send_books(min(books, int(passed_s * self._books_per_s) + 1) - self._books)
            self._server._after()
            await asyncio.sleep(TURN_S)
        took_s = (venue.clock.mono_ns() - began) / NS
        if self._books:
            self._send_far(self._far(venue.running_market()))
        self._server._after()
        return {
            "trades": self._trades,
            "books": self._books,
            "first_id": self._first_id,
            "last_id": venue.last_trade_id,  # the venue's own trades in between have their numbers too
            "first_book": self._first_book,
            "began_ns": began_ns,
            "last_ns": self._last_ns,
            "took_s": took_s,
        }

    def _send_trades(self, count: int) -> None:
        venue = self._venue
        for _ in range(count):
            if self._skip and self._trades == 5:
                venue.last_trade_id += self._skip
            self._last_ns = now_ns = venue.clock.now_ns()
            venue.last_trade_id += 1
            done = self._trades / (self._trades_per_s * self._seconds)
            price = venue.spot.price * (1.0 + self._ramp_frac * (1.0 - abs(2.0 * done - 1.0)))
            price_e8 = round(price * 100.0) * 1_000_000
            at_us = now_ns // 1_000 - self._late_us
            trade = (venue.last_trade_id, 0, price_e8, QUANTITY_E8, at_us, self._trades % 2 == 0)
            venue.spot_sends[-1](venue.text.trade(trade, at_us))
            self._trades += 1

    def _send_books(self, count: int) -> None:
        if count <= 0:
            return
        if not self._books:
            self._first_book = 2 * FAR_USHARES + self._far(self._venue.running_market())
        for _ in range(count):
            self._send_far(self._first_book + self._books)
            self._books += 1

    def _far(self, market: MarketState) -> int:
        return dict(market.levels(UP, BUY)).get(FAR_TICKS, 0)

    def _send_far(self, ushares: int) -> None:
        venue = self._venue
        text = price_change_text(venue.running_market(), [(BUY, FAR_TICKS, ushares)], venue.clock.now_ns())
        venue.market_sends[-1](text)


def _setup(config: Config) -> VenueSetup:
    opens = opening(config.venue, config.interval, wall_clock().now_ns())
    session_id = new_session_id(config.venue.seed, opens.epoch_ns, secrets.token_hex(8))
    return VenueSetup(
        venue=config.venue,
        interval=config.interval,
        asset=config.asset,
        epoch_ns=opens.epoch_ns,
        session_id=session_id,
    )


def _tell(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def _serve(config: Config) -> None:
    setup = _setup(config)
    clock = LateClock(setup.epoch_ns, config.venue.speed)
    venue = LoadVenue(setup, clock)
    server = VenueServer()
    server.bind()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        await server.start(venue, clock)
        _tell({"ready": True, "url": server.urls["sim_url"]})
        while line := await reader.readline():
            _tell(await Flood(venue, server, json.loads(line)).run())
    finally:
        await server.stop()
        venue.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(load_config(json.loads(sys.argv[1]))))
