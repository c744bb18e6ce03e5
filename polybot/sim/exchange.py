"""The exchange of the embedded venue: lists markets, checks and takes orders, settles markets.

Theory of operation: an accepted order that would take something is held for the market's taker
delay (funds reserved, not cancellable) and matched against the book of that later moment; anything
else rests at once (order_life).  All books are in Up terms (markets); money moves at the match
(clearing); public changes are flushed once per instant (listings.watchers), private ones at once
(user_watchers).  The venue's own traders come in through place_internal, replace_ladder and
cancel_internal: no signature, no delay, no limit.  Time is the scheduler's.
Called by clob_rest and by the venue's world half.
"""

import random
from collections.abc import Iterable, Sequence

from polybot._fast.event import OrderType
from polybot.market.spec import MarketSpec
from polybot.sim.accounts import Account, Accounts
from polybot.sim.clearing import needed, reserve
from polybot.sim.faults import FaultPlan
from polybot.sim.ledger import Ledger
from polybot.sim.markets import BUY, DOWN, ONE, SELL, UP, Markets, MarketState
from polybot.sim.messages import decimal_text
from polybot.sim.modes import Modes
from polybot.sim.order_life import OrderLife, UserWatcher
from polybot.sim.orders import CANCELED, CANCELED_RESOLVED, DELAYED, LIVE, Order, OrderRequest, check_terms
from polybot.sim.refusals import (
    BAD_EXPIRATION,
    BAD_PAYLOAD,
    CROSSES_BOOK,
    DUPLICATED,
    FAK_NO_MATCH,
    FOK_NOT_FILLED,
    MARKET_CLOSED,
    NOT_ENOUGH_BALANCE,
    NOT_READY,
    Refused,
    below_minimum_amount,
)
from polybot.sim.scheduler import Scheduler
from polybot.sim.settings import ExchangeSettings
from polybot.sim.trades import Trade

__all__ = ["Exchange", "ExchangeSettings"]

NS = 1_000_000_000
GTC, GTD, FOK, FAK = (int(kind) for kind in (OrderType.GTC, OrderType.GTD, OrderType.FOK, OrderType.FAK))


class Exchange:
    """One venue session's exchange."""

    def __init__(
        self, settings: ExchangeSettings, scheduler: Scheduler, ledger: Ledger, rng: random.Random
    ) -> None:
        self.settings = settings
        self.scheduler = scheduler
        self.ledger = ledger
        self.accounts = Accounts(ledger, scheduler)
        self.listings = Markets(scheduler)
        self.modes = Modes(scheduler, ledger)
        self._rng = rng
        self._life = OrderLife(
            settings=settings,
            scheduler=scheduler,
            ledger=ledger,
            accounts=self.accounts,
            listings=self.listings,
            rng=rng,
        )

    @property
    def user_watchers(self) -> list[UserWatcher]:
        """Who is told about orders and trades of accounts with a key."""
        return self._life.watchers

    def settle_by(self, plan: FaultPlan) -> None:
        """Let a plan say what becomes of trades from now on."""
        self._life.settlement.fates = plan.trade_fate

    # ---- markets

    def markets(self) -> list[MarketState]:
        """Every market not yet forgotten, oldest first."""
        return self.listings.all()

    def market(self, name: str) -> MarketState:
        """A market by condition_id or slug; raises KeyError."""
        return self.listings.get(name)

    def create_market(self, spec: MarketSpec, now_ns: int) -> MarketState:
        """List a market; it takes orders from now on."""
        market = self.listings.add(spec, now_ns)
        self.ledger.write(
            "market",
            now_ns,
            market=spec.condition_id,
            slug=spec.slug,
            up=spec.token_up,
            down=spec.token_down,
            fee_rate_ppm=spec.fee_rate_ppm if spec.fees_enabled else 0,
            fee_exponent=spec.fee_exponent,
            tick=spec.tick_size_ticks,
            min_ushares=spec.min_size_ushares,
            start_ns=spec.start_ns,
            end_ns=spec.end_ns,
        )
        for watcher in self.listings.watchers:
            watcher.on_new_market(market, now_ns)
        return market

    def close_market(self, name: str, now_ns: int, *, reason: str = CANCELED) -> None:
        """End of the window: no new orders, everything held or resting is canceled."""
        market = self.market(name)
        market.is_open = False
        for order in [*market.held.values(), *market.resting.values()]:
            self._life.cancel(order, reason)
        for account in self.accounts:
            if account.is_internal:
                market.book.cancel_owner(account.number)
        assert market.book.live == 0, "orders left in a closed book"
        self.listings.touch(market)

    def resolve_market(self, name: str, winner_outcome: int, now_ns: int) -> None:
        """Pay out 1 USD per winning share and tell everyone."""
        market = self.market(name)
        assert market.winner is None, "market resolved twice"
        self.close_market(name, now_ns, reason=CANCELED_RESOLVED)
        market.winner = winner_outcome
        self.ledger.write("resolve", now_ns, market=market.condition_id, winner=winner_outcome)
        for account in self.accounts:
            if market.condition_id in account.shares:
                up, down, paid = self._life.clearing.pay_out(account, market, winner_outcome)
                self.ledger.write(
                    "settle",
                    now_ns,
                    market=market.condition_id,
                    account=account.name,
                    internal=account.is_internal,
                    winner=winner_outcome,
                    up=up,
                    down=down,
                    paid=paid,
                    cash=account.cash,
                )
        assert market.collateral == 0, "collateral left after payout"
        for watcher in self.listings.watchers:
            watcher.on_resolved(market, now_ns)

    def forget_market(self, name: str) -> None:
        """Drop a resolved market, its orders and trades from memory (the ledger keeps its rows)."""
        market = self.market(name)
        assert market.winner is not None, "only resolved markets can be forgotten"
        for account in self.accounts:
            account.history = {
                key: order for key, order in account.history.items() if order.market is not market
            }
            account.trades = [trade for trade in account.trades if trade.market is not market]
        self.listings.drop(market)
        self.ledger.drop_flows(market.condition_id)

    def set_tick_size(self, name: str, new_ticks: int, now_ns: int) -> None:
        """Change the price grid; resting orders stay where they are."""
        market = self.market(name)
        old_ticks, market.tick_ticks = market.tick_ticks, new_ticks
        if old_ticks != new_ticks:
            self.ledger.write("tick", now_ns, market=market.condition_id, tick=new_ticks)
            for watcher in self.listings.watchers:
                watcher.on_tick_size(market, old_ticks, now_ns)

    def best(self, name: str) -> tuple[int, int]:
        """(bid, ask) ticks in Up terms, -1 where empty."""
        return self.market(name).best()

    # ---- orders of accounts with a key

    def place(self, account: Account, request: OrderRequest) -> tuple[Order, Trade | None]:
        """Accept an order whose signature is checked, or raise Refused; then DELAYED, LIVE or MATCHED."""
        market, outcome = self._market_of(request)
        self._check(account, request, market)
        order = Order(
            order_id=request.order_id,
            account=account,
            market=market,
            outcome=outcome,
            side=request.side,
            price_ticks=request.price_ticks,
            ushares=request.ushares,
            order_type=request.order_type,
            created_ns=self.scheduler.now_ns,
            maker_address=request.maker_address,
            expiration_s=request.expiration_s,
        )
        takes = market.book.would_cross(*order.up_terms)
        self._check_against_book(order, request, takes)
        if not reserve(order, needed(order, as_taker=takes)):
            raise Refused(NOT_ENOUGH_BALANCE)
        return order, self._life.accept(order, takes=takes)

    def refuse(self, account: Account, order_id: str, refused: Refused) -> None:
        """Note a refusal in the ledger."""
        self.ledger.write(
            "reject",
            self.scheduler.now_ns,
            id=order_id,
            account=account.name,
            status=refused.status,
            text=refused.text,
            retry_s=refused.retry_after_s or 0,
        )

    def cancel(self, account: Account, order_ids: Iterable[str]) -> tuple[list[str], dict[str, str]]:
        """Cancel resting orders by id; (canceled, id -> reason why not)."""
        canceled: list[str] = []
        failed: dict[str, str] = {}
        for order_id in order_ids:
            order = account.orders.get(order_id)
            if order is None:
                failed[order_id] = (
                    "already canceled or matched" if order_id in account.history else "order not found"
                )
            elif order.status == DELAYED:
                failed[order_id] = "order is delayed and can't be canceled"
            else:
                self._life.cancel(order, CANCELED)
                canceled.append(order_id)
        return canceled, failed

    def cancel_all(
        self, account: Account, condition_id: str = "", token_id: str = ""
    ) -> tuple[list[str], dict[str, str]]:
        """Cancel every resting order of an account, of one market or token when named."""
        chosen = [
            order.order_id
            for order in account.orders.values()
            if (not condition_id or order.market.condition_id == condition_id)
            and (not token_id or order.market.tokens[order.outcome] == token_id)
        ]
        return self.cancel(account, chosen)

    # ---- the venue's own traders

    def place_internal(  # noqa: PLR0917 -- an order is these six
        self,
        account_id: str,
        name: str,
        outcome: int,
        side: int,
        price_ticks: int,
        ushares: int,
        *,
        order_type: int = GTC,
        post_only: bool = False,
    ) -> str | None:
        """Place an order of a venue trader; its id, or None when it was refused or killed without a fill.

        A SELL of shares the trader does not have becomes the equivalent BUY of the other outcome.
        """
        account, market = self.accounts.internal(account_id), self.market(name)
        if not market.is_open or not 0 < price_ticks < ONE or ushares <= 0:
            return None
        if side == SELL and account.position(market.condition_id)[outcome] < ushares:
            outcome, side, price_ticks = 1 - outcome, BUY, ONE - price_ticks
        order = Order(
            order_id=f"0x{self._rng.getrandbits(256):064x}",
            account=account,
            market=market,
            outcome=outcome,
            side=side,
            price_ticks=price_ticks,
            ushares=ushares,
            order_type=order_type,
            created_ns=self.scheduler.now_ns,
        )
        if post_only and market.book.would_cross(*order.up_terms):
            return None
        self._life.execute(order)
        return order.order_id if order.matched or order.status == LIVE else None

    def replace_ladder(self, account_id: str, name: str, quotes: Sequence[tuple[int, int, int]]) -> int:
        """Make quotes (side, Up ticks, micro-shares) all that this trader rests in the market.

        Returns how many were refused because they would take.  An ask of Up is a BUY of Down.
        Unchanged quotes keep their place in the queue.
        """
        market = self.market(name)
        if not market.is_open:
            return len(quotes)
        account = self.accounts.internal(account_id)
        for order in list(account.orders.values()):
            if order.market is market:
                self._life.cancel(order, CANCELED)
        refused = market.book.replace_ladder(account.number, list(quotes))
        self.listings.touch(market)
        return refused

    def cancel_internal(self, account_id: str, name: str) -> None:
        """Take everything of a venue trader out of one market."""
        market, account = self.market(name), self.accounts.internal(account_id)
        for order in list(account.orders.values()):
            if order.market is market:
                self._life.cancel(order, CANCELED)
        market.book.cancel_owner(account.number)
        self.listings.touch(market)

    # ---- audit

    def audit(self) -> int:
        """Total of cash and collateral, micro-USD; asserts that shares and reservations add up."""
        collateral = 0
        for market in self.listings.all():
            collateral += market.collateral
            for outcome in (UP, DOWN):
                issued = sum(a.shares.get(market.condition_id, (0, 0))[outcome] for a in self.accounts)
                assert issued == market.collateral, "shares issued differ from the collateral behind them"
        for account in self.accounts:
            held = sum(order.reserve for order in account.orders.values() if order.side == BUY)
            assert account.held_cash == held, "held cash differs from open orders"
            offered = sum(order.reserve for order in account.orders.values() if order.side == SELL)
            held_shares = sum(sum(pair) for pair in account.held_shares.values())
            assert held_shares == offered, "held shares differ from open orders"
        return collateral + sum(account.cash for account in self.accounts)

    # ---- checks

    def _market_of(self, request: OrderRequest) -> tuple[MarketState, int]:
        found = self.listings.by_token(request.token_id)
        if found is None:
            raise Refused(NOT_READY)
        if not found[0].is_open:
            raise Refused(MARKET_CLOSED.format(token=request.token_id))
        return found

    def _check(self, account: Account, request: OrderRequest, market: MarketState) -> None:
        if request.order_id in account.history:
            raise Refused(DUPLICATED.format(id=request.order_id))
        check_terms(request, market)
        if request.post_only and request.order_type not in (GTC, GTD):
            raise Refused(BAD_PAYLOAD)
        if request.order_type == GTD:
            if request.expiration_s < self.scheduler.now_ns // NS + self.settings.gtd_min_s:
                raise Refused(BAD_EXPIRATION)
        elif request.expiration_s:
            raise Refused(BAD_EXPIRATION)

    def _check_against_book(self, order: Order, request: OrderRequest, takes: bool) -> None:
        minimum = self.settings.marketable_buy_min_micro_usd
        if takes and request.post_only:
            raise Refused(CROSSES_BOOK)
        if takes and order.side == BUY and request.amount < minimum:
            raise below_minimum_amount(decimal_text(request.amount), decimal_text(minimum))
        if order.order_type == FAK and not takes:
            raise Refused(FAK_NO_MATCH)
        if order.order_type == FOK:
            side, price = order.up_terms
            if order.market.book.fillable(side, price, order.ushares, order.account.number) < order.ushares:
                raise Refused(FOK_NOT_FILLED)
