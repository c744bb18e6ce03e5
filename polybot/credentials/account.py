"""What an operator gives to let polybot act for an account: key, wallet, API key; read once, checked, handed on.

Owns which secret has which setting, and what must come together.  The names of the variables come from the venue's
settings; every secret may also lie in a file (credentials.sources).  Derives nothing and knows no curve: addresses
are polybot.account's to find.  Messages name variables and files, never a value.  Called by polybot.account.
"""

import binascii
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field

from polybot.config import VenueConfig
from polybot.credentials.keystore import is_keystore, open_keystore
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError

__all__ = ["ApiSecrets", "GivenAccount", "how_to_give", "read_account"]


@dataclass(frozen=True, slots=True)
class ApiSecrets:
    """The three parts of an API key; repr shows none of them."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GivenAccount:
    """An account as given; `funder` and `wallet_type` are "" when nothing was said."""

    private_key: bytes = field(repr=False)
    funder: str
    wallet_type: str
    api: ApiSecrets | None


def read_account(venue: VenueConfig, secrets: Secrets) -> GivenAccount | None:
    """Read the account these settings name; None when no key and nothing else of it is given.

    Raises ConfigError for anything given in part, twice, unsafely, or in a form that cannot be right.
    """
    text = secrets.read("the private key", venue.private_key_env, path=venue.private_key_file)
    funder = secrets.read("the funder's address", venue.funder_env, is_public=True) or ""
    wallet_type = secrets.read("the wallet type", venue.sig_type_env, is_public=True) or ""
    api = _read_api(venue, secrets)
    if text is None:
        others = {venue.funder_env: funder, venue.sig_type_env: wallet_type, venue.api_key_env: api}
        given = [name for name, value in others.items() if value]
        if given:
            raise ConfigError(f"{given[0]} is given, the private key is not: {how_to_give(venue)}")
        return None
    return GivenAccount(_key_bytes(text, venue, secrets), funder, wallet_type, api)


def how_to_give(venue: VenueConfig) -> str:
    """Say in words how the key is given with these settings."""
    name = venue.private_key_env
    if not name:
        return "set venue.private_key_file to a file of mode 0600 that holds it"
    return f"set {name}_FILE (or venue.private_key_file) to a file of mode 0600 that holds it, or {name} to the key"


def _key_bytes(text: str, venue: VenueConfig, secrets: Secrets) -> bytes:
    if is_keystore(text):
        password = secrets.read("the keystore's password", venue.keystore_password_env)
        if password is None:
            name = venue.keystore_password_env or "venue.keystore_password_env"
            raise ConfigError(f"the private key is an encrypted keystore and its password is not given: set {name}")
        key = open_keystore(text, password)
    else:
        key = _hex_key(text)
    if len(key) != 32:
        raise ConfigError("the private key has not 32 bytes")
    return key


def _hex_key(text: str) -> bytes:
    digits = text.removeprefix("0x").removeprefix("0X")
    if len(digits) != 64:
        raise ConfigError("the private key is not 64 hex digits (nor an encrypted keystore)")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ConfigError("the private key is not hexadecimal") from None


def _read_api(venue: VenueConfig, secrets: Secrets) -> ApiSecrets | None:
    names = (venue.api_key_env, venue.api_secret_env, venue.api_passphrase_env)
    words = ("the API key", "the API secret", "the API passphrase")
    values = [secrets.read(what, name) for what, name in zip(words, names, strict=True)]
    if not any(values):
        return None
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise ConfigError(f"the API key is given in part: {', '.join(missing)} is missing (or give none of the three)")
    api = ApiSecrets(*(value or "" for value in values))
    try:
        urlsafe_b64decode(api.secret + "=" * (-len(api.secret) % 4))
    except (binascii.Error, ValueError):
        raise ConfigError("the API secret is not base64") from None
    return api
