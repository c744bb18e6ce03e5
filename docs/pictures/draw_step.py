"""Draw the stepper as an SVG, to show in the documentation what it looks like.

Owns nothing of polybot: it opens what `replay --step` would open, presses keys without a terminal and keeps the
screen as Textual draws it, without the fonts it would fetch.
Usage: draw_step.py FOLDER PICTURE.svg [--keys "f f 2"] [--size 120x40]
"""

import argparse
import asyncio
import re
from pathlib import Path

from polybot.config import default_config
from polybot.replay.step import find_choices
from polybot.replay.step_screen import StepApp


async def draw(folder: str, picture: Path, keys: list[str], size: tuple[int, int]) -> None:
    """Press the keys one after the other, then draw."""
    choices = find_choices(default_config(**{"replay.source": folder}))
    app = StepApp(choices, dump_dir=picture.parent, tick_s=0.0)
    async with app.run_test(size=size) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        drawn = app.export_screenshot(title="polybot replay --step")
    picture.write_text(re.sub(r"@font-face\s*{.*?}\s*", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--keys", default="")
    parser.add_argument("--size", default="120x40")
    told = parser.parse_args()
    columns, rows = (int(number) for number in told.size.split("x"))
    asyncio.run(draw(told.folder, told.picture, told.keys.split(), (columns, rows)))
