"""Keys: what the file holds, who they belong to, how much they allow."""

import json
import os
import stat

import pytest

from fusion_dfd.commands import key as command
from fusion_dfd.serve import keys
from fusion_dfd.serve.keys import Keys
from fusion_dfd.types import DataError


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "keys.json")


def test_a_key_opens_and_stands_nowhere(path):
    key, secret = keys.add(path, "alice", 5, 7, True)
    holder = Keys(path).holder(key)
    assert (holder.name, holder.secret, holder.per_minute, holder.waiting, holder.admin) == (
        "alice",
        secret,
        5,
        7,
        True,
    )
    assert len(key) >= 43
    with open(path) as file:
        assert key not in file.read()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for wrong in ("", "dfd_", key[:-1], key + "x", holder.sha256):
        assert Keys(path).holder(wrong) is None


def test_changes_are_noticed_while_a_server_runs(path):
    old, _ = keys.add(path, "alice", 5, 7, False)
    known = Keys(path)
    bob, secret = keys.add(path, "bob", 5, 7, False)
    assert known.holder(bob).name == "bob"
    assert known.secret("bob") == secret
    new, _ = keys.add(path, "alice", 5, 7, False)
    assert known.holder(old) is None
    assert known.holder(new).name == "alice"
    keys.remove(path, "alice")
    assert known.holder(new) is None
    assert known.secret("alice") is None
    with open(path, "w") as file:
        file.write("{ half of a fi")
    assert known.holder(bob).name == "bob", "who edits the file must not lock everybody out"


def test_submissions_within_a_minute_are_counted(path, clock):
    clock.now = 0
    alice, bob = (keys.add(path, name, 2, 7, False)[0] for name in ("alice", "bob"))
    known = Keys(path, clock)
    assert known.wait(known.holder(alice)) == 0
    clock.now = 10
    assert known.wait(known.holder(alice)) == 0
    assert known.wait(known.holder(alice)) == 50
    assert known.wait(known.holder(bob)) == 0
    clock.now = 60
    assert known.wait(known.holder(alice)) == 0
    assert known.wait(known.holder(alice)) == 10


GOOD = {"sha256": "a", "secret": "b", "per_minute": 1, "waiting": 1, "admin": False}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no file of keys"),
        ("[]", "want an object of names"),
        (json.dumps({"alice": {}}), "'alice': want a short name and the fields sha256, secret"),
        (json.dumps({"": GOOD}), "want a short name"),
        (json.dumps({"alice": GOOD | {"per_minute": 0}}), "alice: per_minute is 0, want 1 or more"),
        (json.dumps({"alice": GOOD | {"per_minute": True}}), "alice: per_minute is True, want 1 or more"),
        (json.dumps({"alice": GOOD | {"admin": 1}}), "alice: admin is 1, want bool"),
    ],
)
def test_a_damaged_file_is_a_sentence(path, content, said):
    with open(path, "w") as file:
        file.write(content)
    with pytest.raises(DataError, match=r"keys\.json") as refused:
        Keys(path)
    assert said in str(refused.value)


def test_a_file_that_is_missing_is_a_sentence(path):
    with pytest.raises(DataError, match="make one with fusion-dfd key"):
        Keys(path)


def test_the_command_prints_a_key_once_and_removes_it(path, capsys):
    from absl import flags

    def run(*words):
        values = flags.FlagValues()
        command.define(values)
        values(["key", f"--keys={path}", "--name=alice", *words])
        assert command.main([], values) == 0
        return capsys.readouterr().out

    key, secret = (line.partition(": ")[2] for line in run("--per_minute=3").splitlines())
    holder = Keys(path).holder(key)
    assert (holder.name, holder.per_minute, holder.secret) == ("alice", 3, secret)
    assert run("--remove") == "removed the key of alice\n"
    with pytest.raises(DataError, match="no key of 'alice'; there are none"):
        keys.remove(path, "alice")
