"""Score videos with a trained run.

python scripts/predict.py VIDEO [VIDEO ...] --checkpoint runs/fusion
"""

from absl import flags

from fusion_dfd import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "run folder, as train.py printed it", required=True)


def main(paths: list[str]) -> int:
    from fusion_dfd import predict

    return predict.print_verdicts(predict.load(CHECKPOINT.value), paths)


if __name__ == "__main__":
    cli.run(main, "VIDEO")
