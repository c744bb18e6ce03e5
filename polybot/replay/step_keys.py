"""Keys of the stepper: the one table behind bindings, footer, help and docs/REPLAY.md.

Owns names and words of keys alone.  Must not know the screen.  Called by step_screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

__all__ = ["KEYS", "Key", "footer_line", "help_text"]


@dataclass(frozen=True, slots=True)
class Key:
    """`codes` as Textual calls them, `shown` as people do."""

    codes: str
    shown: str
    action: str
    does: str


KEYS = (
    Key("space", "space", "toggle_play", "play or pause"),
    Key("right,l", "right l", "step(1)", "one message forward"),
    Key("left,h", "left h", "step(-1)", "one message back"),
    Key("right_square_bracket", "]", "move(1)", "one second forward"),
    Key("left_square_bracket", "[", "move(-1)", "one second back"),
    Key("right_curly_bracket", "}", "move(10)", "ten seconds forward"),
    Key("left_curly_bracket", "{", "move(-10)", "ten seconds back"),
    Key("plus,equals_sign", "+", "faster", "play twice as fast, up to 32x"),
    Key("minus", "-", "slower", "play half as fast, down to 1x"),
    Key("n", "n", "find('next_signal', 'signal')", "next signal"),
    Key("N", "N", "find('previous_signal', 'signal')", "previous signal"),
    Key("f", "f", "find('next_fill', 'fill')", "next fill"),
    Key("F", "F", "find('previous_fill', 'fill')", "previous fill"),
    Key("o", "o", "find('next_order', 'order')", "next signal that became an order"),
    Key("O", "O", "find('previous_order', 'order')", "previous signal that became an order"),
    Key("t", "t", "ask_time", "jump to 1:30 after the start, -0:30 before the end, 12:34:56 UTC"),
    Key("home", "home", "edge('start')", "start of the window"),
    Key("end", "end", "edge('end')", "end of the window"),
    Key("m", "m", "ask_market", "choose the market"),
    Key("v", "v", "next_panel", "next panel (on a small terminal); 1 to 6 choose one"),
    Key("down,j", "down j", "choose(1)", "next strategy: its gates are shown"),
    Key("up,k", "up k", "choose(-1)", "previous strategy"),
    Key("c", "c", "dump", "add this state as a row to a CSV file"),
    Key("w", "w", "show_warnings", "all warnings"),
    Key("question_mark", "?", "show_help", "this help; up and down scroll it, any other key closes it"),
    Key("q,ctrl+c", "q", "quit", "quit"),
)
# The footer: what matters most first; the last two are there however narrow it is.
FOOTER = (
    "space play",
    "<-> step",
    "n signal",
    "f fill",
    "t time",
    "m market",
    "c csv",
    "[] 1s",
    "+- speed",
    "v panel",
    "o order",
)
ALWAYS = ("? help", "q quit")
SEPARATOR = "  "


def footer_line(width: int) -> Text:
    """As many keys as there is room for."""
    room = width + len(SEPARATOR) - sum(len(word + SEPARATOR) for word in ALWAYS)
    line = Text(no_wrap=True)
    for word in (*FOOTER, *ALWAYS):
        room -= len(word + SEPARATOR) if word in FOOTER else 0
        if room >= 0 or word in ALWAYS:
            press, _, does = word.partition(" ")
            line.append(f"{SEPARATOR if line else ''}{press} ", "bold").append(does)
    return line


def help_text(keys: Sequence[Key] = KEYS) -> Text:
    """One line per key."""
    lines = [Text.assemble((f"{key.shown:>8}  ", "bold"), key.does) for key in keys]
    return Text("\n").join(lines)
