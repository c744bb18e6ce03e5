"""Single checks where the venue cannot be made ill enough: what is made wrong here is what the check is given."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polybot.config import VenueConfig
from polybot.doctor import feeds, venue
from polybot.doctor.site import Site
from polybot.doctor.verdict import Verdict
from polybot.errors import VenueError
from polybot.gateway.auth import ApiCredentials, RequestSigner
from polybot.gateway.http import LaneClient
from polybot.place import Place
from polybot.telemetry.redact import Redactor
from polybot.wallet.holdings import Balance
from tests.doctor.surgery import Surgery

USD = 1_000_000
NOWHERE = "127.0.0.1:9"
Make = Callable[[Site], Awaitable[Verdict]]


def examine(surgery: Surgery, folder: Path, work: Make, **settings: Any) -> Verdict:
    """One check at a venue that is well."""

    async def run() -> Verdict:
        config = surgery.config(folder, **settings)
        http = LaneClient(config.gateway)
        site = Site(config=config, http=http, redactor=Redactor(), folder=folder)
        try:
            await site.find()
            return await work(site)
        finally:
            await http.close()
            await site.close()

    return asyncio.run(run())


def elsewhere(site: Site, **addresses: Any) -> Place:
    """The place, with other addresses of the venue."""
    place = site.there
    place.config = replace(place.config, venue=replace(place.config.venue, **addresses))
    return place


def test_a_login_that_the_user_channel_turns_away_is_told_from_silence(surgery: Surgery, tmp_path: Path) -> None:
    async def work(site: Site) -> Verdict:
        site.auth = RequestSigner(site.who.signer.address, ApiCredentials("nobody", "c2VjcmV0", "x"))
        return await feeds.check_user_feed(site)

    verdict = examine(surgery, tmp_path, work)
    assert verdict.level == "FAIL"
    assert "closes the connection after the login" in verdict.seen
    assert "the API key's check" in verdict.fix


def test_a_feed_that_cannot_be_reached_is_told_from_a_silent_one(surgery: Surgery, tmp_path: Path) -> None:
    async def work(site: Site) -> Verdict:
        elsewhere(site, rtds_url=f"ws://{NOWHERE}")
        return await feeds.check_oracle_feed(site)

    verdict = examine(surgery, tmp_path, work, doctor__feed_s=1.0)
    assert verdict.level == "FAIL"
    assert verdict.seen.startswith(f"no connection to {NOWHERE} within 1 s (doctor.feed_s): ")


def test_a_spot_feed_goes_on_to_its_next_host(surgery: Surgery, tmp_path: Path) -> None:
    async def work(site: Site) -> Verdict:
        there = site.there.config.venue.spot_ws_urls
        elsewhere(site, spot_ws_urls=(f"ws://{NOWHERE}", *there))
        return await feeds.check_spot_feed(site)

    assert examine(surgery, tmp_path, work).level == "ok"


@pytest.mark.parametrize("url", [f"http://{NOWHERE}/geo", ""])
def test_a_place_that_cannot_be_asked_about_is_refused(url: str, surgery: Surgery, tmp_path: Path) -> None:
    async def work(site: Site) -> Verdict:
        elsewhere(site, geoblock_url=url)
        return await venue.check_location(site)

    with pytest.raises(VenueError, match="this place is unknown"):
        examine(surgery, tmp_path, work)


def test_a_fee_that_is_unknown_is_a_warning(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = venue.find_market

    async def without_fee(*given: Any, **more: Any) -> Any:
        return replace(await real(*given, **more), fee_rate_ppm=None)

    monkeypatch.setattr(venue, "find_market", without_fee)
    verdict = examine(surgery, tmp_path, venue.check_market)
    assert verdict.level == "warn"
    assert "fee unknown" in verdict.seen


MAIN, NEG_RISK = VenueConfig().exchange_address, VenueConfig().neg_risk_exchange_address


@pytest.mark.parametrize(
    ("allowances", "level", "seen"),
    [
        ({MAIN.lower(): 1 << 200, NEG_RISK.upper().replace("0X", "0x"): 1 << 200}, "ok", "both"),
        ({MAIN: 20 * USD, NEG_RISK: 1 << 200}, "warn", "may move $20.00, the risk table may need $150.00"),
        ({MAIN: 1 << 200}, "warn", f"the neg-risk exchange {NEG_RISK} may not"),
        ({NEG_RISK: 1 << 200}, "FAIL", f"the exchange {MAIN} may not"),
        ({}, "FAIL", f"the exchange {MAIN} may not"),
    ],
)
def test_allowances_are_judged_by_what_the_risk_table_may_spend(
    allowances: dict[str, int], level: str, seen: str, surgery: Surgery, tmp_path: Path
) -> None:
    async def work(site: Site) -> Verdict:
        site.purse = Balance(1_000 * USD, allowances)
        return await venue.check_allowances(site)

    verdict = examine(surgery, tmp_path, work)
    assert verdict.level == level
    assert seen in verdict.seen


def test_nothing_in_any_wallet_is_the_balances_failure_alone(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*given: Any, **more: Any) -> Balance:
        return Balance(0, {})

    async def work(site: Site) -> Verdict:
        wallet = await venue.check_wallet_holds(site)
        assert (wallet.level, "no wallet of this key holds anything" in wallet.seen) == ("ok", True)
        return await venue.check_balance(site)

    monkeypatch.setattr(venue, "read_balance", nothing)
    verdict = examine(surgery, tmp_path, work)
    assert verdict.level == "FAIL"
    assert verdict.fix.startswith("move $150.00 or more into 0x")
