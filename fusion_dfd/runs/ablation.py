"""Named configurations, trained one after another, in one table.

Rows are a mapping from a name to a configuration. They come from :func:`branches` (every subset of a fusion's
branches), :func:`grid` (every combination of options), :func:`fusion_dfd.runs.protocols.leave_one_out`, a configuration
file with several (``configs/baselines.py:all``), or anywhere else. :func:`seeded` gives each its seeds and a folder.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import itertools
import json
import operator
import os
import re
import traceback
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markdown import Markdown

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.evaluation import bootstrap, scores
from fusion_dfd.reports import comparison
from fusion_dfd.runs import experiment
from fusion_dfd.runs.run import CONFIG, Run
from fusion_dfd.runs.search_space import applied
from fusion_dfd.training import cost
from fusion_dfd.types import DataError

Rows = Mapping[str, c.Config]
WIDE, COLUMNS = 160, 4
"""Minimum terminal width for the whole table; in narrower terminals it shows its first COLUMNS columns."""


def branches(config: c.Config) -> dict[str, c.Config]:
    """One row per non-empty subset of ``config.model.branches``, single branches first.

    Raises ConfigError for a system that has no branches.
    """
    if config.model.system != "fusion":
        raise c.ConfigError(f"model.system={config.model.system} has no branches to ablate; give a fusion, or rows")
    names = config.model.branches
    rows = {}
    for subset in itertools.chain.from_iterable(itertools.combinations(names, k + 1) for k in range(len(names))):
        row = copy.deepcopy(config)
        row.model.branches = subset
        rows["+".join(subset)] = row
    return rows


def grid(config: c.Config, axes: Sequence[str]) -> dict[str, c.Config]:
    """One row per combination of values; an axis is written ``optim.lr=0.001,0.003`` or ``data.augment.jpeg=0,0.3``.

    Values are Python literals, else text; a tuple is written in brackets. Raises ConfigError for an option that does
    not exist, and for values it cannot have.
    """
    parsed = [_axis(config, axis) for axis in axes]
    rows = {}
    for values in itertools.product(*(values for _, values in parsed)):
        chosen = dict(zip((name for name, _ in parsed), values, strict=True))
        rows[", ".join(f"{name}={value}" for name, value in chosen.items())] = applied(config, chosen)
    return rows


def _axis(config: c.Config, text: str) -> tuple[str, list]:
    name, equals, values = text.partition("=")
    if not (equals and values):
        raise c.ConfigError(f"--grid={text}: want OPTION=VALUE,VALUE..., e.g. optim.lr=0.001,0.003")
    try:
        old = operator.attrgetter(name)(config)
    except AttributeError as error:
        raise c.ConfigError(f"--grid={text}: {name} is no option of the configuration") from error
    try:
        found = list(ast.literal_eval(f"[{values}]"))
    except (ValueError, SyntaxError):
        found = values.split(",")
    if isinstance(old, float):
        found = [float(value) if isinstance(value, int) else value for value in found]
    if odd := [value for value in found if type(value) is not type(old)]:
        raise c.ConfigError(f"--grid={text}: {odd} are not of the kind of {old!r}")
    return name, found


def seeded(rows: Rows, seeds: Sequence[int], root: str) -> dict[str, c.Config]:
    """Cells: every row once per seed, in a folder of its own below ``root``; of several seeds, it is in the name."""
    cells = {}
    for (name, row), seed in itertools.product(rows.items(), seeds):
        cell = copy.deepcopy(row)
        cell.seed = seed
        cell.name = f"{name} seed {seed}" if len(seeds) > 1 else name
        cell.workdir = os.path.join(root, f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)}-seed{seed}")
        cells[cell.name] = cell
    return cells


def run(cells: Rows, root: str) -> str:
    """Train and test every cell; write ``ablation.md``, ``.csv``, ``.html``, ``.json``; return the path of the first.

    Finished cells are read, not trained again, so the same command resumes an interrupted ablation. A cell that
    fails is reported in the table; the others continue.

    Raises:
      ConfigError: a cell's options are wrong; nothing was trained.
      DataError: every cell failed.
    """
    console = Console()
    for cell in cells.values():
        cell.validate()
    done, costs, failed = {}, {}, {}
    for number, (name, cell) in enumerate(cells.items(), 1):
        console.rule(f"{name} ({number} of {len(cells)})")
        try:
            summary = _finished(cell) or experiment.run(cell).summary
            if summary is None:  # stopped by a signal
                break
            costs[name] = _cost(cell)
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
        else:
            done[name] = summary
        if done:
            finished = {name: cells[name] for name in done}
            path = _write(root, done, costs, failed, _differences(finished), _reports(finished, root))
    if not done:
        raise DataError(f"no cell of the ablation in {root} was finished: {failed or 'stopped before the first'}")
    with open(path) as file:
        console.print(Markdown(_fitting(file.read(), console.width)))
    return path


def _fitting(markdown: str, width: int) -> str:
    """The table without its later columns if the terminal is too narrow; the files have all columns."""
    if width >= WIDE:
        return markdown
    return "\n".join(
        "|".join(line.split("|")[: COLUMNS + 1]) + "|" if line.startswith("|") else line
        for line in markdown.split("\n")
    )


def _finished(config: c.Config) -> dict | None:
    """The summary of a cell that was trained and tested before under the same configuration.

    A run writes its configuration at every start, and the summary last: an older one is not of this configuration.
    """
    run = Run(config.workdir)
    try:
        with open(run.path(CONFIG)) as file:
            same = dataclasses.replace(c.from_json(file.read()), name=config.name) == config
        newer = os.path.getmtime(run.metrics) >= os.path.getmtime(run.path(CONFIG))
    except (FileNotFoundError, c.ConfigError):
        return None
    return run.summary if same and newer else None


def _cost(config: c.Config) -> comparison.Cost:
    """The cost of a cell, measured once and stored beside its report."""
    path = os.path.join(config.workdir, "cost.json")
    if not os.path.exists(path):
        atomic.write_text(path, json.dumps(cost.measure(config)._asdict()))
    with open(path) as file:
        stored = json.load(file)
    if "clips_per_second" in stored:  # what it was called until 0.1
        stored["windows_per_second"] = stored.pop("clips_per_second")
    return comparison.Cost(**stored)


def _differences(cells: Rows) -> dict[str, bootstrap.Difference]:
    """AUC of each cell minus that of the first, over the videos that both scored; paired, with interval and p-value."""
    videos = {
        name: scores.videos(
            Run(cell.workdir).scores,
            Run(cell.workdir).evaluate.aggregate,
            cell.evaluate.tracks,
        )
        for name, cell in cells.items()
    }
    base, *others = videos
    found = {}
    for name in others:
        first, second = bootstrap.same_videos(videos[base], videos[name])
        labels, groups = [row.label for row in first], [row.group for row in first]
        p, q = ([row.probability for row in rows] for rows in (first, second))
        found[name] = bootstrap.differences(labels, p, q, groups, cells[name].evaluate.bootstrap)["auc"]
    return found


def _reports(cells: Rows, root: str) -> dict[str, str]:
    """Where the report of each cell lies, from the folder of the table."""
    return {name: os.path.relpath(Run(cell.workdir).page, root).replace(os.sep, "/") for name, cell in cells.items()}


def _write(
    root: str,
    done: dict,
    costs: dict,
    failed: dict[str, str],
    against: dict[str, bootstrap.Difference],
    reports: dict[str, str],
) -> str:
    found = comparison.comparison(done, also=("accuracy", "f1"), costs=costs, against=against)
    lines = [f"{name} failed: {reason}" for name, reason in failed.items()]
    table = json.dumps({"table": found.table, "failed": failed}, indent=2)
    markdown = "\n".join([found.markdown, "", *(f"- {line}" for line in lines)]).rstrip() + "\n"
    for ending, text in [("json", table), ("csv", found.csv), ("html", comparison.page(found, lines, reports=reports))]:
        atomic.write_text(os.path.join(root, f"ablation.{ending}"), text)
    return atomic.write_text(os.path.join(root, "ablation.md"), markdown)
