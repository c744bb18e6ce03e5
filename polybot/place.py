"""Where a run trades: the embedded venue it starts or joins, or the real one; its clock, its account, its folder.

Owns the addresses that are filled into the settings, the choice between the operator's account and the one an
embedded venue lends, and paper's books of its own.  Must not trade, and checks nothing of what it finds.
Called by polybot.daemon and polybot.doctor.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from polybot.account import Account, lent_account
from polybot.clock import Clock, wall_clock
from polybot.config import Config
from polybot.feeds.liveness import patient
from polybot.paper.ledger import PAPER_ACCOUNT, PaperLedger
from polybot.sim.process import SimInfo, SimProcess, fetch_info
from polybot.telemetry.redact import Redactor
from polybot.transport import HttpClient

__all__ = ["Place", "find_place"]


@dataclass(slots=True)
class Place:
    """Where this run trades: settings with addresses filled in, its clock, its account."""

    config: Config
    clock: Clock
    account: Account | None  # None: mode=paper
    session: str
    sim: SimProcess | None = None
    ledger_path: Path | None = None
    facts: tuple[str, ...] = ()
    paper: PaperLedger | None = None

    @property
    def owner(self) -> str:
        """What journal, lock and control socket call the account."""
        if self.paper is not None:
            return self.paper.account
        assert self.account is not None, "real orders without an account"
        return self.account.signer.address

    @property
    def state_dir(self) -> Path:
        """Where the journals live; of a venue that ends with this process nobody meets them again: beside its log."""
        if self.ledger_path is not None:
            return self.ledger_path.with_suffix(".state")
        return Path(self.config.run.state_dir)


async def find_place(
    config: Config, http: HttpClient, redactor: Redactor, out_dir: Path, *, account: Account | None
) -> Place:
    """Start the embedded venue, or join the one named by venue.attach; the real venue needs neither."""
    address = account.signer.address if account is not None else ""
    if config.venue.name != "sim":
        return _with_paper(Place(config, wall_clock(), account, session=config.venue.name))
    if config.venue.attach:
        info = await fetch_info(http, config.venue.attach, address=address)
        return _place_at(config, info, redactor, account)
    folder = out_dir / "sim"
    folder.mkdir(parents=True, exist_ok=True)
    stem = _stem()
    ledger_path = folder / f"{stem}.ledger"
    sim = await SimProcess.start(config, ledger_path=ledger_path, log_path=folder / f"{stem}.log")
    try:
        info = await fetch_info(http, sim.info.urls["sim_url"], address=address) if address else sim.info
    except BaseException:
        await sim.stop()
        raise
    place = _place_at(config, info, redactor, account)
    place.sim, place.ledger_path = sim, ledger_path
    return place


def _place_at(config: Config, info: SimInfo, redactor: Redactor, account: Account | None) -> Place:
    venue = replace(info.venue(config.venue), makers=info.facts["makers"], seed=info.facts["seed"])
    if account is None:  # paper has none, and the key that lies in the facts must not be shown all the same
        lent = lent_account(info.private_key, venue, redactor.register)
        account = None if config.mode.name == "paper" else lent
    facts = tuple(f"{name.replace('_', ' ')}: {info.facts[name]}" for name in ("spot", "oracle_history"))
    feeds = patient(config.feeds, venue.speed)
    config = replace(config, venue=venue, feeds=feeds)
    return _with_paper(Place(config, info.clock(), account, session=info.session_id, facts=facts))


def _with_paper(place: Place) -> Place:
    """With mode=paper: books of its own and a session that no other process has."""
    if place.config.mode.name == "paper":
        stem = _stem()
        place.session = f"paper-{stem}"
        path = Path(place.config.telemetry.out_dir) / "ledger" / f"{stem}.ledger"
        place.paper = PaperLedger(account=PAPER_ACCOUNT, session=place.session, path=path)
    return place


def _stem() -> str:
    """A name for the files of one process: its start and its id."""
    started = datetime.fromtimestamp(wall_clock().now_ns() / 1e9, UTC)
    return f"{started:%Y%m%d-%H%M%S}-{os.getpid()}"
