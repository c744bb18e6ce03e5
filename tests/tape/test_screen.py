"""The recorder's screen: plain lines where it cannot redraw, one block where it can; and its command line."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from polybot.cli import load_config, main
from polybot.tape.screen import Screen

NS = 1_000_000_000


class Terminal(io.StringIO):
    """An output that can redraw."""

    def isatty(self) -> bool:
        return True


def session() -> Any:
    tap = SimpleNamespace(name="spot", frames=0, bytes=0, gaps=0)
    tape = SimpleNamespace(entries=7, raw_bytes=2_000_000, packed_bytes=125_000, dropped=3, error="")
    window = SimpleNamespace(name="btc-updown-5m-1", tape=tape, tap=SimpleNamespace(frames=0, bytes=0, gaps=2))
    packer = SimpleNamespace(free_bytes=5e9, is_alive=True)
    return SimpleNamespace(taps=[tap], windows=[window], recorded=4, failed=1, packer=packer)


def test_rates_disk_use_gaps_and_drops_are_in_the_lines() -> None:
    told, now = session(), [0]
    screen = Screen(io.StringIO(), told, mono_ns=lambda: now[0])
    told.taps[0].frames, told.taps[0].bytes = 200, 30_000
    told.windows[0].tap.frames, told.windows[0].tap.bytes = 50, 100_000
    now[0] = 2 * NS
    assert screen.lines() == [
        "record: spot 100/s 15.0 kB/s | gaps 0 | done 4 | failed 1 | free 5.0 GB",
        "  btc-updown-5m-1 25/s 50.0 kB/s | gaps 2 | 7 entries, 2.0 MB as received, "
        "0.12 MB packed (16.0:1) | dropped 3",
    ]
    now[0] = 3 * NS
    assert screen.lines()[0].startswith("record: spot 0/s 0.0 kB/s")


@pytest.mark.parametrize("output", [io.StringIO, Terminal])
def test_a_terminal_is_redrawn_and_a_file_gets_plain_lines(output: type[io.StringIO]) -> None:
    out, now = output(), [0]
    screen = Screen(out, session(), mono_ns=lambda: now[0])
    for now[0] in (NS, 2 * NS):
        screen.report()
    screen.notice("WARNING", "a word")
    text = out.getvalue()
    assert ("\x1b[" in text) == (output is Terminal)
    assert text.count("record: ") == 2
    assert text.endswith("warning: a word\n")


def test_cycles_and_intervals_are_written_short_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "cycles=3", "intervals=[5m,15m]", "--cfg", "job"]) == 0
    printed = capsys.readouterr().out
    assert "cycles: 3" in printed
    with_prefix = load_config(["record.cycles=3", "record.intervals=[5m,15m]"]).record
    assert (with_prefix.cycles, with_prefix.intervals) == (3, ("5m", "15m"))


def test_import_without_a_source_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import"]) == 2
    assert "import needs source=FILE" in capsys.readouterr().err
    assert main(["import", "source=/no/such/file"]) == 2
    assert "/no/such/file" in capsys.readouterr().err
