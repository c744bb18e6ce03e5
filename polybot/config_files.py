"""Where conf/ is and which choices each of its groups offers.

Only lists files; never reads one (hydra does, in polybot.compose).  Called by the command line
for its help text and by the composition for its error messages.
"""

from pathlib import Path

__all__ = ["conf_dir", "list_choices"]


def conf_dir() -> Path:
    """Return conf/ of an installed package, else the checkout's."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def list_choices(extra_dir: Path | None = None) -> dict[str, list[str]]:
    """Return every group with its choices, sorted; a group inside a group by its path (model/vol)."""
    found: dict[str, set[str]] = {}
    for root in (conf_dir(), *([extra_dir] if extra_dir else [])):
        for path in root.rglob("*.yaml"):
            group = path.parent.relative_to(root).as_posix()
            if group != ".":
                found.setdefault(group, set()).add(path.stem)
    return {group: sorted(found[group]) for group in sorted(found)}
