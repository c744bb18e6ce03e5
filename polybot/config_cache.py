"""A composed configuration, kept beside the compiled modules: the same command line starts without hydra.

Theory of operation.  As Python keeps the compiled form of a source, so this keeps the checked form of conf/ with
overrides.  The name of a kept file is the digest of everything it was made from: every file of conf/ and of
--config-dir (names and content), all overrides, the environment variables they read, the sources that compose and
check, the versions of hydra, omegaconf, PyYAML and Python.  What cannot be known so is not kept: see `_digest`.
    hit:  kept file -> config_from_mapping (every range is checked again)
    miss: compose, then keep it, if what comes back is equal in every digit
Writes only where Python keeps its own compiled modules, and nothing when Python was told not to.  Anything wrong with
a kept file is a miss.  Never raises for it.  Called by polybot.cli for a run.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from polybot.config import Config, config_from_mapping, config_to_mapping
from polybot.config_files import conf_dir
from polybot.errors import ConfigError

__all__ = ["CACHE_GLOB", "cache_folder", "recall_config"]

CACHE_GLOB = "settings-*.json"
KEPT = 8  # files; the oldest go
FORM = b"1"
FILE_MODE = 0o600
# Interpolations whose value follows from text and environment alone; with any other (now, hydra) nothing is kept.
PURE = frozenset({"oc.create", "oc.decode", "oc.dict.keys", "oc.dict.values", "oc.env", "oc.select"})
_RESOLVER = re.compile(r"\$\{\s*([^\s:{}$]+)\s*:")
_ENV = re.compile(r"\$\{\s*oc\.env\s*:\s*([A-Za-z_]\w*)\s*[,}]")
_COMPUTED = re.compile(r"\$\{\s*\$\{|\$\{[^{}:]*\$\{[^{}]*\}[^{}:]*:")  # the name of a resolver, put together
_LIBRARIES = (("hydra", "__init__.py"), ("omegaconf", "version.py"), ("yaml", "__init__.py"))


def recall_config(overrides: Sequence[str], extra_dir: Path | None, compose: Callable[[], Config]) -> Config:
    """The configuration of these overrides: kept, or composed and kept; raises what `compose` raises."""
    folder = cache_folder()
    key = _digest(overrides, extra_dir) if folder.is_dir() else ""
    path = folder / CACHE_GLOB.replace("*", key)
    config = _read(path) if key else None
    if config is None:
        config = compose()
        if key and not sys.dont_write_bytecode:
            _keep(path, config)
    return config


def cache_folder() -> Path:
    """Where Python keeps the compiled form of this package."""
    return Path(cache_from_source(__file__)).parent


def _digest(overrides: Sequence[str], extra_dir: Path | None) -> str:
    """Digest of everything the configuration is made from; "" when that cannot be known.

    It cannot be known when hydra itself is configured (other places to search), when a plugin of it is installed, or
    when an interpolation reads something that is neither text nor a plainly named environment variable.
    """
    texts = [*overrides]
    digest = hashlib.sha256(FORM)
    try:
        for name, data in _sources(extra_dir):
            digest.update(f"\0{name}\0{len(data)}\0".encode() + data)
            if name.startswith("conf/"):
                texts.append(data.decode())
    except (OSError, ValueError):
        return ""
    if find_spec("hydra_plugins") is not None or "hydra" in "\n".join(texts[: len(overrides)]):
        return ""
    names: set[str] = set()
    for text in texts:
        if "hydra:" in text or "searchpath" in text or _COMPUTED.search(text):
            return ""
        resolvers = _RESOLVER.findall(text)
        env = _ENV.findall(text)
        if not PURE.issuperset(resolvers) or resolvers.count("oc.env") != len(env):
            return ""
        names.update(env)
    values = [(name, os.environ.get(name)) for name in sorted(names)]
    if any("$" in (value or "") for _, value in values):  # which may read more when it is decoded
        return ""
    digest.update(repr((sys.version, str(extra_dir), tuple(overrides), values)).encode())
    return digest.hexdigest()


def _sources(extra_dir: Path | None) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file that has a say."""
    for number, root in enumerate((conf_dir(), *([extra_dir] if extra_dir else []))):
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(files):
                if name.endswith((".yaml", ".yml")):
                    path = Path(folder, name)
                    yield f"conf/{number}/{path.relative_to(root)}", path.read_bytes()
    package = Path(__file__).parent
    for path in sorted((*package.glob("config*.py"), package / "compose.py", package / "__init__.py")):
        yield path.name, path.read_bytes()
    for library, file in _LIBRARIES:
        spec = find_spec(library)
        if spec is None or spec.origin is None:
            raise ValueError(library)
        yield library, (Path(spec.origin).parent / file).read_bytes()


def _read(path: Path) -> Config | None:
    """The kept configuration; None when there is none, or it is not what was written."""
    try:
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
        if head == hashlib.sha256(text.encode()).hexdigest():
            return config_from_mapping(json.loads(text))
    except (OSError, ValueError, ConfigError):
        return None
    return None


def _keep(path: Path, config: Config) -> None:
    """Write it whole or not at all; a configuration that would come back different in any digit is not kept."""
    new = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError, TypeError, ValueError, ConfigError):
        text = json.dumps(config_to_mapping(config))
        if repr(config_from_mapping(json.loads(text))) != repr(config):
            return
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
        new.replace(path)
        kept = sorted(path.parent.glob(CACHE_GLOB), key=lambda item: item.stat().st_mtime_ns)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)
