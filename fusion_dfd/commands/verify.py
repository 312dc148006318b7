"""Check a verdict against its record: compute it again and say what differs.

fusion-dfd verify RECORD VIDEO [--checkpoint runs/fusion] [--key PUBLIC.pem] [--tolerance 0.01]

RECORD is a file that predict wrote: with --out, or with --json into a file. VIDEO is scored with the options that the
record states.
Exit code: 0 nothing differs; else the first that does: 20 the signature, 21 the file, 22 the detector, 23 the verdict,
24 the software alone. 1 and 2 errors.
"""

from __future__ import annotations

import os

from absl import flags

from fusion_dfd.commands import source
from fusion_dfd.config import ConfigError
from fusion_dfd.types import DataError

WORDS = "RECORD and one VIDEO"


def define(values: flags.FlagValues) -> None:
    where = f"{source.RUN}; default: the record's, by its name, here or in runs/"
    flags.DEFINE_string("checkpoint", None, where, flag_values=values)
    flags.DEFINE_string("key", None, "file of the public key that must have signed the record", flag_values=values)
    near = "probabilities that differ by no more are the same: processors round differently"
    flags.DEFINE_float("tolerance", 0.01, near, lower_bound=0.0, upper_bound=1.0, flag_values=values)


def main(words: list[str], given: flags.FlagValues) -> int:
    if len(words) != 2:
        raise ConfigError(f"give a RECORD and one VIDEO, not {len(words)} words")
    from fusion_dfd.predict import detector, verification

    stated = verification.read(*words)
    options, name = stated["record"]["options"], stated["record"]["detector"]["name"]
    loaded = detector.load(given.checkpoint or _named(name), options["clips"], options["engine"], options["tracks"])
    findings = verification.compare(stated, loaded.predict(words[1]), given.tolerance, given.key)
    for one in findings:
        print(f"{one.part:10}{'same' if one.same else 'DIFFERS':9}{one.said}")
    return verification.code(findings)


def _named(name: str) -> str:
    """The detector of a record. Raises DataError where it is in none of the usual places."""
    for path in (name, os.path.join("runs", name)):
        if os.path.isdir(path):
            return path
    raise DataError(f"there is no detector {name} here nor in runs/; give its folder with --checkpoint")
