"""What a result was computed by: a digest of the program and of the machine's share in its numbers.

Owns which files are the program.  A result that is kept is used again only under the same digest.
Must not compute anything itself.  Called by sweeps and by polybot.campaign_run.
"""

import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import numpy

__all__ = ["DIGEST_CHARS", "machine_words", "program_digest"]

DIGEST_CHARS = 12


def program_digest(targets: Iterable[str]) -> str:
    """Digest of this package as it stands on disk, and of the modules of the strategies' classes `targets`."""
    package = Path(__file__).resolve().parent.parent
    compiled = str(sysconfig.get_config_var("EXT_SUFFIX"))
    paths = {path for path in package.rglob("*") if path.name.endswith((".py", compiled))}
    for target in targets:
        spec = importlib.util.find_spec(target.rpartition(".")[0])
        if spec is not None and spec.origin is not None:
            paths.add(Path(spec.origin))
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:DIGEST_CHARS]


def machine_words() -> tuple[str, str]:
    """Versions whose arithmetic a result may depend on."""
    return sys.version, numpy.__version__
