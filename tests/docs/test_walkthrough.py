"""The notebook runs from top to bottom, on the small configuration; the committed one was run and has its pictures."""

import json

import pytest
from stage import lay_out
from written import ROOT

PATH = ROOT / "docs" / "walkthrough.ipynb"


def test_it_was_executed_without_an_error():
    cells = [cell for cell in json.loads(PATH.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) >= 8


@pytest.mark.docs
def test_it_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="the notebook is run by make test-docs")
    nbclient = pytest.importorskip("nbclient", reason="the notebook is run by make test-docs")
    lay_out(tmp_path)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    notebook = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
