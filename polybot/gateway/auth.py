"""Login and request signatures: L1 (EIP-712 by the key) and L2 (HMAC by the API key's secret).

Owns the API credentials (never in repr, logs or exceptions) and one keyed HMAC state that is
copied per request.  Must not do I/O or read a clock.  Called by gateway.rest and gateway.admission.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from polybot._fast.hmac256 import KeyedHmac, has_sha
from polybot.errors import VenueError
from polybot.gateway.signer import Signer

__all__ = ["ApiCredentials", "Login", "RequestSigner", "login_headers"]

PROBE = b"polybot"  # signed both ways before the quick one is used


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """What the venue hands out at login; repr shows none of it."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    @classmethod
    def from_answer(cls, answer: object) -> "ApiCredentials":
        """Read {"apiKey","secret","passphrase"}; raises VenueError without quoting the answer."""
        if not isinstance(answer, Mapping):
            raise VenueError("the login answer is no object")
        values = (answer.get(name) for name in ("apiKey", "secret", "passphrase"))
        texts = [value for value in values if isinstance(value, str) and value]
        if len(texts) != 3:
            raise VenueError("the login answer lacks apiKey, secret or passphrase")
        return cls(*texts)

    def user_channel_auth(self) -> dict[str, str]:
        """The `auth` object of the user channel's first message."""
        return {"apiKey": self.api_key, "secret": self.secret, "passphrase": self.passphrase}


@dataclass(frozen=True, slots=True)
class Login:
    """How an account logs in: with credentials it was given, else with those its key derives.

    `tell` hears them before they are used, so that no log ever shows them.
    """

    given: ApiCredentials | None = None
    tell: Callable[[ApiCredentials], None] | None = None

    def use(self, credentials: ApiCredentials) -> ApiCredentials:
        """Tell, and hand back."""
        if self.tell is not None:
            self.tell(credentials)
        return credentials


class RequestSigner:
    """Makes the L2 headers of one account."""

    __slots__ = ("_address", "_code", "credentials")

    def __init__(self, address: str, credentials: ApiCredentials) -> None:
        self._address = address
        self._code = _keyed_code(_secret_bytes(credentials.secret))
        self.credentials = credentials

    def __repr__(self) -> str:
        return f"RequestSigner(address={self._address})"

    def sign_request(self, timestamp_s: int, method: str, *, path: str, body: bytes = b"") -> str:
        """Return the HMAC over timestamp, METHOD, path without query, and the exact body bytes."""
        return self._code(b"%d%s%s%s" % (timestamp_s, method.encode(), path.encode(), body)).decode()

    def headers(self, timestamp_s: int, method: str, *, path: str, body: bytes = b"") -> dict[str, str]:
        """Return the five POLY_ headers of a private request."""
        return {
            **self.account_headers(),
            "POLY_TIMESTAMP": str(timestamp_s),
            "POLY_SIGNATURE": self.sign_request(timestamp_s, method, path=path, body=body),
        }

    def account_headers(self) -> dict[str, str]:
        """Return the three POLY_ headers that are the same in every request."""
        return {
            "POLY_ADDRESS": self._address,
            "POLY_API_KEY": self.credentials.api_key,
            "POLY_PASSPHRASE": self.credentials.passphrase,
        }

    def request_lines(self, timestamp_s: int, what: bytes, body: bytes) -> bytes:
        """Return the two POLY_ headers of this request alone, as lines; `what` is method and path, as one word."""
        code = self._code(b"%d%s%s" % (timestamp_s, what, body))
        return b"POLY_TIMESTAMP: %d\r\nPOLY_SIGNATURE: %s\r\n" % (timestamp_s, code)


def login_headers(signer: Signer, timestamp_s: int, nonce: int = 0) -> dict[str, str]:
    """Return the four L1 headers that create or derive an API key."""
    return {
        "POLY_ADDRESS": signer.address,
        "POLY_SIGNATURE": signer.sign_login(timestamp_s, nonce),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_NONCE": str(nonce),
    }


def _keyed_code(secret: bytes) -> Callable[[bytes], bytes]:
    """HMAC-SHA256 in URL-safe base64 under one key: on the processor's own instructions where it has them."""
    keyed = hmac.new(secret, digestmod=hashlib.sha256)

    def code(text: bytes) -> bytes:
        state = keyed.copy()
        state.update(text)
        return base64.urlsafe_b64encode(state.digest())

    if has_sha():
        quick = KeyedHmac(secret).code
        if quick(PROBE) == code(PROBE):
            return quick
    return code


def _secret_bytes(secret: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    except (binascii.Error, ValueError):
        raise VenueError("the API secret is not base64") from None
