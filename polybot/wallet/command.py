"""`polybot wallet`: show the account's balances, or carry out one confirmed transaction.

Owns the order of things: read the account, log in, read what is held, show it; for an action then plan, confirm,
send, wait.  Never runs inside the trading process.  Exit codes: 0 done, 1 the venue or the chain refused, 2 wrong
setting or not confirmed.  Called by polybot.cli.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from polybot.account import MIN_HIDDEN_CHARS, Account, lent_account, open_account
from polybot.clock import Clock, wall_clock
from polybot.config import Config, VenueConfig
from polybot.credentials.account import how_to_give
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError
from polybot.gateway.admission import log_in, sync_clock
from polybot.gateway.auth import ApiCredentials
from polybot.gateway.http import LaneClient
from polybot.gateway.rest import ClobRest, lone_rest
from polybot.gateway.wallets import WALLET_TYPES
from polybot.sim.process import fetch_info
from polybot.telemetry.redact import Redactor
from polybot.transport import HttpClient
from polybot.wallet.actions import Plan, carry_out, confirm, plan_action
from polybot.wallet.holdings import UNLIMITED, Holding, Holdings, read_holdings
from polybot.wallet.official import Reach, check_installed, open_chain

__all__ = ["holdings_lines", "run"]

MICRO = 1_000_000
HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class _Desk:
    """The account, where it is, and what of it the relayer wants to see."""

    account: Account
    venue: VenueConfig
    clock: Clock
    relayer_key: str


async def run(config: Config, *, terminal: TextIO | None = None, out: TextIO | None = None) -> int:
    """Do what wallet.action says; returns the exit code, raises ConfigError or VenueError."""
    terminal, out = terminal or sys.stdin, out or sys.stdout
    redactor, settings = Redactor(), config.wallet
    if settings.action != "show":
        check_installed()
    http = LaneClient(config.gateway)
    try:
        desk = await _open_desk(config, http, redactor)
        rest = lone_rest(http, desk.clock, venue=desk.venue, gateway=config.gateway)
        await sync_clock(rest, desk.clock, config.gateway)
        rest.auth = await log_in(rest, desk.account.signer, desk.account.login)
        holdings = await _read(rest, desk.account, settings.lookback_h)
        out.write("\n".join(holdings_lines(desk.account, holdings, settings.lookback_h)) + "\n")
        if settings.action == "show":
            return 0
        plan = plan_action(settings.action, holdings, market=settings.market, shares=settings.shares)
        confirm(plan, settings.confirm, terminal=terminal, out=out)
        out.write("sending; waiting for its last word\n")
        done = await _send(plan, config, desk, credentials=rest.auth.credentials, redactor=redactor)
        out.write(f"confirmed {done}".rstrip() + "\n")
        return 0
    finally:
        await http.close()


def holdings_lines(account: Account, holdings: Holdings, lookback_h: float) -> Iterator[str]:
    """Yield what `wallet` shows."""
    signer = account.signer
    yield f"wallet      {signer.funder}  {WALLET_TYPES[signer.signature_type]}"
    yield f"signed by   {signer.address}"
    yield f"collateral  ${_decimal(holdings.collateral.amount)}"
    for spender, amount in sorted(holdings.collateral.allowances.items()):
        yield f"  {spender} may move {_allowed(amount)}"
    for token in holdings.tokens:
        yield f"  {token.slug:<40} {token.outcome:<5} {_decimal(token.ushares):>20} shares  {_state(token)}"
    waiting = f"unredeemed  ${_decimal(holdings.redeem_micro_usd)}"
    yield f"{waiting}  ({holdings.markets} markets traded in the last {lookback_h:g} h were looked at)"


async def _open_desk(config: Config, http: HttpClient, redactor: Redactor) -> _Desk:
    """Find account and venue; raises ConfigError when one of them is not given."""
    venue, secrets = config.venue, Secrets(os.environ)
    relayer_key = secrets.read("the relayer's API key", config.wallet.relayer_key_env) or ""
    if len(relayer_key) >= MIN_HIDDEN_CHARS:  # from a file nobody else tells it
        redactor.register(relayer_key)
    account = open_account(venue, redactor.register)
    secrets.forget()  # the relayer's key, whatever its variable is called
    if venue.name != "sim":
        if account is None:
            raise ConfigError(f"wallet needs the private key: {how_to_give(venue)}")
        return _Desk(account, venue, wall_clock(), relayer_key)
    if config.wallet.action != "show":
        raise ConfigError(
            f"wallet.action={config.wallet.action} is not allowed on venue=sim: the embedded venue pays out by itself"
        )
    if not venue.attach:
        raise ConfigError("wallet needs a venue that runs: add venue.attach=ADDRESS of one, or venue=polymarket")
    address = account.signer.address if account is not None else ""
    info = await fetch_info(http, venue.attach, address=address)
    venue = info.venue(venue)
    account = account or lent_account(info.private_key, venue, redactor.register)
    return _Desk(account, venue, info.clock(), relayer_key)


async def _read(rest: ClobRest, account: Account, lookback_h: float) -> Holdings:
    return await read_holdings(
        rest,
        wallet=account.signer.funder,
        signature_type=account.signer.signature_type,
        since_s=rest.timestamp_s() - round(lookback_h * HOUR_S),
    )


async def _send(
    plan: Plan, config: Config, desk: _Desk, *, credentials: ApiCredentials, redactor: Redactor
) -> str:
    settings, venue = config.wallet, desk.venue
    reach = Reach(
        clob_url=venue.clob_url,
        gamma_url=venue.gamma_url,
        data_url=settings.data_url,
        relayer_url=settings.relayer_url,
        rpc_url=settings.rpc_url,
        relayer_key=desk.relayer_key,
        poll_s=settings.poll_s,
        wait_s=settings.wait_s,
    )
    chain = await open_chain(desk.account.signer, credentials, reach, scrub=redactor.scrub)
    try:
        return await carry_out(plan, chain)
    finally:
        await chain.close()


def _allowed(amount: int) -> str:
    if amount >= UNLIMITED:
        return "everything"
    return f"${_decimal(amount)}" if amount else "nothing (wallet action=approve)"


def _state(token: Holding) -> str:
    if not token.is_closed:
        return "open"
    paid = token.redeem_micro_usd
    return f"resolved: ${_decimal(paid)} to redeem" if paid else "resolved: lost"


def _decimal(micro: int) -> str:
    return f"{micro // MICRO:,}.{micro % MICRO:06d}"
