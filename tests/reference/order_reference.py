"""The states of orders and trades in prose, slowly: what the table of polybot._fast.order must say."""

from polybot._fast.event import OrderStatus as S
from polybot._fast.event import TradeStatus as T

NONE, ON, CONTRADICTION, REVIVED = range(4)
ENDS = (S.OS_FILLED, S.OS_CANCELED, S.OS_EXPIRED, S.OS_REJECTED)
# A life in order; each may be told without those before it.
LIFE = (S.OS_NEW, S.OS_SENT, S.OS_DELAYED, S.OS_LIVE, S.OS_MATCHED, S.OS_PARTIAL)
# The venue has the order, or had it.
SHOWN = (S.OS_LIVE, S.OS_DELAYED, S.OS_MATCHED, S.OS_PARTIAL, S.OS_FILLED, S.OS_CANCELED, S.OS_EXPIRED)


def order_step(old, new, *, matched=False):
    """What news of an order's state does; matched: some of it was matched and not taken back."""
    if new in (old, S.OS_NEW):
        return NONE
    if new == S.OS_REJECTED:
        # What the venue has shown, or matched, it cannot have refused.
        return CONTRADICTION if old in SHOWN or matched else ON
    if old == S.OS_REJECTED:
        return REVIVED if new in SHOWN else NONE
    if old in ENDS:
        return NONE
    if new == S.OS_UNKNOWN:
        # No answer says nothing of an order that was seen.
        return NONE if old in SHOWN else ON
    if old == S.OS_UNKNOWN:
        return ON if new in SHOWN else NONE
    if new in ENDS or (new == S.OS_CANCEL_SENT):
        return ON
    if old == S.OS_CANCEL_SENT:
        return NONE
    return ON if LIFE.index(new) > LIFE.index(old) else NONE


def trade_step(old, new):
    """What news of a trade does; old 0: never heard of."""
    final = (T.TS_CONFIRMED, T.TS_FAILED)
    if old in final and new in final and old != new:
        return CONTRADICTION
    return ON if old not in final and new > old else NONE
