"""Every command line of README.md and docs/ is carried out, as their reader would: real processes, a shell, a checkout.

The stories run side by side, four at a time: most of their time they wait.  What becomes of each line is a test of its
own; the lines that cannot be carried out are in not_here.py, and test_lines holds both against the documents.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.docs.lines import ROOT, command_lines, plain, python_pieces
from tests.docs.not_here import NOT_HERE
from tests.docs.stage import Broken, Stage, lay_out
from tests.docs.stories import NEEDS_SHARED, STORIES, Props

pytestmark = pytest.mark.alone

LINES = sorted({plain(line.text) for line in command_lines() if line.text not in NOT_HERE})
# The example of a strategy is saved and traded by the lines behind it.
PIECES = sorted(title for title in python_pieces() if not title.startswith("docs/STRATEGIES.md"))
AT_ONCE = 4


def _shared() -> Path | None:
    """Recorded data, where there is some (tests/conftest.py looks in the same places)."""
    folder = Path(os.environ.get("POLYBOT_SHARED", ROOT.parent / "shared")).expanduser()
    return folder if (folder / "data").is_dir() else None


def _play(stage: Stage, story: object, props: Props, troubles: list[str]) -> None:
    try:
        story(stage, props)  # type: ignore[operator]
    except (Broken, AssertionError, OSError, ValueError) as error:
        troubles.append(f"{story.__name__}: {error}")  # type: ignore[attr-defined]
    finally:
        stage.end_all()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What became of every line that was carried out; "" when all was well."""
    told: dict[str, str] = {}
    troubles: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, stories in STORIES.items():
            checkout = lay_out(tmp_path_factory.mktemp(name), _shared())
            where: dict[str, str] = {}
            props = Props()
            for story in stories:
                pool.submit(_play, Stage(story.__name__, checkout, told, where), story, props, troubles)
    told[""] = "\n".join(troubles)
    return told


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_does_what_its_page_says(
    line: str, done: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    if line in NEEDS_SHARED:
        request.getfixturevalue("shared_dir")
    assert done.get(line, f"not reached: {done['']}") == ""


@pytest.mark.parametrize("title", PIECES)
def test_a_piece_of_python_runs_as_it_stands(title: str, done: Mapping[str, str]) -> None:
    assert done.get(title, f"not reached: {done['']}") == ""
