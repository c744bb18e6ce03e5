"""The stepper's terminal, driven headless: keys change what is shown, at every size, and trouble is said in words."""

import asyncio
import csv
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from replay.stepping import NS
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

import polybot.tape
from polybot.cli import main
from polybot.config import Config, default_config
from polybot.errors import ConfigError
from polybot.replay.step import find_choices, run_step
from polybot.replay.step_keys import FOOTER, KEYS, footer_line
from polybot.replay.step_model import Choice, StepModel
from polybot.replay.step_screen import MIN_HEIGHT, MIN_WIDTH, StepApp
from polybot.replay.step_text import PANELS
from polybot.tape.reader import Tape

DOCS = Path(__file__).resolve().parents[2] / "docs" / "REPLAY.md"
SMALL, LARGE = (MIN_WIDTH, MIN_HEIGHT), (120, 40)
Story = Callable[[StepApp, Pilot[None]], Awaitable[None]]


@pytest.fixture
def app(model: StepModel, tmp_path: Path) -> StepApp:
    return app_of(model, tmp_path)


def app_of(model: StepModel, folder: Path) -> StepApp:
    return StepApp([Choice("the market", lambda: model)], dump_dir=folder / "step", tick_s=0.0)


def play(app: StepApp, story: Story, size: tuple[int, int] = SMALL) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(app, pilot)

    asyncio.run(run())


def shown(app: StepApp, name: str) -> str:
    """The text of one part of the main screen, "" while it is not displayed."""
    widget = app.screen_stack[0].query_one(f"#{name}", Static)
    return str(widget.content) if all(part.display for part in widget.ancestors_with_self if part.is_attached) else ""


def rendered(app: StepApp) -> list[str]:
    """The lines of the terminal as they are."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


# -- what is on the screen -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_everything_that_matters_is_on_the_screen_at_both_sizes(
    app: StepApp, model: StepModel, size: tuple[int, int]
) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("f")
        lines = rendered(app)
        assert len(lines) == size[1]
        text = "\n".join(lines)
        state = model.state
        for part in (state.spec.slug, "PAUSE 1x", "backtest", f"spot {state.spot:,.2f}", f"strike {state.strike:,.2f}"):
            assert part in text
        for part in (f"z {state.z:+.3f}", f"fair Up {state.fair:.4f} +/-{state.se:.4f}", "house Down", "position"):
            assert part in text
        for strategy in state.strategies:
            assert f"{strategy.name} " in text
            assert strategy.verdict[:23] in text
        assert text.count(" ask ") >= 6
        assert text.count(" bid ") >= 6
        assert lines[-1].split() == footer_line(size[0]).plain.split()
        if size[0] >= 120:
            for part in ("gates of", "signals ", "FILL #", "denied so far", "cost $"):
                assert part in text

    play(app, story, size)


@pytest.mark.parametrize("width", [80, 81, 100, 119, 120, 200])
def test_the_footer_fits_and_always_names_help_and_quit(width: int) -> None:
    text = footer_line(width).plain
    assert len(text) <= width
    assert text.endswith("? help  q quit")
    assert "space play" in text
    assert width < 120 or all(word in text for word in FOOTER)


def test_a_terminal_that_is_too_small_says_so_and_recovers(app: StepApp) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        for width, height in ((79, 24), (80, 23), (20, 5)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert shown(app, "small") == f"terminal too small: {width}x{height}, the stepper needs 80x24"
            assert shown(app, "title") == ""
        await pilot.resize_terminal(*LARGE)
        await pilot.pause()
        assert shown(app, "small") == ""
        assert "btc-updown" in shown(app, "title")
        assert all(shown(app, name) for name in PANELS)

    play(app, story, (80, 24))


def test_every_word_is_there_without_colour(app: StepApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("f", "2")
        text = "\n".join(rendered(app))
        assert " NO " in text  # a gate that blocks
        assert "not reached" in text
        assert " ask " in text
        assert " bid " in text
        assert "PAUSE" in text

    play(app, story)


# -- keys ------------------------------------------------------------------------------------------------


def test_step_and_back_move_by_one_message(app: StepApp, model: StepModel) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        first = model.at
        before = shown(app, "title")
        await pilot.press("right")
        assert model.at == first + 1
        assert shown(app, "title") != before
        await pilot.press("l", "h", "left")
        assert model.at == first
        assert shown(app, "title") == before

    play(app, story)


def test_brackets_and_edges_move_by_time(app: StepApp, model: StepModel) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        begun = model.now_ns
        await pilot.press("right_curly_bracket", "right_square_bracket")
        assert 10.5 * NS < model.now_ns - begun <= 11 * NS
        await pilot.press("left_curly_bracket", "left_square_bracket")
        assert abs(model.now_ns - begun) < NS
        await pilot.press("end")
        assert model.spec.end_ns - NS < model.now_ns <= model.spec.end_ns
        assert "left 0:00" in shown(app, "title")
        await pilot.press("home")
        assert "left 5:00" in shown(app, "title")

    play(app, story)


def test_play_pause_and_speed(app: StepApp, model: StepModel) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        begun = model.now_ns
        app.play_on(1.0)
        assert model.now_ns == begun  # it does not play yet
        await pilot.press("space")
        assert "PLAY 1x" in shown(app, "title")
        app.play_on(1.0)
        assert 0.5 * NS < model.now_ns - begun <= NS
        await pilot.press("plus", "plus", "plus", "plus", "plus", "plus")
        assert "PLAY 32x" in shown(app, "title")
        app.play_on(1.0)
        assert 31.5 * NS < model.now_ns - begun <= 33 * NS
        await pilot.press("minus", "space")
        assert "PAUSE 16x" in shown(app, "title")
        stopped = model.now_ns
        app.play_on(1.0)
        assert model.now_ns == stopped
        await pilot.press("space")
        app.play_on(3_600.0)
        assert "PAUSE" in shown(app, "title")  # at the end it stops
        assert shown(app, "source") == "the end"

    play(app, story)


def test_a_timer_plays_on_by_as_much_as_its_period(
    model: StepModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []
    monkeypatch.setattr(StepApp, "set_interval", lambda self, period_s, call: timers.append((period_s, call)))
    app = StepApp([Choice("the market", lambda: model)], dump_dir=tmp_path)

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        ((period_s, call),) = timers
        await pilot.press("space")
        begun = model.now_ns
        for _ in range(20):
            call()
        assert 0.7 * 20 * period_s * NS < model.now_ns - begun <= 20 * period_s * NS

    play(app, story)


def test_jumps_land_on_signals_orders_and_fills_and_say_when_there_is_none(app: StepApp, model: StepModel) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("3", "n")
        first = model.at
        assert shown(app, "signals").splitlines()[1].startswith(">")
        await pilot.press("n", "N")
        assert model.at == first
        await pilot.press("N")
        assert shown(app, "source") == "no previous signal"
        await pilot.press("o")
        assert "order #" in shown(app, "signals")
        await pilot.press("home", "f", "4")
        assert ">FILL #" in shown(app, "orders")
        await pilot.press("F")
        assert shown(app, "source") == "no previous fill"
        await pilot.press("O", "O", "O")
        assert shown(app, "source") == "no previous order"

    play(app, story)


def test_a_jump_to_a_time_refuses_what_is_none_and_takes_what_is_one(app: StepApp, model: StepModel) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("t", *"soon", "enter")
        assert "a time is 1:30" in str(app.screen.query_one("#refused", Static).content)
        app.screen.query_one(Input).value = "-1:00"
        await pilot.press("enter")
        assert len(app.screen_stack) == 1
        assert "left 1:00" in shown(app, "title")
        await pilot.press("t", "escape")
        assert "left 1:00" in shown(app, "title")

    play(app, story)


def test_panels_take_turns_on_a_small_terminal(app: StepApp) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        for number, name in enumerate(PANELS):
            assert [other for other in PANELS if shown(app, other)] == [name]
            await pilot.press("v")
            assert shown(app, PANELS[(number + 1) % len(PANELS)])
        await pilot.press("6")
        assert shown(app, "account").startswith("cost $")

    play(app, story)


def test_the_gates_are_those_of_the_chosen_strategy(app: StepApp, model: StepModel) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("f", "2")
        for strategy in model.state.strategies:
            text = shown(app, "gates")
            assert text.startswith(f"gates of {strategy.name}: {strategy.verdict}")
            assert [line.split()[1] for line in text.splitlines()[1:]] == [gate.name for gate in strategy.gates]
            assert [line.split()[0] for line in text.splitlines()[1:]] == [gate.result for gate in strategy.gates]
            await pilot.press("down")
        assert shown(app, "gates").startswith(f"gates of {model.state.strategies[0].name}")
        await pilot.press("up")
        assert shown(app, "gates").startswith(f"gates of {model.state.strategies[-1].name}")

    play(app, story)


def test_dump_adds_rows_to_a_file_and_leaves_a_foreign_one_alone(
    app: StepApp, model: StepModel, tmp_path: Path
) -> None:
    path = tmp_path / "step" / f"{model.spec.slug}.csv"

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("c", "right", "c")
        assert "row added to" in shown(app, "source")
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        assert [int(row["step"]) for row in found] == [model.at - 1, model.at]
        path.write_text("another,header\n1,2\n")
        blocked = path.with_name(f"{model.spec.slug}-2.csv")
        blocked.mkdir()
        await pilot.press("c")
        assert shown(app, "source").startswith("no row was written: ")
        blocked.rmdir()
        await pilot.press("c")
        assert path.read_text() == "another,header\n1,2\n"
        assert path.with_name(f"{model.spec.slug}-2.csv").read_text().startswith("step,")

    play(app, story)


def test_help_names_every_key_and_any_key_closes_it(app: StepApp) -> None:
    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        text = str(app.screen.query_one("#words", Static).content)
        assert all(key.does in text for key in KEYS)
        assert "?  this help" not in "\n".join(rendered(app))  # below the edge
        await pilot.press("pagedown", "down")
        assert "?  this help" in "\n".join(rendered(app))
        await pilot.press("up", "space")
        assert len(app.screen_stack) == 1
        assert "PAUSE" in shown(app, "title")  # the key only closed it

    play(app, story)


def test_every_key_is_documented() -> None:
    documented = DOCS.read_text()
    missing = [key.shown for key in KEYS if not all(f"`{one}`" in documented for one in key.shown.split())]
    assert missing == []
    assert [key.does for key in KEYS if key.does not in documented] == []


def test_every_key_has_an_action_and_no_two_the_same() -> None:
    names = [code for key in KEYS for code in key.codes.split(",")]
    assert len(names) == len(set(names))
    assert all(hasattr(StepApp, f"action_{key.action.partition('(')[0]}") for key in KEYS)


def test_another_market_can_be_chosen(model: StepModel, tmp_path: Path) -> None:
    other = tmp_path / "empty"
    choices = [
        Choice("the market", lambda: model),
        Choice("another", lambda: (_ for _ in ()).throw(ConfigError(f"{other}: no tape"))),
    ]

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        await pilot.press("n", "m")
        assert app.screen.query_one(OptionList).option_count == 2
        await pilot.press("escape")
        assert "btc-updown" in shown(app, "title")
        await pilot.press("m", "down", "enter")
        assert shown(app, "title") == f"{other}: no tape"
        await pilot.press("right", "n", "c", "space", "t", "down")  # nothing to act on
        assert shown(app, "title") == f"{other}: no tape"
        await pilot.press("m", "up", "enter")
        assert "btc-updown" in shown(app, "title")

    play(StepApp(choices, dump_dir=tmp_path, tick_s=0.0), story)


# -- trouble ---------------------------------------------------------------------------------------------


def test_damage_on_a_tape_is_warned_of_and_the_rest_is_shown(taped: tuple[Config, Tape], tmp_path: Path) -> None:
    config, tape = taped
    broken = tmp_path / tape.path.name
    shutil.copytree(tape.path, broken)
    frames = broken / "frames.zst"
    raw = bytearray(frames.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    frames.write_bytes(raw)
    (choice,) = find_choices(replace(config, replay=replace(config.replay, source=str(broken))))

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        assert "DAMAGE frames.zst" in shown(app, "warning")
        assert shown(app, "warning").startswith("! ")
        await pilot.press("w")
        assert "DAMAGE frames.zst" in str(app.screen.query_one("#words", Static).content)
        await pilot.press("escape", "right")
        assert "btc-updown" in shown(app, "title")

    play(StepApp([choice], dump_dir=tmp_path, tick_s=0.0), story)


def test_an_empty_tape_says_that_it_is_empty(taped: tuple[Config, Tape], tmp_path: Path) -> None:
    config, tape = taped
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(tape.path / "manifest.json", empty)
    (empty / "frames.zst").write_bytes(b"")
    (choice,) = find_choices(replace(config, replay=replace(config.replay, source=str(empty))))

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        assert "nothing to step through" in shown(app, "title")
        await pilot.press("right", "q")

    play(StepApp([choice], dump_dir=tmp_path, tick_s=0.0), story)


def test_a_model_without_steps_says_so(model: StepModel, tmp_path: Path) -> None:
    nothing = StepModel(model.studied, replace(model.life, first=0, last=0))

    async def story(app: StepApp, pilot: Pilot[None]) -> None:
        assert shown(app, "title").endswith("no event of this market's time")

    play(app_of(nothing, tmp_path), story)


def test_without_textual_one_line_says_what_to_install(
    taped: tuple[Config, Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, tape = taped
    monkeypatch.delitem(sys.modules, "polybot.replay.step_screen")
    monkeypatch.setitem(sys.modules, "textual.app", None)
    with pytest.raises(ConfigError, match=r"make extras"):
        run_step(replace(config, replay=replace(config.replay, source=str(tape.path))))


def test_the_flag_step_is_the_setting_and_belongs_to_replay(
    taped: tuple[Config, Tape], capsys: pytest.CaptureFixture[str]
) -> None:
    assert default_config().replay.step is False
    assert main(["replay", "--step", f"source={taped[1].path}"]) == 2
    assert capsys.readouterr().err == "polybot: error: replay --step needs a terminal\n"
    assert main(["record", "--step"]) == 2
    assert "--step belongs to the command replay" in capsys.readouterr().err


def test_the_tape_is_as_it_was(taped: tuple[Config, Tape]) -> None:
    assert polybot.tape.open(taped[1].path).damages == ()
