"""Train several configurations under one budget and print the table.

python scripts/ablate.py --config fusion.py [--seeds 0,1,2]        every non-empty subset of the branches
python scripts/ablate.py --config fusion.py --grid optim.lr=1e-3,2e-3 --grid model.dropout=0.1,0.5     combinations
python scripts/ablate.py --config fusion.py --leave_out Deepfakes,Face2Face     each left out of train and val
python scripts/ablate.py --config baselines.py:all                 every system, small, and the fusion
"""

import os

from absl import flags

from fusion_dfd import cli

CONFIG = cli.define_config()
SEEDS = flags.DEFINE_list("seeds", ["0"], "seeds of each row, e.g. 0,1,2")
GRID = flags.DEFINE_multi_string("grid", [], "OPTION=VALUE,VALUE...; several make all combinations")
LEAVE_OUT = flags.DEFINE_list("leave_out", [], "manipulations, each of which one row is not trained on")


def main(_: list[str]) -> None:
    config = CONFIG.value.validate()  # before the imports that take seconds
    rows = cli.config_rows(config)
    from fusion_dfd.runs import ablation, protocols

    if GRID.value:
        rows = ablation.grid(config, GRID.value)
    if LEAVE_OUT.value:
        rows = {config.name: config} | protocols.leave_one_out(config, LEAVE_OUT.value)
    root = config.workdir or os.path.join("runs", f"{config.name}-ablation")
    cells = ablation.seeded(rows or ablation.branches(config), [int(seed) for seed in SEEDS.value], root)
    print(f"table: {ablation.run(cells, root)}")


if __name__ == "__main__":
    cli.run(main)
