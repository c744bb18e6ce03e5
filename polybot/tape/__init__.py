"""Tapes: what feeds brought, exactly as received, with everything an engine needs to go through it again.

`polybot.tape.open(path)` reads one; `python -m polybot record` makes them; polybot.tape.importers turn other
people's recordings into them.  docs/TAPE.md has the format.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polybot.tape.reader import Gap, Tape, find_tapes
    from polybot.tape.reader import open_tape as open
else:

    def __getattr__(name: str) -> Any:
        """Load the reader when it is asked for: who only writes tapes starts without it."""
        if name not in __all__:  # first: importing the reader asks this module for it
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from polybot.tape import reader

        return getattr(reader, "open_tape" if name == "open" else name)


__all__ = ["Gap", "Tape", "find_tapes", "open"]
