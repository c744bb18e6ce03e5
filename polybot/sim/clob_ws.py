"""The CLOB's websockets of the embedded venue: the market channel and the user channel.

Owns subscriptions and who gets which message; text comes from messages.  Market-channel text is
built once per market and instant, and only when somebody listens.  A session is one socket: text in
through on_text, text out through the `send` it was opened with; `close_reason` tells the shell to
close.  Must not know sockets or threads.  Called by the venue; told of changes by exchange.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from polybot.sim.accounts import Account
from polybot.sim.exchange import Exchange
from polybot.sim.faults import FaultPlan, NoFaults
from polybot.sim.markets import DOWN, UP, MarketState
from polybot.sim.messages import (
    best_text,
    book_text,
    last_trade_text,
    new_market_row,
    order_event,
    price_change_text,
    resolved_row,
    tick_size_text,
    trade_event,
)
from polybot.sim.orders import Order
from polybot.sim.trades import Trade
from polybot.transport import SendText

__all__ = ["MarketChannel", "MarketSession", "UserChannel", "UserSession"]

MAX_TOKENS = 500  # per socket; beyond it the real venue sends no snapshots
BAD_AUTH = "invalid credentials"
BAD_REQUEST = "invalid subscription"


def _parse(text: str) -> dict[str, Any] | None:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def _texts(value: object) -> list[str] | None:
    """A list of strings, None when it is something else."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return value


class MarketSession:
    """One socket on the market channel."""

    def __init__(self, channel: "MarketChannel", send: SendText) -> None:
        self.send = send
        self.close_reason: str | None = None
        self.tokens: set[str] = set()
        self.wants_custom = False
        self._channel = channel

    def on_text(self, text: str, now_ns: int) -> None:
        """One message of the client."""
        if text == "PING":
            self._channel.send(self, "PONG", now_ns)
            return
        data = _parse(text)
        tokens = _texts(data.get("assets_ids")) if data else None
        if data is None or tokens is None or len(self.tokens | set(tokens)) > MAX_TOKENS:
            self.close_reason = BAD_REQUEST
            return
        self._channel.forget_listeners()
        if data.get("operation") == "unsubscribe":
            self.tokens.difference_update(tokens)
            return
        self.wants_custom = self.wants_custom or data.get("custom_feature_enabled") is True
        self.tokens.update(tokens)
        if data.get("initial_dump", True):
            self._channel.send_books(self, tokens, now_ns)

    def close(self) -> None:
        """The socket is gone."""
        self._channel.drop(self)


class MarketChannel:
    """Public data of all markets to all sockets; a BookWatcher."""

    def __init__(self, exchange: Exchange, faults: FaultPlan | None = None) -> None:
        self._exchange = exchange
        self._faults: FaultPlan = faults or NoFaults()
        self._sessions: list[MarketSession] = []
        self._best: dict[str, tuple[int, int]] = {}  # condition_id -> best prices last told
        self._heard_by: dict[str, list[MarketSession]] = {}  # condition_id -> sockets, as far as asked for
        exchange.listings.watchers.append(self)

    def open(self, send: SendText, now_ns: int) -> MarketSession:
        """A socket connected; nothing is sent before it subscribes."""
        session = MarketSession(self, send)
        self._sessions.append(session)
        return session

    def drop(self, session: MarketSession) -> None:
        """Forget a socket; harmless when already forgotten."""
        if session in self._sessions:
            self._sessions.remove(session)
            self.forget_listeners()

    def forget_listeners(self) -> None:
        """Some socket listens to something else now."""
        self._heard_by.clear()

    def send(self, session: MarketSession, text: str, now_ns: int) -> None:
        """One frame to one socket."""
        self._faults.deliver("market", text, session, now_ns)

    def send_books(self, session: MarketSession, tokens: Sequence[str], now_ns: int) -> None:
        """Full books of the known tokens, as one array."""
        books = []
        for token in tokens:
            found = self._exchange.listings.by_token(token)
            if found is not None and found[0].winner is None:
                self._settle_changes(found[0])
                books.append(book_text(found[0], found[1], now_ns))
        if books:
            self.send(session, f"[{','.join(books)}]", now_ns)

    # ---- told by the exchange

    def wants(self, market: MarketState) -> bool:
        """Whether any socket subscribed to one of the market's tokens."""
        return bool(self._listeners(market))

    def on_new_market(self, market: MarketState, now_ns: int) -> None:
        """Announce it to everyone with custom features."""
        sessions = [session for session in self._sessions if session.wants_custom]
        self._send_all(sessions, orjson.dumps(new_market_row(market, now_ns)).decode(), now_ns)

    def on_book(self, market: MarketState, changes: Sequence[tuple[int, int, int]], now_ns: int) -> None:
        """Trades and fresh books, or the changed levels; then the best prices when they moved."""
        sessions = self._listeners(market)
        for trade in market.prints:
            self._send_all(sessions, last_trade_text(market, trade, now_ns), now_ns)
        if market.prints:
            for outcome in (UP, DOWN):
                self._send_token(sessions, market, outcome, book_text(market, outcome, now_ns), now_ns)
        elif changes:
            self._send_all(sessions, price_change_text(market, changes, now_ns), now_ns)
        best = market.best()
        if self._best.get(market.condition_id) != best:
            self._best[market.condition_id] = best
            custom = [session for session in sessions if session.wants_custom]
            for outcome in (UP, DOWN) if custom else ():
                self._send_token(custom, market, outcome, best_text(market, outcome, now_ns), now_ns)

    def on_tick_size(self, market: MarketState, old_ticks: int, now_ns: int) -> None:
        """The new grid, then fresh books on it."""
        sessions = self._listeners(market)
        for outcome in (UP, DOWN) if sessions else ():
            self._send_token(
                sessions, market, outcome, tick_size_text(market, outcome, old_ticks, now_ns), now_ns
            )
        for outcome in (UP, DOWN) if sessions else ():
            self._send_token(sessions, market, outcome, book_text(market, outcome, now_ns), now_ns)

    def on_resolved(self, market: MarketState, now_ns: int) -> None:
        """The outcome, to everyone subscribed with custom features."""
        sessions = [session for session in self._listeners(market) if session.wants_custom]
        self._send_all(sessions, orjson.dumps(resolved_row(market, now_ns)).decode(), now_ns)
        self._best.pop(market.condition_id, None)
        self._heard_by.pop(market.condition_id, None)

    # ---- inner

    def _listeners(self, market: MarketState) -> list[MarketSession]:
        found = self._heard_by.get(market.spec.condition_id)
        if found is None:
            tokens = market.tokens
            found = [session for session in self._sessions if not session.tokens.isdisjoint(tokens)]
            self._heard_by[market.spec.condition_id] = found
        return found

    def _send_all(self, sessions: Sequence[MarketSession], text: str, now_ns: int) -> None:
        for session in sessions:
            self.send(session, text, now_ns)

    def _send_token(
        self, sessions: Sequence[MarketSession], market: MarketState, outcome: int, text: str, now_ns: int
    ) -> None:
        token = market.tokens[outcome]
        for session in sessions:
            if token in session.tokens:
                self.send(session, text, now_ns)

    def _settle_changes(self, market: MarketState) -> None:
        """A snapshot taken between a change and its flush must not carry the hash of the older book."""
        if market.flush_due:
            market.version += 1


class UserSession:
    """One socket on the user channel."""

    def __init__(self, channel: "UserChannel", send: SendText) -> None:
        self.send = send
        self.close_reason: str | None = None
        self.account: Account | None = None
        self.markets: set[str] | None = None  # None: all
        self._channel = channel

    def on_text(self, text: str, now_ns: int) -> None:
        """One message of the client."""
        if text == "PING":
            self._channel.send(self, "PONG", now_ns)
            return
        data = _parse(text)
        markets = _texts(data.get("markets", [])) if data else None
        if data is None or markets is None:
            self.close_reason = BAD_REQUEST
        elif self.account is None:
            self._log_in(data, markets)
            self._channel.tell_presence(self.account, now_ns=now_ns)
        elif data.get("operation") == "unsubscribe":
            self.markets = (self.markets or set()) - set(markets)
        elif self.markets is not None:
            self.markets |= set(markets)

    def close(self) -> None:
        """The socket is gone."""
        self._channel.drop(self)

    def _log_in(self, data: dict[str, Any], markets: list[str]) -> None:
        auth = data.get("auth")
        fields = (
            [auth.get(key) for key in ("apiKey", "secret", "passphrase")] if isinstance(auth, dict) else []
        )
        texts = _texts(fields)
        self.account = self._channel.account(*texts) if texts else None
        if self.account is None:
            self.close_reason = BAD_AUTH
        else:
            self.markets = set(markets) or None

    def wants(self, account: Account, condition_id: str) -> bool:
        """Whether an event of this account and market belongs here."""
        return self.account is account and (self.markets is None or condition_id in self.markets)


class UserChannel:
    """Orders and trades to their owners; a UserWatcher.  Nothing is replayed."""

    def __init__(self, exchange: Exchange, faults: FaultPlan | None = None) -> None:
        self._exchange = exchange
        self._faults: FaultPlan = faults or NoFaults()
        self._sessions: list[UserSession] = []
        exchange.user_watchers.append(self)

    def open(self, send: SendText, now_ns: int) -> UserSession:
        """A socket connected; it must log in with its first message."""
        session = UserSession(self, send)
        self._sessions.append(session)
        return session

    def drop(self, session: UserSession) -> None:
        """Forget a socket; harmless when already forgotten."""
        if session in self._sessions:
            self._sessions.remove(session)
            self.tell_presence(session.account, now_ns=self._exchange.scheduler.now_ns)

    def tell_presence(self, account: Account | None, *, now_ns: int) -> None:
        """Note in the ledger whether anybody listens for this account (now)."""
        if account is not None:
            is_open = any(session.account is account for session in self._sessions)
            self._exchange.ledger.write("user", now_ns, account=account.name, is_open=is_open)

    def send(self, session: UserSession, text: str, now_ns: int) -> None:
        """One frame to one socket."""
        self._faults.deliver("user", text, session, now_ns)

    def account(self, api_key: str, secret: str, passphrase: str) -> Account | None:
        """The account behind credentials, None when they do not fit."""
        accounts = self._exchange.accounts
        return accounts.by_key(api_key) if accounts.check_key(api_key, secret, passphrase) else None

    def on_order(self, order: Order, kind: str, now_ns: int) -> None:
        """An order of an account with a key changed."""
        sessions = [s for s in self._sessions if s.wants(order.account, order.market.condition_id)]
        if sessions:
            text = orjson.dumps(order_event(order, kind, now_ns)).decode()
            for session in sessions:
                self.send(session, text, now_ns)

    def on_trade(self, trade: Trade, now_ns: int) -> None:
        """A trade was made or its status moved: one event per party."""
        for account, is_taker in trade.parties:
            sessions = [s for s in self._sessions if s.wants(account, trade.market.condition_id)]
            if sessions:
                event = trade_event(trade, account.api_key, account.wallet, now_ns, is_taker=is_taker)
                text = orjson.dumps(event).decode()
                for session in sessions:
                    self.send(session, text, now_ns)
