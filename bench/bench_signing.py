"""From a planned order to signed bytes: the curve, the body, the request's HMAC."""

from typing import Any

from scenario import make_spec

from polybot.config import VenueConfig
from polybot.gateway.auth import ApiCredentials, RequestSigner
from polybot.gateway.orders import CommandHead, OrderPlan, TradedMarket, build_order, order_salt, plan_order
from polybot.gateway.signer import Signer, token_word

NS = 1_000_000_000
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
TOKENS = (
    "71321045679252212594626385532706912750332728571942532289631379312455583992563",
    "52114319501245915516055106046884209969926127482827954674443846427813813222426",
)
SPEC = make_spec(
    slug="btc-updown-5m-1790616600",
    condition_id="0x" + "c0" * 32,
    token_up=TOKENS[0],
    token_down=TOKENS[1],
    start_ns=0,
    end_ns=300 * NS,
)
ORDER: dict[str, Any] = {
    "maker_amount": 5_200_000,
    "taker_amount": 10_000_000,
    "side": 0,
    "timestamp_ms": 1_790_616_612_345,
}
COMMAND = CommandHead(0, 1, 1, 0, 0, 0, 3, 0, 5_200, 0, 10_000_000, 0)


def test_signing_an_order(budget: Any) -> None:
    signer = Signer(KEY, VenueConfig())
    token = token_word(TOKENS[0])
    budget(
        lambda: signer.sign_order(token, 5, **ORDER, neg_risk=False),
        name="digest and signature",
        median_ns=200_000,
    )


def test_command_to_body(budget: Any) -> None:
    signer, market = Signer(KEY, VenueConfig()), TradedMarket.from_spec(0, SPEC)

    def build() -> bytes:
        plan = plan_order(market, COMMAND, 10 * NS)
        assert isinstance(plan, OrderPlan)
        return build_order(
            signer,
            market,
            plan=plan,
            salt=order_salt(b"nonce", 1),
            timestamp_ms=1_790_616_612_345,
            api_key="6d9f8a0e-0000-0000-0000-000000000000",
            post_only=True,
        ).body

    budget(build, name="command to signed body", median_ns=200_000)


def test_request_hmac(budget: Any) -> None:
    secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    signer = RequestSigner("0x" + "00" * 20, ApiCredentials("k", secret, "p"))
    body = bytes(720)
    budget(
        lambda: signer.headers(1_790_616_612, "POST", path="/order", body=body),
        name="L2 headers with HMAC",
        median_ns=20_000,
    )
