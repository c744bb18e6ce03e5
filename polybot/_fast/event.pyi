"""Types of polybot._fast.event as Python sees them."""

from enum import IntEnum
from typing import Any

import numpy as np

EVENT_DTYPE: np.dtype[Any]
COMMAND_DTYPE: np.dtype[Any]
QUOTE_DTYPE: np.dtype[Any]
MAX_RECORDS: int

class EventKind(IntEnum):
    EV_NONE = 0
    EV_SPOT_TRADE = 1
    EV_SPOT_QUOTE = 2
    EV_ORACLE_SPOT = 3
    EV_ORACLE_TWAP = 4
    EV_BOOK_SNAPSHOT = 5
    EV_BOOK_LEVEL = 6
    EV_BOOK_DELTA = 7
    EV_PUBLIC_QUOTE = 8
    EV_PUBLIC_TRADE = 9
    EV_TICK_SIZE = 10
    EV_RESOLVED = 11
    EV_ORDER_UPDATE = 12
    EV_FILL = 13
    EV_TIMER = 14
    EV_FEED_STATE = 15
    EV_MARKET_OPEN = 16
    EV_STRIKE = 17
    EV_MARKET_CLOSE = 18
    EV_OUTCOME = 19
    EV_OPERATOR = 20
    EV_BALANCE = 21
    EV_VENUE = 22

class EventFlag(IntEnum):
    F_END = 1
    F_AGG = 2
    F_SNAPSHOT = 4
    F_MAKER = 8
    F_GAP = 16
    F_LOCAL = 32

class Outcome(IntEnum):
    UP = 0
    DOWN = 1

class Side(IntEnum):
    BUY = 0
    SELL = 1

class OrderType(IntEnum):
    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3

class OrderStatus(IntEnum):
    OS_NEW = 0
    OS_SENT = 1
    OS_LIVE = 2
    OS_DELAYED = 3
    OS_MATCHED = 4
    OS_PARTIAL = 5
    OS_FILLED = 6
    OS_CANCEL_SENT = 7
    OS_CANCELED = 8
    OS_EXPIRED = 9
    OS_REJECTED = 10
    OS_UNKNOWN = 11

class TradeStatus(IntEnum):
    TS_MATCHED = 1
    TS_MINED = 2
    TS_RETRYING = 3
    TS_CONFIRMED = 4
    TS_FAILED = 5

class FeedId(IntEnum):
    FEED_SPOT = 0
    FEED_ORACLE = 1
    FEED_MARKET = 2
    FEED_USER = 3

class FeedState(IntEnum):
    FS_CONNECTED = 1
    FS_STALE = 2
    FS_GAP = 3
    FS_RECONNECTED = 4
    FS_DISCONNECTED = 5
    FS_WITNESSED = 6

class StrikeSource(IntEnum):
    STRIKE_UNKNOWN = 0
    STRIKE_POLYBOLT_TWAP = 1
    STRIKE_RTDS_TWAP = 2
    STRIKE_RTDS_SPOT = 3
    STRIKE_WEB_API = 4
    STRIKE_GAMMA = 5
    STRIKE_KLINE = 6

class OperatorCode(IntEnum):
    OP_HALT = 1
    OP_RESUME = 2
    OP_FLATTEN = 3

class CommandKind(IntEnum):
    CMD_NONE = 0
    CMD_PLACE = 1
    CMD_CANCEL = 2
    CMD_CANCEL_ALL = 3
    CMD_SIGNAL = 4
    CMD_GATE = 5
    CMD_DIAGNOSTIC = 6
    CMD_FILL = 7
    CMD_SETTLEMENT = 8
    CMD_ORDER = 9
    CMD_REFETCH_TICK = 10
    CMD_RESYNC_BOOK = 11

class Special(IntEnum):
    NO_MARKET = 65535
    NO_STRATEGY = 255

EV_NONE = EventKind.EV_NONE
EV_SPOT_TRADE = EventKind.EV_SPOT_TRADE
EV_SPOT_QUOTE = EventKind.EV_SPOT_QUOTE
EV_ORACLE_SPOT = EventKind.EV_ORACLE_SPOT
EV_ORACLE_TWAP = EventKind.EV_ORACLE_TWAP
EV_BOOK_SNAPSHOT = EventKind.EV_BOOK_SNAPSHOT
EV_BOOK_LEVEL = EventKind.EV_BOOK_LEVEL
EV_BOOK_DELTA = EventKind.EV_BOOK_DELTA
EV_PUBLIC_QUOTE = EventKind.EV_PUBLIC_QUOTE
EV_PUBLIC_TRADE = EventKind.EV_PUBLIC_TRADE
EV_TICK_SIZE = EventKind.EV_TICK_SIZE
EV_RESOLVED = EventKind.EV_RESOLVED
EV_ORDER_UPDATE = EventKind.EV_ORDER_UPDATE
EV_FILL = EventKind.EV_FILL
EV_TIMER = EventKind.EV_TIMER
EV_FEED_STATE = EventKind.EV_FEED_STATE
EV_MARKET_OPEN = EventKind.EV_MARKET_OPEN
EV_STRIKE = EventKind.EV_STRIKE
EV_MARKET_CLOSE = EventKind.EV_MARKET_CLOSE
EV_OUTCOME = EventKind.EV_OUTCOME
EV_OPERATOR = EventKind.EV_OPERATOR
EV_BALANCE = EventKind.EV_BALANCE
EV_VENUE = EventKind.EV_VENUE
F_END = EventFlag.F_END
F_AGG = EventFlag.F_AGG
F_SNAPSHOT = EventFlag.F_SNAPSHOT
F_MAKER = EventFlag.F_MAKER
F_GAP = EventFlag.F_GAP
F_LOCAL = EventFlag.F_LOCAL
UP = Outcome.UP
DOWN = Outcome.DOWN
BUY = Side.BUY
SELL = Side.SELL
GTC = OrderType.GTC
GTD = OrderType.GTD
FOK = OrderType.FOK
FAK = OrderType.FAK
OS_NEW = OrderStatus.OS_NEW
OS_SENT = OrderStatus.OS_SENT
OS_LIVE = OrderStatus.OS_LIVE
OS_DELAYED = OrderStatus.OS_DELAYED
OS_MATCHED = OrderStatus.OS_MATCHED
OS_PARTIAL = OrderStatus.OS_PARTIAL
OS_FILLED = OrderStatus.OS_FILLED
OS_CANCEL_SENT = OrderStatus.OS_CANCEL_SENT
OS_CANCELED = OrderStatus.OS_CANCELED
OS_EXPIRED = OrderStatus.OS_EXPIRED
OS_REJECTED = OrderStatus.OS_REJECTED
OS_UNKNOWN = OrderStatus.OS_UNKNOWN
TS_MATCHED = TradeStatus.TS_MATCHED
TS_MINED = TradeStatus.TS_MINED
TS_RETRYING = TradeStatus.TS_RETRYING
TS_CONFIRMED = TradeStatus.TS_CONFIRMED
TS_FAILED = TradeStatus.TS_FAILED
FEED_SPOT = FeedId.FEED_SPOT
FEED_ORACLE = FeedId.FEED_ORACLE
FEED_MARKET = FeedId.FEED_MARKET
FEED_USER = FeedId.FEED_USER
FS_CONNECTED = FeedState.FS_CONNECTED
FS_STALE = FeedState.FS_STALE
FS_GAP = FeedState.FS_GAP
FS_RECONNECTED = FeedState.FS_RECONNECTED
FS_DISCONNECTED = FeedState.FS_DISCONNECTED
FS_WITNESSED = FeedState.FS_WITNESSED
STRIKE_UNKNOWN = StrikeSource.STRIKE_UNKNOWN
STRIKE_POLYBOLT_TWAP = StrikeSource.STRIKE_POLYBOLT_TWAP
STRIKE_RTDS_TWAP = StrikeSource.STRIKE_RTDS_TWAP
STRIKE_RTDS_SPOT = StrikeSource.STRIKE_RTDS_SPOT
STRIKE_WEB_API = StrikeSource.STRIKE_WEB_API
STRIKE_GAMMA = StrikeSource.STRIKE_GAMMA
STRIKE_KLINE = StrikeSource.STRIKE_KLINE
OP_HALT = OperatorCode.OP_HALT
OP_RESUME = OperatorCode.OP_RESUME
OP_FLATTEN = OperatorCode.OP_FLATTEN
CMD_NONE = CommandKind.CMD_NONE
CMD_PLACE = CommandKind.CMD_PLACE
CMD_CANCEL = CommandKind.CMD_CANCEL
CMD_CANCEL_ALL = CommandKind.CMD_CANCEL_ALL
CMD_SIGNAL = CommandKind.CMD_SIGNAL
CMD_GATE = CommandKind.CMD_GATE
CMD_DIAGNOSTIC = CommandKind.CMD_DIAGNOSTIC
CMD_FILL = CommandKind.CMD_FILL
CMD_SETTLEMENT = CommandKind.CMD_SETTLEMENT
CMD_ORDER = CommandKind.CMD_ORDER
CMD_REFETCH_TICK = CommandKind.CMD_REFETCH_TICK
CMD_RESYNC_BOOK = CommandKind.CMD_RESYNC_BOOK
NO_MARKET = Special.NO_MARKET
NO_STRATEGY = Special.NO_STRATEGY

class EventBuffer:
    def __init__(self, capacity: int = 256) -> None: ...
    def reset(self) -> None: ...
    def __len__(self) -> int: ...
    @property
    def n(self) -> int: ...
    def add(
        self,
        kind: int,
        *,
        recv_ns: int = 0,
        venue_ns: int = 0,
        market: int = ...,
        outcome: int = 0,
        side: int = 0,
        flags: int = 0,
        seq: int = 0,
        x: float = 0.0,
        y: float = 0.0,
        i: int = 0,
        j: int = 0,
    ) -> None: ...
    def kind_at(self, k: int) -> int: ...
    def recv_ns_at(self, k: int) -> int: ...
    def venue_ns_at(self, k: int) -> int: ...
    def market_at(self, k: int) -> int: ...
    def kind_mask(self) -> int: ...
    def extend_from(self, other: EventBuffer) -> None: ...
    def extend(self, records: np.ndarray[Any, Any]) -> None: ...
    def to_bytes(self) -> bytes: ...
    def to_numpy(self) -> np.ndarray[Any, Any]: ...

class CommandBuffer:
    def __init__(self, capacity: int = 64) -> None: ...
    def reset(self) -> None: ...
    def __len__(self) -> int: ...
    @property
    def n(self) -> int: ...
    def kind_at(self, k: int) -> int: ...
    def actions(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    def to_numpy(self) -> np.ndarray[Any, Any]: ...

def read_records(raw: bytes, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]: ...
