"""Who is calling the embedded venue's CLOB: L1 logins, L2 request HMACs, order signatures.

Owns parsing and verification of everything signed; refuses with the venue's words.  The time of a
request is checked against venue time, which may run faster than the wall.  Must not place anything.
Called by clob_rest.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from polybot._fast.event import OrderType
from polybot.sim.accounts import Account
from polybot.sim.exchange import Exchange
from polybot.sim.markets import BUY, SELL
from polybot.sim.orders import OrderRequest, read_terms
from polybot.sim.refusals import (
    BAD_L1,
    BAD_PAYLOAD,
    NOT_READY,
    ORDER_VERSION_MISMATCH,
    UNAUTHORIZED,
    WRONG_OWNER,
    WRONG_SIGNER,
    Refused,
)
from polybot.sim.verify import (
    Domain,
    WireOrder,
    checksum_address,
    l2_signature,
    order_hash,
    recover_login,
    recover_order_signer,
)

__all__ = ["ClobAuth", "parse_json"]

NS = 1_000_000_000
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
WORD = re.compile(r"0x[0-9a-fA-F]{64}")
HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+")
DIGITS = re.compile(r"(?:0|[1-9][0-9]{0,77})")
MAX_SALT = 2**53  # the venue parses it as a JSON number in a double
OTHER_VERSIONS = ("1", "2", "3")
SIGNATURE_TYPES = (0, 1, 2, 3)
POLY_1271 = 3
TYPES = {kind.name: int(kind) for kind in OrderType}


@dataclass(frozen=True, slots=True)
class Body:
    """A POST /order body, syntactically right, nothing verified."""

    order: WireOrder
    signature: bytes
    maker: str
    signer: str
    token_id: str
    side: int
    expiration_s: int
    owner: str
    order_type: int
    post_only: bool


def parse_json(body: bytes) -> Any:
    """A request body, or Refused."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(BAD_PAYLOAD) from error


class ClobAuth:
    """Checks of one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    # ---- requests

    def login(self, headers: Mapping[str, str]) -> str:
        """Address that proved itself by an L1 signature; raises Refused (401)."""
        address, timestamp = headers.get("POLY_ADDRESS", ""), headers.get("POLY_TIMESTAMP", "")
        nonce, signature = headers.get("POLY_NONCE", "0"), headers.get("POLY_SIGNATURE", "")
        well_formed = ADDRESS.fullmatch(address) and HEX.fullmatch(signature) and DIGITS.fullmatch(nonce)
        if not well_formed or not self._is_recent(timestamp):
            raise Refused(BAD_L1, 401)
        raw = bytes.fromhex(address[2:])
        chain_id = self._exchange.settings.chain_id
        if recover_login(raw, timestamp, int(nonce), chain_id, bytes.fromhex(signature[2:])) != raw:
            raise Refused(BAD_L1, 401)
        return checksum_address(raw)

    def account_of(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Account:
        """The account whose L2 key signed this request; raises Refused (401)."""
        account = self._exchange.accounts.by_key(headers.get("POLY_API_KEY", ""))
        if account is None or account.credentials is None:
            raise Refused(UNAUTHORIZED, 401)
        timestamp = headers.get("POLY_TIMESTAMP", "")
        known = account.credentials
        expected = l2_signature(known.secret, timestamp, method, path, body)
        is_right = (
            headers.get("POLY_ADDRESS", "").lower() == account.name.lower()
            and hmac.compare_digest(headers.get("POLY_PASSPHRASE", "").encode(), known.passphrase.encode())
            and hmac.compare_digest(headers.get("POLY_SIGNATURE", "").encode(), expected.encode())
            and self._is_recent(timestamp)
        )
        if not is_right:
            raise Refused(UNAUTHORIZED, 401)
        return account

    def _is_recent(self, timestamp: str) -> bool:
        if not DIGITS.fullmatch(timestamp) or len(timestamp) > 12:
            return False
        return (
            abs(self._exchange.scheduler.now_ns // NS - int(timestamp))
            <= self._exchange.settings.login_skew_s
        )

    # ---- orders

    def order_of(self, account: Account, data: Any) -> OrderRequest:
        """A verified order of this account; raises Refused."""
        body = _parse_order(data)
        if body.owner != account.api_key:
            raise Refused(WRONG_OWNER)
        self._check_wallets(account, body)
        found = self._exchange.listings.by_token(body.token_id)
        if found is None:
            raise Refused(NOT_READY)
        domain = self._domain(neg_risk=found[0].spec.neg_risk)
        self._check_signature(account, body, domain)
        order_id = f"0x{order_hash(body.order, domain).hex()}"
        amounts = (body.order.maker_amount, body.order.taker_amount)
        price_ticks, ushares, amount = read_terms(
            order_id, body.order_type, body.side, amounts, found[0].tick_ticks
        )
        return OrderRequest(
            order_id=order_id,
            token_id=body.token_id,
            side=body.side,
            price_ticks=price_ticks,
            ushares=ushares,
            amount=amount,
            order_type=body.order_type,
            post_only=body.post_only,
            expiration_s=body.expiration_s,
            maker_address=body.maker,
        )

    def _check_wallets(self, account: Account, body: Body) -> None:
        kind = body.order.signature_type
        signer = body.maker if kind == POLY_1271 else account.name
        if body.signer.lower() != signer.lower():
            raise Refused(WRONG_SIGNER)
        if kind == 0 and body.maker.lower() != account.name.lower():
            raise Refused(BAD_PAYLOAD)
        if kind != 0:
            if account.funder is None:  # a wallet met at its first login: its funder is learnt here
                account.funder = body.maker
            if body.maker.lower() != account.funder.lower():
                raise Refused(BAD_PAYLOAD)

    def _check_signature(self, account: Account, body: Body, domain: Domain) -> None:
        key = bytes.fromhex(account.name[2:])
        if recover_order_signer(body.order, domain, body.signature) == key:
            return
        for version in OTHER_VERSIONS:
            other = replace(domain, version=version)
            if other != domain and recover_order_signer(body.order, other, body.signature) == key:
                raise Refused(ORDER_VERSION_MISMATCH)
        raise Refused(BAD_PAYLOAD)

    def _domain(self, *, neg_risk: bool) -> Domain:
        settings = self._exchange.settings
        contract = settings.neg_risk_exchange_address if neg_risk else settings.exchange_address
        return Domain(settings.domain_name, settings.domain_version, settings.chain_id, contract)


def _parse_order(data: Any) -> Body:
    """Check types and formats of a POST /order body."""
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("order"), dict)
        or data.get("deferExec") not in (None, False)
    ):
        raise Refused(BAD_PAYLOAD)
    order = data["order"]
    salt: Any = order.get("salt")
    kind: Any = order.get("signatureType")
    owner: Any = data.get("owner")
    post_only: Any = data.get("postOnly", False)
    is_right = (
        type(salt) is int
        and 0 <= salt < MAX_SALT
        and type(kind) is int
        and kind in SIGNATURE_TYPES
        and order.get("side") in ("BUY", "SELL")
        and data.get("orderType") in TYPES
        and isinstance(owner, str)
        and isinstance(post_only, bool)
    )
    if not is_right:
        raise Refused(BAD_PAYLOAD)
    maker, signer = _text(order, "maker", ADDRESS), _text(order, "signer", ADDRESS)
    side = BUY if order["side"] == "BUY" else SELL
    wire = WireOrder(
        salt=salt,
        maker=bytes.fromhex(maker[2:]),
        signer=bytes.fromhex(signer[2:]),
        token_id=_number(order, "tokenId", 2**256),
        maker_amount=_number(order, "makerAmount", 2**53),
        taker_amount=_number(order, "takerAmount", 2**53),
        side=side,
        signature_type=kind,
        timestamp=_number(order, "timestamp", 2**63),
        metadata=bytes.fromhex(_text(order, "metadata", WORD)[2:]),
        builder=bytes.fromhex(_text(order, "builder", WORD)[2:]),
    )
    return Body(
        order=wire,
        signature=bytes.fromhex(_text(order, "signature", HEX)[2:]),
        maker=maker,
        signer=signer,
        token_id=order["tokenId"],
        side=side,
        expiration_s=_number(order, "expiration", 2**40),
        owner=owner,
        order_type=TYPES[data["orderType"]],
        post_only=post_only,
    )


def _text(order: dict[str, Any], key: str, shape: re.Pattern[str]) -> str:
    value = order.get(key)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise Refused(BAD_PAYLOAD)
    return value


def _number(order: dict[str, Any], key: str, below: int) -> int:
    value = int(_text(order, key, DIGITS))
    if value >= below:
        raise Refused(BAD_PAYLOAD)
    return value
