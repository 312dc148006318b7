"""The space of a search: names of options and the values they may take."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

from fusion_dfd import config as c


@dataclasses.dataclass(frozen=True)
class Float:
    """A number between ``low`` and ``high``, both included; ``log`` draws its logarithm evenly."""

    low: float
    high: float
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Int:
    """A whole number between ``low`` and ``high``, both included."""

    low: int
    high: int
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


Space = Mapping[str, Float | Int | Choice]
"""By option, as in ``optim.lr``."""


def current(config: c.Config, space: Space) -> dict[str, Any]:
    """The values that ``config`` has for the options of ``space``.

    Raises ConfigError for an option that does not exist, or whose value the space does not hold, and for values in
    the space that this configuration refuses: a search would fail when it tried one of them.
    """
    values = {}
    for name, options in space.items():
        try:
            value = operator.attrgetter(name)(config)
        except AttributeError as error:
            raise c.ConfigError(f"the space has {name}, which is no option of the configuration") from error
        inside = value in options.values if isinstance(options, Choice) else options.low <= value <= options.high
        if not inside:
            raise c.ConfigError(f"{name}={value}, where the search begins, lies outside of its space {options}")
        for end in options.values if isinstance(options, Choice) else (options.low, options.high):
            try:
                applied(config, {name: end})
            except c.ConfigError as error:
                raise c.ConfigError(f"the space of {name} holds {end}, which does not fit: {error}") from error
        values[name] = value
    return values


def applied(config: c.Config, values: Mapping[str, Any]) -> c.Config:
    """A copy of ``config`` with other ``values``, checked."""
    changed = copy.deepcopy(config)
    for name, value in values.items():
        *path, field = name.split(".")
        setattr(operator.attrgetter(".".join(path))(changed) if path else changed, field, value)
    return changed.validate()
