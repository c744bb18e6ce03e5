"""The account as given: key, keystore, wallet and API key come together or are refused in words without values."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from polybot.account import check_live, lent_account, open_account
from polybot.cli import load_config
from polybot.config import VenueConfig, default_config
from polybot.credentials.account import read_account
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError
from polybot.gateway.wallets import derive_wallets

KEY = "0x" + "1f" * 32
ADDRESS = "0x5fEe0cb7b6a2a3e1eD0c2Cd4B0e0bB9bE1d62a9a"
SECRET = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
API = {"API_KEY": "6d9f8a0e-0000-4000-8000-000000000000", "API_SECRET": SECRET, "API_PASSPHRASE": "canary" * 5}
VENUE = VenueConfig(
    private_key_env="THE_KEY",
    keystore_password_env="KEYSTORE_PASSWORD",
    funder_env="FUNDER",
    sig_type_env="SIG_TYPE",
    api_key_env="API_KEY",
    api_secret_env="API_SECRET",
    api_passphrase_env="API_PASSPHRASE",
)
PASSWORD = "correct horse battery staple"
VALUES = (KEY[2:], SECRET, API["API_PASSPHRASE"], PASSWORD)


def opened(**environ: str) -> Any:
    told: list[str] = []
    return open_account(VENUE, told.append, environ=dict(environ)), told


def refused(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        opened(**environ)
    assert not [value for value in VALUES if value in str(caught.value)]
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.fixture(scope="module")
def keystores() -> dict[str, str]:
    """The key encrypted with little work: what a keystore holds is the same."""
    keyfile = pytest.importorskip("eth_keyfile.keyfile")
    work = {"pbkdf2": 10, "scrypt": 2}
    return {
        kdf: json.dumps(keyfile.create_keyfile_json(bytes.fromhex(KEY[2:]), PASSWORD.encode(), kdf=kdf, iterations=n))
        for kdf, n in work.items()
    }


def test_nothing_given_is_no_account() -> None:
    assert opened(PATH="/bin") == (None, [])


def test_a_key_alone_is_an_account_of_its_own_address_that_derives_its_api_key() -> None:
    account, told = opened(THE_KEY=KEY)
    assert account.signer.funder == account.signer.address
    assert account.signer.signature_type == 0
    assert account.login.given is None
    assert KEY[2:] in told


@pytest.mark.parametrize("text", [KEY, KEY[2:], KEY.upper().replace("0X", "0x"), f"  {KEY}\n"])
def test_a_key_is_read_in_every_usual_form(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    wanted = opened(THE_KEY=KEY)[0].signer.address
    assert opened(THE_KEY=text)[0].signer.address == wanted
    assert opened(THE_KEY_FILE=str(path))[0].signer.address == wanted
    venue = VenueConfig(private_key_file=str(path))
    account = open_account(venue, lambda text: None, environ={})
    assert account is not None
    assert account.signer.address == wanted


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_contract_wallet_is_found_by_its_address_or_named(kind: int) -> None:
    address = opened(THE_KEY=KEY)[0].signer.address
    wallets = [wallet for wallet, each in derive_wallets(address).items() if each == kind]
    for wallet, sig_type in itertools.product(wallets, ({}, {"SIG_TYPE": str(kind)})):
        signer = opened(THE_KEY=KEY, FUNDER=wallet, **sig_type)[0].signer
        assert (signer.signature_type, signer.funder) == (kind, wallet)
        assert signer.order_signer == (wallet if kind == 3 else address)


def test_an_api_key_given_is_used_and_told() -> None:
    account, told = opened(THE_KEY=KEY, **API)
    given = account.login.given
    assert (given.api_key, given.secret, given.passphrase) == tuple(API.values())
    assert set(API.values()) <= set(told)
    assert SECRET not in repr(account)


@pytest.mark.parametrize("kdf", ["pbkdf2", "scrypt"])
def test_a_keystore_is_opened_by_its_password(kdf: str, keystores: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    path.write_text(keystores[kdf])
    path.chmod(0o600)
    environ = {"THE_KEY_FILE": str(path), "KEYSTORE_PASSWORD": PASSWORD}
    assert opened(**environ)[0].signer.address == opened(THE_KEY=KEY)[0].signer.address
    assert "wrong password" in refused(**{**environ, "KEYSTORE_PASSWORD": "wrong"})
    assert "set KEYSTORE_PASSWORD" in refused(THE_KEY_FILE=str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"version": 4}', "only version 3"),
        ("{}", "only version 3"),
        ("{", "damaged"),
        ('{"version": 3}', "damaged"),
        ('{"version": 3, "crypto": {"kdf": "argon2"}}', "damaged"),
    ],
)
def test_a_keystore_that_cannot_be_read_is_refused(text: str, words: str) -> None:
    assert words in refused(THE_KEY=text, KEYSTORE_PASSWORD=PASSWORD)


def test_a_keystore_without_the_library_is_refused_with_the_fix(
    keystores: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "eth_keyfile.keyfile", None)
    assert "make extras" in refused(THE_KEY=keystores["pbkdf2"], KEYSTORE_PASSWORD=PASSWORD)


@pytest.mark.parametrize("key", ["0x12", KEY + "1f", "zz" * 32, "", "ff" * 32, "00" * 32])
def test_a_key_that_cannot_be_one_is_refused_without_quoting_it(key: str) -> None:
    message = refused(THE_KEY=key)
    assert "private key" in message
    assert len(key) < 5 or key not in message


@pytest.mark.parametrize(
    "given", [part for size in (1, 2) for part in itertools.combinations(API, size)], ids="+".join
)
def test_part_of_an_api_key_is_refused_naming_what_is_missing(given: tuple[str, ...]) -> None:
    message = refused(THE_KEY=KEY, **{name: API[name] for name in given})
    for name in API:
        assert (name in message.replace("the API key", "")) is (name not in given)


def test_an_api_secret_that_is_not_base64_is_refused() -> None:
    assert "not base64" in refused(THE_KEY=KEY, **{**API, "API_SECRET": "a"})


@pytest.mark.parametrize("other", [{"FUNDER": ADDRESS}, {"SIG_TYPE": "2"}, API])
def test_an_account_without_its_key_is_refused_with_how_to_give_it(other: dict[str, str]) -> None:
    message = refused(**other)
    assert "the private key is not" in message
    assert "THE_KEY_FILE" in message


def test_the_environment_is_clean_also_after_a_refusal() -> None:
    environ = {"THE_KEY": KEY, "SIG_TYPE": "9", "TELEGRAM_BOT_TOKEN": "1" * 9}
    told: list[str] = []
    with pytest.raises(ConfigError, match="wallet type 9"):
        open_account(VENUE, told.append, environ=environ)
    assert environ == {"SIG_TYPE": "9"}
    assert {KEY, "1" * 9} <= set(told)


def test_no_repr_shows_a_secret() -> None:
    given = read_account(VENUE, Secrets({"THE_KEY": KEY, **API}))
    account, _ = opened(THE_KEY=KEY, **API)
    for item in (given, account, account.signer, account.login, lent_account(KEY, VENUE, lambda text: None)):
        assert not [value for value in VALUES if value in repr(item) + str(item)]


# -- the gate of real orders


def test_real_orders_are_refused_with_everything_that_is_missing_in_one_line() -> None:
    config = load_config(["venue=polymarket", "mode=live"])
    with pytest.raises(ConfigError) as caught:
        check_live(config, None)
    message = str(caught.value)
    assert "\n" not in message
    for words in ("(1) no private key", "(2) not confirmed: add venue.confirm_live=real-money"):
        assert words in message


def test_real_orders_are_refused_with_why_the_account_was_refused() -> None:
    config = load_config(["venue=polymarket", "venue.confirm_live=real-money"])
    with pytest.raises(ConfigError, match=r"\(1\) secret file x is open$"):
        check_live(config, None, "secret file x is open")


def test_with_account_and_confirmation_the_checks_at_the_venue_are_what_remains() -> None:
    """They are tests/doctor/test_gate.py's: nothing can be asked before anything is connected."""
    config = load_config(["venue=polymarket", "venue.confirm_live=real-money"])
    assert check_live(config, opened(THE_KEY=KEY)[0]) is None


@pytest.mark.parametrize("choice", [{}, {"mode.name": "paper"}])
def test_the_gate_is_for_real_orders_only(choice: dict[str, str]) -> None:
    assert check_live(default_config(**choice), None) is None
    assert check_live(load_config(["venue=polymarket", "mode=paper"]), None) is None
