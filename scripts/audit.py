"""Count what a data set holds and search its splits for leaks. Exit code 1 when there are any.

python scripts/audit.py --dataset faceforensics --root DIR [--compression c23] [--splits FILE]
"""

from rich import console

from fusion_dfd import cli

DATASET = cli.define_dataset()


def main(_: list[str]) -> int:
    from fusion_dfd.datasets.splits import findings, overview

    videos = DATASET.open()
    console.Console().print(overview(videos))
    found = findings(videos)
    print("\n".join(found) or "no leak: no group, source clip or file lies in two splits")
    return int(bool(found))


if __name__ == "__main__":
    cli.run(main)
