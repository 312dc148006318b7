"""The robustness of a detector: AUC over perturbed videos, by type and level of the perturbation.

Files::

    out/robustness.html     plot and table, self-contained; robustness.md and robustness.json beside it
    out/about.json          run, data and options of the suite; another suite refuses the folder
    out/scores/*.csv        one row per window, for each cell; an interrupted suite resumes from these
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from fusion_dfd import atomic, config
from fusion_dfd.evaluation import bootstrap, metrics, perturb, scores
from fusion_dfd.evaluation.summary import cell
from fusion_dfd.reports import pages, plots, tables
from fusion_dfd.reports.evaluation_page import RobustnessTable
from fusion_dfd.runs import perturbed_split
from fusion_dfd.runs.run import Run
from fusion_dfd.runs.score import load, score_split
from fusion_dfd.shards import clip_index
from fusion_dfd.types import DataError, Score

CLEAN = "clean"
PERTURBED = {"video": "whole frames, then cropped", "crops": "the stored crops, not whole frames"}
"""What a suite may perturb, and its name on the page."""
SEED = 0
"""Of the resamples. It is the same in every cell, so that averages over cells use the same resamples."""


def stress_run(
    run: Run,
    data: str,
    out: str | None = None,
    names: Sequence[str] = tuple(perturb.ALL),
    frames: str = "video",
    root: str | None = None,
    seed: int = 0,
) -> str:
    """Score test under every perturbation of ``names`` with a run's best weights; returns the path of the page.

    Args:
      run: a run folder or an exported folder.
      data: folder of shards.
      out: folder of the page; None takes ``robustness-<data>-<frames>`` in the run, where reports of the run find it.
        Continues what it finds there.
      names: of :data:`fusion_dfd.evaluation.perturb.ALL`.
      frames: ``video`` perturbs whole frames of the source videos, ``crops`` the stored crops.
      root: folder of the source videos; None: where they were when they were prepared.
      seed: of what is random in a perturbation.

    Raises DataError for a run, data or videos that cannot be used.
    """
    out = out or run.path(f"robustness-{os.path.basename(os.path.normpath(data))}-{frames}")
    trained = load(run)
    clean = clip_index.open_split(data, "test")
    place, aligned = perturbed_split.origin(data, clean, root) if frames == "video" else (None, False)
    about = {
        "run": os.path.abspath(run.folder),
        "step": trained.step,
        "data": os.path.abspath(data),
        "split": "test",
        "perturbed": PERTURBED[frames],
        "seed": seed,
    }

    def rows(name: str, level: int) -> list[Score]:
        split = clean if name == CLEAN else perturbed_split.perturbed(clean, name, level, place, aligned, seed)
        return score_split(trained, split)[0]

    cells = score_cells(out, about, names, rows, Console(stderr=True).print)
    found = table(cells, run.evaluate)
    page = write(out, found, about)
    Console().print(Markdown(as_markdown(found, about)))
    return page


def score_cells(
    out: str,
    about: Mapping[str, Any],
    names: Sequence[str],
    score: Callable[[str, int], Sequence[Score]],
    report: Callable[[str], None] = print,
) -> dict[str, list[Score]]:
    """Rows of every cell by its name, ``clean`` or ``<type>-<level>``; cells that ``out`` holds already are read.

    Args:
      out: folder, made if missing.
      about: what must be equal for rows to be kept: run, data, split, frames, seed ...
      names: of perturbations, of :data:`fusion_dfd.evaluation.perturb.ALL`.
      score: (name, level) -> rows; called with ("clean", 0) first.
      report: called with the name of each cell before it is scored.

    Raises DataError where ``out`` holds scores with another ``about``, or a name is unknown.
    """
    if odd := sorted(set(names) - set(perturb.ALL)):
        raise DataError(f"no perturbation is called {', '.join(odd)}; there are {', '.join(perturb.ALL)}")
    _claim(out, dict(about))
    found = {}
    for name, level in [(CLEAN, 0), *perturb.cells(names)]:
        cell = name if name == CLEAN else f"{name}-{level}"
        path = os.path.join(out, "scores", f"{cell}.csv")
        if not os.path.exists(path):
            report(cell)
            scores.write_csv(path, score(name, level))
        found[cell] = scores.read_csv(path)
    return found


def _claim(out: str, about: dict) -> None:
    path = os.path.join(out, "about.json")
    try:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    except FileNotFoundError:
        atomic.write_text(path, json.dumps(about, indent=1) + "\n")
        return
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); choose another --out") from error
    differing = [
        f"{name}={before.get(name)!r}, now {value!r}" for name, value in about.items() if before.get(name) != value
    ]
    if differing:
        raise DataError(f"{out} holds the scores of another suite ({'; '.join(differing)}): choose another --out")


Entry = dict[str, float | None]
"""``{value, low, high}`` of an AUC or a mean of AUCs, with its 95% interval over groups."""


def table(cells: Mapping[str, Sequence[Score]], options: config.Evaluate) -> dict[str, Any]:
    """``{clean: entry, types: {name: {levels: [entry], mean: entry}}, mean: entry}``, AUC over videos.

    ``mean`` is over the levels of a type, and over all cells of the seven published types that are there (None without
    any). Raises DataError where the cells hold different videos.
    """
    videos = {name: scores.videos(rows, options.aggregate, options.tracks) for name, rows in cells.items()}
    order = [row.video for row in videos[CLEAN]]
    for name, rows in videos.items():
        if [row.video for row in rows] != order:
            raise DataError(f"cell {name} holds other videos than the clean one; delete its file and run again")
    draws = {name: _auc(rows, options.bootstrap) for name, rows in videos.items()}
    names = list(dict.fromkeys(name for name, level in perturb.cells() if f"{name}-{level}" in cells))
    levels = {name: [draws[f"{name}-{level}"] for one, level in perturb.cells() if one == name] for name in names}
    published = [draw for name in names if name in perturb.PERTURBATIONS for draw in levels[name]]
    return {
        "clean": _entry([draws[CLEAN]]),
        "types": {
            name: {"levels": [_entry([draw]) for draw in of_type], "mean": _entry(of_type)}
            for name, of_type in levels.items()
        },
        "mean": _entry(published) if published else None,
    }


def _auc(rows: Sequence[scores.VideoScore], n: int) -> np.ndarray:
    """The AUC [1 + n]: of the rows, and of ``n`` resamples of their groups; NaN where undefined."""
    y, p = metrics.checked([row.label for row in rows], [row.probability for row in rows])
    value = metrics.compute(y, p)["auc"]
    if value is None:
        return np.full(1 + n, np.nan)
    _, member = np.unique([f"{row.dataset}/{row.group}" for row in rows], return_inverse=True)
    count = int(member.max()) + 1
    if n == 0 or count < 2:
        return np.array([value])
    copies = bootstrap.drawn(count, n, SEED)
    return np.append(value, bootstrap.resampled(y, p, member, copies, 0.5)["auc"])


def _entry(draws: Sequence[np.ndarray]) -> Entry:
    mean = np.mean(draws, axis=0)
    interval = bootstrap.percentiles(mean[1:]) if len(mean) > 1 and not np.isnan(mean[0]) else None
    low, high = interval or (None, None)
    return {"value": None if np.isnan(mean[0]) else float(mean[0]), "low": low, "high": high}


def write(out: str, results: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Write page, Markdown and JSON; returns the path of the page."""
    atomic.write_text(os.path.join(out, "robustness.json"), json.dumps({"about": about, **results}, indent=1) + "\n")
    atomic.write_text(os.path.join(out, "robustness.md"), as_markdown(results, about) + "\n")
    page = pages.render(
        "robustness", "Robustness", headline=_headline(results), note=_NOTE, suite=_suite(results, about)
    )
    return atomic.write_text(os.path.join(out, "robustness.html"), page)


def of_run(folder: str, step: int) -> list[RobustnessTable]:
    """What the suites in the folder of a run found of the weights of ``step``, for its report.

    Raises DataError for a file that cannot be read.
    """
    suites = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*", "robustness.json"))):
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            about = found.pop("about")
            if about["step"] == step:
                suites.append(_suite(found, about, len(suites)))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path} cannot be read ({error!r}): run fusion-dfd robustness again") from error
    return suites


def _suite(results: Mapping[str, Any], about: Mapping[str, Any], number: int = 0) -> RobustnessTable:
    """``number`` of the suite makes its figure's name unique on a page."""
    lines = {
        perturb.ALL[name].title: [results["clean"]["value"], *(entry["value"] for entry in one["levels"])]
        for name, one in results["types"].items()
        if name in perturb.PERTURBATIONS and one["mean"]["value"] is not None
    }
    none = "Not drawn: none of the published types was scored."
    plot = plots.robustness(lines, f"robustness{number}") if lines else none
    return RobustnessTable(_about(about), plot, _HEADER, _rows(results))


_HEADER = ("perturbation", "1", "2", "3", "4", "5", "mean [95% interval]")
_NOTE = (
    "Area under the ROC curve over videos; level 1 is the mildest. The seven types and their levels are those of "
    "DeeperForensics-1.0; the chains of shares are this project's own and are in no mean. Faces are cropped where they "
    "were found in the clean video. Video compression encodes the frames of a clip as one stream. Intervals are a "
    "bootstrap over groups, one draw for all cells."
)


def as_markdown(results: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The table, with what it is over."""
    table = tables.markdown(_HEADER, _rows(results))
    return "\n\n".join([f"**{_headline(results)}** {_about(about)}", table, _NOTE])


def _rows(results: Mapping[str, Any]) -> list[list[str]]:
    rows = [["Clean", *[""] * 5, cell(results["clean"])]]
    for name, one in results["types"].items():
        levels = [cell({**entry, "low": None}) for entry in one["levels"]]
        rows.append([perturb.ALL[name].title, *levels, *[""] * (5 - len(levels)), cell(one["mean"])])
    return rows


def _headline(results: Mapping[str, Any]) -> str:
    types = [name for name in results["types"] if name in perturb.PERTURBATIONS]
    over = f"over {len(types)} of {len(perturb.PERTURBATIONS)} types"
    mean = "" if results["mean"] is None else f", perturbed {cell(results['mean'])} on average {over}"
    return f"Video AUC clean {cell(results['clean'])}{mean}."


def _about(about: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in about.items())
