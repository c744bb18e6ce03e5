"""Makes checks side by side, each within its limit; whatever a check raises is its failure and nobody else's.

Owns the order that needs impose, the limits and the guard.  Must not know what a check looks at.
Called by doctor.command and doctor.gate.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from polybot.clock import wall_clock
from polybot.doctor.site import Site
from polybot.doctor.verdict import FAIL, INAPPLICABLE, Check, Row, Verdict, fail, inapplicable
from polybot.errors import PolybotError, VenueUnavailable

__all__ = ["NETWORK_FIX", "make_round"]

NS = 1_000_000_000
NETWORK_FIX = "look at the network, its firewall and the venue's status page, then look again"
GRACE_S = 0.5  # wall: a check that keeps its limit by itself says more than this guard


async def make_round(
    checks: Sequence[Check], site: Site, *, on_row: Callable[[Row], None] | None = None
) -> list[Row]:
    """Make all checks; returns their rows in the order of `checks`.  `on_row` hears each as it ends."""
    ended = {check.name: asyncio.Event() for check in checks}
    rows: dict[str, Row] = {}

    async def one(check: Check) -> None:
        for name in check.needs:
            if name in ended:
                await ended[name].wait()
        began_ns = wall_clock().mono_ns()
        verdict = _unmet(check, rows) or await _judged(check, site)
        row = rows[check.name] = Row(check.name, verdict, (wall_clock().mono_ns() - began_ns) / NS)
        ended[check.name].set()
        if on_row is not None:
            on_row(row)

    async with asyncio.TaskGroup() as group:
        for check in checks:
            group.create_task(one(check))
    return [rows[check.name] for check in checks]


def _unmet(check: Check, rows: Mapping[str, Row]) -> Verdict | None:
    """Why this check cannot be made, None when it can."""
    for name in check.needs:
        verdict = rows[name].verdict if name in rows else None
        if verdict is not None and verdict.level == FAIL:
            return inapplicable(f"needs {name}, which failed")
        if verdict is not None and verdict.level == INAPPLICABLE:
            return verdict
    return None


async def _judged(check: Check, site: Site) -> Verdict:
    settings = site.config.doctor
    limit_s = float(getattr(settings, check.limit))
    more_s = sum(float(getattr(settings, name)) for name in check.more)
    try:
        async with asyncio.timeout(limit_s + more_s + GRACE_S):
            return await check.run(site)
    except TimeoutError:
        return fail(f"no answer within {limit_s:g} s (doctor.{check.limit})", check.fix)
    except VenueUnavailable as error:
        return fail(str(error), NETWORK_FIX)
    except (PolybotError, OSError) as error:
        return fail(str(error) or type(error).__name__, check.fix)
    except Exception as error:  # the guard of a check: the others must still be told
        return fail(f"the check itself broke: {type(error).__name__}: {error}", check.fix)
