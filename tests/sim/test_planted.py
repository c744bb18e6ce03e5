"""Faults planted in the embedded venue: each changes one answer, {} heals, and a wrong name is refused."""

import orjson
import pytest

from polybot.sim.planted import Planted, planted_from
from polybot.transport import HttpResponse

PURSE = {"balance": "1000000000", "allowances": {"0xA": "115792", "0xB": "7"}}
COLLATERAL = {"asset_type": "COLLATERAL", "signature_type": "0"}


def answer(data, status=200):
    return HttpResponse(status, {}, orjson.dumps(data))


def changed(planted, service, path, data, query=(), status=200):
    return orjson.loads(planted.changed(service, path, dict(query), answer(data, status)).body)


@pytest.mark.parametrize(
    ("planted", "service", "path", "data", "told"),
    [
        (Planted(version=3), "clob", "/version", {"version": 2}, {"version": 3}),
        (Planted(closed_only=True), "clob", "/auth/ban-status/closed-only", {"closed_only": False},
         {"closed_only": True}),
        (Planted(rule="x"), "gamma", "/events", [{"resolutionSource": "y", "a": [{"resolutionSource": "z"}]}],
         [{"resolutionSource": "x", "a": [{"resolutionSource": "x"}]}]),
        (Planted(clock_off_s=2.0), "sim", "/info", {"mono_ns": 5_000_000_000}, {"mono_ns": 3_000_000_000}),
    ],
)  # fmt: skip
def test_a_planted_fault_changes_its_answer_and_no_other(planted, service, path, data, told):
    assert changed(planted, service, path, data) == told
    assert changed(planted, "clob", "/time", 17) == 17
    assert changed(planted, service, path, {"error": "no"}, status=400) == {"error": "no"}


def test_a_blocked_place_is_told_and_healed():
    free = {"blocked": False, "country": "ZZ"}
    assert changed(Planted(blocked=True), "geoblock", "/api/geoblock", free)["blocked"] is True
    assert changed(planted_from(b"{}"), "geoblock", "/api/geoblock", free) == free


@pytest.mark.parametrize(
    ("planted", "kind", "balance", "allowances"),
    [
        (Planted(balance_usd=2.5), "0", "2500000", ["115792", "7"]),
        (Planted(no_allowance=True), "0", "1000000000", ["0", "0"]),
        (Planted(wallet_type=2), "0", "0", ["0", "0"]),
        (Planted(wallet_type=2), "2", "1000000000", ["115792", "7"]),
    ],
)
def test_a_purse_is_told_otherwise(planted, kind, balance, allowances):
    told = changed(planted, "clob", "/balance-allowance", PURSE, {**COLLATERAL, "signature_type": kind})
    assert (told["balance"], list(told["allowances"].values())) == (balance, allowances)
    shares = {"asset_type": "CONDITIONAL", "token_id": "1"}
    assert changed(planted, "clob", "/balance-allowance", PURSE, shares) == PURSE


def test_a_mute_channel_loses_data_and_not_pongs_but_the_user_channel_loses_all():
    planted = Planted(mute=("spot", "market", "user"))
    assert planted.is_mute("spot", "/stream", "{}")
    assert planted.is_mute("clob", "/ws/market", "{}")
    assert not planted.is_mute("clob", "/ws/market", "PONG")
    assert planted.is_mute("clob", "/ws/user", "PONG")
    assert not planted.is_mute("rtds", "/", "{}")
    assert not planted.is_mute("polybolt", "/ws", "{}")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"blocks": true}', b'{"blocked": 1}', b'{"mute": ["tv"]}', b'{"mute": "spot"}', b'{"version": "2"}'],
)  # fmt: skip
def test_what_cannot_be_planted_is_refused(body):
    with pytest.raises(ValueError):
        planted_from(body)


def test_whole_numbers_do_for_fractions():
    assert planted_from(b'{"balance_usd": 3, "mute": ["spot"]}') == Planted(balance_usd=3, mute=("spot",))
