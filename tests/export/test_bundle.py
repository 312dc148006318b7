"""An exported folder gives what its run gives, everywhere a run is taken; a changed one is refused."""

import importlib.util
import json
import os
import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.evaluation import scores
from fusion_dfd.export import bundle, preprocessing, runtime, verify
from fusion_dfd.predict.verdict import VerdictRules
from fusion_dfd.runs import evaluation
from fusion_dfd.runs.run import Run
from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files


def test_the_weights_come_back_bit_for_bit_without_a_checkpoint(run, written):
    live, again = Run(run).best(), Run(written).best()
    jax.tree.map(np.testing.assert_array_equal, live.weights, again.weights)
    assert jax.tree.structure(live.weights) == jax.tree.structure(again.weights)
    assert (again.step, again.metrics) == (live.step, live.metrics)
    assert again.config.model == live.config.model
    assert not os.path.exists(os.path.join(written, "checkpoints"))


def test_the_weights_are_named_by_their_paths_in_the_model(written):
    arrays, metadata = array_files.read_safetensors(os.path.join(written, "model.safetensors"))
    assert "params/backbone/stages/0/0/conv1/kernel" in arrays
    assert metadata["format"] == "fusion_dfd"


def test_what_was_compared_is_written_down(written):
    facts = json.loads(pathlib.Path(written, "VERIFIED.json").read_text())
    compared = facts["compared"]
    assert compared["batch_sizes"] == [8, 1, 7]
    assert compared["lengths"] == [2, 4]
    differences = compared["largest_difference_of_a_logit"]
    assert differences.keys() == {"model.stablehlo", "model.onnx"}
    assert max(differences.values()) <= verify.TOLERANCE
    assert {"calibration.json", "domain.npz", "config.json", "preprocessing.json"} < facts["sha256"].keys()


def test_an_evaluation_gives_the_same_scores(run, written, shards, tmp_path):
    for name, model in (("run", run), ("exported", written)):
        evaluation.evaluate_run(Run(model), shards, "test", str(tmp_path / name), bootstrap=5)
    assert scores.read_csv(str(tmp_path / "run" / "scores.csv")) == scores.read_csv(
        str(tmp_path / "exported" / "scores.csv")
    )


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.onnx", "model.stablehlo", "config.json", "calibration.json"]
)
def test_a_changed_file_is_refused_by_name(exported, name):
    path = pathlib.Path(exported, name)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    for load in (Run.best, runtime.predictor):
        with pytest.raises(DataError, match=rf"{name} is not what was exported[^\n]+again$"):
            load(Run(exported))


def test_a_missing_file_is_refused_by_name(exported):
    os.remove(os.path.join(exported, "domain.npz"))
    with pytest.raises(DataError, match=r"domain\.npz cannot be read .* export again"):
        Run(exported).best()


def test_a_damaged_statement_is_refused(exported):
    pathlib.Path(exported, "VERIFIED.json").write_text("{")
    with pytest.raises(DataError, match=r"VERIFIED\.json cannot be read"):
        Run(exported).best()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "calibration.json", "model.onnx"])
def test_a_statement_that_leaves_a_file_out_is_refused(exported, name):
    path = pathlib.Path(exported, "VERIFIED.json")
    facts = json.loads(path.read_text())
    del facts["sha256"][name]
    path.write_text(json.dumps(facts))
    with pytest.raises(DataError, match=rf"states no SHA-256 of {name}; export again"):
        Run(exported).best()


def test_a_program_that_differs_is_refused(run, tmp_path, monkeypatch):
    def other(folder, threads=0):
        right = runtime.stablehlo_program(folder)
        return lambda given: {name: array + 0.01 for name, array in right(given).items()}

    monkeypatch.setattr(runtime, "onnx_program", other)
    with pytest.raises(DataError, match=r"model\.onnx: a logit is 0\.01 away from the live model's"):
        bundle.write(run, str(tmp_path / "out"))
    with pytest.raises(DataError, match="holds no checkpoints/best"):
        Run(tmp_path / "out").best()


def test_without_onnx_nothing_wants_onnxruntime(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    out = str(tmp_path / "out")
    facts = bundle.write(run, out, onnx=False)
    assert not os.path.exists(os.path.join(out, "model.onnx"))
    assert facts["compared"]["largest_difference_of_a_logit"].keys() == {"model.stablehlo"}
    with pytest.raises(DataError, match=r"holds no model\.onnx"):
        runtime.predictor(Run(out))


def test_onnx_without_onnxruntime_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DataError, match=r"pip install 'fusion-dfd\[onnx\]'"):
        runtime.predictor(Run(exported))


def test_a_run_folder_is_not_written_over(run):
    with pytest.raises(DataError, match="is a run folder"):
        bundle.write(run, run)


def test_the_card_is_the_report_s(run, tmp_path):
    copy = shutil.copytree(run, str(tmp_path / "run"))
    os.makedirs(os.path.join(copy, "report"))
    pathlib.Path(copy, "report", "model_card.md").write_text("---\nlicense: other\n---\n\n# measured\n")
    bundle.write(copy, str(tmp_path / "out"), onnx=False)
    text = pathlib.Path(tmp_path, "out", "README.md").read_text()
    assert text.startswith("---\nlicense: other\n---\n\n# measured\n")
    assert "`preprocessing.json`" in text


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("sampling", ["dense", "uniform"])
def test_the_contract_says_what_the_options_are(align, sampling):
    config = c.Config(faces=c.Faces(align=align, sampling=sampling, scale=1.7, size=200))
    said = preprocessing.contract(config)
    assert said["faces"]["crop"]["scale"] == 1.7
    assert ("template" in said["faces"]["crop"]) == align
    assert said["inputs"]["frames"]["shape"] == ["batch", 16, 224, 224, 3]
    assert json.loads(json.dumps(said)) == said


def test_the_engine_is_chosen_by_what_is_there(run, written):
    assert runtime.choose("auto", Run(run)) == "jax"
    assert runtime.choose("auto", Run(written)) == "onnx"
    assert runtime.choose("jax", Run(written)) == "jax"
    assert importlib.util.find_spec("onnxruntime")
    with pytest.raises(DataError, match="is no exported folder"):
        runtime.predictor(Run(run))


def test_half_the_size_and_nearly_the_same_logits(run, written, shards, tmp_path):
    out = tmp_path / "half"
    bundle.write(run, str(out), onnx=False, half=True)
    stored, _ = array_files.read_safetensors(str(out / "model.safetensors"))
    assert {array.dtype for name, array in stored.items() if name.startswith("params/")} == {np.dtype(np.float16)}
    whole, half = Run(written).best(), Run(out).best()
    assert {leaf.dtype for leaf in jax.tree.leaves(half.weights)} == {np.dtype(np.float32)}
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-3), whole.weights, half.weights))
    jax.tree.map(np.testing.assert_array_equal, whole.weights["stats"], half.weights["stats"])


def test_a_statement_stands_first_among_the_warnings_and_is_kept(run, tmp_path):
    first, again = str(tmp_path / "first"), str(tmp_path / "again")
    bundle.write(run, first, onnx=False, statement="It is wrong half the time.")
    bundle.write(first, again, data=Run(run).config.data.dir, onnx=False)
    for folder in (first, again):
        assert VerdictRules.of(Run(folder)).warnings[0] == "It is wrong half the time."
