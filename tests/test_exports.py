"""What modules promise exists: every name in __all__, every name in a .pyi, every module imports.

Runs over the whole package, so a unit that was not compiled or a stub that drifted is found here.
"""

import ast
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "polybot"
MODULES = sorted(
    {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for suffix in ("py", "pyx")
        for path in PACKAGE.rglob(f"*.{suffix}")
        if path.name != "__main__.py"
    }
)
STUBS = sorted((PACKAGE / "_fast").glob("*.pyi"))


@pytest.mark.parametrize("module", MODULES)
def test_every_exported_name_resolves(module: str) -> None:
    loaded = importlib.import_module(module)
    missing = [name for name in getattr(loaded, "__all__", ()) if not hasattr(loaded, name)]
    assert not missing


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.name)
def test_every_name_of_a_stub_is_in_the_compiled_unit(stub: Path) -> None:
    loaded = importlib.import_module(f"polybot._fast.{stub.stem}")
    assert loaded.__file__ is not None
    assert not loaded.__file__.endswith((".py", ".pyi"))
    missing = []
    for node in ast.parse(stub.read_text()).body:
        for name in _names(node):
            if not hasattr(loaded, name):
                missing.append(name)
        if isinstance(node, ast.ClassDef) and hasattr(loaded, node.name):
            owner = getattr(loaded, node.name)
            members = [name for item in node.body for name in _names(item)]
            missing += [f"{node.name}.{name}" for name in members if not hasattr(owner, name)]
    assert not missing


def _names(node: ast.stmt) -> list[str]:
    """Public names a statement of a stub declares."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    else:
        names = []
    return [name for name in names if not name.startswith("_")]
