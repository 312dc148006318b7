"""Figures and pictures of a video's page.

Figures are drawn in the look of :mod:`fusion_dfd.reports.plots`. Pictures are frames and maps side by side, as JPEG
inside the page.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from scipy import special

from fusion_dfd.explain.evidence import Effect, Pace
from fusion_dfd.explain.motionmaps import Motion
from fusion_dfd.predict.verdict import Face
from fusion_dfd.reports.pages import data_uri
from fusion_dfd.reports.plots import FAKE, GRID, INK, LINES, MUTED, REAL, STYLE, canvas, svg

_EDGE = 9.0
"""Logits are drawn up to here, a probability of 0.0001 or 0.9999."""
_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)

FRAMES = 5
"""Frames of a window that are shown."""
SIDE = 208
"""Of each on the page, pixels."""
GAP = 4
_HEAT, _SIGNED, _AMOUNT = colormaps["inferno"], colormaps["RdBu_r"], colormaps["viridis"]


@matplotlib.rc_context(STYLE)
def timeline(faces: Sequence[Face]) -> Markup:
    """Probability by second, one line per person, with gaps where no frame was scored; stretches that look forged are
    shaded."""
    figure, (axes,) = canvas(8.6, 2.9)
    axes.axhline(0.5, color=MUTED, linestyle=":", linewidth=1)
    dashes = ("-", "--", ":")
    looks = [(colour, dash) for dash in dashes for colour in LINES]
    for face, (colour, dash) in zip(faces, looks, strict=False):
        for number, part in enumerate(_unbroken(face.timeline)):
            x, y = zip(*part, strict=True)
            middle = [second + 0.5 for second in x]
            label = f"face {face.track}" if not number else None
            axes.plot(middle, y, color=colour, linestyle=dash, linewidth=2, marker="o", markersize=4, label=label)
        for begin, end, _ in face.stretches:
            axes.axvspan(begin, end, color=FAKE, alpha=0.12, linewidth=0)
    axes.set(ylim=(-0.03, 1.03), xlabel="second of the video", ylabel="looks forged")
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    _whole_seconds(axes, [second for face in faces for second, _ in face.timeline])
    if len(faces) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure, "timeline", "Probability of a forgery by second")


@matplotlib.rc_context(STYLE)
def attention(curves: dict[str, Sequence[tuple[np.ndarray, np.ndarray]]], unit: str) -> Markup:
    """Weight of each frame over time, by name: windows of ``(times [t], weights [t])``; a weight of 1 is usual."""
    figure, (axes,) = canvas(8.6, 2.7)
    axes.axhline(1, color=MUTED, linestyle=":", linewidth=1)
    for (name, parts), colour in zip(curves.items(), itertools.cycle(LINES)):
        for number, (x, y) in enumerate(parts):
            axes.plot(x, y, color=colour, linewidth=1.8, label=name if not number else None)
    axes.set(xlabel=f"{unit} of the video", ylabel="weight (1: usual)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))  # one below the other: translations are longer
    return svg(figure, "attention", "Weight of each frame over time")


@matplotlib.rc_context(STYLE)
def effects(baseline: float, found: Sequence[Effect], names: Sequence[str], name: str) -> Markup:
    """A bar from the probability as it is to what it would be without each of ``found``, called ``names``.

    On the logit scale, because a probability near 0 or 1 hardly moves even if the evidence changes much. ``name`` is
    unique among the figures of the page.
    """
    figure, (axes,) = canvas(8.6, 1.1 + 0.4 * len(found))
    start, *ends = np.clip(special.logit([baseline, *(effect.probability for effect in found)]), -_EDGE, _EDGE)
    places = range(len(found))[::-1]
    for place, effect, end in zip(places, found, ends, strict=True):
        axes.barh(place, end - start, left=start, height=0.55, color=REAL if end < start else FAKE)
        axes.plot([end], [place], marker="|", markersize=13, markeredgewidth=2, color=INK)
        text = f"{effect.probability:.3f}  ({effect.probability - baseline:+.3f})".replace("(-0.000)", "(+0.000)")
        axes.text(1.02, place, text, va="center", color=INK, transform=axes.get_yaxis_transform())
    axes.plot([start, start], [-0.6, len(found) - 0.5], color=MUTED, linestyle="--", linewidth=1)
    axes.text(start, len(found) - 0.42, f"as it is: {baseline:.3f}", ha="center", va="bottom", color=INK)
    axes.set_yticks(list(places), names)
    low, high = min(0.0, start, *ends) - 0.5, max(0.0, start, *ends) + 0.5
    axes.set(xlim=(low, high), ylim=(-0.6, len(found)), xlabel="probability of being fake, on the scale of odds")
    ticks = [tick for tick in _TICKS if low <= special.logit(tick) <= high]
    axes.set_xticks(special.logit(ticks), [f"{tick:g}" for tick in ticks])
    axes.grid(axis="y", visible=False)
    return svg(figure, name, "Probability of a forgery if something were missing")


@matplotlib.rc_context(STYLE)
def pace(found: Pace) -> Markup:
    """Distance of the motion by second, compared with the distances of real videos."""
    figure, (left, right) = canvas(8.6, 2.9, 2)
    usual = found.reference.usual
    seconds, distances = map(np.array, zip(*found.seconds, strict=True))
    limit = float(np.quantile(usual, 0.95))
    left.axhspan(0, limit, color=GRID, alpha=0.7, linewidth=0)
    left.text(0.99, limit, "95% of real windows lie below", transform=left.get_yaxis_transform(), ha="right",
              va="bottom", fontsize=9, color=INK)  # fmt: skip
    for part in _unbroken(found.seconds):
        x, y = zip(*part, strict=True)
        left.plot([second + 0.5 for second in x], y, color=FAKE, linewidth=2, marker="o", markersize=4)
    top = 1.15 * max(limit, float(distances.max()), float(usual.max()))
    left.set(ylim=(0, top), xlabel="second of the video", ylabel="distance from real motion")
    _whole_seconds(left, seconds)
    right.hist(usual, bins=min(20, max(5, len(usual) // 4)), color=REAL, alpha=0.85, label="real videos")
    whole = right.get_xaxis_transform()
    right.vlines(distances, 0, 1, color=FAKE, linewidth=1, alpha=0.8, label="this video, its seconds", transform=whole)
    right.set(xlabel="distance from real motion", ylabel="windows", xlim=(0, top))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=9)
    return svg(figure, "pace", "Motion of the face beside that of real videos")


def _unbroken(timeline: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """The runs of seconds without a gap."""
    runs: list[list[tuple[int, float]]] = []
    for second, value in timeline:
        if not runs or runs[-1][-1][0] != second - 1:
            runs.append([])
        runs[-1].append((second, value))
    return runs


def _whole_seconds(axes, seconds: Sequence[int] | np.ndarray) -> None:
    """From the first second to the end of the last, with marks at whole ones."""
    axes.set_xlim(min(seconds, default=0), max(seconds, default=0) + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)


# Pictures


def spread(count: int) -> np.ndarray:
    """Places of at most FRAMES of ``count`` frames, evenly spaced."""
    return np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int)


def strip(frames: np.ndarray, heat: np.ndarray | None = None) -> str:
    """Frames uint8 [n, s, s, 3] in a row, as a ``data:`` URI; with ``heat`` [n, h, w] >= 0 laid over them.

    The heat's largest value over all of these frames is fully bright, 0 leaves the frame dark: frames can be compared.
    """
    shown = [_scaled(frame) for frame in frames]
    if heat is not None:
        top = max(float(heat.max()), 1e-12)
        shown = [overlay(frame, one / top) for frame, one in zip(shown, heat, strict=True)]
    return data_uri(_row(shown))


def overlay(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame uint8 [h, w, 3] under a heat map [i, j] in 0..1: what is hot is coloured, what is not is grey."""
    heat = np.clip(_scaled(heat.astype(np.float32), frame.shape[0], cv2.INTER_CUBIC), 0, 1)
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    colour = 255 * _HEAT(heat)[..., :3].astype(np.float32)
    share = 0.65 * heat[..., None]
    return np.rint((1 - share) * 0.75 * grey + share * colour).astype(np.uint8)


def motion(found: Motion) -> str:
    """The moment's face, motion to the right, motion downwards, strain, and where the model looked, in a row."""
    panels = [
        _scaled(found.picture),
        _coloured(_SIGNED, 0.5 + 0.5 * found.u),
        _coloured(_SIGNED, 0.5 + 0.5 * found.v),
        _coloured(_AMOUNT, found.strain),
        overlay(_scaled(found.picture), found.attention / max(float(found.attention.max()), 1e-12)),
    ]
    return data_uri(_row(panels))


def _coloured(colours, values: np.ndarray) -> np.ndarray:
    return (255 * colours(np.clip(_scaled(values.astype(np.float32)), 0, 1))[..., :3]).astype(np.uint8)


def _scaled(image: np.ndarray, side: int = SIDE, method: int | None = None) -> np.ndarray:
    if method is None:
        method = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=method)


def _row(panels: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (gap, panel)][1:], axis=1)
