"""What the embedded venue says when it refuses, word for word as the real one does.

Texts and HTTP statuses are those of the venue's error reference (docs of 2026-10; the amounts texts
from client issues of 2026-07); clients classify by these strings, so they must not be improved.
Raised by order checks and authentication, turned into `{"error": ...}` by clob_rest.
"""

from polybot.errors import PolybotError

__all__ = [
    "BAD_AMOUNTS_LIMIT",
    "BAD_AMOUNTS_MARKET",
    "BAD_EXPIRATION",
    "BAD_L1",
    "BAD_PAYLOAD",
    "CROSSES_BOOK",
    "DUPLICATED",
    "FAK_NO_MATCH",
    "FOK_NOT_FILLED",
    "MARKET_CLOSED",
    "NOT_ENOUGH_BALANCE",
    "NOT_READY",
    "NO_ORDERBOOK",
    "ORDER_VERSION_MISMATCH",
    "TOO_MANY_REQUESTS",
    "UNAUTHORIZED",
    "WRONG_OWNER",
    "WRONG_SIGNER",
    "Refused",
    "below_minimum_amount",
    "below_minimum_size",
    "breaks_tick_size",
]

BAD_PAYLOAD = "Invalid order payload"
WRONG_OWNER = "the order owner has to be the owner of the API KEY"
WRONG_SIGNER = "the order signer address has to be the address of the API KEY"
ORDER_VERSION_MISMATCH = "order_version_mismatch"
BAD_EXPIRATION = "invalid expiration"
CROSSES_BOOK = "invalid post-only order: order crosses book"
FOK_NOT_FILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_NO_MATCH = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
NOT_ENOUGH_BALANCE = "not enough balance / allowance"
DUPLICATED = "order {id} is invalid. Duplicated."
NOT_READY = "the market is not yet ready to process new orders"
MARKET_CLOSED = "the orderbook {token} does not exist"
NO_ORDERBOOK = "No orderbook exists for the requested token id"
UNAUTHORIZED = "Unauthorized/Invalid api key"
TOO_MANY_REQUESTS = "Too Many Requests"
BAD_L1 = "Invalid L1 Request headers"
BAD_AMOUNTS_LIMIT = (
    "invalid amounts, the {side} orders maker amount supports a max accuracy of {maker} decimals, "
    "taker amount a max of {taker} decimals"
)
BAD_AMOUNTS_MARKET = (
    "invalid amounts, the market {side} orders maker amount supports a max accuracy of 2 decimals, "
    "taker amount a max of 4 decimals"
)


class Refused(PolybotError):
    """A request the venue answers with an error; `status` is the HTTP status, `text` the venue's words."""

    def __init__(self, text: str, status: int = 400, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.retry_after_s = retry_after_s


def breaks_tick_size(order_id: str, price: str, tick: str) -> Refused:
    """A price off the market's grid or outside [tick, 1 - tick]."""
    return Refused(f"order {order_id} is invalid. Price ({price}) breaks minimum tick size rule: {tick}")


def below_minimum_size(order_id: str, size: str, minimum: str) -> Refused:
    """Fewer shares than the market takes."""
    return Refused(f"order {order_id} is invalid. Size ({size}) lower than the minimum: {minimum}")


def below_minimum_amount(amount: str, minimum: str) -> Refused:
    """A marketable BUY worth too little."""
    return Refused(f"invalid amount for a marketable BUY order (${amount}), min size: ${minimum}")
