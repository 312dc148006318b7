"""The page is made of the lines, and of nothing else."""

import json
import re

import results


def test_page(tmp_path):
    line = {
        "size": 224,
        "missing": {},
        "targets": [{"target": "a / b", "at_least": 1.2, "measured": None, "met": None}, {"target": "c", "met": True}],
        "shares": {"decode": 0.1},
    }
    (tmp_path / "input.json").write_text(json.dumps(line) + "\n")
    (tmp_path / "predict.json").write_text('{"x": 1}')
    (tmp_path / "recurrent.json").write_text('{"layers": [{"layer": "ours", "ms_both": 2.5}]}')
    (tmp_path / "half.line").write_text("")
    page = results.page(tmp_path)
    headings = [row for row in page.splitlines() if row.startswith("## ")]
    assert headings == ["## input", "## recurrent", "## predict"]
    assert "| target | at least | measured | met |\n| --- | --- | --- | --- |\n| a / b | 1.2 |  |  |" in page
    assert "| c |  |  | yes |" in page
    assert "- size: 224\n- shares: decode 0.1\n" in page
    assert json.loads(page.split("```json\n")[1].split("\n```")[0]) == line
    assert "Clips per second of the training input" in page


def test_every_benchmark_says_what_it_is():
    scripts = [path for path in results.HERE.glob("*.py") if "__main__" in path.read_text()]
    assert {path.stem for path in scripts} - {"results"} <= set(results.ORDER)
    assert all(results.about(path.stem) for path in scripts)


def test_make_bench_runs_benchmarks_of_the_page():
    """All of them but the soak of the server, which is for hours."""
    rule = next(
        row for row in (results.HERE.parent / "Makefile").read_text().splitlines() if row.startswith("BENCH :=")
    )
    assert set(re.findall(r"[a-z_]+", rule)) - {"if"} == set(results.ORDER) - {"soak"}


def test_versions():
    assert results.version("numpy").count(".") == 2
    assert results.version("a-library-that-nobody-has") == "not installed"
