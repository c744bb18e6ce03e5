"""The control socket over a real unix socket: answers, bounds, strangers, stale files, the last word."""

import asyncio
import json
import os
import socket
import stat
import struct

import pytest
import uvloop

from polybot.config_control import ControlConfig
from polybot.control import server as server_module
from polybot.control.address import control_folder, socket_path
from polybot.control.server import ControlServer, is_answered
from polybot.errors import AlreadyRunning


class Acts:
    """An operator that remembers what it was asked."""

    def __init__(self):
        self.is_ready = True
        self.done = []
        self.mono_ns = 0

    def _do(self, *what):
        self.done.append(what)
        return what[0]

    def halt(self, by, reason):
        return self._do("halted", by, reason)

    def resume(self, by, reason=""):
        return self._do("resumed", by, reason)

    def flatten(self, by, reason):
        return self._do("flattened", by, reason)

    def kill(self, by, reason):
        return self._do("killed", by, reason)

    def hello(self):
        return {"account": "a", "session": "s", "pid": os.getpid()}

    def status(self):
        return {"account": "a", "value": float("nan")}


def serve(folder, talk, *, acts=None, **changes):
    """Run `talk(server, path, acts)` beside a server in `folder`."""
    acts = acts or Acts()

    async def live():
        path = socket_path(folder, "a", "s")
        server = ControlServer(acts, path, ControlConfig(**changes), mono_ns=lambda: acts.mono_ns)
        await server.start()
        try:
            async with asyncio.timeout(60.0):
                return await talk(server, path, acts)
        finally:
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon does
        return runner.run(live())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A state folder with a short name."""
    monkeypatch.chdir(tmp_path)
    return tmp_path.__class__("state")


async def ask(path, *lines):
    """Send raw lines on one connection; the answers, up to the end of the connection or one per line."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"".join(lines))
    answers = []
    for _ in lines:
        line = await reader.readline()
        if not line:
            break
        answers.append(json.loads(line))
    writer.close()
    return answers


def verb(name, **words):
    return json.dumps({"do": name, **words}).encode() + b"\n"


def test_every_verb_reaches_the_operator_with_who_asked_and_why(folder):
    async def talk(server, path, acts):
        sent = [verb(name, reason="r", via="phone") for name in ("halt", "resume", "flatten", "kill")]
        answers = await ask(path, *sent, verb("hello"), verb("status"))
        assert [answer["ok"] for answer in answers] == [True] * 6
        assert [answer.get("text") for answer in answers[:4]] == ["halted", "resumed", "flattened", "killed"]
        by = f"phone (uid {os.getuid()})"
        assert acts.done == [(name, by, "r") for name in ("halted", "resumed", "flattened", "killed")]
        assert answers[4]["pid"] == os.getpid()
        assert answers[5]["value"] is None
        assert answers[5]["control"]["requests"] == 6

    serve(folder, talk)


def test_garbage_gets_an_error_is_counted_and_does_not_end_the_connection(folder):
    async def talk(server, path, acts):
        answers = await ask(path, b"hello\n", b"\xff\xff\n", b"\n", verb("explode"), verb("hello"))
        assert [answer["ok"] for answer in answers] == [False, False, False, False, True]
        assert all(answer["error"] for answer in answers[:4])
        assert (server.counters["refused"], acts.done) == (4, [])

    serve(folder, talk)


def test_a_request_without_an_end_is_refused_and_its_client_let_go(folder):
    async def talk(server, path, acts):
        for payload in (b"x" * 5_000, b"x" * 5_000 + b"\n" + verb("kill")):
            (answer,) = await ask(path, payload)
            assert "too long" in answer["error"]
        assert server.counters["let_go"] == 2
        assert acts.done == []
        assert (await ask(path, verb("hello")))[0]["ok"]

    serve(folder, talk)


def test_more_requests_than_the_rate_are_refused_until_time_has_passed(folder):
    async def talk(server, path, acts):
        answers = await ask(path, *[verb("hello")] * 8)
        assert [answer["ok"] for answer in answers] == [True] * 5 + [False] * 3
        assert "too many requests" in answers[-1]["error"]
        acts.mono_ns += 200_000_000  # one token at 5 a second
        answers = await ask(path, *[verb("hello")] * 2)
        assert [answer["ok"] for answer in answers] == [True, False]

    serve(folder, talk, requests_per_s=5.0)


def test_one_client_too_many_is_closed_unanswered_and_the_others_go_on(folder):
    async def talk(server, path, acts):
        kept = [await asyncio.open_unix_connection(path) for _ in range(2)]
        for reader, writer in kept:
            writer.write(verb("hello"))
            assert json.loads(await reader.readline())["ok"]
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
        assert server.counters["turned_away"] == 1
        kept[0][1].write(verb("hello"))
        assert json.loads(await kept[0][0].readline())["ok"]
        for _, writer in kept:
            writer.close()

    serve(folder, talk, clients=2)


def test_another_user_is_turned_away(folder, monkeypatch):
    monkeypatch.setattr(server_module.os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(server_module, "ROOT_UID", os.getuid() + 2)

    async def talk(server, path, acts):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
        assert server.counters["turned_away"] == 1

    serve(folder, talk)


def test_a_client_that_does_not_read_its_answers_is_let_go(folder, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_UNREAD_BYTES", 1_000)
    acts = Acts()
    acts.status = lambda: {"text": "x" * 200_000}

    async def talk(server, path, acts):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.connect(os.fspath(path))
        with peer:
            peer.sendall(verb("status") * 20)
            while not server.counters["let_go"]:
                await asyncio.sleep(0)
        assert (await ask(path, verb("hello")))[0]["ok"]

    serve(folder, talk, acts=acts, requests_per_s=1_000.0)


def test_a_client_that_says_nothing_is_let_go(folder):
    async def talk(server, path, acts):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
        assert server.counters["let_go"] == 1

    serve(folder, talk, idle_s=0.1)


def test_acts_are_put_off_until_the_daemon_has_begun_and_looks_are_not(folder):
    async def talk(server, path, acts):
        acts.is_ready = False
        answers = await ask(path, verb("halt"), verb("kill"), verb("hello"), verb("status"))
        assert [answer["ok"] for answer in answers] == [False, False, True, True]
        assert answers[0]["starting"]
        assert acts.done == []

    serve(folder, talk)


def test_the_socket_is_0600_in_a_0700_folder_and_gone_with_its_empty_folders_at_the_end(folder):
    async def talk(server, path, acts):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(control_folder(folder).stat().st_mode) == 0o700
        assert [entry.name for entry in control_folder(folder).iterdir()] == [path.name]

    serve(folder, talk)
    assert not folder.exists()


def test_folders_with_something_of_others_stay(folder):
    async def talk(server, path, acts):
        (folder / "ledger").touch()

    serve(folder, talk)
    assert [entry.name for entry in folder.iterdir()] == ["ledger"]


def test_the_socket_file_of_a_dead_process_is_replaced(folder):
    path = socket_path(folder, "a", "s")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fspath(path))
        dead.listen()
    assert path.exists()
    assert not is_answered(path)

    async def talk(server, path, acts):
        assert (await ask(path, verb("hello")))[0]["ok"]

    serve(folder, talk)


def test_a_socket_that_is_answered_is_not_taken_over(folder):
    async def talk(server, path, acts):
        rival = ControlServer(Acts(), path, ControlConfig(), mono_ns=lambda: 0)
        with pytest.raises(AlreadyRunning, match="another daemon answers"):
            await rival.start()
        rival.close()
        assert (await ask(path, verb("hello")))[0]["ok"]

    serve(folder, talk)


def test_who_waits_hears_the_last_word_and_then_the_end(folder):
    async def talk(server, path, acts):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(verb("kill"))
        assert json.loads(await reader.readline())["text"] == "killed"
        server.close({"ok": True, "ended": True, "orders_may_be_open": False})
        assert json.loads(await reader.readline())["ended"]
        assert await reader.read() == b""
        writer.close()
        assert not path.exists()

    serve(folder, talk)


def test_a_peers_user_is_asked_of_the_kernel():
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        credentials = left.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, server_module.PEER_CREDENTIALS.size)
    assert server_module.PEER_CREDENTIALS.unpack(credentials) == (os.getpid(), os.getuid(), os.getgid())
    assert server_module.PEER_CREDENTIALS.size == struct.calcsize("3i")
