"""Draw a recorded terminal session as a PNG, to show in the documentation what a run looks like.

Owns nothing of polybot: it replays what `script` recorded in an emulated terminal (pyte) and draws that
screen (Pillow, DejaVu Sans Mono).  Needs both libraries in an environment of its own; docs/DEVELOPMENT.md
says how.  Usage: draw_console.py RECORDING PICTURE.png [--until TEXT] [--columns N] [--rows N]
"""

import argparse
from pathlib import Path

import pyte
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono{}.ttf"
FONT_PX, LINE_PX, MARGIN_PX = 13, 17, 12
BACKGROUND = "#10141a"
COLOURS = {
    "default": "#d5dae1",
    "red": "#ff7b72",
    "green": "#6fdd8b",
    "brown": "#e3b341",
    "blue": "#79b8ff",
    "magenta": "#d2a8ff",
    "cyan": "#56d4dd",
    "brightblack": "#8b949e",
}


def replay(recording: str, until: str, columns: int, rows: int) -> pyte.Screen:
    """Feed the recording up to the status line drawn after the first `until` (all of it when empty)."""
    body = recording.split("\n", 1)[1].rpartition("\nScript done")[0]
    if until:
        found = body.index(until)
        redraw = body.index("\r\x1b[K", body.index("\n", found))
        body = body[: body.index("\r\x1b[K", redraw + 1)]
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed(body.rstrip("\r\n"))
    return screen


def draw(screen: pyte.Screen) -> Image.Image:
    """The screen as a picture, in sixteen-colour style."""
    plain, bold = (ImageFont.truetype(FONT.format(kind), FONT_PX) for kind in ("", "-Bold"))
    width = plain.getlength("m")
    size = (round(screen.columns * width) + 2 * MARGIN_PX, screen.lines * LINE_PX + 2 * MARGIN_PX)
    picture = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for row in range(screen.lines):
        for column, char in screen.buffer[row].items():
            if char.data.strip():
                place = (MARGIN_PX + column * width, MARGIN_PX + row * LINE_PX)
                ink = COLOURS.get(char.fg, COLOURS["default"])
                pen.text(place, char.data, fill=ink, font=bold if char.bold else plain)
    return picture.quantize(255)


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--until", default="")
    parser.add_argument("--columns", type=int, default=156)
    parser.add_argument("--rows", type=int, default=44)
    asked = parser.parse_args()
    text = asked.recording.read_bytes().decode("utf-8", "replace")  # read_text would turn CR into LF
    screen = replay(text, asked.until, asked.columns, asked.rows)
    draw(screen).save(asked.picture, optimize=True)


if __name__ == "__main__":
    main()
