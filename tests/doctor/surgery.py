"""What the doctor's tests share: one venue process on the wall's clock, faults planted in it, and looks at it.

The venue is the real child process over real sockets; only its time begins at the wall's own now, so that it can also
be taken for a venue that is no simulation (`as_real`).
"""

import asyncio
import functools
import io
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polybot.cli import load_config
from polybot.config import Config, IntervalConfig, default_config
from polybot.config_schema import to_mapping
from polybot.doctor import command
from polybot.sim.process import URL_KEYS
from tests.runs import QUIET

__all__ = ["ADDRESS", "KEY", "LIMITS", "Look", "Surgery", "begin_surgery", "look"]

INTERVAL = IntervalConfig(name="15m", duration_s=900)
# Generous limits: a machine may be slow, and what is tested is what is found, not when.
LIMITS = {
    "doctor.check_s": 60.0,
    "doctor.feed_s": 60.0,
    "gateway.skew_stop_ms": 10_000,
    "venue.request_timeout_s": 30.0,
}
# A throwaway key, and the address it belongs to.
KEY = "0x" + "2b" * 32
ADDRESS = "0x3252b7b65e50B54508974dB8d634134B0bd6be90"
NS = 1_000_000_000


@dataclass(frozen=True)
class Look:
    """One run of the doctor."""

    code: int
    ready: bool
    took_s: float
    rows: dict[str, dict[str, Any]]

    def of_level(self, level: str) -> set[str]:
        return {name for name, row in self.rows.items() if row["level"] == level}


class Surgery:
    """A venue that runs."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.urls = facts["urls"]
        self.address = facts["account"]["address"]
        self.session = facts["session_id"]

    def plant(self, **faults: Any) -> None:
        """Make these things wrong, and nothing else."""
        body = json.dumps(faults).encode()
        with urllib.request.urlopen(self.urls["sim_url"] + "/plant", data=body, timeout=30) as answer:
            assert answer.status == 200

    def open_account(self, address: str) -> None:
        """Let an address have an account, as its first mention does."""
        with urllib.request.urlopen(f"{self.urls['sim_url']}/info?address={address}", timeout=30) as answer:
            assert answer.status == 200

    def config(self, folder: Path, **changes: Any) -> Config:
        """Settings that join this venue and write below `folder` only; dots of a key as double underscores."""
        return default_config(
            **{
                "venue.attach": self.urls["sim_url"],
                "interval": INTERVAL,
                "run.state_dir": str(folder / "state"),
                "telemetry.out_dir": str(folder / "logs"),
                "doctor.json": True,
                "doctor.stay_s": 0.3,
                "doctor.listen_s": 0.3,
                **LIMITS,
                **{key.replace("__", "."): value for key, value in changes.items()},
            }
        )

    def as_real(self, folder: Path, *words: str) -> Config:
        """The real venue's settings with this one's addresses: nothing in it knows of a simulation."""
        config = _composed(*words)
        config = replace(
            config,
            run=replace(config.run, state_dir=str(folder / "state")),
            telemetry=replace(config.telemetry, out_dir=str(folder / "logs")),
        )
        urls = {key: self.urls[key] for key in URL_KEYS}
        for key in ("spot_ws_urls", "spot_rest_urls"):
            urls[key] = tuple(urls[key])
        return replace(config, venue=replace(config.venue, **urls))


@functools.cache
def _composed(*words: str) -> Config:
    """Compose once: it takes half a second."""
    limits = (f"{key}={value}" for key, value in LIMITS.items())
    return load_config(
        ["venue=polymarket", "interval=15m", "doctor.stay_s=0.3", "doctor.listen_s=0.3", *limits, *words]
    )


@contextmanager
def begin_surgery() -> Iterator[Surgery]:
    """Start the venue's process; its time is the wall's."""
    config = default_config(
        **{**QUIET, "venue.world.spot.history_h": 5.0, "interval": INTERVAL}
    )
    settings = {
        "venue": to_mapping(config.venue),
        "interval": to_mapping(config.interval),
        "asset": to_mapping(config.asset),
        "epoch_ns": time.time_ns(),
        "session_id": "surgery",
        "ledger_path": "",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "polybot.sim.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        facts = _say(process, settings)
        behind_ns = time.time_ns() - settings["epoch_ns"]
        _say(process, {"mono_ns": time.monotonic_ns() - behind_ns})
        yield Surgery({**facts, "session_id": "surgery"})
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def _say(process: subprocess.Popen[str], message: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


async def examine(config: Config) -> Look:
    """Run the command in this process."""
    out = io.StringIO()
    code = await command.run(config, out=out)
    facts = json.loads(out.getvalue())
    rows = {row["name"]: row for row in facts["checks"]}
    return Look(code, facts["ready"], facts["took_s"], rows)


def look(config: Config) -> Look:
    """The same, with a loop of its own."""
    return asyncio.run(examine(config))
