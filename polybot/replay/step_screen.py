"""The stepper's terminal: a Textual application over StepModels.

Owns keys, layout, play time and the CSV file of dumped rows.  What is shown is made by step_text of a StepState; what
a key does is done by StepModel.  Must not read an engine or decide anything.  Called by step; tests drive it headless.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Key as KeyPressed
from textual.events import Resize
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from polybot.errors import PolybotError
from polybot.market.spec import MarketSpec
from polybot.replay import step_text
from polybot.replay.step_keys import KEYS, footer_line, help_text
from polybot.replay.step_model import Choice, StepModel, parse_time
from polybot.replay.step_row import row_columns, row_text

__all__ = ["MIN_HEIGHT", "MIN_WIDTH", "SPEEDS", "StepApp"]

NS = 1_000_000_000
SPEEDS = (1, 2, 4, 8, 16, 32)
TICK_S = 0.1  # wall; between two frames while it plays
MIN_WIDTH, MIN_HEIGHT = 80, 24
WIDE_WIDTH, WIDE_HEIGHT = 120, 36  # from here on all panels are shown at once
FIXED_LINES = 7  # title, source, facts (4), footer
PANEL_LINES = 8  # the longest panel that is seen whole: two headings and the six strategies that are built in
LEFT_WIDTH = 42  # of a wide terminal: books, account, denials
MOVES = {"down": 1, "up": -1, "pagedown": 10, "pageup": -10}  # lines a long text is scrolled by
STYLE = """
#small { display: none; height: 1fr; content-align: center middle; }
#facts { height: 4; }
#warning { color: $warning; text-style: bold; }
Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
#words { text-wrap: wrap; }
#body { height: 1fr; layout: vertical; }
#left, #right { height: auto; }
#books { height: auto; }
#books Static { width: 1fr; }
#right { height: 1fr; }
.panel { height: 1fr; overflow-y: hidden; }
.wide #body { layout: horizontal; }
.wide #left { width: 42; height: 1fr; }
.wide #books { layout: vertical; }
.wide #books Static { width: 100%; }
.wide #right { width: 1fr; }
.wide #strategies { height: 7; }
.wide #gates { height: 11; }
.wide #account { height: 8; }
ModalScreen { align: center middle; }
ModalScreen > VerticalScroll { width: 78; max-width: 100%; height: auto; max-height: 90%; border: round $primary;
    background: $surface; padding: 0 1; }
"""


class Words(ModalScreen[None]):
    """A text over the screen; keys of MOVES scroll it, any other closes it."""

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with VerticalScroll(can_focus=False) as box:
            box.border_title = self._title
            yield Static(self._text, id="words")

    def on_key(self, event: KeyPressed) -> None:
        """Scroll or close."""
        event.stop()
        by = MOVES.get(event.key, 0)
        if by:
            self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)
        else:
            self.dismiss(None)


class AskTime(ModalScreen[int | None]):
    """A prompt for a time; None: given up."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "give up")]

    def __init__(self, spec: MarketSpec) -> None:
        super().__init__()
        self._spec = spec

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with VerticalScroll() as box:
            box.border_title = "jump to a time (escape: stay)"
            yield Input(placeholder="1:30 after the start, -0:30 before the end, 12:34:56 UTC", id="time")
            yield Static("", id="refused")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the time, or say what is wrong with it."""
        try:
            self.dismiss(parse_time(event.value, self._spec))
        except ValueError as error:
            self.query_one("#refused", Static).update(Text(str(error), "bold red"))


class AskMarket(ModalScreen[int | None]):
    """A list of markets; None: given up."""

    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "give up")]

    def __init__(self, labels: Sequence[str], chosen: int) -> None:
        super().__init__()
        self._labels = labels
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with VerticalScroll() as box:
            box.border_title = "choose the market (escape: stay)"
            yield OptionList(*(Text(label) for label in self._labels), id="markets")

    def on_mount(self) -> None:
        """Begin at the market that is shown."""
        self.query_one(OptionList).highlighted = self._chosen

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take it."""
        self.dismiss(event.option_index)


class StepApp(App[None]):
    """The stepper; `tick_s` 0: nothing plays by itself (tests call `play_on`)."""

    CSS = STYLE
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key.codes, key.action, key.does, show=False) for key in KEYS),
        *(Binding(str(number + 1), f"panel({number})", show=False) for number in range(len(step_text.PANELS))),
    ]

    def __init__(self, choices: Sequence[Choice], *, dump_dir: Path, tick_s: float = TICK_S) -> None:
        super().__init__()
        assert choices, "somebody asked for a screen with nothing on it"
        self._choices = choices
        self._dump_dir = dump_dir
        self._tick_s = tick_s
        self._chosen = 0
        self._model: StepModel | None = None
        self._failure = ""
        self._speed = 0  # place in SPEEDS
        self._is_playing = False
        self._panel = 0
        self._strategy = 0
        self._notice = ""
        self._room = Size(0, 0)
        self._layout: tuple[object, ...] = ()  # what the heights of the panels hang on
        self._is_new_layout = True

    # -- layout -----------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        yield Static("", id="small")
        with Vertical(id="all"):
            for name in ("title", "source", "warning", "facts"):
                yield Static("", id=name)
            with Vertical(id="body"):
                with Vertical(id="left"):
                    with Horizontal(id="books"):
                        yield Static("", id="book_up")
                        yield Static("", id="book_down")
                    yield Static("", id="account", classes="panel")
                    yield Static("", id="denials", classes="panel")
                with Vertical(id="right"):
                    for name in ("strategies", "gates", "signals", "orders"):
                        yield Static("", id=name, classes="panel")
            yield Static("", id="footer")

    def on_mount(self) -> None:
        """Open the first market."""
        self.title = "polybot replay --step"
        if self._tick_s > 0.0:
            self.set_interval(self._tick_s, lambda: self.play_on(self._tick_s))
        self._room = self.size
        self._begin(0)

    def on_resize(self, event: Resize) -> None:
        """Another size, perhaps another layout."""
        self._room = event.size
        self.show()

    # -- what is shown ----------------------------------------------------------------------------------------

    def show(self) -> None:
        """Draw everything anew; nothing while the screen is being put up or taken down."""
        if not self.screen_stack or not self.screen_stack[0].query("#footer"):
            return
        width, height = self._room
        layout = (width, height, self._panel, self._chosen, self._model is None)
        self._is_new_layout, self._layout = layout != self._layout, layout
        is_small = width < MIN_WIDTH or height < MIN_HEIGHT
        for name, is_shown in (("#small", is_small), ("#all", not is_small)):
            self.screen_stack[0].query_one(name).display = is_shown
        if is_small:
            needed = f"the stepper needs {MIN_WIDTH}x{MIN_HEIGHT}"
            self._put("small", Text(f"terminal too small: {width}x{height}, {needed}"))
            return
        self._put("footer", footer_line(width))
        if self._model is None or not self._model.steps:
            self._show_nothing()
            return
        self._show_state(width, height, is_wide=width >= WIDE_WIDTH and height >= WIDE_HEIGHT)

    def _show_state(self, width: int, height: int, *, is_wide: bool) -> None:
        model = self._model
        assert model is not None
        state, here = model.state, model.records_here()
        script = model.studied.script
        self.screen_stack[0].set_class(is_wide, "wide")
        self._put("title", step_text.title_line(state, is_playing=self._is_playing, speed=SPEEDS[self._speed]))
        self._put("source", Text(self._notice or script.title, "bold" if self._notice else "dim", no_wrap=True))
        self._put("warning", _warning_line(script.warnings))
        self._put("facts", step_text.facts_panel(state))
        room = height - FIXED_LINES - bool(script.warnings)
        levels = (room - 2 * PANEL_LINES - 1) // 4 if is_wide else (room - PANEL_LINES - 1) // 2
        levels = max(2, min(levels, 12))
        book_width = LEFT_WIDTH if is_wide else width // 2
        for outcome, name in enumerate(("book_up", "book_down")):
            self._put(name, step_text.book_panel(state, outcome, width=book_width, levels=levels))
        panels = {
            "strategies": step_text.strategies_panel(state, chosen=self._strategy),
            "gates": step_text.gates_panel(state, chosen=self._strategy),
            "signals": step_text.signals_panel(state, here),
            "orders": step_text.orders_panel(state, here),
            "denials": step_text.denials_panel(state),
            "account": step_text.account_panel(state),
        }
        for number, name in enumerate(step_text.PANELS):
            self._put(name, panels[name], is_shown=is_wide or number == self._panel)

    def _show_nothing(self) -> None:
        """There is no state: say why."""
        if self._model is None:
            text = self._failure
        else:
            text = f"{self._model.spec.slug}: nothing on it, no event of this market's time"
        warnings = self._model.studied.script.warnings if self._model is not None else ()
        self._put("title", Text(text, "bold"))
        self._put("source", Text(self._notice or "m: choose another market, q: quit"))
        self._put("warning", _warning_line(warnings))
        for name in ("facts", "book_up", "book_down", *step_text.PANELS):
            self._put(name, Text(""))

    def _put(self, name: str, text: Text, *, is_shown: bool | None = None) -> None:
        widget = self.screen_stack[0].query_one(f"#{name}", Static)
        widget.update(text, layout=self._is_new_layout)
        if is_shown is not None:
            widget.display = is_shown
        elif name == "warning":
            widget.display = bool(text.plain)

    # -- playing ----------------------------------------------------------------------------------------------

    def play_on(self, wall_s: float) -> None:
        """So much wall time passed: let the market's time pass that much faster."""
        if not self._is_playing or self._model is None or len(self.screen_stack) > 1:
            return
        if not self._model.advance(round(wall_s * SPEEDS[self._speed] * NS)):
            self._is_playing = False
            self._notice = "the end"
        self.show()

    # -- keys -------------------------------------------------------------------------------------------------

    def action_toggle_play(self) -> None:
        """Play or pause."""
        self._is_playing = not self._is_playing and self._has_steps()
        self._said("")

    def action_step(self, count: int) -> None:
        """Go by messages."""
        if self._has_steps():
            before = self._steady().at
            self._steady().step(count)
            self._said("" if self._steady().at != before else "no further")

    def action_move(self, seconds: int) -> None:
        """Go by time."""
        if self._has_steps():
            self._steady().move(seconds * NS)
            self._said("")

    def action_faster(self) -> None:
        """Double the speed."""
        self._speed = min(self._speed + 1, len(SPEEDS) - 1)
        self._said("")

    def action_slower(self) -> None:
        """Halve the speed."""
        self._speed = max(self._speed - 1, 0)
        self._said("")

    def action_find(self, method: str, what: str) -> None:
        """Jump to the next or previous of something."""
        if self._has_steps():
            direction = "next" if method.startswith("next") else "previous"
            found = getattr(self._steady(), method)()
            self._said("" if found else f"no {direction} {what}")

    def action_edge(self, which: str) -> None:
        """Jump to the window's start or end."""
        if self._has_steps():
            model = self._steady()
            model.seek(model.spec.start_ns if which == "start" else model.spec.end_ns)
            self._said("")

    def action_ask_time(self) -> None:
        """Ask for a time and jump there."""
        if self._has_steps():
            self._is_playing = False
            self.push_screen(AskTime(self._steady().spec), self._take_time)

    def _take_time(self, at_ns: int | None) -> None:
        if at_ns is not None:
            self._steady().seek(at_ns)
        self._said("")

    def action_ask_market(self) -> None:
        """Ask for a market and open it."""
        self._is_playing = False
        self.push_screen(AskMarket([choice.label for choice in self._choices], self._chosen), self._take_market)

    def _take_market(self, number: int | None) -> None:
        if number is not None and number != self._chosen:
            self._begin(number)

    def action_next_panel(self) -> None:
        """Show the next panel."""
        self.action_panel((self._panel + 1) % len(step_text.PANELS))

    def action_panel(self, number: int) -> None:
        """Show one panel."""
        self._panel = number
        self._said("")

    def action_choose(self, by: int) -> None:
        """Choose a strategy."""
        if self._has_steps():
            count = len(self._steady().state.strategies)
            self._strategy = (self._strategy + by) % count if count else 0
            self._said("")

    def action_dump(self) -> None:
        """Add the state to the CSV file."""
        if self._has_steps():
            try:
                self._said(f"row added to {self._dump()}")
            except OSError as error:
                self._said(f"no row was written: {error}")

    def action_show_help(self) -> None:
        """Show all keys."""
        self._is_playing = False
        self.push_screen(Words("keys", help_text()))

    def action_show_warnings(self) -> None:
        """Show all warnings."""
        warnings = self._model.studied.script.warnings if self._model is not None else ()
        text = Text("\n").join(Text(f"- {line}") for line in warnings) if warnings else Text("no warnings")
        self._is_playing = False
        self.push_screen(Words("warnings", text))

    # -- within -----------------------------------------------------------------------------------------------

    def _begin(self, number: int) -> None:
        """Say what is being read, then read it: that may take a moment."""
        self._chosen, self._notice, self._is_playing = number, "", False
        self._model, self._failure = None, f"reading {self._choices[number].label} ..."
        self.show()
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        try:
            self._model = self._choices[self._chosen].open()
        except (PolybotError, OSError) as error:
            self._failure = str(error)
        self.show()

    def _has_steps(self) -> bool:
        return self._model is not None and self._model.steps > 0

    def _steady(self) -> StepModel:
        assert self._model is not None
        return self._model

    def _said(self, notice: str) -> None:
        self._notice = notice
        self.show()

    def _dump(self) -> Path:
        """Append the row; a file with other columns is left alone and another one is begun."""
        state = self._steady().state
        header = ",".join(row_columns(state))
        self._dump_dir.mkdir(parents=True, exist_ok=True)
        number, path = 1, self._dump_dir / f"{state.spec.slug}.csv"
        while path.exists() and path.read_text().partition("\n")[0] not in ("", header):
            number += 1
            path = self._dump_dir / f"{state.spec.slug}-{number}.csv"
        is_new = not path.exists() or not path.stat().st_size
        with path.open("a", newline="") as file:
            file.write(row_text(state, with_header=is_new))
        return path


def _warning_line(warnings: Sequence[str]) -> Text:
    if not warnings:
        return Text("")
    more = f"{len(warnings)} warnings (w), the first: " if len(warnings) > 1 else "warning (w): "
    return Text(f"! {more}{warnings[0]}", no_wrap=True, overflow="ellipsis")
