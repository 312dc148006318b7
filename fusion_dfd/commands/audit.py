"""Count what a data set holds and search its splits for leaks; or say what of a protocol is on disk.

fusion-dfd audit --dataset faceforensics --root DIR [--compression c23] [--splits FILE]
fusion-dfd audit --protocol cross_dataset --root celebdf_v2=DIR [--root dfd=DIR2 ...] [--list FILE]

The first form has exit code 1 when there are leaks. The second lists every row of the table with the SHA-256 of its
list, and names what is missing, not used or mislabelled: exit code 0 when all is there, 3 when videos or data sets are
missing, 4 when FILE, a list that was written before, says something else; 1 is an error.
"""

from __future__ import annotations

from absl import flags
from rich import console

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    source.define_dataset(values, several=True)
    held = "with the name of a table as --protocol: file of the list to compare with; written if it is not there"
    flags.DEFINE_string("list", None, held, flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> int:
    from fusion_dfd.datasets.splits import findings, overview
    from fusion_dfd.runs import protocol_lists
    from fusion_dfd.runs.protocols import PROTOCOLS

    if given.protocol in PROTOCOLS:
        roots = protocol_lists.parse_roots(given.protocol, given.root)
        options = {name: value for name, value in source.adapter_options(given).items() if name != "protocol"}
        made = protocol_lists.audit(given.protocol, roots, given.list, **options)
        console.Console().print(made.table())
        print("\n".join(made.sentences()))
        return made.code
    videos = source.open_dataset(given)
    console.Console().print(overview(videos))
    found = findings(videos)
    print("\n".join(found) or "no leak: no group, source clip or file lies in two splits")
    return int(bool(found))
