"""`wallet`: what it shows of the embedded venue's account, what it plans, and that nothing moves unconfirmed."""

import asyncio
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polybot.cli import load_config, main
from polybot.clock import VirtualClock
from polybot.config import Config, GatewayConfig, VenueConfig, default_config
from polybot.errors import ConfigError, VenueError
from polybot.gateway.auth import ApiCredentials, RequestSigner
from polybot.gateway.http import LaneClient
from polybot.gateway.rest import lone_rest
from polybot.gateway.signer import Signer
from polybot.gateway.wallets import derive_wallets
from polybot.sim.process import SimProcess, fetch_info
from polybot.sim.virtual_loop import VirtualLoop
from polybot.wallet import command
from polybot.wallet.actions import Plan, confirm, plan_action
from polybot.wallet.holdings import Balance, Holding, Holdings, read_holdings
from tests.gateway.test_against_embedded_venue import DeskHttp, Faults
from tests.sim.desk import BUY, KEY, START_NS, Desk, Wallet
from tests.wallet.relayer import FakeWorld, serve
from tests.wallet.test_official import CONDITION, MARKET, TOKENS

SHARE = 1_000_000
SLUG = MARKET["slug"]
UP, DOWN = 0, 1


class Terminal(io.StringIO):
    """A terminal somebody types at."""

    def isatty(self) -> bool:
        return True


def held(*shares: float, is_closed: bool = True, winner: int | None = UP) -> Holdings:
    tokens = tuple(
        Holding(
            SLUG,
            CONDITION,
            word,
            TOKENS[n],
            round(amount * SHARE),
            is_closed=is_closed,
            is_winner=is_closed and winner == n,
            is_tie=winner is None,
        )
        for n, (word, amount) in enumerate(zip(("Up", "Down"), shares, strict=False))
        if amount
    )
    return Holdings(Balance(5 * SHARE, {}), tokens, 1)


# -- reading


def read_at(desk: Desk, wallet: Wallet) -> Holdings:
    """What the command reads, over the embedded venue's REST with real signatures."""
    loop = VirtualLoop()
    clock = VirtualClock(loop, desk.now_ns)
    venue = VenueConfig(clob_url="http://clob.test")
    signer = Signer(bytes.fromhex(KEY[2:]), venue)
    http = DeskHttp(desk, clock, Faults(1, False))
    known = wallet.credentials

    async def read() -> Holdings:
        rest = lone_rest(http, clock, venue=venue, gateway=GatewayConfig())
        credentials = ApiCredentials(known.api_key, known.secret, known.passphrase)
        rest.auth = RequestSigner(signer.address, credentials)
        return await read_holdings(
            rest, wallet=signer.funder, signature_type=0, since_s=START_NS // 1_000_000_000 - 3_600
        )

    try:
        return loop.run_until_complete(read())
    finally:
        loop.close()


def test_holdings_are_the_embedded_venues_own_account_to_the_micro_unit() -> None:
    desk = Desk()
    wallet, spec, other = desk.wallet(), desk.list(1), desk.list(2)
    for market in (spec, other):
        desk.rest_ladder(market)
    desk.run(1)
    assert wallet.post(spec.token_up, BUY, 5_200, 10.0, "FAK")[0] == 200
    assert wallet.post(spec.token_down, BUY, 5_000, 7.0, "FAK")[0] == 200
    assert wallet.post(other.token_up, BUY, 5_200, 6.0, "FAK")[0] == 200
    desk.run(1)
    holdings = read_at(desk, wallet)
    assert holdings.collateral.amount == wallet.account.cash
    assert set(holdings.collateral.allowances) == {
        VenueConfig().exchange_address,
        VenueConfig().neg_risk_exchange_address,
    }
    told = {(token.condition_id, token.outcome): token.ushares for token in holdings.tokens}
    books = {
        (condition, word): shares
        for condition, both in wallet.account.shares.items()
        for word, shares in zip(("Up", "Down"), both, strict=True)
        if shares
    }
    assert told == books
    assert len(books) == 3
    assert holdings.markets == 2
    assert holdings.redeem_micro_usd == 0


def test_an_account_without_trades_holds_its_cash_only() -> None:
    desk = Desk()
    wallet = desk.wallet(usd=123)
    desk.list(1)
    holdings = read_at(desk, wallet)
    assert (holdings.collateral.amount, holdings.tokens, holdings.markets) == (123_000_000, (), 0)


@pytest.mark.parametrize(
    ("holdings", "micro_usd"),
    [
        (held(3.0, 4.0), 3 * SHARE),
        (held(3.0, 4.0, winner=DOWN), 4 * SHARE),
        (held(0.0, 4.0), 0),
        (held(3.0, 5.0, winner=None), 4 * SHARE),
        (held(3.0, 4.0, is_closed=False), 0),
    ],
)
def test_what_waits_to_be_redeemed_is_the_winners_shares(holdings: Holdings, micro_usd: int) -> None:
    assert holdings.redeem_micro_usd == micro_usd


# -- plans and their confirmation


def test_a_redemption_is_planned_with_its_payout_in_words() -> None:
    plan = plan_action("redeem", held(3.5, 4.0), market=SLUG, shares=0.0)
    assert plan == Plan(
        "redeem",
        f"redeem-{SLUG}",
        f"turn 3.500000 Up, 4.000000 Down of {SLUG} into 3.500000 USD of collateral",
        CONDITION,
    )


@pytest.mark.parametrize(("shares", "ushares"), [(0.0, 3 * SHARE), (1.5, 1_500_000), (3.0, 3 * SHARE)])
def test_a_merge_is_planned_with_at_most_what_both_sides_hold(shares: float, ushares: int) -> None:
    plan = plan_action("merge", held(3.0, 4.0, is_closed=False), market=SLUG, shares=shares)
    assert (plan.ushares, plan.condition_id, plan.phrase) == (ushares, CONDITION, f"merge-{SLUG}")


@pytest.mark.parametrize(
    ("action", "holdings", "market", "shares", "words"),
    [
        ("redeem", held(3.0), "", 0.0, "needs a market"),
        ("redeem", held(3.0), "eth-x", 0.0, f"no shares of eth-x are held; held: {SLUG}"),
        ("redeem", held(), SLUG, 0.0, "held: nothing"),
        ("redeem", held(3.0, is_closed=False), SLUG, 0.0, "has no outcome yet"),
        ("merge", held(3.0), SLUG, 0.0, "at most 0.000000 shares"),
        ("merge", held(3.0, 4.0), SLUG, 3.1, "at most 3.000000 shares"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    action: str, holdings: Holdings, market: str, shares: float, words: str
) -> None:
    with pytest.raises((ConfigError, VenueError), match=words):
        plan_action(action, holdings, market=market, shares=shares)


PLAN = Plan("redeem", "redeem-x", "turn everything into collateral")


@pytest.mark.parametrize("typed", ["", "y", "yes", "redeem", "redeem-x-", "REDEEM-X"])
def test_only_the_exact_words_typed_confirm(typed: str) -> None:
    out = io.StringIO()
    with pytest.raises(ConfigError, match="nothing was done"):
        confirm(PLAN, "", terminal=Terminal(typed + "\n"), out=out)
    assert "turn everything into collateral" in out.getvalue()
    confirm(PLAN, "", terminal=Terminal("redeem-x\n"), out=out)


def test_without_a_terminal_only_an_explicit_confirmation_counts() -> None:
    pipe = io.StringIO("redeem-x\n")  # what a script pipes in is not typed
    with pytest.raises(ConfigError, match=r"no terminal is here: add confirm=redeem-x$"):
        confirm(PLAN, "", terminal=pipe, out=io.StringIO())
    with pytest.raises(ConfigError, match="nothing was done"):
        confirm(PLAN, "redeem-y", terminal=pipe, out=io.StringIO())
    confirm(PLAN, "redeem-x", terminal=pipe, out=io.StringIO())


# -- the command


class RealVenue(FakeWorld):
    """A loopback stand-in for the order book, too: one resolved market with shares."""

    def get(self, path: str, query: Any) -> tuple[int, Any]:
        answers: dict[str, Any] = {
            "/time": int(time.time()),
            "/auth/derive-api-key": {"apiKey": "k" * 9, "secret": "c2VjcmV0LTEyMzQ=", "passphrase": "p" * 9},
            "/data/trades": {"data": [{"market": CONDITION}], "next_cursor": "LTE="},
            f"/markets/{CONDITION}": {
                "market_slug": SLUG,
                "closed": True,
                "tokens": [
                    {"token_id": TOKENS[UP], "outcome": "Up", "winner": True, "price": 1},
                    {"token_id": TOKENS[DOWN], "outcome": "Down", "winner": False, "price": 0},
                ],
            },
        }
        if path == "/balance-allowance":
            balance = {TOKENS[UP]: "3000000", TOKENS[DOWN]: "0"}.get(query.get("token_id", [""])[0], "9000000")
            return 200, {"balance": balance, "allowances": {"0xE1": str(2**256 - 1), "0xE2": "0"}}
        return (200, answers[path]) if path in answers else super().get(path, query)


def run_command(world: FakeWorld, monkeypatch: pytest.MonkeyPatch, *words: str, typed: str | None = None) -> str:
    """`wallet` of a safe at a venue that is all on loopback; returns what it printed."""
    address = Signer(bytes.fromhex(KEY[2:]), VenueConfig()).address
    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", KEY)
    monkeypatch.setenv("POLYMARKET_RELAYER_API_KEY", "relayer-key-0123456789")
    monkeypatch.setenv("POLYMARKET_FUNDER_ADDRESS", list(derive_wallets(address))[2])
    out = io.StringIO()
    with serve(world) as url:
        config = load_config(["venue=polymarket", *words, f"wallet.relayer_url={url}", f"wallet.rpc_url={url}"])
        config = replace(config, venue=replace(config.venue, clob_url=url, gamma_url=url))
        config = replace(config, wallet=replace(config.wallet, poll_s=0.01))
        terminal = io.StringIO() if typed is None else Terminal(typed + "\n")
        assert asyncio.run(command.run(config, terminal=terminal, out=out)) == 0
    return out.getvalue()


def test_the_command_shows_wallet_cash_approvals_shares_and_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = RealVenue()
    printed = run_command(world, monkeypatch)
    for words in (
        "POLY_GNOSIS_SAFE",
        "collateral  $9.000000",
        "0xE1 may move everything",
        "0xE2 may move nothing (wallet action=approve)",
        "3.000000 shares  resolved: $3.000000 to redeem",
        "unredeemed  $3.000000  (1 markets traded in the last 72 h were looked at)",
    ):
        assert words in printed
    assert KEY[2:] not in printed
    assert world.submitted == []


def test_a_typed_redemption_is_sent_once_and_its_last_word_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polymarket")
    world = RealVenue(market=MARKET)
    words = ("wallet.action=redeem", f"wallet.market={SLUG}")
    printed = run_command(world, monkeypatch, *words, typed=f"redeem-{SLUG}")
    assert "turn 3.000000 Up" in printed
    assert "confirmed 0xabab" in printed
    assert [sent["type"] for sent in world.submitted] == ["SAFE"]


@pytest.mark.parametrize("typed", [None, "yes"])
def test_an_unconfirmed_redemption_sends_nothing(typed: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polymarket")
    world = RealVenue(market=MARKET)
    words = ("wallet.action=redeem", f"wallet.market={SLUG}")
    with pytest.raises(ConfigError, match="confirm"):
        run_command(world, monkeypatch, *words, typed=typed)
    assert (world.submitted, world.sent_raw) == ([], [])


def test_short_settings_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wallet", "action=merge", f"market={SLUG}", "shares=2.5", "confirm=merge-x", "--cfg", "job"]) == 0
    out = capsys.readouterr().out
    for line in ("action: merge", f"market: {SLUG}", "shares: 2.5", "confirm: merge-x"):
        assert line in out
    assert main(["run", "action=merge"]) == 2
    assert "unknown setting action" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("wallet", "wallet needs a venue that runs"),
        ("wallet action=redeem", "is not allowed on venue=sim: the embedded venue pays out by itself"),
        ("wallet venue=polymarket", "wallet needs the private key: set POLYMARKET_PRIVATE_KEY_FILE"),
        ("wallet action=redem", "must be one of show, approve, redeem, merge; did you mean redeem?"),
        ("wallet market=x/y", "must be a market's slug"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    words: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polybot.credentials.process.harden_process", lambda: None)
    monkeypatch.delenv("POLYMARKET_PRIVATE_KEY", raising=False)
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_an_action_without_the_extra_is_one_line_with_the_fix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polybot.credentials.process.harden_process", lambda: None)
    monkeypatch.setitem(__import__("sys").modules, "polymarket", None)
    assert main(["wallet", "venue=polymarket", "action=approve"]) == 2
    assert capsys.readouterr().err.endswith("make extras\n")


# -- over real sockets


def test_the_embedded_venue_shows_lent_and_own_accounts_and_the_official_client_agrees(tmp_path: Path) -> None:
    to_next_window_s = 300.0 - time.time() % 300.0  # so the venue's time is ours, by which the official client signs
    small = {"venue.world.spot.history_h": 1.0, "venue.balance_usd": 321.0, "venue.lead_s": max(1.0, to_next_window_s)}
    config = default_config(**small)
    own, lent, theirs = asyncio.run(_at_a_running_venue(config, tmp_path))
    assert "collateral  $321.000000" in own
    assert "collateral  $321.000000" in lent
    assert own.splitlines()[0] != lent.splitlines()[0]
    assert theirs == 321_000_000


async def _at_a_running_venue(config: Config, tmp_path: Path) -> tuple[str, str, int]:
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    sim = await SimProcess.start(config)
    try:
        url = sim.info.urls["sim_url"]
        joined = replace(config, venue=replace(config.venue, attach=url))
        texts = []
        for venue in (replace(joined.venue, private_key_file=str(key_file)), joined.venue):
            out = io.StringIO()
            assert await command.run(replace(joined, venue=venue), out=out) == 0
            texts.append(out.getvalue())
        http = LaneClient(config.gateway)
        info = await fetch_info(http, url)
        await http.close()
        return texts[0], texts[1], await _official_balance(info.private_key, sim.info.urls["clob_url"])
    finally:
        await sim.stop()


async def _official_balance(private_key: str, clob_url: str) -> int:
    """Collateral as the official client reads it, with credentials it derives by itself."""
    pytest.importorskip("polymarket")
    from polymarket import AsyncSecureClient
    from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment

    config = replace(PRODUCTION_CONFIG, clob_url=clob_url)
    signer = Signer(bytes.fromhex(private_key[2:]), VenueConfig())
    client = await AsyncSecureClient._create(
        private_key=private_key, wallet=signer.address, environment=create_environment(name="loopback", config=config)
    )
    try:
        balance = await client.get_balance_allowance(asset_type="COLLATERAL")
        return int(balance.balance)
    finally:
        await client.close()
