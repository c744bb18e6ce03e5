"""A daemon as `python -m polybot venue=polymarket` would start it, with the addresses of a venue on this machine.

The command line itself takes no address without encryption, and it shall stay so: here the settings are made first and
then given to it.  One JSON line on stdin: {"folder", "urls", "session", "address", "words"}.
"""

import json
import sys
from pathlib import Path

from polybot import cli
from tests.doctor.surgery import Surgery

if __name__ == "__main__":
    told = json.loads(sys.stdin.readline())
    surgery = Surgery({"urls": told["urls"], "account": {"address": ""}, "session_id": ""})
    config = surgery.as_real(Path(told["folder"]), *told["words"])
    cli._config = lambda request: config  # type: ignore[attr-defined]
    sys.exit(cli.main(["run"]))
