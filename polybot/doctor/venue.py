"""Checks of the venue and the account: clocks, version, location, key, mode, wallet, money, allowances, next market.

Owns what each sees and its fix; every rule is the gateway's or discovery's own, asked in the same way as at a run's
start.  Sends no order and changes nothing (a login may create the API key that a run would create).
Called by doctor.rounds through doctor.checks.
"""

import statistics
from contextlib import suppress

import orjson

from polybot.config import LIVE_PHRASE, Config, VenueConfig
from polybot.credentials.account import how_to_give
from polybot.doctor.site import Site
from polybot.doctor.verdict import Verdict, fail, inapplicable, ok, warn
from polybot.errors import MarketRefused, VenueError
from polybot.following import find_market
from polybot.gateway.admission import (
    CLOCK_SAMPLES,
    ClockSkewed,
    check_account,
    check_place,
    check_version,
    log_in,
    sync_clock,
)
from polybot.gateway.rest import FIRST_CURSOR, read_json
from polybot.gateway.wallets import WALLET_TYPES, derive_wallets
from polybot.market.discovery import Discovery
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, window_at
from polybot.wallet.holdings import UNLIMITED, Balance, read_balance

__all__ = [
    "check_allowances",
    "check_api_key",
    "check_balance",
    "check_clock",
    "check_confirmation",
    "check_given_account",
    "check_location",
    "check_market",
    "check_mode",
    "check_venue",
    "check_venue_version",
    "check_wallet_holds",
]

NS = 1_000_000_000
MS = 1_000_000
MICRO = 1_000_000
LIVE_MARGIN_S = 20.0  # a window with less left is not looked at for its book
REFUSED_KEY = (401, 403)
PAPER = "mode=paper: no account"


async def check_venue(site: Site) -> Verdict:
    """The venue is there: started, joined, or named."""
    place = site.place or await site.find()
    venue = place.config.venue
    if venue.name != "sim":
        return ok(f"{venue.name}, {venue.clob_url}")
    how = f"joined at {venue.attach}" if place.sim is None else "started for these checks"
    return ok(f"the embedded venue, {how}: simulated prices, test money")


async def check_given_account(site: Site) -> Verdict:
    """The key is given rightly, and wallet type and funder belong to it."""
    config = site.config
    if config.mode.name == "paper":
        return inapplicable(PAPER)
    if site.account_problem:
        return fail(site.account_problem, "give it as docs/OPERATIONS.md, Keys, says")
    if site.account is None and config.venue.name == "polymarket":
        return fail("no private key is given", how_to_give(config.venue))
    if site.account is None:
        return ok("the embedded venue's test account")
    signer = site.account.signer
    kind = f"{signer.signature_type} {WALLET_TYPES[signer.signature_type]}"
    return ok(f"key of {signer.address}, wallet {signer.funder}, type {kind}")


async def check_confirmation(site: Site) -> Verdict:
    """Real orders are wanted and confirmed."""
    config = site.config
    if config.venue.name != "polymarket" or config.mode.name != "live":
        return inapplicable("no real orders with these settings")
    if config.venue.confirm_live != LIVE_PHRASE:
        return fail("real orders are not confirmed", f"venue.confirm_live={LIVE_PHRASE} (or mode=paper)")
    return ok("REAL ORDERS are confirmed")


async def check_clock(site: Site) -> Verdict:
    """Our clock against the venue's, the spot exchange's, and the stamps of its trades."""
    place, settings = site.there, site.config.doctor
    stop_ms = place.config.gateway.skew_stop_ms
    fix = "set the system clock: timedatectl set-ntp true (or chronyc makestep), then look with timedatectl"
    rest = site.rest()
    try:
        await sync_clock(rest, place.clock, place.config.gateway, samples=CLOCK_SAMPLES)
    except ClockSkewed as error:
        return fail(str(error), fix)
    exchange_ns, half_way_ns = await _exchange_offset_ns(site)
    await site.spot_heard.wait()
    stamps_ns = -min(site.spot_lags_ns, default=0)  # the quickest: a delay is no difference of clocks
    found = {"venue": rest.offset_ns, "exchange": exchange_ns, "its trades": stamps_ns}
    wall_ms = {name: place.clock.real_s(offset_ns / NS) * 1e3 for name, offset_ns in found.items()}
    sure_ms = {**wall_ms, "exchange": _towards_zero(wall_ms["exchange"], place.clock.real_s(half_way_ns / MS))}
    words = ", ".join(f"{name} {offset:+.0f} ms" for name, offset in wall_ms.items())
    seen = f"{words} (one way {place.clock.real_s(half_way_ns / MS):.0f} ms)"
    worst_ms = max(abs(offset) for offset in sure_ms.values())
    if worst_ms > stop_ms:
        return fail(f"{seen}: more than {stop_ms} ms apart (gateway.skew_stop_ms)", fix)
    if worst_ms > settings.clock_warn_ms:
        return warn(f"{seen}: more than {settings.clock_warn_ms} ms apart (doctor.clock_warn_ms)", fix)
    return ok(seen)


async def check_venue_version(site: Site) -> Verdict:
    """The venue speaks the order version that is signed."""
    venue = site.there.config.venue
    await check_version(site.rest(), venue)
    return ok(f"CLOB version {venue.clob_version}")


async def check_location(site: Site) -> Verdict:
    """The venue allows trading from here."""
    if site.config.mode.name == "paper":
        return inapplicable("mode=paper: no order is sent")
    await check_place(site.rest(), site.there.config.venue)
    return ok("not blocked")


async def check_api_key(site: Site) -> Verdict:
    """The venue lets the account in."""
    place, account, venue = site.there, site.who, site.there.config.venue
    rest = site.rest()
    with suppress(ClockSkewed):  # the clock's check says so; a key works within some seconds
        await sync_clock(rest, place.clock, place.config.gateway)
    if account.login.given is not None:
        names = ", ".join((venue.api_key_env, venue.api_secret_env, venue.api_passphrase_env))
        whose = f"the API key given by {names}"
        fix = f"give the three that belong to {account.signer.address}, or unset them: the private key derives them"
    else:
        whose = f"the private key of {account.signer.address}"
        fix = f"is it the right key? {how_to_give(venue)}; the account must have been opened at the venue"
    try:
        rest.auth = await log_in(rest, account.signer, account.login)
    except VenueError as error:
        return fail(f"{error}: the venue refuses {whose}", fix)
    answer = await rest.read("/data/orders", next_cursor=FIRST_CURSOR)
    if answer.status in REFUSED_KEY:
        return fail(f"HTTP {answer.status}: the venue refuses {whose}", fix)
    page = read_json(answer, "GET /data/orders")
    count = len(page["data"]) if isinstance(page, dict) and isinstance(page.get("data"), list) else 0
    site.auth = rest.auth
    resting = f", {count} orders rest at the venue" if count else ""
    return ok(f"{whose} is accepted{resting}")


async def check_mode(site: Site) -> Verdict:
    """The account may open positions."""
    await check_account(site.rest())
    return ok("may open positions")


async def check_wallet_holds(site: Site) -> Verdict:
    """The money is in the wallet whose type is used, by what the venue says of each."""
    signer, venue = site.who.signer, site.there.config.venue
    kind = signer.signature_type
    site.purse = await read_balance(site.rest(), kind, asset_type="COLLATERAL")
    if site.purse.amount:
        return ok(f"{_typed(kind)} {signer.funder} holds collateral")
    for address, other in derive_wallets(signer.address).items():
        if other == kind:
            continue
        purse = await read_balance(site.rest(), other, asset_type="COLLATERAL")
        if purse.amount:
            type_name = venue.sig_type_env or "the variable named by venue.sig_type_env"
            funder_name = venue.funder_env or "the variable named by venue.funder_env"
            return fail(
                f"{_typed(kind)} {signer.funder} holds nothing; this key's {_typed(other)} holds {_usd(purse)}",
                f"set {type_name} to {other} and {funder_name} to {address} (the wallet your account page shows)",
            )
    return ok(f"{_typed(kind)} {signer.funder} (no wallet of this key holds anything)")


async def check_balance(site: Site) -> Verdict:
    """There is collateral for the smallest order, and for what the risk table may have at risk."""
    purse, config = site.purse, site.config
    assert purse is not None
    least_usd = config.doctor.min_balance_usd
    wallet = site.who.signer.funder
    at_risk_usd = config.risk.bankroll_usd * config.risk.max_exposure_frac
    held_usd = purse.amount / MICRO
    if held_usd < least_usd:
        return fail(
            f"{_usd(purse)} of collateral, at least ${least_usd:,.2f} are needed (doctor.min_balance_usd)",
            f"move ${max(least_usd, at_risk_usd) - held_usd:,.2f} or more into {wallet}, or redeem what was won",
        )
    if held_usd < at_risk_usd:
        return warn(
            f"{_usd(purse)} of collateral, the risk table may have ${at_risk_usd:,.2f} at risk at once",
            f"risk.bankroll_usd={int(held_usd) or 1} fits it, or move ${at_risk_usd - held_usd:,.2f} into {wallet}",
        )
    return ok(f"{_usd(purse)} of collateral, at most ${at_risk_usd:,.2f} at risk")


async def check_allowances(site: Site) -> Verdict:
    """The exchange contracts may move what orders spend."""
    purse, venue, risk = site.purse, site.there.config.venue, site.config.risk
    assert purse is not None
    allowed = {spender.lower(): amount for spender, amount in purse.allowances.items()}
    needed = round(risk.bankroll_usd * risk.max_exposure_frac * MICRO)
    main = allowed.get(venue.exchange_address.lower(), 0)
    other = allowed.get(venue.neg_risk_exchange_address.lower(), 0)
    fix = f"python -m polybot wallet venue={venue.name} action=approve"
    if main == 0:
        return fail(f"the exchange {venue.exchange_address} may not move this wallet's collateral", fix)
    if min(main, UNLIMITED) < needed:
        return warn(f"the exchange may move ${main / MICRO:,.2f}, the risk table may need ${needed / MICRO:,.2f}", fix)
    if other == 0:
        return warn(f"the neg-risk exchange {venue.neg_risk_exchange_address} may not move its collateral", fix)
    return ok("both exchange contracts may move it")


async def check_market(site: Site) -> Verdict:
    """The next window's market is listed, resolves by a rule that is known, and its numbers are."""
    place = site.there
    config = place.config
    discovery = Discovery(site.http, place.clock, config.venue)
    now = window_at(config.interval.name, place.clock.now_ns())
    coming = window_at(config.interval.name, now.end_ns)
    try:
        spec = await find_market(discovery, coming, config.asset, rule=config.interval.rule_expected)
    except MarketRefused as error:
        return fail(f"the next market may not be traded: {error}", _market_fix(config, error.code))
    site.spec = site.live_spec = spec
    if now.end_ns - place.clock.now_ns() > LIVE_MARGIN_S * NS:
        site.live_spec = await _running(discovery, now, config) or spec
    seen = (
        f"{spec.slug}: rule {spec.rule}{f' of {spec.twap_window_s} s' if spec.twap_window_s else ''}, "
        f"tick {spec.tick_size_ticks / 10_000:g}, minimum {spec.min_size_ushares / MICRO:g} shares"
    )
    if spec.fees_enabled and spec.fee_rate_ppm is None:
        fix = "nothing to type: it is quoted and never taken until the venue's two copies of the fee agree"
        return warn(f"{seen}, fee unknown", fix)
    return ok(f"{seen}, taker fee rate {(spec.fee_rate_ppm or 0) / 1e6:g}")


async def _running(discovery: Discovery, window: Window, config: Config) -> MarketSpec | None:
    with suppress(VenueError, MarketRefused):  # it is wanted for its book alone
        return await find_market(discovery, window, config.asset, rule=config.interval.rule_expected)
    return None


def _market_fix(config: Config, code: str) -> str:
    if code in ("unknown_resolution_rule", "unexpected_rule"):
        return (
            f"do not trade {config.asset.name} {config.interval.name} with this version: the venue changed its rule; "
            "another interval=... may still have a known one"
        )
    return "wait until the venue lists it rightly, or choose another interval=... or asset=..."


async def _exchange_offset_ns(site: Site) -> tuple[int, int]:
    """The spot exchange's clock minus ours and half the way there and back, median of several; venue ns."""
    place = site.there
    found: list[tuple[int, int]] = []
    error: VenueError | None = None
    for base in place.config.venue.spot_rest_urls:
        try:
            for _ in range(CLOCK_SAMPLES):
                found.append(await _exchange_sample(site, base, place.config.venue))
            break
        except VenueError as refused:
            error = refused
    if not found:
        raise error or VenueError("no spot exchange tells its time")
    way_ns = statistics.median_low(way for _, way in found)
    good = [offset for offset, way in found if way <= 2 * way_ns]
    return statistics.median_low(good), way_ns // 2


async def _exchange_sample(site: Site, base: str, venue: VenueConfig) -> tuple[int, int]:
    clock = site.there.clock
    before_ns = clock.now_ns()
    url = f"{base.rstrip('/')}/api/v3/time"
    answer = await site.http.request("GET", url, timeout_s=venue.request_timeout_s)
    after_ns = clock.now_ns()
    if answer.status != 200:
        raise VenueError(f"GET {url}: HTTP {answer.status}")
    try:
        told_ns = int(orjson.loads(answer.body)["serverTime"]) * MS
    except (ValueError, KeyError, TypeError) as error:
        raise VenueError(f"GET {url}: no time in it") from error
    return told_ns - (before_ns + after_ns) // 2, after_ns - before_ns


def _towards_zero(value: float, by: float) -> float:
    return max(0.0, abs(value) - by)


def _typed(kind: int) -> str:
    return f"type {kind} {WALLET_TYPES[kind]}"


def _usd(purse: Balance) -> str:
    return f"${purse.amount / MICRO:,.2f}"
