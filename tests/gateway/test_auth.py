"""Login and request signatures against published values; credentials stay out of sight."""

import base64

import pytest

from polybot.config import VenueConfig
from polybot.errors import VenueError
from polybot.gateway.admission import bound_offset, estimate_offset_ns
from polybot.gateway.auth import ApiCredentials, RequestSigner, login_headers
from polybot.gateway.signer import Signer
from tests.gateway.fake_http import ANVIL_KEY

NS = 1_000_000_000
ZERO_SECRET = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def test_request_signature_is_the_published_one() -> None:
    signer = RequestSigner("0xabc", ApiCredentials("k", ZERO_SECRET, "p"))
    made = signer.sign_request(1_000_000, "test-sign", path="/orders", body=b'{"hash": "0x123"}')
    assert made == "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc="


def test_keyed_state_is_not_used_up_by_a_request() -> None:
    signer = RequestSigner("0xabc", ApiCredentials("k", ZERO_SECRET, "p"))
    first = signer.headers(1, "GET", path="/a")
    signer.headers(2, "POST", path="/b", body=b"x")
    assert signer.headers(1, "GET", path="/a") == first
    assert list(first) == [
        "POLY_ADDRESS",
        "POLY_API_KEY",
        "POLY_PASSPHRASE",
        "POLY_TIMESTAMP",
        "POLY_SIGNATURE",
    ]


def test_login_headers_carry_the_keys_own_address() -> None:
    signer = Signer(ANVIL_KEY, VenueConfig(chain_id=80_002), signature_type=3, funder="0x" + "11" * 20)
    headers = login_headers(signer, 10_000_000, 23)
    assert headers["POLY_ADDRESS"] == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert headers["POLY_SIGNATURE"].startswith("0xf62319a987514da4")
    assert (headers["POLY_TIMESTAMP"], headers["POLY_NONCE"]) == ("10000000", "23")


def test_secret_without_padding_is_accepted_and_garbage_is_not_quoted() -> None:
    bare = base64.urlsafe_b64encode(b"k" * 31).decode().rstrip("=")
    RequestSigner("0xabc", ApiCredentials("k", bare, "p"))
    with pytest.raises(VenueError) as caught:
        RequestSigner("0xabc", ApiCredentials("k", "a", "p"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "reply", [None, [], {"apiKey": "a", "secret": "b"}, {"apiKey": 1, "secret": "b", "passphrase": "c"}]
)
def test_incomplete_logins_are_refused(reply: object) -> None:
    with pytest.raises(VenueError):
        ApiCredentials.from_answer(reply)


def test_credentials_are_not_in_any_repr() -> None:
    credentials = ApiCredentials("api-key-value", ZERO_SECRET, "passphrase-value")
    shown = repr(credentials) + str(credentials) + repr(RequestSigner("0xabc", credentials))
    for secret in ("api-key-value", ZERO_SECRET, "passphrase-value"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("told_s", "before_ns", "after_ns", "expected_ns"),
    [
        (100, 100 * NS, 100 * NS + 5, 0),
        (100, 101 * NS - 1, 101 * NS - 1, 0),
        (100, 99 * NS, 99 * NS + 400, NS - 400),
        (100, 103 * NS, 103 * NS + 5, -2 * NS),
        (100, 99 * NS, 102 * NS, 0),
    ],
)
def test_clock_offset_is_the_smallest_that_explains_the_told_second(
    told_s: int, before_ns: int, after_ns: int, expected_ns: int
) -> None:
    assert estimate_offset_ns([bound_offset(told_s, before_ns, after_ns)]) == expected_ns
