"""A round of checks: limits, needs, and one that breaks; and how the rows are told."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from polybot.config import default_config
from polybot.doctor.rounds import make_round
from polybot.doctor.site import Site, beside
from polybot.doctor.table import json_line, last_line, plain_lines, problem_lines, table_lines
from polybot.doctor.verdict import Check, Row, Verdict, fail, inapplicable, ok, warn
from polybot.errors import VenueError, VenueUnavailable
from polybot.telemetry.redact import Redactor

WELL = ok("well")


def check(name: str, said: Verdict | Exception = WELL, **more: Any) -> Check:
    async def run(site: Site) -> Verdict:
        if isinstance(said, Exception):
            raise said
        return said

    return Check(name=name, run=run, fix=f"mend {name}", **more)


def made(*checks: Check, **settings: Any) -> dict[str, Row]:
    config = default_config(**{f"doctor.{key}": value for key, value in settings.items()})
    site = Site(config=config, http=None, redactor=Redactor(), folder=Path())  # type: ignore[arg-type]
    heard: list[Row] = []
    rows = asyncio.run(make_round(checks, site, on_row=heard.append))
    assert [row.name for row in rows] == [check.name for check in checks]
    assert sorted(row.name for row in heard) == sorted(row.name for row in rows)
    return {row.name: row for row in rows}


def test_a_check_whose_needs_failed_is_not_made_and_says_which() -> None:
    rows = made(
        check("a", fail("bad", "mend it")),
        check("b", VenueError("must not be asked"), needs=("a",)),
        check("c", needs=("b",)),
        check("d"),
    )
    assert rows["b"].verdict == inapplicable("needs a, which failed")
    assert rows["c"].verdict == rows["b"].verdict
    assert rows["d"].verdict == WELL


def test_what_a_warning_stands_before_is_made_and_what_is_not_applicable_is_handed_on() -> None:
    rows = made(check("a", warn("late", "hurry")), check("b", needs=("a",)), check("c", inapplicable("paper")),
                check("d", needs=("a", "c")))  # fmt: skip
    assert rows["b"].verdict == WELL
    assert rows["d"].verdict == inapplicable("paper")


@pytest.mark.parametrize(
    ("error", "seen", "fix"),
    [
        (VenueError("the venue says no"), "the venue says no", "mend a"),
        (VenueUnavailable("GET /x: nobody there"), "GET /x: nobody there", "look at the network"),
        (OSError("no such disk"), "no such disk", "mend a"),
        (KeyError("x"), "the check itself broke: KeyError: 'x'", "mend a"),
    ],
)
def test_what_a_check_raises_is_its_failure_and_the_others_are_made(error: Exception, seen: str, fix: str) -> None:
    rows = made(check("a", error), check("b"))
    assert (rows["a"].verdict.level, rows["a"].verdict.seen) == ("FAIL", seen)
    assert fix in rows["a"].verdict.fix
    assert rows["b"].verdict == WELL


def test_a_check_that_hangs_ends_with_its_limit_and_the_name_of_the_setting() -> None:
    async def run(site: Site) -> Verdict:
        await asyncio.Event().wait()
        return WELL

    rows = made(Check(name="a", run=run, fix="mend a", limit="feed_s"), check("b"), feed_s=0.5)
    assert rows["a"].verdict == fail("no answer within 0.5 s (doctor.feed_s)", "mend a")
    assert rows["b"].verdict == WELL


def test_a_disk_that_hangs_costs_its_check_and_nothing_else() -> None:
    disk = threading.Event()

    async def run(site: Site) -> Verdict:
        await beside(disk.wait)
        return WELL

    rows = made(Check(name="a", run=run, fix="mend a"), check("b"), check_s=0.5)
    assert rows["a"].verdict.seen == "no answer within 0.5 s (doctor.check_s)"
    assert rows["b"].verdict == WELL
    disk.set()


def test_what_fails_beside_the_loop_is_raised_where_it_is_awaited() -> None:
    async def broken() -> None:
        await beside(lambda: Path("/nowhere/at all").read_bytes())

    with pytest.raises(FileNotFoundError):
        asyncio.run(broken())


ROWS = [
    Row("clock", ok("+0 ms"), 0.1),
    Row("balance", warn("$60.00", "risk.bankroll_usd=60"), 0.2),
    Row("location", fail("blocked", "go elsewhere"), 0.3),
    Row("telegram", inapplicable("off"), 0.0),
]


def test_a_terminal_gets_a_table_with_the_fix_below_its_row() -> None:
    assert list(table_lines(ROWS, coloured=False)) == [
        "ok    clock     +0 ms",
        "warn  balance   $60.00",
        "                -> risk.bankroll_usd=60",
        "FAIL  location  blocked",
        "                -> go elsewhere",
        "n/a   telegram  off",
    ]
    coloured = list(table_lines(ROWS, coloured=True))
    assert coloured[3] == "\x1b[1;31mFAIL \x1b[0m location  blocked"


def test_other_readers_get_one_line_per_check_or_json() -> None:
    assert list(plain_lines(ROWS))[2] == "FAIL location: blocked | fix: go elsewhere"
    assert problem_lines(ROWS, "warn") == ["warn balance: $60.00 | fix: risk.bankroll_usd=60"]
    assert last_line(ROWS, 1.234) == "NOT READY: 1 of 4 checks failed, 1 warning (1.2 s)"
    assert last_line(ROWS[:2], 1.0) == "ready: 2 checks, 1 warning (1.0 s)"
    told = json.loads(json_line(ROWS, 1.23456))
    assert (told["ready"], told["took_s"], len(told["checks"])) == (False, 1.235, 4)
    assert told["checks"][2] == {
        "name": "location", "level": "FAIL", "seen": "blocked", "fix": "go elsewhere", "took_s": 0.3,
    }  # fmt: skip
