"""Adapters by name, and the function that opens a data set with one.

An adapter is ``videos(root, **options) -> list[Video]``, in a file of its own, one for all releases of a data set.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from fusion_dfd.datasets import celebdf, deeperforensics, dfd, dfdc, dfdc_preview, faceforensics, folder, uadfv
from fusion_dfd.datasets.splits import keep_splits
from fusion_dfd.types import DataError, Video

ADAPTERS: dict[str, Callable[..., list[Video]]] = {
    faceforensics.NAME: faceforensics.videos,
    dfd.NAME: dfd.videos,
    celebdf.V1.name: celebdf.v1,
    celebdf.V2.name: celebdf.v2,
    celebdf.PP.name: celebdf.pp,
    dfdc.NAME: dfdc.parts,
    dfdc.SAMPLE: dfdc.sample,
    dfdc.TEST: dfdc.test,
    dfdc_preview.NAME: dfdc_preview.videos,
    uadfv.NAME: uadfv.videos,
    deeperforensics.NAME: deeperforensics.videos,
    folder.NAME: folder.videos,
}

OPTIONS: dict[str, tuple[type, str]] = {
    "compression": (str, "raw, c23 or c40 (FaceForensics++, DFD)"),
    "methods": (tuple[str, ...], "manipulations to take (FaceForensics++), or variants (DeeperForensics), by commas"),
    "protocol": (str, "official or identity_disjoint (Celeb-DF)"),
    "originals": (str, "root of FaceForensics++, which has the real videos (DeeperForensics)"),
    "seed": (int, "seed of the draw, where splits are drawn"),
    "fractions": (tuple[float, ...], "shares of train, val, test, where splits are drawn, e.g. 0.7,0.15,0.15"),
}
"""Every option that an adapter may have: its type and its help text."""


def open_dataset(name: str, root: str, splits: str | None = None, **options) -> list[Video]:
    """The videos of a data set on disk, as its adapter lists them.

    Args:
      name: of an adapter.
      root: folder of the data set.
      splits: CSV file of the splits to keep to, see :mod:`fusion_dfd.datasets.splits`; written if it does not exist.
      options: of the adapter.

    Raises DataError for an unknown name, an option that the adapter does not have, and whatever the adapter or the file
    of splits rejects.
    """
    if name not in ADAPTERS:
        raise DataError(f"no data set is called {name!r}; there are {', '.join(sorted(ADAPTERS))}")
    known = list(inspect.signature(ADAPTERS[name]).parameters)[1:]
    if odd := sorted(set(options) - set(known)):
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise DataError(f"data set {name!r} has no option {', '.join(odd)}; {has}")
    try:
        videos = ADAPTERS[name](root, **options)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}; check its permissions") from error
    return keep_splits(videos, splits) if splits else videos
