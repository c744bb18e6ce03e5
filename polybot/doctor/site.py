"""What all checks look at: settings, account, the venue once it is reached, and what one check found for another.

Owns the clients, the account (or why there is none) and the life of an embedded venue that the doctor started.
Secrets are read once, before anything connects, and told to the redactor.  Must not judge: that is the checks'.
Made by doctor.command and, before real orders, by doctor.gate.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from polybot.account import Account, forget_secrets, open_account
from polybot.config import Config
from polybot.credentials.sources import Secrets
from polybot.errors import ConfigError
from polybot.gateway.auth import RequestSigner
from polybot.gateway.rest import ClobRest, lone_rest
from polybot.market.spec import MarketSpec
from polybot.place import Place, find_place
from polybot.telemetry.redact import Redactor
from polybot.telemetry.telegram.access import read_telegram_secrets
from polybot.transport import HttpClient
from polybot.wallet.holdings import Balance

__all__ = ["Site", "beside"]

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Site:
    """One look at one configuration; what checks write is read only by those that need them."""

    config: Config  # as given: no addresses of an embedded venue
    http: HttpClient
    redactor: Redactor
    folder: Path  # for the files of an embedded venue that is started
    account: Account | None = None
    account_problem: str = ""
    telegram_problem: str = ""
    place: Place | None = None
    auth: RequestSigner | None = None
    purse: Balance | None = None
    spec: MarketSpec | None = None  # of the next window
    live_spec: MarketSpec | None = None  # of a window whose book is quoted now
    spot_lags_ns: list[int] = field(default_factory=list)  # receipt minus the exchange's own stamp
    spot_heard: asyncio.Event = field(default_factory=asyncio.Event)  # the lags are as many as there will be
    is_our_place: bool = False  # found by us: its venue ends with us

    def read_secrets(self) -> None:
        """Read what the settings name, and clear the environment; what is wrong is kept for the checks."""
        config = self.config
        if config.telegram.enabled:
            try:
                given = read_telegram_secrets(config.telegram, Secrets(os.environ))
                self.redactor.register(given.token)
            except ConfigError as error:
                self.telegram_problem = str(error)
        if config.mode.name == "paper":
            forget_secrets(self.redactor.register)
            return
        try:
            self.account = open_account(config.venue, self.redactor.register)
        except ConfigError as error:
            self.account_problem = str(error)

    async def find(self) -> Place:
        """Start, join or name the venue, as a run would."""
        config = replace(self.config, telemetry=replace(self.config.telemetry, out_dir=str(self.folder)))
        self.place = await find_place(config, self.http, self.redactor, self.folder, account=self.account)
        if not self.account_problem:
            self.account = self.place.account
        self.is_our_place = True
        return self.place

    async def close(self) -> None:
        """End a venue that was started for the checks."""
        if self.place is not None and self.is_our_place:
            if self.place.sim is not None:
                await self.place.sim.stop()
            if self.place.paper is not None:
                self.place.paper.close()

    @property
    def there(self) -> Place:
        """The venue's place; only for checks that need it."""
        assert self.place is not None, "a check that needs the venue must say so"
        return self.place

    @property
    def who(self) -> Account:
        """The account; only for checks that need it."""
        assert self.account is not None, "a check that needs the account must say so"
        return self.account

    def rest(self) -> ClobRest:
        """Signed requests of one check: what fails in one check closes no door to another."""
        place = self.there
        rest = lone_rest(self.http, place.clock, venue=place.config.venue, gateway=place.config.gateway)
        rest.auth = self.auth
        return rest


async def beside(call: Callable[[], T]) -> T:
    """Run what touches a disk beside the loop, on a thread that keeps no process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as raised:  # the guard of a thread: it is raised where it is awaited
            error = raised
        with suppress(RuntimeError):  # the doctor has ended without waiting for this disk
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=work, name="doctor", daemon=True).start()
    return await done
