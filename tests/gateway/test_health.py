"""The parts that say whether an order may leave: outages and lanes, the pulse, joined questions, the clock's offset."""

import asyncio
from random import Random
from typing import Any

import pytest

from polybot.errors import VenueError, VenueUnavailable
from polybot.gateway.admission import bound_offset, estimate_offset_ns
from polybot.gateway.joining import Joining
from polybot.gateway.outage import BEAT, CANCEL, PLACE, READ, Outage
from polybot.gateway.pulse import Pulse
from polybot.gateway.reasons import RejectReason as Why
from polybot.sim.virtual_loop import VirtualLoop
from tests.gateway.fake_http import NS, START_NS, Bench, answer, command, run_virtual
from tests.gateway.floor import JumpClock

GTC = 0


def in_virtual_time(scenario: Any) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())


def outage_of(log: list[str]) -> tuple[Outage, JumpClock]:
    clock = JumpClock(asyncio.get_running_loop(), START_NS)
    outage = Outage(
        clock,  # type: ignore[arg-type]
        rng=Random(1),
        on_down=lambda why: log.append(f"down {why}"),
        on_up=lambda: log.append("up"),
        on_limited=lambda seconds: log.append("limited"),
    )
    return outage, clock


def test_two_failures_in_a_row_make_an_outage_and_one_answer_ends_it() -> None:
    async def scenario() -> None:
        log: list[str] = []
        outage, _ = outage_of(log)
        outage.on_no_answer()
        outage.on_answer(READ, answer(200, {}))
        outage.on_no_answer()
        assert log == []
        outage.on_answer(READ, answer(500, {}))
        assert log == ["down venue is down: HTTP 500"]
        with pytest.raises(VenueUnavailable, match="not asked: venue is down"):
            await outage.admit(READ)
        outage.on_answer(PLACE, answer(400, {}))
        assert outage.is_down, "an answer to an order is no sign of the rest"
        outage.on_answer(READ, answer(404, {}))
        assert log[1:] == ["up"]
        await outage.admit(READ)

    in_virtual_time(scenario)


@pytest.mark.parametrize(("lane", "status", "is_down"), [
    (READ, 425, True), (CANCEL, 425, True), (PLACE, 425, True), (BEAT, 503, True), (READ, 503, True),
    (CANCEL, 503, False), (PLACE, 503, False), (PLACE, 500, False), (READ, 401, False), (READ, 429, False),
])  # fmt: skip
def test_what_one_answer_says_of_the_whole_venue(lane: str, status: int, is_down: bool) -> None:
    async def scenario() -> None:
        outage, _ = outage_of([])
        outage.on_answer(lane, answer(status, b""))
        assert outage.is_down is is_down

    in_virtual_time(scenario)


def test_while_the_venue_is_down_cancels_beats_and_probes_share_one_call_a_second() -> None:
    async def scenario() -> None:
        outage, clock = outage_of([])
        outage.on_answer(READ, answer(425, b""))
        start_ns, left = clock.now_ns(), []

        async def call(lane: str, is_probe: bool) -> None:
            await outage.admit(lane, is_probe=is_probe)
            left.append((clock.now_ns() - start_ns) / NS)

        await asyncio.gather(*(call(lane, lane == READ) for lane in (CANCEL, BEAT, READ) * 5))
        assert left == [float(k) for k in range(15)]

    in_virtual_time(scenario)


def test_retry_after_holds_its_own_lane_and_no_other() -> None:
    async def scenario() -> None:
        log: list[str] = []
        outage, clock = outage_of(log)
        outage.on_answer(READ, answer(429, b"", Retry_After="7"))
        assert log == ["limited"]
        await outage.admit(CANCEL)
        await outage.admit(BEAT)
        assert clock.now_ns() == START_NS
        with pytest.raises(VenueUnavailable, match="fewer calls"):
            await outage.admit(READ)
        await outage.admit(READ, is_probe=True)
        assert 7 * NS <= clock.now_ns() - START_NS <= 8 * NS
        outage.on_answer(CANCEL, answer(429, b"", Retry_After="3"))
        held_ns = clock.now_ns()
        await outage.admit(CANCEL)
        assert 3 * NS <= clock.now_ns() - held_ns <= 4 * NS

    in_virtual_time(scenario)


def test_a_beat_is_late_only_when_it_is_late_by_both_clocks() -> None:
    async def scenario() -> None:
        clock = JumpClock(asyncio.get_running_loop(), START_NS)
        pulse = Pulse(clock)  # type: ignore[arg-type]
        assert not pulse.is_late()
        assert [pulse.beat() for _ in range(2)] == [False, False]
        clock.jump(4.9)
        assert not pulse.is_late()
        assert not pulse.beat()
        clock.jump(5.1)
        assert pulse.is_late()
        assert pulse.beat()
        assert not pulse.beat()
        assert pulse.hangs == 1
        clock.mono_ns = lambda: 0  # type: ignore[method-assign]  # a fast venue: its time passed, the wall's did not
        pulse.beat()
        clock.jump(60.0)
        assert not pulse.is_late()

    in_virtual_time(scenario)


def test_joined_questions_are_put_once_after_all_who_joined_and_errors_go_to_all() -> None:
    async def scenario() -> None:
        put: list[float] = []
        loop = asyncio.get_running_loop()

        async def ask(key: str) -> float:
            at = loop.time()
            put.append(at)
            await asyncio.sleep(1.0)
            if key == "bad":
                raise VenueError("no")
            return at

        joining = Joining(ask)

        async def get(after_s: float, key: str = "a") -> tuple[float, float]:
            await asyncio.sleep(after_s)
            asked_at = loop.time()
            return asked_at, await joining.get(key)

        told = await asyncio.gather(*(get(at) for at in (0.0, 0.0, 0.1, 0.5, 0.9, 1.5)))
        assert len(put) == 3, "one under way, one for all who came meanwhile, one for the last"
        assert all(answered >= asked for asked, answered in told)
        bad = await asyncio.gather(*(get(0.0, "bad") for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in bad] == [VenueError] * 3
        assert len(put) == 5

    in_virtual_time(scenario)


def test_whoever_asked_for_others_may_be_stopped_without_leaving_them_waiting() -> None:
    async def scenario() -> None:
        async def ask(key: str) -> None:
            await asyncio.sleep(1.0)

        joining = Joining(ask)
        under_way = asyncio.ensure_future(joining.get("a"))
        await asyncio.sleep(0)
        first, second = asyncio.ensure_future(joining.get("a")), asyncio.ensure_future(joining.get("a"))
        await asyncio.sleep(0.1)
        first.cancel()
        with pytest.raises(VenueUnavailable):
            await second
        await under_way
        await joining.get("a")

    in_virtual_time(scenario)


@pytest.mark.parametrize("offset_ms", [-900, -350, -40, 0, 40, 350, 900])
def test_five_samples_find_the_offset_to_a_tenth_of_a_second_as_a_rule(offset_ms: int) -> None:
    errors = sorted(offset_error_ms(offset_ms, Random(f"{offset_ms}/{seed}")) for seed in range(200))
    assert errors[100] <= 100
    assert errors[-1] <= 600, "one slow sample leaves a wider gap"


def offset_error_ms(offset_ms: int, rnd: Random) -> float:
    ms, at_ns = 1_000_000, START_NS + rnd.randrange(NS)
    found = []
    for _ in range(5):
        there_ns, back_ns = (rnd.randrange(2, 50) * ms for _ in range(2))
        if rnd.random() < 0.1:
            back_ns += 900 * ms
        told_s = (at_ns + there_ns + offset_ms * ms) // NS
        found.append(bound_offset(told_s, at_ns, at_ns + there_ns + back_ns))
        at_ns += there_ns + back_ns + 210 * ms
    return abs(estimate_offset_ns(found) - offset_ms * ms) / ms


def test_one_sample_or_contradicting_ones_give_the_least_offset_that_explains_them() -> None:
    assert estimate_offset_ns([bound_offset(10, 9 * NS, 9 * NS + 400_000_000)]) == 600_000_000
    assert estimate_offset_ns([bound_offset(10, 10 * NS, 11 * NS)]) == 0
    contradicting = [bound_offset(10, 10 * NS, 10 * NS + 1), bound_offset(14, 10 * NS, 10 * NS + 1)] * 2
    assert estimate_offset_ns([*contradicting, contradicting[1]]) == 4 * NS - 1


def test_a_clock_that_drifts_away_blocks_entries_until_it_is_right_again() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        off_s = 0
        bench.http.time_s = lambda: bench.clock.now_ns() // NS + off_s
        await bench.clock.sleep(605)
        assert bench.gateway.entry_pause() is Why.NONE
        off_s = 4
        await bench.clock.sleep(605)
        assert bench.gateway.entry_pause() is Why.CLOCK
        assert "set the system clock" in bench.gateway.pause_detail()
        off_s = 0
        await bench.clock.sleep(35)
        assert bench.gateway.entry_pause() is Why.NONE

    run_virtual(scenario)


def test_a_small_offset_is_measured_again_and_stamped_on_orders() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.time_s = lambda: (bench.clock.now_ns() + 600_000_000) // NS
        await bench.clock.sleep(64)
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        stamp_ms = int(bench.http.sent("POST", "/order")[0].json()["order"]["timestamp"])
        assert 300 <= stamp_ms - (bench.clock.now_ns() // 1_000_000 - 100) <= 700

    run_virtual(scenario, settings={"geoblock_s": 60.0})
