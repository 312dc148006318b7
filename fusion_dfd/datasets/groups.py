"""Who belongs together: connected components of what videos share."""

from __future__ import annotations

import re
from collections.abc import Iterable


def components(links: Iterable[Iterable[str]]) -> dict[str, str]:
    """Each name in ``links`` with the name of its component.

    Names in one link belong together, and so do those that a chain of links joins: with links (target, face) of all
    swaps, a component is a set of people none of whom was ever swapped with somebody outside it. A component is called
    by its first member, numbers in names counted as numbers (``id2`` before ``id10``).
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for link in links:
        first, *rest = (root(name) for name in link)
        for other in rest:
            parent[max(root(other), root(first), key=_natural)] = min(root(other), root(first), key=_natural)
    return {name: root(name) for name in parent}


def _natural(name: str) -> list:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]
