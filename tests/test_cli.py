"""Every verb says what it takes, by construction, and mistakes end in one sentence."""

import ast
import pathlib
import re
import subprocess
import sys

import jax
import pytest
from absl import flags

import fusion_dfd
from fusion_dfd import cli, config, options
from fusion_dfd.commands import configurations, source

ROOT = pathlib.Path(__file__).parents[1]
WITH_CONFIG = ("train", "ablate", "tune", "options")


def run(capsys, verb: str, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.run(verb, list(words))
    told = capsys.readouterr()
    return stopped.value.code, told.out, told.err


def entries(text: str) -> dict[str, str]:
    """The help of each flag, on one line."""
    found = re.split(r"\n  (--\S+)\n", text)
    return dict(zip(found[1::2], (" ".join(said.split()) for said in found[2::2]), strict=True))


@pytest.fixture(autouse=True)
def _argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_lists_every_flag_with_its_meaning_and_range(verb, capsys):
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert f"fusion-dfd {verb} " in out
    told = entries(out)
    values = flags.FlagValues()
    cli.load(verb).define(values)
    for name in values:
        flag = values[name]
        said = told[f"--[no]{name}" if flag.boolean else f"--{name}"]
        assert len(said.split()) >= 3, name
        bounds = {getattr(flag.parser, bound, None) for bound in ("lower_bound", "upper_bound")} - {None}
        for bound in (*bounds, *(getattr(flag.parser, "enum_values", None) or ())):
            assert re.search(rf"Range: .*\b{bound}\b", said), name
    assert any(one.startswith("--config.") for one in told) == (verb in WITH_CONFIG)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_number_beyond_measure_is_refused(verb):
    values = flags.FlagValues()
    cli.load(verb).define(values)
    sections = (config.Faces(), config.Synthetic())
    checked = {one.name for section in sections for one in options.walk(section)}  # see tests/test_config.py
    for flag in map(values.__getitem__, values):
        if flag.flag_type() in ("int", "float") and flag.name not in checked:
            for number in ("1" + "0" * 18, "-1" + "0" * 18):
                with pytest.raises(flags.IllegalFlagValueError):
                    flag.parse(number)


@pytest.mark.parametrize("verb", WITH_CONFIG)
def test_help_lists_every_option_of_a_configuration(verb, capsys):
    code, out, _ = run(capsys, verb, "--config", "fusion.py", "--help")
    assert code == 0
    told = entries(out)
    for one in options.walk(config.Config()):
        said = told[f"--config.{one.name}"]
        assert " ".join(one.text.split()) in said
        assert one.about.range in said
    assert "Default: 64." in told["--config.data.size"]  # that of fusion.py


def test_face_flags_say_what_the_fields_say(capsys):
    told = entries(run(capsys, "prepare", "--help")[1])
    for one in options.walk(config.Faces()):
        name = f"--[no]{one.name}" if isinstance(one.value, bool) else f"--{one.name}"
        assert " ".join(one.described.split()) in told[name]


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        ("evaluate", ["--scores", "a.csv"], "--scores is a command of its own: fusion-dfd rescore FILE ..."),
        ("evaluate", ["--checkpoint=a", "--calibrate"], "--calibrate is a command of its own: fusion-dfd calibrate"),
        ("evaluate", ["--protocol=in_dataset"], "--protocol is a command of its own: fusion-dfd protocol"),
        ("prepare", ["--check"], "--check is a command of its own: fusion-dfd check"),
        ("evaluate", ["--checkpoint", "a"], "give --data; see fusion-dfd evaluate --help"),
        ("train", [], "give --config; see fusion-dfd train --help"),
        ("train", ["--config", "nosuch.py"], "no configuration 'nosuch.py'; there are: baselines.py, fusion.py"),
        ("train", ["--config", "fusion.py", "--config.optim.lrr=1"], "no option optim.lrr; did you mean optim.lr?"),
        ("train", ["--config", "fusion.py", "--config.zz=1"], "no option zz; docs/OPTIONS.md lists them"),
        ("predict", ["a.mp4", "--chekpoint", "a"], "no flag --chekpoint; did you mean --checkpoint?"),
        ("predict", ["a.mp4", "--zz"], "no flag --zz; see fusion-dfd predict --help"),
        ("audit", ["word", "--root", "a"], "unexpected argument 'word'; see fusion-dfd audit --help"),
        ("rescore", [], "give at least one FILE; see fusion-dfd rescore --help"),
        ("rescore", ["a.csv", "--aggregate", "sum"], "--aggregate=sum: value should be one of <mean_probability|"),
        ("sample", ["--root", "a", "--crf", "60"], "synthetic.crf=60: want 0 .. 51"),
        ("sample", ["--root", "a", "--pairs", "a,b"], "pairs=a,b: want numbers, by commas"),
        ("prepare", ["--root", "a", "--out", "b", "--every", "0"], "faces.every=0: want 1 .. 1000"),
        ("tune", ["--config", "fusion.py", "--space", "fusion.py"], "fusion.py has no get_space()"),
    ],
)
def test_a_mistake_is_one_sentence(verb, words, said, capsys):
    code, out, err = run(capsys, verb, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_program_lists_its_verbs(capsys, monkeypatch):
    for words, code in ((["--help"], 0), ([], 2), (["zz"], 2)):
        monkeypatch.setattr(sys, "argv", ["fusion-dfd", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == code
        told = capsys.readouterr()
        text = told.err if code else told.out
        assert all(verb in text for verb in cli.VERBS)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["predikt"], 2, "error: no command 'predikt'; did you mean predict?\n"),
        (["help", "audit"], 0, "--root"),
        (["--version"], 0, f"fusion_dfd {fusion_dfd.__version__}\n"),
    ],
)
def test_what_people_try(words, code, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fusion-dfd", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    told = capsys.readouterr()
    assert said in (told.err if code else told.out)


@pytest.mark.parametrize("verb", ["", *cli.VERBS])
def test_help_fits_into_the_terminal(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = cli.help_text(verb) if verb else cli.overview()
    assert [line for line in told.splitlines() if len(line) > 80] == []


def test_the_script_of_a_verb_runs_it():
    for path in (ROOT / "scripts").glob("*.py"):
        verb = path.stem.replace("_", "-")
        assert verb in cli.VERBS
        (call,) = ast.parse(path.read_text()).body[-1].body
        assert ast.unparse(call) == f"cli.command('{verb}')"
    told = subprocess.run(
        [sys.executable, ROOT / "scripts" / "predict.py", "--help"], capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0
    assert "--checkpoint" in told.stdout


def test_a_configuration_is_found_here_first_then_in_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configurations.find_config("fusion.py:ffpp").endswith("fusion_dfd/configs/fusion.py:ffpp")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "fusion.py").touch()
    assert configurations.find_config("fusion.py") == "configs/fusion.py"
    (tmp_path / "fusion.py").touch()
    assert configurations.find_config("fusion.py:a") == "fusion.py:a"


def test_numbers_of_a_flag():
    assert source.numbers("seeds", ["0", "1"]) == (0, 1)
    assert source.numbers("fractions", [".7", "0.3"], float) == (0.7, 0.3)


def test_options_page_is_current(capsys):
    code, out, _ = run(capsys, "options")
    assert code == 0
    assert out == (ROOT / "docs" / "OPTIONS.md").read_text(), "fusion-dfd options > docs/OPTIONS.md"


def test_with_the_dependencies_alone_all_but_the_extras_work():
    """Every module of the package is imported, and a function exported, without what only extras bring."""
    program = pathlib.Path(__file__).parent / "support" / "lean.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    *lacking, last = done.stdout.splitlines()
    assert last == "exported"
    assert all(line.startswith(("serve.", "shards.beam ")) for line in lacking), lacking


PRINTS = """
import sys, types
from absl import flags
from fusion_dfd import cli
verb = types.SimpleNamespace(main=lambda words, values: print(*words))
sys.exit(cli._guarded(verb, ["a\\udcff.mp4"] * 40000, flags.FlagValues()))
"""


def piped(shell: str) -> subprocess.CompletedProcess:
    program = ["bash", "-c", f"set -o pipefail; {shell}", "bash", sys.executable, "-c", PRINTS]
    return subprocess.run(program, capture_output=True, text=True, timeout=200)


def test_a_reader_that_goes_ends_a_program_quietly():
    done = piped('"$@" | head -c1')
    assert (done.returncode, done.stdout, done.stderr) == (cli.GONE, "a", "")


def test_a_full_disk_is_a_sentence():
    done = piped('"$@" > /dev/full')
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["error: no space left on the disk (standard output); free some and start again"]


def test_a_name_that_is_no_text_is_printed():
    done = piped('PYTHONIOENCODING=utf-8:strict "$@" | tail -c 13')
    assert (done.returncode, done.stdout.strip()) == (0, r"a\udcff.mp4")


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_lack_of_memory_is_one_sentence(error, monkeypatch, capsys):
    def main(words, values):
        raise error

    monkeypatch.setattr(cli.load("options"), "main", main)
    code, _, err = run(capsys, "options")
    assert code == 1
    assert re.fullmatch(r"error: [^\n]*out of memory; take less at a time [^\n]+\n", err)
