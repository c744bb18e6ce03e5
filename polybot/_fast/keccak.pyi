def keccak_256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of `data` (Ethereum padding)."""
