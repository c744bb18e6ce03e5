"""Processes beside a daemon, with small scripts in their place: what they get, how they are kept, how they end.

Every wait is for a condition with a generous limit; the scripts are real processes.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from polybot.companions import BoundedFile, Companion, Companions, read_given
from polybot.config import default_config
from polybot.config_service import ServiceConfig
from polybot.credentials.sources import Secrets
from polybot.telemetry.redact import Redactor

LIMIT_S = 60.0
TOKEN = "123456789:" + "AAc0ffee" * 4 + "abc"
QUICK = ServiceConfig(respawn_min_s=0.01, respawn_max_s=0.04, stop_s=LIMIT_S)
READ = "import json, os, sys; given = json.loads(sys.stdin.buffer.readline())\n"
UNTIL_EOF = "sys.stdin.buffer.read()\n"


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what or "in vain"
        threading.Event().wait(0.005)


class Beside:
    """One companion made of a script, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[tuple[str, str]] = []
        self.made: list[Companion] = []
        self.redactor = Redactor(TOKEN)

    def start(self, script: str, *, settings: ServiceConfig = QUICK, command: tuple[str, ...] = ()) -> Companion:
        companion = Companion(
            "echo",
            {"name": "echo", "secrets": {"token": TOKEN}, "folder": str(self.folder)},
            settings=settings,
            tell=lambda level, text: self.told.append((level, text)),
            errors=BoundedFile(self.folder / "log" / "echo.stderr", limit_bytes=4_000, scrub=self.redactor.scrub),
            command=command or (sys.executable, "-I", "-S", "-c", READ + script),
        )
        self.made.append(companion)
        companion.begin()
        return companion

    def texts(self, level: str = "") -> list[str]:
        return [text for one, text in self.told if level in ("", one)]


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    made = Beside(tmp_path)
    yield made
    for companion in made.made:
        companion.let_go()
        assert companion.wait(LIMIT_S)


def test_its_settings_and_secrets_come_by_the_pipe_and_stand_in_no_environment_or_argument(beside: Beside) -> None:
    companion = beside.start(f"print(len(given['secrets']['token']), given['name'], flush=True)\n{UNTIL_EOF}")
    wait_until(beside.texts)
    assert beside.told == [("INFO", f"echo: {len(TOKEN)} echo")]
    shown = b"".join(Path(f"/proc/{companion.pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
    assert TOKEN.encode() not in shown
    assert b"PATH" in shown


def test_it_sees_the_end_of_its_stdin_when_it_is_let_go_and_may_say_its_last_word(beside: Beside) -> None:
    companion = beside.start(
        f"print('up', flush=True)\n{UNTIL_EOF}open(given['folder'] + '/last', 'w').write('bye')\n"
    )
    wait_until(beside.texts)
    companion.let_go()
    assert companion.wait(LIMIT_S)
    assert (beside.folder / "last").read_text() == "bye"
    assert beside.texts("WARNING") == []
    assert companion.deaths == 0


def test_one_that_does_not_end_is_killed_and_nobody_waits_longer(beside: Beside) -> None:
    companion = beside.start("import time\nprint('up', flush=True)\nwhile True: time.sleep(60)\n")
    wait_until(beside.texts)
    pid = companion.pid
    companion.let_go()
    begun = time.monotonic()
    assert not companion.wait(0.05)
    assert time.monotonic() - begun < LIMIT_S
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it outlived its kill")


def test_one_that_never_reads_cannot_keep_the_daemon_from_ending(tmp_path: Path) -> None:
    told: list[str] = []
    companion = Companion(
        "deaf",
        {"much": "x" * 1_000_000},
        settings=QUICK,
        tell=lambda level, text: told.append(text),
        errors=BoundedFile(tmp_path / "e", limit_bytes=1_000, scrub=str),
        command=(sys.executable, "-I", "-S", "-c", "import time\nwhile True: time.sleep(60)"),
    )
    companion.begin()
    wait_until(lambda: companion.pid)
    begun = time.monotonic()
    companion.let_go()
    assert time.monotonic() - begun < 5.0
    assert not companion.wait(0.05)


def test_a_dead_one_is_started_again_after_growing_pauses_and_every_death_is_counted(beside: Beside) -> None:
    companion = beside.start("sys.stderr.write('fell over\\n'); sys.exit(7)\n")
    wait_until(lambda: companion.deaths >= 4)
    companion.let_go()
    assert companion.wait(LIMIT_S)
    words = "echo ended (exit code 7: fell over), for the {}. time; started again in {:g} s"
    assert beside.texts("WARNING")[:4] == [words.format(*pair) for pair in ((1, 0.01), (2, 0.02), (3, 0.04), (4, 0.04))]
    assert companion.starts >= 4


def test_one_that_lived_long_begins_with_the_shortest_pause_again(beside: Beside) -> None:
    companion = beside.start("sys.exit(7)\n", settings=replace(QUICK, respawn_reset_s=0.1, respawn_min_s=0.001))
    wait_until(lambda: companion.deaths >= 2)
    assert {text.rpartition(" in ")[2] for text in beside.texts("WARNING")} <= {"0.001 s", "0.002 s", "0.004 s"}
    slow = beside.start("import time\ntime.sleep(0.3)\nsys.exit(7)\n", settings=replace(QUICK, respawn_reset_s=0.1))
    wait_until(lambda: slow.deaths >= 3)
    assert {text.rpartition(" in ")[2] for text in beside.texts("WARNING") if "0.01 s" in text} == {"0.01 s"}


def test_a_killed_one_is_named_by_its_signal_and_comes_back(beside: Beside) -> None:
    companion = beside.start(f"print('up', flush=True)\n{UNTIL_EOF}")
    wait_until(beside.texts)
    pid = companion.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: beside.texts("INFO") == ["echo: up"] * 2)
    assert "echo ended (signal 9), for the 1. time" in beside.texts("WARNING")[0]


def test_a_wrong_setting_is_told_once_and_not_tried_again(beside: Beside) -> None:
    companion = beside.start("sys.stderr.write('polybot: error: no chat\\n'); sys.exit(2)\n")
    assert companion.wait(LIMIT_S)
    assert beside.told == [("WARNING", "echo is OFF until the next start: exit code 2: polybot: error: no chat")]
    assert (companion.starts, companion.deaths) == (1, 1)


def test_a_program_that_is_not_there_is_told_and_nothing_is_raised(beside: Beside) -> None:
    companion = beside.start("", command=("/nowhere/program",))
    wait_until(lambda: companion.deaths >= 2)
    assert "echo ended (it could not be started: [Errno 2]" in beside.texts("WARNING")[0]
    assert companion.starts == 0


def test_what_it_says_on_stderr_is_scrubbed_and_the_file_is_bounded(beside: Beside) -> None:
    script = "for n in range(400): sys.stderr.write(f'{n} the token is {given[\"secrets\"][\"token\"]}\\n')\n"
    companion = beside.start(f"{script}print('done', flush=True)\n{UNTIL_EOF}")
    wait_until(beside.texts)
    companion.let_go()
    assert companion.wait(LIMIT_S)
    now, before = ((beside.folder / "log" / name).read_text() for name in ("echo.stderr", "echo.stderr.1"))
    assert TOKEN not in now + before
    assert now.endswith("399 the token is [redacted]\n")
    assert len(now) <= 4_000
    assert len(before) <= 4_000


def test_the_first_lines_of_stdout_become_notices_and_a_flood_does_not(beside: Beside) -> None:
    beside.start(f"for n in range(500): print(n)\nprint(flush=True)\nsys.stderr.write('end\\n')\n{UNTIL_EOF}")
    wait_until((beside.folder / "log" / "echo.stderr").exists)
    wait_until(lambda: len(beside.texts()) >= 20)
    assert beside.texts() == [f"echo: {n}" for n in range(20)]


def test_a_line_that_begins_with_the_name_is_not_named_twice(beside: Beside) -> None:
    beside.start(f"print('echo  http://127.0.0.1:1/', flush=True)\n{UNTIL_EOF}")
    wait_until(beside.texts)
    assert beside.texts() == ["echo  http://127.0.0.1:1/"]


def test_one_that_was_never_begun_never_starts(tmp_path: Path) -> None:
    config = default_config(**{"telemetry.out_dir": str(tmp_path), "dashboard.enabled": True})
    all_of_them = Companions.of(config, {"dashboard": {}}, target="a-s", scrub=str, tell=lambda *_: None)
    all_of_them.let_go()
    all_of_them.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_lines_of_its_stderr_and_they_are_counted(tmp_path: Path) -> None:
    (tmp_path / "echo.stderr").symlink_to("/dev/full")
    lines = BoundedFile(tmp_path / "echo.stderr", limit_bytes=1_000, scrub=str)
    lines.add(b"one")
    lines.add(b"two")
    assert lines.lost == 2


# -- what is wanted -----------------------------------------------------------------------------------------------


def asked(environ: dict[str, str], **settings: object) -> tuple[dict[str, dict[str, str]], list[str], list[str]]:
    hidden: list[str] = []
    given, problems = read_given(default_config(**settings), Secrets(environ), hidden.append)
    return given, problems, hidden


def test_nothing_runs_beside_unless_it_is_enabled() -> None:
    assert asked({"TELEGRAM_BOT_TOKEN": TOKEN}) == ({}, [], [])


def test_the_token_is_hidden_before_anything_can_show_it() -> None:
    environ = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "42"}
    given, problems, hidden = asked(environ, **{"telegram.enabled": True, "dashboard.enabled": True})
    assert problems == []
    assert hidden == [TOKEN]
    assert given["telegram"]["token"] == TOKEN
    assert given["dashboard"] == {}


def test_a_missing_token_keeps_nothing_from_starting_but_telegram() -> None:
    given, problems, _ = asked({}, **{"telegram.enabled": True, "dashboard.enabled": True})
    assert list(given) == ["dashboard"]
    assert len(problems) == 1
    assert problems[0].startswith("telegram is OFF: no Telegram token is given: TELEGRAM_BOT_TOKEN=...")


def test_without_the_control_socket_nothing_runs_beside_and_the_banner_says_why() -> None:
    given, problems, _ = asked({}, **{"dashboard.enabled": True, "control.enabled": False})
    assert given == {}
    assert problems == ["telegram and dashboard are OFF: they need the control socket (control.enabled=true)"]


def test_the_message_is_what_the_child_takes_apart(tmp_path: Path) -> None:
    from polybot.config import config_from_mapping, config_to_mapping

    config = default_config(**{"telemetry.out_dir": str(tmp_path), "service.nice": 7})
    assert config_from_mapping(json.loads(json.dumps(config_to_mapping(config)))) == config
