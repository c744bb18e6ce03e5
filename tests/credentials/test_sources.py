"""Secrets on their way in: each place read and checked, two places refused, nothing left in the environment."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from polybot.credentials.sources import MAX_BYTES, Secrets, read_secret_file
from polybot.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SECRET = "5ecret-" + "k" * 30


def secret_file(folder: Path, text: str | bytes = SECRET + "\n", mode: int = 0o600) -> Path:
    path = folder / f"secret-{len(list(folder.iterdir()))}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_a_secret_is_read_from_each_place_without_blanks_at_its_ends(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    (tmp_path / "THE_KEY").write_text(SECRET)
    (tmp_path / "THE_KEY").chmod(0o400)
    assert Secrets({"THE_KEY": f" {SECRET}\n"}).read("it", "THE_KEY") == SECRET
    assert Secrets({"THE_KEY_FILE": str(path)}).read("it", "THE_KEY") == SECRET
    assert Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)}).read("it", "THE_KEY") == SECRET
    assert Secrets({}).read("it", "THE_KEY", path=str(path)) == SECRET
    assert Secrets({}).read("it", "", path=str(path)) == SECRET


def test_no_place_is_none_and_not_an_error(tmp_path: Path) -> None:
    assert Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path), "OTHER": "x"}).read("it", "THE_KEY") is None
    assert Secrets({"": "x"}).read("it", "") is None


def test_two_places_are_refused_by_name_and_without_the_value(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    environ = {"THE_KEY": SECRET, "THE_KEY_FILE": str(path)}
    with pytest.raises(ConfigError, match="given twice") as caught:
        Secrets(environ).read("the private key", "THE_KEY")
    assert "the variable THE_KEY" in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o610, 0o666, 0o601])
def test_a_file_open_to_others_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, mode=mode)
    with pytest.raises(ConfigError) as caught:
        Secrets({"THE_KEY_FILE": str(path)}).read("the private key", "THE_KEY")
    assert str(caught.value) == f"secret file {path} is open to others (mode {mode:04o}): chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_closed_to_others_is_read(tmp_path: Path, mode: int) -> None:
    assert bytes(read_secret_file(secret_file(tmp_path, mode=mode))).strip() == SECRET.encode()


def test_a_link_is_followed_and_what_it_points_to_is_checked(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret_file(tmp_path, mode=0o644))
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret_file(link)


def test_a_file_of_somebody_else_is_refused_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, uid = secret_file(tmp_path), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match=f"belongs to user {uid}, not to {uid + 1}: chown {uid + 1} "):
        read_secret_file(path)


@pytest.mark.parametrize(("mode", "is_taken"), [(0o440, True), (0o400, True), (0o444, False), (0o460, False)])
def test_a_service_managers_file_may_be_open_to_our_group_and_no_further(
    tmp_path: Path, mode: int, is_taken: bool
) -> None:
    path = secret_file(tmp_path, mode=mode)
    try:
        taken = bool(read_secret_file(path, is_credential=True))
    except ConfigError:
        taken = False
    assert taken is is_taken


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, words in ((tmp_path, "not a regular file"), (tmp_path / "pipe", "not a regular file")):
        with pytest.raises(ConfigError, match=words):
            read_secret_file(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_secret_file(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is not text"), (bytes(MAX_BYTES + 1), "too large")],
)
def test_content_that_cannot_be_a_secret_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = secret_file(tmp_path, content)
    with pytest.raises(ConfigError, match=words):
        Secrets({}).read("it", "", path=str(path))


def test_everything_that_looks_like_a_secret_is_forgotten_and_told() -> None:
    environ = {
        "PATH": "/bin",
        "THE_KEY": SECRET,
        "TELEGRAM_BOT_TOKEN": "123:abc",
        "OTHER_SECRET": "other",
        "MY_FUNDER": "0x12",
        "THE_KEY_FILE": "/run/key",
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "EMPTY_PASSWORD": "",
    }
    secrets = Secrets(environ)
    secrets.read("the funder", "MY_FUNDER", is_public=True)
    with pytest.raises(ConfigError):
        secrets.read("it", "THE_KEY")
    assert sorted(secrets.forget()) == sorted([SECRET, "123:abc", "other"])
    assert set(environ) == {"PATH", "MY_FUNDER", "THE_KEY_FILE", "CREDENTIALS_DIRECTORY"}


def test_a_variable_named_by_a_setting_is_forgotten_whatever_its_name() -> None:
    environ = {"PLAIN": SECRET}
    secrets = Secrets(environ)
    assert secrets.read("it", "PLAIN") == SECRET
    assert secrets.forget() == [SECRET]
    assert environ == {}


PROBE = """
import os, sys
from polybot.credentials.sources import Secrets
before = open("/proc/self/environ", "rb").read()
secrets = Secrets(os.environ)
assert secrets.read("it", "THE_KEY") == sys.argv[1][::-1]
assert secrets.forget()
after = open("/proc/self/environ", "rb").read()
assert sys.argv[1][::-1].encode() in before
assert sys.argv[1][::-1].encode() not in after
assert "THE_KEY" not in os.environ and os.getenv("THE_KEY") is None
assert b"PATH=" in after and os.environ["AFTER"] == "kept" and b"AFTER=kept" in after
import subprocess
assert b"THE_KEY" not in subprocess.run(["env"], capture_output=True).stdout
"""


def test_the_kernels_copy_of_the_environment_is_overwritten_and_children_get_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, SECRET[::-1]],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "THE_KEY": SECRET, "AFTER": "kept"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


HARDENED = """
import os, resource, sys, ctypes
from polybot.credentials.process import harden_process
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
assert ctypes.CDLL(None).prctl(3) == 1
harden_process()
assert ctypes.CDLL(None).prctl(3) == 0
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
os.abort()
"""


def test_a_hardened_process_is_not_dumpable_and_leaves_no_core(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HARDENED], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=240
    )
    assert done.returncode == -6, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert ctypes.CDLL(None).prctl(3) == 1  # only that process
