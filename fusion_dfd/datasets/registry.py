"""Adapters by name, and the function that opens a data set with one.

An adapter is ``videos(root, **options) -> list[Video]``, in a file of its own, one for all releases of a data set.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from fusion_dfd.datasets import (
    av_deepfake1m,
    celebdf,
    deeperforensics,
    deepfake_eval,
    deepspeak,
    df40,
    dfd,
    dfdc,
    dfdc_preview,
    dfdm,
    faceforensics,
    fakeavceleb,
    ffiw,
    folder,
    idforge,
    kodf,
    lav_df,
    polyglotfake,
    talkingheadbench,
    uadfv,
    wilddeepfake,
)
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
    df40.NAME: df40.videos,
    wilddeepfake.NAME: wilddeepfake.videos,
    ffiw.NAME: ffiw.videos,
    deepfake_eval.NAME: deepfake_eval.videos,
    fakeavceleb.NAME: fakeavceleb.videos,
    deepspeak.V1.name: deepspeak.v1,
    deepspeak.V2.name: deepspeak.v2,
    av_deepfake1m.NAME: av_deepfake1m.videos,
    lav_df.NAME: lav_df.videos,
    kodf.NAME: kodf.videos,
    dfdm.NAME: dfdm.videos,
    idforge.NAME: idforge.videos,
    polyglotfake.NAME: polyglotfake.videos,
    talkingheadbench.NAME: talkingheadbench.videos,
    folder.NAME: folder.videos,
}

OPTIONS: dict[str, tuple[type, str]] = {
    "compression": (str, "raw, c23 or c40 (FaceForensics++, DFD, TalkingHeadBench); c0, c10 or c23 (DFDM)"),
    "methods": (
        tuple[str, ...],
        "manipulations to take, by commas (FaceForensics++, DF40), variants (DeeperForensics), or manipulations and "
        "scenarios (Celeb-DF++)",
    ),
    "protocol": (
        str,
        "official or identity_disjoint (Celeb-DF, IDForge); ff, cdf, unknown or one_vs_all (DF40); official or sbi "
        "(FFIW-10K); official or all (Deepfake-Eval-2024)",
    ),
    "label": (
        str,
        "visual: the picture is forged; any: picture or sound is (FakeAVCeleb, AV-Deepfake1M++, LAV-DF, IDForge)",
    ),
    "originals": (
        str,
        "root of FaceForensics++, which has the real videos (DeeperForensics, DF40, TalkingHeadBench)",
    ),
    "celebdf": (str, "root of Celeb-DF v2, which has the real videos (DF40, DFDM)"),
    "celebvhq": (str, "folder of CelebV-HQ, which has more of the real videos (TalkingHeadBench)"),
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
