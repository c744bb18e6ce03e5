"""What to know before reading any number: kind of run, sources, assumptions, what is left out, damaged, missing, thin.

Owns these sentences and their order; the page has them all, the picture the first of them.  The same sentence about
many tapes is said once, with their number.  Must not soften.  Called by polybot.report.opening and summary.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from polybot.report.facts import Facts
from polybot.report.markup import Markup, text

__all__ = ["KINDS", "caveats", "run_kind", "shows_headline", "source_words"]

# Kind of a run: its badge, and the sentence every reader must see first.
KINDS: Mapping[str, tuple[str, str]] = {
    "backtest": (
        "Backtest",
        "Backtest: recorded data, simulated fills. No order of this run was ever sent to anybody.",
    ),
    "paper": (
        "Paper session",
        "Paper: data as they came in, simulated fills. No order of this run was ever sent to anybody.",
    ),
    "sim": (
        "Session on the embedded venue",
        "The venue, its prices and its other traders are simulated; orders and fills are those of the simulation.",
    ),
    "live": ("Live session", "Live: orders of this run were sent to the real venue."),
    "": ("Kind not told", "What kind of run this is was not told: its fills may be real or simulated."),
}
SIMULATED = "simulated venue"  # a tape's label that says so
LISTED = 12  # sentences of one sort, before "and N more"


def run_kind(facts: Facts) -> str:
    """Return one of KINDS; "" for a run that does not say."""
    kind = str(facts.info("kind", ""))
    return kind if kind in KINDS else ""


def shows_headline(facts: Facts) -> bool:
    """No figure of profit on top without the harsher variants; a session that was traded happened and has none."""
    return bool(facts.scores.flattery) or run_kind(facts) in ("paper", "sim", "live")


def caveats(facts: Facts) -> Iterator[Markup]:
    """Yield every sentence, the most important first."""
    scores = facts.scores
    yield text(KINDS[run_kind(facts)][1])
    if scores.label:
        yield text(f"Data: {source_words(facts)}.")
    if SIMULATED in scores.label:
        yield text(
            "The market itself is simulated: prices, books and outcomes. Nothing follows for the real one."
        )
    if facts.info("state", "complete") != "complete":
        yield text(f"The run was not finished: {facts.info('state')}.")
    yield from _defects(scores.notes)
    yield from _data(facts)
    yield from _thin(facts)
    yield from _listed(f"Alert: {alert}" for alert in facts.info("alerts", ()))
    yield from _listed(note for note in scores.notes if not note.startswith("DEFECT"))
    if not scores.flattery:
        yield text("The harsher variants were not run: nothing here says how much of a result survives them.")


def source_words(facts: Facts) -> str:
    """Return where the data are from: the run's label without the assumptions that are told one by one."""
    words = facts.scores.label
    for warning in facts.scores.coverage.warnings:
        words = (
            words.replace(f"; assumed: {warning.partition('assumed: ')[2]}", "")
            if "assumed: " in warning
            else words
        )
    return words


def _data(facts: Facts) -> Iterator[Markup]:
    """What of the data is missing, damaged or assumed."""
    cover, number = facts.scores.coverage, facts.number
    names = [str(tape.get("name", "")) for tape in facts.info("tapes", ()) if isinstance(tape, Mapping)]
    if cover.gap_s > 0 or cover.markets_with_gaps:
        yield Markup(
            f"Gaps: {number('scores.coverage.gap_s', 's')} s of data are missing "
            f"(markets with gaps: {number('scores.coverage.markets_with_gaps', 'count')})."
        )
    if cover.strikes_unknown:
        yield Markup(
            f"Without a known strike: {number('scores.coverage.strikes_unknown', 'count')} of the markets."
        )
    yield from _listed(f"Damaged, left out: {place}" for place in cover.damage)
    yield from _listed(f"Unreadable, left out: {path}" for path in facts.info("unreadable", ()))
    yield from _listed(_unused(facts))
    yield from _listed(_once(cover.warnings, names))


def _thin(facts: Facts) -> Iterator[Markup]:
    """What of the trading is thin: few markets, or a halt that ended it early."""
    totals = facts.scores.totals
    if 0 < totals.traded < facts.least:
        traded = facts.number("scores.totals.traded", "count")
        yield Markup(f"Few markets were traded (n = {traded}): the result is theirs alone.")
    halts = sorted({item.reason for item in facts.scores.denials if item.reason.startswith("HALTED")})
    if halts:
        yield text(
            f"Trading was halted for part of the run ({', '.join(halts)}): what came then was not traded, and the "
            "harsher variants may differ for that reason alone."
        )


def _unused(facts: Facts) -> Iterator[str]:
    """Tapes that were given and not used, by reason."""
    tapes = [tape for tape in facts.info("tapes", ()) if isinstance(tape, Mapping)]
    reasons = Counter(
        str(tape.get("reason") or "no reason noted") for tape in tapes if tape.get("role") == ""
    )
    for reason, count in reasons.most_common():
        yield f"Tapes not used: {count:,} ({reason})."


def _once(sentences: Iterable[str], names: Iterable[str]) -> Iterator[str]:
    """Say what is true of many tapes once: `tape: sentence` without the tape, and of how many."""
    prefixes = tuple(f"{name}: " for name in names if name)
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for sentence in sentences:
        prefix = next((prefix for prefix in prefixes if sentence.startswith(prefix)), "")
        bare = sentence.removeprefix(prefix)
        counts[bare] += 1
        first.setdefault(bare, sentence)
    for bare, count in counts.most_common():
        yield first[bare] if count == 1 else f"{bare} (tapes: {count:,})"


def _defects(notes: Iterable[str]) -> Iterator[Markup]:
    for note in notes:
        if note.startswith("DEFECT"):
            yield Markup(f"<strong>{text(note)}: do not trust this run.</strong>")


def _listed(sentences: Iterable[str]) -> Iterator[Markup]:
    unique = list(dict.fromkeys(sentences))
    for sentence in unique[:LISTED]:
        is_word = sentence.partition(" ")[0].strip(":,.").isalpha()  # names of tapes stay as they are
        yield text(f"{sentence[:1].upper()}{sentence[1:]}" if is_word else sentence)
    if len(unique) > LISTED:
        yield text(f"and {len(unique) - LISTED:,} more of this sort: section Data.")
