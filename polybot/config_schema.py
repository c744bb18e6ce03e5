"""Turn nested plain values into frozen dataclasses, strictly: the checker behind polybot.config.

Owns the rules that hold for every setting: unknown keys, missing keys, wrong types, NaN and
infinity, ranges (`ranged`), allowed words (Literal), keys that belong to one choice only (`only`).
Every refusal is one line: key, value, what is allowed, nearest match.  Knows no setting by name,
reads no file and no environment (an `env` hint is only words for the message).
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from polybot.errors import ConfigError

__all__ = [
    "build",
    "did_you_mean",
    "env_name",
    "matching",
    "ranged",
    "replace_keys",
    "secret_file",
    "to_mapping",
]

T = TypeVar("T")
_SHOWN_CHARS = 60  # a value is cut to this in messages


def ranged(default: Any, lo: float, hi: float, **hints: Any) -> Any:
    """Make a number field with an inclusive range.

    Hints: env (variable that may set it), only (choice or choices it belongs to), either_sign (stored as abs).
    """
    return dataclasses.field(default=default, metadata={"lo": lo, "hi": hi, **hints})


def matching(default: str, pattern: str, allowed: str, **hints: Any) -> Any:
    """Make a text field that must match `pattern` in full; `allowed` says so in words."""
    return dataclasses.field(
        default=default, metadata={"pattern": pattern, "allowed": allowed, **hints}
    )


def env_name(default: str) -> Any:
    """Make a field that holds the NAME of an environment variable; its value is never shown."""
    allowed = "the NAME of an environment variable (A-Z, 0-9, _), never the secret itself"
    return matching(default, r"|[A-Z][A-Z0-9_]{1,63}", allowed, hidden=True)


def secret_file() -> Any:
    """Make a field that holds the path of a secret's file ("": none); what is no path is never shown."""
    return matching("", r"|[/~.].*", "a path that starts with / or ~ or .", hidden=True)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean x?" for the nearest choice, or "" when none is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.55)
    return f"; did you mean {near[0]}?" if near else ""


def build(
    cls: type[T],
    mapping: Any,
    *,
    path: str = "",
    given: Mapping[str, Any] | None = None,
) -> T:
    """Build dataclass `cls` from `mapping`; `given` are fields already built.

    Raises ConfigError at the first unknown or missing key, wrong type or value out of range.
    """
    if not isinstance(mapping, Mapping):
        raise _refusal(path, mapping, "a group of settings")
    fields = {field.name: field for field in dataclasses.fields(cast(Any, cls))}
    for key in mapping:
        if key not in fields:
            dotted = _join(path, str(key))
            near = did_you_mean(str(key), fields)
            near = near.replace("did you mean ", f"did you mean {path}." if path else "did you mean ")
            raise ConfigError(f"unknown setting {dotted}{near}")
    hints = get_type_hints(cls)
    values = dict(given or {})
    for name, field in fields.items():
        if name not in values and _is_wanted(field, mapping, path):
            dotted = _join(path, name)
            values[name] = _convert(hints[name], mapping[name], dotted, field.metadata)
    return cls(**values)


def to_mapping(value: Any) -> Any:
    """Inverse of `build`: plain nested dicts, lists and scalars (fit for JSON)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        choice = getattr(value, "name", None)
        return {
            field.name: to_mapping(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if _belongs(field, choice)
        }
    if isinstance(value, Mapping):
        return {key: to_mapping(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_mapping(item) for item in value]
    return value


def replace_keys(mapping: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy of `mapping` with dotted keys replaced (section objects are flattened)."""
    result = cast(dict[str, Any], to_mapping(mapping))
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        node: Any = result
        for part in parents:
            if not isinstance(node.get(part), dict):
                raise ConfigError(f"unknown setting {dotted}{did_you_mean(part, node)}")
            node = node[part]
        node[last] = to_mapping(value)
    return result


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _owners(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """Return the choices a field belongs to; none: to all of them."""
    only = field.metadata.get("only", ())
    return (only,) if isinstance(only, str) else tuple(only)


def _belongs(field: "dataclasses.Field[Any]", choice: Any) -> bool:
    owners = _owners(field)
    return not owners or choice in owners


def _is_wanted(field: "dataclasses.Field[Any]", mapping: Mapping[str, Any], path: str) -> bool:
    """Tell whether the field must be read; a key of another choice must be absent."""
    dotted = _join(path, field.name)
    if not _belongs(field, mapping.get("name")):
        if field.name in mapping:
            only = " or ".join(_owners(field))
            raise ConfigError(f"{dotted} is only for {path}={only}, not {path}={mapping.get('name')}")
        return False
    if field.name not in mapping:
        raise ConfigError(f"setting {dotted} is missing")
    return True


def _convert(hint: Any, value: Any, path: str, meta: Mapping[str, Any]) -> Any:
    """Check one value against its type hint and metadata."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, path=path)
    origin = get_origin(hint)
    if origin is Literal:
        return _choice(get_args(hint), value, path)
    if origin is tuple:
        return _sequence(get_args(hint)[0], value, path, meta)
    if origin is not None and issubclass(origin, Mapping):
        return _table(get_args(hint)[1], value, path, meta)
    check = _SCALARS[hint]
    return check(value, path, meta)


def _choice(allowed: tuple[Any, ...], value: Any, path: str) -> Any:
    if isinstance(value, str) and value in allowed:
        return value
    words = ", ".join(map(str, allowed))
    raise _refusal(path, value, f"one of {words}", did_you_mean(str(value), map(str, allowed)))


def _sequence(hint: Any, value: Any, path: str, meta: Mapping[str, Any]) -> tuple[Any, ...]:
    if meta.get("or_one") and isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise _refusal(path, value, "a list")
    return tuple(_convert(hint, item, f"{path}[{i}]", meta) for i, item in enumerate(value))


def _table(hint: Any, value: Any, path: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _refusal(path, value, "a group of settings")
    return {str(key): _convert(hint, item, _join(path, str(key)), meta) for key, item in value.items()}


def _bool(value: Any, path: str, meta: Mapping[str, Any]) -> bool:
    if not isinstance(value, bool):
        raise _refusal(path, value, "true or false")
    return value


def _int(value: Any, path: str, meta: Mapping[str, Any]) -> int:
    allowed = f"a whole number in {_span(meta)}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refusal(path, value, allowed, _env_hint(meta))
    _check_range(value, path, meta, allowed)
    return value


def _float(value: Any, path: str, meta: Mapping[str, Any]) -> float:
    allowed = f"a number in {_span(meta)}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _refusal(path, value, allowed, _env_hint(meta))
    number = float(value)
    if meta.get("either_sign"):
        number = abs(number)
        allowed += ", either sign"
    if not math.isfinite(number):
        raise _refusal(path, value, allowed, _env_hint(meta))
    _check_range(number, path, meta, allowed)
    return number


def _text(value: Any, path: str, meta: Mapping[str, Any]) -> str:
    if not isinstance(value, str):
        raise _refusal(path, value, "text")
    pattern = meta.get("pattern")
    if pattern is not None and re.fullmatch(pattern, value) is None:
        shown = "(hidden)" if meta.get("hidden") else value
        raise _refusal(path, shown, str(meta["allowed"]))
    return value


def _parameter(value: Any, path: str, meta: Mapping[str, Any]) -> bool | int | float | str:
    """Check a parameter of a user's own strategy: any finite scalar."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(path, value, "a finite number")
    if not isinstance(value, (bool, int, float, str)):
        raise _refusal(path, value, "a number, true/false or text")
    return value


_SCALARS: Mapping[Any, Callable[[Any, str, Mapping[str, Any]], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _text,
    bool | int | float | str: _parameter,
}


def _span(meta: Mapping[str, Any]) -> str:
    return f"[{meta['lo']:.10g}, {meta['hi']:.10g}]"


def _env_hint(meta: Mapping[str, Any]) -> str:
    env = meta.get("env")
    return f" (the environment variable {env} sets this too)" if env else ""


def _check_range(value: float, path: str, meta: Mapping[str, Any], allowed: str) -> None:
    if not meta["lo"] <= value <= meta["hi"]:
        raise _refusal(path, value, allowed, _env_hint(meta))


def _refusal(path: str, value: Any, allowed: str, tail: str = "") -> ConfigError:
    text = "nothing" if isinstance(value, NoneType) else str(value)
    text = " ".join(text.split())
    if len(text) > _SHOWN_CHARS:
        text = text[:_SHOWN_CHARS] + "..."
    return ConfigError(f"{path or 'configuration'}={text} is not allowed: must be {allowed}{tail}")
