"""May this account trade live from here?  Everything that is checked before the first order.

Owns the start-up checks: API version, clock offset, login, place (geoblock) and account mode
(closed-only).  What is refused or unknown refuses live trading; there is no override and no proxy.
Called by gateway.clob at start; `watch` asks again every few minutes for clock, place and account, and blocks
entries while one of them is not right.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from polybot.clock import Clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import VenueError, VenueUnavailable
from polybot.gateway.auth import ApiCredentials, Login, RequestSigner, login_headers
from polybot.gateway.pause import EntryPause
from polybot.gateway.reasons import RejectReason
from polybot.gateway.rest import ClobRest, read_json
from polybot.gateway.signer import Signer

__all__ = [
    "ClockSkewed",
    "OffsetBounds",
    "bound_offset",
    "check_account",
    "check_place",
    "check_version",
    "estimate_offset_ns",
    "log_in",
    "sync_clock",
    "watch",
]

NS = 1_000_000_000
CLOCK_SAMPLES = 5
SAMPLE_PAUSE_S = 0.21  # so that five samples fall on different parts of a second
SLOW_WAYS = 2  # a sample that took so many times the median way says little
AGAIN_S = 30.0  # a check that failed is made again so soon
_HOLDS = (RejectReason.GEOBLOCKED, RejectReason.CLOCK)


class OffsetBounds(NamedTuple):
    """One sample: the way there and back, and between what the offset lies; ns."""

    way_ns: int
    low_ns: int
    high_ns: int


class ClockSkewed(VenueError):
    """Our clock and the venue's are too far apart."""


async def check_version(rest: ClobRest, venue: VenueConfig) -> None:
    """Raise VenueError unless the venue speaks the configured CLOB version."""
    answer = read_json(await rest.public("GET", "/version"), "GET /version")
    told = answer.get("version") if isinstance(answer, dict) else None
    if str(told) != str(venue.clob_version):
        wanted = venue.clob_version
        raise VenueError(f"live refused: the venue speaks CLOB version {told}, configured is {wanted}")


async def sync_clock(rest: ClobRest, clock: Clock, gateway: GatewayConfig, *, samples: int = 1) -> None:
    """Set rest.offset_ns from GET /time; raises VenueError when the clocks are too far apart, or nothing is told.

    GET /time tells whole seconds, so each sample only bounds the offset; several, on different parts of a second,
    bound it well.
    """
    found: list[OffsetBounds] = []
    for k in range(samples):
        if k:
            await clock.sleep(SAMPLE_PAUSE_S)
        before_ns = clock.now_ns()
        answer = read_json(await rest.public("GET", "/time"), "GET /time")
        after_ns = clock.now_ns()
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            raise VenueError("GET /time: not a number")
        found.append(bound_offset(int(answer), before_ns, after_ns))
    offset_ns = estimate_offset_ns(found)
    if abs(offset_ns) > gateway.skew_stop_ms * 1_000_000:
        raise ClockSkewed(
            f"live refused: our clock and the venue's are {offset_ns / NS:+.1f} s apart "
            f"(at most {gateway.skew_stop_ms / 1_000:g} s); set the system clock"
        )
    rest.offset_ns = offset_ns


def bound_offset(told_s: int, before_ns: int, after_ns: int) -> OffsetBounds:
    """Return what a whole second told between two of our stamps says of the venue's clock minus ours."""
    return OffsetBounds(after_ns - before_ns, told_s * NS - after_ns, (told_s + 1) * NS - before_ns)


def estimate_offset_ns(found: Sequence[OffsetBounds]) -> int:
    """Return the offset that all samples allow: 0 if they do, else the middle of what they leave.

    Samples much slower than the median do not count.  Of one sample alone, or of samples that contradict each other
    (a clock was set meanwhile), the median of the least offsets is taken.
    """
    slow_ns = SLOW_WAYS * statistics.median_low(sample.way_ns for sample in found)
    good = [sample for sample in found if sample.way_ns <= slow_ns]
    low_ns, high_ns = max(sample.low_ns for sample in good), min(sample.high_ns for sample in good)
    if low_ns <= 0 <= high_ns:
        return 0
    if len(good) == 1 or low_ns > high_ns:
        return statistics.median_low(max(sample.low_ns, min(0, sample.high_ns)) for sample in good)
    return (low_ns + high_ns) // 2


async def log_in(rest: ClobRest, signer: Signer, login: Login | None = None) -> RequestSigner:
    """Take the API key given, else derive (or create) the account's; raises VenueError when refused."""
    login = login or Login()
    if login.given is not None:
        return RequestSigner(signer.address, login.use(login.given))
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
    return RequestSigner(signer.address, login.use(ApiCredentials.from_answer(answer)))


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


async def watch(
    rest: ClobRest, clock: Clock, *, venue: VenueConfig, settings: GatewayConfig, pause: EntryPause
) -> None:
    """Check clock, place and account until cancelled: at once, then every geoblock_s, sooner while one is not right."""
    while True:
        _hold(pause, RejectReason.CLOCK, await _why_skewed(rest, clock, settings))
        is_right = not any(pause.is_blocked(reason) for reason in _HOLDS)
        await clock.sleep(settings.geoblock_s if is_right else AGAIN_S)
        _hold(pause, RejectReason.GEOBLOCKED, await _why_refused(rest, venue))


def _hold(pause: EntryPause, reason: RejectReason, why: str) -> None:
    if why:
        pause.block(reason, why)
    else:
        pause.lift(reason)


async def _why_skewed(rest: ClobRest, clock: Clock, settings: GatewayConfig) -> str:
    """Measure the offset anew; "" also when no time was told: the last offset holds."""
    try:
        await sync_clock(rest, clock, settings, samples=CLOCK_SAMPLES)
    except ClockSkewed as error:
        return str(error)
    except VenueError:
        return ""
    return ""


async def _why_refused(rest: ClobRest, venue: VenueConfig) -> str:
    try:
        await check_place(rest, venue)
        await check_account(rest)
    except VenueError as error:
        return str(error)
    return ""
