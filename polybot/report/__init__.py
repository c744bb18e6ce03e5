"""One self-contained page about a run, and a picture of its top.

    command     files of a report; the command `report`
    page        all sections in order
    opening     what this is, caveats, the result with its stress tests
    money, judgement, traffic, coverage   the other sections
    facts, numbers, markup, theme         numbers by their path, how they are written, pieces of HTML, the style sheet
    drawings, summary, canvas, downsample pictures, the PNG, matplotlib, fewer points

Numbers come from polybot.backtest.scores and the run's tables; nothing here computes a result.
"""

__all__: list[str] = []
