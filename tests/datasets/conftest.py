"""The official list files, and this folder's ``trees`` made importable."""

import os
import pathlib

import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def protocol() -> pathlib.Path:
    """The folder of official list files, which are no part of the project; tests skip without it."""
    folder = pathlib.Path(os.environ.get("FUSION_DFD_MEDIA", HERE.parents[2] / "shared" / "media")) / "protocol"
    if not folder.is_dir():
        pytest.skip("no folder of official lists (FUSION_DFD_MEDIA)")
    return folder
