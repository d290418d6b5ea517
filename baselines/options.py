"""A model's own options, beyond what every `Request` has: declared as a frozen dataclass, read from text or YAML.

Standard library only, so that a worker in another environment, or a plug-in, can import it for free.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mmbench.errors import RequestError

Setting = str | int | float | bool | None

WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
NOTHING = ("none", "null", "")


@dataclass(frozen=True)
class Options:
    """No options; a model's own class adds fields, each made by `option` and of a published default.

    A field is bool, int, float, str or a `Literal` of words, or one of these or None. What a single field cannot say
    (two options that exclude each other) is refused in `check`.
    """

    def check(self) -> None:
        """Raise RequestError for values that do not go together."""


O = TypeVar("O", bound=Options)  # noqa: E741 - a type, not a number


@dataclass(frozen=True)
class OptionFact:
    """An option as listed: its name, what it may be ("0 to 1.5", "shared, null"), its default, what it does."""

    name: str
    values: str
    default: Setting
    says: str


def option(default: Any, says: str, low: float | None = None, high: float | None = None) -> Any:
    """A field of an `Options` class: its default, one line on what it does, and the bounds of a number, included."""
    return field(default=default, metadata={"says": says, "low": low, "high": high})


def read_options(kind: type[O], given: Mapping[str, Setting], owner: str) -> O:
    """The options of `owner` with `given` in place of defaults; text ("0.8", "true", "none") counts as its value.

    Raises RequestError for an unknown option, naming the known ones, and for a value an option cannot have.
    """
    known = {entry.name: entry for entry in fields(kind)}
    if unknown := sorted(set(given) - set(known)):
        names = ", ".join(repr(name) for name in unknown)
        remedy = f"Its options: {', '.join(known)}." if known else "It has none; leave it out."
        raise RequestError(f"{owner} has no option {names}.", remedy)
    hints = get_type_hints(kind)
    values = {}
    for name, value in given.items():
        found = _convert(value, hints[name])
        low, high = known[name].metadata.get("low"), known[name].metadata.get("high")
        bad = found is _WRONG or (
            isinstance(found, int | float)
            and not isinstance(found, bool)
            and ((low is not None and found < low) or (high is not None and found > high))
        )
        if bad:
            raise RequestError(
                f"{owner}: option {name} cannot be {value!r}.", f"Give {_values(hints[name], low, high)}."
            )
        values[name] = found
    options = kind(**values)
    options.check()
    return options


def as_mapping(options: Options) -> dict[str, Setting]:
    """Every option by its name, defaults included."""
    return asdict(options)


def changed(kind: type[Options], resolved: Mapping[str, Setting]) -> dict[str, Setting]:
    """Those of `resolved` that differ from the published defaults: what sets a video apart from another's."""
    published = as_mapping(kind())
    return {name: value for name, value in resolved.items() if value != published[name]}


def describe(kind: type[Options]) -> tuple[OptionFact, ...]:
    """The options of a class, in its order."""
    hints = get_type_hints(kind)
    return tuple(
        OptionFact(
            entry.name,
            _values(hints[entry.name], entry.metadata.get("low"), entry.metadata.get("high")),
            entry.default if isinstance(entry.default, str | int | float | bool) else None,
            entry.metadata.get("says", ""),
        )
        for entry in fields(kind)
    )


_WRONG = object()


def _convert(value: object, hint: Any) -> Any:
    """`value` as `hint` asks, or `_WRONG`."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = get_args(hint)
        if type(None) in parts and (value is None or (isinstance(value, str) and value.lower() in NOTHING)):
            return None
        tried = (_convert(value, part) for part in parts if part is not type(None))
        return next((found for found in tried if found is not _WRONG), _WRONG)
    if get_origin(hint) is Literal:
        if value is False and "off" in get_args(hint):  # YAML reads the bare word off as false
            return "off"
        return value if value in get_args(hint) else _WRONG
    if hint is bool:
        found = WORDS.get(value.lower()) if isinstance(value, str) else value
        return found if isinstance(found, bool) else _WRONG
    if hint is str:
        return value if isinstance(value, str) else _WRONG
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return _WRONG
    try:
        number = float(value)
    except ValueError:
        return _WRONG
    if not math.isfinite(number) or (hint is int and number != int(number)):
        return _WRONG
    return int(value if isinstance(value, int) else number) if hint is int else number


def _values(hint: Any, low: float | None, high: float | None) -> str:
    """What an option may be, in words."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = get_args(hint)
        said = [_values(part, low, high) for part in parts if part is not type(None)]
        return ", ".join(said) + (" or none" if type(None) in parts else "")
    if get_origin(hint) is Literal:
        return ", ".join(get_args(hint))
    name = {bool: "true or false", int: "a whole number", float: "a number"}.get(hint, "text")
    if low is not None and high is not None:
        return f"{name} from {low:g} to {high:g}"
    return f"{name}, {low:g} or more" if low is not None else name
