"""Nonces are those of RFC 6979, written out slowly, and the curve library's own; codes are the standard library's."""

import base64
import copy
import hashlib
import hmac
import pickle
import random
from collections.abc import Iterator
from itertools import islice

import pytest
from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi

from polybot._fast.hmac256 import KeyedHmac, has_sha, nonce_address, nonce_of
from polybot.gateway import auth as auth_module
from polybot.gateway import signer as signer_module
from polybot.gateway.auth import ApiCredentials, RequestSigner
from polybot.gateway.signer import _Curve

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
# RFC 6979 has no example on this curve; this is the widely published one: key 1, SHA-256 of "Satoshi Nakamoto".
KNOWN = (
    (1).to_bytes(32, "big"),
    hashlib.sha256(b"Satoshi Nakamoto").digest(),
    "8f8a276c19f4149656b280621e358cce24f5f52542772691ee69063b74f15d15",
)


BYTES = "const unsigned char *"
ARGUMENTS = f"unsigned char *, {BYTES}, {BYTES}, {BYTES}, void *, unsigned int"  # of secp256k1_nonce_function


def slow_nonce(digest: bytes, key: bytes) -> bytes:
    """RFC 6979, section 3.2, b to h, with the standard library."""

    def mac(secret: bytes, text: bytes) -> bytes:
        return hmac.new(secret, text, hashlib.sha256).digest()

    digest = (int.from_bytes(digest, "big") % ORDER).to_bytes(32, "big")
    k, v = bytes(32), b"\x01" * 32
    for mark in (b"\x00", b"\x01"):
        k = mac(k, v + mark + key + digest)
        v = mac(k, v)
    return mac(k, v)


def cases(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Digests and keys: at the edges of their range first, then random."""
    near = [(ORDER + k).to_bytes(32, "big") for k in (-1, 0, 1)]
    edges = [bytes(32), b"\x01".rjust(32, b"\x00"), b"\xff" * 16 + bytes(16), b"\xff" * 32, *near]
    keys = [(1).to_bytes(32, "big"), (ORDER - 1).to_bytes(32, "big"), (1 << 255).to_bytes(32, "big")]
    yield from ((digest, key) for digest in edges for key in keys)
    rnd = random.Random(seed)
    while True:
        yield rnd.randbytes(32), rnd.randrange(1, ORDER).to_bytes(32, "big")


def cpu_has_sha() -> bool:
    """What the kernel says of the processor."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        return any(line.startswith("flags") and " sha_ni" in line for line in lines)


def test_what_the_processor_can_do_is_told_as_the_kernel_tells_it() -> None:
    assert has_sha() == cpu_has_sha()


def test_nonces_are_those_of_the_slow_reference_or_refused_without_the_instructions() -> None:
    for digest, key in islice(cases(1), 3_000):
        if has_sha():
            assert nonce_of(digest, key) == slow_nonce(digest, key)
        else:
            with pytest.raises(ValueError, match="SHA instructions"):
                nonce_of(digest, key)


def test_the_slow_reference_knows_the_published_number() -> None:
    key, digest, nonce = KNOWN
    assert slow_nonce(digest, key).hex() == nonce


def test_signatures_are_the_librarys_own_with_and_without_the_quick_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    for digest, key in islice(cases(2), 300):
        own = PrivateKey(key).sign_recoverable(digest, hasher=None)
        assert _Curve(PrivateKey(key)).sign(digest) == own[:64] + bytes((27 + own[64],))
    monkeypatch.setattr(signer_module, "has_sha", lambda: False)
    for digest, key in islice(cases(3), 50):
        own = PrivateKey(key).sign_recoverable(digest, hasher=None)
        assert _Curve(PrivateKey(key)).sign(digest) == own[:64] + bytes((27 + own[64],))


def test_a_nonce_function_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    @ffi.callback(f"int({ARGUMENTS})")
    def wrong(nonce: object, *_: object) -> int:
        ffi.buffer(nonce, 32)[:] = b"\x02" * 32
        return 1

    monkeypatch.setattr(signer_module, "has_sha", lambda: True)
    monkeypatch.setattr(signer_module, "nonce_address", lambda: int(ffi.cast("uintptr_t", wrong)))
    key, digest = PrivateKey(b"\x05" * 32), b"\x06" * 32
    own = key.sign_recoverable(digest, hasher=None)
    assert _Curve(key).sign(digest) == own[:64] + bytes((27 + own[64],))


def test_a_second_attempt_and_extra_data_are_left_to_the_library() -> None:
    ask = ffi.cast(f"int(*)({ARGUMENTS})", nonce_address())
    out, some = ffi.new("unsigned char[32]"), ffi.new("unsigned char[32]", b"\x01" * 32)
    assert ask(out, some, some, ffi.NULL, ffi.NULL, 1) == 0
    assert ask(out, some, some, some, ffi.NULL, 0) == 0
    assert ask(out, some, some, ffi.NULL, some, 0) == 0
    assert bytes(ffi.buffer(out, 32)) == bytes(32)


@pytest.mark.parametrize(("digest", "key"), [(31, 32), (32, 33)])
def test_other_lengths_are_refused(digest: int, key: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        nonce_of(bytes(digest), bytes(key))


def slow_code(key: bytes, text: bytes) -> bytes:
    return base64.urlsafe_b64encode(hmac.new(key, text, hashlib.sha256).digest())


def test_codes_are_those_of_the_standard_library_for_keys_and_texts_of_every_length() -> None:
    rnd = random.Random(4)
    lengths = [0, 1, 31, 32, 33, 54, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 200]
    for key_bytes in lengths:
        for text_bytes in [*lengths, rnd.randrange(1_500)]:
            key, text = rnd.randbytes(key_bytes), rnd.randbytes(text_bytes)
            if has_sha():
                keyed = KeyedHmac(key)
                assert [keyed.code(text), keyed.code(text)] == [slow_code(key, text)] * 2
            else:
                with pytest.raises(ValueError, match="SHA instructions"):
                    KeyedHmac(key)


@pytest.mark.parametrize("is_quick", [True, False])
def test_requests_are_signed_the_same_with_and_without_the_instructions(
    is_quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_quick:
        monkeypatch.setattr(auth_module, "has_sha", lambda: False)
    secret = base64.urlsafe_b64encode(b"k" * 32).decode()
    signer = RequestSigner("0xabc", ApiCredentials("key", secret, "phrase"))
    for body in (b"", b"{}", b"x" * 733):
        wanted = slow_code(b"k" * 32, b"1790616612POST/order" + body).decode()
        assert signer.sign_request(1_790_616_612, "POST", path="/order", body=body) == wanted
        lines = signer.request_lines(1_790_616_612, b"POST/order", body)
        assert lines == f"POLY_TIMESTAMP: 1790616612\r\nPOLY_SIGNATURE: {wanted}\r\n".encode()


def test_a_code_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def __init__(self, key: bytes) -> None:
            self.code = lambda text: b"A" * 43 + b"="

    monkeypatch.setattr(auth_module, "has_sha", lambda: True)
    monkeypatch.setattr(auth_module, "KeyedHmac", Wrong)
    secret = base64.urlsafe_b64encode(b"k" * 32).decode()
    signer = RequestSigner("0xabc", ApiCredentials("key", secret, "phrase"))
    assert signer.sign_request(1, "GET", path="/a") == slow_code(b"k" * 32, b"1GET/a").decode()


def test_a_key_is_not_copied_or_pickled() -> None:
    if not has_sha():
        with pytest.raises(ValueError, match="SHA instructions"):
            KeyedHmac(b"k")
        return
    with pytest.raises(TypeError, match="not copied"):
        copy.copy(KeyedHmac(b"k"))
    with pytest.raises(TypeError, match="not copied"):
        pickle.dumps(KeyedHmac(b"k"))
