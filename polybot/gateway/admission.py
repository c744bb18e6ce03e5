"""May this account trade live from here?  Everything that is checked before the first order.

Owns the start-up checks: API version, clock offset, login, place (geoblock) and account mode
(closed-only).  What is refused or unknown refuses live trading; there is no override and no proxy.
Called by gateway.clob at start, and again every few minutes for the place and the account.
"""

import orjson

from polybot.clock import Clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import VenueError, VenueUnavailable
from polybot.gateway.auth import ApiCredentials, RequestSigner, login_headers
from polybot.gateway.rest import ClobRest, read_json
from polybot.gateway.signer import Signer

__all__ = ["check_account", "check_place", "check_version", "log_in", "measure_offset_ns", "sync_clock"]

NS = 1_000_000_000


async def check_version(rest: ClobRest, venue: VenueConfig) -> None:
    """Raise VenueError unless the venue speaks the configured CLOB version."""
    answer = read_json(await rest.public("GET", "/version"), "GET /version")
    told = answer.get("version") if isinstance(answer, dict) else None
    if str(told) != str(venue.clob_version):
        wanted = venue.clob_version
        raise VenueError(f"live refused: the venue speaks CLOB version {told}, configured is {wanted}")


async def sync_clock(rest: ClobRest, clock: Clock, gateway: GatewayConfig) -> None:
    """Set rest.offset_ns from GET /time; raises VenueError when the clocks are too far apart."""
    before_ns = clock.now_ns()
    answer = read_json(await rest.public("GET", "/time"), "GET /time")
    after_ns = clock.now_ns()
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise VenueError("GET /time: not a number")
    offset_ns = measure_offset_ns(int(answer), before_ns, after_ns)
    if abs(offset_ns) > gateway.skew_stop_ms * 1_000_000:
        raise VenueError(
            f"live refused: our clock and the venue's are {offset_ns / NS:+.1f} s apart "
            f"(at most {gateway.skew_stop_ms / 1_000:g} s); set the system clock"
        )
    rest.offset_ns = offset_ns


def measure_offset_ns(told_s: int, before_ns: int, after_ns: int) -> int:
    """Return the smallest offset that explains the whole second the venue told between two of our stamps."""
    first_ns, last_ns = told_s * NS, (told_s + 1) * NS
    if after_ns < first_ns:
        return first_ns - after_ns
    if before_ns > last_ns:
        return last_ns - before_ns
    return 0


async def log_in(rest: ClobRest, signer: Signer) -> RequestSigner:
    """Derive the account's API key, creating it when there is none; raises VenueError when refused."""
    headers = login_headers(signer, rest.timestamp_s())
    response = await rest.public("GET", "/auth/derive-api-key", headers=headers)
    if response.status in (400, 404):
        headers = login_headers(signer, rest.timestamp_s())
        response = await rest.public("POST", "/auth/api-key", headers=headers)
    if response.status != 200:
        raise VenueError(f"live refused: login answered HTTP {response.status}")
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise VenueError("live refused: the login answer is not JSON") from None
    return RequestSigner(signer.address, ApiCredentials.from_answer(answer))


async def check_place(rest: ClobRest, venue: VenueConfig) -> None:
    """Raise VenueError unless the venue says that this place may trade."""
    if not venue.geoblock_url:
        raise VenueError("live refused: no geoblock URL is configured, this place is unknown")
    try:
        answer = read_json(await rest.public("GET", "", base=venue.geoblock_url), "geoblock")
    except VenueUnavailable:
        raise VenueError("live refused: the geoblock check gave no answer, this place is unknown") from None
    blocked = answer.get("blocked") if isinstance(answer, dict) else None
    if blocked is not False:
        place = f"{answer.get('country')} {answer.get('region')}" if isinstance(answer, dict) else "?"
        verdict = "blocked" if blocked is True else "unknown"
        raise VenueError(f"live refused: trading from here ({place}) is {verdict} by the venue's geoblock")


async def check_account(rest: ClobRest) -> None:
    """Raise VenueError unless the account may open positions."""
    answer = read_json(await rest.read("/auth/ban-status/closed-only"), "closed-only check")
    closed_only = answer.get("closed_only") if isinstance(answer, dict) else None
    if closed_only is not False:
        raise VenueError("live refused: the account is in closed-only mode, or the venue does not say")
