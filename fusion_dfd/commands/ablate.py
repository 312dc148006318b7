"""Train several configurations under one budget and print the table. Run again, it continues.

fusion-dfd ablate --config fusion.py [--seeds 0,1,2]        every non-empty subset of the branches
fusion-dfd ablate --config fusion.py --grid optim.lr=1e-3,2e-3 --grid model.dropout=0.1,0.5     combinations
fusion-dfd ablate --config fusion.py --leave_out Deepfakes,Face2Face     each left out of train and val
fusion-dfd ablate --config baselines.py:all                 every system, small, and the fusion
"""

from __future__ import annotations

import os

from absl import flags

from fusion_dfd.commands import configurations, source


def define(values: flags.FlagValues) -> None:
    configurations.define_config(values)
    flags.DEFINE_list("seeds", ["0"], "seeds of each row, e.g. 0,1,2", flag_values=values)
    flags.DEFINE_multi_string("grid", [], "OPTION=VALUE,VALUE...; several make all combinations", flag_values=values)
    left_out = "manipulations, each of which one row is not trained on"
    flags.DEFINE_list("leave_out", [], left_out, flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    config = given.config.validate()  # before the imports that take seconds
    rows, seeds = configurations.rows(given, config), source.numbers("seeds", given.seeds)
    from fusion_dfd.runs import ablation, protocols

    if given.grid:
        rows = ablation.grid(config, given.grid)
    if given.leave_out:
        rows = {config.name: config} | protocols.leave_one_out(config, given.leave_out)
    root = config.workdir or os.path.join("runs", f"{config.name}-ablation")
    cells = ablation.seeded(rows or ablation.branches(config), seeds, root)
    print(f"table: {ablation.run(cells, root)}")
