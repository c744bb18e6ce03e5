"""Accounts of the embedded venue: wallets with API keys, and the unlimited ones of its own traders.

Owns cash (micro-USD), shares (micro-shares per market and outcome) and what open orders hold of
them.  Credentials are derived from session and address, so they are the same in every run.
Must not match or price anything: clearing moves the money.  Called by exchange, clearing, clob_auth.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polybot.sim.ledger import Ledger
from polybot.sim.scheduler import Scheduler
from polybot.sim.verify import address_of_key

if TYPE_CHECKING:
    from polybot.sim.orders import Order
    from polybot.sim.trades import Trade

__all__ = ["Account", "Accounts", "Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key as the venue hands it out."""

    api_key: str
    secret: str
    passphrase: str


@dataclass(slots=True, eq=False, repr=False)
class Account:
    """One wallet.  Internal accounts (makers, noise) may go below zero and have no credentials."""

    name: str  # checksummed address, or a word for internal ones
    number: int  # owner in the matching core
    is_internal: bool
    credentials: Credentials | None = None
    funder: str | None = None  # address that holds the funds; None: learnt from the first order
    cash: int = 0
    held_cash: int = 0
    shares: dict[str, list[int]] = field(default_factory=dict)  # condition_id -> [Up, Down]
    held_shares: dict[str, list[int]] = field(default_factory=dict)
    orders: dict[str, "Order"] = field(default_factory=dict)  # held or resting
    history: dict[str, "Order"] = field(default_factory=dict)  # every accepted order of markets still known
    trades: list["Trade"] = field(default_factory=list)
    heartbeat_id: str | None = None
    beat_ns: int = 0

    @property
    def api_key(self) -> str:
        """Owner text in orders and trades."""
        return self.credentials.api_key if self.credentials else f"internal-{self.name}"

    @property
    def wallet(self) -> str:
        """Address shown as maker_address."""
        return self.funder or self.name

    def position(self, condition_id: str) -> list[int]:
        """[Up, Down] micro-shares in one market."""
        return self.shares.setdefault(condition_id, [0, 0])

    def held(self, condition_id: str) -> list[int]:
        """[Up, Down] micro-shares offered by open SELL orders."""
        return self.held_shares.setdefault(condition_id, [0, 0])

    def free_cash(self) -> int:
        """Cash no open order holds."""
        return self.cash - self.held_cash

    def free_shares(self, condition_id: str, outcome: int) -> int:
        """Shares no open order holds."""
        return self.position(condition_id)[outcome] - self.held(condition_id)[outcome]


class Accounts:
    """All accounts of one venue session."""

    def __init__(self, ledger: Ledger, scheduler: Scheduler) -> None:
        self._ledger = ledger
        self._scheduler = scheduler
        self._by_number: list[Account] = []
        self._internal: dict[str, Account] = {}
        self._by_address: dict[str, Account] = {}
        self._by_key: dict[str, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_number)

    def create(self, private_key_hex: str, balance_micro_usd: int, *, funder: str | None = None) -> str:
        """Open an account for a private key; returns its checksummed address."""
        address = address_of_key(private_key_hex)
        self.open(address, balance_micro_usd, funder=funder)
        return address

    def open(self, address: str, balance_micro_usd: int, *, funder: str | None = None) -> Account:
        """Open an account for a wallet address."""
        if address.lower() in self._by_address:
            raise ValueError(f"account exists: {address}")
        account = self._add(
            Account(address, len(self._by_number), False, funder=funder, cash=balance_micro_usd)
        )
        account.credentials = self._derive(address.lower())
        self._by_address[address.lower()] = account
        self._by_key[account.api_key] = account
        self._ledger.write(
            "account", self._scheduler.now_ns, account=address, funder=funder, balance=balance_micro_usd
        )
        return account

    def internal(self, name: str) -> Account:
        """The venue's own trader of this name, opened on first use."""
        account = self._internal.get(name)
        if account is None:
            account = self._internal[name] = self._add(Account(name, len(self._by_number), True))
        return account

    def by_number(self, number: int) -> Account:
        """The account behind an owner of the matching core."""
        return self._by_number[number]

    def by_address(self, address: str) -> Account | None:
        """The account of a wallet, any letter case."""
        return self._by_address.get(address.lower())

    def by_key(self, api_key: str) -> Account | None:
        """The account an API key belongs to."""
        return self._by_key.get(api_key)

    def check_key(self, api_key: str, secret: str, passphrase: str) -> bool:
        """Whether the three belong together (websocket logins)."""
        account = self.by_key(api_key)
        if account is None or account.credentials is None:
            return False
        known = account.credentials
        return hmac.compare_digest(known.secret, secret) and hmac.compare_digest(known.passphrase, passphrase)

    def _add(self, account: Account) -> Account:
        self._by_number.append(account)
        return account

    def _derive(self, address: str) -> Credentials:
        seed = f"{self._ledger.session_id}|{address}".encode()
        return Credentials(
            api_key=str(uuid.UUID(bytes=hashlib.sha256(b"key|" + seed).digest()[:16], version=4)),
            secret=base64.urlsafe_b64encode(hashlib.sha256(b"secret|" + seed).digest()).decode(),
            passphrase=hashlib.sha256(b"passphrase|" + seed).hexdigest(),
        )
