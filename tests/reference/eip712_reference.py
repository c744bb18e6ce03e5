"""EIP-712 encoding of orders, spelled out field by field."""

from reference.keccak_reference import keccak_256

__all__ = ["ORDER_TYPE", "digest", "domain_hash", "order_hash", "wallet_hash"]

ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
WALLET_TYPE = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
    "bytes32 salt)"
)


def word(value: int | bytes | str) -> bytes:
    """One ABI word: a number, an address or 32 bytes, or the hash of a text."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if isinstance(value, str):
        return keccak_256(value.encode())
    return bytes(32 - len(value)) + value


def domain_hash(name: str, version: str, chain_id: int, contract: bytes) -> bytes:
    kind = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    return keccak_256(b"".join(map(word, (kind, name, version, chain_id, contract))))


def order_hash(order: dict[str, int | bytes]) -> bytes:
    """Hash the eleven fields, given in the struct's order."""
    return keccak_256(word(ORDER_TYPE) + b"".join(map(word, order.values())))


def wallet_hash(contents: bytes, chain_id: int, wallet: bytes) -> bytes:
    fields = (contents, "DepositWallet", "1", chain_id, wallet, bytes(32))
    return keccak_256(word(WALLET_TYPE + ORDER_TYPE) + b"".join(map(word, fields)))


def digest(domain: bytes, struct_hash: bytes) -> bytes:
    return keccak_256(b"\x19\x01" + domain + struct_hash)
