"""The wheel: built from a copy of the sources, installed elsewhere, run from an empty folder.

Reuses the extensions compiled in place and the libraries of this environment, so that nothing is
compiled or downloaded again.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
INPUTS = ("LICENSE", "MANIFEST.in", "README.md", "conf", "polybot", "pyproject.toml", "setup.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, source / name)
    tag = f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    built = source / "build" / tag / "polybot" / "_fast"
    built.mkdir(parents=True)
    for translated in (source / "polybot" / "_fast").glob("*.c"):
        os.utime(translated)  # newer than its sources: not translated again
    for extension in (source / "polybot" / "_fast").glob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
        shutil.move(extension, built / extension.name)
        os.utime(built / extension.name)  # newer than that: not compiled again
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         f"--wheel-dir={out}", str(source), cwd=out)
    return next(out.glob("polybot-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own; returns that environment's bin folder."""
    home = tmp_path_factory.mktemp("elsewhere") / "env"
    _run(sys.executable, "-m", "venv", "--without-pip", str(home), cwd=home.parent)
    python = home / "bin" / "python"
    _run(sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-deps", "--no-index",
         str(wheel), cwd=home.parent)
    site = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_wheel_holds_conf_stubs_and_extensions_but_no_c(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    conf = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"polybot/{name}" for name in conf} <= set(names)
    assert "polybot/py.typed" in names
    for unit in (ROOT / "polybot" / "_fast").glob("*.pyx"):
        assert f"polybot/_fast/{unit.stem}{sysconfig.get_config_var('EXT_SUFFIX')}" in names
    for stub in (ROOT / "polybot" / "_fast").glob("*.pyi"):
        assert f"polybot/_fast/{stub.name}" in names
    page = (ROOT / "polybot" / "telemetry" / "dashboard" / "static").rglob("*.*")
    assert {path.relative_to(ROOT).as_posix() for path in page} <= set(names)
    assert [name for name in names if name.endswith((".c", ".pyc")) or name.startswith(("tests", "bench"))] == []


def test_installed_wheel_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    where = _run(str(installed / "python"), "-c", "import polybot; print(polybot.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "usage: python -m polybot" in _run(str(installed / "python"), "-m", "polybot", "--help", cwd=tmp_path)
    for command in ([str(installed / "python"), "-m", "polybot"], [str(installed / "polybot")]):
        printed = _run(*command, "+interval=15m", "risk=conservative", "--cfg", "job", cwd=tmp_path)
        job = yaml.safe_load(printed)
        assert (job["interval"]["name"], job["risk"]["name"]) == ("15m", "conservative")
    assert list(tmp_path.iterdir()) == []


def test_installed_extensions_import(installed: Path, tmp_path: Path) -> None:
    code = "import polybot._fast.event as e; print(e.__file__, e.EVENT_DTYPE.itemsize)"
    printed = _run(str(installed / "python"), "-c", code, cwd=tmp_path).split()
    assert Path(printed[0]).is_relative_to(installed.parent)
    assert printed[1] == "64"


def _run(*command: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
