"""Cython extension list and the packaging of conf/; all other metadata is in pyproject.toml.

POLYBOT_EXT=book,engine builds only those units (development); POLYBOT_DEBUG=1 builds with
boundscheck and C asserts, so that the same tests can be run against a checked core.
"""
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
DEBUG = os.environ.get("POLYBOT_DEBUG") == "1"
ONLY = {name for name in os.environ.get("POLYBOT_EXT", "").split(",") if name}
HARDENED = ["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]


class BuildPyWithConf(build_py):
    """Copy conf/ into the built package, so that a wheel runs anywhere."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "polybot" / "conf"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(HERE / "conf", target)


class BuildExtChecked(build_ext):
    """Say in one line what is missing, before the compiler says it in fifty."""

    def run(self) -> None:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        if shutil.which(compiler) is None:
            sys.exit(f"polybot: error: no C compiler ({compiler}): install one (Debian: apt-get install gcc)")
        header = Path(sysconfig.get_path("include")) / "Python.h"
        if not header.is_file():
            sys.exit(f"polybot: error: {header} is missing: install it (Debian: apt-get install python3-dev)")
        super().run()


def extensions() -> list[Extension]:
    names = sorted(path.stem for path in (HERE / "polybot" / "_fast").glob("*.pyx"))
    return [
        Extension(
            f"polybot._fast.{name}",
            [f"polybot/_fast/{name}.pyx"],
            extra_compile_args=["-O1", "-g"] if DEBUG else ["-O3", "-g0", "-fno-math-errno", *HARDENED],
            libraries=["m"],
        )
        for name in names
        if not ONLY or name in ONLY
    ]


setup(
    cmdclass={"build_py": BuildPyWithConf, "build_ext": BuildExtChecked},
    ext_modules=cythonize(
        extensions(),
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": DEBUG,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "embedsignature": True,
        },
        quiet=True,
    ),
)
