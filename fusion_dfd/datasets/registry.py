"""Adapters by name. An adapter is ``videos(root, **options) -> list[Video]``, in a file of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from fusion_dfd.datasets import faceforensics
from fusion_dfd.types import DataError, Video

ADAPTERS: dict[str, Callable[..., list[Video]]] = {faceforensics.NAME: faceforensics.videos}


def open_dataset(name: str, root: str, **options) -> list[Video]:
    """The videos of a data set on disk, as its adapter lists them.

    Raises DataError for an unknown name, an option that the adapter does not have, and what the adapter refuses.
    """
    if name not in ADAPTERS:
        raise DataError(f"no data set is called {name!r}; there are {', '.join(sorted(ADAPTERS))}")
    known = list(inspect.signature(ADAPTERS[name]).parameters)[1:]
    if odd := sorted(set(options) - set(known)):
        raise DataError(f"data set {name!r} has no option {', '.join(odd)}; it has {', '.join(known)}")
    return ADAPTERS[name](root, **options)
