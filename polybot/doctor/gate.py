"""The last gate before real orders: the checks that concern them, made at the start of every such run.

Owns the refusal and its list.  There is no setting that lets a run pass by it.  What holds for real orders alone holds
here: an embedded venue and mode=paper pass unasked.  Called by polybot.daemon when the venue is known.
"""

import tempfile
from pathlib import Path

from polybot.doctor.checks import checks_of_orders
from polybot.doctor.rounds import make_round
from polybot.doctor.site import Site
from polybot.doctor.table import problem_lines
from polybot.doctor.verdict import FAIL, OK, WARN
from polybot.errors import NotReady
from polybot.place import Place
from polybot.telemetry.redact import Redactor
from polybot.transport import HttpClient

__all__ = ["require_ready"]


async def require_ready(place: Place, http: HttpClient, redactor: Redactor) -> tuple[str, ...]:
    """Return what was found, in words; raises NotReady with all that failed when real orders may not begin."""
    config = place.config
    if config.venue.name != "polymarket" or config.mode.name != "live":
        return ()
    with tempfile.TemporaryDirectory(prefix="polybot-doctor-") as folder:
        site = Site(
            config=config, http=http, redactor=redactor, folder=Path(folder), account=place.account, place=place
        )
        rows = await make_round(checks_of_orders(), site)
    failed = problem_lines(rows, FAIL)
    if failed:
        listed = "".join(f"\n  {redactor.scrub(line)}" for line in failed)
        raise NotReady(f"real orders are refused: {len(failed)} of {len(rows)} checks failed{listed}")
    unmade = [row for row in rows if row.verdict.level not in (OK, WARN)]
    if unmade:  # none is superfluous before real orders
        listed = "".join(f"\n  {row.name}: {redactor.scrub(row.verdict.seen)}" for row in unmade)
        raise NotReady(f"real orders are refused: {len(unmade)} of {len(rows)} checks were not made{listed}")
    found = (f"pre-flight: {len(rows)} checks, none failed", *problem_lines(rows, WARN))
    return tuple(redactor.scrub(line) for line in found)
