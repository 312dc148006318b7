"""Writing an exported folder: every artefact is read back and compared with the live model before it counts."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fusion_dfd import __version__, atomic
from fusion_dfd import config as c
from fusion_dfd.evaluation import anomaly, calibrate, domain, provenance
from fusion_dfd.export import compare, contract, engine, programs
from fusion_dfd.training import checkpoint, exported
from fusion_dfd.types import DataError
from fusion_dfd.weights import safetensors_file

CARD = "README.md"
PREPROCESSING = "preprocessing.json"
BESIDE = (calibrate.NAME, domain.NAME, anomaly.NAME, provenance.NAME)
"""Files that a run may have and that mean the same in an exported folder."""


def write(run: str, out: str, data: str | None = None, onnx: bool = True) -> dict[str, Any]:
    """Export the best weights of a run into ``out``; returns what ``VERIFIED.json`` says.

    Args:
      run: a run folder.
      out: a folder, made where it is missing; of an earlier export, what is written again is replaced.
      data: shards whose val clips are compared; None takes those that the run was trained on.
      onnx: also make ``model.onnx``, which wants onnxruntime to be compared.

    Raises DataError for a run that cannot be read, a model without an ONNX form, and where an artefact differs from
    the live model; the folder then is no exported folder.
    """
    trained = checkpoint.load_best(run)
    clips = compare.clips(trained.config, data)
    _prepare(out)
    _write_weights(trained, out)
    config = dataclasses.replace(trained.config, workdir=None, data=dataclasses.replace(trained.config.data, dir=None))
    _write_text(out, exported.CONFIG, c.to_json(config) + "\n")
    _write_text(out, PREPROCESSING, json.dumps(contract.contract(config), indent=1) + "\n")
    with atomic.binary(os.path.join(out, engine.STABLEHLO)) as file:
        file.write(programs.stablehlo(config, trained.weights))
    if onnx:
        with atomic.binary(os.path.join(out, engine.ONNX)) as file:
            file.write(programs.onnx(config, trained.weights, {"fusion_dfd": __version__, "step": str(trained.step)}))
    for name in BESIDE:
        if os.path.exists(os.path.join(run, name)):
            shutil.copyfile(os.path.join(run, name), os.path.join(out, name))
    _write_text(out, CARD, _card(run, config.name, onnx))
    facts = _facts(trained, out, compare.compare(trained, out, clips, onnx))
    _write_text(out, exported.VERIFIED, json.dumps(facts, indent=1) + "\n")
    return facts


def _prepare(out: str) -> None:
    """Take away what an earlier export left; what says that a folder is whole goes first."""
    if os.path.isdir(os.path.join(out, "checkpoints")):
        raise DataError(f"{out} is a run folder: give --out another one")
    for name in (exported.VERIFIED, engine.ONNX, *BESIDE):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(out, name))


def _write_text(out: str, name: str, text: str) -> None:
    atomic.write_text(os.path.join(out, name), text)


def _write_weights(trained: checkpoint.Trained, out: str) -> None:
    arrays = {name: np.asarray(leaf) for name, leaf in exported.flatten(jax.device_get(trained.weights)).items()}
    about = {"format": "fusion_dfd", "step": str(trained.step)}
    safetensors_file.write(os.path.join(out, exported.WEIGHTS), arrays, about)


def _facts(trained: checkpoint.Trained, out: str, compared: Mapping[str, Any]) -> dict[str, Any]:
    names = [exported.WEIGHTS, exported.CONFIG, PREPROCESSING, engine.STABLEHLO, engine.ONNX, *BESIDE]
    there = [name for name in names if os.path.exists(os.path.join(out, name))]
    packages = ("jax", "flax", "onnxruntime")
    return {
        "step": trained.step,
        "metrics": trained.metrics,
        "compared": compared,
        "written_by": {"fusion_dfd": __version__, **{name: _version(name) for name in packages}},
        "sha256": {name: exported.sha256(os.path.join(out, name)) for name in there},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _card(run: str, name: str, onnx: bool) -> str:
    """The card of the run's own report, or one that says that there is none; and what the folder holds."""
    path = os.path.join(run, "report", "model_card.md")
    text = f"# {name}\n\nA detector of deepfake videos (fusion_dfd). Its run has no report: nothing was measured.\n"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    programs_there = f"`{engine.STABLEHLO}`" + (f" and `{engine.ONNX}`" if onnx else "")
    return (
        f"{text}\n## Files\n\nWeights in `{exported.WEIGHTS}`, programs in {programs_there}, what they "
        f"must be given in `{PREPROCESSING}`; `{exported.VERIFIED}` says what was compared with the trained model. "
        'In Python: `fusion_dfd.load("THIS FOLDER").predict("clip.mp4")`.\n'
    )
