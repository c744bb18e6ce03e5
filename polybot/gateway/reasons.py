"""Why an order did not become an order: the codes in `x` of an EV_ORDER_UPDATE.

Codes below 200 are our own refusals before anything was sent, from 200 on the venue's.
They start at 100, above the engine's own denial codes, so that one table can name both.
"""

from enum import IntEnum

__all__ = ["RejectReason"]


class RejectReason(IntEnum):
    """Reject reasons; NONE means there is nothing to explain."""

    NONE = 0
    # refused here
    UNKNOWN_MARKET = 100
    NOT_ACCEPTING = 101
    PRICE_RANGE = 102
    OFF_TICK = 103
    OFF_LOT = 104
    BELOW_MIN_SIZE = 105
    BELOW_MIN_NOTIONAL = 106
    ORDER_TYPE = 107
    DUPLICATE_SEQ = 108
    TOKEN_BLOCKED = 109  # an earlier order on this token is still unknown
    RATE_LIMIT = 110  # our own bucket, or the venue's 429
    VENUE_DOWN = 111  # 425, 503, or a pause after one
    HEARTBEAT_LOST = 112
    GEOBLOCKED = 113
    LIVE_STOPPED = 114  # after an answer that says this account or program must not trade
    NOT_STARTED = 115
    SIGNING = 116
    TOO_MANY_ORDERS = 117
    NOT_JOURNALED = 118  # the money journal did not take the intent
    HUNG = 119  # this process stood still and has not compared with the venue since
    STALE_DECISION = 120  # decided too long ago when it could have been written
    NO_CONNECTION = 121  # no connection to the venue: not one byte was written
    CLOCK = 122  # our clock and the venue's are too far apart
    WITHDRAWN = 123  # cancelled, or everything was, before its first byte was written
    # refused by the venue
    VENUE_OTHER = 200
    INVALID_PAYLOAD = 201
    WRONG_OWNER = 202
    WRONG_SIGNER = 203
    BANNED = 204
    CLOSED_ONLY = 205
    ORDER_VERSION = 206
    TICK_SIZE = 207
    MIN_SIZE = 208
    MIN_NOTIONAL = 209
    INVALID_EXPIRATION = 210
    INVALID_NONCE = 211
    INVALID_AMOUNTS = 212
    CROSSES_BOOK = 213
    KILLED = 214  # FAK or FOK found nothing: a normal outcome
    BALANCE = 215
    DUPLICATED = 216
    MATCH_DELAYED = 217
    CONTEXT_CANCELED = 218
    NOT_READY = 219
    ENGINE_ERROR = 220
    UNAUTHORIZED = 221
    NO_ANSWER = 222
    UNREADABLE_ANSWER = 223
    ORDER_ID_MISMATCH = 224
    UNMATCHED = 225
