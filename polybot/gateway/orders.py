"""From an engine Command to the exact bytes of POST /order.

Owns the amounts of an order (exact integers on the venue's table), the local refusals, the salt
and the JSON body, which is built once: it is both signed for L2 and sent.
Must not do I/O, keep state or read a clock.  Called by gateway.clob on the engine's stack.

Numbers: price in ticks of 1e-4, size in micro-shares, USD in micro-USD.  With price = t ticks and
size = n lots of 0.01 share, USD is t x n micro-USD exactly: nothing is ever rounded, except the
venue's own limits for marketable orders (amounts.marketable_*), which can cut the size a little.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from polybot._fast.event import COMMAND_DTYPE, OrderType, Side
from polybot._fast.keccak import keccak_256
from polybot.gateway.amounts import (
    LOT_USHARES,
    MAX_USHARES,
    PRICE_ONE_TICKS,
    marketable_buy_amounts,
    marketable_sell_amounts,
    notional_micro_usd,
)
from polybot.gateway.reasons import RejectReason
from polybot.gateway.signer import Signer, token_word
from polybot.market.spec import MarketSpec

__all__ = [
    "COMMAND_HEAD",
    "CommandHead",
    "OrderPlan",
    "SignedOrder",
    "TradedMarket",
    "build_order",
    "order_salt",
    "plan_order",
    "read_commands",
]

BUY = int(Side.BUY)
GTC, GTD = int(OrderType.GTC), int(OrderType.GTD)
TAKER_TYPES = (int(OrderType.FAK), int(OrderType.FOK))
TYPE_NAMES = {int(kind): kind.name for kind in OrderType}
# The first 48 bytes of a Command record, in the order of CommandHead.
COMMAND_HEAD = struct.Struct("<qqHHBBBBiiqq")
COMMAND_BYTES = COMMAND_DTYPE.itemsize
SALT_MASK = (1 << 53) - 1  # the salt is a JSON number: exact in a double
MIN_MARKETABLE_MICRO_USD = 1_000_000  # "invalid amount for a marketable BUY order, min size: $1"
GTD_MIN_AHEAD_S = 185  # the venue wants >= 180 s; five for the way there
GTD_AFTER_END_S = 60  # the venue removes a GTD order about 60 s before its stated time
NS = 1_000_000_000
# POST /order.  What stands in it is ours: numbers, hex and fixed words, which JSON takes as they are; the owner's id
# is quoted by the JSON library.
BODY = (
    '{"deferExec":false,"order":{"salt":%d,"maker":"%s","signer":"%s","tokenId":"%s","makerAmount":"%d",'
    '"takerAmount":"%d","side":"%s","signatureType":%d,"timestamp":"%d","expiration":"%d",'
    '"metadata":"0x' + "00" * 32 + '","builder":"0x%s","signature":"%s"},"owner":%s,"orderType":"%s"%s'
)


class CommandHead(NamedTuple):
    """What the gateway reads of one Command record."""

    decided_ns: int
    order_seq: int
    kind: int
    market: int
    outcome: int
    side: int
    order_type: int
    strategy: int
    price_ticks: int
    reason: int
    shares: int
    usd: int


@dataclass(slots=True)
class TradedMarket:
    """A registered market: its spec, token words and the tick size now in force."""

    index: int
    spec: MarketSpec
    token_words: tuple[bytes, bytes]
    tick_size_ticks: int

    @classmethod
    def from_spec(cls, index: int, spec: MarketSpec) -> "TradedMarket":
        """Raises SigningError when a token_id cannot be signed for."""
        words = (token_word(spec.token_up), token_word(spec.token_down))
        return cls(index, spec, words, spec.tick_size_ticks)

    def token_id(self, outcome: int) -> str:
        """The decimal token_id of an outcome (0 Up, 1 Down)."""
        return self.spec.token_down if outcome else self.spec.token_up


class OrderPlan(NamedTuple):
    """An order in exact integers, before salt and signature."""

    order_seq: int
    outcome: int
    side: int
    order_type: int
    price_ticks: int
    asked_ushares: int  # as the engine commanded
    ushares: int  # as signed: a little less for a marketable order off the venue's decimals
    maker_amount: int
    taker_amount: int
    expiration_s: int


class SignedOrder(NamedTuple):
    """An order id and the exact body to send."""

    order_id: str
    body: bytes


def read_commands(raw: bytes) -> Iterator[CommandHead]:
    """Yield the heads of packed Command records."""
    for offset in range(0, len(raw), COMMAND_BYTES):
        yield CommandHead._make(COMMAND_HEAD.unpack_from(raw, offset))


def plan_order(market: TradedMarket, command: CommandHead, now_ns: int) -> OrderPlan | RejectReason:
    """Return the exact amounts of a CMD_PLACE, or why it is refused without asking the venue."""
    refusal = _check_order(market, command, now_ns)
    if refusal is not RejectReason.NONE:
        return refusal
    is_buy, is_taker = command.side == BUY, command.order_type in TAKER_TYPES
    if is_taker:
        cut = marketable_buy_amounts if is_buy else marketable_sell_amounts
        usd, ushares = cut(command.price_ticks, command.shares)
    else:
        usd, ushares = notional_micro_usd(command.price_ticks, command.shares), command.shares
    if ushares < market.spec.min_size_ushares:
        return RejectReason.BELOW_MIN_SIZE
    if is_taker and is_buy and usd < MIN_MARKETABLE_MICRO_USD:
        return RejectReason.BELOW_MIN_NOTIONAL
    maker_amount, taker_amount = (usd, ushares) if is_buy else (ushares, usd)
    return OrderPlan(
        order_seq=command.order_seq,
        outcome=command.outcome,
        side=command.side,
        order_type=command.order_type,
        price_ticks=command.price_ticks,
        asked_ushares=command.shares,
        ushares=ushares,
        maker_amount=maker_amount,
        taker_amount=taker_amount,
        expiration_s=_expiration_s(market.spec, command.order_type, now_ns),
    )


def order_salt(session_nonce: bytes, order_seq: int) -> int:
    """Return the salt of an order: 53 bits, the same for the same session and sequence number."""
    digest = keccak_256(session_nonce + order_seq.to_bytes(8, "big"))
    return int.from_bytes(digest[:8], "big") & SALT_MASK


def build_order(
    signer: Signer,
    market: TradedMarket,
    *,
    plan: OrderPlan,
    salt: int,
    timestamp_ms: int,
    api_key: str,
    post_only: bool,
) -> SignedOrder:
    """Hash, sign and serialise one order; post_only applies to GTC and GTD only.  The token_id is a decimal number."""
    signed = signer.sign_order(
        market.token_words[plan.outcome],
        salt,
        maker_amount=plan.maker_amount,
        taker_amount=plan.taker_amount,
        side=plan.side,
        timestamp_ms=timestamp_ms,
        neg_risk=market.spec.neg_risk,
    )
    text = BODY % (
        salt,
        signer.funder,
        signer.order_signer,
        market.token_id(plan.outcome),
        plan.maker_amount,
        plan.taker_amount,
        "BUY" if plan.side == BUY else "SELL",
        signer.signature_type,
        timestamp_ms,
        plan.expiration_s,
        signer.builder_hex,
        signed.signature,
        orjson.dumps(api_key).decode(),
        TYPE_NAMES[plan.order_type],
        ',"postOnly":true}' if post_only and plan.order_type in (GTC, GTD) else "}",
    )
    return SignedOrder(signed.order_id, text.encode())


def _check_order(market: TradedMarket, command: CommandHead, now_ns: int) -> RejectReason:
    tick = market.tick_size_ticks
    if command.order_type not in TYPE_NAMES or command.side > 1 or command.outcome > 1:
        return RejectReason.ORDER_TYPE
    if not market.spec.accepting_orders or now_ns >= market.spec.end_ns:
        return RejectReason.NOT_ACCEPTING
    if not tick <= command.price_ticks <= PRICE_ONE_TICKS - tick:
        return RejectReason.PRICE_RANGE
    if command.price_ticks % tick:
        return RejectReason.OFF_TICK
    if command.shares % LOT_USHARES or not 0 < command.shares <= MAX_USHARES:
        return RejectReason.OFF_LOT
    return RejectReason.NONE


def _expiration_s(spec: MarketSpec, order_type: int, now_ns: int) -> int:
    if order_type != GTD:
        return 0
    return max(now_ns // NS + GTD_MIN_AHEAD_S, spec.end_ns // NS + GTD_AFTER_END_S)
