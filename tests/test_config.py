"""Options: what is wrong is said, all of it, before anything is built."""

import dataclasses
import importlib
import json
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

from fusion_dfd import cli, options
from fusion_dfd import config as c
from fusion_dfd.configs import baselines

ROOT = pathlib.Path(__file__).parents[1]


def load(name: str, variant: str) -> c.Config:
    return importlib.import_module(f"fusion_dfd.configs.{name}").get_config(variant)


NAMES = sorted(path.stem for path in (ROOT / "fusion_dfd/configs").glob("[a-z]*.py"))


def shipped():
    """Every configuration in the package, in every variant that its message names."""
    for name in NAMES:
        if name != "sweep":  # a space to search
            with pytest.raises(c.ConfigError) as caught:
                load(name, "?")
            for variant in str(caught.value).partition("it has ")[2].split(", "):
                yield name, variant


SHIPPED = list(shipped())


def test_every_configuration_is_found():
    assert {name for name, _ in SHIPPED} == {*NAMES} - {"sweep"}
    assert {("fusion", "ffpp"), ("selfforged", "full"), ("gend", "dinov3_base_probe")} <= set(SHIPPED)


@pytest.mark.parametrize(("name", "variant"), SHIPPED)
def test_shipped_configurations_are_valid_and_survive_json(name, variant):
    config = load(name, variant).validate()
    assert c.from_json(c.to_json(config)) == config


def test_the_rows_of_a_comparison_differ_in_the_model_alone():
    base = load("baselines", "all")
    base.data.size, base.data.frames = 96, 10
    rows = baselines.get_rows("all", base)
    assert set(baselines.SMALL) < set(rows)
    models = [c.to_json(row.validate()) for row in rows.values()]
    assert len(set(models)) == len(rows)
    for row in rows.values():
        assert dataclasses.replace(row, model=base.model) == base
    assert baselines.get_rows("mobilenet_lstm", base) == {}
    fusion, small = load("fusion", "sample"), load("baselines", "flow_lstm_small")
    assert (small.synthetic, small.faces, small.data) == (fusion.synthetic, fusion.faces, fusion.data)


def test_all_that_is_wrong_is_named_at_once():
    config = c.Config()
    config.optim.lr = -1.0
    config.model.branches = ("spatial", "sound")
    config.train.batch_size = 3
    with pytest.raises(c.ConfigError) as caught:
        config.validate()
    for name in ("optim.lr=-1.0", "sound", "train.batch_size=3"):
        assert name in str(caught.value)


@pytest.mark.parametrize("branches", [(), ("micro", "micro"), ("eye",)])
def test_branches_must_be_a_non_empty_subset(branches):
    config = c.Config()
    config.model.branches = branches
    with pytest.raises(c.ConfigError, match=r"model\.branches"):
        config.validate()


@pytest.mark.parametrize("change", [{"weights": "a.pth"}, {"anchors": (1, 2)}, {"slope": 0.1}])
def test_options_of_another_detector_are_not_ignored(change):
    with pytest.raises(c.ConfigError, match=r"faces\.detector=mtcnn: .*apply only to faces\.detector=retinaface"):
        c.Config(faces=c.Faces(**change)).validate()
    c.Config(faces=c.Faces(detector="retinaface", **change)).validate()


def test_an_unknown_sampling_is_refused_with_those_there_are():
    with pytest.raises(c.ConfigError, match=r"faces\.sampling=even: want one of dense, uniform"):
        c.Config(faces=c.Faces(sampling="even")).validate()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aggregate", c.AGGREGATES),
        ("tracks", c.TRACKS),
        ("calibration", c.CALIBRATIONS),
        ("target", c.TARGETS),
    ],
)
def test_options_of_few_words_name_them(name, words):
    with pytest.raises(c.ConfigError, match=rf"evaluate\.{name}=odd: want one of {', '.join(words)}"):
        c.Config(evaluate=c.Evaluate(**{name: "odd"})).validate()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "oracle"}, "model.system=oracle: want one of fusion, sequence"),
        ({"temporal": "gru"}, "model.temporal=gru: want one of bilstm, transformer"),
        ({"sequence": c.Sequence("rnn")}, "model.sequence.cell=rnn: want one of lstm, gru"),
        ({"recurrent": ()}, r"model.recurrent=\(\): want at least one number, each 1 .. 65536"),
        ({"temporal": "transformer", "transformer": c.Transformer(10, 2, 4)}, "want an even width that heads"),
        ({"system": "timesformer"}, "model.timesformer.frames=8: want at least data.frames, 16"),
        ({"system": "timesformer", "timesformer": c.TimeSformer(112)}, "model.timesformer.size=112: want data"),
        ({"system": "timesformer", "timesformer": c.TimeSformer(patch=15)}, "a multiple of .*patch, 15"),
    ],
)
def test_systems_whose_parts_do_not_fit_are_refused(changes, message):
    config = c.Config(model=c.Model(**changes))
    with pytest.raises(c.ConfigError, match=message):
        config.validate()


def test_flow_wants_two_frames():
    with pytest.raises(c.ConfigError, match=r"data\.frames=1: want 2"):
        c.Config(data=c.Data(frames=1), model=c.Model(system="flow")).validate()


def test_json_of_a_later_version_names_the_options():
    text = c.to_json(c.Config()).replace('"lr"', '"rate"')
    with pytest.raises(c.ConfigError, match=r"does not have: config\.optim\.rate"):
        c.from_json(text)


def test_json_of_earlier_versions_opens():
    config = c.Config(synthetic=c.Synthetic(seed=3, pairs=(1, 2, 3)), evaluate=c.Evaluate(windows=5))
    values = json.loads(c.to_json(config))
    values["sample"] = values.pop("synthetic")
    values["evaluate"]["clips"] = values["evaluate"].pop("windows")
    assert c.from_json(json.dumps(values)) == config


@pytest.mark.parametrize("one", list(options.walk(c.Config())), ids=lambda one: one.name)
def test_every_option_says_what_it_is(one):
    assert one.text[0].isupper()
    assert one.text.endswith(".")
    assert len(one.text.split()) > 1
    if one.kind in ("int", "ints"):
        assert one.about.range


NUMBERS = [one for one in options.walk(c.Config()) if one.kind.rstrip("s") in ("int", "float")]


@pytest.mark.parametrize("one", NUMBERS, ids=lambda one: one.name)
def test_a_number_beyond_measure_is_refused(one):
    for value in (10**18, -(10**18), *([float("inf"), float("nan")] if "float" in one.kind else [])):
        given = (value,) * max(1, len(one.value)) if one.kind.endswith("s") else value
        assert one.about.wrong(given), value


@pytest.mark.parametrize(
    ("section", "name", "value", "wanted"),
    [
        ("synthetic", "pairs", (1, 2), "want 3 numbers, each 1 .. 100000"),
        ("optim", "ema", float("nan"), "want 0 .. 0.999999"),
        ("optim", "groups", ("backbone",), f"want {options.GROUPS}"),
        ("model", "branches", ("spatial", "eye"), "want a non-empty subset of spatial, temporal, micro"),
        ("train", "steps", 0, "want 1 .. 1000000000"),
        ("faces", "time_limit", 0.0, "want more than 0, at most 86400"),
    ],
)
def test_a_value_out_of_range_is_named_with_the_range(section, name, value, wanted):
    config = c.Config()
    setattr(getattr(config, section), name, value)
    with pytest.raises(c.ConfigError, match=re.escape(f"{section}.{name}={value}: {wanted}")):
        config.validate()


def test_options_that_an_earlier_version_lacked_have_their_defaults():
    values = json.loads(c.to_json(c.Config(seed=5)))
    del values["optim"]["groups"], values["evaluate"]
    assert c.from_json(json.dumps(values)) == c.Config(seed=5)


@pytest.mark.parametrize("name", NAMES)
def test_the_checkout_has_the_configurations_of_the_package(name):
    known = vars(importlib.import_module(f"fusion_dfd.configs.{name}"))
    shim = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))
    entrances = {one for one in ("get_config", "get_rows", "get_space") if one in known}
    assert {one: shim[one] for one in entrances} == {one: known[one] for one in entrances}


def told(capsys, monkeypatch, verb: str, *words: str) -> str:
    """What a command says that ends with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])
    with pytest.raises(SystemExit) as stopped:
        cli.run(verb, list(words))
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config", "fusion.py", "--config.optim.lrr=3"], "no option optim.lrr; did you mean optim.lr?"),
        (["--config", "fusion.py", "--config.seed=1.5"], "--config.seed=1.5"),
        (["--config", "fusion.py", "--config.optim.clip=-1"], "optim.clip=-1.0: want more than 0"),
        (["--config", "fusion.py:nosuch"], "no variant 'nosuch'; it has sample, robust, ffpp, vgg16"),
        (["--config", "nosuch.py"], "no configuration 'nosuch.py'; there are: baselines.py, fusion.py"),
        (["--config", "fusion.py", "--optim.lr=3"], "optim.lr"),
        (["--config", "fusion.py", "--config.synthetic.pairs=(1,2)"], "synthetic.pairs=(1, 2): want 3 numbers"),
    ],
)
def test_a_typo_is_one_sentence_at_the_command_line(flags, message, capsys, monkeypatch):
    said = told(capsys, monkeypatch, "train", *flags)
    assert message in said
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config", "baselines.py"], "baselines.py has no variant ''; it has all, mobilenet_lstm"),
        (["--config", "baselines.py:flow_lstm_small"], "model.system=flow has no branches to ablate"),
        (["--config", "baselines.py:all", "--config.data.size=68"], "model.timesformer.size=68"),
    ],
)
def test_an_ablation_that_cannot_be_is_one_sentence(flags, message, capsys, monkeypatch):
    assert message in told(capsys, monkeypatch, "ablate", *flags)


def test_a_script_says_the_same():
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--config", "fusion.py", "--config.optim.clip=-1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stderr) == (2, "error: optim.clip=-1.0: want more than 0, at most 1000000\n")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "3", "null", '{"model": 3}', '{"model": {"branches": 5}}', '{"train": {"steps": "x"}}',
        '{"train": {"steps": true}}', '{"faces": {"anchors": null}}', '{"faces": {"anchors": ["a"]}}', '{"optim": []}',
        '{"faces": {"align": 1}}', '{"optim": {"groups": [1]}}', '{"optim": {"lr": null}}',
        '{"synthetic": {"pairs": [1.5, 1, 1]}}',
        "[" * 100000,
    ],
)  # fmt: skip
def test_text_that_is_no_configuration_is_one_sentence(text):
    with pytest.raises(options.ConfigError):
        c.from_json(text)


def test_the_defaults_survive_their_text():
    assert c.from_json(c.to_json(c.Config())) == c.Config()
