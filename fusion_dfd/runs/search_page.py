"""The results of a study: a sentence, a page, and a configuration for ``fusion-dfd train``."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from typing import Any

import numpy as np
from markupsafe import Markup

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.reports import pages, plots
from fusion_dfd.runs.search_space import Choice, Space, applied
from fusion_dfd.types import DataError

_CONFIG = '''"""The best of {count} trials of {name}: val AUC {value:.4f}, where the values it began with had {default}.

fusion-dfd train --config {path}
"""

from fusion_dfd import config as c

OPTIONS = r"""
{options}
"""


def get_config(variant: str = "") -> c.Config:
    return c.from_json(OPTIONS)
'''


def ended(study) -> list:
    """The trials that were trained to the end or ended early, in order. Their places are their numbers on pages: those
    of the study also count trials that were killed."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _complete(study) -> list:
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _default(study, first: dict[str, Any]) -> float | None:
    return next((trial.value for trial in _complete(study) if trial.params == first), None)


def sentence(study, first: dict[str, Any]) -> str:
    """The best trial beside the one with the values that the search began with."""
    whole = _complete(study)
    if not whole:
        return "no trial has been trained to its end yet"
    default = _default(study, first)
    began = "not trained yet" if default is None else f"{default:.4f}"
    tried = ended(study)
    best = next(number for number, trial in enumerate(tried) if trial.number == study.best_trial.number)
    return (
        f"best val AUC {study.best_value:.4f}, trial {best} of {len(tried)} ({len(tried) - len(whole)} ended early); "
        f"the values it began with: {began}"
    )


def write(study, config: c.Config, space: Space, first: dict[str, Any], root: str) -> str:
    """Write ``best.py``, ``trials.json`` and ``study.html`` into ``root``; returns the path of the page.

    Raises DataError where no trial has been trained to its end.
    """
    if not _complete(study):
        raise DataError(f"{root}: no trial has been trained to its end, the same command continues the study")
    path = os.path.join(root, "best.py")
    # A run of its own, not one in the folder of the study.
    fresh = dataclasses.replace(config, workdir=None, name=f"{config.name}-tuned")
    best = c.to_json(applied(fresh, study.best_params))
    default = _default(study, first)
    text = _CONFIG.format(
        count=len(ended(study)),
        name=study.study_name,
        value=study.best_value,
        default="not been trained" if default is None else f"{default:.4f}",
        path=path,
        options=best,
    )
    atomic.write_text(path, text)
    rows = [
        {"number": number, "state": trial.state.name, "value": _value(trial), **trial.params}
        for number, trial in enumerate(ended(study))
    ]
    atomic.write_text(os.path.join(root, "trials.json"), json.dumps(rows, indent=2) + "\n")
    return atomic.write_text(os.path.join(root, "study.html"), _page(study, space, first))


def _value(trial) -> float:
    """The value of a trial; of one that was pruned, that of its last evaluation."""
    return trial.value if trial.value is not None else trial.intermediate_values[max(trial.intermediate_values)]


def _page(study, space: Space, first: dict[str, Any]) -> str:
    best = [(name, first[name], _short(value)) for name, value in study.best_params.items()]
    return pages.render(
        "search",
        study.study_name,
        best=best,
        complete=len(_complete(study)),
        importances=_importances(study),
        parallel=_parallel(study, space),
        sentence=sentence(study, first),
        trials=plots.trials(
            [(number, _value(trial), trial.state.name == "PRUNED") for number, trial in enumerate(ended(study))]
        ),
    )


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _importances(study) -> Markup | None:
    """None where too few trials were trained to their end."""
    import optuna

    whole = _complete(study)
    if len(whole) < 4 or len({trial.value for trial in whole}) < 2:
        return None
    shares = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return plots.importances(shares)


def _parallel(study, space: Space) -> Markup:
    tried = sorted(ended(study), key=_value)
    lines = [
        ([_position(space[name], trial.params[name]) for name in space], rank / max(len(tried) - 1, 1))
        for rank, trial in enumerate(tried)
    ]
    return plots.parallel(list(space), lines, [_ticks(options) for options in space.values()])


def _position(options, value) -> float:
    """Where a value lies between the ends of its options, 0..1."""
    if isinstance(options, Choice):
        return options.values.index(value) / max(len(options.values) - 1, 1)
    scale = math.log if options.log else float
    low, high = scale(options.low), scale(options.high)
    return (scale(value) - low) / (high - low)


def _ticks(options) -> dict[float, str]:
    if isinstance(options, Choice):
        return {_position(options, value): str(value) for value in options.values}
    middle = np.sqrt(options.low * options.high) if options.log else (options.low + options.high) / 2
    return {_position(options, value): f"{value:.3g}" for value in (options.low, middle, options.high)}
