"""`make bench-readme`: runs all benches and writes bench/README.md from what they found.

Owns the page: the table of the gates, how to read it, the machine, and the sections that other modules of this folder
measure and write (each has `section(*, is_short) -> str`, which returns markdown under its own heading).
Must not judge: the run of the benches does, and its failure is this command's failure, after the page is written.
POLYBOT_BENCH_SHORT=1 makes it the short form; `--again` writes the page from the last run's figures.
"""

import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.gate_table import GateLine, Ledger, read_lines, summary
from bench.install_peers import peer_names
from bench.peer import PEERS, why_absent
from bench.timing import SHORT

__all__ = ["Machine", "main", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "bench" / "README.md"
FIGURES = ROOT / "build" / "gates.json"
TESTS = (str(ROOT / "tests"), str(ROOT / "tests" / "_fast"))  # as pytest has them: scenarios and venues of the tests
SECTIONS = ("bench.whole_process", "bench.daemon_profile", "bench.overload", "bench.trader_settings")
HEAD = ("row", "what", "limit", "measured", "of limit", "planted fault", "verdict")
INTRODUCTION = """# Benches: budgets, peers and what was measured

Written by `make bench-readme`, which runs everything below; do not edit. `make bench` runs the gates alone and fails
when one is red; `POLYBOT_BENCH_SHORT=1` makes either short. The libraries compared with are installed by `make peers`,
each in an environment of its own; without them their rows are skipped, and red with `POLYBOT_PEERS=required`.
"""
HOW_TO_READ = """## How to read the table
- A row `P1` to `P14` is one of the project's performance claims, a line one limit of it. A whole run that lacks a row
  is red.
- Ratios (`x`) are theirs divided by ours, measured in turns: every round times both, the median of the rounds' ratios
  counts, and 30 % are allowed for the noise of a shared machine (a line above 100 % of its limit used that allowance).
- Times are medians per operation. Their budget is multiplied by how much slower than the reference machine a fixed
  piece of work ran beside them, never by less than 1; "of limit" has that in it.
- "planted fault" is what the same measurement said of a slower or wrong version made on purpose. It must be outside
  the limit, otherwise the gate is red: it could not have found anything.
- "reported" lines have no limit.
- Ratios hold from machine to machine; times do not.

What a row's claim leaves open, so that nobody reads more into it:
- P4 holds the median message of a busy window to 500 ns. A trade that makes an order takes longer than that; it is
  reported beside it.
- P7 holds the engine alone (`replay.record=false`). With the inputs log, which is the default and which no peer
  writes, a saturated socket costs what the reported lines say: less of a lead than the gate's 3 and 10.
- P8 and P9 compare with py-clob-client-v2 on coincurve; as it installs by itself it is some ten times slower.
- P10: ours decides with six strategies; hftbacktest sends one order per message, nautilus_trader counts.
- P13: one daemon trades one window at a time and holds others beside it. Were sixteen traded at once a spot trade
  would be sixteen questions; that line is reported.
- P14 depends on a core of one's own; on shared cores spinning makes it worse.
"""


class Machine:
    """What the figures were measured on."""

    def __init__(self) -> None:
        self.load_before = os.getloadavg()[0]

    def lines(self) -> list[str]:
        """Markdown list of the machine and of the software."""
        peers = ", ".join(_peer_text(name) for name in peer_names())
        return [
            f"- {_processor()}, {os.cpu_count()} cores",
            f"- Linux {platform.release()}, CPython {platform.python_version()}",
            f"- load of the last minute before and after: {self.load_before:.1f}, {os.getloadavg()[0]:.1f}",
            f"- peers: {peers}",
            f"- {'short' if SHORT else 'full'} form, {datetime.now(UTC):%Y-%m-%d}",
        ]


def page(lines: Sequence[GateLine], missing: Sequence[str], machine: Sequence[str], sections: Sequence[str]) -> str:
    """The whole of README.md."""
    absent = [f"\n**Missing: {text}.**" for text in missing]
    parts = [
        INTRODUCTION,
        "\n".join(["## Machine", *machine, ""]),
        "\n".join(["## Gates", f"{summary(lines)}.", "", *_table(lines), *absent, ""]),
        HOW_TO_READ,
        *[f"{section.strip()}\n" for section in sections],
    ]
    return "\n".join(parts)


def main(arguments: Sequence[str] = ()) -> int:
    """Measure, write the page, and return what the benches returned (or 1 when a section failed)."""
    machine = Machine()
    sys.path += [folder for folder in TESTS if folder not in sys.path]
    code = 0
    if "--again" not in arguments:
        FIGURES.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "bench/", "--benchmark-only", "-q"]
        code = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "POLYBOT_GATES_JSON": str(FIGURES)}, check=False
        ).returncode
    ledger = Ledger()
    ledger.lines.extend(read_lines(FIGURES))
    sections = []
    for name in SECTIONS:
        text, is_measured = _section(name)
        sections.append(text)
        code = code if is_measured else code or 1
    PAGE.write_text(page(ledger.sorted_lines(), ledger.missing(), machine.lines(), sections))
    print(f"wrote {PAGE.relative_to(ROOT)}")  # noqa: T201
    return code


def _section(name: str) -> tuple[str, bool]:
    """The markdown of a section and whether it could be measured; a failure is a section that says so."""
    print(f"measuring {name}", flush=True)  # noqa: T201
    try:
        write: Callable[..., str] = importlib.import_module(name).section
        return write(is_short=SHORT), True
    except Exception as error:  # the page is written with what there is, and the command fails
        print(f"{name} failed: {type(error).__name__}: {error}", flush=True)  # noqa: T201
        return f"## {name}\nCould not be measured: {type(error).__name__}: {error}", False


def _table(lines: Sequence[GateLine]) -> list[str]:
    rows = [HEAD, ("---",) * len(HEAD), *(line.cells() for line in lines)]
    return [f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |" for row in rows]


def _peer_text(name: str) -> str:
    pins = " and ".join((PEERS / name / "requirements.in").read_text().split())
    return pins.replace("==", " ") + (" (absent)" if why_absent(name) else "")


def _processor() -> str:
    info = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
