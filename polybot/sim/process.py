"""The embedded venue as a process of its own, and the parent's handle on it.

Protocol over the child's pipes, one JSON object per line:

    parent -> child   settings: venue, interval, asset, epoch_ns, session_id, ledger_path
    child  -> parent  {"ready": true, "urls": ..., "account": ...}  or  {"error": "..."}
    parent -> child   {"mono_ns": ...}: the monotonic time at which venue time is epoch_ns
    stdin closes      the child stops serving, seals its ledger and exits

The child (polybot.sim.child) has a process session of its own: Ctrl-C reaches the parent only, which can still
cancel its orders; and it ends with its parent, however that ends.  `fetch_info` reads the same facts from /info of
a venue that already runs.  Imports nothing of the venue itself: a daemon's start does not wait for it.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from polybot.clock import SystemClock, wall_clock
from polybot.config import Config, VenueConfig
from polybot.config_schema import to_mapping
from polybot.errors import ConfigError, VenueError, VenueUnavailable
from polybot.sim.opening import new_session_id, opening
from polybot.transport import HttpClient

__all__ = ["LINE_BYTES", "SimInfo", "SimProcess", "child_environment", "fetch_info"]

NS = 1_000_000_000
READY_S = 60.0  # wall: the child must be ready by then
STOP_S = 5.0  # wall: it must be gone by then, or it is killed
LINE_BYTES = 1 << 20
URL_KEYS = (
    "clob_url",
    "gamma_url",
    "market_ws_url",
    "user_ws_url",
    "rtds_url",
    "polybolt_url",
    "geoblock_url",
    "spot_ws_urls",
    "spot_rest_urls",
)


@dataclass(frozen=True, slots=True)
class SimInfo:
    """How to reach a running embedded venue."""

    urls: Mapping[str, Any]  # VenueConfig's names, and sim_url
    epoch_ns: int
    mono_ns: int
    speed: float
    session_id: str
    address: str
    private_key: str  # of the test account, which holds test money only; "" for a key of the caller's own
    facts: Mapping[str, Any]  # what is simulated, for the banner

    def clock(self) -> SystemClock:
        """Venue time as the venue itself has it."""
        return SystemClock(self.epoch_ns, self.mono_ns, self.speed)

    def venue(self, config: VenueConfig) -> VenueConfig:
        """The configuration with this venue's addresses and speed filled in."""
        urls = {key: self.urls[key] for key in URL_KEYS}
        for key in ("spot_ws_urls", "spot_rest_urls"):
            urls[key] = tuple(urls[key])
        return replace(config, **urls, speed=self.speed)


class SimProcess:
    """A child process that serves the venue; `info` tells how to reach it."""

    def __init__(self, process: asyncio.subprocess.Process, info: SimInfo) -> None:
        self.info = info
        self._process = process

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Still there?"""
        return self._process.returncode is None

    @classmethod
    async def start(
        cls, config: Config, *, ledger_path: Path | None = None, log_path: Path | None = None
    ) -> "SimProcess":
        """Start a fresh venue and return when it serves.

        `ledger_path` is where the venue keeps its own books; `log_path` gets its stderr.
        Raises ConfigError for settings it refuses, VenueError when it does not come up.
        """
        opens = opening(config.venue, config.interval, wall_clock().now_ns())
        session_id = new_session_id(config.venue.seed, opens.epoch_ns, secrets.token_hex(8))
        settings = {
            "venue": to_mapping(config.venue),
            "interval": to_mapping(config.interval),
            "asset": to_mapping(config.asset),
            "epoch_ns": opens.epoch_ns,
            "session_id": session_id,
            "ledger_path": str(ledger_path) if ledger_path else "",
        }
        log: IO[bytes] | None = log_path.open("ab") if log_path else None
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "polybot.sim.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=child_environment(),
                start_new_session=True,
                limit=LINE_BYTES,
            )
        finally:
            if log is not None:
                log.close()
        try:
            async with asyncio.timeout(READY_S):
                ready = await _ask(process, settings)
                mono_ns = wall_clock().mono_ns()
                mono_ns += int(config.venue.world.lifecycle.start_delay_s * NS)
                await _ask(process, {"mono_ns": mono_ns})
        except TimeoutError:
            await _end(process)
            raise VenueError(f"the embedded venue was not ready within {READY_S:g} s") from None
        except BaseException:
            await _end(process)
            raise
        facts = {**ready, "epoch_ns": opens.epoch_ns, "mono_ns": mono_ns, "session_id": session_id}
        return cls(process, _info(facts))

    async def stop(self) -> int:
        """Close its stdin and wait; kill it when it does not end. Returns the exit code."""
        return await _end(self._process)


async def fetch_info(http: HttpClient, sim_url: str, *, account: str = "main", address: str = "") -> SimInfo:
    """Read how to join a venue that already runs (`venue.attach`); raises VenueError.

    `address` opens an account for a key of the caller's own, which stays with the caller.
    """
    query = f"address={address}" if address else f"account={account}"
    try:
        answer = await http.request("GET", f"{sim_url.rstrip('/')}/info?{query}")
    except VenueUnavailable as error:
        raise VenueError(
            f"no embedded venue answers at venue.attach={sim_url} ({error}): start one with `python -m polybot sim` "
            "and give the address it prints, http://HOST:PORT"
        ) from None
    if answer.status != 200:
        raise VenueError(f"{sim_url} is no embedded venue: status {answer.status}")
    try:
        return _info(json.loads(answer.body))
    except (ValueError, KeyError, TypeError) as error:
        raise VenueError(f"{sim_url} is no embedded venue: {error!r}") from error


def child_environment() -> dict[str, str]:
    """What Python needs to find polybot again, and nothing else: no secret of the parent's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PYTHON", "LC_", "LD_")) or name in ("PATH", "LANG", "TMPDIR", "VIRTUAL_ENV")
    }
    package_home = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join([package_home, *filter(None, [kept.get("PYTHONPATH")])])
    return kept


def _info(facts: Mapping[str, Any]) -> SimInfo:
    return SimInfo(
        facts["urls"],
        facts["epoch_ns"],
        facts["mono_ns"],
        facts["speed"],
        facts["session_id"],
        facts["account"]["address"],
        facts["account"].get("private_key", ""),
        {key: facts[key] for key in ("seed", "makers", "spot", "oracle_history")},
    )


async def _ask(process: asyncio.subprocess.Process, message: Mapping[str, Any]) -> dict[str, Any]:
    """Write one line to the child and read its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    with suppress(ConnectionError):  # an early exit shows as an empty answer
        await process.stdin.drain()
    line = await process.stdout.readline()
    if not line:
        raise VenueError(f"the embedded venue ended at once (exit code {await process.wait()})")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise ConfigError(answer["error"])
    return answer


async def _end(process: asyncio.subprocess.Process) -> int:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            return await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        return await process.wait()
