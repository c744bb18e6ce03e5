"""The account polybot acts for: what the operator gave, turned into a signer and a login.

Owns the joining of credentials (what was given) and gateway (what signs), with the check that wallet type and
funder belong to the key.  Every secret read or met is told to the redactor, and nothing of it stays in the
environment.  Must not connect anywhere.  Called by polybot.daemon, polybot.place, polybot.wallet and polybot.doctor.
"""

import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from polybot.config import LIVE_PHRASE, Config, VenueConfig
from polybot.credentials.account import GivenAccount, how_to_give, read_account
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError, SigningError
from polybot.gateway.auth import ApiCredentials, Login
from polybot.gateway.signer import Signer, parse_private_key
from polybot.gateway.wallets import check_wallet, parse_wallet_type

__all__ = ["MIN_HIDDEN_CHARS", "Account", "check_live", "forget_secrets", "lent_account", "open_account"]

MIN_HIDDEN_CHARS = 8  # the redactor masks nothing shorter
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Account:
    """What signs orders and how it logs in."""

    signer: Signer
    login: Login


def open_account(
    venue: VenueConfig, tell: Tell, *, environ: MutableMapping[str, str] | None = None
) -> Account | None:
    """Read the operator's account (None: none is given) and clear the environment of secrets.

    `tell` hears every secret before anything can fail, so that no log shows one.  Raises ConfigError.
    """
    secrets = Secrets(os.environ if environ is None else environ)
    try:
        given = read_account(venue, secrets)
    finally:
        for value in secrets.forget():
            _tell(tell, value)
    if given is None:
        return None
    _tell(tell, given.private_key.hex())
    if given.api is not None:
        for value in (given.api.api_key, given.api.secret, given.api.passphrase):
            _tell(tell, value)
    return Account(_signer(given, venue), _login(given, tell))


def lent_account(private_key: str, venue: VenueConfig, tell: Tell) -> Account:
    """Return the test account an embedded venue lends for its own money."""
    _tell(tell, private_key)
    return Account(Signer(parse_private_key(private_key), venue), Login(None, _hear(tell)))


def forget_secrets(tell: Tell) -> None:
    """Clear the environment of secrets for a run that needs none."""
    for value in Secrets(os.environ).forget():
        _tell(tell, value)


def check_live(config: Config, account: Account | None, problem: str = "") -> None:
    """Refuse real orders without key or confirmation, with all that is missing in one line.

    `problem` is why no account could be read.  Raises ConfigError.  What remains, the pre-flight checks, needs the
    venue and is polybot.doctor.gate's.
    """
    if config.venue.name != "polymarket" or config.mode.name != "live":
        return
    missing = []
    if problem:
        missing.append(problem)
    elif account is None:
        missing.append(f"no private key is given: {how_to_give(config.venue)}")
    if config.venue.confirm_live != LIVE_PHRASE:
        missing.append(f"not confirmed: add venue.confirm_live={LIVE_PHRASE}")
    if not missing:
        return
    numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(missing, 1))
    raise ConfigError(f"venue=polymarket mode=live would place real orders and is refused: {numbered}")


def _signer(given: GivenAccount, venue: VenueConfig) -> Signer:
    kind = parse_wallet_type(given.wallet_type) if given.wallet_type else None
    try:
        address = Signer(given.private_key, venue).address
    except SigningError as error:
        raise ConfigError(str(error)) from None
    kind, funder = check_wallet(address, funder=given.funder, kind=kind)
    return Signer(given.private_key, venue, signature_type=kind, funder=funder)


def _login(given: GivenAccount, tell: Tell) -> Login:
    api = given.api
    credentials = None if api is None else ApiCredentials(api.api_key, api.secret, api.passphrase)
    return Login(credentials, _hear(tell))


def _hear(tell: Tell) -> Callable[[ApiCredentials], None]:
    def hear(credentials: ApiCredentials) -> None:
        for value in (credentials.api_key, credentials.secret, credentials.passphrase):
            _tell(tell, value)

    return hear


def _tell(tell: Tell, value: str) -> None:
    if len(value) >= MIN_HIDDEN_CHARS:
        tell(value)
