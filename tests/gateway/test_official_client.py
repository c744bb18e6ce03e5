"""The official client, pinned, as an oracle: 1,000 random orders of every wallet type come out the same.

Compared are the order id (its hash), the signature and, where the official client computes amounts itself
(limit orders), the whole body of POST /order.  Both exchanges, both sides, every tick size, every order type,
with and without a builder code, over many random keys and wallets.  The seed is in the test's id.
"""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
import pytest
from scenario import make_spec

from polybot._fast.event import OrderType
from polybot.config import VenueConfig
from polybot.gateway.orders import CommandHead, OrderPlan, SignedOrder, TradedMarket, build_order, plan_order
from polybot.gateway.signer import Signer, checksum_address

ORDERS = 1_000  # of every wallet type
SEED = 20_261_122
VENUE = VenueConfig()
NS = 1_000_000_000
NOW_S = 1_790_616_612
API_KEY = "6d9f8a0e-0000-4000-8000-000000000000"
WALLETS = {0: "EOA", 1: "POLY_PROXY", 2: "POLY_GNOSIS_SAFE", 3: "POLY_1271"}
TICKS = {1_000: "0.1", 100: "0.01", 50: "0.005", 25: "0.0025", 10: "0.001", 1: "0.0001"}
V3_MASK = ((1 << 64) - 1) << 40
SIDES = ("BUY", "SELL")


@dataclass(frozen=True)
class Official:
    """What of the official client is used; private parts of a version that is pinned exactly."""

    account: Any
    messages: Any
    typed_data: Any
    types: Any
    limit: Any
    post: Any
    models: Any


@pytest.fixture(scope="module")
def official() -> Official:
    orders = "polymarket._internal.actions.orders"
    return Official(
        account=pytest.importorskip("eth_account").Account,
        messages=pytest.importorskip("eth_account.messages"),
        typed_data=pytest.importorskip(f"{orders}.typed_data"),
        types=pytest.importorskip(f"{orders}.types"),
        limit=pytest.importorskip(f"{orders}.limit"),
        post=pytest.importorskip(f"{orders}.post"),
        models=pytest.importorskip("polymarket.models.clob.orders"),
    )


@dataclass(frozen=True)
class Case:
    """One random order as both sides get it."""

    key: bytes
    signer: Signer
    market: TradedMarket
    plan: OrderPlan
    salt: int
    timestamp_ms: int
    post_only: bool

    @property
    def order_type(self) -> str:
        return OrderType(self.plan.order_type).name

    @property
    def price(self) -> Decimal:
        return Decimal(self.plan.price_ticks) / 10_000


def random_token(rnd: random.Random) -> str:
    while not (number := rnd.getrandbits(256)) & V3_MASK:
        pass
    return str(number)


def random_signer(rnd: random.Random, kind: int) -> tuple[bytes, Signer]:
    key = rnd.randbytes(32)
    builder = rnd.choice((bytes(32), rnd.randbytes(32)))
    funder = checksum_address(rnd.randbytes(20)) if kind else ""
    return key, Signer(key, VENUE, signature_type=kind, funder=funder, builder=builder)


def random_market(rnd: random.Random) -> TradedMarket:
    spec = make_spec(
        condition_id="0x" + rnd.randbytes(32).hex(),
        token_up=random_token(rnd),
        token_down=random_token(rnd),
        start_ns=(NOW_S - 12) * NS,
        end_ns=(NOW_S + 288) * NS,
        tick_size_ticks=rnd.choice(list(TICKS)),
        neg_risk=rnd.random() < 0.5,
    )
    return TradedMarket.from_spec(0, spec)


def random_case(rnd: random.Random, kind: int, keys: list[tuple[bytes, Signer]]) -> Case:
    """A random order that passes our own checks (the few that do not are drawn again)."""
    while True:
        market = random_market(rnd)
        tick = market.tick_size_ticks
        price_ticks = tick * rnd.randrange(1, 10_000 // tick)
        lots = rnd.choice((rnd.randrange(500, 5_000), rnd.randrange(500, 10**8)))
        head = CommandHead(
            0, 1, 1, 0, rnd.randrange(2), rnd.randrange(2), int(rnd.choice(list(OrderType))), 0,
            price_ticks, 0, lots * 10_000, 0,
        )  # fmt: skip
        plan = plan_order(market, head, NOW_S * NS)
        if isinstance(plan, OrderPlan):
            break
    key, signer = rnd.choice(keys)
    assert signer.signature_type == kind
    return Case(key, signer, market, plan, rnd.getrandbits(53), rnd.randrange(10**12, 2 * 10**12), rnd.random() < 0.5)


def build_ours(case: Case) -> SignedOrder:
    return build_order(
        case.signer,
        case.market,
        plan=case.plan,
        salt=case.salt,
        timestamp_ms=case.timestamp_ms,
        api_key=API_KEY,
        post_only=case.post_only,
    )


def official_amounts(client: Official, case: Case) -> tuple[int, int]:
    """Amounts of a limit order by the official client; those of marketable ones are rounded on purpose."""
    if case.order_type in ("FAK", "FOK"):
        return case.plan.maker_amount, case.plan.taker_amount
    amounts = client.limit._compute_limit_order_amounts(
        price=case.price,
        size=Decimal(case.plan.asked_ushares) / 10**6,
        side=SIDES[case.plan.side],
        tick_size=Decimal(TICKS[case.market.tick_size_ticks]),
    )
    return int(amounts[0]), int(amounts[1])


def build_theirs(client: Official, case: Case) -> tuple[str, dict[str, Any]]:
    """Order id and body of the same order by the official client."""
    neg_risk = case.market.spec.neg_risk
    maker_amount, taker_amount = official_amounts(client, case)
    unsigned = client.types.UnsignedOrder(
        builder="0x" + case.signer.builder.hex(),
        chain_id=VENUE.chain_id,
        exchange_address=VENUE.neg_risk_exchange_address if neg_risk else VENUE.exchange_address,
        expiration=case.plan.expiration_s,
        maker=case.signer.funder,
        maker_amount=maker_amount,
        metadata=client.types.BYTES32_ZERO,
        order_type=case.order_type,
        salt=case.salt,
        side=SIDES[case.plan.side],
        signature_type=case.signer.signature_type,
        signer=case.signer.order_signer,
        taker_amount=taker_amount,
        timestamp=case.timestamp_ms,
        token_id=case.market.token_id(case.plan.outcome),
    )
    account = client.account.from_key(case.key)
    data = client.typed_data.build_order_typed_data(unsigned)
    raw = "0x" + account.sign_typed_data(full_message=data).signature.hex().removeprefix("0x")
    plain = client.typed_data._build_standard_typed_data(unsigned, protocol_version="2")
    digest = client.messages._hash_eip191_message(client.messages.encode_typed_data(full_message=plain))
    fields = {
        name: getattr(unsigned, name) for name in unsigned.__slots__ if name in client.models.SignedOrder.__slots__
    }
    signed = client.models.SignedOrder(
        **fields,
        signature=client.typed_data.build_order_signature(unsigned, raw),
        post_only=case.post_only and case.order_type in ("GTC", "GTD"),
    )
    return "0x" + bytes(digest).hex(), client.post._build_send_order_payload(signed, owner_api_key=API_KEY)


@pytest.mark.parametrize("kind", WALLETS, ids=[f"{name}-seed{SEED + kind}" for kind, name in WALLETS.items()])
def test_random_orders_have_the_hash_signature_and_body_of_the_official_client(kind: int, official: Official) -> None:
    rnd = random.Random(SEED + kind)
    keys = [random_signer(rnd, kind) for _ in range(20)]
    seen: dict[str, set[Any]] = {"tick": set(), "side": set(), "type": set(), "neg_risk": set(), "builder": set()}
    for number in range(ORDERS):
        case = random_case(rnd, kind, keys)
        ours = build_ours(case)
        order_id, body = build_theirs(official, case)
        assert (ours.order_id, orjson.loads(ours.body)) == (order_id, body), f"order {number} of seed {SEED + kind}"
        seen["tick"].add(case.market.tick_size_ticks)
        seen["side"].add(case.plan.side)
        seen["type"].add(case.order_type)
        seen["neg_risk"].add(case.market.spec.neg_risk)
        seen["builder"].add(any(case.signer.builder))
    assert {name: len(values) for name, values in seen.items()} == {
        "tick": len(TICKS),
        "side": 2,
        "type": len(OrderType),
        "neg_risk": 2,
        "builder": 2,
    }
    assert len({signer.funder for _, signer in keys}) == 20
