"""Score test splits with one or more runs and fill the table of a field's protocol.

fusion-dfd protocol --name cross_dataset --checkpoint RUN [--checkpoint RUN2 ...] --data DIR [--data DIR2 ...]
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    from fusion_dfd.runs.protocols import PROTOCOLS

    flags.DEFINE_enum("name", None, list(PROTOCOLS), "protocol to fill", required=True, flag_values=values)
    flags.DEFINE_multi_string("checkpoint", None, f"{source.RUN}; may be repeated", required=True, flag_values=values)
    flags.DEFINE_multi_string("data", None, f"{source.SHARDS}; may be repeated", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "folder of the table; default: report-NAME in the first run", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.runs.protocols import evaluate_protocol
    from fusion_dfd.runs.run import Run

    runs = [Run(folder) for folder in given.checkpoint]
    print(f"report: {evaluate_protocol(runs, given.data, given.name, given.out)}")
