"""From a Command to the bytes of POST /order."""

import json
from dataclasses import replace

import pytest

from polybot._fast.event import COMMAND_DTYPE
from polybot.config import VenueConfig
from polybot.errors import SigningError
from polybot.gateway.orders import (
    COMMAND_HEAD,
    CommandHead,
    OrderPlan,
    TradedMarket,
    build_order,
    order_salt,
    plan_order,
    read_commands,
)
from polybot.gateway.reasons import RejectReason
from polybot.gateway.signer import Signer
from tests.gateway.fake_http import ANVIL_KEY, NS, SPEC, command

MARKET = TradedMarket.from_spec(4, SPEC)
NOW_NS = SPEC.start_ns + 10 * NS
SIGNER = Signer(ANVIL_KEY, VenueConfig())
GTC, GTD, FOK, FAK = range(4)


def plan(**changes: int) -> OrderPlan | RejectReason:
    (head,) = read_commands(command(**changes).to_bytes())  # type: ignore[arg-type]
    return plan_order(MARKET, head, NOW_NS)


def planned(**changes: int) -> OrderPlan:
    result = plan(**changes)
    assert isinstance(result, OrderPlan)
    return result


def test_command_head_is_the_beginning_of_the_record() -> None:
    names = COMMAND_DTYPE.names
    assert names is not None
    assert CommandHead._fields == names[: len(CommandHead._fields)]
    fields = COMMAND_DTYPE.fields
    assert fields is not None
    assert COMMAND_HEAD.size == fields[names[len(CommandHead._fields)]][1]


def test_several_commands_are_read_in_order() -> None:
    raw = command(order_seq=7).to_bytes() + command(2, order_seq=8, side=1, outcome=1).to_bytes()
    heads = list(read_commands(raw))
    assert [(h.order_seq, h.kind, h.side, h.outcome) for h in heads] == [(7, 1, 0, 0), (8, 2, 1, 1)]
    assert (heads[0].price_ticks, heads[0].shares, heads[0].market) == (5_200, 10_000_000, 4)


def test_buy_pays_usd_and_takes_shares_and_sell_reverses_it() -> None:
    buy, sell = planned(side=0), planned(side=1)
    assert (buy.maker_amount, buy.taker_amount) == (5_200_000, 10_000_000)
    assert (sell.maker_amount, sell.taker_amount) == (10_000_000, 5_200_000)


def test_marketable_buy_off_the_cent_is_cut_and_remembers_what_was_asked() -> None:
    cut = planned(price_ticks=5_300, shares=5_370_000)
    assert (cut.maker_amount, cut.taker_amount) == (2_840_000, 5_358_400)
    assert (cut.asked_ushares, cut.ushares) == (5_370_000, 5_358_400)
    resting = planned(price_ticks=5_300, shares=5_370_000, order_type=GTC)
    assert (resting.maker_amount, resting.taker_amount) == (2_846_100, 5_370_000)


@pytest.mark.parametrize(
    ("tick", "price", "expected"),
    [
        (100, 100, OrderPlan),
        (100, 9_900, OrderPlan),
        (100, 50, RejectReason.PRICE_RANGE),
        (100, 9_950, RejectReason.PRICE_RANGE),
        (100, 150, RejectReason.OFF_TICK),
        (10, 9_990, OrderPlan),
        (10, 9_995, RejectReason.PRICE_RANGE),
        (25, 75, OrderPlan),
        (25, 80, RejectReason.OFF_TICK),
    ],
)
def test_price_must_be_on_the_grid_within_one_tick_of_the_ends(
    tick: int, price: int, expected: object
) -> None:
    market = replace(MARKET, tick_size_ticks=tick)
    (head,) = read_commands(command(price_ticks=price, shares=500_000_000).to_bytes())
    result = plan_order(market, head, NOW_NS)
    assert (type(result) if isinstance(result, OrderPlan) else result) == expected


def test_no_order_once_the_window_ended_or_the_market_takes_none() -> None:
    (head,) = read_commands(command().to_bytes())
    assert plan_order(MARKET, head, SPEC.end_ns) is RejectReason.NOT_ACCEPTING
    closed = replace(MARKET, spec=replace(SPEC, accepting_orders=False))
    assert plan_order(closed, head, NOW_NS) is RejectReason.NOT_ACCEPTING


def test_one_dollar_minimum_binds_marketable_buys_only() -> None:
    tiny = {"price_ticks": 100, "shares": 50_000_000}
    assert plan(**tiny) is RejectReason.BELOW_MIN_NOTIONAL
    assert plan(**tiny, order_type=FOK) is RejectReason.BELOW_MIN_NOTIONAL
    assert isinstance(plan(**tiny, order_type=GTC), OrderPlan)
    assert isinstance(plan(**tiny, side=1), OrderPlan)


def test_gtd_expires_after_the_window_and_never_sooner_than_the_venue_allows() -> None:
    assert planned(order_type=GTD).expiration_s == SPEC.end_ns // NS + 60
    (head,) = read_commands(command(order_type=GTD).to_bytes())
    late = plan_order(MARKET, head, SPEC.end_ns - NS)
    assert isinstance(late, OrderPlan)
    assert late.expiration_s == SPEC.end_ns // NS - 1 + 185
    assert planned(order_type=GTC).expiration_s == 0


def test_salt_is_53_bits_and_depends_on_session_and_sequence_only() -> None:
    salts = {order_salt(b"session", seq) for seq in range(2_000)}
    assert len(salts) == 2_000
    assert max(salts) < 2**53
    assert order_salt(b"session", 5) == order_salt(b"session", 5) != order_salt(b"other", 5)


def test_body_is_compact_json_with_the_fields_of_the_venue() -> None:
    made = build_order(
        SIGNER,
        MARKET,
        plan=planned(outcome=1),
        salt=479249096354,
        timestamp_ms=1_790_616_612_345,
        api_key="owner-key",
        post_only=True,
    )
    body = json.loads(made.body)
    assert made.body == json.dumps(body, separators=(",", ":")).encode()
    assert list(body) == ["deferExec", "order", "owner", "orderType"]
    signature = body["order"].pop("signature")
    assert len(signature) == 132
    assert body["order"] == {
        "salt": 479249096354,
        "maker": SIGNER.address,
        "signer": SIGNER.address,
        "tokenId": SPEC.token_down,
        "makerAmount": "5200000",
        "takerAmount": "10000000",
        "side": "BUY",
        "signatureType": 0,
        "timestamp": "1790616612345",
        "expiration": "0",
        "metadata": "0x" + "00" * 32,
        "builder": "0x" + "00" * 32,
    }
    assert (body["owner"], body["orderType"], body["deferExec"]) == ("owner-key", "FAK", False)


@pytest.mark.parametrize(
    ("order_type", "post_only", "expected"),
    [(GTC, True, True), (GTD, True, True), (GTC, False, None), (FAK, True, None), (FOK, True, None)],
)
def test_post_only_is_said_for_resting_orders_only(
    order_type: int, post_only: bool, expected: bool | None
) -> None:
    made = build_order(
        SIGNER,
        MARKET,
        plan=planned(order_type=order_type),
        salt=1,
        timestamp_ms=1,
        api_key="k",
        post_only=post_only,
    )
    assert json.loads(made.body).get("postOnly") is expected


def test_neg_risk_market_signs_for_the_other_exchange() -> None:
    other = TradedMarket.from_spec(5, replace(SPEC, neg_risk=True))
    ids = {
        build_order(
            SIGNER, market, plan=planned(), salt=1, timestamp_ms=1, api_key="k", post_only=False
        ).order_id
        for market in (MARKET, other)
    }
    assert len(ids) == 2


def test_market_of_another_exchange_is_refused_at_registration() -> None:
    with pytest.raises(SigningError, match="V3"):
        TradedMarket.from_spec(1, replace(SPEC, token_up=str(7 << 150)))
