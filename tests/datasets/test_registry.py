import inspect

import pytest

from fusion_dfd.datasets.registry import ADAPTERS, open_dataset
from fusion_dfd.types import DataError


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_every_adapter_takes_a_root_and_explains_a_missing_one(name, tmp_path):
    assert next(iter(inspect.signature(ADAPTERS[name]).parameters)) == "root"
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=str(folder)):
            open_dataset(name, str(folder))


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_unknown_options_are_named(name, tmp_path):
    with pytest.raises(DataError, match="no option colour; it has"):
        open_dataset(name, str(tmp_path), colour="c23")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(DataError, match=r"'celeb'; there are .*faceforensics"):
        open_dataset("celeb", "/d")
