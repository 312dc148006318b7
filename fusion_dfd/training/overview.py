"""What is about to be trained: the parts of the model, how large they are, and how each of them learns."""

from __future__ import annotations

import math

import jax
import numpy as np
from rich.console import Console
from rich.table import Column, Table

from fusion_dfd import config as c
from fusion_dfd.training import cost, groups, state
from fusion_dfd.training.groups import Group


def show(config: c.Config, console: Console) -> None:
    """Print a table of the model's parts, and what a clip costs.

    Raises ConfigError for groups that fit no parameter or freeze all.
    """
    chosen = groups.parse(config.optim.groups)
    params = state.abstract_variables(config.model)["params"]
    groups.check(chosen, params)
    right = {"justify": "right"}
    table = Table("part", Column("parameters", **right), Column("trained", **right), "learning rate", show_footer=True)
    assigned = groups.assign(chosen, params)
    totals = np.zeros(2, np.int64)
    for part in sorted(params):
        sizes = [leaf.size for leaf in jax.tree.leaves(params[part])]
        owners = jax.tree.leaves(assigned[part])
        counts = sum(sizes), sum(size for size, one in zip(sizes, owners, strict=True) if not one.frozen)
        totals += counts
        table.add_row(part, *(f"{count:,}" for count in counts), ", ".join(dict.fromkeys(map(_rate, owners))))
    for column, text in zip(table.columns, ("all", *(f"{count:,}" for count in totals)), strict=False):
        column.footer = text
    console.print(table)
    flops = cost.flops(config)
    if not math.isnan(flops):
        console.print(f"{flops / 1e9:.2f} GFLOPs a clip of {config.data.frames} frames, forward", highlight=False)


def _rate(group: Group) -> str:
    if group.frozen:
        return "frozen"
    rate = "full" if group.factor == 1 else f"x {group.factor:g}"
    return f"{rate} from step {group.start}" if group.start else rate
