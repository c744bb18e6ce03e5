"""Rules of style that a linter does not know, checked on every source file of the project.

The rules are those of docs/DEVELOPMENT.md: sizes, headers, banned constructs, one reader of time,
nothing of one machine in the files.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

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
PACKAGE_PY = [path for path in CODE if path.suffix == ".py" and path.is_relative_to(ROOT / "polybot")]
TEXTS = [
    *CODE,
    *sorted((ROOT / "conf").rglob("*.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.lock")),
    *[ROOT / name for name in ("Makefile", "pyproject.toml", "setup.py", "MANIFEST.in", ".ci/run")],
    *[path for name in ("README.md", "CHANGELOG.md") if (path := ROOT / name).exists()],
]
# The guards: the only places that may catch everything, each to keep one failure from spreading.
BROAD_CATCH = (
    r"polybot/(daemon|harness|runner|trader)(/.*)?\.py|polybot/feeds/(connection|fallback)\.py"
    r"|polybot/gateway/clob\.py|polybot/(telemetry|sim)/.*\.py|polybot/_fast/engine\.pyx"
)
# Split, so that this file does not contain what it forbids.
MACHINE_PATHS = ("/" + "root", "/" + "home", "/" + "work", "/" + "opt", "/" + "tmp/v", "py" + "env")
INDEX_HOSTS = ("py" + "pi.org", "python" + "hosted", "index" + "-url", "find" + "-links", "regis" + "try.npm")
LATER_WORDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
BAD_NAMES = {"utils", "helpers", "common", "misc"}
BROAD = r"\bexcept\s*(\(?\s*(Base)?Exception\b[^:]*)?:"
PYX_DEF = re.compile(r"^(\s*)(?:def|cdef|cpdef)\b(?!\s+(?:class|enum|struct|extern|packed))[^=]*\(")


class Function(NamedTuple):
    """Where a function is and how long."""

    name: str
    line: int
    lines: int


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", [p for p in CODE if p.suffix in (".py", ".pyx")], ids=name_of)
def test_functions_are_short(path: Path) -> None:
    limit = MAX_FAST_FUNCTION_LINES if "_fast" in path.parts and path.suffix == ".pyx" else MAX_FUNCTION_LINES
    functions = _python_functions(path) if path.suffix == ".py" else _cython_functions(path)
    long = [f"{f.name} at line {f.line}: {f.lines} lines" for f in functions if f.lines > limit]
    assert not long, f"limit {limit}: {long}"


@pytest.mark.parametrize("path", [p for p in CODE if p.suffix in (".py", ".pyx")], ids=name_of)
def test_header_says_what_the_module_owns(path: Path) -> None:
    header = re.match(r'\s*(?:# [^\n]*\n)*"""(.*?)"""', path.read_text(), re.DOTALL)
    if path.name == "__init__.py":
        assert header or not path.read_text().strip()
        return
    assert header, "no module docstring"
    lines = header[1].count("\n") + 1
    needed = HEADER_LINES if path.is_relative_to(ROOT / "polybot") else range(1, 31)
    assert lines in needed, f"the header has {lines} lines, wanted {needed.start} to {needed.stop - 1}"


@pytest.mark.parametrize("path", PACKAGE_PY, ids=name_of)
def test_exports_are_listed(path: Path) -> None:  # ruff sorts them
    exported = _exported(path)
    if path.name in ("__init__.py", "__main__.py") and exported is None:
        return
    assert exported is not None, "no __all__"
    assert len(exported) == len(set(exported))


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_no_banned_construct(path: Path) -> None:
    text = path.read_text()
    banned = {
        "an exception swallowed": BROAD + r"\s*(#[^\n]*)?\n?\s*(pass|continue|\.\.\.)\b",
        "a task without an owner (use the TaskGroup)": r"\b(asyncio|loop)\.(create_task|ensure_future)\(",
        "another clock": r"\b(datetime\.now|utcnow|time\.time|monotonic\w*|perf_counter\w*)\(",
        "a global statement": r"^\s+global\s",
    }
    in_package = path.is_relative_to(ROOT / "polybot")
    if not in_package or name_of(path) == "polybot/clock.py":
        banned = {"an exception swallowed": banned["an exception swallowed"]}
    found = [what for what, pattern in banned.items() if re.search(pattern, text, re.MULTILINE)]
    assert not found


@pytest.mark.parametrize("path", [p for p in CODE if p.suffix in (".py", ".pyx")], ids=name_of)
def test_broad_catches_are_guards_only(path: Path) -> None:
    if not path.is_relative_to(ROOT / "polybot") or re.fullmatch(BROAD_CATCH, name_of(path)):
        return
    assert not re.search(BROAD, path.read_text())


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_file_name_is_a_noun_of_its_own(path: Path) -> None:
    assert path.stem not in BAD_NAMES


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_nothing_of_one_machine_and_nothing_left_for_later(path: Path) -> None:
    text = path.read_text()
    words = (*INDEX_HOSTS, *LATER_WORDS)
    if name_of(path) != "Makefile":  # it looks for interpreters under the home folder
        words = (*words, *MACHINE_PATHS)
    found = [word for word in words if re.search(rf"(?<![\w.])(?<!no-emit-){re.escape(word)}(?!\w)", text)]
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
