"""No secret leaves the process: canaries through every path of real runs on the embedded venue, found nowhere.

Each run has a key and API credentials of its own, given in another way, at log level TRACE, and ends in another way:
in order, by a fault in a task, by a failed invariant of the interpreter (abort), by a wild pointer (segmentation
fault).  Everything written and printed is searched, and what other processes may see while it runs: command line,
environment, control socket, what the venue tells.  tests/test_canaries.py proves that the search finds leaks.
"""

import asyncio
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from child_process import Process

from polybot.account import lent_account
from polybot.clock import SystemClock
from polybot.config import default_config
from polybot.gateway.admission import log_in, sync_clock
from polybot.gateway.auth import ApiCredentials
from polybot.gateway.http import LaneClient
from polybot.gateway.rest import lone_rest
from polybot.sim.process import fetch_info
from tests.canary import Canary, find_in_bytes, find_in_files

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("POLYBOT_SEED", "20261122"))
LIMIT_S = 240.0  # nothing takes so long, also on a busy machine
# Fast, with an edge to trade on, and quiet enough for a machine with little to spare.
WORLD = (
    "venue.speed=12",
    "venue.lead_s=240",
    "venue.makers=slow",
    "venue.seed=4",
    "venue.world.spot.trades_per_s=10",
    "venue.world.spot.bursts_per_s=5",
    "venue.world.spot.quotes_per_s=10",
    "venue.world.takers.noise_per_s=1",
)
TOKEN_NAME = "TELEGRAM_BOT_TOKEN"
PASSWORD_NAME = "CANARY_KEYSTORE_PASSWORD"
# Python, with core files as large as this machine allows.
CORES_ALLOWED = ("/bin/sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$0" "$@"', sys.executable)
# A program that runs polybot and breaks in the middle of a signed request, with secrets in every frame's variables.
BROKEN = """
import sys
from polybot.gateway import rest
private, calls = rest.ClobRest.private, []
async def breaking(self, *args, **kwargs):
    calls.append(args)
    if len(calls) > 6:
        credentials, key = self.auth.credentials, self.auth
        secret, passphrase = credentials.secret, credentials.passphrase
        raise RuntimeError("planted fault")
    return await private(self, *args, **kwargs)
rest.ClobRest.private = breaking
from polybot.cli import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Venue:
    """An embedded venue that runs in a process and a folder of its own."""

    url: str


@dataclass
class Bird:
    """One account of canaries."""

    key: bytes
    api: ApiCredentials
    password: str
    token: str

    @property
    def canaries(self) -> list[Canary]:
        hidden = [Canary("private key", "0x" + self.key.hex(), self.key)]
        hidden.append(Canary("API secret", self.api.secret, _base64_bytes(self.api.secret)))
        hidden.append(Canary("API passphrase", self.api.passphrase, bytes.fromhex(self.api.passphrase)))
        return [*hidden, Canary("keystore password", self.password), Canary("bot token", self.token)]


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    folder = tmp_path_factory.mktemp("venue")
    process = subprocess.Popen(
        [sys.executable, "-m", "polybot", "sim", *WORLD],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = next(line.partition("=")[2].strip() for line in process.stdout if "sim_url=" in line)
    yield Venue(url)
    process.terminate()
    process.communicate(timeout=LIMIT_S)


def hatch(venue: Venue, number: int) -> Bird:
    """A fresh key, an account for it at the venue, and the API credentials the venue derives for it."""
    rnd = random.Random(f"{SEED}/{number}")
    key = b"\x01" + rnd.randbytes(31)
    token = f"{rnd.randrange(10**9, 10**10)}:AA" + "".join(rnd.choices("abcdefghijklmnopqrstuvwxyzABCDEF-_0123", k=33))
    api = asyncio.run(_derive(venue, key))
    return Bird(key, api, "".join(rnd.choices("abcdefghijkmnpqrstuvwxyz23456789", k=32)), token)


async def _derive(venue: Venue, key: bytes) -> ApiCredentials:
    config = default_config()
    http = LaneClient(config.gateway)
    try:
        account = lent_account("0x" + key.hex(), config.venue, str)
        info = await fetch_info(http, venue.url, address=account.signer.address)
        assert info.private_key == ""
        place = info.venue(config.venue)
        clock = info.clock()
        assert isinstance(clock, SystemClock)
        rest = lone_rest(http, clock, venue=place, gateway=config.gateway)
        await sync_clock(rest, clock, config.gateway)
        return (await log_in(rest, account.signer)).credentials
    finally:
        await http.close()


def _base64_bytes(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text)


@contextmanager
def started(
    folder: Path, venue: Venue, bird: Bird, *words: str, program: str = "", **environ: str
) -> Iterator[Process]:
    """A daemon joined to the venue that may write core files as large as it likes; it ends with the block."""
    what = ["-c", program] if program else ["-m", "polybot"]
    settings = ["telemetry.log_level=TRACE", "telemetry.log_json=true", "telemetry.console=plain"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("POLY", "TELEGRAM"))}
    process = Process(
        folder,
        [*what, f"venue.attach={venue.url}", "strategy=[latency_arb]", *settings, *words],
        {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            TOKEN_NAME: bird.token,
            **environ,
        },
        keeps_errors_apart=True,
        begin=CORES_ALLOWED,
    )
    try:
        yield process
    finally:
        process.close()


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "kept-apart-key"
    path.write_text(text)
    path.chmod(mode)
    return path


def seen_from_outside(process: Process, folder: Path, venue: Venue) -> bytes:
    """What other processes can learn of a running daemon."""
    parts = []
    for name in ("cmdline", "environ", "status", "maps", "comm"):
        try:
            parts.append(Path(f"/proc/{process.pid}/{name}").read_bytes())
        except PermissionError:
            parts.append(b"(closed)")
    with urllib.request.urlopen(f"{venue.url}/info", timeout=LIMIT_S) as answer:
        parts.append(answer.read())
    for words in (["status"], ["status", "control.json=true"]):
        told = _polybot(folder, *words, "control.answer_s=60")
        assert told.returncode == 0, told.stderr
        parts += [told.stdout.encode(), told.stderr.encode()]
    return b"\n".join(parts)


def _polybot(folder: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(
        [sys.executable, "-m", "polybot", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S
    )


def assert_clean(folder: Path, bird: Bird, *texts: str | bytes, least_bytes: int = 5_000) -> None:
    """No canary in any file below the folder nor in the texts, no core file, and enough written to mean something."""
    hits = find_in_files(folder, bird.canaries)
    for text in texts:
        hits += find_in_bytes(text.encode() if isinstance(text, str) else text, bird.canaries)
    assert hits == [], f"seed {SEED}"
    assert [path.name for path in folder.rglob("core*") if path.is_file()] == []
    written = sum(len(path.read_bytes().rstrip(b"\0")) for path in folder.rglob("*") if path.is_file())
    assert written > least_bytes, "the run wrote next to nothing: it proves nothing"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    return work


def test_an_orderly_run_with_everything_in_the_environment_shows_nothing(venue: Venue, folder: Path) -> None:
    bird = hatch(venue, 1)
    names = {"CANARY_KEY": "0x" + bird.key.hex(), "CANARY_API_KEY": bird.api.api_key}
    names |= {"CANARY_API_SECRET": bird.api.secret, "CANARY_API_PASSPHRASE": bird.api.passphrase}
    settings = ["venue.private_key_env=CANARY_KEY", "venue.api_key_env=CANARY_API_KEY"]
    settings += ["venue.api_secret_env=CANARY_API_SECRET", "venue.api_passphrase_env=CANARY_API_PASSPHRASE"]
    shown = _polybot(folder, *settings, "--cfg", "job", "--resolve", **names)
    assert shown.returncode == 0
    assert "CANARY_API_SECRET" in shown.stdout
    with started(folder, venue, bird, *settings, **names) as process:
        process.wait_for(" FILL ", LIMIT_S)  # an order was signed, sent, matched, and told by the user channel
        outside = seen_from_outside(process, folder, venue)
        process.signal(signal.SIGTERM)
        code, _ = process.end(LIMIT_S)
    out, err = process.text(), process.errors()
    assert b"PATH=" in outside or b"(closed)" in outside
    assert b"CANARY_KEY=0x" not in outside
    assert code in (0, 4), out[-5000:] + err
    wallet = _polybot(folder, "wallet", f"venue.attach={venue.url}", *settings, **names)
    assert wallet.returncode == 0, wallet.stderr
    assert "collateral" in wallet.stdout
    assert " ORDER " in out
    printed = [out, err, outside, shown.stdout, shown.stderr, wallet.stdout, wallet.stderr]
    assert_clean(folder, bird, *printed, least_bytes=50_000)


def test_a_fault_in_a_task_shows_a_traceback_and_nothing_of_its_variables(
    venue: Venue, folder: Path, tmp_path: Path
) -> None:
    bird = hatch(venue, 2)
    path = key_file(tmp_path, bird.key.hex() + "\n")
    with started(folder, venue, bird, f"venue.private_key_file={path}", program=BROKEN) as process:
        process.end(LIMIT_S)
    out, err = process.text(), process.errors()
    log = (folder / "logs" / "log" / "polybot.log").read_text()
    assert "RuntimeError: planted fault" in log + err
    assert "Traceback" in log + err
    assert_clean(folder, bird, out, err)


@pytest.mark.parametrize(("number", "way"), [(signal.SIGABRT, "keystore"), (signal.SIGSEGV, "file")])
def test_a_crash_leaves_no_core_and_shows_nothing(
    venue: Venue, folder: Path, tmp_path: Path, number: signal.Signals, way: str
) -> None:
    bird = hatch(venue, int(number) + 10)
    text = _keystore(bird) if way == "keystore" else "0x" + bird.key.hex()
    path = key_file(tmp_path, text)
    words = [f"venue.private_key_file={path}", f"venue.keystore_password_env={PASSWORD_NAME}"]
    with started(folder, venue, bird, *words, **{PASSWORD_NAME: bird.password}) as process:
        process.wait_for("entries open", LIMIT_S)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.signal(number)
        code, _ = process.end(LIMIT_S)
    out, err = process.text(), process.errors()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert code == -number
    assert "Fatal Python error" in err
    assert_clean(folder, bird, out, err)


def _keystore(bird: Bird) -> str:
    keyfile = pytest.importorskip("eth_keyfile.keyfile")
    made: Any = keyfile.create_keyfile_json(bird.key, bird.password.encode(), kdf="pbkdf2", iterations=1_000)
    return json.dumps(made)


def test_without_the_protection_such_a_crash_does_leave_a_core_with_the_key(venue: Venue, tmp_path: Path) -> None:
    """Otherwise the absence of core files would prove nothing."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    bird = hatch(venue, 3)
    code = "import os; key = bytes.fromhex(os.environ['K']); os.abort()"
    done = subprocess.run(
        [*CORES_ALLOWED, "-c", code], cwd=tmp_path, env={"K": bird.key.hex()}, timeout=LIMIT_S
    )
    assert done.returncode == -signal.SIGABRT
    is_possible = hard != 0 and "/" not in pattern and not pattern.startswith("|")
    found = bool([hit for hit in find_in_files(tmp_path, bird.canaries) if "private key" in hit])
    assert found is is_possible


def test_a_key_file_open_to_others_is_refused_before_anything_is_written(
    venue: Venue, folder: Path, tmp_path: Path
) -> None:
    bird = hatch(venue, 4)
    path = key_file(tmp_path, bird.key.hex(), mode=0o644)
    done = _polybot(folder, f"venue.attach={venue.url}", f"venue.private_key_file={path}")
    assert done.returncode == 2
    assert done.stderr == f"polybot: error: secret file {path} is open to others (mode 0644): chmod 600 {path}\n"
    assert list(folder.iterdir()) == []
    assert find_in_bytes((done.stdout + done.stderr).encode(), bird.canaries) == []
