"""Whether this Python and these compiled units can run polybot at all.

Owns the one check that must work when nothing else does: it imports the standard library alone, and looks at the
compiled units by loading each.  Called by doctor.command before anything else of the doctor is loaded.
"""

import importlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from polybot.doctor.verdict import Verdict, fail, ok, warn

__all__ = ["check_program"]

OLDEST, NEWEST = (3, 11), (3, 13)
REBUILD = "make build"


def check_program(folder: Path | None = None) -> Verdict:
    """Look at the interpreter and at every unit of `polybot/_fast`; each has a .pyi beside it."""
    folder = folder or Path(__file__).resolve().parent.parent / "_fast"
    version = ".".join(str(part) for part in sys.version_info[:3])
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return fail(f"Python {version}", "make clean && make PYTHON=python3.12 (3.11 to 3.13 are supported)")
    units = sorted(path.stem for path in folder.glob("*.pyi"))
    old = []
    for name in units:
        built = [path for suffix in EXTENSION_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
        if not built:
            return fail(f"compiled unit {name} is missing", REBUILD)
        try:
            importlib.import_module(f"polybot._fast.{name}")
        except (ImportError, ValueError, AttributeError, SystemError) as error:
            return fail(f"compiled unit {name} does not fit: {error}", f"touch polybot/_fast/{name}.pyx && {REBUILD}")
        source = folder / f"{name}.pyx"
        if source.exists() and source.stat().st_mtime > built[0].stat().st_mtime:
            old.append(name)
    if old:
        return warn(f"Python {version}; older than their source: {', '.join(old)}", REBUILD)
    return ok(f"Python {version}, {len(units)} compiled units")
