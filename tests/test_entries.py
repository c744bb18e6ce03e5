"""The words in which the entry gate says why no order may leave: each reason once, whoever gives the details."""

from types import SimpleNamespace

import pytest

from polybot.entries import EntryGate
from polybot.gateway.reasons import RejectReason


def closed_by(reason: RejectReason, detail: str) -> tuple[str, list[str]]:
    """What a gate says whose gateway is paused so."""
    told: list[str] = []
    gateway = SimpleNamespace(on_beat=lambda: None, entry_pause=lambda: reason, pause_detail=lambda: detail)
    gate = EntryGate(
        gateway,
        clock=SimpleNamespace(now_ns=lambda: 0),
        close_entries=lambda closed: None,
        problem=lambda: "",
        notice=lambda level, text, **facts: told.append(text),
        spawn=lambda coroutine: coroutine.close(),
        reconcile_s=30.0,
    )
    gate.check()
    return gate.closed_by, told


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("VENUE_DOWN: no answer", "gateway paused: VENUE_DOWN: no answer"),
        ("", "gateway paused: VENUE_DOWN"),
        ("something else", "gateway paused: VENUE_DOWN something else"),
    ],
)
def test_a_paused_gateway_is_named_once(detail: str, words: str) -> None:
    assert closed_by(RejectReason.VENUE_DOWN, detail) == (words, [f"entries closed: {words}"])
