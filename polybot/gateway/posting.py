"""One signed order on its way to the venue, and what the answer means for it.

Owns the last check before the first byte, the POST and the reading of its answer.  `send` writes on its caller's stack
when a warm connection is free, after the task that reads the answer exists; else that task waits for a connection.
An order that was decided and signed is still refused when, at the moment of writing, a reason against orders stands or
the decision is too old: nothing has left then, and it is told as refused here.  What left and got no usable answer is
UNKNOWN.
An answer that is overdue stops further orders long before its timeout: the connection may be half open.
Nothing is ever sent a second time.  Called by gateway.clob.
"""

from collections.abc import Callable

from polybot import crashpoints
from polybot._fast.event import EventBuffer, OrderStatus
from polybot.clock import Clock
from polybot.errors import NotSent, VenueUnavailable
from polybot.gateway.intents import crash_after_post
from polybot.gateway.pause import EntryPause
from polybot.gateway.reasons import RejectReason
from polybot.gateway.resolver import Spawn
from polybot.gateway.responses import Answer, AnswerKind, classify_post
from polybot.gateway.rest import ClobRest
from polybot.gateway.tracker import OS_SENT, OS_UNKNOWN, OrderTracker, TrackedOrder
from polybot.transport import Exchange

__all__ = ["Poster"]

NS = 1_000_000_000
# Wall seconds: the venue answers within its hold of 150 ms and the way there and back.
OVERDUE_S = 1.5
OS_REJECTED, OS_CANCELED = int(OrderStatus.OS_REJECTED), int(OrderStatus.OS_CANCELED)
ACCEPTED_STATUS = {
    "live": int(OrderStatus.OS_LIVE),
    "delayed": int(OrderStatus.OS_DELAYED),
    "matched": int(OrderStatus.OS_MATCHED),
}
_ENDS = {
    AnswerKind.REJECTED: (OS_REJECTED, "rejected"),
    AnswerKind.NOT_SENT: (OS_REJECTED, "rejected"),
    AnswerKind.UNSENT: (OS_REJECTED, "unsent"),
    AnswerKind.KILLED: (OS_CANCELED, "killed"),
}
_UNKNOWN = (OS_UNKNOWN, "unknown")


class _Refused(NotSent):
    """The last check spoke against the order."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class _Departure:
    """What became of the attempt to write at once: written, refused, left to the task, or (none of them) broken off."""

    __slots__ = ("exchange", "is_left", "refusal")

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.refusal: RejectReason | None = None
        self.is_left = False


class Poster:
    """Sends orders of one account; `why_not` says what stands against an order now, `follow` goes on with it."""

    def __init__(
        self,
        rest: ClobRest,
        tracker: OrderTracker,
        *,
        clock: Clock,
        pause: EntryPause,
        decision_max_s: float,
        why_not: Callable[[int], RejectReason],
        sink: Callable[[EventBuffer], None],
        follow: Callable[[TrackedOrder], None],
        spawn: Spawn,
        on_stage: Callable[[str, int, int], None],
        on_reason: Callable[[int, str], None] | None,
    ) -> None:
        """decision_max_s: wall seconds between the event that caused an order and its first byte."""
        self._rest = rest
        self._tracker = tracker
        self._clock = clock
        self._pause = pause
        self._decision_max_s = decision_max_s
        self._why_not = why_not
        self._sink = sink
        self._follow = follow
        self._spawn = spawn
        self._on_stage = on_stage
        self._on_reason = on_reason
        self._unanswered: dict[int, int] = {}  # order_seq -> when its first byte was written, mono ns
        self.counters = {
            "accepted": 0,
            "rejected": 0,
            "killed": 0,
            "unknown": 0,
            "unsent": 0,
            "answer_contradictions": 0,
        }

    def send(self, order: TrackedOrder, decided_ns: int, *, at_once: bool = True) -> int:
        """Send one order; decided_ns is the venue time of the event that caused it.

        With `at_once`, and a warm connection that is free, its bytes are in the socket when this returns: the mono
        time of that, for the caller to tell as stage `write`.  Else 0.
        """
        departure = _Departure()
        self._spawn(self._see_through(order, decided_ns, departure))
        crashpoints.reach("before_post")
        if not at_once:
            departure.is_left = True
            return 0
        try:
            exchange = self._rest.begin_order(order.body, lambda: self._check(order, decided_ns))
        except NotSent as error:
            departure.refusal = _reason_of(error)
            return 0
        departure.exchange, departure.is_left = exchange, exchange is None
        if exchange is None:
            return 0
        crashpoints.reach("after_post")
        return self._clock.mono_ns()

    async def _see_through(self, order: TrackedOrder, decided_ns: int, departure: _Departure) -> None:
        """Read the answer of an order that was written, or write it first; apply the answer."""
        try:
            if departure.refusal is not None:
                answer = Answer(AnswerKind.UNSENT, departure.refusal)
            elif departure.exchange is None and not departure.is_left:  # it may have left, and never leaves again
                answer = Answer(AnswerKind.UNKNOWN, RejectReason.NO_ANSWER)
            else:
                answer = await self._answer(order, decided_ns, departure.exchange)
        finally:
            self._unanswered.pop(order.order_seq, None)
        crashpoints.reach("after_answer")
        self._on_stage("ack", order.order_seq, self._clock.mono_ns())
        self.on_answer(order, answer)

    async def _answer(self, order: TrackedOrder, decided_ns: int, exchange: Exchange | None) -> Answer:
        def check() -> None:
            self._check(order, decided_ns)
            self._on_stage("write", order.order_seq, self._clock.mono_ns())

        try:
            if exchange is not None:
                response = await self._rest.order_answer(exchange)
            else:
                if crashpoints.is_armed("after_post"):
                    self._spawn(crash_after_post())
                response = await self._rest.order(order.body, check)
        except NotSent as error:
            return Answer(AnswerKind.UNSENT, _reason_of(error))
        except VenueUnavailable:
            return Answer(AnswerKind.UNKNOWN, RejectReason.NO_ANSWER)
        is_buy = order.plan.side == 0
        return classify_post(response, order.order_id, is_buy=is_buy, is_taker=order.is_taker)

    def _check(self, order: TrackedOrder, decided_ns: int) -> None:
        """The last word before the first byte; raises _Refused."""
        reason = RejectReason.WITHDRAWN if order.cancel_wanted else self.why_not_now(order.order_seq, decided_ns)
        if reason is not RejectReason.NONE:
            raise _Refused(reason)
        self._unanswered[order.order_seq] = self._clock.mono_ns()

    def is_overdue(self) -> bool:
        """True while an answer takes so long that the connection cannot be trusted."""
        for written_ns in self._unanswered.values():  # the oldest first
            return self._clock.mono_ns() - written_ns > OVERDUE_S * NS
        return False

    def why_not_now(self, order_seq: int, decided_ns: int) -> RejectReason:
        """Why this decided order must not be written at this moment, NONE when it may."""
        reason = self._why_not(order_seq)
        if reason is not RejectReason.NONE:
            return reason
        age_s = self._clock.real_s((self._clock.now_ns() - decided_ns) / NS)
        return RejectReason.STALE_DECISION if age_s > self._decision_max_s else RejectReason.NONE

    def on_answer(self, order: TrackedOrder, answer: Answer) -> None:
        """Apply an answer to the order, tell the engine, and go on with the order."""
        order.answered = True
        if answer.text and self._on_reason is not None:
            self._on_reason(order.order_seq, answer.text)
        now_ns = self._clock.now_ns()
        out = EventBuffer(2)
        told_before = order.status not in (OS_SENT, OS_UNKNOWN)
        if answer.kind is AnswerKind.ACCEPTED:
            self._on_accepted(out, order, answer, now_ns)
        elif told_before and answer.kind is not AnswerKind.UNKNOWN:
            # Refused, but the user channel already showed it alive: evidence wins, and we look.
            self.counters["answer_contradictions"] += 1
            order.missing = not order.is_terminal
        else:
            self._on_not_accepted(out, order, answer, now_ns)
        self._note_state(order, answer, now_ns)
        if len(out):
            self._sink(out)
        self._follow(order)

    def _note_state(self, order: TrackedOrder, answer: Answer, now_ns: int) -> None:
        """What the answer says of the venue and the account."""
        self._pause.answered(order.order_seq, now_ns=now_ns)
        if answer.kind in (AnswerKind.ACCEPTED, AnswerKind.REJECTED, AnswerKind.KILLED):
            self._pause.resumed()
        if answer.stop_live:
            self._pause.block(RejectReason.LIVE_STOPPED, f"{answer.reason.name}: {answer.text}")
        if answer.kind is AnswerKind.NOT_SENT or answer.reason is RejectReason.NO_CONNECTION:
            self._pause.pause(answer.reason, answer.pause_s, now_ns=now_ns)

    def _on_accepted(self, out: EventBuffer, order: TrackedOrder, answer: Answer, now_ns: int) -> None:
        self.counters["accepted"] += 1
        matched = answer.matched_ushares if answer.matched_ushares <= order.plan.ushares else -1
        order.match_is_final = order.is_taker and answer.status == "matched" and matched > 0
        status = ACCEPTED_STATUS[answer.status]
        self._tracker.on_status(out, order, status=status, matched_ushares=matched, now_ns=now_ns)
        self._tracker.check_complete(out, order, now_ns=now_ns)

    def _on_not_accepted(self, out: EventBuffer, order: TrackedOrder, answer: Answer, now_ns: int) -> None:
        status, name = _ENDS.get(answer.kind, _UNKNOWN)
        self.counters[name] += 1
        matched = -1 if status == OS_UNKNOWN else 0
        self._tracker.on_status(
            out,
            order,
            status=status,
            matched_ushares=matched,
            reason=answer.reason,
            now_ns=now_ns,
            is_local=answer.kind is AnswerKind.UNSENT,
        )


def _reason_of(error: NotSent) -> RejectReason:
    """Why nothing left: our own refusal, or no connection."""
    return error.reason if isinstance(error, _Refused) else RejectReason.NO_CONNECTION
