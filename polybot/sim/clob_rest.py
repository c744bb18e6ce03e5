"""The CLOB's REST API of the embedded venue: bytes in, bytes out.

Owns routing, authentication of private calls, paging and the answers' shapes; what an order does is
the exchange's.  Every call first brings venue time up to date, and flushes what it caused before it
returns.  Must not know sockets.  Called by the venue (HTTP shell and in-memory transport).
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from polybot.sim.accounts import Account
from polybot.sim.clob_auth import ClobAuth, parse_json
from polybot.sim.exchange import Exchange
from polybot.sim.faults import FaultPlan, NoFaults, Withheld
from polybot.sim.heartbeats import Heartbeats
from polybot.sim.markets import BUY, DOWN, ONE, UP, MarketState
from polybot.sim.messages import OUTCOMES, book_row, decimal_text, order_row, trade_row
from polybot.sim.orders import DELAYED, LIVE, Order
from polybot.sim.rate_limits import RateLimits
from polybot.sim.refusals import BAD_PAYLOAD, NO_ORDERBOOK, TOO_MANY_REQUESTS, Refused
from polybot.sim.trades import Trade
from polybot.transport import HttpResponse

__all__ = ["END_CURSOR", "FIRST_CURSOR", "ClobRest"]

NS = 1_000_000_000
FIRST_CURSOR = "MA=="  # base64 of 0
END_CURSOR = "LTE="  # base64 of -1
MAX_BATCH = 15
MAX_CANCELS = 1_000
UNLIMITED = str(2**256 - 1)
JSON_HEADERS = {"Content-Type": "application/json"}
Query = Mapping[str, str]
T = TypeVar("T")
Public = Callable[[Query, str], Any]
Private = Callable[[Account, Query, str, bytes], Any]


class ClobRest:
    """Handlers of one exchange."""

    def __init__(
        self, exchange: Exchange, faults: FaultPlan | None = None, limits: RateLimits | None = None
    ) -> None:
        self._exchange = exchange
        self._limits = limits
        self._faults: FaultPlan = faults or NoFaults()
        self._auth = ClobAuth(exchange)
        self._heartbeats = Heartbeats(exchange)
        # (method, path) or (method, path up to its last element) -> handler
        self._public: dict[tuple[str, str], Public] = {
            ("GET", "/time"): self._get_time,
            ("GET", "/version"): self._get_version,
            ("GET", "/book"): self._get_book,
            ("GET", "/tick-size"): self._get_tick_size,
            ("GET", "/neg-risk"): self._get_neg_risk,
            ("GET", "/clob-markets/"): self._get_clob_market,
            ("GET", "/markets/"): self._get_market,
        }
        self._private: dict[tuple[str, str], Private] = {
            ("POST", "/order"): self._post_order,
            ("POST", "/orders"): self._post_orders,
            ("DELETE", "/order"): self._delete_order,
            ("DELETE", "/orders"): self._delete_orders,
            ("DELETE", "/cancel-market-orders"): self._delete_market_orders,
            ("DELETE", "/cancel-all"): self._delete_all,
            ("POST", "/v1/heartbeats"): self._post_heartbeat,
            ("GET", "/data/orders"): self._get_orders,
            ("GET", "/data/order/"): self._get_order,
            ("GET", "/data/trades"): self._get_trades,
            ("GET", "/balance-allowance"): self._get_balance,
            ("GET", "/balance-allowance/update"): self._get_balance,
            ("GET", "/auth/ban-status/closed-only"): self._get_closed_only,
        }

    def handle(  # noqa: PLR0917 -- a request is these six
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> HttpResponse | Withheld:
        """Answer one request at venue time now_ns; a fault may withhold the answer."""
        self._exchange.scheduler.advance(now_ns)
        response = self._faults.answer(
            method, path, lambda: self._answer(method, path, query, headers, body), now_ns
        )
        self._exchange.scheduler.advance(now_ns)
        return response

    def _answer(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        try:
            status, data = 200, self._route(method, path, query, headers, body)
        except Refused as refused:
            return _refusal(refused)
        if isinstance(data, HttpResponse):
            return data
        return HttpResponse(status, JSON_HEADERS, orjson.dumps(data))

    def _route(self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes) -> Any:
        upper = {key.upper(): value for key, value in headers.items()}
        if path in ("/auth/api-key", "/auth/derive-api-key"):
            return self._credentials(method, path, upper)
        stem, _, last = path.rpartition("/")
        for key in ((method, path), (method, f"{stem}/")):
            public = self._public.get(key)
            if public is not None:
                self._check_rate(method, path, None)
                return public(query, last)
            private = self._private.get(key)
            if private is not None:
                account = self._auth.account_of(method, path, upper, body)
                self._check_open(method, path, account)
                return private(account, query, last, body)
        raise Refused("not found", 404)

    def _check_open(self, method: str, path: str, account: Account) -> None:
        """Rate limits and the venue's mode; a refused order is noted in the ledger."""
        try:
            self._check_rate(method, path, account)
            self._exchange.modes.check(method, path)
        except Refused as refused:
            if (method, path) == ("POST", "/order"):
                self._exchange.refuse(account, "", refused)
            raise

    def _check_rate(self, method: str, path: str, account: Account | None) -> None:
        if self._limits is None:
            return
        cost = 1 + len(account.orders) if account is not None and path == "/cancel-all" else 1
        wallet = "" if account is None else account.name
        now_ns = self._exchange.scheduler.now_ns
        wait_s = self._limits.refuse_s(method, path, now_ns, wallet=wallet, cost=cost)
        if wait_s > 0.0:
            raise Refused(TOO_MANY_REQUESTS, 429, retry_after_s=wait_s)

    # ---- public

    def _get_time(self, query: Query, last: str) -> Any:
        return self._exchange.scheduler.now_ns // NS

    def _get_version(self, query: Query, last: str) -> Any:
        return {"version": self._exchange.settings.clob_version}

    def _token(self, query: Query) -> tuple[MarketState, int]:
        found = self._exchange.listings.by_token(query.get("token_id", ""))
        if found is None or found[0].winner is not None:
            raise Refused(NO_ORDERBOOK, 404)
        return found

    def _get_book(self, query: Query, last: str) -> Any:
        market, outcome = self._token(query)
        return book_row(market, outcome, self._exchange.scheduler.now_ns) | {
            "min_order_size": decimal_text(market.spec.min_size_ushares),
            "neg_risk": market.spec.neg_risk,
        }

    def _get_tick_size(self, query: Query, last: str) -> Any:
        return {"minimum_tick_size": self._token(query)[0].tick_ticks / ONE}

    def _get_neg_risk(self, query: Query, last: str) -> Any:
        return {"neg_risk": self._token(query)[0].spec.neg_risk}

    def _market(self, condition_id: str) -> MarketState:
        market = self._exchange.listings.find(condition_id)
        if market is None or market.condition_id != condition_id:
            raise Refused("market not found", 404)
        return market

    def _get_clob_market(self, query: Query, last: str) -> Any:
        market = self._market(last)
        spec = market.spec
        answer: dict[str, Any] = {
            "c": spec.condition_id,
            "t": [{"t": token, "o": word} for token, word in zip(market.tokens, OUTCOMES, strict=True)],
            "mos": spec.min_size_ushares / 1e6,
            "mts": market.tick_ticks / ONE,
            "mbf": 1000,
            "tbf": 1000,
            "nr": spec.neg_risk,
            "itode": spec.taker_delay_ms > 0,
            "oas": 0,
            "ao": market.is_open,
            "sd": 0,
            "r": {"mi": 50, "ma": 4.5, "moas": 30},
            "v": "v1",
        }
        if spec.fees_enabled and spec.fee_rate_ppm is not None:
            answer["fd"] = {"r": spec.fee_rate_ppm / 1e6, "e": spec.fee_exponent, "to": True}
        return answer

    def _get_market(self, query: Query, last: str) -> Any:
        market = self._market(last)
        bid, ask = market.best()
        middle = ((bid if bid >= 0 else 0) + (ask if ask >= 0 else ONE)) / 2 / ONE
        prices = {UP: middle, DOWN: 1 - middle}
        if market.winner is not None:
            prices = {outcome: float(outcome == market.winner) for outcome in (UP, DOWN)}
        return {
            "condition_id": market.condition_id,
            "market_slug": market.spec.slug,
            "active": True,
            "closed": market.winner is not None,
            "accepting_orders": market.is_open,
            "enable_order_book": True,
            "minimum_order_size": market.spec.min_size_ushares / 1e6,
            "minimum_tick_size": market.tick_ticks / ONE,
            "neg_risk": market.spec.neg_risk,
            "tokens": [
                {
                    "token_id": market.tokens[outcome],
                    "outcome": OUTCOMES[outcome],
                    "price": prices[outcome],
                    "winner": market.winner == outcome,
                }
                for outcome in (UP, DOWN)
            ],
        }

    # ---- credentials

    def _credentials(self, method: str, path: str, headers: Mapping[str, str]) -> Any:
        address = self._auth.login(headers)
        account = self._exchange.accounts.by_address(address)
        if (method, path) == ("POST", "/auth/api-key"):
            balance = self._exchange.settings.auto_account_micro_usd
            if account is not None or balance is None:
                raise Refused("Could not create api key")
            account = self._exchange.accounts.open(address, balance)
        elif (method, path) != ("GET", "/auth/derive-api-key"):
            raise Refused("not found", 404)
        if account is None or account.credentials is None:
            raise Refused("Could not derive api key!")
        known = account.credentials
        return {"apiKey": known.api_key, "secret": known.secret, "passphrase": known.passphrase}

    def _get_closed_only(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        return {"closed_only": False}

    # ---- orders

    def _post_order(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        return self._place(account, parse_json(body))

    def _post_orders(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        items = parse_json(body)
        if not isinstance(items, list) or not 0 < len(items) <= MAX_BATCH:
            raise Refused(BAD_PAYLOAD)
        answers = []
        for item in items:
            try:
                answers.append(self._place(account, item))
            except Refused as refused:
                answers.append(_placed("", "", [], refused.text))
        return answers

    def _place(self, account: Account, data: Any) -> dict[str, Any]:
        order_id = ""
        try:
            request = self._auth.order_of(account, data)
            order_id = request.order_id
            self._exchange.modes.check_order(post_only=request.post_only)
            order, trade = self._exchange.place(account, request)
        except Refused as refused:
            self._exchange.refuse(account, order_id, refused)
            raise
        if trade is None:
            return _placed(order.order_id, "delayed" if order.status == DELAYED else "live", [])
        return _placed(order.order_id, "matched", [trade.trade_id]) | _amounts(order, trade)

    def _delete_order(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        data = parse_json(body)
        if not isinstance(data, dict) or not isinstance(data.get("orderID"), str):
            raise Refused(BAD_PAYLOAD)
        return _canceled(self._exchange.cancel(account, [data["orderID"]]))

    def _delete_orders(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        data = parse_json(body)
        if (
            not isinstance(data, list)
            or len(data) > MAX_CANCELS
            or not all(isinstance(item, str) for item in data)
        ):
            raise Refused(BAD_PAYLOAD)
        return _canceled(self._exchange.cancel(account, data))

    def _delete_market_orders(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        data = parse_json(body)
        if not isinstance(data, dict):
            raise Refused(BAD_PAYLOAD)
        market, token = data.get("market") or "", data.get("asset_id") or ""
        if not isinstance(market, str) or not isinstance(token, str) or not (market or token):
            raise Refused(BAD_PAYLOAD)
        return _canceled(self._exchange.cancel_all(account, market, token))

    def _delete_all(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        return _canceled(self._exchange.cancel_all(account))

    def _post_heartbeat(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        data = parse_json(body) if body else {}
        heartbeat_id = data.get("heartbeat_id") if isinstance(data, dict) else None
        if heartbeat_id is not None and not isinstance(heartbeat_id, str):
            raise Refused(BAD_PAYLOAD)
        accepted, current = self._heartbeats.beat(
            account, heartbeat_id or "", self._exchange.scheduler.now_ns
        )
        if accepted:
            return {"heartbeat_id": current}
        wrong = {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": current}
        return HttpResponse(400, JSON_HEADERS, orjson.dumps(wrong))

    # ---- queries of one account

    def _get_orders(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        found = [
            order
            for order in account.orders.values()
            if order.status == LIVE
            and query.get("market") in (None, "", order.market.condition_id)
            and query.get("asset_id") in (None, "", order.market.tokens[order.outcome])
            and query.get("id") in (None, "", order.order_id)
        ]
        return self._page(query, found, order_row)

    def _get_order(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        order = account.history.get(last)
        if order is None:
            raise Refused("order not found", 404)
        return order_row(order)

    def _get_trades(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        after, before = _seconds(query, "after", 0), _seconds(query, "before", 2**62)
        wallet = query.get("maker_address", "").lower()
        found = [
            trade
            for trade in account.trades
            if after <= trade.match_ns // NS <= before
            and query.get("market") in (None, "", trade.market.condition_id)
            and query.get("asset_id") in (None, "", *_tokens_of(trade, account))
            and query.get("id") in (None, "", trade.trade_id)
            and wallet in ("", account.name.lower(), account.wallet.lower())
        ]

        def row(trade: Trade) -> dict[str, Any]:
            is_taker = trade.taker_order.account is account
            return trade_row(trade, account.api_key, account.wallet, is_taker=is_taker)

        return self._page(query, found, row)

    def _get_balance(self, account: Account, query: Query, last: str, body: bytes) -> Any:
        balance = account.cash
        if query.get("asset_type") == "CONDITIONAL":
            found = self._exchange.listings.by_token(query.get("token_id", ""))
            balance = account.shares.get(found[0].condition_id, [0, 0])[found[1]] if found else 0
        elif query.get("asset_type") != "COLLATERAL":
            raise Refused("invalid asset type")
        settings = self._exchange.settings
        spenders = (settings.exchange_address, settings.neg_risk_exchange_address)
        return {"balance": str(balance), "allowances": dict.fromkeys(spenders, UNLIMITED)}

    def _page(self, query: Query, found: Sequence[T], row: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
        """One page from next_cursor (base64 of an offset) on; the last page says END_CURSOR."""
        size = self._faults.page_size(self._exchange.settings.page_size)
        cursor = query.get("next_cursor") or FIRST_CURSOR
        try:
            start = int(base64.b64decode(cursor, validate=True))
        except ValueError as error:
            raise Refused("invalid next_cursor") from error
        if start < 0:
            raise Refused("invalid next_cursor")
        page = [row(item) for item in found[start : start + size]]
        following = start + size
        next_cursor = (
            END_CURSOR if following >= len(found) else base64.b64encode(str(following).encode()).decode()
        )
        return {"data": page, "next_cursor": next_cursor, "limit": size, "count": len(page)}


def _placed(order_id: str, status: str, trade_ids: list[str], error: str = "") -> dict[str, Any]:
    return {
        "success": not error,
        "errorMsg": error,
        "orderID": order_id,
        "status": status,
        "makingAmount": "",
        "takingAmount": "",
        "tradeIDs": trade_ids,
        "transactionsHashes": [],
    }


def _amounts(order: Order, trade: Trade) -> dict[str, str]:
    usd = decimal_text(sum(leg.taker_usd for leg in trade.legs))
    shares = decimal_text(sum(leg.ushares for leg in trade.legs))
    making, taking = (usd, shares) if order.side == BUY else (shares, usd)
    return {"makingAmount": making, "takingAmount": taking}


def _refusal(refused: Refused) -> HttpResponse:
    """An error answer; with status 200 in the shape of a placed order, as the post-only mode has it."""
    if refused.status == 200:
        data: dict[str, Any] = _placed("", "", [], "") | {"errorMsg": refused.text}
    else:
        data = {"error": refused.text}
    headers = dict(JSON_HEADERS)
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(-int(-refused.retry_after_s // 1))
    return HttpResponse(refused.status, headers, orjson.dumps(data))


def _canceled(result: tuple[list[str], dict[str, str]]) -> dict[str, Any]:
    return {"canceled": result[0], "not_canceled": result[1]}


def _tokens_of(trade: Trade, account: Account) -> list[str]:
    """Tokens this account traded in a trade."""
    mine = [leg.maker_outcome for leg in trade.legs if leg.maker is account]
    if trade.taker_order.account is account:
        mine.append(trade.taker_order.outcome)
    return [trade.market.tokens[outcome] for outcome in mine]


def _seconds(query: Query, key: str, default: int) -> int:
    text = query.get(key) or str(default)
    if not text.isdigit():
        raise Refused(f"invalid {key}")
    return int(text)
