"""Signature checks of the embedded venue: order signatures, L1 logins, L2 request HMACs.

Encodes EIP-712 structs by itself, so that a mistake in the gateway's encoder cannot hide behind the
same mistake here; only the hash of bytes is shared.  Integers and bytes in, an address or a verdict
out.  Must not know accounts or markets.  Called by clob_auth and clob_rest.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from coincurve import PrivateKey, PublicKey

from polybot._fast.keccak import keccak_256

__all__ = [
    "ORDER_TYPE",
    "Domain",
    "WireOrder",
    "address_of_key",
    "checksum_address",
    "l2_signature",
    "order_hash",
    "recover_login",
    "recover_order_signer",
]

ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
AUTH_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId)"
AUTH_TYPE = "ClobAuth(address address,string timestamp,uint256 nonce,string message)"
AUTH_MESSAGE = "This message attests that I control the given wallet"
NESTED_TYPE = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    "address verifyingContract,bytes32 salt)" + ORDER_TYPE
)
WALLET_NAME = "DepositWallet"
WALLET_VERSION = "1"
SIGNATURE_1271 = 3
SIGNATURE_BYTES = 65
HALF_CURVE_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class WireOrder:
    """The signed fields of an order; addresses and words are raw bytes, amounts 6-decimals integers."""

    salt: int
    maker: bytes
    signer: bytes
    token_id: int
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp: int
    metadata: bytes
    builder: bytes


@dataclass(frozen=True, slots=True)
class Domain:
    """The exchange an order is signed for."""

    name: str
    version: str
    chain_id: int
    contract: str

    def separator(self) -> bytes:
        """Hash of the domain; computed anew each time, a few microseconds."""
        return keccak_256(
            _hash_text(DOMAIN_TYPE)
            + _hash_text(self.name)
            + _hash_text(self.version)
            + _word(self.chain_id)
            + bytes.fromhex(self.contract[2:]).rjust(32, b"\0")
        )


def order_hash(order: WireOrder, domain: Domain) -> bytes:
    """EIP-712 hash of an order, which is its id at the venue (32 bytes)."""
    return keccak_256(b"\x19\x01" + domain.separator() + _struct_hash(order))


def recover_order_signer(order: WireOrder, domain: Domain, signature: bytes) -> bytes | None:
    """Address (20 bytes) whose key signed the order for this domain; None for a malformed signature."""
    if order.signature_type == SIGNATURE_1271:
        return _recover_wallet_owner(order, domain, signature)
    return _recover(order_hash(order, domain), signature)


def recover_login(
    address: bytes, timestamp: str, nonce: int, chain_id: int, signature: bytes
) -> bytes | None:
    """Address that signed an L1 login attestation."""
    domain = keccak_256(
        _hash_text(AUTH_DOMAIN_TYPE) + _hash_text("ClobAuthDomain") + _hash_text("1") + _word(chain_id)
    )
    struct = keccak_256(
        _hash_text(AUTH_TYPE)
        + address.rjust(32, b"\0")
        + _hash_text(timestamp)
        + _word(nonce)
        + _hash_text(AUTH_MESSAGE)
    )
    return _recover(keccak_256(b"\x19\x01" + domain + struct), signature)


def l2_signature(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """POLY_SIGNATURE of a request: urlsafe base64 of an HMAC-SHA256 under the API secret."""
    key = base64.urlsafe_b64decode(secret)
    message = (timestamp + method + path).encode() + body
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def address_of_key(private_key_hex: str) -> str:
    """Checksummed address of a private key."""
    key = PrivateKey(bytes.fromhex(private_key_hex.removeprefix("0x")))
    return checksum_address(_address_of(key.public_key))


def checksum_address(address: bytes) -> str:
    """EIP-55 text of a 20-byte address."""
    plain = address.hex()
    marks = keccak_256(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(mark, 16) > 7 else letter for letter, mark in zip(plain, marks, strict=False)
    )


def _recover_wallet_owner(order: WireOrder, domain: Domain, signature: bytes) -> bytes | None:
    """Unwrap ERC-7739: inner signature, domain separator, contents hash, type text, its length."""
    text = ORDER_TYPE.encode()
    expected_tail = domain.separator() + _struct_hash(order) + text + len(text).to_bytes(2, "big")
    if signature[SIGNATURE_BYTES:] != expected_tail:
        return None
    nested = keccak_256(
        _hash_text(NESTED_TYPE)
        + _struct_hash(order)
        + _hash_text(WALLET_NAME)
        + _hash_text(WALLET_VERSION)
        + _word(domain.chain_id)
        + order.maker.rjust(32, b"\0")
        + bytes(32)
    )
    return _recover(keccak_256(b"\x19\x01" + domain.separator() + nested), signature[:SIGNATURE_BYTES])


def _struct_hash(order: WireOrder) -> bytes:
    return keccak_256(
        _hash_text(ORDER_TYPE)
        + _word(order.salt)
        + order.maker.rjust(32, b"\0")
        + order.signer.rjust(32, b"\0")
        + _word(order.token_id)
        + _word(order.maker_amount)
        + _word(order.taker_amount)
        + _word(order.side)
        + _word(order.signature_type)
        + _word(order.timestamp)
        + order.metadata
        + order.builder
    )


def _recover(digest: bytes, signature: bytes) -> bytes | None:
    """ecrecover as the contracts do it: 65 bytes, v 27 or 28, s in the lower half."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > HALF_CURVE_ORDER:
        return None
    compact = signature[:64] + bytes([signature[64] - 27])
    try:
        return _address_of(PublicKey.from_signature_and_message(compact, digest, hasher=None))
    except ValueError:
        return None


def _address_of(key: PublicKey) -> bytes:
    return keccak_256(key.format(compressed=False)[1:])[12:]


def _hash_text(text: str) -> bytes:
    return keccak_256(text.encode())


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
