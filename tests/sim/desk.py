"""A desk for exchange tests: one exchange in memory, wallets that sign, sockets that collect."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from scenario import make_spec

from polybot.market.spec import MarketSpec
from polybot.sim.clob_rest import ClobRest
from polybot.sim.clob_ws import MarketChannel, UserChannel
from polybot.sim.exchange import Exchange, ExchangeSettings
from polybot.sim.faults import FaultPlan
from polybot.sim.ledger import Ledger
from polybot.sim.scheduler import Scheduler
from polybot.sim.verify import Domain, WireOrder, address_of_key, l2_signature, order_hash

NS = 1_000_000_000
MS = 1_000_000
START_NS = 1_790_616_600 * NS
SHARE = 1_000_000
UP, DOWN = 0, 1
BUY, SELL = 0, 1
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # public test key
OTHER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"  # public test key
ZERO_WORD = "0x" + "00" * 32


def spec_of(number: int = 1, **changes: Any) -> MarketSpec:
    fields: dict[str, Any] = {
        "slug": f"btc-updown-5m-{number}",
        "condition_id": f"0x{number:064x}",
        "token_up": str(10**70 + 2 * number),
        "token_down": str(10**70 + 2 * number + 1),
        "start_ns": START_NS,
        "end_ns": START_NS + 300 * NS,
    }
    return make_spec(**(fields | changes))


@dataclass
class Socket:
    """What a session sent."""

    frames: list[str] = field(default_factory=list)
    session: Any = None

    def read(self) -> list[dict[str, Any]]:
        """All messages since the last read, arrays flattened."""
        out: list[dict[str, Any]] = []
        for frame in self.frames:
            if frame == "PONG":
                out.append({"event_type": "PONG"})
                continue
            data = json.loads(frame)
            out += data if isinstance(data, list) else [data]
        self.frames.clear()
        return out


class Desk:
    """An exchange with one market and, per wallet, signed requests."""

    def __init__(
        self,
        *,
        seed: int = 1,
        ledger_path: Path | None = None,
        faults: FaultPlan | None = None,
        **settings: Any,
    ) -> None:
        self.scheduler = Scheduler(START_NS)
        self.ledger = Ledger(ledger_path, "session-1")
        self.settings = ExchangeSettings(**settings)
        self.exchange = Exchange(self.settings, self.scheduler, self.ledger, random.Random(seed))
        self.rest = ClobRest(self.exchange, faults)
        self.market_channel = MarketChannel(self.exchange, faults)
        self.user_channel = UserChannel(self.exchange, faults)
        self.salt = 0

    @property
    def now_ns(self) -> int:
        return self.scheduler.now_ns

    def run(self, seconds: float) -> None:
        self.scheduler.advance(self.now_ns + round(seconds * NS))

    def list(self, number: int = 1, **changes: Any) -> MarketSpec:
        spec = spec_of(number, **changes)
        self.exchange.create_market(spec, self.now_ns)
        return spec

    def wallet(self, key: str = KEY, usd: int = 1_000, **kwargs: Any) -> "Wallet":
        address = self.exchange.accounts.create(key, usd * 1_000_000, **kwargs)
        return Wallet(self, key, address)

    def rest_ladder(self, spec: MarketSpec, bid: int = 5_000, ask: int = 5_200, shares: int = 100) -> None:
        """One quote on each side, in Up terms."""
        quotes = [(BUY, bid, shares * SHARE), (SELL, ask, shares * SHARE)]
        assert self.exchange.replace_ladder("maker-0", spec.condition_id, quotes) == 0
        self.scheduler.advance(self.now_ns)

    def get(self, path: str, **query: str) -> tuple[int, Any]:
        answer = self.rest.handle("GET", path, query, {}, b"", self.now_ns)
        return answer.status, json.loads(answer.body)

    def market_socket(self, *tokens: str, custom: bool = True) -> Socket:
        socket = Socket()
        socket.session = self.market_channel.open(socket.frames.append, self.now_ns)
        subscribe = {"type": "market", "assets_ids": list(tokens), "custom_feature_enabled": custom}
        socket.session.on_text(json.dumps(subscribe), self.now_ns)
        return socket


class Wallet:
    """A private key with an API key at the desk."""

    def __init__(self, desk: Desk, key: str, address: str) -> None:
        self.desk = desk
        self.key = PrivateKey(bytes.fromhex(key[2:]))
        assert address == address_of_key(key)
        self.address = address
        account = desk.exchange.accounts.by_address(address)
        assert account is not None
        assert account.credentials is not None
        self.account = account
        self.credentials = account.credentials

    def headers(self, method: str, path: str, body: bytes = b"", **changes: str) -> dict[str, str]:
        timestamp = changes.pop("timestamp", str(self.desk.now_ns // NS))
        signature = l2_signature(self.credentials.secret, timestamp, method, path, body)
        return {
            "POLY_ADDRESS": self.address,
            "POLY_API_KEY": self.credentials.api_key,
            "POLY_PASSPHRASE": self.credentials.passphrase,
            "POLY_TIMESTAMP": timestamp,
            "POLY_SIGNATURE": signature,
        } | changes

    def call(self, method: str, path: str, data: Any = None, **query: str) -> tuple[int, Any]:
        body = b"" if data is None else json.dumps(data, separators=(",", ":")).encode()
        headers = self.headers(method, path, body)
        answer = self.desk.rest.handle(method, path, query, headers, body, self.desk.now_ns)
        return answer.status, json.loads(answer.body)

    def body(
        self, token: str, side: int, price_ticks: int, shares: float, order_type: str = "GTC", **changes: Any
    ) -> dict[str, Any]:
        """A signed POST /order body; changes named like wire fields override, before signing."""
        ushares = round(shares * SHARE)
        usd = ushares * price_ticks // 10_000
        maker, taker = (usd, ushares) if side == BUY else (ushares, usd)
        self.desk.salt += 1
        order: dict[str, Any] = {
            "salt": self.desk.salt,
            "maker": self.address,
            "signer": self.address,
            "tokenId": token,
            "makerAmount": str(maker),
            "takerAmount": str(taker),
            "side": "BUY" if side == BUY else "SELL",
            "signatureType": 0,
            "timestamp": str(self.desk.now_ns // MS),
            "expiration": "0",
            "metadata": ZERO_WORD,
            "builder": ZERO_WORD,
        }
        outer = {"deferExec": False, "owner": self.credentials.api_key, "orderType": order_type}
        version = changes.pop("version", self.desk.settings.domain_version)
        contract = changes.pop("contract", self.desk.settings.exchange_address)
        for name, value in changes.items():
            (order if name in order else outer)[name] = value
        wire = wire_of(order)
        domain = Domain(self.desk.settings.domain_name, version, self.desk.settings.chain_id, contract)
        order["signature"] = self.sign(order_hash(wire, domain))
        return {"order": order, **outer}

    def sign(self, digest: bytes) -> str:
        raw = self.key.sign_recoverable(digest, hasher=None)
        return "0x" + raw[:64].hex() + f"{raw[64] + 27:02x}"

    def post(self, *args: Any, **changes: Any) -> tuple[int, Any]:
        return self.call("POST", "/order", self.body(*args, **changes))

    def socket(self, *markets: str) -> Socket:
        socket = Socket()
        socket.session = self.desk.user_channel.open(socket.frames.append, self.desk.now_ns)
        auth = {
            "apiKey": self.credentials.api_key,
            "secret": self.credentials.secret,
            "passphrase": self.credentials.passphrase,
        }
        message: dict[str, Any] = {"type": "user", "auth": auth}
        if markets:
            message["markets"] = list(markets)
        socket.session.on_text(json.dumps(message), self.desk.now_ns)
        assert socket.session.close_reason is None
        return socket


def wire_of(order: dict[str, Any]) -> WireOrder:
    """The signed fields of a JSON order."""
    return WireOrder(
        salt=order["salt"],
        maker=bytes.fromhex(order["maker"][2:]),
        signer=bytes.fromhex(order["signer"][2:]),
        token_id=int(order["tokenId"]),
        maker_amount=int(order["makerAmount"]),
        taker_amount=int(order["takerAmount"]),
        side=BUY if order["side"] == "BUY" else SELL,
        signature_type=order["signatureType"],
        timestamp=int(order["timestamp"]),
        metadata=bytes.fromhex(order["metadata"][2:]),
        builder=bytes.fromhex(order["builder"][2:]),
    )
