"""Order digests: the venue's vectors byte for byte, and random orders against a plain reference."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from reference import eip712_reference as ref

from polybot._fast.eip712 import ORDER_TYPE, OrderHasher, clob_auth_digest, domain_separator

NAME, CHAIN = b"Polymarket CTF Exchange", 137
EXCHANGE = bytes.fromhex("E111180000d2663C0091e4f400237545B87B996B")
NEG_RISK = bytes.fromhex("e2222d279d744050d28e00520010520000310F59")
V3 = bytes.fromhex("e3333700cA9d93003F00f0F71f8515005F6c00Aa")
ANVIL = bytes.fromhex("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563


def hasher(domain: bytes, **changes: Any) -> OrderHasher:
    fields: dict[str, Any] = {"signer": ANVIL, "signature_type": 0, "chain_id": CHAIN} | changes
    return OrderHasher(domain, changes.pop("maker", ANVIL), **{k: v for k, v in fields.items() if k != "maker"})


@pytest.mark.parametrize(
    ("version", "contract", "expected"),
    [
        (b"2", EXCHANGE, "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"),
        (b"2", NEG_RISK, "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"),
        (b"3", V3, "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b"),
    ],
)
def test_domain_separators_are_the_published_ones(version: bytes, contract: bytes, expected: str) -> None:
    assert domain_separator(NAME, version, chain_id=CHAIN, verifying_contract=contract).hex() == expected
    assert ref.domain_hash(NAME.decode(), version.decode(), CHAIN, contract).hex() == expected


def test_realistic_order_has_the_published_hashes() -> None:
    domain = domain_separator(NAME, b"2", chain_id=CHAIN, verifying_contract=EXCHANGE)
    order_id, digest, contents = hasher(domain).hash_order(
        TOKEN.to_bytes(32, "big"),
        479249096354,
        maker_amount=5_200_000,
        taker_amount=10_000_000,
        side=0,
        timestamp_ms=1_700_000_000_000,
    )
    assert contents.hex() == "dac6141fba14965ac85faa36a72b75c89126d955e71d47e08511a993e71e450d"
    assert order_id.hex() == "6569c7f56e83a478fad8fb3ba97919f5457e30cc52bc98f8329a9ac545b23faf"
    assert digest == order_id


def test_every_vector_hash_is_reproduced(shared_dir: Path) -> None:
    vectors = json.loads((shared_dir / "vectors" / "orders_v2.json").read_text())
    assert len(vectors["orders"]) == 7
    for vector in vectors["orders"]:
        order = vector["order"]
        domain = domain_separator(
            NAME,
            vector["version"].encode(),
            chain_id=vectors["chainId"],
            verifying_contract=bytes.fromhex(vector["verifyingContract"][2:]),
        )
        unit = OrderHasher(
            domain,
            bytes.fromhex(order["maker"][2:]),
            signer=bytes.fromhex(order["signer"][2:]),
            signature_type=order["signatureType"],
            chain_id=vectors["chainId"],
            builder=bytes.fromhex(order["builder"][2:]),
        )
        order_id, _, _ = unit.hash_order(
            int(order["tokenId"]).to_bytes(32, "big"),
            order["salt"],
            maker_amount=int(order["makerAmount"]),
            taker_amount=int(order["takerAmount"]),
            side=0 if order["side"] == "BUY" else 1,
            timestamp_ms=int(order["timestamp"]),
        )
        assert "0x" + order_id.hex() == vector["hash"], vector["name"]


def test_random_orders_of_every_signature_type_match_the_reference() -> None:
    rnd = random.Random(3)
    for k in range(60):
        domain, maker, signer, builder = (rnd.randbytes(n) for n in (32, 20, 20, 32))
        fields: dict[str, Any] = {
            "salt": rnd.getrandbits(53),
            "maker": maker,
            "signer": signer,
            "tokenId": rnd.getrandbits(256),
            "makerAmount": rnd.getrandbits(62),
            "takerAmount": rnd.getrandbits(62),
            "side": k % 2,
            "signatureType": k % 4,
            "timestamp": rnd.getrandbits(43),
            "metadata": bytes(32),
            "builder": builder,
        }
        unit = OrderHasher(domain, maker, signer=signer, signature_type=k % 4, chain_id=k, builder=builder)
        contents = ref.order_hash(fields)
        wrapped = ref.wallet_hash(contents, k, signer) if k % 4 == 3 else contents
        got = unit.hash_order(
            fields["tokenId"].to_bytes(32, "big"),
            fields["salt"],
            maker_amount=fields["makerAmount"],
            taker_amount=fields["takerAmount"],
            side=fields["side"],
            timestamp_ms=fields["timestamp"],
        )
        assert got == (ref.digest(domain, contents), ref.digest(domain, wrapped), contents)


def test_hashing_one_order_leaves_nothing_behind_for_the_next() -> None:
    unit = hasher(bytes(32), signature_type=3)
    small = {"maker_amount": 1, "taker_amount": 1, "side": 0, "timestamp_ms": 1}
    huge = {"maker_amount": 2**63, "taker_amount": 2**63, "side": 1, "timestamp_ms": 2**63}
    first = unit.hash_order(bytes(32), 1, **small)
    unit.hash_order(b"\xff" * 32, 2**53 - 1, **huge)
    assert unit.hash_order(bytes(32), 1, **small) == first


def test_seal_appends_the_tail_to_deposit_wallet_signatures_only() -> None:
    domain, contents, signature = b"d" * 32, b"c" * 32, b"s" * 65
    sealed = hasher(domain, signature_type=3).seal(signature, contents)
    assert sealed == signature + domain + contents + ORDER_TYPE + b"\x00\xba"
    assert len("0x" + sealed.hex()) == 636
    assert hasher(domain, signature_type=2).seal(signature, contents) == signature


def test_login_digest_depends_on_every_field() -> None:
    base = clob_auth_digest(ANVIL, b"10000000", nonce=23, chain_id=80002)
    others = [
        clob_auth_digest(EXCHANGE, b"10000000", nonce=23, chain_id=80002),
        clob_auth_digest(ANVIL, b"10000001", nonce=23, chain_id=80002),
        clob_auth_digest(ANVIL, b"10000000", nonce=24, chain_id=80002),
        clob_auth_digest(ANVIL, b"10000000", nonce=23, chain_id=137),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize(
    "build",
    [
        lambda: hasher(b"short"),
        lambda: hasher(bytes(32), signer=b"short"),
        lambda: hasher(bytes(32), signature_type=4),
        lambda: hasher(bytes(32), builder=b"short"),
        lambda: hasher(bytes(32)).hash_order(
            b"short", 1, maker_amount=1, taker_amount=1, side=0, timestamp_ms=1
        ),
        lambda: domain_separator(NAME, b"2", chain_id=1, verifying_contract=b"short"),
        lambda: clob_auth_digest(b"short", b"1", nonce=0, chain_id=1),
    ],
)
def test_wrong_lengths_are_refused(build: Any) -> None:
    with pytest.raises(ValueError, match=r"bytes|signature_type"):
        build()


def test_negative_and_oversize_numbers_are_refused() -> None:
    unit = hasher(bytes(32))
    with pytest.raises(OverflowError):
        unit.hash_order(bytes(32), -1, maker_amount=1, taker_amount=1, side=0, timestamp_ms=1)
    with pytest.raises(OverflowError):
        unit.hash_order(bytes(32), 1, maker_amount=2**64, taker_amount=1, side=0, timestamp_ms=1)
