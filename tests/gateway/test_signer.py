"""Signatures: the venue's vectors byte for byte, what cannot be signed, the key kept in."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from polybot.config import VenueConfig
from polybot.errors import SigningError
from polybot.gateway.signer import Signer, address_bytes, checksum_address, parse_private_key, token_word
from tests.gateway.fake_http import ANVIL_KEY

ANVIL = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
WALLET = "0x1111111111111111111111111111111111111111"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
VENUE = VenueConfig()
ORDER: dict[str, Any] = {
    "maker_amount": 5_200_000,
    "taker_amount": 10_000_000,
    "side": 0,
    "timestamp_ms": 1_700_000_000_000,
    "neg_risk": False,
}


def test_address_is_derived_with_its_checksum() -> None:
    assert Signer(ANVIL_KEY, VENUE).address == ANVIL
    assert checksum_address(address_bytes(ANVIL.lower())) == ANVIL


def test_realistic_order_has_the_published_signature() -> None:
    signed = Signer(ANVIL_KEY, VENUE).sign_order(token_word(TOKEN), 479249096354, **ORDER)
    assert signed.order_id == "0x6569c7f56e83a478fad8fb3ba97919f5457e30cc52bc98f8329a9ac545b23faf"
    assert signed.signature == (
        "0x9e2df7920d54227e535090904ec230648352fd264e442e195da6f482bd2e98e3"
        "222a005c63b832fb4b567390587c02967ddf43c7cc651d044246bef0b9336e501c"
    )


def test_login_has_the_published_signature() -> None:
    signer = Signer(ANVIL_KEY, VenueConfig(chain_id=80_002))
    assert signer.sign_login(10_000_000, 23) == (
        "0xf62319a987514da40e57e2f4d7529f7bac38f0355bd88bb5adbb3768d80de6c1"
        "682518e0af677d5260366425f4361e7b70c25ae232aff0ab2331e2b164a1aedc1b"
    )


def test_every_vector_hash_and_signature_is_reproduced(shared_dir: Path) -> None:
    vectors = json.loads((shared_dir / "vectors" / "orders_v2.json").read_text())
    key = parse_private_key(vectors["private_key"])
    done = 0
    for vector in vectors["orders"]:
        order = vector["order"]
        kind = order["signatureType"]
        signer = Signer(
            key,
            VENUE,
            signature_type=kind,
            funder=order["maker"] if kind else "",
            builder=bytes.fromhex(order["builder"][2:]),
        )
        signed = signer.sign_order(
            token_word(order["tokenId"]),
            order["salt"],
            maker_amount=int(order["makerAmount"]),
            taker_amount=int(order["takerAmount"]),
            side=0 if order["side"] == "BUY" else 1,
            timestamp_ms=int(order["timestamp"]),
            neg_risk=vector["verifyingContract"] == VENUE.neg_risk_exchange_address,
        )
        assert (signed.order_id, signed.signature) == (vector["hash"], vector["signature"]), vector["name"]
        assert (signer.funder, signer.order_signer) == (order["maker"], order["signer"])
        done += 1
    assert done == 7


def test_signatures_are_deterministic() -> None:
    first, second = (
        Signer(ANVIL_KEY, VENUE).sign_order(token_word(TOKEN), 5, **ORDER).signature for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("kind", "funder", "words"),
    [
        (0, WALLET, "no funder"),
        (1, "", "needs the funder"),
        (2, "0x12", "not an address"),
        (3, "", "needs the funder"),
        (4, WALLET, "signature type 4"),
    ],
)
def test_wallet_types_that_do_not_fit_are_refused(kind: int, funder: str, words: str) -> None:
    with pytest.raises(SigningError, match=words):
        Signer(ANVIL_KEY, VENUE, signature_type=kind, funder=funder)


def test_own_address_may_be_named_as_funder_of_a_plain_key() -> None:
    assert Signer(ANVIL_KEY, VENUE, funder=ANVIL.lower()).funder == ANVIL


@pytest.mark.parametrize("token_id", ["", "12a", "-5", str(1 << 256), "5", str(1 << 200), "\u0665\u0666"])
def test_tokens_that_are_no_v2_position_are_refused(token_id: str) -> None:
    with pytest.raises(SigningError):
        token_word(token_id)


@pytest.mark.parametrize(
    "text", ["", "0x12", "zz" * 32, "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784"]
)
def test_bad_keys_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(SigningError) as caught:
        parse_private_key(text)
    assert not text or text not in str(caught.value)


def test_key_outside_the_curve_is_refused_without_quoting_it() -> None:
    with pytest.raises(SigningError) as caught:
        Signer(b"\xff" * 32, VENUE)
    assert "ff" * 8 not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_key_is_not_in_repr_and_the_signer_cannot_be_pickled() -> None:
    signer = Signer(ANVIL_KEY, VENUE)
    assert ANVIL_KEY.hex() not in repr(signer) + str(signer)
    with pytest.raises(SigningError):
        pickle.dumps(signer)
