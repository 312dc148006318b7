"""Figures of a video's page, in the look of :mod:`fusion_dfd.evaluation.plots`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib
import numpy as np

from fusion_dfd.evaluation.plots import FAKE, GRID, INK, LINES, MUTED, REAL, STYLE, canvas, svg
from fusion_dfd.explain.evidence import Effect, Pace
from fusion_dfd.predict.verdict import Face


@matplotlib.rc_context(STYLE)
def timeline(faces: Sequence[Face]) -> str:
    """Probability by second, a line a person; where nobody looked it is broken."""
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
    axes.set(ylim=(-0.03, 1.03), xlabel="second of the video", ylabel="looks forged")
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    _whole_seconds(axes, [second for face in faces for second, _ in face.timeline])
    if len(faces) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure, "timeline", "Probability of a forgery by second")


@matplotlib.rc_context(STYLE)
def attention(curves: dict[str, Sequence[tuple[np.ndarray, np.ndarray]]], unit: str) -> str:
    """Weight of each frame over time, by name: pieces of ``(times [t], weights [t])``; a weight of 1 is usual."""
    figure, (axes,) = canvas(8.6, 2.7)
    axes.axhline(1, color=MUTED, linestyle=":", linewidth=1)
    for (name, parts), colour in zip(curves.items(), itertools.cycle(LINES)):
        for number, (x, y) in enumerate(parts):
            axes.plot(x, y, color=colour, linewidth=1.8, label=name if not number else None)
    axes.set(xlabel=f"{unit} of the video", ylabel="weight (1: usual)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return svg(figure, "attention", "Weight of each frame over time")


@matplotlib.rc_context(STYLE)
def effects(baseline: float, found: Sequence[Effect], names: Sequence[str], label: str, name: str) -> str:
    """A bar from the probability as it is to what it would be without each of ``found``, called ``names``."""
    figure, (axes,) = canvas(8.6, 1.0 + 0.4 * len(found))
    places = range(len(found))[::-1]
    for place, effect in zip(places, found, strict=True):
        change = effect.probability - baseline
        axes.barh(place, change, left=baseline, height=0.55, color=REAL if change < 0 else FAKE)
        axes.plot([effect.probability], [place], marker="|", markersize=13, markeredgewidth=2, color=INK)
        axes.text(1.03, place, f"{effect.probability:.2f}  ({change:+.2f})", va="center", color=INK)
    axes.axvline(baseline, color=MUTED, linestyle="--", linewidth=1)
    axes.text(baseline, len(found) - 0.45, f"as it is: {baseline:.2f}", ha="center", va="bottom", color=INK)
    axes.set_yticks(list(places), names)
    axes.set(xlim=(-0.02, 1.22), ylim=(-0.6, len(found) - 0.1), xlabel=label)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="y", visible=False)
    return svg(figure, name, label)


@matplotlib.rc_context(STYLE)
def pace(found: Pace) -> str:
    """Distance of the motion by second beside the distances of real videos."""
    figure, (left, right) = canvas(8.6, 2.9, 2)
    usual = found.reference.usual
    seconds, distances = map(np.array, zip(*found.seconds, strict=True))
    limit = float(np.quantile(usual, 0.95))
    left.axhspan(0, limit, color=GRID, alpha=0.7, linewidth=0)
    left.text(0.99, limit, "95 % of real stretches lie below", transform=left.get_yaxis_transform(), ha="right",
              va="bottom", fontsize=9, color=INK)  # fmt: skip
    for part in _unbroken(found.seconds):
        x, y = zip(*part, strict=True)
        left.plot([second + 0.5 for second in x], y, color=FAKE, linewidth=2, marker="o", markersize=4)
    top = 1.15 * max(limit, float(distances.max()), float(usual.max()))
    left.set(ylim=(0, top), xlabel="second of the video", ylabel="distance from real motion")
    _whole_seconds(left, seconds)
    right.hist(usual, bins=min(20, max(5, len(usual) // 4)), color=REAL, alpha=0.85, label="real videos")
    for number, distance in enumerate(distances):
        right.axvline(distance, color=FAKE, linewidth=1, alpha=0.8, label=None if number else "this video, its seconds")
    right.set(xlabel="distance from real motion", ylabel="stretches", xlim=(0, top))
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


def _whole_seconds(axes, seconds: Sequence[int]) -> None:
    """From the first second to the end of the last, with marks at whole ones."""
    axes.set_xlim(min(seconds, default=0), max(seconds, default=0) + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
