"""Recordings made elsewhere, turned into tapes: what they are is told by their content, what they lack by the tape.

`import_recording(path, out_dir)` takes a file or a folder of them.  Formats are described in docs/TAPE.md.
"""

from polybot.tape.importers.recordings import FORMATS, import_configured, import_recording

__all__ = ["FORMATS", "import_configured", "import_recording"]
