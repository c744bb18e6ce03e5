"""A few of the recorded real books as tapes, for tests: what is known of them stands here."""

from dataclasses import dataclass
from pathlib import Path

from polybot.tape.importers import import_recording

BOOKS = "data/CronosVirus00+polymarket-BTC5min-database"
WHOLE = (49, 46, 3)  # markets, decided, undecided


@dataclass(frozen=True, slots=True)
class Known:
    """One recorded market as its file shows it (read off the frames by hand)."""

    day: str
    start_s: int
    frames: int
    tokens: int
    outcome: int | None
    fine_from_s: float  # after the start a price first shows the 0.001 grid; 0: never

    @property
    def slug(self) -> str:
        return f"btc-updown-5m-{self.start_s}"


# Two tokens and Down; undecided at .13; the first token seen is not the tracked one; a long stretch on the fine grid;
# Up on the fine grid with two tokens; a plain one.
SAMPLE = (
    Known("2026-04-13", 1_776_081_900, 2_616, 2, 1, 0.0),
    Known("2026-04-13", 1_776_083_400, 4_802, 1, None, 0.0),
    Known("2026-04-13", 1_776_095_100, 5_061, 2, 0, 0.0),
    Known("2026-04-15", 1_776_248_100, 4_201, 2, 0, 272.2),
    Known("2026-04-15", 1_776_252_900, 2_596, 1, 1, 0.0),
    Known("2026-04-15", 1_776_260_100, 5_110, 1, 0, 245.7),
)


def file_of(shared_dir: Path, known: Known) -> Path:
    """The recording of one market."""
    return shared_dir / BOOKS / "clob_book_frames" / known.day / f"{known.slug}.jsonl.xz"


def import_sample(shared_dir: Path, folder: Path, *, count: int = len(SAMPLE)) -> list[Path]:
    """Import the first `count` of the sample; returns the tapes' folders in its order."""
    return [
        made for known in SAMPLE[:count] for made in import_recording(file_of(shared_dir, known), folder)
    ]
