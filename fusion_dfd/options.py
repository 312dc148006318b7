"""The description of an option, beside its field: meaning, range, choices. Checks, ``--help`` and OPTIONS.md use it."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GROUP = r"(?P<prefix>[\w/]+)(?P<norm>:norm)?=(?P<factor>\d+(\.\d+)?)(@(?P<step>\d+))?"
GROUPS = "PREFIX=FACTOR or PREFIX=FACTOR@STEP, PREFIX may end in :norm, e.g. backbone:norm=0.1@500"


class ConfigError(ValueError):
    """An option out of range. The message names the option, the value and what is allowed."""


@dataclasses.dataclass(frozen=True)
class About:
    """The metadata of a field. Of a tuple, range and words hold for each entry."""

    help: str
    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    """Like ``low``, but the bound itself is outside."""
    words: Mapping[str, str] | Sequence[str] = ()
    """The choices; a mapping says what each means."""
    count: int = 0
    """Entries of a tuple; 0 = any number."""
    empty: bool = True
    """Whether a tuple may be empty."""
    form: tuple[str, str] = ("", "")
    """Regular expression of a text, and its description for a person."""

    @property
    def range(self) -> str:
        """What a value may be, e.g. ``0 .. 1``, ``1 or more``, ``lstm, gru``; empty where anything goes."""
        if self.words:
            return ", ".join(self.words)
        if self.form[1]:
            return self.form[1]
        if self.above > -math.inf:
            return f"more than {self.above:g}" + (f", at most {_number(self.high)}" if self.high < math.inf else "")
        if self.high < math.inf:
            return f"{_number(self.low)} .. {_number(self.high)}"
        return f"{_number(self.low)} or more" if self.low > -math.inf else ""

    def wrong(self, value: Any) -> str:
        """What is required instead of ``value``; empty where it is valid."""
        if not isinstance(value, tuple):
            return "" if self._fits(value) else f"want {'one of ' if self.words else ''}{self.range}"
        if self.words:
            fits = set(value) <= set(self.words) and len(set(value)) == len(value) and (self.empty or value)
            return "" if fits else f"want a {'' if self.empty else 'non-empty '}subset of {self.range}"
        fits = all(map(self._fits, value)) and (self.empty or value) and len(value) in (self.count or len(value), None)
        if self.form[1]:
            return "" if fits else f"want {self.range}"
        number = f"{self.count} numbers" if self.count else "numbers" if self.empty else "at least one number"
        return "" if fits else f"want {number}, each {self.range}"

    def _fits(self, value: Any) -> bool:
        if self.words:
            return value in self.words
        if self.form[0]:
            return bool(re.fullmatch(self.form[0], value))
        bounded = self.low > -math.inf or self.high < math.inf or self.above > -math.inf
        return not bounded or (self.low <= value <= self.high and value > self.above)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a configuration."""

    name: str
    """Dotted, as in ``optim.lr``."""
    kind: str
    value: Any
    about: About

    @property
    def text(self) -> str:
        """Meaning, and that of each choice where the choices have one."""
        words = self.about.words
        if not isinstance(words, Mapping):
            return self.about.help
        return f"{self.about.help} {'; '.join(f'{word}: {meaning}' for word, meaning in words.items())}."

    @property
    def described(self) -> str:
        """Meaning and range, for a person."""
        return f"{self.text} Range: {self.about.range}." if self.about.range else self.text


@dataclasses.dataclass(frozen=True)
class Group:
    """Parameters with a learning rate of their own: an entry of ``optim.groups``."""

    prefix: str
    """Of paths such as ``backbone/stages/0/0/conv1/kernel``; of whole names: ``conv1`` does not match ``conv10``."""
    factor: float
    """Of the learning rate; 0 freezes."""
    step: int = 0
    """First step at which the group learns."""
    norm: bool = False
    """Whether it holds only the scales and biases of norm layers: ``PREFIX:norm``."""

    @classmethod
    def parse(cls, text: str) -> Group:
        """The group that a text of the form :data:`GROUPS` means. Raises ConfigError for another form."""
        part = re.fullmatch(GROUP, text)
        if not part:
            raise ConfigError(f"optim.groups={text}: want {GROUPS}")
        return cls(part["prefix"], float(part["factor"]), int(part["step"] or 0), bool(part["norm"]))

    def __str__(self) -> str:
        return f"{self.selector}={self.factor:g}{f'@{self.step}' if self.step else ''}"

    @property
    def selector(self) -> str:
        """``PREFIX`` or ``PREFIX:norm``: which parameters it holds."""
        return f"{self.prefix}:norm" if self.norm else self.prefix

    @property
    def frozen(self) -> bool:
        return self.factor == 0


def option(default: Any, help: str, low: float = -math.inf, high: float = math.inf, **about) -> Any:
    """A dataclass field with its default and what :class:`About` says of it."""
    return dataclasses.field(default=default, metadata={"about": About(help, low, high, **about)})


def section(kind: type) -> Any:
    """A dataclass field that holds a section of options."""
    return dataclasses.field(default_factory=kind)


def walk(config: Any, prefix: str = "") -> Iterator[Option]:
    """Every option of a configuration or a section of it, sections below included, in the order of the fields."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from walk(value, f"{prefix}{field.name}.")
        else:
            yield Option(f"{prefix}{field.name}", _kind(field.type), value, field.metadata["about"])


def problems(config: Any) -> list[str]:
    """A sentence for each option whose value is outside of its range or choices."""
    found = [(one, one.about.wrong(one.value)) for one in walk(config)]
    return [f"{one.name}={one.value}: {wrong}" for one, wrong in found if wrong]


def unknown(config: Any, values: Mapping[str, Any], where: str) -> list[str]:
    """Dotted names in nested ``values`` that ``config`` does not have."""
    found = []
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {values!r:.50}, which names no options")
    for name, value in sorted(values.items()):
        if name not in {field.name for field in dataclasses.fields(config)}:
            found.append(f"{where}.{name}")
        elif dataclasses.is_dataclass(part := getattr(config, name)):
            found += unknown(part, value, f"{where}.{name}")
    return found


def build(kind: type, values: Mapping[str, Any]) -> Any:
    """A configuration or section of nested ``values``, as JSON holds them; what they lack has its default.

    Raises :class:`ConfigError` for a value of another type than its option's.
    """
    default = kind()
    types = {field.name: field.type for field in dataclasses.fields(kind)}

    def typed(name: str, value: Any) -> Any:
        old = getattr(default, name)
        if dataclasses.is_dataclass(old):
            return build(type(old), value)
        if not _fits(value, types[name]):
            raise ConfigError(f"option {name} is {value!r}, which is no {types[name]}")
        return tuple(value) if isinstance(old, tuple) else value

    return kind(**{name: typed(name, value) for name, value in values.items()})


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value read from JSON can be that of an option."""
    if typing.get_origin(annotation) is tuple:
        inner = typing.get_args(annotation)[0]
        return isinstance(value, list | tuple) and all(_fits(one, inner) for one in value)
    if isinstance(value, bool):
        return annotation is bool
    return isinstance(value, int | float if annotation is float else annotation)


def _kind(annotation: Any) -> str:
    if typing.get_origin(annotation) is tuple:
        return f"{typing.get_args(annotation)[0].__name__}s"
    return "str" if annotation == str | None else annotation.__name__


def _number(value: float) -> str:
    return str(value)
