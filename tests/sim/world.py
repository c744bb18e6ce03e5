"""A venue for world tests: small past, one 5m market a minute away, taps that collect what is sent."""

import json
from dataclasses import dataclass, field
from typing import Any

from polybot.config import default_config
from polybot.sim.opening import opening
from polybot.sim.venue import Session, Venue, VenueSetup

NS = 1_000_000_000
MS = 1_000_000
REAL_NOW_NS = 1_790_616_460 * NS  # some moment within a 5m window
SPOT_STREAMS = "/stream?streams=btcusdt@trade/btcusdt@bookTicker&timeUnit=MICROSECOND"
# No makers to speak of and no takers: for tests of prices alone.
QUIET = {
    "venue.world.makers.count": 1,
    "venue.world.makers.levels": 1,
    "venue.world.makers.deep_levels": 0,
    "venue.world.takers.noise_per_s": 0.0,
    "venue.world.takers.informed_count": 0,
    "venue.world.spot.quotes_per_s": 10.0,
    "venue.world.spot.trades_per_s": 10.0,
}
RTDS_SUBSCRIBE = json.dumps(
    {
        "action": "subscribe",
        "subscriptions": [
            {"topic": "crypto_prices_twap_sixty", "type": "update"},
            {"topic": "crypto_prices_chainlink", "type": "*", "filters": '{"symbol":"btc/usd"}'},
        ],
    }
)


@dataclass
class Tap:
    """What one websocket got, with venue times."""

    venue: Venue
    texts: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    session: Session | None = None

    def take(self, text: str) -> None:
        self.texts.append(text)
        self.times.append(self.venue.scheduler.now_ns)

    def say(self, message: Any) -> None:
        assert self.session is not None
        text = message if isinstance(message, str) else json.dumps(message)
        self.venue.ws_text(self.session, text, self.venue.scheduler.now_ns)

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts if text not in ("PONG",)]


@dataclass
class World:
    """A venue and shorthands."""

    venue: Venue
    start_ns: int  # of the first coming window

    @property
    def epoch_ns(self) -> int:
        return self.venue.setup.epoch_ns

    @property
    def end_ns(self) -> int:
        return self.start_ns + 300 * NS

    def record(self) -> Any:
        """The first coming market."""
        records = self.venue.lifecycle.records.values()
        return next(record for record in records if record.spec.start_ns == self.start_ns)

    def run_to(self, seconds: float) -> None:
        """Let venue time pass to so many seconds after the window's start."""
        self.venue.advance(self.start_ns + int(seconds * NS))

    def tap(self, service: str, path_qs: str = "/") -> Tap:
        tap = Tap(self.venue)
        tap.session = self.venue.ws_open(service, path_qs, tap.take, self.venue.scheduler.now_ns)
        return tap

    def get(self, service: str, path: str, query: str = "", **headers: str) -> Any:
        """Body of a GET that must succeed."""
        answer = self.ask(service, path, query, **headers)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def ask(self, service: str, path: str, query: str = "", **headers: str) -> Any:
        now_ns = self.venue.scheduler.now_ns
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.venue.http(service, "GET", path, query, headers=named, body=b"", now_ns=now_ns)


def make_world(**overrides: Any) -> World:
    """A venue just at its epoch, 40 s before a window; overrides by dotted config key."""
    settings = {"venue.world.spot.history_h": 1.0, "venue.world.lifecycle.windows_ahead": 2, **overrides}
    config = default_config(**settings)
    opens = opening(config.venue, config.interval, REAL_NOW_NS)
    setup = VenueSetup(
        venue=config.venue,
        interval=config.interval,
        asset=config.asset,
        epoch_ns=opens.epoch_ns,
        session_id="world-test",
    )
    venue = Venue(setup)
    venue.advance(opens.epoch_ns)
    return World(venue, opens.first_window_ns)
