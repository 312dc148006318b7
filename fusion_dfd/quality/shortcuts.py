"""Properties of files that give the label away without a look at a face, so that a detector learns nothing but them.

If one class was re-encoded, scaled or trimmed by another tool, a single number (frame rate, bits per pixel) tells real
from fake. Each such number is evaluated as if it were a detector.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.types import Video

WARN = 0.8
"""A property is reported from this AUC on. By chance, :data:`LEAST` videos of each class reach it for about 1 property
in 40; 30 videos of each class practically never do (normal approximation of Mann-Whitney's U)."""
LEAST = 10
"""Minimum number of videos of each class; with fewer, nothing is reported."""

PROPERTIES: dict[str, Callable[[Probe], float | str]] = {
    "frame rate": lambda probe: probe.info.fps,
    "number of frames": lambda probe: probe.info.frames,
    "width": lambda probe: probe.info.width,
    "height": lambda probe: probe.info.height,
    "bits per pixel": lambda probe: 8 * probe.size / (probe.info.frames * probe.info.width * probe.info.height),
    "codec": lambda probe: probe.info.codec,
}


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A property of files that separates real videos from fakes."""

    name: str
    method: str
    """Manipulation that it separates from real videos; ``""`` for all fakes together."""
    auc: float
    """Of that property alone, 0.5 .. 1."""

    def __str__(self) -> str:
        of = self.method or "the fakes"
        return (
            f"{self.name.capitalize()} alone tells {of} from the real videos with an AUC of {self.auc:.2f}: a detector "
            "can learn that instead of forgery; encode both classes with one encoder, at one size and frame rate"
        )


def shortcuts(videos: Sequence[Video], probes: Sequence[Probe]) -> list[Shortcut]:
    """Properties whose AUC is at least :data:`WARN`, over all fakes or those of one manipulation; highest AUC first.

    If a property separates all fakes, its single manipulations are not listed as well.
    """
    rows = [(video, probe) for video, probe in zip(videos, probes, strict=True) if probe.info and not probe.error]
    methods = sorted({video.method for video, _ in rows if video.label == 1})
    found = []
    for name, value in PROPERTIES.items():
        whole = _auc([(video.label, value(probe)) for video, probe in rows])
        if whole >= WARN:
            found.append(Shortcut(name, "", whole))
            continue
        for method in methods if len(methods) > 1 else ():
            members = [
                (video.label, value(probe)) for video, probe in rows if not video.label or video.method == method
            ]
            if (auc := _auc(members)) >= WARN:
                found.append(Shortcut(name, method, auc))
    return sorted(found, key=lambda shortcut: -shortcut.auc)


def _auc(rows: Sequence[tuple[int, float | str]]) -> float:
    """AUC of a property as a score; 0 where there are too few videos of a class.

    A number is a score as it is, in the better of both directions. A word, or a number taken as a word, is scored by
    the share of fakes among the other videos with the same word. The higher AUC counts.
    """
    labels = np.array([label for label, _ in rows], dtype=int)
    if min((labels == 0).sum(), (labels == 1).sum()) < LEAST:
        return 0.0
    by_word = float(roc_auc_score(labels, _shares([(label, str(value)) for label, value in rows])))
    if isinstance(rows[0][1], str):
        return by_word
    auc = float(roc_auc_score(labels, [value for _, value in rows]))
    return max(auc, 1 - auc, by_word)


def _shares(rows: Sequence[tuple[int, str]]) -> list[float]:
    fakes = collections.Counter(word for label, word in rows if label == 1)
    of_all = collections.Counter(word for _, word in rows)
    overall = sum(fakes.values()) / len(rows)
    # The prior weighs as much as one video, so that a word that occurs once gives no information.
    return [(fakes[word] - label + overall) / of_all[word] for label, word in rows]
