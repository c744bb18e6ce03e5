"""Where the daemon's time goes at 5,000 events a second: a profile of the real process, collapsed to named costs.

Owns the run (a real daemon, the flooding venue of the tests, a profiler beside them) and the names: every sample
belongs to the innermost part of its stack that a rule knows.  perf is asked first (nothing stops for it, and it sees
the kernel), then py-spy from `make peers` (it stops the process for each sample, so it is asked seldom, and it does
not see the kernel).  Must not judge: it says what costs most.  Called by bench.readme.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peer import python_of
from tests.overloaded import Overload

__all__ = ["Profile", "collapse_perf", "collapse_spy", "cost_of", "section"]

TRADES_PER_S = 4_000
BOOKS_PER_S = 1_000
SHORT_S, LONG_S = 10, 30  # wall, of the profile
MARGIN_S = 4.0  # the flood lasts so much longer: the profiler begins and ends inside it
PERF_HZ = 997
SPY_HZ = 40  # more of its stops would hold the daemon up
STACK_BYTES = 8_192  # perf's copy of each sample's stack
SHOWN_COSTS, SHOWN_STACKS, SHOWN_FRAMES = 14, 6, 4
LARGEST = 3
WIDTH = 118  # characters of the page's lines
WAIT_S = 300.0
Stack = tuple[str, ...]  # innermost frame first: "symbol (object)"

# Innermost match wins; what matches nothing is told under its own object's name.
_UNITS = {
    "decoding frames": "decode_spot|decode_clob|decode_oracle|scan|clob_fields",
    "inputs log": "tail|crc|samples",
    "engine: state, pricing, strategies, risk": (
        "engine|state|book|pricing|strategy|latency_arb|certainty_capture|convexity_fade|strike_misalign|lp_extreme"
        "|cross_timeframe|vwap|vol|multi_vol|regime|basis|risk|account|order|normal|surface|moves|pairs|flatten|timers"
    ),
    "road from socket to engine": "listener|inlet|path|sink|stamp|event",
    "telemetry": "ring|records|histogram",
    "signing": "eip712|keccak",
}
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("kernel: receiving", re.compile(r"__x64_sys_recv|__libc_recv|^recv |aiofn_read")),
    ("kernel: waiting for sockets", re.compile(r"__x64_sys_epoll|^epoll_p?wait")),
    ("kernel: sending", re.compile(r"__x64_sys_(send|writev)|__libc_send|aiofn_write")),
    ("kernel: page faults", re.compile(r"asm_exc_page_fault")),
    ("kernel: files", re.compile(r"__x64_sys_\w*(write|read|sync|open|unlink|stat|getdents|fallocate)\w*")),
    ("locks between threads", re.compile(r"__x64_sys_futex|pthread_cond|take_gil|drop_gil|sem_(clock|timed)?wait")),
    *((name, re.compile(rf"_fast/({units})\.")) for name, units in _UNITS.items()),
    ("Python: inputs log", re.compile(r"polybot/(tape|replay)/\w+\.py")),
    ("Python: telemetry", re.compile(r"polybot/(telemetry|control)/\w+\.py")),
    ("Python: journal and ledger", re.compile(r"polybot/(journal/\w+|recording)\.py")),
    ("Python: gateway", re.compile(r"polybot/gateway/\w+\.py")),
    ("Python: feeds and runner", re.compile(r"polybot/(feeds/\w+|runner|clock)\.py")),
    ("Python: the rest of polybot", re.compile(r"polybot/[\w/]+\.py")),
    ("picows: websocket frames", re.compile(r"picows")),
    ("transport and event loop", re.compile(r"aiofastnet|uvloop|^loop |loop\.c:|linux\.c:")),
    ("compression of the inputs log", re.compile(r"zstd|ZSTD_|backend_c")),
)
_OBJECT = re.compile(r"\((?:.*/)?([\w.\-\[\]]+?)(?:\.cpython[^)]*)?\)$")
_PERF_FRAME = re.compile(r"^\s+[0-9a-f]+ (.+) \(([^()]*(?:\([^()]*\))?)\)$")


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples by collapsed stack, and what the process used meanwhile."""

    tool: str
    stacks: Counter[Stack]
    cpu_us_per_event: float

    def costs(self) -> list[tuple[str, float]]:
        """(named cost, its share of all samples), largest first."""
        found: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            found[cost_of(stack)] += count
        total = sum(found.values()) or 1
        return [(name, count / total) for name, count in found.most_common()]


def section(*, is_short: bool) -> str:
    """The profile as markdown."""
    seconds = SHORT_S if is_short else LONG_S
    return _text(_measure(seconds), seconds)


def cost_of(stack: Stack) -> str:
    """The named cost that a stack belongs to: its innermost frame that has a name."""
    for frame in stack:
        for name, rule in _RULES:
            if rule.search(frame):
                return name
    last = _OBJECT.search(stack[0]) if stack else None
    return f"other: {last[1]}" if last else "other"


def collapse_perf(text: str) -> Counter[Stack]:
    """Stacks of `perf script -F comm,tid,ip,sym,dso`."""
    stacks: Counter[Stack] = Counter()
    for block in text.split("\n\n"):
        matches = [_PERF_FRAME.match(line) for line in block.splitlines()]
        frames = tuple(f"{found[1]} ({found[2]})" for found in matches if found)
        if frames:
            stacks[frames] += 1
    return stacks


def collapse_spy(text: str) -> Counter[Stack]:
    """Stacks of `py-spy record -f raw`, which has them outermost first."""
    stacks: Counter[Stack] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(reversed(stack.split(";")))] += int(count)
    return stacks


def _measure(seconds: int) -> Profile:
    tool = _tool()
    begin = (sys.executable, "-X", "perf") if tool == "perf" else (sys.executable,)
    with tempfile.TemporaryDirectory(prefix="polybot-profile-") as name:
        folder = Path(name)
        with Overload(folder, begin=begin) as overload:
            rates = {"trades_per_s": float(TRADES_PER_S), "books_per_s": float(BOOKS_PER_S)}
            before_s = overload.cpu_s()
            overload.begin_flood(**rates, seconds=seconds + MARGIN_S)
            stacks = _PROFILERS[tool](overload.daemon.pid, seconds, folder)
            flood = overload.end_flood()
            used_s = overload.cpu_s() - before_s
            overload.stop()
    return Profile(tool, stacks, used_s * 1e6 / (flood.trades + flood.books))


def _tool() -> str:
    """Which profiler works here."""
    perf = shutil.which("perf")
    if perf and subprocess.run(
        [perf, "record", "-e", "cpu-clock", "-o", "/dev/null", "--", "true"], capture_output=True, check=False
    ).returncode == 0:
        return "perf"
    return "py-spy" if python_of("spy").with_name("py-spy").exists() else "none"


def _perf(pid: int, seconds: int, folder: Path) -> Counter[Stack]:
    data = str(folder / "perf.data")
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(PERF_HZ), "--call-graph", f"dwarf,{STACK_BYTES}"]
    subprocess.run(
        [*command, "-p", str(pid), "-o", data, "--", "sleep", str(seconds)],
        capture_output=True, check=True, timeout=WAIT_S,
    )  # fmt: skip
    script = ["perf", "script", "-i", data, "-F", "comm,tid,ip,sym,dso"]
    done = subprocess.run(script, capture_output=True, text=True, errors="replace", check=True, timeout=WAIT_S)
    return collapse_perf(done.stdout)


def _spy(pid: int, seconds: int, folder: Path) -> Counter[Stack]:
    out = folder / "spy.txt"
    command = [str(python_of("spy").with_name("py-spy")), "record", "--native", "--threads", "-f", "raw"]
    subprocess.run(
        [*command, "-r", str(SPY_HZ), "-d", str(seconds), "-o", str(out), "-p", str(pid)],
        capture_output=True, check=True, timeout=WAIT_S,
    )  # fmt: skip
    return Counter({stack: count for stack, count in collapse_spy(out.read_text()).items() if not _is_waiting(stack)})


def _none(pid: int, seconds: int, folder: Path) -> Counter[Stack]:
    del pid, seconds, folder
    return Counter()


_PROFILERS: dict[str, Callable[[int, int, Path], Counter[Stack]]] = {"perf": _perf, "py-spy": _spy, "none": _none}


def _is_waiting(stack: Stack) -> bool:
    """A thread that stands in a lock of its own: py-spy takes some of them for busy."""
    return any("Condition.wait" in frame for frame in stack)


def _text(profile: Profile, seconds: int) -> str:
    costs = profile.costs()
    told = (
        f"{TRADES_PER_S:,} spot trades and {BOOKS_PER_S:,} book messages a second at the real daemon's sockets, inputs "
        f"log and telemetry on, slow makers. The whole process used {profile.cpu_us_per_event:.1f} us of CPU per "
        "event: all its threads, and the kernel's work for it. perf's marks make what is Python somewhat dearer than "
        "it is; telemetry's share depends on how many signals the window denies, and none of it is between a frame and "
        "its order."
    )
    lines = [f"## The daemon at {TRADES_PER_S + BOOKS_PER_S:,} events a second", textwrap.fill(told, WIDTH), ""]
    if not profile.stacks:
        return "\n".join([*lines, "No profile: neither perf works here nor is py-spy installed (`make peers`)."])
    ours = [cost for cost in costs if not cost[0].startswith("kernel: ")]
    largest = (
        f"The three largest costs: {_named(costs)}. The three largest that are not the kernel's: {_named(ours)}. "
        f"{profile.tool}, {seconds} s, {sum(profile.stacks.values()):,} samples; each belongs to the innermost part of "
        "its stack that has a name."
    )
    return "\n".join(
        [
            *lines,
            textwrap.fill(largest, WIDTH),
            "",
            "| share | us per event | cost |",
            "|---|---|---|",
            *[
                f"| {share:.1%} | {share * profile.cpu_us_per_event:.2f} | {name} |"
                for name, share in costs[:SHOWN_COSTS]
            ],
            "",
            "The hottest stacks, innermost first:",
            "",
            *_stack_lines(profile.stacks),
        ]
    )


def _named(costs: Sequence[tuple[str, float]]) -> str:
    return "; ".join(f"**{name}** ({share:.0%})" for name, share in costs[:LARGEST])


def _stack_lines(stacks: Counter[Stack]) -> Iterator[str]:
    total = sum(stacks.values())
    short: Counter[str] = Counter()
    for stack, count in stacks.items():
        short[" < ".join(_known(stack))] += count
    for text, count in short.most_common(SHOWN_STACKS):
        yield f"    {count / total:5.1%}  {text}"


def _known(stack: Stack) -> Sequence[str]:
    """The first frames of a stack, without addresses and paths."""
    names = [frame.rpartition(" (")[0] or frame for frame in stack if "[unknown]" not in frame]
    return [re.sub(r"^__pyx_\w+?_\d+_fast_\d+|^py::|:/.*$", "", name)[-60:] for name in names[:SHOWN_FRAMES]]
