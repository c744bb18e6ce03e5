"""Which importer a file is for, and folders of files.

Owns the order in which formats are tried when none is named, and the finding of market lists beside a table.
A file that no importer knows is refused by name; in a folder it is left out and told.
Called by the command `import` and by programs through polybot.tape.importers.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from polybot.config import AssetConfig, Config
from polybot.config_record import AssumeConfig
from polybot.errors import ConfigError, TapeError
from polybot.tape.importers.binance_zip import import_binance, is_binance_file
from polybot.tape.importers.books import import_books, is_book_dump
from polybot.tape.importers.frames import import_frames, is_frame_dump
from polybot.tape.importers.markets import KnownMarket, read_markets
from polybot.tape.importers.spot_path import SpotTrades, read_trades
from polybot.tape.importers.tables import import_ladder, import_table, is_ladder, is_table
from polybot.tape.importers.writing import Imported, write_import
from polybot.tape.manifest import MANIFEST_NAME, read_manifest
from polybot.tape.reader import find_tapes
from polybot.tape.sealing import tend_tape
from polybot.tape.writer import TapeSettings, tape_settings

__all__ = ["FORMATS", "import_configured", "import_recording"]

FORMATS: dict[str, Callable[[Path], bool]] = {
    "binance": is_binance_file,
    "table": is_table,
    "ladder": is_ladder,
    "books": is_book_dump,
    "frames": is_frame_dump,
}
Tell = Callable[[str], None]
NAMES = {0: "Up", 1: "Down", None: "unknown"}


def import_configured(config: Config) -> int:
    """The command `import`; returns the exit code.  Raises ConfigError without a source.

    Tapes below `source` that were not closed are sealed where they are, and outcomes that `markets_file` tells are put
    into those that lack them; everything else there is imported.
    """
    record = config.record
    if not record.source:
        raise ConfigError("import needs source=FILE or source=FOLDER")
    source = Path(record.source)
    if not source.exists():
        raise ConfigError(f"source={record.source} is not allowed: must be a file or folder that is there")
    try:
        if source.is_dir() and find_tapes(source):
            markets = read_markets(Path(record.markets_file)) if record.markets_file else []
            return _tend(source, markets, settings=tape_settings(record))
        made = import_recording(
            source,
            record.out_dir,
            format=record.source_format,
            markets_file=record.markets_file or None,
            asset=config.asset,
            settings=tape_settings(record),
            assume=record.assume,
            tell=_print,
        )
    except OSError as error:
        raise TapeError(f"{record.out_dir}: {error.strerror or error}") from error
    _print(_summary(made, record.out_dir))
    return 0


def import_recording(
    path: Path | str,
    out_dir: Path | str,
    *,
    format: str = "auto",
    markets_file: Path | str | None = None,
    asset: AssetConfig | None = None,
    settings: TapeSettings | None = None,
    assume: AssumeConfig | None = None,
    tell: Tell | None = None,
) -> list[Path]:
    """Import a file, or every file of a folder, as tapes below out_dir; returns their folders.

    `markets_file` lists markets (Gamma objects) with strike and outcome; `assume` stands in for what books alone do
    not tell.  Raises TapeError for a file that cannot be read as what it should be (of a folder: when no file of it
    can; the others are named), OSError for a disk that does not take more.
    """
    source, out = Path(path), Path(out_dir)
    made: list[Path] = []
    files = [source] if source.is_file() else sorted(one for one in source.rglob("*") if one.is_file())
    if not files:
        raise TapeError(f"{source}: no file there")
    desk = _Desk(
        markets=read_markets(Path(markets_file)) if markets_file else [],
        asset=asset or AssetConfig(),
        assume=assume or AssumeConfig(),
    )
    for number, file in enumerate(files, 1):
        place = f"[{number}/{len(files)}] " if len(files) > 1 else ""
        try:
            found = format if format != "auto" else _format_of(file)
            for imported in desk.read(file, found):
                folder = write_import(imported, out, file=file, settings=settings or TapeSettings())
                _say(tell, place + _line(file, imported, folder))
                made.append(folder)
        except TapeError as error:
            if source.is_file():
                raise
            _say(tell, f"{place}{file.name}: left out: {str(error).removeprefix(f'{file}: ')}")
    if not made:
        raise TapeError(f"{source}: nothing in it could be imported")
    return made


class _Desk:
    """What the importers of one run share."""

    def __init__(self, *, markets: list[KnownMarket], asset: AssetConfig, assume: AssumeConfig) -> None:
        self._markets = markets
        self._by_key = _by_key(markets)
        self._assume = assume
        self._trades: SpotTrades | None = None
        self._symbols = {"spot": asset.spot_symbol, "oracle": asset.oracle_symbol, "polybolt": asset.polybolt_symbol}

    def read(self, file: Path, name: str) -> Iterator[Imported]:
        """Yield the tapes one file becomes; raises TapeError for an unknown format."""
        symbols = self._symbols
        if name == "binance":
            yield import_binance(file, symbols=symbols)
        elif name == "table":
            yield import_table(file, symbols=symbols, markets=self._markets)
        elif name == "ladder":
            yield from import_ladder(file, symbols=symbols)
        elif name == "books":
            yield import_books(
                file, symbols=symbols, markets=self._by_key, assume=self._assume, trades=self._spot_trades()
            )
        elif name == "frames":
            yield import_frames(file, symbols=symbols, markets=self._by_key, assume=self._assume)
        else:
            raise TapeError(f"format {name} is not known; known are {', '.join(FORMATS)}")

    def _spot_trades(self) -> SpotTrades | None:
        """Trades of the recording that `assume.spot` names, read once."""
        if self._trades is None and self._assume.spot not in ("implied", "none"):
            self._trades = read_trades(self._assume.spot)
        return self._trades


def _tend(source: Path, markets: list[KnownMarket], *, settings: TapeSettings) -> int:
    """Seal the tapes below a folder that nobody closed, and put in outcomes that are known now."""
    known = {market.spec.condition_id: market.outcome for market in markets if market.outcome is not None}
    folders = find_tapes(source)
    for number, folder in enumerate(folders, 1):
        place = f"[{number}/{len(folders)}] {folder.name}"
        try:
            _print(f"{place}: {tend_tape(folder, known, settings=settings)}")
        except TapeError as error:
            _print(f"{place}: left as it is: {error}")
    _print(_summary(folders, source))
    return 0


def _summary(folders: list[Path], place: Path | str) -> str:
    manifests = [read_manifest(folder / MANIFEST_NAME) for folder in folders if (folder / MANIFEST_NAME).exists()]
    markets = [told for told in manifests if told["market"] is not None]
    decided = sum(told["outcome"] is not None for told in markets)
    undecided = len(markets) - decided
    more = f": {len(markets)} markets, {decided} with an outcome, {undecided} without" if markets else ""
    return f"{len(folders)} tapes in {place}{more}"


def _line(file: Path, imported: Imported, folder: Path) -> str:
    said = [f"{file.name}: {imported.label} -> {folder}"]
    if imported.spec is not None:
        said.append(f"outcome {NAMES[imported.told.get('outcome')]}")
    said.append(f"missing: {', '.join(imported.missing)}")
    for what, texts in (("assumptions", imported.assumptions), ("warnings", imported.warnings)):
        said += [f"{len(texts)} {what} in its manifest"] if texts else []
    return "; ".join(said)


def _format_of(file: Path) -> str:
    """The first format that fits; raises TapeError for a file that cannot be read, or is of none."""
    for name, fits in FORMATS.items():
        if fits(file):
            return name
    raise TapeError(f"{file}: of no known format; known are {', '.join(FORMATS)}")


def _by_key(markets: Iterable[KnownMarket]) -> dict[str, KnownMarket]:
    found: dict[str, KnownMarket] = {}
    for market in markets:
        found[market.spec.slug] = found[market.spec.condition_id] = market
    return found


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say(tell: Tell | None, text: str) -> None:
    if tell is not None:
        tell(text)
