"""What is uploaded, and that a failure is one sentence; the hub itself is a stand-in."""

import os
import sys
import types

import pytest

from fusion_dfd.export import bundle
from fusion_dfd.types import DataError


@pytest.fixture
def calls(monkeypatch):
    """What was asked of the hub; ``calls.error`` is what it answers with, if set."""
    seen = types.SimpleNamespace(made=[], uploaded=[], error=None)

    class HfApi:
        def create_repo(self, repo_id, **options):
            seen.made.append((repo_id, options))
            if seen.error:
                raise seen.error

        def upload_folder(self, **options):
            seen.uploaded.append(options)
            return "https://hub/commit/1"

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(HfApi=HfApi))
    return seen


def test_what_was_exported_is_uploaded_and_nothing_else(calls, exported):
    os.makedirs(os.path.join(exported, "report-x"))
    assert bundle.push(exported, "me/detector") == "https://hub/commit/1"
    assert calls.made == [("me/detector", {"private": True, "exist_ok": True})]
    (upload,) = calls.uploaded
    assert (upload["repo_id"], upload["folder_path"]) == ("me/detector", exported)
    beside = {"VERIFIED.json", "README.md"}
    assert beside | {"model.safetensors", "model.onnx", "config.json"} <= set(upload["allow_patterns"])
    assert set(upload["allow_patterns"]) == set(os.listdir(exported)) - {"report-x"}


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("401\nmore"), ValueError("")])
def test_a_failure_is_one_sentence(calls, exported, error):
    calls.error = error
    with pytest.raises(
        DataError, match=r"^me/detector: not uploaded \([^\n]+\); check the network and the token[^\n]+$"
    ):
        bundle.push(exported, "me/detector")


def test_a_changed_folder_is_not_uploaded(calls, exported):
    with open(os.path.join(exported, "config.json"), "a") as file:
        file.write(" ")
    with pytest.raises(DataError, match="is not what was exported"):
        bundle.push(exported, "me/detector")
    assert not calls.made


@pytest.mark.parametrize("name", ["detector", "me/", "a/b/c", "me/de tector"])
def test_a_name_without_an_owner_is_refused(name):
    with pytest.raises(DataError, match="want OWNER/NAME"):
        bundle.check_name(name)


def test_without_the_library_the_message_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"pip install 'fusion-dfd\[hub\]'"):
        bundle.push(exported, "me/detector")
