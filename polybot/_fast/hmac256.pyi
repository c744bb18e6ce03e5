class KeyedHmac:
    """HMAC-SHA256 with one key; ValueError without SHA instructions."""

    def __init__(self, key: bytes) -> None: ...
    def code(self, text: bytes) -> bytes:
        """Return the code of a text, 44 bytes of URL-safe base64."""

def has_sha() -> bool:
    """True when this processor has the SHA instructions; without them nothing else here may be used."""

def nonce_address() -> int:
    """The address of a C function of libsecp256k1's type secp256k1_nonce_function."""

def nonce_of(digest: bytes, key: bytes) -> bytes:
    """Return the first nonce for a 32-byte digest and key; ValueError without SHA instructions."""
