"""The account's key: addresses, order signatures, login signatures.

Owns the private key (never in repr, logs or exceptions) and one prefilled hasher per exchange.
Signature types: 0 EOA (maker = signer = key), 1 proxy and 2 safe (maker = funder, signer = key),
3 deposit wallet (maker = signer = funder, ERC-7739 signature by the key).  The login and the API
key always belong to the key's own address.
The curve library is called with buffers that are kept, and with a nonce function that gives its own default's numbers
sooner (_fast.hmac256), after both were seen to sign the same; else with its own.
Must not know the network or the clock.  Called by gateway.clob and gateway.auth.
"""

from typing import Any, NamedTuple

from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from polybot._fast.eip712 import OrderHasher, clob_auth_digest, domain_separator
from polybot._fast.hmac256 import has_sha, nonce_address
from polybot._fast.keccak import keccak_256
from polybot.config import VenueConfig
from polybot.errors import SigningError

__all__ = ["SignedHash", "Signer", "address_bytes", "checksum_address", "parse_private_key", "token_word"]

SIGNATURE_TYPES = (0, 1, 2, 3)
_POLY_1271 = 3
# Position ids of "Poly V2" live on another exchange (domain version 3): told by these zero bits.
_V3_POSITION_MASK = ((1 << 64) - 1) << 40
_PROBE = keccak_256(b"polybot")  # signed both ways before the quick one is used
_V = tuple(bytes((27 + recovery,)) for recovery in range(4))
NO_BUILDER = bytes(32)  # orders without a builder code


class SignedHash(NamedTuple):
    """An order's id (its EIP-712 hash) and the signature to send, both 0x hex."""

    order_id: str
    signature: str


class _Curve:
    """Signatures by one key; repr shows nothing of it."""

    __slots__ = ("_compact", "_key", "_nonce", "_raw", "_recovery", "_text")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._raw = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        self._compact = ffi.new("unsigned char[64]")
        self._text = ffi.buffer(self._compact, 64)
        self._recovery = ffi.new("int *")
        self._nonce: Any = ffi.NULL
        if has_sha():
            self._nonce = ffi.cast("secp256k1_nonce_function", nonce_address())
            if self.sign(_PROBE) != self._sign_plainly(_PROBE):
                self._nonce = ffi.NULL

    def sign(self, digest: bytes) -> bytes:
        """Return r, s and v (27 or 28) over 32 bytes, 65 bytes."""
        assert len(digest) == 32, "a digest has 32 bytes"
        context = GLOBAL_CONTEXT.ctx
        if not lib.secp256k1_ecdsa_sign_recoverable(
            context, self._raw, digest, self._key.secret, self._nonce, ffi.NULL
        ):
            return self._sign_plainly(digest)
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(
            context, self._compact, self._recovery, self._raw
        )
        recovery: int = self._recovery[0]
        return bytes(self._text) + _V[recovery]

    def _sign_plainly(self, digest: bytes) -> bytes:
        raw: bytes = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + _V[raw[64]]


class Signer:
    """Signs orders and logins of one account; raises SigningError for what it cannot sign."""

    __slots__ = (
        "_chain_id",
        "_curve",
        "_hashers",
        "_key",
        "address",
        "builder",
        "builder_hex",
        "funder",
        "order_signer",
        "signature_type",
    )

    def __init__(
        self,
        private_key: bytes,
        venue: VenueConfig,
        *,
        signature_type: int = 0,
        funder: str = "",
        builder: bytes = NO_BUILDER,
    ) -> None:
        """`builder` is the 32-byte builder code signed into every order."""
        self.builder, self.builder_hex = builder, builder.hex()
        self._key = _load_key(private_key)
        self._curve = _Curve(self._key)
        self._chain_id = venue.chain_id
        self.signature_type = signature_type
        self.address = _address_of(self._key)
        self.funder = self._check_funder(funder)
        self.order_signer = self.funder if signature_type == _POLY_1271 else self.address
        self._hashers = {
            neg_risk: self._hasher(venue, exchange)
            for neg_risk, exchange in (
                (False, venue.exchange_address),
                (True, venue.neg_risk_exchange_address),
            )
        }

    def __repr__(self) -> str:
        return f"Signer(address={self.address}, funder={self.funder}, signature_type={self.signature_type})"

    def __reduce__(self) -> str:
        raise SigningError("a signer is not copied or pickled")

    def reveal_key(self) -> bytes:
        """Return the 32 key bytes, for the official client of the wallet command only."""
        return bytes(self._key.secret)

    def sign_order(
        self,
        token: bytes,
        salt: int,
        *,
        maker_amount: int,
        taker_amount: int,
        side: int,
        timestamp_ms: int,
        neg_risk: bool,
    ) -> SignedHash:
        """Hash and sign one order: 32-byte token_id, amounts in 1e-6, side 0 buy or 1 sell."""
        hasher = self._hashers[neg_risk]
        order_id, digest, contents = hasher.hash_order(
            token,
            salt,
            maker_amount=maker_amount,
            taker_amount=taker_amount,
            side=side,
            timestamp_ms=timestamp_ms,
        )
        signature = hasher.seal(self._curve.sign(digest), contents)
        return SignedHash("0x" + order_id.hex(), "0x" + signature.hex())

    def sign_login(self, timestamp_s: int, nonce: int = 0) -> str:
        """Return the L1 signature (0x hex) over the key's own address."""
        digest = clob_auth_digest(
            address_bytes(self.address),
            str(timestamp_s).encode(),
            nonce=nonce,
            chain_id=self._chain_id,
        )
        return "0x" + self._curve.sign(digest).hex()

    def _check_funder(self, funder: str) -> str:
        if self.signature_type not in SIGNATURE_TYPES:
            raise SigningError(
                f"no signature type {self.signature_type}: 0 EOA, 1 proxy, 2 safe, 3 deposit wallet"
            )
        if self.signature_type == 0:
            if funder and funder.lower() != self.address.lower():
                raise SigningError("signature type 0 has no funder: the key's own address holds the funds")
            return self.address
        if not funder:
            raise SigningError(f"signature type {self.signature_type} needs the funder's address")
        return checksum_address(address_bytes(funder))

    def _hasher(self, venue: VenueConfig, exchange: str) -> OrderHasher:
        separator = domain_separator(
            venue.domain_name.encode(),
            venue.domain_version.encode(),
            chain_id=venue.chain_id,
            verifying_contract=address_bytes(exchange),
        )
        return OrderHasher(
            separator,
            address_bytes(self.funder),
            signer=address_bytes(self.order_signer),
            signature_type=self.signature_type,
            chain_id=venue.chain_id,
            builder=self.builder,
        )


def parse_private_key(text: str) -> bytes:
    """Return the 32 key bytes of a hex string with or without 0x; the error never quotes the text."""
    digits = text.strip().removeprefix("0x")
    if len(digits) != 64:
        raise SigningError("a private key has 64 hex digits")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise SigningError("the private key is not hexadecimal") from None


def token_word(token_id: str) -> bytes:
    """Return a decimal token_id as 32 big-endian bytes; refuses ids of the V3 exchange."""
    if not (token_id.isascii() and token_id.isdigit()):
        raise SigningError(f"token_id is not a decimal number: {token_id[:20]}")
    number = int(token_id)
    if number >= 1 << 256:
        raise SigningError("token_id has more than 256 bits")
    if number & _V3_POSITION_MASK == 0:
        raise SigningError("token_id belongs to exchange V3, which is not supported")
    return number.to_bytes(32, "big")


def address_bytes(address: str) -> bytes:
    """Return the 20 bytes of a 0x address; raises SigningError when it is none."""
    try:
        raw = bytes.fromhex(address[2:])
    except ValueError:
        raw = b""
    if len(raw) != 20 or address[:2] != "0x":
        raise SigningError(f"not an address: {address[:44]!r}")
    return raw


def checksum_address(raw: bytes) -> str:
    """Return the mixed-case 0x form of 20 address bytes (EIP-55)."""
    text = raw.hex()
    digest = keccak_256(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(text, digest, strict=False))


def _address_of(key: PrivateKey) -> str:
    public = key.public_key.format(compressed=False)[1:]
    return checksum_address(keccak_256(public)[12:])


def _load_key(private_key: bytes) -> PrivateKey:
    # The cause is dropped on purpose: it could quote the key.
    if len(private_key) != 32:
        raise SigningError("a private key has 32 bytes")
    try:
        return PrivateKey(private_key)
    except ValueError:
        raise SigningError("the private key is outside the curve's range") from None
