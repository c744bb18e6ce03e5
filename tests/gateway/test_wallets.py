"""Wallets of a key: derived as the official client derives them, and every wrong combination refused."""

import itertools
import random

import pytest

from polybot.config import VenueConfig
from polybot.errors import ConfigError
from polybot.gateway.signer import Signer, checksum_address
from polybot.gateway.wallets import WALLET_TYPES, check_wallet, derive_wallets, parse_wallet_type

KEYS = 200
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BY_KIND = {kind: wallet for wallet, kind in derive_wallets(ADDRESS).items()}
STRANGER = "0x1111111111111111111111111111111111111111"
NO_ADDRESSES = ["0x12", "f39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x" + "zz" * 20, "0x" + "1" * 64]
OFFICIAL_NAMES = {"EOA": 0, "POLY_PROXY": 1, "GNOSIS_SAFE": 2, "DEPOSIT_WALLET": 3}


def test_wallets_of_random_keys_are_those_of_the_official_client() -> None:
    wallet = pytest.importorskip("polymarket._internal.wallet")
    config = pytest.importorskip("polymarket._internal.environment").PRODUCTION_CONFIG.wallet_derivation
    rnd = random.Random(5)
    for _ in range(KEYS):
        address = checksum_address(rnd.randbytes(20))
        assert derive_wallets(address) == {
            address: 0,
            wallet.derive_proxy_wallet_address(address, config): 1,
            wallet.derive_safe_wallet_address(address, config): 2,
            wallet.derive_beacon_deposit_wallet_address(address, config): 3,
            wallet.derive_uups_deposit_wallet_address(address, config): 3,
        }
        for theirs, kind in derive_wallets(address).items():
            named = wallet.classify_wallet_type(signer=address, wallet=theirs, config=config)
            assert OFFICIAL_NAMES[named] == kind


@pytest.mark.parametrize("kind", WALLET_TYPES)
def test_a_wallet_that_fits_is_taken_with_and_without_its_type(kind: int) -> None:
    wallet = BY_KIND[kind]
    assert check_wallet(ADDRESS, funder=wallet.lower(), kind=kind) == (kind, wallet)
    assert check_wallet(ADDRESS, funder=wallet, kind=None) == (kind, wallet)
    signer = Signer(bytes(31) + b"\x01", VenueConfig(), signature_type=kind, funder=wallet if kind else "")
    assert signer.signature_type == kind


def test_a_key_alone_trades_from_its_own_address() -> None:
    assert check_wallet(ADDRESS, funder="", kind=None) == (0, ADDRESS)
    assert check_wallet(ADDRESS.lower(), funder="", kind=0) == (0, ADDRESS)


@pytest.mark.parametrize(("kind", "other"), list(itertools.permutations(WALLET_TYPES, 2)))
def test_every_wrong_pair_of_type_and_funder_is_refused_with_the_right_type(kind: int, other: int) -> None:
    with pytest.raises(ConfigError, match=f"which is type {other} {WALLET_TYPES[other]}"):
        check_wallet(ADDRESS, funder=BY_KIND[other], kind=kind)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_contract_wallet_without_its_address_is_refused_with_the_address(kind: int) -> None:
    with pytest.raises(ConfigError, match=BY_KIND[kind]):
        check_wallet(ADDRESS, funder="", kind=kind)


@pytest.mark.parametrize("kind", [None, *WALLET_TYPES])
def test_a_strangers_wallet_is_refused_for_every_type(kind: int | None) -> None:
    with pytest.raises(ConfigError, match="no wallet of this key"):
        check_wallet(ADDRESS, funder=STRANGER, kind=kind)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_a_funder_that_is_no_address_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_wallet(ADDRESS, funder=text, kind=None)
    assert text not in str(caught.value)


@pytest.mark.parametrize(("text", "kind"), [("0", 0), ("poly_proxy", 1), ("POLY_GNOSIS_SAFE", 2), ("3", 3)])
def test_wallet_types_are_read_by_number_and_name(text: str, kind: int) -> None:
    assert parse_wallet_type(text) == kind


@pytest.mark.parametrize("text", ["4", "-1", "safe", "٣", "01x"])
def test_unknown_wallet_types_are_refused_with_all_that_are_known(text: str) -> None:
    with pytest.raises(ConfigError, match="0 EOA, 1 POLY_PROXY, 2 POLY_GNOSIS_SAFE, 3 POLY_1271"):
        parse_wallet_type(text)
