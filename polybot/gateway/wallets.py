"""Which wallet an address is to a key: its own address, its proxy, its safe or its deposit wallet.

Owns the derivation of the venue's three kinds of contract wallets (CREATE2: keccak(0xff, factory, salt, code hash)),
as the official client 0.14.0 has it; a test compares the two.  Orders of a wallet that is not derived from the key
are not valid at the exchange with the signatures we make, so such a combination is refused before anything is sent.
Pure: no I/O, no settings.  Called by polybot.account.
"""

from collections.abc import Mapping

from polybot._fast.keccak import keccak_256
from polybot.errors import ConfigError
from polybot.gateway.signer import address_bytes, checksum_address

__all__ = ["WALLET_TYPES", "check_wallet", "derive_wallets", "parse_wallet_type"]

EOA, PROXY, SAFE, DEPOSIT = 0, 1, 2, 3
WALLET_TYPES: Mapping[int, str] = {EOA: "EOA", PROXY: "POLY_PROXY", SAFE: "POLY_GNOSIS_SAFE", DEPOSIT: "POLY_1271"}
_WORDS = {EOA: "own address", PROXY: "proxy", SAFE: "safe", DEPOSIT: "deposit wallet"}

_PROXY_FACTORY = address_bytes("0xaB45c5A4B0c941a2F231C04C3f49182e1A254052")
_PROXY_TARGET = address_bytes("0x44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f")
_SAFE_FACTORY = address_bytes("0xaacFeEa03eb1561C4e67d661e40682Bd20E3541b")
_SAFE_CODE_HASH = bytes.fromhex("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf")
_DEPOSIT_FACTORY = address_bytes("0x00000000000Fb5C9ADea0298D729A0CB3823Cc07")
_DEPOSIT_TARGET = address_bytes("0x58CA52ebe0DadfdF531Cde7062e76746de4Db1eB")
_DEPOSIT_BEACON = address_bytes("0x7A18EDfe055488A3128f01F563e5B479D92ffc3a")
# Creation code of a minimal proxy with a constructor call, around the factory's and the target's address.
_PROXY_HEAD = bytes.fromhex("3d3d606380380380913d393d73")
_PROXY_MIDDLE = bytes.fromhex("5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73")
_PROXY_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf352e831dd" + f"{32:064x}" + "00" * 32)
# Creation code of an ERC-1967 proxy with immutable arguments (64 bytes), plain and behind a beacon.
_PLAIN_HEAD = bytes.fromhex("61007d3d8160233d3973")
_PLAIN_TAIL = bytes.fromhex(
    "6009"
    "5155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
    "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
)
_BEACON_HEAD = bytes.fromhex("6100923d8160233d3973")
_BEACON_TAIL = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


def parse_wallet_type(text: str) -> int:
    """Return the signature type of its number or name; raises ConfigError with what is allowed."""
    names = {name: kind for kind, name in WALLET_TYPES.items()}
    kind = names.get(text.upper(), int(text) if text.isascii() and text.isdigit() else -1)
    if kind not in WALLET_TYPES:
        allowed = ", ".join(f"{kind} {name}" for kind, name in WALLET_TYPES.items())
        raise ConfigError(f"wallet type {text[:20]} is not allowed: must be one of {allowed}")
    return kind


def derive_wallets(address: str) -> dict[str, int]:
    """Return every wallet of a key's address with its signature type."""
    owner = address_bytes(address)
    word = bytes(12) + owner
    arguments = bytes(12) + _DEPOSIT_FACTORY + word
    proxy_code = _PROXY_HEAD + _PROXY_FACTORY + _PROXY_MIDDLE + _PROXY_TARGET + _PROXY_TAIL
    plain_code = _PLAIN_HEAD + _DEPOSIT_TARGET + _PLAIN_TAIL + arguments
    beacon_code = _BEACON_HEAD + _DEPOSIT_BEACON + _BEACON_TAIL + arguments
    return {
        checksum_address(owner): EOA,
        _create2(_PROXY_FACTORY, keccak_256(owner), keccak_256(proxy_code)): PROXY,
        _create2(_SAFE_FACTORY, keccak_256(word), _SAFE_CODE_HASH): SAFE,
        _create2(_DEPOSIT_FACTORY, keccak_256(arguments), keccak_256(beacon_code)): DEPOSIT,
        _create2(_DEPOSIT_FACTORY, keccak_256(arguments), keccak_256(plain_code)): DEPOSIT,
    }


def check_wallet(address: str, *, funder: str, kind: int | None) -> tuple[int, str]:
    """Return (signature type, funder) that fit together; raises ConfigError naming what would fit.

    `kind` None: found by the funder; `funder` "": the key's own address, for type 0 only.
    """
    wallets = derive_wallets(address)
    if not funder:
        if kind in (None, EOA):
            return EOA, checksum_address(address_bytes(address))
        assert kind is not None
        theirs = " or ".join(wallet for wallet, each in wallets.items() if each == kind)
        raise ConfigError(
            f"wallet type {_named(kind)} needs the funder's address: this key's {_WORDS[kind]} is {theirs}"
        )
    wallet = _checked_address(funder)
    found = wallets.get(wallet)
    if found is None:
        raise ConfigError(
            f"funder {wallet} is no wallet of this key ({address}): not its own address, proxy, safe or deposit "
            "wallet (session keys are not supported)"
        )
    if kind not in (None, found):
        assert kind is not None
        raise ConfigError(
            f"wallet type {_named(kind)} does not fit the funder: {wallet} is this key's {_WORDS[found]}, "
            f"which is type {_named(found)}"
        )
    return found, wallet


def _named(kind: int) -> str:
    return f"{kind} {WALLET_TYPES[kind]}"


def _checked_address(text: str) -> str:
    digits = text.removeprefix("0x")
    if len(digits) != 40 or any(char not in "0123456789abcdefABCDEF" for char in digits) or digits == text:
        raise ConfigError("the funder's address is not 0x and 40 hex digits")
    return checksum_address(bytes.fromhex(digits))


def _create2(factory: bytes, salt: bytes, code_hash: bytes) -> str:
    return checksum_address(keccak_256(b"\xff" + factory + salt + code_hash)[12:])
