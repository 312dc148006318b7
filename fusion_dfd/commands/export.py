"""Export a trained run for other programs: weights, StableHLO, ONNX.

fusion-dfd export --checkpoint runs/fusion --out exported/fusion [--data SHARDS] [--noonnx] [--half] [--push OWNER/NAME]

The folder says how to prepare videos. Every program is compared with the live model.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("checkpoint", None, source.RUN, required=True, flag_values=values)
    text("out", None, "folder to write", required=True, flag_values=values)
    text("data", None, "shards whose val windows are compared; default: those of training", flag_values=values)
    flags.DEFINE_bool("onnx", True, "also write model.onnx (extra onnx)", flag_values=values)
    flags.DEFINE_bool("half", False, "store the parameters as float16: half the size", flag_values=values)
    text("statement", None, "a sentence that stands beside every verdict of it", flag_values=values)
    text("push", None, "repository OWNER/NAME on the Hugging Face hub to upload to (extra hub)", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.export import bundle

    if given.push:
        bundle.check_name(given.push)  # before the work
    facts = bundle.write(given.checkpoint, given.out, given.data, given.onnx, given.half, given.statement)
    for name, difference in facts["compared"]["largest_difference_of_a_logit"].items():
        print(f"{name}: logits within {difference:.1e} of the live model's")
    print(f"exported: {given.out}")
    if given.push:
        print(f"uploaded: {bundle.push(given.out, given.push)}")
