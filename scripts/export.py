"""Export a trained run: weights, programs (StableHLO, ONNX), how to prepare videos; compared with the live model.

python scripts/export.py --checkpoint runs/fusion --out exported/fusion [--data SHARDS] [--noonnx] [--push OWNER/NAME]
"""

from absl import flags

from fusion_dfd import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "run folder, as train.py printed it", required=True)
OUT = flags.DEFINE_string("out", None, "folder to write", required=True)
DATA = flags.DEFINE_string("data", None, "shards whose val clips are compared; default: those of the run's training")
ONNX = flags.DEFINE_bool("onnx", True, "also write model.onnx (extra onnx)")
PUSH = flags.DEFINE_string("push", None, "repository OWNER/NAME on the Hugging Face hub to upload to (extra hub)")


def main(_: list[str]) -> None:
    from fusion_dfd.export import bundle

    if PUSH.value:
        bundle.check_name(PUSH.value)  # before the work
    facts = bundle.write(CHECKPOINT.value, OUT.value, DATA.value, ONNX.value)
    for name, difference in facts["compared"]["largest_difference_of_a_logit"].items():
        print(f"{name}: logits within {difference:.1e} of the live model's")
    print(f"exported: {OUT.value}")
    if PUSH.value:
        print(f"uploaded: {bundle.push(OUT.value, PUSH.value)}")


if __name__ == "__main__":
    cli.run(main)
