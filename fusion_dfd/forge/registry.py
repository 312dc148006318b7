"""The forgers by name."""

from __future__ import annotations

from collections.abc import Sequence

from fusion_dfd.config import ConfigError
from fusion_dfd.forge.animate import animate
from fusion_dfd.forge.blend import blend
from fusion_dfd.forge.drift import drift
from fusion_dfd.forge.forger import Forger
from fusion_dfd.forge.mouth import mouth
from fusion_dfd.forge.regions import regions
from fusion_dfd.forge.rerender import rerender

FORGERS: dict[str, Forger] = {
    "blend": blend,
    "animate": animate,
    "regions": regions,
    "mouth": mouth,
    "rerender": rerender,
    "drift": drift,
}
"""Each in a module of its own, whose docstring says what it imitates."""


def get(names: Sequence[str]) -> dict[str, Forger]:
    """The forgers of those names. Raises ConfigError for an unknown name, and lists the known ones."""
    if unknown := [name for name in names if name not in FORGERS]:
        raise ConfigError(f"no forger is called {', '.join(unknown)}; there are {', '.join(FORGERS)}")
    return {name: FORGERS[name] for name in names}
