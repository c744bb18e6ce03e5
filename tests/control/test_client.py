"""status, halt, resume, flatten, kill from the operator's side: which daemon is meant, what is printed, exit codes."""

import asyncio
import json
import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from polybot.cli import EXIT_NO_DAEMON, main
from polybot.config import default_config
from polybot.config_control import ControlConfig
from polybot.control import client
from polybot.control.address import kill_file, socket_path
from polybot.control.server import ControlServer
from polybot.errors import NoDaemon

ACCOUNT = "0x30EFea034C20202b6382f36cBe8eCDC347086a6B"


class Acts:
    """An operator of a daemon that does as it is told."""

    is_ready = True

    def __init__(self, session, end=None):
        self.session = session
        self.end = end
        self.done = []

    def halt(self, by, reason):
        self.done.append(("halt", by, reason))
        return "halted: so it is"

    resume = flatten = halt

    def kill(self, by, reason):
        self.done.append(("kill", by, reason))
        if self.end is not None:
            asyncio.get_running_loop().call_later(0.05, self.end)
        return "killed: so it is"

    def hello(self):
        return {"account": ACCOUNT, "session": self.session, "pid": os.getpid(), "mode": "live", "venue": "sim"}

    def status(self):
        return {**self.hello(), "secret_of_life": 42}


@contextmanager
def daemons(folder, *sessions, last_word=None, acts_like=Acts):
    """Control servers of so many daemons, served by a thread of their own."""
    begun, loop = threading.Event(), uvloop.new_event_loop()
    servers, acts = [], []

    async def begin():
        for session in sessions:
            one = acts_like(session)
            server = ControlServer(
                one, socket_path(folder, ACCOUNT, session), ControlConfig(), mono_ns=lambda: 0
            )
            one.end = lambda server=server: server.close(last_word)
            await server.start()
            servers.append(server)
            acts.append(one)
        begun.set()

    def live():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(begin())
        loop.run_forever()

    thread = threading.Thread(target=live)
    thread.start()
    assert begun.wait(60.0)
    try:
        yield acts
    finally:
        loop.call_soon_threadsafe(lambda: [server.close() for server in servers])
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60.0)
        loop.close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path.__class__("state")


def command(verb, **settings):
    patient = {"answer_s": 60.0, "stop_s": 60.0, **settings}
    return client.run(default_config(**{f"control.{key}": value for key, value in patient.items()}), verb)


def test_without_a_daemon_a_command_says_how_to_start_one_and_exits_with_3(folder, capsys):
    assert main(["status"]) == EXIT_NO_DAEMON == 3
    said = capsys.readouterr().err
    assert "no daemon found in state/control: start one" in said
    assert "run.state_dir" in said
    assert "KILL" not in said
    folder.mkdir()
    kill_file(folder).touch()
    with pytest.raises(NoDaemon, match=r"state/KILL is there, and nothing starts until it is removed"):
        command("status")


def test_a_dead_daemons_socket_is_no_daemon(folder):
    path = socket_path(folder, ACCOUNT, "s")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fspath(path))
    with pytest.raises(NoDaemon, match="no daemon found"):
        command("halt")


def test_acts_reach_the_only_daemon_with_their_reason(folder, capsys):
    with daemons(folder, "aaaa") as (acts,):
        assert command("halt", reason="news") == 0
        assert command("resume", json=True) == 0
        assert [(what[0], what[2]) for what in acts.done] == [("halt", "news"), ("halt", "")]
        assert acts.done[0][1] == f"command line (uid {os.getuid()})"
    text, line = capsys.readouterr().out.splitlines()
    assert text == "halted: so it is"
    assert json.loads(line)["ok"]


def test_status_for_programs_is_one_line_of_json(folder, capsys):
    with daemons(folder, "aaaa"):
        assert command("status", json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["secret_of_life"], facts["session"], facts["control"]["requests"]) == (42, "aaaa", 2)


def test_of_several_daemons_the_one_meant_must_be_named_and_can_be_by_any_beginning(folder):
    with daemons(folder, "aaaa", "bbbb") as (first, second):
        with pytest.raises(NoDaemon, match="2 daemons run here: say which") as caught:
            command("halt")
        listed = [line.split()[0] for line in str(caught.value).splitlines()[1:]]
        assert listed == [f"control.account={ACCOUNT}-{session}" for session in ("aaaa", "bbbb")]
        with pytest.raises(NoDaemon, match="no daemon fits control.account=cccc"):
            command("halt", account="cccc")
        with pytest.raises(NoDaemon, match="say which"):
            command("halt", account="0x30e")
        assert (first.done, second.done) == ([], [])
        assert command("halt", account="b") == 0
        assert command("halt", account=f"{ACCOUNT.lower()}-bb") == 0
        assert (len(first.done), len(second.done)) == (0, 2)


@pytest.mark.parametrize(
    ("last_word", "code", "said"),
    [
        ({"ended": True, "orders_may_be_open": False}, 0, "it ended with no order open"),
        ({"ended": True, "orders_may_be_open": True}, 4, "ORDERS MAY BE OPEN"),
        (None, 4, "ORDERS MAY BE OPEN"),
    ],
)
def test_kill_waits_for_the_end_and_says_how_it_was(folder, capsys, last_word, code, said):
    with daemons(folder, "aaaa", last_word=last_word) as (acts,):
        assert command("kill", reason="enough") == code
        assert acts.done[0][2] == "enough"
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_a_daemon_that_does_not_end_is_named_with_the_alarm(folder, capsys):
    with daemons(folder, "aaaa") as (acts,):
        acts.end = None
        assert command("kill", stop_s=1.0) == 4
    assert f"process {os.getpid()} has not ended after 1 s: ORDERS MAY BE OPEN" in capsys.readouterr().err


def test_a_daemon_that_hangs_is_not_waited_for_longer_than_answer_s(folder):
    path = socket_path(folder, ACCOUNT, "s")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(os.fspath(path))
        hung.listen()
        with pytest.raises(NoDaemon, match=f"process {os.getpid()} .* does not answer: it hangs.*ORDERS MAY BE OPEN"):
            command("status", answer_s=0.2)


def test_a_daemon_that_was_killed_is_not_told_as_one_that_never_ran(folder):
    path = socket_path(folder, ACCOUNT, "s")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(os.fspath(path))  # the file stays when it is closed, as after a kill -9
    with pytest.raises(NoDaemon, match="without a last word .*ORDERS MAY BE OPEN.*start it again"):
        command("status")


def test_a_socket_whose_path_is_too_long_for_a_client_is_named_with_the_way_out(folder):
    far = Path(folder, "f" * 110)
    control = far / "control"
    control.mkdir(parents=True)
    (control / "0xaa-s.sock").touch()  # the daemon, started inside that folder, had a shorter name for it
    with pytest.raises(NoDaemon, match="nothing can connect to a path of .* in the folder the daemon was started in"):
        client.run(default_config(**{"run.state_dir": str(far)}), "status")


def test_a_daemon_that_still_starts_is_asked_again(folder):
    with daemons(folder, "aaaa") as (acts,):
        acts.is_ready = False
        threading.Timer(0.3, lambda: setattr(acts, "is_ready", True)).start()
        assert command("halt") == 0
        assert len(acts.done) == 1
