"""One small data set for all tests of this room."""

import dataclasses

import pytest

from fusion_dfd.config import Synthetic
from fusion_dfd.synthetic.generate import generate

SMALL = Synthetic(seed=3, pairs=(1, 1, 1), frames=6, size=96)


@pytest.fixture(scope="session")
def small() -> Synthetic:
    return dataclasses.replace(SMALL)


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> str:
    return generate(str(tmp_path_factory.mktemp("sample") / "new" / "root"), SMALL, workers=1)
