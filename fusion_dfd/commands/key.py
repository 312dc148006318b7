"""Make, replace or remove an API key of fusion-dfd serve.

fusion-dfd key --keys keys.json --name alice [--per_minute 60] [--waiting 100] [--admin] [--remove]

The key is printed once, with the secret that signs callbacks, and is stored nowhere. A running server notices the
change.
"""

from __future__ import annotations

import re

from absl import flags

from fusion_dfd.config import ConfigError


def define(values: flags.FlagValues) -> None:
    whole, yes = flags.DEFINE_integer, flags.DEFINE_boolean
    flags.DEFINE_string("keys", None, "file of the keys; made if missing", required=True, flag_values=values)
    flags.DEFINE_string("name", None, "whose key it is", required=True, flag_values=values)
    whole("per_minute", 60, "videos that may be sent in a minute", 1, 1_000_000, flag_values=values)
    whole("waiting", 100, "videos that may wait or be scored at a time", 1, 1_000_000, flag_values=values)
    yes("admin", False, "the jobs of all other keys are seen too", flag_values=values)
    yes("remove", False, "remove the key of this name", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> int:
    from fusion_dfd.serve import keys

    if not re.fullmatch(keys.NAME, given.name):
        raise ConfigError(f"--name {given.name!r}: want up to 64 letters, digits, dots, dashes, underscores or @")
    if given.remove:
        keys.remove(given.keys, given.name)
        print(f"removed the key of {given.name}")
    else:
        key, secret = keys.add(given.keys, given.name, given.per_minute, given.waiting, given.admin)
        print(f"key: {key}\ncallback secret: {secret}")
    return 0
