"""The folder of real faces, and this folder's ``barcodes`` made importable."""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def media() -> pathlib.Path:
    """The folder of third-party clips and faces that is no part of the project; tests skip without it."""
    folder = pathlib.Path(os.environ.get("FUSION_DFD_MEDIA", HERE.parents[2] / "shared" / "media"))
    if not (folder / "faces.csv").is_file():
        pytest.skip("no folder of real faces (FUSION_DFD_MEDIA)")
    return folder
