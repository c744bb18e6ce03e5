"""Who may import whom: reads the import and cimport lines of every .py, .pyx and .pxd.

Import linters do not see Cython, so this test is the law: the layer table of docs/DEVELOPMENT.md,
the owner modules of each third-party library, no cycles between compiled units.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "polybot"
MODULES = {  # a .pyx hides the .pxd of the same name, which is read with it
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for suffix in ("pxd", "py", "pyx")
    for path in sorted(PACKAGE.rglob(f"*.{suffix}"))
}

# First match wins; a module of a new kind must be given its place here.
LAYERS = (
    (r"polybot", 0),
    (r"polybot\._fast(\..*)?", 0),
    (r"polybot\.(errors|clock|config|config_\w+|crashpoints|latches|transport|volatility)", 1),
    (r"polybot\.market\.(spec|window)", 1),
    (r"polybot\.telemetry\.(dashboard|telegram)(\..*)?", 4),
    (r"polybot\.(credentials|feeds|gateway|journal|sim|telemetry|market|strategies)(\..*)?", 2),
    (r"polybot\.tape\.(record|screen|session|taped_window)", 4),
    (r"polybot\.replay\.(command|step\w*)", 4),
    (r"polybot\.(backtest|report)\.command", 4),
    (r"polybot\.(account|assembly|runner|tape|replay|backtest|analyze|paper|report|research|wallet)(\..*)?", 3),
    (r"polybot\.(books|campaign\w*|control|cycle|daemon|doctor|entries|following|harness|help_text)(\..*)?", 4),
    (r"polybot\.(attendance|companion_child|companions|healthcheck|loop_\w+|notify)", 4),
    (r"polybot\.(multirun|observer|place|recording|recovering|telling|trader|api|cli|compose|__main__)(\..*)?", 4),
)
# Third-party libraries and the only modules that may import them.
OWNERS = {
    "Cython": r"polybot\._fast\..*",
    "aiofastnet": r"polybot\.gateway\.http",
    "aiohttp": r"polybot\.(sim\..*|telemetry\.dashboard.*)",
    "coincurve": r"polybot\.(gateway\.signer|sim\..*)",
    "cpython": r"polybot\._fast\..*",
    "cython": r"polybot\._fast\..*",
    "eth_keyfile": r"polybot\.credentials\.keystore",
    "hydra": r"polybot\.compose",
    "libc": r"polybot\._fast\..*",
    "loguru": r"polybot\.(?!_fast).*",
    "matplotlib": r"polybot\.(report\.(canvas|drawings|summary)|telemetry\.telegram\.pictures)",
    "numpy": r"polybot\.(_fast\.event|(?!_fast).*)",
    "omegaconf": r"polybot\.compose",
    "orjson": r"polybot\.(?!_fast)\w+\..*|polybot\.daemon",
    "optuna": r"polybot\.backtest\.search",
    # The listener derives from picows' own cdef class: a frame goes from its buffer to the engine without Python.
    "picows": r"polybot\.(feeds\.connection|_fast\.listener|sim\..*)",
    "polymarket": r"polybot\.wallet\.official",
    "prometheus_client": r"polybot\.telemetry\.metrics",
    "sdnotify": r"polybot\.notify",
    "rich": r"polybot\.(analyze\.screen|backtest\.command|replay\.step\w*)",
    "telegram": r"polybot\.telemetry\.telegram\..*",
    "pyarrow": r"polybot\.(analyze\.export|tape\.export)",
    "ray": r"polybot\.backtest\.ray_jobs",
    "textual": r"polybot\.replay\.step\w*",
    "uvloop": r"polybot\.(cli|sim\.child)",
    "zstandard": r"polybot\.tape\..*",
}
# Modules of the standard library that are somebody's privilege.
STDLIB_OWNERS = {
    "time": r"polybot\.clock",
    "random": r"polybot\.(?!_fast|config|errors|clock).*",
    "threading": r"polybot\.(?!_fast).*",
}
# Functions of C that are somebody's privilege: receive stamps are read in C, by the one unit that may.
C_CLOCKS = re.compile(r"\b(clock_gettime|gettimeofday|ftime|rdtsc\w*)\s*\(|<(sys/)?time\.h>|\bposix\.time\b")
C_CLOCK_OWNER = "polybot._fast.stamp"
CYTHON_LINE = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(.+)|c?import\s+([\w.]+(?:\s*,\s*[\w.]+)*))")


def test_modules_import_only_what_their_layer_may() -> None:
    problems = [
        f"{module} imports {target}: {why}"
        for module in MODULES
        for target in sorted(set(imports_of(module)))
        if (why := _why_not(module, target))
    ]
    assert not problems, "\n".join(problems)


def test_compiled_units_have_no_import_cycle() -> None:
    graph = {
        module: {target for target in imports_of(module) if target in MODULES and target != module}
        for module in MODULES
        if module.startswith("polybot._fast.")
    }
    done: set[str] = set()
    while len(done) < len(graph):
        ready = {module for module, needs in graph.items() if module not in done and needs <= done}
        assert ready, f"import cycle among {sorted(set(graph) - done)}"
        done |= ready


def test_only_the_stamp_reads_a_clock_in_the_core() -> None:
    readers = [
        module
        for module, path in MODULES.items()
        if module.startswith("polybot._fast.")
        if any(C_CLOCKS.search(part.read_text()) for part in {path, path.with_suffix(".pxd")} if part.exists())
    ]
    assert readers == [C_CLOCK_OWNER]


def test_what_decides_does_not_know_the_stamp() -> None:
    """Time is an argument of the core: only the ends of the road may stamp."""
    core = [module for module in MODULES if module.startswith("polybot._fast.")]
    users = {module for module in core if C_CLOCK_OWNER in imports_of(module)}
    assert users == {"polybot._fast.listener", "polybot._fast.path"}


def test_every_module_has_a_layer() -> None:
    homeless = [module for module in MODULES if layer_of(module) is None]
    assert not homeless, f"add to LAYERS in {Path(__file__).name}: {homeless}"


def test_reader_sees_cython_and_lazy_imports() -> None:
    assert list(_cython_imports("from libc.math cimport exp\n  cimport numpy as np\nimport os, sys\n")) == [
        "libc.math",
        "numpy",
        "os",
        "sys",
    ]
    assert list(_python_imports("def f():\n    from polybot.market import spec\n")) == [
        "polybot.market.spec"
    ]


def layer_of(module: str) -> int | None:
    return next((layer for pattern, layer in LAYERS if re.fullmatch(pattern, module)), None)


def imports_of(module: str) -> Iterator[str]:
    """Absolute names of everything the module (and its .pxd) imports."""
    path = MODULES[module]
    if path.suffix == ".py":
        yield from _python_imports(path.read_text())
        return
    for part in {path, path.with_suffix(".pxd")}:
        if part.exists():
            yield from _cython_imports(part.read_text())


def _python_imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (_joined("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def _cython_imports(source: str) -> Iterator[str]:
    for line in source.splitlines():
        match = CYTHON_LINE.match(line)
        if match and match[1]:
            names = [re.sub(r"[()\s]|\bas\b.*", "", name) for name in match[2].split(",")]
            yield from dict.fromkeys(_joined(match[1], name) for name in names)
        elif match:
            yield from (name.strip() for name in match[3].split(","))


def _joined(module: str, name: str) -> str:
    """`from polybot.market import spec` is polybot.market.spec; `from x import thing` is x."""
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


def _why_not(module: str, target: str) -> str:
    """Say why module must not import target, or ""."""
    top = target.partition(".")[0]
    if target.startswith("."):
        return "write imports in full"
    if top == "polybot":
        return _why_not_ours(module, target)
    if top in sys.stdlib_module_names:
        if module.startswith("polybot._fast."):
            return "the core imports nothing of the standard library"
        owner = STDLIB_OWNERS.get(top, ".*")
        return "" if re.fullmatch(owner, module) else f"only {owner} may"
    if top not in OWNERS:
        return "a new dependency needs owners here and a decision in docs/decisions/"
    if layer_of(module) == 1:
        return "layer 1 imports the standard library only"
    return "" if re.fullmatch(OWNERS[top], module) else f"only {OWNERS[top]} may"


def _why_not_ours(module: str, target: str) -> str:
    mine, theirs = layer_of(module), layer_of(target)
    if mine is None or theirs is None:
        return f"no layer known for {target if theirs is None else module}"
    if theirs > mine:
        return f"layer {mine} must not import layer {theirs}"
    parts = module.split("."), target.split(".")
    if mine == theirs == 2 and parts[0][1] != parts[1][1]:
        return "parts of layer 2 do not know each other"
    return ""
