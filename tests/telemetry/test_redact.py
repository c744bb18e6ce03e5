"""Redactor: every form a secret can take, and nothing that is not one."""

import base64
import json
from urllib.parse import quote

import pytest

from polybot.telemetry.redact import MASK, Redactor

KEY = "0x4c0883a69102937d6231471b5dbb6204fe512961708279f3a1b5c0de8f00ba12"
RAW = bytes.fromhex(KEY[2:])
API_SECRET = base64.urlsafe_b64encode(bytes(range(200, 232))).decode()
PASSPHRASE = 'pa"ss \\phrase/+with=odd&signs'
BOT_TOKEN = "7123456789:AAHk5Xn-Q9bLq_zW8dTf3RkPq0Vv1Xx2Yy3"
ORDER_HASH = "0x" + "9f" * 32


def shifted(raw: bytes, lead: int, encode: object) -> str:
    """Base64 of a longer text that has the secret in it."""
    assert callable(encode)
    return str(encode(b"u" * lead + raw + b"tail").decode())


FORMS = {
    "as given": KEY,
    "without 0x": KEY[2:],
    "upper case": KEY[2:].upper(),
    "upper case with 0x": "0x" + KEY[2:].upper(),
    "0X": "0X" + KEY[2:].upper(),
    "base64": base64.b64encode(RAW).decode(),
    "base64 unpadded": base64.b64encode(RAW).decode().rstrip("="),
    "urlsafe base64": base64.urlsafe_b64encode(RAW).decode(),
    "base64 of the text": base64.b64encode(KEY.encode()).decode(),
    "hex of the text": KEY.encode().hex(),
    "decimal": str(int(KEY, 16)),
    "bytes repr": repr(RAW),
    "list of bytes": str(list(RAW)),
    "in a url": f"https://x/y?k={KEY}&z=1",
    "in json": json.dumps({"k": KEY}),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_registered_private_key_is_masked_in_every_form(form: str) -> None:
    line = f"before {FORMS[form]} after"
    scrubbed = Redactor(KEY).scrub(line)
    assert MASK in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")
    core = FORMS[form].strip("b'[]")[4:-4]
    assert core not in scrubbed


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("lead", range(7))
def test_base64_is_found_at_every_alignment(lead: int, encode: object) -> None:
    text = shifted(RAW, lead, encode)
    scrubbed = Redactor(KEY).scrub(text)
    assert MASK in scrubbed
    kept = scrubbed.replace(MASK, "")
    assert len(kept) <= len(text) - 40


@pytest.mark.parametrize(
    "form",
    [
        PASSPHRASE,
        quote(PASSPHRASE, safe=""),
        json.dumps(PASSPHRASE),
        repr(PASSPHRASE),
        PASSPHRASE.encode().hex(),
        PASSPHRASE.encode().hex().upper(),
        base64.b64encode(PASSPHRASE.encode()).decode(),
        PASSPHRASE.upper(),
    ],
)
def test_a_passphrase_is_masked_in_every_form(form: str) -> None:
    scrubbed = Redactor(PASSPHRASE).scrub(f"<{form}>")
    assert MASK in scrubbed
    assert len(scrubbed) <= len(MASK) + 6


def test_an_api_secret_is_masked_as_text_and_as_the_bytes_it_stands_for() -> None:
    raw = base64.urlsafe_b64decode(API_SECRET)
    redactor = Redactor(API_SECRET)
    forms = (API_SECRET, API_SECRET.rstrip("="), base64.b64encode(raw).decode(), raw.hex(), raw.hex().upper())
    for form in forms:
        assert redactor.scrub(f"x {form} y") == f"x {MASK} y"


@pytest.mark.parametrize(
    "text",
    [
        f"order accepted order_id={ORDER_HASH}",
        f"condition_id={ORDER_HASH} token_id={'7132104567' * 7}",
        f"trade_key=123456789012 hash {ORDER_HASH[2:]}",
        "private_key_env=POLYMARKET_PRIVATE_KEY is not set",
        "bot_token_env: TELEGRAM_BOT_TOKEN",
        "07:50:00.123 BTC 5m spot=78,812.10",
        "wss://ws-subscriptions.example/ws/market",
        "latency_arb secret sauce",
    ],
)
def test_ids_names_of_variables_and_plain_words_are_left_alone(text: str) -> None:
    assert Redactor(KEY, PASSPHRASE).scrub(text) == text


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        (f"POST https://api.telegram.org/bot{BOT_TOKEN}/sendMessage", BOT_TOKEN[11:]),
        (f"token {BOT_TOKEN}", BOT_TOKEN[11:]),
        (f"url bot{quote(BOT_TOKEN, safe='')}/x", BOT_TOKEN[11:]),
        (f"POLYMARKET_PRIVATE_KEY={ORDER_HASH}", ORDER_HASH),
        (f"{{'private_key': '{ORDER_HASH}'}}", ORDER_HASH),
        (f'{{"privateKey": "{ORDER_HASH}"}}', ORDER_HASH),
        (f"bad key {ORDER_HASH}", ORDER_HASH),
        (f"private key is {ORDER_HASH[2:]}", ORDER_HASH[2:]),
        ("'POLY_PASSPHRASE': 'abcdef123'", "abcdef123"),
        ("passphrase=abcdef123 next", "abcdef123"),
        ("Authorization: Bearer abc.def.ghi-jkl", "abc.def"),
        ("https://user:hunter2@host/x", "hunter2"),
        ("mnemonic: " + " ".join(["abandon"] * 12), "abandon abandon"),
    ],
)
def test_what_looks_like_a_secret_is_masked_without_being_registered(text: str, leak: str) -> None:
    scrubbed = Redactor().scrub(text)
    assert leak not in scrubbed
    assert MASK in scrubbed


def test_several_secrets_and_several_places() -> None:
    redactor = Redactor(KEY, API_SECRET)
    assert redactor.scrub(f"{KEY} {API_SECRET} {KEY[2:]}") == f"{MASK} {MASK} {MASK}"


def test_a_secret_too_short_to_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 8"):
        Redactor("abc")


def test_without_secrets_text_is_unchanged() -> None:
    assert Redactor().scrub("hello 0x12") == "hello 0x12"
