"""Writes an exported folder and uploads it to the Hugging Face hub.

Every artefact is read back and compared with the live model before ``VERIFIED.json``, which makes the folder valid, is
written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fusion_dfd import __version__, atomic
from fusion_dfd import config as c
from fusion_dfd.export import preprocessing, runtime, verify
from fusion_dfd.runs.run import CONFIG, KNOWLEDGE, STATEMENT, VERIFIED, WEIGHTS, Run, flatten, sha256
from fusion_dfd.training import checkpoint
from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files

CARD = "README.md"
PREPROCESSING = "preprocessing.json"


def write(
    run: str,
    out: str,
    data: str | None = None,
    onnx: bool = True,
    half: bool = False,
    statement: str | None = None,
) -> dict[str, Any]:
    """Export the best weights of a run into ``out``; returns what ``VERIFIED.json`` says.

    Args:
      run: a run folder.
      out: a folder, created if missing; the files of an earlier export in it are replaced.
      data: shards on whose val windows the programs are compared; None takes those that the run was trained on.
      onnx: also write ``model.onnx``, which needs onnx and onnxruntime.
      half: store the parameters as float16. Programs compute in float32 with the rounded values.
      statement: a sentence that stands beside every verdict; None keeps that of ``run``, if it is an exported folder.

    Raises DataError for a run that cannot be read, for a model without an ONNX form, and for an artefact that differs
    from the live model; the folder then is not a valid exported folder.
    """
    source = Run(run)
    trained = _rounded(source.best()) if half else source.best()
    windows = verify.val_windows(trained.config, data)
    _prepare(out)
    _write_weights(trained, out, half)
    config = dataclasses.replace(
        trained.config, workdir=None, evaluate=source.evaluate, data=dataclasses.replace(trained.config.data, dir=None)
    )
    _write_text(out, CONFIG, c.to_json(config) + "\n")
    _write_text(out, PREPROCESSING, json.dumps(preprocessing.contract(config), indent=1) + "\n")
    with atomic.binary(os.path.join(out, runtime.STABLEHLO)) as file:
        file.write(runtime.stablehlo(config, trained.weights))
    if onnx:
        with atomic.binary(os.path.join(out, runtime.ONNX)) as file:
            file.write(runtime.onnx(config, trained.weights, {"fusion_dfd": __version__, "step": str(trained.step)}))
    for name in source.files():
        with open(source.path(name), "rb") as known, atomic.binary(os.path.join(out, name)) as file:
            shutil.copyfileobj(known, file)
    _write_text(out, CARD, _card(source.model_card, config.name, onnx))
    facts = _facts(trained, out, verify.compare(trained, out, windows, onnx))
    if said := statement or (source.verified or {}).get(STATEMENT):
        facts[STATEMENT] = said
    _write_text(out, VERIFIED, json.dumps(facts, indent=1) + "\n")
    return facts


def _prepare(out: str) -> None:
    """Remove the files of an earlier export, ``VERIFIED.json`` first, so that a half-written folder is never valid."""
    if os.path.isdir(os.path.join(out, checkpoint.FOLDER)):
        raise DataError(f"{out} is a run folder: give --out another one")
    for name in (VERIFIED, runtime.ONNX, *KNOWLEDGE):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(out, name))


def _write_text(out: str, name: str, text: str) -> None:
    atomic.write_text(os.path.join(out, name), text)


def _rounded(trained: checkpoint.TrainedModel) -> checkpoint.TrainedModel:
    """With parameters that float16 can hold. BatchNorm's statistics are few, and may lie outside its range."""
    params = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(leaf.dtype), trained.weights["params"])
    return dataclasses.replace(trained, weights=trained.weights | {"params": params})


def _write_weights(trained: checkpoint.TrainedModel, out: str, half: bool) -> None:
    weights = jax.device_get(trained.weights)
    if half:
        weights["params"] = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), weights["params"])
    arrays = {name: np.asarray(leaf) for name, leaf in flatten(weights).items()}
    about = {"format": "fusion_dfd", "step": str(trained.step)}
    array_files.write_safetensors(os.path.join(out, WEIGHTS), arrays, about)


def _facts(trained: checkpoint.TrainedModel, out: str, compared: Mapping[str, Any]) -> dict[str, Any]:
    names = [WEIGHTS, CONFIG, PREPROCESSING, runtime.STABLEHLO, runtime.ONNX, *KNOWLEDGE]
    present = [name for name in names if os.path.exists(os.path.join(out, name))]
    packages = ("jax", "flax", "onnxruntime")
    return {
        "step": trained.step,
        "metrics": trained.metrics,
        "compared": compared,
        "written_by": {"fusion_dfd": __version__, **{name: _version(name) for name in packages}},
        "sha256": {name: sha256(os.path.join(out, name)) for name in present},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _card(card: str | None, name: str, onnx: bool) -> str:
    """The model card of the run's report, or one that says that there is none; and a list of the folder's files."""
    nothing = f"# {name}\n\nA detector of deepfake videos (fusion_dfd). Its run has no report: nothing was measured.\n"
    text = card or nothing
    programs = f"`{runtime.STABLEHLO}`" + (f" and `{runtime.ONNX}`" if onnx else "")
    return (
        f"{text}\n## Files\n\nWeights in `{WEIGHTS}`, programs in {programs}; "
        f"`{PREPROCESSING}` specifies their inputs, `{VERIFIED}` what was compared with the trained model. "
        'In Python: `fusion_dfd.load("THIS FOLDER").predict("clip.mp4")`.\n'
    )


def check_name(repository: str) -> None:
    """Raises DataError unless it is ``OWNER/NAME``."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise DataError(f"--push {repository}: want OWNER/NAME, a repository of yours on the Hugging Face hub")


def push(folder: str, repository: str) -> str:
    """Upload ``VERIFIED.json``, the files it names and the model card; returns the address of the commit.

    A repository that does not exist yet is created as a private one. Raises DataError for a folder that was changed,
    without huggingface_hub, and if the hub cannot be reached or refuses.
    """
    check_name(repository)
    facts = Run(folder).verified
    if facts is None:
        raise DataError(f"{folder} is no exported folder: make one with fusion-dfd export")
    names = [*facts["sha256"], VERIFIED, CARD]
    try:
        import huggingface_hub
    except ImportError as error:
        raise DataError("--push needs huggingface_hub: pip install 'fusion-dfd[hub]'") from error
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=os.path.abspath(folder),
            allow_patterns=names,
            commit_message="fusion_dfd export",
        )
    except Exception as error:  # the errors of its HTTP client share no base class with its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{repository}: not uploaded ({first}); check the network and the token (hf auth login, or HF_TOKEN), then "
            f"run the same command again: {folder} is complete"
        ) from error
    return str(commit)
