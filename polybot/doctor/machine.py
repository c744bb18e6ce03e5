"""Checks of this machine: settings, folders, disk, cores, who else runs, the kill file, the companions' settings.

Owns what each sees and its fix; every rule is its owner's: the engine's assembly, the journal's reader and lock, the
control socket's names, the companions' own readers.  Nothing is left behind but an empty lock file that was there.
Called by doctor.rounds through doctor.checks.
"""

import asyncio
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from polybot.assembly import build_engine
from polybot.config import Config, observed_intervals
from polybot.control.address import check_no_kill_file, kill_file, socket_path
from polybot.doctor.site import Site, beside
from polybot.doctor.verdict import Verdict, fail, inapplicable, ok, warn
from polybot.errors import AlreadyRunning, ConfigError, KillFileFound, StateDamaged
from polybot.journal.journal import folder_of
from polybot.journal.lock import AccountLock
from polybot.journal.reader import recover
from polybot.loop_cores import choose_cores
from polybot.telemetry.dashboard.access import check_host

__all__ = [
    "check_cores",
    "check_dashboard",
    "check_disk",
    "check_instance",
    "check_journal",
    "check_kill_file",
    "check_settings",
    "check_state",
    "check_telegram",
]

MB = 1 << 20
KEPT_LOGS = 20  # rotated log files that are kept
PROBE = ".doctor"
CPUS = Path("/sys/devices/system/cpu")


async def check_settings(site: Site) -> Verdict:
    """The settings make an engine, own strategies included."""
    config = site.config
    engine = build_engine(config)
    on = [strategy.name for strategy in engine.strategies if config.strategy[strategy.name].enabled]
    words = f"venue {config.venue.name}, mode {config.mode.name}, {config.asset.name} {config.interval.name}"
    observed = "".join(f", observes {name}" for name in observed_intervals(config))
    if not on:
        return fail(f"{words}: no strategy is on", "strategy.latency_arb.enabled=true")
    return ok(f"{words}, risk {config.risk.name}, strategies {' '.join(on)}{observed}")


async def check_state(site: Site) -> Verdict:
    """The state folder can be written."""
    folder = Path(site.config.run.state_dir)
    why = await beside(lambda: _why_not_writable(folder))
    if why:
        return fail(f"run.state_dir={folder}: {why}", _folder_fix("run.state_dir", folder))
    return ok(f"{folder} can be written" if folder.exists() else f"{folder} will be made")


async def check_journal(site: Site) -> Verdict:
    """What the last process of this account left can be read and is whole."""
    place = site.there
    if place.ledger_path is not None or place.paper is not None:
        return inapplicable("a new session: no journal is taken up")
    folder = folder_of(place.state_dir, place.owner, place.session)
    if not folder.exists():
        return ok("no journal of this account yet")
    fix = "compare with the venue by hand, then start once with run.accept_damage=true"
    try:
        found = await beside(lambda: recover(folder))
    except StateDamaged as error:
        return fail(str(error), fix)
    if found is None:
        return ok(f"{folder.name} is empty")
    if found.finding is not None and not found.finding.damage.is_torn:
        return fail(found.finding.text(), fix)
    torn = "" if found.finding is None else ", its torn tail will be cut"
    return ok(f"{folder.name}: {found.records} records, {len(found.state.markets)} open markets{torn}")


async def check_disk(site: Site) -> Verdict:
    """There is room for the journal and the logs, and the logs' folder can be written."""
    config = site.config
    state_dir, out_dir = Path(config.run.state_dir), Path(config.telemetry.out_dir)
    why = await beside(lambda: _why_not_writable(out_dir))
    if why:
        return fail(f"telemetry.out_dir={out_dir}: {why}", _folder_fix("telemetry.out_dir", out_dir))
    needed_mb = {state_dir: _journal_mb(config), out_dir: 2 * config.telemetry.log_rotate_mb}
    wanted_mb = {state_dir: 0, out_dir: _inputs_mb(config) + KEPT_LOGS * config.telemetry.log_rotate_mb}
    said, little = [], []
    for folder, free_mb in (await beside(lambda: _free_mb(tuple(needed_mb)))).items():
        least = sum(needed_mb[one] for one in folder)
        best = least + sum(wanted_mb[one] for one in folder)
        names = " and ".join(str(one) for one in folder)
        if free_mb < least:
            return fail(
                f"{free_mb:,} MB free for {names}, at least {least:,} MB are needed",
                f"free {least - free_mb:,} MB there, or choose another disk: run.state_dir=... telemetry.out_dir=...",
            )
        said.append(f"{free_mb:,} MB free for {names}")
        if free_mb < best:
            little.append(f"{names}: {best:,} MB are in use once all logs are full")
    if little:
        fix = "free space, or keep less: replay.keep_mb=1024 (replay.record=false: no inputs log)"
        return warn(f"{'; '.join(said)}; {'; '.join(little)}", fix)
    return ok("; ".join(said))


async def check_cores(site: Site) -> Verdict:
    """The cores named are there, and a loop that never sleeps has one of its own."""
    settings = site.config.loop
    allowed = frozenset(os.sched_getaffinity(0))
    if not settings.cores and not settings.other_cores and not settings.busy_spin:
        return inapplicable("loop.cores=[], loop.busy_spin=false: nothing is asked of the cores")
    try:
        chosen = choose_cores(settings, allowed)
    except ConfigError as error:
        return fail(str(error), f"loop.cores=[{max(allowed)}], or loop.cores=[] loop.busy_spin=false")
    if settings.busy_spin and not chosen.loop - chosen.others:
        return warn(
            "the loop spins on a core that other threads use too: it would be slower than without",
            f"loop.cores=[{max(allowed)}]",
        )
    slow = sorted(core for core in chosen.loop if _governor(core) not in ("", "performance"))
    if slow:
        seen = f"the clock of core {slow[0]} is governed by {_governor(slow[0])}: it sleeps and wakes slowly"
        return warn(seen, f"cpupower -c {slow[0]} frequency-set -g performance")
    words = [f"{name} on {', '.join(map(str, sorted(cores)))}" for name, cores in (
        ("the loop's thread", chosen.loop), ("the others", chosen.others)) if cores]  # fmt: skip
    return ok("; ".join(words))


async def check_instance(site: Site) -> Verdict:
    """Nobody else trades this account."""
    place = site.there
    if place.ledger_path is not None or place.paper is not None:
        return inapplicable("a new session: nobody else can be in it")
    fix = "end it first: python -m polybot kill (or let it be, and do not start another)"
    folder = folder_of(place.state_dir, place.owner, place.session)
    if (place.state_dir / f"{folder.name.lower()}.lock").exists():
        try:
            AccountLock(place.state_dir, folder.name).release()
        except AlreadyRunning as error:
            return fail(str(error), fix)
    if not site.config.control.enabled:
        return ok("no other process trades this account (by its lock; control.enabled=false)")
    path = socket_path(place.state_dir, place.owner, place.session)
    with suppress(OSError):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.close()
        return fail(f"a daemon of this account answers at {path}", fix)
    return ok("no other process trades this account")


async def check_kill_file(site: Site) -> Verdict:
    """No kill file lies there."""
    folder = Path(site.config.run.state_dir)
    try:
        check_no_kill_file(folder)
    except KillFileFound as error:
        return fail(str(error), f"find out who put it there and why, then rm {kill_file(folder)}")
    return ok("none")


async def check_telegram(site: Site) -> Verdict:
    """Token and ids are given; nothing is sent."""
    if not site.config.telegram.enabled:
        return inapplicable("telegram.enabled=false")
    if site.telegram_problem:
        return fail(site.telegram_problem, "docs/TELEGRAM.md, or telegram.enabled=false")
    return ok("token and chat are given (nothing was sent: python -m polybot telegram telegram.check=true does)")


async def check_dashboard(site: Site) -> Verdict:
    """A port is free for its page."""
    settings = site.config.dashboard
    if not settings.enabled:
        return inapplicable("dashboard.enabled=false")
    host = check_host(settings.host)
    tried = range(settings.port, settings.port + (settings.ports_count if settings.port else 1))
    free = next((port for port in tried if _is_free(host, port)), None)
    if free is None:
        return fail(f"no port of {host}:{tried[0]} to {tried[-1]} is free", "dashboard.port=0 takes any free one")
    if free != settings.port:
        return warn(f"{host}:{settings.port} is taken, {free} is free", f"dashboard.port={free}")
    return ok(f"{host}:{free or 'any'} is free")


def _why_not_writable(folder: Path) -> str:
    """Why nothing can be written there, "": something was written, brought to disk and removed again."""
    there = folder
    while not there.exists():
        if there == there.parent:
            return "no such path"
        there = there.parent
    if not there.is_dir():
        return f"{there} is no folder"
    if there != folder:
        return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written"
    path = folder / f"{PROBE}-{os.getpid()}"
    try:
        with path.open("wb") as file:
            file.write(bytes(4_096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    finally:
        path.unlink(missing_ok=True)
    return ""


def _folder_fix(setting: str, folder: Path) -> str:
    return f"{setting}=FOLDER of your own on a disk that works, or chown -R {os.geteuid()} {folder}"


def _journal_mb(config: Config) -> int:
    """Two segments side by side: a day's last and the next one's first."""
    return 2 * config.journal.preallocate_mb + config.journal.reserve_mb


def _inputs_mb(config: Config) -> int:
    return config.replay.keep_mb if config.replay.record else 0


def _free_mb(folders: tuple[Path, ...]) -> dict[tuple[Path, ...], int]:
    """Free space per disk, under the folders that lie on it."""
    by_disk: dict[int, list[Path]] = {}
    for folder in folders:
        by_disk.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    return {tuple(each): shutil.disk_usage(_existing(each[0])).free // MB for each in by_disk.values()}


def _existing(folder: Path) -> Path:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return there


def _governor(core: int) -> str:
    """What governs this core's clock; "" where nothing does, as on most virtual machines."""
    path = CPUS / f"cpu{core}" / "cpufreq" / "scaling_governor"
    with suppress(OSError):
        return path.read_text().strip()
    return ""


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True
