"""A split of a data set scored by the best weights of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from fusion_dfd import cache, terminal
from fusion_dfd.evaluation import evaluate
from fusion_dfd.evaluation.scores import FrameScore
from fusion_dfd.evaluation.summary import Unscored
from fusion_dfd.input import pipeline, selection
from fusion_dfd.runs.run import Run
from fusion_dfd.shards import clip_index
from fusion_dfd.training import distributed, loop, state, step
from fusion_dfd.training.checkpoint import TrainedModel
from fusion_dfd.types import Batch, Outputs, Score


@dataclasses.dataclass(frozen=True)
class ScoredSplit:
    """A split as a run scored it."""

    split: clip_index.Split
    scores: list[Score]
    """A row of each window."""
    frames: list[FrameScore] | None
    """A row of each frame; None where the model does not judge frames."""
    unscored: list[Unscored]
    """Videos without a face or that could not be read."""
    attributes: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    """What the data set says of its videos, by key."""


def load(run: Run) -> TrainedModel:
    """The best weights of a run, on every device. Raises DataError as :meth:`Run.best` does."""
    cache.keep_programs()
    replicated, _ = state.shardings(state.data_mesh())
    return run.best(replicated)


def predictor(trained: TrainedModel, replicated=None) -> Callable[[Batch], Outputs]:
    """The trained model as a function of a batch; its outputs lie on the sharding ``replicated``."""
    predict = step.make_predict(state.graphs(trained.config.model), replicated)
    return lambda batch: predict(trained.weights, batch)


def score_folder(trained: TrainedModel, data: str, split: str) -> ScoredSplit:
    """Rows of a split of the shards in ``data``, and its videos without a score.

    Of a run with ``data.forge``, a split of real clips only is scored beside its forgeries.
    """
    options = dataclasses.replace(trained.config.data, exclude_methods=())
    opened = selection.open_split(data, split, options, trained.config.seed)
    known = evaluate.unscored(data, split), evaluate.attributes(data)
    return ScoredSplit(opened, *score_split(trained, opened), *known)


def score_split(trained: TrainedModel, split: clip_index.Split) -> tuple[list[Score], list[FrameScore] | None]:
    """Rows of every window of an opened split, and of every frame where the model judges frames."""
    options = trained.config.evaluate
    replicated, split_batch = state.shardings(state.data_mesh())
    batches, windows = pipeline.eval_batches(
        split,
        trained.config.data,
        loop.divisible(options.batch_size),
        options.windows,
        split_batch,
        every_track=options.tracks == "max",
    )
    predict = predictor(trained, replicated)
    with terminal.progress(disable=not distributed.is_first()) as bar:
        return evaluate.score_windows(predict, batches, windows, split.table, bar)
