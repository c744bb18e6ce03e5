"""The page: all sections in order, in one file that needs nothing else.

Owns the order of the sections, the navigation, and that a page is written whole or not at all.
Must not compute.  Called by polybot.report.command and at the end of the command `backtest`.
"""

import os
from pathlib import Path

import polybot
from polybot.report import coverage, judgement, money, opening, theme, traffic
from polybot.report.canvas import INSTALL
from polybot.report.facts import Facts
from polybot.report.markup import Markup, join, note, text

__all__ = ["build_page", "write_file"]

NAVIGATION = (
    ("headline", "Result"),
    ("equity", "Equity"),
    ("attribution", "Attribution"),
    ("agreement", "Agreement"),
    ("calibration", "Calibration"),
    ("fills", "Fills"),
    ("traffic", "Signals and orders"),
    ("data", "Data"),
    ("markets", "Markets"),
    ("settings", "Settings"),
)


def build_page(facts: Facts, *, markets_shown: int) -> str:
    """Return the whole HTML document."""
    body = join(
        [
            opening.headline(facts),
            money.equity(facts),
            money.attribution(facts),
            traffic.agreement(facts),
            judgement.calibration(facts),
            judgement.fills_judged(facts),
            traffic.traffic(facts),
            coverage.coverage(facts),
            coverage.markets(facts, shown=markets_shown),
            coverage.settings(facts),
        ]
    )
    missing = Markup("") if facts.pictures else note(text(f"Made without pictures: {INSTALL}"), kind="warn")
    title = text(f"{facts.result.name} – polybot report")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # Should a hole be left somewhere: nothing on the page may load or run anything.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{title}</title>\n<style>\n{theme.style_sheet()}</style></head>\n<body>\n"
        f"{opening.header(facts)}\n<main>{missing}{_navigation(body)}{body}</main>\n"
        f"<footer>{_ending()}</footer>\n</body></html>\n"
    )


def write_file(path: Path, data: bytes) -> Path:
    """Write a file beside its place and move it there: whole or not at all; raises OSError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def _navigation(body: Markup) -> Markup:
    links = [
        Markup(f'<a href="#{anchor}">{text(title)}</a>')
        for anchor, title in NAVIGATION
        if f'<section id="{anchor}">' in body
    ]
    return Markup(f"<nav>{join(links)}</nav>")


def _ending() -> Markup:
    return text(
        f"polybot {polybot.__version__}. Every number carries its exact value and the place it is from (data-value, "
        "data-name): scores.json, run.json and tables of the run's folder. Past results promise nothing."
    )
