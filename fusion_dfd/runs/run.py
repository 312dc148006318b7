"""A run: the folder that a training leaves, or a folder exported from one, and everything that is known in it.

This is the only module that knows the names of the files. A run folder holds::

    config.json          the configuration, written by the training loop
    checkpoints/         the best weights and the newest state (:mod:`fusion_dfd.training.checkpoint`)
    log.jsonl            losses and val metrics by step (:mod:`fusion_dfd.training.logger`)
    calibration.json     calibration and threshold of the best weights, fitted on val
    domain.npz           appearance of the windows that the model knows, fitted on train and val
    motion.npz           how real faces move, fitted on real videos of train and val
    data.json            what the model was trained and selected on
    report/              scores, metrics, page and model card of the test split

An exported folder, which ``fusion-dfd export`` writes, holds no checkpoints and no report, but::

    model.safetensors    weights and BatchNorm statistics, averaged; names are the paths of the model's tree
    config.json          the configuration
    VERIFIED.json        SHA-256 of every file that counts, and what was compared when they were written
    ...                  programs and preprocessing.json (docs/EXPORT.md), and the run's :data:`KNOWLEDGE`

An exported file whose SHA-256 differs from the stated one is refused: scores are always those of what was exported.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate, familiarity, real_motion, scores, training_data, whitening
from fusion_dfd.models import old_paths
from fusion_dfd.training import checkpoint, logger, state
from fusion_dfd.training.checkpoint import TrainedModel
from fusion_dfd.types import DataError, Score
from fusion_dfd.weights import array_files

CONFIG = "config.json"
CALIBRATION = "calibration.json"
FAMILIARITY = "domain.npz"
MOTION = "motion.npz"
TRAINING_DATA = "data.json"
METRICS = "metrics.json"
"""In the report."""
REPORT = "report"
WEIGHTS = "model.safetensors"
VERIFIED = "VERIFIED.json"
STATEMENT = "statement"
"""Entry of ``VERIFIED.json``: a sentence that stands beside every verdict."""
KNOWLEDGE = (CALIBRATION, FAMILIARITY, MOTION, TRAINING_DATA)
"""Files of what a run may know besides its weights. Export copies them; they mean the same in an exported folder."""


class Run:
    """A run folder, or an exported folder.

    Making one reads nothing. Each property reads its file at the first access and keeps what it read; it is None where
    the file is absent, and raises DataError where the file is damaged or was written by another version.

    If there are several processes, all must take part in the first access to :attr:`config`, :attr:`step` or
    :meth:`best`, because Orbax restores together. What depends on them may then be read by one.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = os.fspath(folder)

    def __repr__(self) -> str:
        return f"Run({self.folder!r})"

    @property
    def name(self) -> str:
        """Last part of the folder's path."""
        return os.path.basename(os.path.abspath(self.folder))

    def path(self, *names: str) -> str:
        """Of a file in the folder."""
        return os.path.join(self.folder, *names)

    @property
    def is_exported(self) -> bool:
        return os.path.isfile(self.path(VERIFIED))

    @functools.cached_property
    def verified(self) -> dict[str, Any] | None:
        """What ``VERIFIED.json`` says, once every file it names proved to be the exported one; None for a run folder.

        Raises DataError for a missing, damaged or changed file.
        """
        if not self.is_exported:
            return None
        path = self.path(VERIFIED)
        try:
            facts = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            stated = dict(facts["sha256"])
            if not isinstance(facts["step"], int) or not isinstance(facts["metrics"], dict):
                raise TypeError("step or metrics are missing")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error!r}); export again") from error
        programs = [name for name in os.listdir(self.folder) if name.endswith((".onnx", ".stablehlo"))]
        if unstated := sorted({WEIGHTS, CONFIG, *self.files(), *programs} - set(stated)):
            raise DataError(f"{path} states no SHA-256 of {unstated[0]}; export again, or fetch the folder again")
        for name, digest in stated.items():
            if sha256(self.path(name)) != digest:
                raise DataError(
                    f"{self.path(name)} is not what was exported: its SHA-256 is not the one in {VERIFIED}; "
                    "export again, or fetch the folder again"
                )
        return facts

    @functools.cached_property
    def _best(self) -> tuple[c.Config, int, dict[str, Any]]:
        """Configuration, step and val metrics of the best weights."""
        if not self.verified:
            return checkpoint.describe_best(self.folder)
        try:
            config = c.from_json(pathlib.Path(self.path(CONFIG)).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder} was written by another version of fusion_dfd: {error}") from error
        return config, self.verified["step"], self.verified["metrics"]

    @property
    def config(self) -> c.Config:
        """The configuration that the best weights were trained by. Raises DataError as :meth:`best` does."""
        return self._best[0]

    @property
    def step(self) -> int:
        """The step of the best weights. Raises DataError as :meth:`best` does."""
        return self._best[1]

    def best(self, sharding: Sharding | None = None) -> TrainedModel:
        """The best weights by val, on ``sharding`` or on this process's first device. Read anew at each call.

        Raises DataError where there are none yet, and where a file was changed or was written by another version.
        """
        sharding = sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        if not self.verified:
            trained = checkpoint.load_best(self.folder, sharding)
            self.__dict__["_best"] = trained.config, trained.step, trained.metrics
            return trained
        config, step, metrics = self._best
        try:
            wanted = state.abstract_variables(config.model)
        except ValueError as error:
            raise DataError(f"{self.folder} was written by another version of fusion_dfd: {error}") from error
        return TrainedModel(config, read_weights(self.folder, wanted, config.model.system, sharding), step, metrics)

    @functools.cached_property
    def calibration(self) -> calibrate.Calibration | None:
        """Raises DataError also where it was fitted to other weights than the best."""
        return calibrate.load(self.path(CALIBRATION), self.step)

    @property
    def evaluate(self) -> c.Evaluate:
        """Its options of evaluation, with the rule that was chosen on val where it is to be chosen there.

        A run without calibration has chosen none; it takes the first.
        """
        options = self.config.evaluate
        if options.aggregate != c.CHOSEN:
            return options
        chosen = self.calibration.aggregate if self.calibration else next(iter(c.RULES))
        return dataclasses.replace(options, aggregate=chosen)

    @functools.cached_property
    def familiarity(self) -> familiarity.Familiarity | None:
        """Appearance of the windows that the model knows."""
        return familiarity.load(self.path(FAMILIARITY))

    @functools.cached_property
    def motion(self) -> real_motion.Reference | None:
        """How real faces move."""
        return real_motion.load(self.path(MOTION))

    @functools.cached_property
    def training_data(self) -> training_data.TrainingData | None:
        """What the model was trained and selected on."""
        return training_data.load(self.path(TRAINING_DATA))

    @property
    def log(self) -> list[dict[str, Any]]:
        """Rows of the training's log; none in an exported folder. Read anew at each access."""
        return logger.read_log(self.folder)

    @property
    def report(self) -> str:
        """Folder of the report on the test split, which the experiment writes last."""
        return self.path(REPORT)

    @property
    def page(self) -> str:
        """Path of the report's HTML page."""
        return os.path.join(self.report, "report.html")

    @property
    def metrics(self) -> str:
        """Path of the report's statistics, its last file."""
        return os.path.join(self.report, METRICS)

    @property
    def summary(self) -> dict[str, Any] | None:
        """The report's statistics, see :func:`fusion_dfd.evaluation.summary.summarise`."""
        text = self._report_text(METRICS)
        if text is None:
            return None
        summary = json.loads(text)
        if "clip" in summary.get("units", ()):  # what it was called until 0.1
            summary["units"]["window"] = summary["units"].pop("clip")
        return summary

    @property
    def scores(self) -> list[Score] | None:
        """The report's rows, one per window."""
        path = os.path.join(self.report, "scores.csv")
        return scores.read_csv(path) if os.path.exists(path) else None

    @property
    def model_card(self) -> str | None:
        """The report's model card, as Markdown."""
        return self._report_text("model_card.md")

    def _report_text(self, name: str) -> str | None:
        try:
            return pathlib.Path(self.report, name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _changeable(self) -> None:
        """Raises DataError for an exported folder: what it knows is part of what was verified."""
        if self.is_exported:
            raise DataError(f"{self.folder} is an exported folder, which is never changed; change the run, and export")

    def save_calibration(self, fitted: calibrate.Calibration) -> None:
        self._changeable()
        calibrate.save(fitted, self.path(CALIBRATION))
        self.calibration = fitted

    def save_familiarity(self, fitted: familiarity.Familiarity) -> None:
        self._changeable()
        whitening.save(fitted, self.path(FAMILIARITY))
        self.familiarity = fitted

    def save_motion(self, fitted: real_motion.Reference) -> None:
        self._changeable()
        whitening.save(fitted, self.path(MOTION))
        self.motion = fitted

    def save_training_data(self, described: training_data.TrainingData) -> None:
        self._changeable()
        training_data.save(described, self.path(TRAINING_DATA))
        self.training_data = described

    def files(self) -> list[str]:
        """Names of the files of :data:`KNOWLEDGE` that are there: what export copies."""
        return [name for name in KNOWLEDGE if os.path.exists(self.path(name))]


def sha256(path: str) -> str:
    """In hexadecimal. Raises DataError for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); export again") from error


def read_weights(folder: str, wanted: dict, system: str, sharding: Sharding) -> dict:
    """Exported weights of a ``system`` in the form of ``wanted``, also where an earlier version wrote them.

    Raises DataError where they are another model's.
    """
    path = os.path.join(folder, WEIGHTS)
    arrays = {old_paths.current_name(name, system): array for name, array in stored_weights(folder).items()}
    shapes = {name: leaf.shape for name, leaf in flatten(wanted).items()}
    found = {name: array.shape for name, array in arrays.items()}
    if shapes != found:
        odd = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
        raise DataError(f"{path}: not the weights of {CONFIG}'s model, {len(odd)} arrays differ, e.g. {odd[0]}")
    if wrong := next((name for name, array in arrays.items() if not np.isfinite(array).all()), None):
        raise DataError(f"{path}: {wrong} holds numbers that are not finite; export again")
    tree = jax.tree.unflatten(jax.tree.structure(wanted), [arrays[name] for name in flatten(wanted)])
    return jax.device_put(tree, sharding)


def stored_weights(folder: str) -> dict[str, np.ndarray]:
    """Weights of an exported folder by name; what is stored as float16 is computed with in float32.

    Raises DataError for a damaged file.
    """
    saved, _ = array_files.read_safetensors(os.path.join(folder, WEIGHTS))
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in saved.items()}


def flatten(tree: dict) -> dict[str, Any]:
    """Leaves by name, the keys of the path joined by slashes: ``params/backbone/stages/0/1/conv1/kernel``."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(step.key) for step in path): leaf for path, leaf in leaves}
