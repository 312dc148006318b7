"""The detectors of the package: whole, small, described, and honest."""

import os
import pathlib

import pytest

from fusion_dfd.detectors import shipped
from fusion_dfd.predict.verdict import VerdictRules
from fusion_dfd.runs.run import Run

MEGABYTES = 12
"""Of weights, at most: what an installation may grow by for a detector."""
SAYS = ("## What it was trained on", "## What it reaches", "## What it must not be used for", "## How it was made")
"""Headings of a model card."""


@pytest.mark.parametrize("name", shipped.folders())
def test_it_is_what_was_exported_and_small(name):
    run = Run(name)
    assert run.verified["step"] == run.step == run.calibration.step
    assert os.path.getsize(run.path("model.safetensors")) < MEGABYTES * 1e6
    assert run.familiarity
    assert run.training_data["train"]["sets"]


@pytest.mark.parametrize("name", shipped.folders())
def test_its_card_says_what_a_user_must_know(name):
    card = pathlib.Path(Run(name).path("README.md")).read_text()
    assert [heading for heading in SAYS if heading not in card] == []


@pytest.mark.parametrize("name", shipped.folders())
def test_its_limit_stands_first_beside_every_verdict(name):
    run = Run(name)
    assert VerdictRules.of(run).warnings[0] == run.verified["statement"]
