"""Seeded spells of the embedded venue: modes, storms of 429, lost heartbeats, and strangers on the account.

Owns when they come (exponential times, each kind its own random stream) and how long they last; every one ends by
itself.  What comes outside a spell of faults is left out.  Modes are carried out by sim.modes, foreign orders and
purchases by hand go through the exchange as the account's own, without a signature.
Called by seeded_faults, which asks `storm_until_ns` and `beats_lost_until_ns`.
"""

from collections.abc import Callable
from random import Random

from polybot._fast.event import OrderType
from polybot.config_faults import FaultConfig
from polybot.sim.accounts import Account
from polybot.sim.exchange import Exchange
from polybot.sim.fault_tally import FaultTally, Spells
from polybot.sim.markets import BUY, ONE, MarketState
from polybot.sim.modes import Mode
from polybot.sim.orders import OrderRequest
from polybot.sim.refusals import Refused
from polybot.sim.seeds import stream

__all__ = ["SeededSpells"]

NS = 1_000_000_000
HOUR_S = 3_600.0


class SeededSpells:
    """What lasts, and what others do."""

    def __init__(
        self,
        config: FaultConfig,
        exchange: Exchange,
        *,
        factor: float,
        seed: int,
        spells: Spells,
        tally: FaultTally,
    ) -> None:
        self.storm_until_ns = 0
        self.beats_lost_until_ns = 0
        self._config = config
        self._exchange = exchange
        self._spells = spells
        self._tally = tally
        mode, account = config.mode, config.account
        for kind, per_h, call in (
            ("restart", mode.restart_per_h, self._restart),
            ("disabled", mode.disabled_per_h, lambda: self._mode(Mode.DISABLED, mode.disabled_s)),
            ("cancel_only", mode.cancel_only_per_h, lambda: self._mode(Mode.CANCEL_ONLY, mode.cancel_only_s)),
            ("rate_storm", mode.rate_storm_per_h, self._rate_storm),
            ("beats_lost", mode.beats_lost_per_h, self._lose_beats),
            ("foreign_order", account.foreign_orders_per_h, self._foreign_order),
            ("manual_trade", account.manual_trades_per_h, self._manual_trade),
        ):
            if per_h > 0.0:
                self._await(kind, factor * per_h, stream(seed, f"faults/{kind}"), call)
        self._rng = stream(seed, "faults/account")

    def _await(self, kind: str, per_h: float, rng: Random, call: Callable[[], bool]) -> None:
        scheduler = self._exchange.scheduler

        def strike() -> None:
            if self._spells.active(scheduler.now_ns) and call():
                self._tally.note(kind)
            self._await(kind, per_h, rng, call)

        scheduler.at(scheduler.now_ns + round(rng.expovariate(per_h / HOUR_S) * NS), strike)

    # ---- the venue as a whole; each returns whether it struck

    def _restart(self) -> bool:
        if self._exchange.modes.now is not Mode.OPEN:
            return False
        mode = self._config.mode
        self._exchange.modes.begin(Mode.RESTARTING, mode.restart_s, then_post_only_s=mode.post_only_s)
        return True

    def _mode(self, mode: Mode, seconds: float) -> bool:
        if self._exchange.modes.now is not Mode.OPEN:
            return False
        self._exchange.modes.begin(mode, seconds)
        return True

    def _rate_storm(self) -> bool:
        self.storm_until_ns = self._exchange.scheduler.now_ns + round(self._config.mode.rate_storm_s * NS)
        return True

    def _lose_beats(self) -> bool:
        self.beats_lost_until_ns = self._exchange.scheduler.now_ns + round(
            self._config.mode.beats_lost_s * NS
        )
        return True

    # ---- somebody else on the account

    def _foreign_order(self) -> bool:
        """An order far from the market, canceled by its owner after a while."""
        found = self._account_and_market()
        if found is None or not self._place(
            *found, price_ticks=found[1].tick_ticks, order_type=OrderType.GTC
        ):
            return False
        account = found[0]
        order_id = next(reversed(account.history))
        due_ns = self._exchange.scheduler.now_ns + round(self._config.account.foreign_stays_s * NS)
        self._exchange.scheduler.at(due_ns, lambda: self._withdraw(account, order_id))
        return True

    def _manual_trade(self) -> bool:
        """A small purchase at any price."""
        found = self._account_and_market()
        if found is None:
            return False
        return self._place(*found, price_ticks=ONE - found[1].tick_ticks, order_type=OrderType.FAK)

    def _withdraw(self, account: Account, order_id: str) -> None:
        self._exchange.cancel(account, [order_id])

    def _account_and_market(self) -> tuple[Account, MarketState] | None:
        account = next((item for item in self._exchange.accounts if not item.is_internal), None)
        now_ns = self._exchange.scheduler.now_ns
        market = next(
            (item for item in self._exchange.markets() if item.spec.start_ns <= now_ns < item.spec.end_ns),
            None,
        )
        return None if account is None or market is None or not market.is_open else (account, market)

    def _place(
        self, account: Account, market: MarketState, *, price_ticks: int, order_type: OrderType
    ) -> bool:
        ushares = market.spec.min_size_ushares
        order_id = f"0x{self._rng.getrandbits(256):064x}"
        request = OrderRequest(
            order_id=order_id,
            token_id=market.tokens[self._rng.randrange(2)],
            side=BUY,
            price_ticks=price_ticks,
            ushares=ushares,
            amount=ushares * price_ticks // ONE,
            order_type=int(order_type),
            maker_address=account.wallet,
        )
        self._exchange.ledger.write(
            "manual", self._exchange.scheduler.now_ns, id=order_id, account=account.name
        )
        try:
            self._exchange.place(account, request)
        except Refused:
            return False
        return True
