"""Who may look: the token and its file, and the judgement over every request before anything is done for it.

Theory of operation.  The page is served to this machine alone, but every program and every page in a browser of this
machine can reach it, so each request must pass all of these, in this order:

    method      GET or HEAD: there is nothing to change here              405
    Host        a name of this machine (no DNS name that points here)     421
    Origin      absent, or the page's own; on a websocket never absent    403
    token       cookie, or Authorization: Bearer, or once in the address  401
    rate        of viewers, and apart from it of those without a token    429

The cookie is not the token but derived from it, so neither gives the other away in a log of either.  An address that
goes where others may read it (the daemon's console is also its log) carries a code instead: good once, and not long.
Must not know aiohttp or do anything but judge; the token's file is the only one it touches.  Called by server.
"""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from polybot.errors import ConfigError
from polybot.gateway.limiter import TokenBucket

__all__ = ["Ask", "Gate", "Refusal", "bearer_of", "check_host", "load_token", "token_path"]

TOKEN_NAME = "dashboard.token"
TOKEN_BYTES = 32
MIN_TOKEN_CHARS = 32
MAX_TOKEN_CHARS = 200
FILE_MODE = 0o600
CODE_BYTES = 16
CODE_S = 1_800  # wall; how long a code waits for its one use
MAX_CODES = 8
NS_PER_S = 1_000_000_000
STRANGERS_PER_S = 5.0  # requests without the token, of all together
METHODS = ("GET", "HEAD")
NO_TOKEN = "the token is missing or wrong: open the address that `python -m polybot dashboard` prints"


@dataclass(frozen=True, slots=True)
class Ask:
    """What of a request decides whether it is answered."""

    method: str
    path: str
    host: str
    origin: str | None = None
    site: str | None = None  # Sec-Fetch-Site, where a browser says it
    cookie: str = ""
    bearer: str = ""
    query_token: str = ""
    is_websocket: bool = False
    is_open: bool = False  # a path that needs no token


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    why: str


def token_path(state_dir: Path) -> Path:
    """Where the token is kept."""
    return state_dir / TOKEN_NAME


def load_token(state_dir: Path) -> str:
    """Read the token, or make one for the first time; raises ConfigError for a file that others may read, OSError."""
    path = token_path(state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:
        return _read_token(path)
    with os.fdopen(made, "w") as file:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        file.write(token + "\n")
    return token


def _read_token(path: Path) -> str:
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "r")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): remove it, a new one is made") from None
    with file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise ConfigError(f"{path} may be read by others: remove it, a new one is made (or: chmod 600)")
        token = file.read(MAX_TOKEN_CHARS + 1).strip()
    fits = MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS and token.isascii()
    if not fits or not token.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{path} holds no token: remove it, a new one is made")
    return token


def check_host(host: str) -> str:
    """The address to listen on, which must be this machine's own loopback; raises ConfigError with the fix."""
    bare = host.strip("[]")
    try:
        if ip_address(bare).is_loopback:
            return bare
    except ValueError:
        if bare == "localhost":
            return "127.0.0.1"
    raise ConfigError(
        f"dashboard.host={host} is not allowed: the page is served to this machine alone (127.0.0.1 or ::1). "
        "From another one: ssh -L 8765:127.0.0.1:8765 USER@THIS-MACHINE, then the printed address there "
        "(docs/DASHBOARD.md)"
    )


class Gate:
    """Judges every request, and counts what it refused by status."""

    def __init__(self, token: str, *, requests_per_s: float, mono_ns: Callable[[], int]) -> None:
        self.refused: dict[int, int] = {}
        self.token = token
        self._token = token.encode()
        self._mono_ns = mono_ns
        self._codes: dict[str, int] = {}  # and until when (monotonic) each is good
        self._viewers = TokenBucket(requests_per_s, max(1, round(2 * requests_per_s)))
        self._strangers = TokenBucket(STRANGERS_PER_S, round(4 * STRANGERS_PER_S))
        self.cookie_name = "polybot_" + self._derive(b"name")[:8]
        self.cookie_value = self._derive(b"cookie")

    def judge(self, ask: Ask) -> Refusal | None:
        """Why it is refused; None: it may pass."""
        refusal = self._judge(ask)
        if refusal is not None:
            self.refused[refusal.status] = self.refused.get(refusal.status, 0) + 1
        return refusal

    def knows(self, ask: Ask) -> bool:
        """Does it bring the token, in whatever way?"""
        return (
            _same(ask.cookie, self.cookie_value.encode())
            or _same(ask.bearer, self._token)
            or self.is_first(ask)
        )

    def is_first(self, ask: Ask) -> bool:
        """Is it the printed address, with the right token or a code in it?"""
        return ask.path == "/" and (_same(ask.query_token, self._token) or self._code(ask) is not None)

    def new_code(self) -> str:
        """A code that opens the page once; the oldest beyond MAX_CODES ends."""
        while len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(CODE_BYTES)
        self._codes[code] = self._mono_ns() + CODE_S * NS_PER_S
        return code

    def use(self, ask: Ask) -> None:
        """The printed address was followed: a code in it is spent."""
        code = self._code(ask)
        if code is not None:
            del self._codes[code]

    def _code(self, ask: Ask) -> str | None:
        """The code that it brings, while it is good."""
        found = [code for code in self._codes if _same(ask.query_token, code.encode())]
        return found[0] if found and self._mono_ns() <= self._codes[found[0]] else None

    def _judge(self, ask: Ask) -> Refusal | None:
        if ask.method not in METHODS:
            return Refusal(405, "there is nothing to change here: GET only")
        if not _is_local(ask.host):
            return Refusal(421, "not under this name: use 127.0.0.1 or localhost, through an SSH tunnel from elsewhere")
        if not _is_own(ask):
            return Refusal(403, "asked by another site")
        knows = self.knows(ask)
        bucket = self._viewers if knows else self._strangers
        if not bucket.take(self._mono_ns()):
            return Refusal(429, "too many requests: wait a moment")
        if not knows and not ask.is_open:
            return Refusal(401, NO_TOKEN)
        return None

    def _derive(self, purpose: bytes) -> str:
        return hmac.new(self._token, b"polybot dashboard " + purpose, hashlib.sha256).hexdigest()


def _same(given: str, wanted: bytes) -> bool:
    return bool(given) and hmac.compare_digest(given.encode(errors="replace"), wanted)


def _is_local(host: str) -> bool:
    """Is the Host header's name one of this machine?  The port may be a tunnel's."""
    last = host.rpartition(":")[2]
    name, _, port = host.rpartition(":") if last.isascii() and last.isdigit() else (host, "", "")
    if port and not 0 < int(port[:6]) <= 65_535:
        return False
    return name.lower() in ("localhost", "127.0.0.1", "[::1]")


def _is_own(ask: Ask) -> bool:
    """Was it asked by the page itself, or by no page at all?  Going to the page is open to links anywhere."""
    if ask.origin is not None:
        return ask.origin.lower() == f"http://{ask.host}".lower()
    if ask.is_websocket:
        return False
    return ask.path == "/" or ask.site in (None, "none", "same-origin")


def bearer_of(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header; "" for none."""
    kind, _, word = headers.get("Authorization", "").partition(" ")
    return word.strip() if kind.lower() == "bearer" else ""
