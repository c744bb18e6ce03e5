"""The official client as the wallet's chain: approvals, redeem and merge, through the relayer or the chain itself.

Owns the optional library `polymarket-client` (extra `polybot[wallet]`) and where it connects; no other module
imports it.  Proxy, safe and deposit wallets send through the relayer, a key's own address pays for itself.
Its constructor `create` could deploy a wallet nobody asked for, so the step before that is used; the version is
pinned exactly.  Errors come out as VenueError with secrets masked.  Called by wallet.command.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from polybot.errors import ConfigError, VenueError
from polybot.gateway.auth import ApiCredentials
from polybot.gateway.signer import Signer

if TYPE_CHECKING:
    from polymarket import AsyncSecureClient, TransactionHandle

__all__ = ["OfficialChain", "Reach", "check_installed", "open_chain"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reach:
    """Where everything is, and how patient to be (wall seconds)."""

    clob_url: str
    gamma_url: str
    data_url: str
    relayer_url: str
    rpc_url: str
    relayer_key: str = field(default="", repr=False)
    poll_s: float = 2.0
    wait_s: float = 200.0


class OfficialChain:
    """wallet.actions.Chain over the official client; close() when done."""

    def __init__(self, client: "AsyncSecureClient", scrub: Callable[[str], str]) -> None:
        self._client = client
        self._scrub = scrub

    async def approve(self) -> str:
        """See wallet.actions.Chain: what is approved already is left; the client waits by itself."""
        await self._guarded(self._client.setup_trading_approvals())
        return ""

    async def redeem(self, condition_id: str) -> str:
        """See wallet.actions.Chain."""
        return await self._send(self._client.redeem_positions(condition_id=condition_id))

    async def merge(self, condition_id: str, ushares: int) -> str:
        """See wallet.actions.Chain."""
        return await self._send(self._client.merge_positions(condition_id=condition_id, amount=ushares))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _send(self, sending: "Awaitable[TransactionHandle]") -> str:
        handle = await self._guarded(sending)
        outcome = await self._guarded(handle.wait())
        return str(outcome.transaction_hash)

    async def _guarded(self, call: Awaitable[T]) -> T:
        from polymarket.errors import PolymarketError

        try:
            return await call
        except PolymarketError as error:
            text = self._scrub(f"{type(error).__name__}: {error}")
            raise VenueError(f"the transaction was not confirmed: {text}") from None


def check_installed() -> None:
    """Raise ConfigError with the fix when the official client is not installed."""
    try:
        import polymarket
    except ImportError:
        raise ConfigError(
            "wallet transactions need the official client, which is not installed: make extras"
        ) from None
    assert polymarket is not None


async def open_chain(
    signer: Signer, credentials: ApiCredentials, reach: Reach, *, scrub: Callable[[str], str]
) -> OfficialChain:
    """Make the client for this account without sending anything; raises ConfigError or VenueError."""
    check_installed()
    from polymarket import AsyncSecureClient, RelayerApiKey
    from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
    from polymarket.errors import PolymarketError
    from polymarket.models.clob.api_key import ApiKeyCreds

    if signer.signature_type and not reach.relayer_key:
        raise ConfigError("this wallet's transactions go through the relayer, whose API key is not given")
    config = replace(
        PRODUCTION_CONFIG,
        clob_url=reach.clob_url,
        gamma_url=reach.gamma_url,
        data_url=reach.data_url,
        relayer_url=reach.relayer_url,
        rpc_url=reach.rpc_url,
        relayer_poll_frequency_ms=round(reach.poll_s * 1_000),
        relayer_max_polls=max(1, round(reach.wait_s / reach.poll_s)),
    )
    given = {"apiKey": credentials.api_key, "secret": credentials.secret, "passphrase": credentials.passphrase}
    try:
        client = await AsyncSecureClient._create(
            private_key="0x" + signer.reveal_key().hex(),
            wallet=signer.funder,
            environment=create_environment(name="polybot", config=config),
            credentials=ApiKeyCreds.model_validate(given),
            api_key=RelayerApiKey(key=reach.relayer_key, address=signer.address) if reach.relayer_key else None,
            validate_credentials=False,
        )
    except PolymarketError as error:
        raise VenueError(f"the official client refused this account: {scrub(str(error))}") from None
    return OfficialChain(client, scrub)
