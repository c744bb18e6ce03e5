"""Tapes: what feeds brought, exactly as received, with everything an engine needs to go through it again.

`polybot.tape.open(path)` reads one; `python -m polybot record` makes them; polybot.tape.importers turn other
people's recordings into them.  docs/TAPE.md has the format.
"""

from polybot.tape.reader import Gap, Tape, find_tapes
from polybot.tape.reader import open_tape as open

__all__ = ["Gap", "Tape", "find_tapes", "open"]
