"""The embedded venue in one piece, sans I/O: HTTP in, websocket text in, websocket text out.

Owns the composition of world and exchange, and the map from service names to their handlers:

    clob      REST; /ws/market and /ws/user        gamma     REST
    spot      REST /api/v3; /ws and /stream        rtds      websocket
    polybolt  websocket                            geoblock  REST        sim  REST: /info, /plant

Whoever drives it (sim.server with sockets, sim.memory without) calls `advance(now_ns)` when
`next_ns()` has come, and hands requests and messages in at their own time.  Venue time may be before
the epoch: requests are answered, but the world stands still until then.
The same setup and the same calls give the same bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, parse_qsl

import orjson

from polybot.config import AssetConfig, IntervalConfig, VenueConfig
from polybot.errors import ConfigError
from polybot.sim.clob_rest import ClobRest
from polybot.sim.clob_ws import MarketChannel, UserChannel
from polybot.sim.exchange import Exchange
from polybot.sim.fair import FairModel
from polybot.sim.faults import FaultPlan, Withheld
from polybot.sim.gamma import GammaApi
from polybot.sim.ledger import Ledger
from polybot.sim.lifecycle import Lifecycle
from polybot.sim.makers import MakerDesk
from polybot.sim.oracle import Oracle
from polybot.sim.path import NS
from polybot.sim.planted import Planted, planted_from
from polybot.sim.rate_limits import RateLimits
from polybot.sim.rtds import OracleWire
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeded_faults import SeededFaults, plan_of
from polybot.sim.seeds import private_key, stream
from polybot.sim.settings import ExchangeSettings
from polybot.sim.spot import SpotMarket
from polybot.sim.spot_rest import SpotRest
from polybot.sim.takers import NoiseTakers, add_informed_takers
from polybot.sim.tape import SpotTape, load_spot_tape
from polybot.transport import HttpResponse, SendText

__all__ = ["SERVICES", "Session", "Venue", "VenueSetup"]

SERVICES = ("clob", "gamma", "spot", "rtds", "polybolt", "geoblock", "sim")
ACCOUNT = "main"
MICRO = 1_000_000
BEFORE_NS = 3_600 * NS  # how long before the epoch the venue can already be asked
JSON = {"Content-Type": "application/json"}


class Session(Protocol):
    """One websocket connection inside the venue."""

    close_reason: str | None  # not None: the shell must close the socket

    def on_text(self, text: str, now_ns: int) -> None:
        """One text message of the client."""
        ...

    def close(self) -> None:
        """The socket is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSetup:
    """What one venue session is made from."""

    venue: VenueConfig
    interval: IntervalConfig
    asset: AssetConfig
    epoch_ns: int  # venue time at which the world starts to move
    session_id: str
    ledger_path: str = ""  # "": kept in memory only


class Venue:
    """One session of the embedded venue."""

    def __init__(self, setup: VenueSetup, *, faults: FaultPlan | None = None) -> None:
        venue, seed, epoch_ns = setup.venue, setup.venue.seed, setup.epoch_ns
        world = venue.world
        self.setup = setup
        self.info: dict[str, Any] = {}  # told at /info; the shell adds its URLs and clock
        self.scheduler = Scheduler(epoch_ns - BEFORE_NS)
        self.ledger = Ledger(Path(setup.ledger_path) if setup.ledger_path else None, setup.session_id)
        self.exchange = Exchange(
            _exchange_settings(venue), self.scheduler, self.ledger, stream(seed, "exchange")
        )
        self._accounts: dict[str, str] = {}
        self.account(ACCOUNT)
        tape = _tape_of(setup)
        self.spot = SpotMarket(
            world.spot,
            self.scheduler,
            symbol=setup.asset.spot_symbol,
            start_price=setup.asset.sim_start_price_usd,
            vol_annual=setup.asset.sim_vol_annual,
            seed=seed,
            epoch_ns=epoch_ns,
            tape=tape,
            cut_s=world.lifecycle.spot_cut_h * 3_600,
        )
        self.oracle = Oracle(world.oracle, self.scheduler, self.spot, seed=seed, epoch_ns=epoch_ns)
        self.fair = FairModel(self.spot, self.oracle)
        self.desk = MakerDesk(
            world.makers,
            venue.makers,
            self.scheduler,
            self.exchange,
            self.fair,
            spot=self.spot,
            seed=seed,
            epoch_ns=epoch_ns,
        )
        if venue.makers != "slow":  # a demonstration's edge is not to be taken by others
            add_informed_takers(world.takers, self.desk, self.scheduler, self.exchange, seed=seed)
        self.lifecycle = Lifecycle(
            world.lifecycle,
            self.scheduler,
            self.exchange,
            self.desk,
            noise=NoiseTakers(world.takers, self.scheduler, self.exchange, seed=seed),
            spot=self.spot,
            oracle=self.oracle,
            asset=setup.asset,
            interval=setup.interval,
            ahead_s=world.makers.ahead_s,
            twap_s=world.oracle.twap_window_s,
            taker_delay_ms=venue.taker_delay_ms,
            seed=seed,
            epoch_ns=epoch_ns,
        )
        self._open_wire(setup, faults)

    def _open_wire(self, setup: VenueSetup, faults: FaultPlan | None) -> None:
        """Everything a client can talk to."""
        self.planted: Planted | None = None
        self.faults = faults or plan_of(setup.venue, self.exchange, setup.epoch_ns)
        self.limits = RateLimits(self.ledger)
        self.exchange.settle_by(self.faults)
        self._clob = ClobRest(self.exchange, self.faults, self.limits)
        self._market_channel = MarketChannel(self.exchange, self.faults)
        self._user_channel = UserChannel(self.exchange, self.faults)
        self._gamma = GammaApi(self.lifecycle, self.exchange, setup.asset)
        self._spot_rest = SpotRest(self.spot)
        self._wire = OracleWire(
            self.oracle,
            self.spot,
            self.scheduler,
            oracle_symbol=setup.asset.oracle_symbol,
            polybolt_symbol=setup.asset.polybolt_symbol,
            twap_window_s=setup.venue.world.oracle.twap_window_s,
            check_key=self.exchange.accounts.check_key,
            seed=setup.venue.seed,
            epoch_ns=setup.epoch_ns,
        )

    def account(self, name: str) -> dict[str, str]:
        """A test account, made at its first mention: its address and (worthless) private key."""
        key = private_key(self.setup.venue.seed, name)
        if name not in self._accounts:
            balance = round(self.setup.venue.balance_usd * MICRO)
            self._accounts[name] = self.exchange.accounts.create(key, balance)
        return {"name": name, "address": self._accounts[name], "private_key": key}

    def http(
        self,
        service: str,
        method: str,
        path: str,
        query: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        now_ns: int,
    ) -> HttpResponse | Withheld:
        """Answer one request, unless a fault withholds it; `query` is the part after "?", still encoded."""
        if (service, method, path) == ("sim", "POST", "/plant"):
            return self._plant(body)
        answer = self._http(service, method, path, query, headers, body, max(now_ns, self.scheduler.now_ns))
        if self.planted is None or isinstance(answer, Withheld):
            return answer
        return self.planted.changed(service, path, dict(parse_qsl(query)), answer)

    def _http(  # noqa: PLR0917 -- a request is these seven
        self,
        service: str,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        now_ns: int,
    ) -> HttpResponse | Withheld:
        if service == "clob":
            return self._clob.handle(method, path, dict(parse_qsl(query)), headers, body, now_ns)
        self.scheduler.advance(now_ns)
        if method != "GET":
            return HttpResponse(405, JSON, b'{"error":"method not allowed"}')
        if service == "gamma":
            return self._gamma.handle(path, parse_qs(query), now_ns)
        if service == "spot":
            lower = {key.lower(): value for key, value in headers.items()}
            return self._spot_rest.handle(path, dict(parse_qsl(query)), lower, now_ns)
        if service == "geoblock":
            place = {"blocked": False, "ip": "127.0.0.1", "country": "ZZ", "region": ""}
            return HttpResponse(200, JSON, orjson.dumps(place))
        if service == "sim" and path == "/info":
            asked = dict(parse_qsl(query))
            if "address" in asked:
                return self._describe_own(asked["address"])
            return HttpResponse(200, JSON, orjson.dumps(self.describe(asked.get("account", ACCOUNT))))
        return HttpResponse(404, JSON, b'{"error":"not found"}')

    def _plant(self, body: bytes) -> HttpResponse:
        """Make something wrong, or right again."""
        try:
            planted = planted_from(body)
        except ValueError as error:
            return HttpResponse(400, JSON, orjson.dumps({"error": str(error)}))
        self.planted = None if planted == Planted() else planted
        return HttpResponse(200, JSON, b"{}")

    def describe(self, account: str = ACCOUNT) -> dict[str, Any]:
        """What another process must know to join: session, clock, account, what is simulated."""
        tape = self.spot.tape
        return {
            **self.info,
            "session_id": self.setup.session_id,
            "epoch_ns": self.setup.epoch_ns,
            "speed": self.setup.venue.speed,
            "seed": self.setup.venue.seed,
            "makers": self.setup.venue.makers,
            "spot": "recorded frames" if tape else "generated path",
            "faults": self.setup.venue.faults,
            "fault_counts": self.fault_counts(),
            "throttled": self.limits.throttled,
            "bans": self.limits.bans,
            "oracle_history": "flat at the first recorded price" if tape else "generated path",
            "account": self.account(account),
        }

    def _describe_own(self, address: str) -> HttpResponse:
        """The facts of joining with a key of one's own; its account is opened at its first mention."""
        if not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
            return HttpResponse(400, JSON, b'{"error":"not an address"}')
        accounts = self.exchange.accounts
        if accounts.by_address(address) is None:
            accounts.open(address, round(self.setup.venue.balance_usd * MICRO))
        facts = {**self.describe(), "account": {"name": address, "address": address}}
        return HttpResponse(200, JSON, orjson.dumps(facts))

    def fault_counts(self) -> dict[str, int]:
        """Seeded faults so far, by kind."""
        return dict(self.faults.tally.counts) if isinstance(self.faults, SeededFaults) else {}

    def ws_open(self, service: str, path_qs: str, send: SendText, now_ns: int) -> Session | None:
        """A websocket was connected; None when there is no such endpoint (answer 404)."""
        now_ns = max(now_ns, self.scheduler.now_ns)
        self.scheduler.advance(now_ns)
        path = path_qs.partition("?")[0]

        def said(text: str) -> None:
            if self.planted is None or not self.planted.is_mute(service, path, text):
                send(text)

        return self._session(service, path_qs, said, now_ns)

    def _session(self, service: str, path_qs: str, send: SendText, now_ns: int) -> Session | None:
        path = path_qs.partition("?")[0]
        if service == "clob" and path == "/ws/market":
            return self._market_channel.open(send, now_ns)
        if service == "clob" and path == "/ws/user":
            return self._user_channel.open(send, now_ns)
        if service == "spot" and (path == "/stream" or path.startswith("/ws")):
            return self.spot.open(path_qs, send, now_ns)
        if service == "rtds":
            return self._wire.open_rtds(send, now_ns)
        if service == "polybolt":
            return self._wire.open_polybolt(send, now_ns)
        return None

    def ws_text(self, session: Session, text: str, now_ns: int) -> None:
        """One text message of a client."""
        now_ns = max(now_ns, self.scheduler.now_ns)
        self.scheduler.advance(now_ns)
        session.on_text(text, now_ns)
        self.scheduler.advance(now_ns)

    def ws_close(self, session: Session) -> None:
        """A socket is gone."""
        session.close()

    def advance(self, now_ns: int) -> None:
        """Let everything happen that is due up to now_ns."""
        self.scheduler.advance(max(now_ns, self.scheduler.now_ns))

    def next_ns(self) -> int:
        """When something happens next."""
        due_ns = self.scheduler.next_ns()
        assert due_ns is not None, "the world has stopped"
        return due_ns

    def close(self) -> None:
        """Seal the ledger."""
        self.ledger.close()


def _tape_of(setup: VenueSetup) -> SpotTape | None:
    venue = setup.venue
    if venue.book_tape:
        raise ConfigError(
            f"venue.book_tape={venue.book_tape} is not allowed: recorded books are not served yet"
        )
    if not venue.tape:
        return None
    tape = load_spot_tape(venue.tape)
    if tape.symbol != setup.asset.spot_symbol:
        raise ConfigError(
            f"venue.tape={venue.tape} is not allowed: it holds {tape.symbol}, "
            f"asset={setup.asset.name} trades as {setup.asset.spot_symbol}"
        )
    return tape


def _exchange_settings(venue: VenueConfig) -> ExchangeSettings:
    return ExchangeSettings(
        chain_id=venue.chain_id,
        clob_version=venue.clob_version,
        domain_name=venue.domain_name,
        domain_version=venue.domain_version,
        exchange_address=venue.exchange_address,
        neg_risk_exchange_address=venue.neg_risk_exchange_address,
    )
