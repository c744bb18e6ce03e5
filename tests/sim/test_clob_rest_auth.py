"""Who may call: L1 logins, L2 HMACs, order signatures; what is tampered with is refused."""

import json

import pytest
from coincurve import PrivateKey
from sim.desk import BUY, KEY, NS, OTHER_KEY, Desk, wire_of

from polybot._fast.keccak import keccak_256
from polybot.sim.verify import (
    AUTH_DOMAIN_TYPE,
    AUTH_MESSAGE,
    AUTH_TYPE,
    HALF_CURVE_ORDER,
    NESTED_TYPE,
    ORDER_TYPE,
    Domain,
    address_of_key,
    checksum_address,
    l2_signature,
    order_hash,
    recover_login,
    recover_order_signer,
)

CURVE_ORDER = 2 * HALF_CURVE_ORDER + 1
UNAUTHORIZED = (401, {"error": "Unauthorized/Invalid api key"})
INVALID = (400, {"error": "Invalid order payload"})
FUNDER = "0x1111111111111111111111111111111111111111"


@pytest.fixture
def desk():
    desk = Desk()
    desk.spec = desk.list()
    return desk


@pytest.fixture
def wallet(desk):
    return desk.wallet()


# ---- the slow verifier itself


def test_published_order_vectors_give_hash_and_signer(shared_dir):
    data = json.loads((shared_dir / "vectors" / "orders_v2.json").read_text())
    assert len(data["orders"]) == 7
    for vector in data["orders"]:
        domain = Domain(
            "Polymarket CTF Exchange", vector["version"], data["chainId"], vector["verifyingContract"]
        )
        wire = wire_of(vector["order"])
        assert "0x" + order_hash(wire, domain).hex() == vector["hash"], vector["name"]
        signer = recover_order_signer(wire, domain, bytes.fromhex(vector["signature"][2:]))
        assert checksum_address(signer) == address_of_key(KEY), vector["name"]


def test_published_hmac_and_login_vectors():
    secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    signature = l2_signature(secret, "1000000", "test-sign", "/orders", b'{"hash": "0x123"}')
    assert signature == "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc="
    login = (
        "f62319a987514da40e57e2f4d7529f7bac38f0355bd88bb5adbb3768d80de6c1"
        "682518e0af677d5260366425f4361e7b70c25ae232aff0ab2331e2b164a1aedc1b"
    )
    raw = bytes.fromhex(address_of_key(KEY)[2:])
    assert recover_login(raw, "10000000", 23, 80_002, bytes.fromhex(login)) == raw


def test_signature_with_high_s_or_odd_v_recovers_nothing(wallet):
    body = wallet.body("5", BUY, 5_000, 10)
    domain = Domain("Polymarket CTF Exchange", "2", 137, wallet.desk.settings.exchange_address)
    wire, good = wire_of(body["order"]), bytes.fromhex(body["order"]["signature"][2:])
    assert recover_order_signer(wire, domain, good) == bytes.fromhex(wallet.address[2:])
    s = int.from_bytes(good[32:64], "big")
    flipped = good[:32] + (CURVE_ORDER - s).to_bytes(32, "big") + bytes([55 - good[64]])
    for bad in (flipped, good[:64] + b"\x00", good[:64] + b"\x1d", good[:64], good + b"\x00", bytes(65)):
        assert recover_order_signer(wire, domain, bad) is None


# ---- L2


@pytest.mark.parametrize(
    "header", ["POLY_ADDRESS", "POLY_API_KEY", "POLY_PASSPHRASE", "POLY_TIMESTAMP", "POLY_SIGNATURE"]
)
@pytest.mark.parametrize("how", ["missing", "changed"])
def test_every_l2_header_is_needed(desk, wallet, header, how):
    headers = wallet.headers("GET", "/data/orders")
    headers[header] = (
        "" if how == "missing" else headers[header][:-1] + ("1" if headers[header][-1] != "1" else "2")
    )
    answer = desk.rest.handle("GET", "/data/orders", {}, headers, b"", desk.now_ns)
    assert (answer.status, json.loads(answer.body)) == UNAUTHORIZED


@pytest.mark.parametrize(("method", "path", "body"), [
    ("GET", "/data/trades", b""), ("POST", "/data/orders", b""), ("GET", "/data/orders", b"{}"),
])  # fmt: skip
def test_hmac_covers_method_path_and_body(desk, wallet, method, path, body):
    headers = wallet.headers("GET", "/data/orders")
    answer = desk.rest.handle(method, path, {}, headers, body, desk.now_ns)
    assert answer.status in (401, 404)


def test_hmac_does_not_cover_the_query_and_header_names_ignore_case(desk, wallet):
    headers = {name.lower(): value for name, value in wallet.headers("GET", "/data/orders").items()}
    answer = desk.rest.handle("GET", "/data/orders", {"market": "0x1"}, headers, b"", desk.now_ns)
    assert answer.status == 200


@pytest.mark.parametrize(("shift", "status"), [(-31, 401), (-30, 200), (30, 200), (31, 401)])
def test_timestamp_is_checked_against_venue_time(desk, wallet, shift, status):
    desk.run(10_000)
    headers = wallet.headers("GET", "/data/orders", timestamp=str(desk.now_ns // NS + shift))
    assert desk.rest.handle("GET", "/data/orders", {}, headers, b"", desk.now_ns).status == status


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/order"), ("POST", "/orders"), ("DELETE", "/order"), ("DELETE", "/orders"), ("DELETE", "/cancel-all"),
    ("DELETE", "/cancel-market-orders"), ("POST", "/v1/heartbeats"), ("GET", "/data/orders"), ("GET", "/data/trades"),
    ("GET", "/data/order/0x1"), ("GET", "/balance-allowance"), ("GET", "/auth/ban-status/closed-only"),
])  # fmt: skip
def test_private_call_without_credentials_is_unauthorized(desk, method, path):
    answer = desk.rest.handle(method, path, {}, {}, b"{}", desk.now_ns)
    assert (answer.status, json.loads(answer.body)) == UNAUTHORIZED


# ---- L1


def login_headers(desk, key, nonce="0", timestamp=None, message=AUTH_MESSAGE):
    timestamp = timestamp or str(desk.now_ns // NS)
    text = lambda value: keccak_256(value.encode())  # noqa: E731
    word = lambda value: value.to_bytes(32, "big")  # noqa: E731
    address = address_of_key(key)
    domain = keccak_256(text(AUTH_DOMAIN_TYPE) + text("ClobAuthDomain") + text("1") + word(137))
    raw = bytes.fromhex(address[2:])
    struct = keccak_256(
        text(AUTH_TYPE) + raw.rjust(32, b"\0") + text(timestamp) + word(int(nonce)) + text(message)
    )
    signed = PrivateKey(bytes.fromhex(key[2:])).sign_recoverable(
        keccak_256(b"\x19\x01" + domain + struct), hasher=None
    )
    signature = "0x" + signed[:64].hex() + f"{signed[64] + 27:02x}"
    return {
        "POLY_ADDRESS": address,
        "POLY_TIMESTAMP": timestamp,
        "POLY_NONCE": nonce,
        "POLY_SIGNATURE": signature,
    }


def ask(desk, method, path, headers):
    answer = desk.rest.handle(method, path, {}, headers, b"", desk.now_ns)
    return answer.status, json.loads(answer.body)


def test_l1_login_derives_the_keys_of_a_known_wallet(desk, wallet):
    status, data = ask(desk, "GET", "/auth/derive-api-key", login_headers(desk, KEY))
    assert status == 200
    assert data == {
        "apiKey": wallet.credentials.api_key,
        "secret": wallet.credentials.secret,
        "passphrase": wallet.credentials.passphrase,
    }


def test_unknown_wallet_cannot_derive_and_gets_an_account_only_when_allowed(desk):
    headers = login_headers(desk, OTHER_KEY)
    assert ask(desk, "GET", "/auth/derive-api-key", headers) == (400, {"error": "Could not derive api key!"})
    assert ask(desk, "POST", "/auth/api-key", headers) == (400, {"error": "Could not create api key"})
    generous = Desk(auto_account_micro_usd=5_000_000)
    status, data = ask(generous, "POST", "/auth/api-key", headers)
    assert status == 200
    account = generous.exchange.accounts.by_key(data["apiKey"])
    assert (account.name, account.cash) == (address_of_key(OTHER_KEY), 5_000_000)
    assert ask(generous, "POST", "/auth/api-key", headers)[0] == 400
    assert ask(generous, "GET", "/auth/derive-api-key", headers)[1] == data


@pytest.mark.parametrize("change", [
    {"POLY_ADDRESS": FUNDER}, {"POLY_NONCE": "1"}, {"POLY_TIMESTAMP": "1790616601"}, {"POLY_SIGNATURE": "0x12"},
    {"POLY_SIGNATURE": ""}, {"POLY_NONCE": "x"}, {"POLY_ADDRESS": "0x1"},
])  # fmt: skip
def test_tampered_l1_header_is_refused(desk, wallet, change):
    headers = login_headers(desk, KEY) | change
    assert ask(desk, "GET", "/auth/derive-api-key", headers) == (401, {"error": "Invalid L1 Request headers"})


def test_old_l1_login_and_another_message_are_refused(desk, wallet):
    old = login_headers(desk, KEY, timestamp=str(desk.now_ns // NS - 31))
    assert ask(desk, "GET", "/auth/derive-api-key", old)[0] == 401
    assert ask(desk, "GET", "/auth/derive-api-key", login_headers(desk, KEY, message="hello"))[0] == 401


# ---- order signatures


@pytest.mark.parametrize(
    "field", ["salt", "makerAmount", "takerAmount", "timestamp", "metadata", "builder", "side"]
)
def test_order_changed_after_signing_is_refused(desk, wallet, field):
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10)
    order = body["order"]
    changed = {
        "salt": order["salt"] + 1,
        "makerAmount": "5100000",
        "takerAmount": "20000000",
        "timestamp": order["timestamp"][:-1] + ("1" if order["timestamp"][-1] != "1" else "2"),
        "metadata": "0x" + "00" * 31 + "01",
        "builder": "0x" + "00" * 31 + "01",
        "side": "SELL",
    }[field]
    order[field] = changed
    assert wallet.call("POST", "/order", body) == INVALID


def test_order_for_the_other_token_signed_for_this_one_is_refused(desk, wallet):
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10)
    body["order"]["tokenId"] = desk.spec.token_down
    assert wallet.call("POST", "/order", body) == INVALID


def test_order_signed_by_another_key_is_refused(desk, wallet):
    stranger = desk.wallet(OTHER_KEY)
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10)
    domain = Domain("Polymarket CTF Exchange", "2", 137, desk.settings.exchange_address)
    body["order"]["signature"] = stranger.sign(order_hash(wire_of(body["order"]), domain))
    assert wallet.call("POST", "/order", body) == INVALID


@pytest.mark.parametrize("version", ["1", "3"])
def test_order_signed_for_another_domain_version_is_a_version_mismatch(desk, wallet, version):
    answer = wallet.post(desk.spec.token_up, BUY, 5_000, 10, version=version)
    assert answer == (400, {"error": "order_version_mismatch"})


def test_neg_risk_market_needs_the_neg_risk_exchange(desk, wallet):
    spec = desk.list(2, neg_risk=True)
    assert wallet.post(spec.token_up, BUY, 5_000, 10) == INVALID
    contract = desk.settings.neg_risk_exchange_address
    assert wallet.post(spec.token_up, BUY, 5_000, 10, contract=contract)[1]["status"] == "live"


def test_owner_must_be_the_callers_key_and_signer_the_keys_address(desk, wallet):
    other = desk.wallet(OTHER_KEY)
    answer = wallet.post(desk.spec.token_up, BUY, 5_000, 10, owner=other.credentials.api_key)
    assert answer == (400, {"error": "the order owner has to be the owner of the API KEY"})
    answer = wallet.post(desk.spec.token_up, BUY, 5_000, 10, signer=other.address, maker=other.address)
    assert answer == (400, {"error": "the order signer address has to be the address of the API KEY"})
    assert wallet.post(desk.spec.token_up, BUY, 5_000, 10, maker=other.address) == INVALID


@pytest.mark.parametrize("kind", [1, 2])
def test_proxy_and_safe_orders_name_the_funder_as_maker(kind):
    desk = Desk()
    spec = desk.list()
    wallet = desk.wallet(funder=FUNDER)
    answer = wallet.post(spec.token_up, BUY, 5_000, 10, maker=FUNDER, signatureType=kind)
    assert answer[1]["status"] == "live"
    assert wallet.call("GET", "/data/orders")[1]["data"][0]["maker_address"] == FUNDER
    other = "0x2222222222222222222222222222222222222222"
    assert wallet.post(spec.token_up, BUY, 5_000, 10, maker=other, signatureType=kind) == INVALID


def wrapped_signature(wallet, body, wallet_version="1"):
    """An ERC-7739 signature, put together from the reference's description."""
    wire = wire_of(body["order"])
    domain = Domain("Polymarket CTF Exchange", "2", 137, wallet.desk.settings.exchange_address)
    digest = order_hash(wire, domain)
    hash_of = lambda text: keccak_256(text.encode())  # noqa: E731
    contents = keccak_256(
        hash_of(ORDER_TYPE)
        + wire.salt.to_bytes(32, "big")
        + wire.maker.rjust(32, b"\0")
        + wire.signer.rjust(32, b"\0")
        + b"".join(
            value.to_bytes(32, "big")
            for value in (wire.token_id, wire.maker_amount, wire.taker_amount, wire.side, 3, wire.timestamp)
        )
        + bytes(64)
    )
    assert digest == keccak_256(b"\x19\x01" + domain.separator() + contents)
    nested = keccak_256(
        hash_of(NESTED_TYPE) + contents + hash_of("DepositWallet") + hash_of(wallet_version)
        + (137).to_bytes(32, "big") + wire.maker.rjust(32, b"\0") + bytes(32)
    )  # fmt: skip
    inner = wallet.sign(keccak_256(b"\x19\x01" + domain.separator() + nested))
    return inner + domain.separator().hex() + contents.hex() + ORDER_TYPE.encode().hex() + "00ba"


def test_deposit_wallet_order_is_unwrapped_and_checked():
    desk = Desk()
    spec = desk.list()
    wallet = desk.wallet()  # its deposit wallet is learnt from the first order

    def body():
        return wallet.body(spec.token_up, BUY, 5_000, 10, maker=FUNDER, signer=FUNDER, signatureType=3)

    good = body()
    good["order"]["signature"] = wrapped_signature(wallet, good)
    assert len(good["order"]["signature"]) == 636
    assert wallet.call("POST", "/order", good)[1]["status"] == "live"
    assert wallet.account.funder == FUNDER
    plain = body()
    assert wallet.call("POST", "/order", plain) == INVALID
    for cut in (slice(None, -2), slice(2, None)):
        torn = body()
        torn["order"]["signature"] = "0x" + wrapped_signature(wallet, torn)[2:][cut]
        assert wallet.call("POST", "/order", torn) == INVALID
    wrong = body()
    wrong["order"]["signature"] = wrapped_signature(wallet, wrong, wallet_version="2")
    assert wallet.call("POST", "/order", wrong) == INVALID


@pytest.mark.parametrize("spoil", [
    lambda b: b.pop("order"), lambda b: b.update(orderType="IOC"), lambda b: b.update(deferExec=True),
    lambda b: b.update(owner=None), lambda b: b.update(postOnly="yes"), lambda b: b["order"].update(salt="5"),
    lambda b: b["order"].update(salt=2**53), lambda b: b["order"].update(salt=True),
    lambda b: b["order"].update(side="buy"), lambda b: b["order"].update(signatureType=4),
    lambda b: b["order"].update(makerAmount=5_000_000), lambda b: b["order"].update(makerAmount="-1"),
    lambda b: b["order"].update(makerAmount="05"), lambda b: b["order"].update(takerAmount="1e6"),
    lambda b: b["order"].update(maker="0x1"), lambda b: b["order"].update(metadata="0x"),
    lambda b: b["order"].pop("signature"), lambda b: b["order"].update(signature="0xzz"),
    lambda b: b["order"].update(expiration=0),
])  # fmt: skip
def test_malformed_body_is_an_invalid_payload(desk, wallet, spoil):
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10)
    spoil(body)
    assert wallet.call("POST", "/order", body) == INVALID


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"'])
def test_body_that_is_no_object_is_an_invalid_payload(desk, wallet, body):
    headers = wallet.headers("POST", "/order", body)
    answer = desk.rest.handle("POST", "/order", {}, headers, body, desk.now_ns)
    assert (answer.status, json.loads(answer.body)) == INVALID


def test_refusals_are_in_the_ledger_and_move_nothing(desk, wallet):
    before = desk.exchange.audit()
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10)
    body["order"]["salt"] += 1
    wallet.call("POST", "/order", body)
    wallet.post(desk.spec.token_up, BUY, 5_050, 10)
    rejects = [row for row in desk.ledger.rows if row["k"] == "reject"]
    assert [row["status"] for row in rejects] == [400, 400]
    assert [row["k"] for row in desk.ledger.rows].count("order") == 0
    assert desk.exchange.audit() == before
