"""Every non-empty subset of the branches, trained under one budget on the same data, in one table."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import os
import traceback
from collections.abc import Iterator

from rich.console import Console
from rich.markdown import Markdown

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.evaluation import comparison
from fusion_dfd.training import experiment
from fusion_dfd.types import DataError


@dataclasses.dataclass(frozen=True)
class Cell:
    name: str
    config: c.Config


def cells(config: c.Config, seeds: tuple[int, ...]) -> Iterator[Cell]:
    """One cell per non-empty subset of ``config.model.branches`` and seed, single branches first."""
    root = config.workdir or os.path.join("runs", f"{config.name}-ablation")
    branches = config.model.branches
    for size in range(1, len(branches) + 1):
        for subset in itertools.combinations(branches, size):
            for seed in seeds:
                cell = copy.deepcopy(config)
                cell.model.branches = subset
                cell.seed = seed
                cell.name = "+".join(subset) + (f" seed {seed}" if len(seeds) > 1 else "")
                cell.workdir = os.path.join(root, f"{'-'.join(subset)}-seed{seed}")
                yield Cell(cell.name, cell)


def run(config: c.Config, seeds: tuple[int, ...] = (0,)) -> str:
    """Train and test every cell; write ``ablation.md`` and ``ablation.json``; return the path of the former.

    Finished cells are read, not trained again, so a stopped ablation continues with the same command. A cell that
    fails is reported in the table and does not lose the others.

    Raises:
      DataError: every cell failed.
    """
    console = Console()
    todo = list(cells(config.validate(), seeds))
    root = os.path.dirname(todo[0].config.workdir)
    done, failed = {}, {}
    for number, cell in enumerate(todo, 1):
        console.rule(f"{cell.name} ({number} of {len(todo)})")
        try:
            summary = _finished(cell.config) or experiment.run(cell.config).summary
        except Exception as error:
            traceback.print_exc()
            failed[cell.name] = f"{type(error).__name__}: {error}"
        else:
            if summary is None:  # stopped by a signal
                break
            done[cell.name] = summary
        if done:
            path = _write(root, done, failed)
    if not done:
        raise DataError(f"no cell of the ablation in {root} was finished: {failed or 'stopped before the first'}")
    with open(path) as file:
        console.print(Markdown(file.read()))
    return path


def _finished(config: c.Config) -> dict | None:
    """The summary of a cell that was trained and tested before under the same configuration."""
    try:
        with open(os.path.join(config.workdir, "config.json")) as file:
            same = dataclasses.replace(c.from_json(file.read()), name=config.name) == config
        with open(os.path.join(config.workdir, "report", "metrics.json")) as file:
            return json.load(file) if same else None
    except (FileNotFoundError, c.ConfigError):
        return None


def _write(root: str, done: dict, failed: dict[str, str]) -> str:
    text, table = comparison.comparison(done)
    lines = [f"- {name} failed: {reason}" for name, reason in failed.items()]
    path = os.path.join(root, "ablation.md")
    atomic.write_text(os.path.join(root, "ablation.json"), json.dumps({"table": table, "failed": failed}, indent=2))
    return atomic.write_text(path, "\n".join([text, "", *lines]).rstrip() + "\n")
