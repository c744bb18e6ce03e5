# The fixed records of the core. C struct = numpy dtype = file format.
# Owns: layout and numeric codes of Event (64 bytes) and Command (128 bytes) and their growable buffers.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

cpdef enum EventKind:
    EV_NONE = 0
    EV_SPOT_TRADE = 1        # x price, y quantity, side aggressor, seq last trade id, i first trade id, j exchange event time ns
    EV_SPOT_QUOTE = 2        # x bid, y ask, i bid quantity 1e-8, j ask quantity 1e-8, seq update id
    EV_ORACLE_SPOT = 3       # x price, venue_ns price time, j send time ns, seq channel sequence (0: none)
    EV_ORACLE_TWAP = 4       # as EV_ORACLE_SPOT, i averaging window in seconds
    EV_BOOK_SNAPSHOT = 5     # clears the book; i tick size in ticks (0: not told); levels follow
    EV_BOOK_LEVEL = 6        # side, i price_ticks, j micro-shares
    EV_BOOK_DELTA = 7        # side, i price_ticks, j micro-shares (absolute), x best bid ticks, y best ask ticks (-1: not told)
    EV_PUBLIC_QUOTE = 8      # x best bid ticks, y best ask ticks (-1: that side is empty)
    EV_PUBLIC_TRADE = 9      # side, i price_ticks, j micro-shares
    EV_TICK_SIZE = 10        # i new tick size in ticks
    EV_RESOLVED = 11         # outcome = winner (websocket hint, not the booked outcome)
    EV_ORDER_UPDATE = 12     # seq order_seq, i OrderStatus, j matched micro-shares so far (-1: not told), x reject reason
    EV_FILL = 13             # seq order_seq, i price_ticks, j micro-shares, x TradeStatus, y trade key (integer < 2**52), flags F_MAKER
    EV_TIMER = 14            # the 100 ms heartbeat
    EV_FEED_STATE = 15       # i FeedId, j FeedState, market (NO_MARKET for feeds that outlive markets)
    EV_MARKET_OPEN = 16      # metadata handed over beside it (Engine.open_market)
    EV_STRIKE = 17           # x strike, y its variance, i StrikeSource, venue_ns its stamp
    EV_MARKET_CLOSE = 18     # the window ended
    EV_OUTCOME = 19          # outcome = winner as the venue published it: settles
    EV_OPERATOR = 20         # i OperatorCode
    EV_BALANCE = 21          # j collateral in micro-USD
    EV_VENUE = 22            # i 1: the gateway takes no new orders now, 0: it does

cpdef enum EventFlag:
    F_END = 1                # last record of one venue message: strategies are evaluated after it
    F_AGG = 2                # aggregated trade
    F_SNAPSHOT = 4           # backfill of the past, not a live print
    F_MAKER = 8              # our order was the resting one
    F_GAP = 16               # ids before this one are missing
    F_LOCAL = 32             # an order update of our own making: the order never reached the venue

cpdef enum Outcome:
    UP = 0
    DOWN = 1

cpdef enum Side:
    BUY = 0
    SELL = 1

cpdef enum OrderType:
    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3

cpdef enum OrderStatus:
    OS_NEW = 0
    OS_SENT = 1
    OS_LIVE = 2
    OS_DELAYED = 3
    OS_MATCHED = 4           # venue says it matched at least partly; fills come by the user channel
    OS_PARTIAL = 5
    OS_FILLED = 6            # terminal
    OS_CANCEL_SENT = 7
    OS_CANCELED = 8          # terminal: killed, canceled by us or by the venue; j tells how much was matched
    OS_EXPIRED = 9           # terminal
    OS_REJECTED = 10         # terminal: a definite refusal, nothing rests and nothing filled
    OS_UNKNOWN = 11          # sticky: counts in full as exposure, blocks the token

cpdef enum TradeStatus:
    TS_MATCHED = 1
    TS_MINED = 2
    TS_RETRYING = 3
    TS_CONFIRMED = 4
    TS_FAILED = 5

cpdef enum FeedId:
    FEED_SPOT = 0
    FEED_ORACLE = 1
    FEED_MARKET = 2          # CLOB market channel
    FEED_USER = 3            # CLOB user channel

cpdef enum FeedState:
    FS_CONNECTED = 1
    FS_STALE = 2
    FS_GAP = 3
    FS_RECONNECTED = 4
    FS_DISCONNECTED = 5
    FS_WITNESSED = 6         # the venue's REST book equals ours: a quiet book is a fresh one

cpdef enum StrikeSource:
    STRIKE_UNKNOWN = 0
    STRIKE_POLYBOLT_TWAP = 1
    STRIKE_RTDS_TWAP = 2
    STRIKE_RTDS_SPOT = 3
    STRIKE_WEB_API = 4
    STRIKE_GAMMA = 5
    STRIKE_KLINE = 6

cpdef enum OperatorCode:
    OP_HALT = 1
    OP_RESUME = 2
    OP_FLATTEN = 3

cpdef enum CommandKind:
    CMD_NONE = 0
    CMD_PLACE = 1            # to the gateway
    CMD_CANCEL = 2           # to the gateway: order_seq
    CMD_CANCEL_ALL = 3       # to the gateway: every order of `market` (NO_MARKET: all)
    CMD_SIGNAL = 4           # telemetry: a strategy's opinion, `reason` = DISPATCHED or why it was denied
    CMD_GATE = 5             # telemetry: one gate of one strategy at a diagnostic (see Command fields)
    CMD_DIAGNOSTIC = 6       # telemetry: one market at a diagnostic
    CMD_FILL = 7             # telemetry: a fill as booked
    CMD_SETTLEMENT = 8       # telemetry: PnL of one strategy in one market
    CMD_ORDER = 9            # telemetry: an order changed state
    CMD_REFETCH_TICK = 10    # to the market feed: a level was off the known tick grid
    CMD_RESYNC_BOOK = 11     # to the market feed: book disagrees with the venue's own best prices

cpdef enum Special:
    NO_MARKET = 65535
    NO_STRATEGY = 255

ctypedef struct Event:
    int64_t recv_ns          # when we received it, venue clock, ns since the epoch
    int64_t venue_ns         # the sender's own stamp, ns since the epoch (0: none)
    uint16_t kind
    uint16_t market          # market_index or NO_MARKET
    uint8_t outcome
    uint8_t side
    uint16_t flags
    int64_t seq
    double x
    double y
    int64_t i
    int64_t j

ctypedef struct Command:
    int64_t decided_ns       # recv_ns of the event that caused it
    int64_t order_seq
    uint16_t kind
    uint16_t market
    uint8_t outcome
    uint8_t side
    uint8_t order_type
    uint8_t strategy         # index in the engine's strategy list, NO_STRATEGY where none
    int32_t price_ticks
    int32_t reason           # Denial code; gate index for CMD_GATE; OrderStatus for CMD_ORDER; TradeStatus for CMD_FILL
    int64_t shares           # micro-shares
    int64_t usd              # micro-USD (fill: cost with fee; settlement: PnL)
    # meaning by kind; CMD_SIGNAL and CMD_PLACE as named, the others in docs/ARCHITECTURE.md
    double edge
    double fair
    double confidence
    double size_frac
    double spot
    double distance
    double tau_s
    double delta
    double gamma
    double vega

cdef class EventBuffer:
    cdef Event* ev
    cdef readonly Py_ssize_t n
    cdef Py_ssize_t capacity
    cdef int _grow(self, Py_ssize_t capacity) except -1
    cdef Event* append(self) except NULL
    cdef void clear(self) noexcept

cdef class CommandBuffer:
    cdef Command* cmd
    cdef readonly Py_ssize_t n
    cdef Py_ssize_t capacity
    cpdef int actions(self) noexcept
    cdef int _grow(self, Py_ssize_t capacity) except -1
    cdef Command* append(self) except NULL
    cdef void clear(self) noexcept
