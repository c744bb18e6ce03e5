"""Where a secret may come from, each place checked, exactly one of them allowed.

Owns reading: (1) the file a `*_file` setting names, (2) the file that the variable NAME_FILE names, (3) a file
called NAME in the service manager's $CREDENTIALS_DIRECTORY, (4) the variable NAME itself.  A secret in two places
is refused: nobody could say which one is in force.  Files must be regular, ours and closed to everybody else.
Owns forgetting too: variables that were read, and every other one that looks like a secret, are overwritten in
the process's own environment block (what /proc/PID/environ shows) and removed.
Must not interpret what it reads or put a value into a message.  Called by credentials.account.
"""

import ctypes
import os
import stat
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from polybot.config_secrets import is_secret_name
from polybot.errors import ConfigError

__all__ = ["Secrets", "read_secret_file"]

MAX_BYTES = 65_536  # no key, keystore or password is larger
_CLOSED = stat.S_IRWXG | stat.S_IRWXO
# Service managers hand credentials to a foreign user by an access list, which shows as a group bit.
_CLOSED_CREDENTIAL = stat.S_IRWXO | stat.S_IWGRP
_FILE_SUFFIX = "_FILE"
_DIRECTORY = "CREDENTIALS_DIRECTORY"


@dataclass(frozen=True, slots=True)
class _Place:
    """One place that holds a secret, in words for messages, and how to read it."""

    words: str
    read: Callable[[], bytearray]


class Secrets:
    """The secrets a process was started with; `forget` takes them out of its environment."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._names: set[str] = set()

    def read(self, what: str, name: str, *, path: str = "", is_public: bool = False) -> str | None:
        """Return a secret stripped of blanks at its ends, or None when no place holds it.

        `what` is it in words, `name` its variable ("": none), `path` the file a setting names ("": none);
        `is_public`: it may stay in the environment and be shown.  Raises ConfigError for two places, an unsafe
        or unreadable file, text that is not UTF-8, or nothing in it.
        """
        if name and not is_public:
            self._names.add(name)
        places = self._places(name, path)
        if not places:
            return None
        if len(places) > 1:
            raise ConfigError(f"{what} is given twice, by {places[0].words} and by {places[1].words}: keep one")
        raw = places[0].read()
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:
            raise ConfigError(f"{what} ({places[0].words}) is not text") from None
        finally:
            raw[:] = bytes(len(raw))
        if not text:
            raise ConfigError(f"{what} ({places[0].words}) is empty")
        return text

    def forget(self) -> list[str]:
        """Take every secret out of the environment, read or not; returns what was in it, for the redactor."""
        names = [name for name in self._environ if name in self._names or is_secret_name(name)]
        values = [self._environ[name] for name in names]
        for name in names:
            if self._environ is os.environ:
                _wipe_environment(name)
            del self._environ[name]
        return [value for value in values if value]

    def _places(self, name: str, path: str) -> list[_Place]:
        found = []
        if path:
            found.append(_file_place(Path(path).expanduser()))
        if name:
            named = self._environ.get(name + _FILE_SUFFIX)
            if named:
                found.append(_file_place(Path(named).expanduser()))
            folder = self._environ.get(_DIRECTORY)
            if folder and (Path(folder) / name).exists():
                found.append(_file_place(Path(folder) / name, is_credential=True))
            value = self._environ.get(name)
            if value is not None:
                found.append(_Place(f"the variable {name}", lambda: bytearray(value, "utf-8", "surrogateescape")))
        return found


def read_secret_file(path: Path, *, is_credential: bool = False) -> bytearray:
    """Read a file only its owner may read; raises ConfigError with the fix otherwise.

    `is_credential`: it lies in the service manager's folder, where it may belong to root and to our group.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"secret file {path} cannot be read: {error.strerror}") from None
    try:
        _check_file(path, os.fstat(handle), is_credential=is_credential)
        raw = bytearray(MAX_BYTES + 1)
        size = os.readv(handle, [raw])
    except OSError as error:
        raise ConfigError(f"secret file {path} cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)
    if size > MAX_BYTES:
        raise ConfigError(f"secret file {path} is too large: a secret has at most {MAX_BYTES} bytes")
    del raw[size:]
    return raw


def _file_place(path: Path, *, is_credential: bool = False) -> _Place:
    return _Place(f"the file {path}", lambda: read_secret_file(path, is_credential=is_credential))


def _check_file(path: Path, found: os.stat_result, *, is_credential: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"secret file {path} is not a regular file")
    owners = (os.geteuid(), 0) if is_credential else (os.geteuid(),)
    if found.st_uid not in owners:
        raise ConfigError(
            f"secret file {path} belongs to user {found.st_uid}, not to {os.geteuid()}: "
            f"chown {os.geteuid()} {path}"
        )
    if stat.S_IMODE(found.st_mode) & (_CLOSED_CREDENTIAL if is_credential else _CLOSED):
        raise ConfigError(
            f"secret file {path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}"
        )


def _wipe_environment(name: str) -> None:
    """Overwrite a variable where the kernel shows it: unsetenv alone only forgets the pointer."""
    block = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    head = os.fsencode(name) + b"="
    index = 0
    while block[index]:
        address = int(block[index])
        text = ctypes.string_at(address)
        if text.startswith(head):
            ctypes.memset(address + len(head), 0, len(text) - len(head))
        index += 1
