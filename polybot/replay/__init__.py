"""The inputs log: everything one process gave its engine and got from it, written live, and its exact replay.

`open_inputs(folder)` reads a log; `python -m polybot replay source=FOLDER` runs it again and compares every Command
byte for byte.  docs/REPLAY.md has the format and what ends exactness.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polybot.replay.inputs import InputsLog, find_inputs, open_inputs
else:

    def __getattr__(name: str) -> Any:
        """Load the reader when it is asked for: a daemon, which only writes, starts without it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from polybot.replay import inputs

        return getattr(inputs, name)


__all__ = ["InputsLog", "find_inputs", "open_inputs"]
