"""Rules of style that a linter does not know, checked on every source file of the project.

The rules are those of docs/DEVELOPMENT.md: sizes, headers, banned constructs, one reader of time,
nothing of one machine in the files.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_FAST_FUNCTION_LINES = 40
HEADER_LINES = range(3, 16)

CODE = sorted(
    path
    for folder in ("polybot", "tests", "bench")
    for suffix in ("py", "pyx", "pxd", "pyi")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
)
SOURCES = [path for path in CODE if path.suffix in (".py", ".pyx")]
TEXTS = [
    *CODE,
    *sorted((ROOT / "conf").rglob("*.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.lock")),
    *sorted((ROOT / "bench").rglob("*.md")),
    *sorted((ROOT / "bench" / "peers").rglob("*.txt")),
    *[ROOT / name for name in ("Makefile", "pyproject.toml", "setup.py", "MANIFEST.in", ".ci/run")],
    *[path for name in ("README.md", "CHANGELOG.md") if (path := ROOT / name).exists()],
]
# The guards: the only places that may catch everything, each to keep one failure from spreading.
GUARDS = (
    r"polybot/(daemon|harness|observer|place|runner|trader)\.py|polybot/feeds/(connection|fallback)\.py"
    r"|polybot/gateway/clob\.py|polybot/doctor/(rounds|site)\.py|polybot/replay/verify\.py|polybot/journal/(writer|ledger_thread)\.py|polybot/(telemetry|sim)/.*\.py"
    r"|polybot/_fast/(engine|listener|path)\.pyx"
)
# These keep the tasks they make and end them themselves.
TASK_OWNERS = r"polybot/harness\.py|polybot/sim/(child|server)\.py"
OUTSIDE = r"(tests|bench)/.*"
BROAD = r"\bexcept\s*(\(?\s*(Base)?Exception\b[^:]*)?:"
# What is banned: its pattern, and the files where it is allowed.
BANNED = {
    "an exception swallowed": (BROAD + r"\s*(#[^\n]*)?\n?\s*(pass|continue|\.\.\.)\b", ""),
    "a broad catch that is no guard": (BROAD, f"{GUARDS}|{OUTSIDE}"),
    "a task without an owner (use the TaskGroup)": (
        r"(\basyncio|\bloop|\))\.(create_task|ensure_future)\(",
        f"{TASK_OWNERS}|{OUTSIDE}",
    ),
    "another clock": (
        r"\b(datetime\.now|utcnow|time\.time|monotonic\w*|perf_counter\w*)\(",
        rf"polybot/clock\.py|{OUTSIDE}",
    ),
    "a global statement": (r"^\s+global\s", OUTSIDE),
}
# Split, so that this file does not contain what it forbids.
MACHINE_PATHS = ("/" + "root", "/" + "home", "/" + "work", "/" + "opt", "/" + "tmp/v", "py" + "env")
INDEX_HOSTS = ("py" + "pi.org", "python" + "hosted", "index" + "-url", "find" + "-links", "regis" + "try.npm")
LATER_WORDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
BAD_NAMES = {"utils", "helpers", "common", "misc"}
PYX_DEF = re.compile(r"^(\s*)(?:def|cdef|cpdef)\b(?!\s+(?:class|enum|struct|extern|packed))[^=]*\(")


class Function(NamedTuple):
    """Where a function is and how long."""

    name: str
    line: int
    lines: int


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _in_package(path: Path) -> bool:
    return path.is_relative_to(ROOT / "polybot")


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_short() -> None:
    long = {name_of(path): lines for path in CODE if (lines := _lines(path)) > MAX_FILE_LINES}
    assert not long, f"limit {MAX_FILE_LINES} lines"


def test_functions_are_short() -> None:
    long = []
    for path in SOURCES:
        limit = MAX_FAST_FUNCTION_LINES if path.suffix == ".pyx" else MAX_FUNCTION_LINES
        functions = _python_functions(path) if path.suffix == ".py" else _cython_functions(path)
        long += [f"{name_of(path)}:{f.line} {f.name}: {f.lines} > {limit}" for f in functions if f.lines > limit]
    assert not long


def test_headers_say_what_the_module_owns() -> None:
    odd = []
    for path in SOURCES:
        header = re.match(r'\s*(?:# [^\n]*\n)*"""(.*?)"""', path.read_text(), re.DOTALL)
        if path.name == "__init__.py" and (header or not path.read_text().strip()):
            continue
        lines = header[1].count("\n") + 1 if header else 0
        wanted = HEADER_LINES if _in_package(path) else range(1, 31)
        if path.name != "__init__.py" and lines not in wanted:
            odd.append(f"{name_of(path)}: {lines} header lines, wanted {wanted.start} to {wanted.stop - 1}")
    assert not odd


def test_exports_are_listed() -> None:  # ruff sorts them
    odd = []
    for path in SOURCES:
        if path.suffix == ".pyx" or not _in_package(path):
            continue
        exported = _exported(path)
        if exported is None and path.name not in ("__init__.py", "__main__.py"):
            odd.append(f"{name_of(path)} has no __all__")
        if exported is not None and len(exported) != len(set(exported)):
            odd.append(f"{name_of(path)} exports a name twice")
    assert not odd


def test_no_banned_construct() -> None:
    found = []
    for path in CODE:
        text = path.read_text()
        for what, (pattern, excepted) in BANNED.items():
            if not re.fullmatch(excepted, name_of(path)) and re.search(pattern, text, re.MULTILINE):
                found.append(f"{name_of(path)}: {what}")
    assert not found


def test_file_names_are_nouns_of_their_own() -> None:
    assert [name_of(path) for path in CODE if path.stem in BAD_NAMES] == []


def test_nothing_of_one_machine_and_nothing_left_for_later() -> None:
    found = []
    for path in TEXTS:
        text = path.read_text()
        words = (*INDEX_HOSTS, *LATER_WORDS)
        if name_of(path) != "Makefile":  # it looks for interpreters under the home folder
            words = (*words, *MACHINE_PATHS)
        for word in words:
            if re.search(rf"(?<![\w.])(?<!no-emit-){re.escape(word)}(?!\w)", text):
                found.append(f"{name_of(path)}: {word}")
    assert not found


def test_locks_hash_everything_and_name_no_host() -> None:
    for path in ROOT.glob("requirements*.lock"):
        text = path.read_text()
        assert "://" not in text
        pins = re.findall(r"^([a-z0-9-]+)==.*\\\n\s+--hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9-]+", text, re.MULTILINE)) > 10


def test_every_compiled_unit_is_complete() -> None:
    fast = ROOT / "polybot" / "_fast"
    missing = [
        name_of(wanted)
        for unit in sorted(path.stem for path in fast.glob("*.pyx"))
        for wanted in (
            fast / f"{unit}.pxd",
            fast / f"{unit}.pyi",
            ROOT / "tests" / "_fast" / f"test_{unit}.py",
            ROOT / "bench" / f"bench_{unit}.py",
        )
        if not wanted.exists()
    ]
    assert not missing


def test_length_of_a_cython_function_is_counted(tmp_path: Path) -> None:
    source = tmp_path / "x.pyx"
    body = "    cdef int f(self) noexcept:\n        return 1\n\n    def g(self):\n        pass\n"
    source.write_text("cdef class A:\n" + body)
    assert [(f.name, f.lines) for f in _cython_functions(source)] == [("f", 2), ("g", 2)]


def _python_functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield Function(node.name, node.lineno, node.end_lineno - node.lineno + 1)


def _cython_functions(path: Path) -> Iterator[Function]:
    """Functions with a body, by indentation; lines from the signature to the last line of the body."""
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        match = PYX_DEF.match(line)
        if not match:
            continue
        indent, last = len(match[1]), start
        for number in range(start + 1, len(lines)):
            text = lines[number]
            if text.strip() and len(text) - len(text.lstrip()) <= indent and not text.strip().startswith(")"):
                break
            last = number if text.strip() else last
        yield Function(re.sub(r"\(.*", "", line).split()[-1], start + 1, last - start + 1)


def _exported(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return None
