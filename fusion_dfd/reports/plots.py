"""Figures of a report as inline SVG that follows the colours of the page, light or dark.

Matplotlib draws with stand-in colours, which are then replaced by the page's CSS variables. Figures are made with the
object-oriented API, under a style that is set for the time of the call only.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from scipy import special
from sklearn.metrics import DetCurveDisplay

INK, MUTED, GRID, REAL, FAKE, THIRD, FOURTH, FIFTH = (f"#{n:02x}{n:02x}{n:02x}" for n in range(0x11, 0x19))
VARIABLES = dict(
    zip(
        (INK, MUTED, GRID, REAL, FAKE, THIRD, FOURTH, FIFTH),
        ("ink", "muted", "grid", "real", "fake", "third", "fourth", "fifth"),
        strict=True,
    )
)
"""Stand-in colour -> name of the page's CSS variable."""

LINES = (REAL, FAKE, THIRD, FOURTH, FIFTH)

STYLE = {
    "svg.fonttype": "none",  # text stays text: it takes the page's font and can be found
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # names of runs and methods may hold a $
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "svg.hashsalt": "fusion_dfd",  # equal figures give equal text
    "legend.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
Numbers = Sequence[float] | np.ndarray


def svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an ``<svg>`` element; ``name`` makes its ids unique on the page, ``label`` says what it shows."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    drawn = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", drawn)
    width = float(re.search(r'width="([\d.]+)pt"', drawn).group(1))
    box = re.search(r'viewBox="[^"]*"', drawn).group(0)
    opening = f'<svg {box} style="width:{width * 4 / 3:.0f}px" role="img"><title>{escape(label)}</title>'
    drawn = opening + drawn[drawn.index(">") + 1 :]
    for stand_in, variable in VARIABLES.items():
        drawn = drawn.replace(stand_in, f"var(--{variable})")
    return Markup(drawn.strip())


def canvas(width: float, height: float, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure of ``width`` x ``height`` inches and its axes [columns], side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


@matplotlib.rc_context(STYLE)
def roc(curves: Mapping[str, tuple[dict, float]]) -> Markup:
    """ROC curves; ``curves`` maps the name of a unit to ``({fpr, tpr}, AUC)``."""
    figure, (axes,) = canvas(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1)
    for (name, (curve, auc)), colour in zip(curves.items(), itertools.cycle(LINES)):
        axes.plot(curve["fpr"], curve["tpr"], color=colour, linewidth=2, label=f"{name}, AUC {auc:.3f}")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(loc="lower right")
    return svg(figure, "roc", "ROC curves")


@matplotlib.rc_context(STYLE)
def det(curves: Mapping[str, tuple[Numbers, Numbers]]) -> Markup:
    """Miss rate over false alarm rate, both on the scale of normal deviates (Martin et al., Eurospeech 1997).

    ``curves`` maps names to (false, true positive rates). Rates of 0 and 1 are infinitely far away on that scale: there
    the curve leaves the figure.
    """
    figure, (axes,) = canvas(4.6, 4.2)
    for (name, (fpr, tpr)), colour in zip(curves.items(), itertools.cycle(LINES)):
        curve = DetCurveDisplay(fpr=np.asarray(fpr, float), fnr=1 - np.asarray(tpr, float))
        curve.plot(axes, name=name, color=colour, linewidth=2)
    ends = special.ndtri([0.0005, 0.9])
    axes.set(xlim=ends, ylim=ends, xlabel="false positive rate", ylabel="miss rate", aspect="equal")
    axes.legend(loc="lower left")
    return svg(figure, "det", "DET curves")


@matplotlib.rc_context(STYLE)
def precision_recall(curves: Mapping[str, tuple[Numbers, Numbers, float]], fakes: float) -> Markup:
    """Precision over recall; ``curves`` maps names to (recall, precision, AP), ``fakes`` is chance's precision."""
    figure, (axes,) = canvas(4.6, 4.2)
    axes.axhline(fakes, color=MUTED, linestyle=":", linewidth=1)
    for (name, (recall, precision, ap)), colour in zip(curves.items(), itertools.cycle(LINES)):
        axes.plot(recall, precision, color=colour, linewidth=2, drawstyle="steps-post", label=f"{name}, AP {ap:.3f}")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(loc="lower left")
    return svg(figure, "precision-recall", "Precision over recall")


@matplotlib.rc_context(STYLE)
def reliability(bins: Sequence[dict], name: str = "reliability") -> Markup:
    """Share of fakes over mean probability per bin, and the number of rows in each bin below.

    ``name`` is the figure's own on the page.
    """
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    full = [entry for entry in bins if entry["count"]]
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="calibrated")
    upper.plot(
        [entry["probability"] for entry in full],
        [entry["fakes"] for entry in full],
        color=REAL,
        marker="o",
        markersize=5,
        linewidth=2,
        label="this model",
    )
    upper.set(xlim=(0, 1), ylim=(-0.03, 1.03), ylabel="share of fakes")
    upper.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    middle = [(entry["low"] + entry["high"]) / 2 for entry in bins]
    lower.bar(middle, [entry["count"] for entry in bins], width=0.9 / len(bins), color=REAL)
    lower.set(xlabel="probability of fake", ylabel="count")
    lower.yaxis.get_major_locator().set_params(nbins=3, integer=True)
    return svg(figure, name, "Reliability curve")


@matplotlib.rc_context(STYLE)
def histogram(counts: dict, threshold: float) -> Markup:
    """Probabilities of real and fake rows, side by side, with the threshold."""
    figure, (axes,) = canvas(4.6, 3.4)
    edges = counts["edges"]
    width = (edges[1] - edges[0]) * 0.43
    for name, colour, shift in (("real", REAL, 0.5), ("fake", FAKE, 1.5)):
        axes.bar([edge + shift * width for edge in edges[:-1]], counts[name], width=width, color=colour, label=name)
    axes.axvline(threshold, color=MUTED, linestyle="--", linewidth=1, label=f"threshold {threshold:.3g}")
    axes.set(xlim=(0, 1), xlabel="probability of fake", ylabel="count")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return svg(figure, "histogram", "Histogram of scores")


@matplotlib.rc_context(STYLE)
def methods(values: Mapping[str, dict], title: str) -> Markup:
    """A bar per method with its interval; ``values``: the entry {value, low, high} of each, of a metric in 0..1."""
    figure, (axes,) = canvas(7.2, 0.9 + 0.42 * len(values))
    names = list(values)[::-1]
    for place, name in enumerate(names):
        entry = values[name]
        if entry["value"] is None:
            axes.text(0.01, place, "undefined", va="center", color=MUTED)
            continue
        axes.barh(place, entry["value"], height=0.6, color=REAL)
        edge = entry["value"]
        if entry["low"] is not None:
            edge = max(edge, entry["high"])
            axes.plot([entry["low"], entry["high"]], [place, place], color=INK, linewidth=1.5, marker="|", markersize=8)
        axes.text(edge + 0.015, place, f"{entry['value']:.3f}", va="center")
    axes.axvline(0.5, color=MUTED, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set(
        xlim=(0, 1.1), ylim=(-0.6, len(names) - 0.4), xlabel=f"{title}, with its 95% interval (dotted line: chance)"
    )
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="y", visible=False)
    return svg(figure, "methods", f"{title} per method")


@matplotlib.rc_context(STYLE)
def robustness(lines: Mapping[str, Sequence[float | None]], name: str = "robustness") -> Markup:
    """A line per type of perturbation over its levels, from 0 (clean)."""
    figure, (axes,) = canvas(7.2, 4.2)
    looks = [(colour, dashes) for dashes in ("-", "--") for colour in LINES]
    for (title, values), (colour, dashes) in zip(lines.items(), itertools.cycle(looks)):
        known = [(level, value) for level, value in enumerate(values) if value is not None]
        axes.plot(*zip(*known, strict=True), color=colour, linestyle=dashes, marker="o", markersize=4, label=title)
    axes.axhline(0.5, color=MUTED, linestyle=":", linewidth=1)
    axes.set(xlabel="level (0: clean)", ylabel="video AUC")
    axes.set_xticks(range(6))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure, name, "AUC over levels of perturbation")


@matplotlib.rc_context(STYLE)
def learning(history: Sequence[Mapping]) -> Markup | None:
    """Losses, AUC and learning rate over steps, as far as the rows of a training log have them; None if they have none.

    A row is a mapping with ``step`` and any numbers, flat (``val/auc``) or nested (``{"val": {"auc": ...}}``).
    """
    panels = [
        (title, kept) for title, word in (("loss", "loss"), ("AUC", "auc"), ("learning rate", "lr"))
        if (kept := {name: line for name, line in _lines(history).items() if word in re.split(r"[/_ ]", name)})
    ]  # fmt: skip
    if not panels:
        return None
    figure, all_axes = canvas(3.4 * len(panels) + 0.4, 3.8, len(panels))
    for axes, (title, lines) in zip(all_axes, panels, strict=True):
        for (name, points), colour in zip(lines.items(), itertools.cycle(LINES)):
            few = {"marker": "o", "markersize": 3.5} if len(points) < 25 else {}
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6, label=name, **few)
        axes.set(xlabel="step", title=title)
        axes.xaxis.get_major_locator().set_params(nbins=4, integer=True)
        if title == "learning rate":
            axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        else:
            # Below, because noisy curves leave no room inside.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=9)
    return svg(figure, "learning", "Learning curves")


def _lines(history: Sequence[Mapping]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in history:
        flat = dict(_flat(row))
        step = flat.pop("step", None)
        if step is None:
            continue
        for name, value in flat.items():
            lines.setdefault(name, []).append((step, value))
    return lines


def _flat(row: Mapping, prefix: str = ""):
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{prefix}{name}", value


@matplotlib.rc_context(STYLE)
def trials(ended: Sequence[tuple[int, float, bool]]) -> Markup:
    """Value of every trial ``(number, value, pruned)`` of a search, and the best so far of those trained to the end."""
    figure, (axes,) = canvas(7.2, 3.6)
    for pruned, colour, label in [(False, REAL, "trained to the end"), (True, MUTED, "ended early")]:
        points = [(number, value) for number, value, early in ended if early == pruned]
        if points:
            axes.scatter(*zip(*points, strict=True), s=22, color=colour, label=label, zorder=3)
    whole = [(number, value) for number, value, early in ended if not early]
    if whole:
        best = np.maximum.accumulate([value for _, value in whole])
        numbers = [number for number, _ in whole] + [max(number for number, *_ in ended)]
        axes.step(numbers, [*best, best[-1]], where="post", color=FAKE, linewidth=1.6, label="best so far")
    axes.set(xlabel="trial", ylabel="best val AUC")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return svg(figure, "trials", "Value of every trial")


@matplotlib.rc_context(STYLE)
def importances(shares: Mapping[str, float]) -> Markup:
    """A bar per option: its share of the variance of the value."""
    figure, (axes,) = canvas(7.2, 0.9 + 0.34 * len(shares))
    names = sorted(shares, key=shares.get)
    axes.barh(range(len(names)), [shares[name] for name in names], height=0.6, color=REAL)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="share of the variance of the value", xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    return svg(figure, "importances", "Importance of the options")


@matplotlib.rc_context(STYLE)
def parallel(names: Sequence[str], lines: Sequence[tuple[Sequence[float], float]], ticks: Sequence[Mapping]) -> Markup:
    """A line per trial through the axes of its options.

    Args:
      names: of the axes.
      lines: of each trial its places 0..1 on the axes and its rank 0..1, of which the better are drawn above.
      ticks: of each axis, text by place 0..1.
    """
    figure, (axes,) = canvas(1.2 + 0.95 * len(names), 4.2)
    for places, rank in sorted(lines, key=lambda line: line[1]):
        axes.plot(places, color=FAKE if rank > 0.8 else REAL, alpha=0.25 + 0.6 * rank, linewidth=1 + rank)
    for place, marks in enumerate(ticks):
        axes.axvline(place, color=MUTED, linewidth=1)
        for height, text in marks.items():
            axes.annotate(text, (place, height), (3, 2), textcoords="offset points", fontsize=8, color=INK)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks([])
    axes.set(xlim=(-0.1, len(names) - 0.6), ylim=(-0.05, 1.08))
    axes.grid(visible=False)
    return svg(figure, "parallel", "Options of every trial")
