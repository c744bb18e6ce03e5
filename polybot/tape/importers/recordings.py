"""Which importer a file is for, and folders of files.

Owns the order in which formats are tried when none is named, and the finding of market lists beside a table.
A file that no importer knows is refused by name; in a folder it is left out and told.
Called by the command `import` and by programs through polybot.tape.importers.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from polybot.config import AssetConfig, Config
from polybot.errors import ConfigError, TapeError
from polybot.tape.importers.binance_zip import import_binance, is_binance_file
from polybot.tape.importers.frames import import_frames, is_frame_dump
from polybot.tape.importers.markets import KnownMarket, read_markets
from polybot.tape.importers.tables import import_ladder, import_table, is_ladder, is_table
from polybot.tape.importers.writing import Imported, write_import
from polybot.tape.writer import TapeSettings, tape_settings

__all__ = ["FORMATS", "import_configured", "import_recording"]

FORMATS: dict[str, Callable[[Path], bool]] = {
    "binance": is_binance_file,
    "table": is_table,
    "ladder": is_ladder,
    "frames": is_frame_dump,
}
Tell = Callable[[str], None]


def import_configured(config: Config) -> int:
    """The command `import`; returns the exit code.  Raises ConfigError without a source."""
    record = config.record
    if not record.source:
        raise ConfigError("import needs source=FILE or source=FOLDER")
    if not Path(record.source).exists():
        raise ConfigError(f"source={record.source} is not allowed: must be a file or folder that is there")
    try:
        made = import_recording(
            record.source,
            record.out_dir,
            format=record.source_format,
            markets_file=record.markets_file or None,
            asset=config.asset,
            settings=tape_settings(record),
            tell=_print,
        )
    except OSError as error:
        raise TapeError(f"{record.out_dir}: {error.strerror or error}") from error
    _print(f"{len(made)} tapes in {record.out_dir}")
    return 0


def import_recording(
    path: Path | str,
    out_dir: Path | str,
    *,
    format: str = "auto",
    markets_file: Path | str | None = None,
    asset: AssetConfig | None = None,
    settings: TapeSettings | None = None,
    tell: Tell | None = None,
) -> list[Path]:
    """Import a file, or every file of a folder, as tapes below out_dir; returns their folders.

    `markets_file` lists markets (Gamma objects) with strike and outcome.  Raises TapeError for a file that cannot be
    read as what it should be (of a folder: when no file of it can), OSError for a disk that does not take more.
    """
    source, out = Path(path), Path(out_dir)
    settings = settings or TapeSettings()
    markets = read_markets(Path(markets_file)) if markets_file else []
    files = [source] if source.is_file() else sorted(one for one in source.rglob("*") if one.is_file())
    if not files:
        raise TapeError(f"{source}: no file there")
    made: list[Path] = []
    for file in files:
        found = format if format != "auto" else _format_of(file)
        if found is None:
            if source.is_file():
                raise TapeError(f"{file}: of no known format; known are {', '.join(FORMATS)}")
            _say(tell, f"{file.name}: of no known format, left out")
            continue
        for imported in _importer(file, found, markets, asset or AssetConfig()):
            folder = write_import(imported, out, file=file, settings=settings)
            _say(tell, f"{file.name}: {imported.label} -> {folder}; missing: {', '.join(imported.missing)}")
            made.append(folder)
    if not made:
        raise TapeError(f"{source}: nothing in it could be imported")
    return made


def _format_of(file: Path) -> str | None:
    for name, fits in FORMATS.items():
        try:
            if fits(file):
                return name
        except TapeError:
            return None
    return None


def _importer(file: Path, name: str, markets: list[KnownMarket], asset: AssetConfig) -> Iterator[Imported]:
    symbols = {"spot": asset.spot_symbol, "oracle": asset.oracle_symbol, "polybolt": asset.polybolt_symbol}
    if name == "binance":
        yield import_binance(file, symbols=symbols)
    elif name == "table":
        yield import_table(file, symbols=symbols, markets=markets)
    elif name == "ladder":
        yield from import_ladder(file, symbols=symbols)
    elif name == "frames":
        yield import_frames(file, symbols=symbols, markets=_by_key(markets))
    else:
        raise TapeError(f"format {name} is not known; known are {', '.join(FORMATS)}")


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
