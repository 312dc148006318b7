"""The folder of a server."""

import os

import pytest

from fusion_dfd.serve.files import locked
from fusion_dfd.types import DataError

pytestmark = pytest.mark.extras


def test_a_folder_is_private_and_of_one_server_at_a_time(tmp_path):
    path = str(tmp_path / "data")
    with locked(path):
        assert os.stat(path).st_mode & 0o777 == 0o700
        with pytest.raises(DataError, match=f"another process is serving from {path}"), locked(path):
            pass
    with locked(path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="choose another folder"), locked(str(tmp_path / "file" / "data")):
        pass
