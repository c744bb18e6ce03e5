"""Frozen dataclass trees to plain JSON values and back, exactly.

Owns the two directions for trees of dataclasses, tuples, dictionaries with text keys, numbers, texts, booleans and
None; floats survive bit for bit.  A NaN or an infinity is refused: what is not known is None.  Fields a file does not
have take their defaults, fields it has too many are refused.  Must not know any one tree.
Called by polybot.backtest.scores and agreement.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from polybot.errors import ConfigError

__all__ = ["from_plain", "to_plain"]

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return dictionaries, lists and scalars that json can write; raises ValueError for NaN and infinities."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("what is not known is None, never NaN or infinite")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{type(value).__name__} is no plain value")


def from_plain(cls: type[T], data: Any) -> T:
    """Build a dataclass from what to_plain gave; raises ConfigError when the shapes do not fit."""
    try:
        made = _build(cls, data)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"no {cls.__name__}: {error}") from None
    assert isinstance(made, cls)
    return made


def _build(wanted: Any, data: Any) -> Any:
    if is_dataclass(wanted):
        assert isinstance(wanted, type)
        return _build_dataclass(wanted, data)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        return _build(next(item for item in arguments if item is not type(None)), data)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_build(arguments[0], item) for item in data)
        return tuple(_build(kind, item) for kind, item in zip(arguments, data, strict=True))
    if origin is dict:
        return {str(key): _build(arguments[1], item) for key, item in data.items()}
    if wanted is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, wanted):
        raise TypeError(f"{data!r} is no {wanted.__name__}")
    return data


def _build_dataclass(wanted: type, data: Any) -> Any:
    hints = get_type_hints(wanted)
    names = {field.name: field for field in fields(wanted)}
    unknown = sorted(set(data) - set(names))
    if unknown:
        raise ValueError(f"{wanted.__name__} has no {', '.join(unknown)}")
    given = {}
    for name, field in names.items():
        if name in data:
            given[name] = _build(hints[name], data[name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{wanted.__name__} without {name}")
    return wanted(**given)
