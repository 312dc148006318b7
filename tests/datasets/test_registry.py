import pytest

from fusion_dfd.datasets.registry import ADAPTERS, open_dataset
from fusion_dfd.shards import tfds_metadata
from fusion_dfd.types import DataError


def test_names_are_names_of_shards():
    for name in ADAPTERS:
        tfds_metadata.check_name(name)


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(root):
        raise PermissionError(13, "Permission denied", f"{root}/real")

    monkeypatch.setitem(ADAPTERS, "uadfv", refuse)
    with pytest.raises(DataError, match="/d/real cannot be read: Permission denied; check its permissions"):
        open_dataset("uadfv", "/d")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(DataError, match=r"'celeb'; there are .*faceforensics"):
        open_dataset("celeb", "/d")
