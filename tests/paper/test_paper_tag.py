"""Nobody shall take a paper line for a real one: the tag stands before every line, the status line too."""

import io

from polybot.config import default_config
from polybot.telemetry.banner import banner_lines
from polybot.telemetry.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_line_and_the_status_line_begin_with_the_tag():
    screen = Terminal()
    console = Console(screen, mode="live", environ={"NO_COLOR": "1"}, scrub=lambda text: text, tag="PAPER ")
    console.plain(["one", "two"])
    console.block(0, "BTC", ["FILL at 0.50", "more of it"])
    console.status("spot 1", 0)
    lines = [line.removeprefix("\r\x1b[K") for line in screen.getvalue().split("\n")]
    assert len(lines) == 5
    assert [line for line in lines if not line.startswith("PAPER ")] == []


def test_the_banner_says_that_not_even_the_embedded_venue_gets_an_order():
    config = default_config(**{"mode.name": "paper"})
    lines = banner_lines(
        mode=config.mode,
        venue=config.venue,
        interval=config.interval,
        asset=config.asset,
        risk=config.risk,
        strategies=config.strategy,
    )
    assert "mode PAPER" in lines[1]
    assert "not even it gets an order" in lines[1]
