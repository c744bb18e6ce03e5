ORDER_TYPE: bytes

def clob_auth_digest(address: bytes, timestamp: bytes, *, nonce: int, chain_id: int) -> bytes:
    """Return the digest to sign for the login message (L1); timestamp is ASCII seconds."""

def domain_separator(name: bytes, version: bytes, *, chain_id: int, verifying_contract: bytes) -> bytes:
    """Return the 32-byte separator of an exchange's domain; verifying_contract is 20 bytes."""

class OrderHasher:
    domain_separator: bytes
    signature_type: int

    def __init__(
        self,
        domain_separator: bytes,
        maker: bytes,
        *,
        signer: bytes,
        signature_type: int,
        chain_id: int,
        builder: bytes = ...,
    ) -> None: ...
    def hash_order(
        self,
        token_id: bytes,
        salt: int,
        *,
        maker_amount: int,
        taker_amount: int,
        side: int,
        timestamp_ms: int,
    ) -> tuple[bytes, bytes, bytes]:
        """Return (order id, digest to sign, contents hash); token_id is 32 bytes big-endian."""

    def seal(self, signature: bytes, contents_hash: bytes) -> bytes:
        """Return the signature as the exchange wants it: type 3 gets its ERC-7739 tail."""
