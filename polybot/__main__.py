"""`python -m polybot`: check the Python version in one clear line, then hand over to polybot.cli.

Must not import anything of polybot before that check.  Called by Python and by nobody else.
"""

import sys

if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit(f"polybot: error: needs CPython 3.11 to 3.13, this is {sys.version.split()[0]}")

from polybot.cli import entry_point

if __name__ == "__main__":
    entry_point()
