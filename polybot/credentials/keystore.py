"""Encrypted keystores, version 3 (the format of wallets and of `geth account`).

Owns the one use of eth_keyfile, an optional library (`polybot[keystore]`).  The derivation behind the password
takes about a second on purpose.  Must not keep the password or put a byte of anything into a message.
Called by credentials.account.
"""

import json

from polybot.errors import ConfigError

__all__ = ["is_keystore", "open_keystore"]


def is_keystore(text: str) -> bool:
    """Whether a key file holds a keystore instead of a key."""
    return text.startswith("{")


def open_keystore(text: str, password: str) -> bytes:
    """Return the 32 bytes of the private key; raises ConfigError (wrong password, damaged, library missing)."""
    try:
        from eth_keyfile.keyfile import decode_keyfile_json
    except ImportError:
        raise ConfigError(
            "the private key is an encrypted keystore: install the extra that reads it, "
            "make extras"
        ) from None
    try:
        stored = json.loads(text)
        version = stored.get("version") if isinstance(stored, dict) else None
        if version != 3:
            raise ConfigError(f"the keystore's version is {version}: only version 3 is read")
        # Annotated as str, and bytes is what it works with (so does eth-account).
        key: bytes = decode_keyfile_json(stored, password.encode())  # type: ignore[arg-type]
    except (ValueError, KeyError, TypeError, NotImplementedError):
        raise ConfigError("the keystore cannot be opened: wrong password, or the file is damaged") from None
    return key
