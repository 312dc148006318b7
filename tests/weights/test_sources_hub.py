"""The hub's cache: a stored file is used if its hash is the one it is stored by; what fails says what to do instead."""

import hashlib
import sys

import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import sources

REPOSITORY, FILE, REMEDY = "timm/a.b", "model.safetensors", "download it by hand"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's folder of a repository, without a network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "models--timm--a.b"


def store(cache, content: bytes, name: str):
    """As huggingface_hub lays it out: the bytes under their hash, a link to them under a commit."""
    commit = "0" * 40
    for folder in ("blobs", "refs", f"snapshots/{commit}"):
        (cache / folder).mkdir(parents=True)
    (cache / "blobs" / name).write_bytes(content)
    (cache / "refs" / "main").write_text(commit)
    link = cache / "snapshots" / commit / FILE
    link.symlink_to(f"../../blobs/{name}")
    return link


@pytest.mark.extras
def test_a_stored_file_is_used(cache):
    link = store(cache, b"weights", hashlib.sha256(b"weights").hexdigest())
    assert sources.fetch_from_hub(REPOSITORY, FILE, REMEDY) == str(link)


@pytest.mark.extras
def test_other_bytes_than_the_hub_stated_are_refused(cache):
    store(cache, b"weighty", hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(DataError, match=f"is damaged, its SHA-256 is not [0-9a-f]{{64}}; remove it, or {REMEDY}"):
        sources.fetch_from_hub(REPOSITORY, FILE, REMEDY)


@pytest.mark.extras
def test_a_file_stored_without_its_hash_is_refused(cache):
    store(cache, b"weights", "a" * 40)
    with pytest.raises(DataError, match=f"keeps no hash to check the file by; {REMEDY}"):
        sources.fetch_from_hub(REPOSITORY, FILE, REMEDY)


@pytest.mark.extras
def test_without_network_and_copy_the_remedy_is_named(cache):
    with pytest.raises(DataError, match=rf"^{FILE} of {REPOSITORY} .*cannot be fetched \(\w+\); {REMEDY}$"):
        sources.fetch_from_hub(REPOSITORY, FILE, REMEDY)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=rf"pip install 'fusion-dfd\[hub\]'; or {REMEDY}"):
        sources.fetch_from_hub(REPOSITORY, FILE, REMEDY)
