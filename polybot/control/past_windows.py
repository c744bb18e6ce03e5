"""Windows that are over, as their market.json tells them: found by the beginning of a slug below telemetry.out_dir.

Owns the search and what is taken from the file: how the window ended, and why it was or was not traded, session by
session (a process that was restarted within the window counts from 0 again; the file keeps the sessions before it).
Reads files only: works with and without a daemon.  Called by control.client.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["PastWindow", "find_window"]


@dataclass(frozen=True, slots=True)
class PastWindow:
    """One window of the files; `others` is how many more the beginning of the slug fits."""

    slug: str
    outcome: str | None
    sessions: tuple[dict[str, Any], ...]  # {"opened", "finished", "why", "totals", "rows_lost"} each, the last one last
    others: int


def find_window(out_dir: Path, beginning: str) -> PastWindow | None:
    """The window whose slug begins so; of several the one written last; None when there is none.

    Raises OSError or ValueError for a file that cannot be read.
    """
    found = [path for path in out_dir.glob("*/*/market.json") if path.parent.name.startswith(beginning)]
    if not found:
        return None
    path = max(found, key=lambda one: (one.stat().st_mtime_ns, one.parent.name))
    told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, dict) or not isinstance(told.get("spec"), dict):
        raise ValueError(f"{path} is no market.json")
    sessions = [one for one in told.get("earlier_sessions") or () if isinstance(one, dict)]
    return PastWindow(
        slug=str(told["spec"].get("slug", path.parent.name)),
        outcome=told.get("outcome"),
        sessions=tuple(_session(one) for one in (*sessions, told)),
        others=len(found) - 1,
    )


def _session(told: dict[str, Any]) -> dict[str, Any]:
    """What one process knew of the window; `why` is None where it told nothing."""
    names = ("opened", "finished", "why", "totals", "rows_lost")
    return {name: told.get(name) for name in names}
