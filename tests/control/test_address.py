"""Where the control sockets lie: names, modes, the kernel's limit, the kill file."""

import os
import stat

import pytest

from polybot.control.address import (
    MAX_PATH_BYTES,
    check_no_kill_file,
    control_folder,
    kill_file,
    make_folder,
    socket_path,
    sockets,
)
from polybot.errors import ConfigError, KillFileFound

ACCOUNT, SESSION = "0x30EFea034C20202b6382f36cBe8eCDC347086a6b", "4f6f60a9a1488c0d"


def test_a_socket_is_named_by_account_and_session_and_two_sessions_differ(tmp_path):
    short = tmp_path.relative_to(tmp_path.parent)
    path = socket_path(short, ACCOUNT, SESSION)
    assert path.name == f"{ACCOUNT.lower()}-{SESSION}.sock"
    assert path.parent == control_folder(short)
    assert socket_path(short, ACCOUNT, "f" * 16) != path


def test_a_name_that_does_not_fit_the_kernels_limit_becomes_its_hash(tmp_path):
    folder = tmp_path / ("d" * (70 - len(os.fsencode(tmp_path)))) if len(str(tmp_path)) < 69 else tmp_path
    path = socket_path(folder, ACCOUNT, SESSION)
    other = socket_path(folder, ACCOUNT, "0" * 16)
    assert len(os.fsencode(path)) <= MAX_PATH_BYTES
    assert (len(path.stem), path.suffix) == (16, ".sock")
    assert other != path


def test_a_folder_that_leaves_no_room_is_refused_with_the_setting_and_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match=r"run\.state_dir=.*107 are possible; choose a shorter folder"):
        socket_path(tmp_path / ("x" * 100), ACCOUNT, SESSION)


def test_odd_characters_of_an_account_cannot_leave_the_folder(tmp_path):
    short = tmp_path.relative_to(tmp_path.parent)
    path = socket_path(short, "../../etc/x y", "s")
    assert path.parent == control_folder(short)
    assert path.name == ".._.._etc_x_y-s.sock"


def test_the_folder_is_ours_alone_also_when_it_was_open_before(tmp_path):
    control_folder(tmp_path).mkdir(mode=0o777)
    control_folder(tmp_path).chmod(0o777)
    folder = make_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "a.sock").touch()
    (folder / "a.new").touch()
    assert [path.name for path in sockets(tmp_path)] == ["a.sock"]


def test_a_kill_file_of_any_content_keeps_a_start_from_happening_and_is_named(tmp_path):
    check_no_kill_file(tmp_path)
    check_no_kill_file(tmp_path / "not there")
    kill_file(tmp_path).touch()
    with pytest.raises(KillFileFound, match=f"{kill_file(tmp_path)} is there.*remove it, start again"):
        check_no_kill_file(tmp_path)
