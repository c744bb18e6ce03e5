"""Transactions through the official client against a relayer and a chain on loopback, for every wallet type.

Proven: what is asked for reaches the relayer (or, for a key's own address, the chain) once, for the right contract,
market and amount, signed by the account's key, with the relayer's own key in the header; its last word is waited
for, and a failure is an error.  Not proven, because neither is reachable: that the real ones take it.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from polybot.config import VenueConfig
from polybot.errors import ConfigError, VenueError
from polybot.gateway.auth import ApiCredentials
from polybot.gateway.signer import Signer
from polybot.gateway.wallets import derive_wallets
from polybot.wallet.official import OfficialChain, Reach, check_installed, open_chain
from tests.wallet.relayer import TRANSACTION_HASH, FakeWorld, serve

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
CONDITION = "0x" + "c0" * 32
TOKENS = (
    "71321045679252212594626385532706912750332728571942532289631379312455583992563",
    "52114319501245915516055106046884209969926127482827954674443846427813813222426",
)
MARKET = {
    "id": "123",
    "version": "v1",
    "slug": "btc-updown-5m-1790616600",
    "conditionId": CONDITION,
    "outcomes": '["Up", "Down"]',
    "clobTokenIds": f'["{TOKENS[0]}", "{TOKENS[1]}"]',
    "negRisk": False,
    "closed": True,
    "events": [],
}
ADAPTER = "0xAdA100Db00Ca00073811820692005400218FcE1f"
COLLATERAL = "C011a7E12a19f7B1f670d46F03B03f3342E82DFB"
REDEEM, MERGE, APPROVE = "01b7037c", "9e7212ad", "095ea7b3"  # first bytes of the calls
RELAYER_KEY = "relayer-key-0123456789"
TYPES = {1: "PROXY", 2: "SAFE", 3: "WALLET"}

Work = Callable[[OfficialChain], Coroutine[Any, Any, str]]


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    """One for all: the official client loads the certificates eleven times, a second in all, and none is used here."""
    return ssl.create_default_context()


@pytest.fixture
def world(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    pytest.importorskip("polymarket")
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", lambda *args, **kwargs: tls)
    return FakeWorld(market=MARKET, balances=(5_000_000, 7_000_000))


def signer_of(kind: int) -> Signer:
    address = Signer(KEY, VenueConfig()).address
    wallet = next(wallet for wallet, each in derive_wallets(address).items() if each == kind)
    return Signer(KEY, VenueConfig(), signature_type=kind, funder=wallet if kind else "")


def do(world: FakeWorld, kind: int, work: Work, *, relayer_key: str = RELAYER_KEY) -> str:
    async def session(url: str) -> str:
        reach = Reach(url, url, url, url, url, relayer_key=relayer_key, poll_s=0.01, wait_s=0.3)
        credentials = ApiCredentials("key", "AAAA", "passphrase")
        chain = await open_chain(signer_of(kind), credentials, reach, scrub=lambda text: text.replace("secret", "***"))
        try:
            return await work(chain)
        finally:
            await chain.close()

    with serve(world) as url:
        return asyncio.run(session(url))


def sent_bytes(world: FakeWorld) -> str:
    """Everything that was sent to be carried out, as one lower-case text."""
    return f"{world.submitted} {world.sent_raw}".lower()


@pytest.mark.parametrize("kind", TYPES)
def test_a_redemption_reaches_the_relayer_once_for_this_market_and_wallet(world: FakeWorld, kind: int) -> None:
    assert do(world, kind, lambda chain: chain.redeem(CONDITION)) == TRANSACTION_HASH
    (sent,) = world.submitted
    assert (sent["type"], sent["from"]) == (TYPES[kind], signer_of(kind).address)
    text = sent_bytes(world)
    for part in (REDEEM, CONDITION[2:], COLLATERAL.lower(), ADAPTER[2:].lower(), signer_of(kind).funder.lower()):
        assert part in text
    assert world.sent_raw == []
    assert all(headers["RELAYER_API_KEY"] == RELAYER_KEY for headers in world.headers if "RELAYER_API_KEY" in headers)
    assert any("RELAYER_API_KEY" in headers for headers in world.headers)


@pytest.mark.parametrize("kind", TYPES)
def test_a_merge_carries_its_exact_amount(world: FakeWorld, kind: int) -> None:
    assert do(world, kind, lambda chain: chain.merge(CONDITION, 4_999_999)) == TRANSACTION_HASH
    assert len(world.submitted) == 1
    text = sent_bytes(world)
    assert MERGE in text
    assert f"{4_999_999:064x}" in text
    assert CONDITION[2:] in text


def test_a_keys_own_address_signs_and_sends_to_the_chain_itself(world: FakeWorld) -> None:
    account = pytest.importorskip("eth_account").Account
    assert do(world, 0, lambda chain: chain.redeem(CONDITION), relayer_key="") == TRANSACTION_HASH
    assert world.submitted == []
    (raw,) = world.sent_raw
    assert account.recover_transaction(raw) == signer_of(0).address
    assert REDEEM in raw
    assert CONDITION[2:] in raw


@pytest.mark.parametrize("kind", [0, *TYPES])
def test_approvals_that_are_missing_are_sent(world: FakeWorld, kind: int) -> None:
    do(world, kind, lambda chain: chain.approve())
    text = sent_bytes(world)
    assert APPROVE in text
    assert VenueConfig().exchange_address[2:].lower() in text
    assert VenueConfig().neg_risk_exchange_address[2:].lower() in text


def test_a_transaction_that_fails_on_the_chain_is_an_error(world: FakeWorld) -> None:
    world.states = ["STATE_EXECUTED", "STATE_FAILED"]
    with pytest.raises(VenueError, match="was not confirmed: TransactionFailedError: reverted"):
        do(world, 2, lambda chain: chain.redeem(CONDITION))


def test_a_transaction_without_a_last_word_is_an_error_in_time(world: FakeWorld) -> None:
    world.states = ["STATE_MINED"]
    with pytest.raises(VenueError, match="Timed out waiting for transaction tx-1"):
        do(world, 2, lambda chain: chain.redeem(CONDITION))


def test_a_refusal_of_the_relayer_is_an_error_with_secrets_masked(world: FakeWorld) -> None:
    world.submit_status, world.submit_error = 401, "bad key secret"
    with pytest.raises(VenueError, match=r"was not confirmed: .*\*\*\*") as caught:
        do(world, 2, lambda chain: chain.redeem(CONDITION))
    assert caught.value.__cause__ is None
    assert world.submitted == []


def test_an_unknown_market_sends_nothing(world: FakeWorld) -> None:
    with pytest.raises(VenueError, match="No market found"):
        do(world, 2, lambda chain: chain.redeem("0x" + "d0" * 32))
    assert sent_bytes(world) == "[] []"


def test_opening_sends_nothing_and_deploys_nothing(world: FakeWorld) -> None:
    async def nothing(chain: OfficialChain) -> str:
        return "nothing"

    for kind in (0, *TYPES):
        assert do(world, kind, nothing) == "nothing"
    assert (world.asked, world.submitted, world.sent_raw) == ([], [], [])


@pytest.mark.parametrize("kind", TYPES)
def test_a_contract_wallet_without_the_relayers_key_is_refused_before_anything(world: FakeWorld, kind: int) -> None:
    with pytest.raises(ConfigError, match="relayer, whose API key is not given"):
        do(world, kind, lambda chain: chain.redeem(CONDITION), relayer_key="")
    assert world.asked == []


def test_without_the_extra_there_is_one_line_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polymarket", None)
    with pytest.raises(ConfigError, match=r"not installed: make extras$"):
        check_installed()
