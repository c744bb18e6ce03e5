"""P8: hash and signature of an order, beside the venue's official client doing the same to the same bytes.

The official client runs in an environment of its own with the same curve library under it (left alone it falls back to
pure Python and takes twenty times as long, which would prove nothing).  Ids and signatures of random orders of every
wallet type and both exchanges must come out byte for byte equal first.
"""

import random
from typing import Any

from bench.gate import Gate
from bench.send_desk import KEY
from bench.timing import timed_ns
from polybot.config import VenueConfig
from polybot.gateway.signer import Signer, checksum_address, token_word

VENUE = VenueConfig()
COMPARED = 60
CALLS = 50
THEIR_CALLS = 20
V3_MASK = ((1 << 64) - 1) << 40
ZERO = "0x" + "00" * 32


def random_order(rnd: random.Random, kind: int) -> tuple[Signer, dict[str, Any]]:
    """A signer of a wallet type, and an order as the official client's own input."""
    funder = checksum_address(rnd.randbytes(20)) if kind else ""
    signer = Signer(KEY, VENUE, signature_type=kind, funder=funder)
    token = 0
    while not token & V3_MASK:
        token = rnd.getrandbits(256)
    return signer, {
        "contract": rnd.choice((VENUE.exchange_address, VENUE.neg_risk_exchange_address)),
        "salt": rnd.getrandbits(53),
        "maker": signer.funder,
        "signer": signer.order_signer,
        "tokenId": str(token),
        "makerAmount": str(rnd.randrange(1, 10**12)),
        "takerAmount": str(rnd.randrange(1, 10**12)),
        "side": rnd.choice(("BUY", "SELL")),
        "signatureType": kind,
        "timestamp": str(rnd.randrange(10**12, 2 * 10**12)),
        "metadata": ZERO,
        "builder": ZERO,
    }


def sign(signer: Signer, token: bytes, order: dict[str, Any]) -> tuple[str, str]:
    """Order id and signature by us."""
    signed = signer.sign_order(
        token,
        order["salt"],
        maker_amount=int(order["makerAmount"]),
        taker_amount=int(order["takerAmount"]),
        side=int(order["side"] == "SELL"),
        timestamp_ms=int(order["timestamp"]),
        neg_risk=order["contract"] == VENUE.neg_risk_exchange_address,
    )
    return signed.order_id, signed.signature


def one_order() -> Any:
    """A call that signs one plain order."""
    signer, order = random_order(random.Random(8), 0)
    token, amounts = token_word(order["tokenId"]), {"maker_amount": 5_200_000, "taker_amount": 10_000_000}
    return lambda: signer.sign_order(
        token, order["salt"], **amounts, side=0, timestamp_ms=1_790_616_612_345, neg_risk=False
    )


def test_the_official_client_signs_the_same_and_takes_far_longer(gate: Gate) -> None:
    peer = gate.peer("P8", "clob")
    rnd = random.Random(80)
    cases = [random_order(rnd, k % 4) for k in range(COMPARED)]
    told = peer.ask("sign", orders=[order for _, order in cases])
    ours = [sign(signer, token_word(order["tokenId"]), order) for signer, order in cases]
    assert [order_id for order_id, _ in ours] == told["hashes"]
    assert [signature for _, signature in ours] == told["signatures"]
    call, (_, plain) = one_order(), random_order(random.Random(8), 0)
    gate.paired(
        "P8",
        "order hash and signature, against py-clob-client-v2",
        ours=lambda: timed_ns(call, CALLS) / CALLS,
        theirs=lambda: peer.ask("time_signing", order=plain, count=THEIR_CALLS)["ns"],
        at_least=8.0,
    )


def test_an_order_is_hashed_and_signed_in_forty_microseconds(gate: Gate) -> None:
    gate.median("P8", "order hash and signature", one_order(), below_ns=40_000)
