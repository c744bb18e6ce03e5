"""Found by a review of the HTTP lanes, the control client and the command line: each is a scenario that failed.

The TLS cases make a throw-away authority with the openssl command and serve from it on loopback.
"""

import asyncio
import io
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from polybot.cli import load_config
from polybot.config import GatewayConfig
from polybot.config_control import ControlConfig
from polybot.control.client import _Line, _status
from polybot.control.server import MAX_AT_ONCE, ControlServer
from polybot.errors import NotSent, VenueUnavailable
from polybot.gateway.http import LaneClient
from polybot.gateway.wire import BrokenAnswer, Wire, _Answer
from polybot.tape.screen import Screen
from polybot.telemetry.redact import Redactor
from polybot.wallet.command import _open_desk

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# -- TLS --------------------------------------------------------------------------------------------


def make_certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for a DNS name, and its key, in one PEM file."""
    path = folder / f"{name}.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(path), "-out", str(path.with_suffix(".crt"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates by the name they are for."""
    folder = tmp_path_factory.mktemp("certificates")
    return {name: make_certificate(folder, name) for name in ("localhost", "elsewhere.example")}


class _Peer(asyncio.Protocol):
    """Answers whatever comes with ANSWER and keeps it."""

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard.append(data)
        self._transport.write(ANSWER)


def ask_over_tls(
    loop: Callable[[], asyncio.AbstractEventLoop], pem: Path, scenario: Callable[[LaneClient, int], Awaitable[None]]
) -> list[bytes]:
    """Run a scenario against a TLS server with this certificate; returns the clear bytes it heard."""
    heard: list[bytes] = []

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server = await asyncio.get_running_loop().create_server(lambda: _Peer(heard), "127.0.0.1", 0, ssl=context)
        client = LaneClient(GatewayConfig())
        try:
            await scenario(client, server.sockets[0].getsockname()[1])
        finally:
            await client.close()
            server.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)  # the server's view of a refusal
        runner.run(run())
    return heard


@pytest.mark.parametrize("loop", LOOPS)
def test_orders_pass_over_tls_on_one_kept_connection_when_certificate_and_name_are_right(
    loop: Callable[[], asyncio.AbstractEventLoop], certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates["localhost"]))

    async def scenario(client: LaneClient, port: int) -> None:
        for number in range(3):
            answer = await client.request("POST", f"https://localhost:{port}/order", body=b"%d" % number)
            assert (answer.status, answer.body) == (200, b"ok")
        assert [lane.opened for lane in client._lanes.values()] == [1]
        assert await client.warm(f"https://localhost:{port}/time", 2.0) == 6

    heard = b"".join(ask_over_tls(loop, certificates["localhost"], scenario))
    assert heard.count(b"POST /order HTTP/1.1\r\nHost: localhost:") == 3
    assert heard.count(b"GET /time HTTP/1.1\r\n") == 6


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("shown", "trusted", "host"),
    [
        ("localhost", None, "localhost"),  # nobody vouches for it
        ("elsewhere.example", "elsewhere.example", "localhost"),  # genuine, of somebody else
        ("localhost", "localhost", "127.0.0.1"),  # an address is not its name
        ("localhost", "elsewhere.example", "localhost"),
    ],
)
def test_a_certificate_that_is_not_the_venues_is_refused_before_a_byte_of_the_request(
    loop: Callable[[], asyncio.AbstractEventLoop],
    shown: str,
    trusted: str | None,
    host: str,
    *,
    certificates: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trusted is None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates[trusted]))
    written: list[int] = []

    async def scenario(client: LaneClient, port: int) -> None:
        with pytest.raises(NotSent, match="SSLCertVerificationError"):
            await client.request(
                "POST",
                f"https://{host}:{port}/order",
                headers={"POLY_PASSPHRASE": "secret"},
                body=b"order",
                before_write=lambda: written.append(1),
            )

    assert ask_over_tls(loop, certificates[shown], scenario) == []
    assert written == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_venue_that_never_ends_its_handshake_is_given_up_in_time(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        client = LaneClient(GatewayConfig())
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(NotSent, match="no complete answer in 0.1 s"):
            await client.request("POST", f"https://localhost:{port}/order", body=b"order", timeout_s=0.1)
        assert [lane._count for lane in client._lanes.values()] == [0]
        silent.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


# -- framing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 000 x\r\nTransfer-Encoding: chunked\r\n\r\n" + ANSWER,
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + ANSWER,
    b"HTTP/1.1 2001 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 5_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
])  # fmt: skip
def test_a_lenient_reading_of_a_number_is_no_answer(raw: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        _Answer().feed(raw)


def test_a_connection_lost_before_its_first_request_is_an_error_of_the_connection() -> None:
    async def run() -> None:
        with pytest.raises(ConnectionResetError):
            await Wire().exchange(b"GET / HTTP/1.1\r\n\r\n")

    asyncio.run(run())


def with_peer(scenario: Callable[[LaneClient, str], Coroutine[Any, Any, None]]) -> list[bytes]:
    heard: list[bytes] = []

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Peer(heard), "127.0.0.1", 0)
        client = LaneClient(GatewayConfig())
        await scenario(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await client.close()
        server.close()

    asyncio.run(run())
    return heard


@pytest.mark.parametrize("headers", [
    {"POLY_API_KEY": "a\r\nX-Other: 1"}, {"POLY_API_KEY": "a\nb"}, {"POLY_API_KEY": "\u20ac"}, {"A B": "1"}, {"": "\0"},
])  # fmt: skip
def test_a_header_that_would_be_two_is_not_sent_and_not_shown(headers: dict[str, str]) -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        with pytest.raises(NotSent, match="a header that cannot be sent"):
            await client.request("GET", f"{base}/data/orders", headers=headers)

    assert with_peer(scenario) == []


@pytest.mark.parametrize("url", [
    "http://[::1/x", "http://127.0.0.1:99999/x", "ftp://127.0.0.1:21/x", "127.0.0.1:80/x", "http://u:p@127.0.0.1/x",
    "http://127.0.0.1/x y", "http://127.0.0.1/x?q=\u20ac", "",
])  # fmt: skip
def test_what_is_no_address_is_told_as_not_sent(url: str) -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        with pytest.raises(NotSent, match="not an address"):
            await client.request("GET", url)

    assert with_peer(scenario) == []


def test_a_connection_that_comes_back_after_the_end_is_closed() -> None:
    async def scenario(client: LaneClient, base: str) -> None:
        asking = asyncio.create_task(client.request("GET", f"{base}/time"))
        lane = None
        while lane is None or not lane.opened:
            await asyncio.sleep(0)
            lane = next(iter(client._lanes.values()), None)
        await client.close()
        assert (await asking).body == b"ok"
        assert not lane._idle

    assert len(with_peer(scenario)) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_requests_leave_no_connection_counted_and_starve_nobody(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        settings = GatewayConfig()
        client = LaneClient(settings)
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/order"
        for turns in range(12):
            orders = range(settings.connections + 3)
            asking = [asyncio.create_task(client.request("POST", url, body=b"")) for _ in orders]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in asking:
                task.cancel()
            ends = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            assert [lane._count for lane in client._lanes.values()] == [0] * min(1, turns)
        with pytest.raises(VenueUnavailable, match="no complete answer"):
            await client.request("POST", url, body=b"", timeout_s=0.05)
        silent.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


# -- the command line -------------------------------------------------------------------------------


def test_a_status_that_is_refused_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"ok": False, "error": "too many requests: at most 20 a second"}
    monkeypatch.setattr(_Line, "ask", lambda *_args, **_words: refusal)
    with socket.socket() as peer:
        assert _status(_Line(peer, 1.0), ControlConfig()) == 1
    assert capsys.readouterr() == ("", "polybot: too many requests: at most 20 a second\n")


@pytest.mark.parametrize(("words", "said"), [
    (["run", "telemetry.out_dir=/proc/nobody"], "No such file or directory: '/proc/nobody'"),
    (["run", "run.state_dir=taken", "venue.attach=http://127.0.0.1:9"], "no embedded venue answers at venue.attach="),
    (["run", "venue.attach=127.0.0.1:9"], "give the address it prints, http://HOST:PORT"),
])  # fmt: skip
def test_what_a_start_fails_on_is_one_line_with_the_place_and_no_traceback(
    words: list[str], said: str, *, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    done = run_polybot(words, tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def run_polybot(words: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    home = str(Path(__file__).resolve().parent.parent)
    return subprocess.run(
        [sys.executable, "-m", "polybot", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": home}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_run_does_not_turn_orders_may_be_open_into_success(
    number: signal.Signals, tmp_path: Path, *, is_late: bool
) -> None:
    """Exit code 4 was replaced by 0 and `stopped before it began to trade`."""
    program = f"""
import os, sys
from polybot import cli, daemon
async def ends_with_orders_open(config):
    return 4
daemon.run = ends_with_orders_open
close = cli.asyncio.Runner.close
def slow_close(runner):
    os.kill(os.getpid(), {int(number)})
    close(runner)
cli.asyncio.Runner.close = slow_close
sys.argv = ["polybot", "run"]
leave = sys.exit
def late(code):  # the interpreter takes its handlers away at its end: then a signal would kill with a code of its own
    os.kill(os.getpid(), {int(number)})
    leave(code)
if {is_late}:
    cli.asyncio.Runner.close = close
    cli.sys.exit = late
cli.entry_point()
"""
    home = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": home}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (4, "")


def test_the_relayers_key_is_masked_and_forgotten_whatever_its_variable_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FERRY_TICKET", "relayer-value-0123456789")
    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", "11" * 32)
    config = load_config(["wallet", "venue=polymarket", "wallet.relayer_key_env=FERRY_TICKET"])
    redactor = Redactor()
    desk = asyncio.run(_open_desk(config, LaneClient(config.gateway), redactor))
    assert desk.relayer_key == "relayer-value-0123456789"
    assert "relayer-value" not in redactor.scrub("refused: relayer-value-0123456789")
    assert "FERRY_TICKET" not in os.environ


def test_the_last_line_of_a_recording_in_order_does_not_say_that_nothing_is_written() -> None:
    told = io.StringIO()
    packer = SimpleNamespace(free_bytes=10**9, is_alive=False)
    session: Any = SimpleNamespace(taps=(), windows=(), recorded=1, failed=0, packer=packer)
    screen = Screen(told, session, mono_ns=lambda: 0)
    screen.report(is_last=True)
    assert told.getvalue() == "record:  | gaps 0 | done 1 | failed 0 | free 1.0 GB\n"
    screen.report()
    assert "THE PACKER'S THREAD ENDED" in told.getvalue()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_flood_of_requests_in_one_piece_is_cut_short(
    loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    """A quarter of a megabyte of line ends held the loop for seconds: each was answered, in one callback."""

    async def run() -> dict[str, int]:
        acts: Any = SimpleNamespace(is_ready=True, hello=dict, status=dict)
        server = ControlServer(acts, tmp_path / "control" / "a.sock", ControlConfig(), mono_ns=lambda: 0)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "control" / "a.sock")
        writer.write(b"\n" * 100_000)
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10.0)
        writer.close()
        server.close()
        return server.counters

    with asyncio.Runner(loop_factory=loop) as runner:
        counters = runner.run(run())
    assert counters["let_go"] == 1
    assert counters["requests"] <= MAX_AT_ONCE
