"""What a folder needs so that the commands of the docs run in it, on small data, within seconds each.

Configurations beside the user come before those of the package (``configurations.find_config``): here lie some of the
same names, each the original with everything made small. Nothing of the commands themselves is changed.
"""

from __future__ import annotations

import pathlib

ROOT = pathlib.Path(__file__).parents[2]

_SHRINK = """
import dataclasses, runpy
from fusion_dfd import config as c

ORIGINAL = runpy.run_path({path!r})

def small(config):
    config.synthetic = c.Synthetic(pairs=(4, 2, 2), frames=24, size=96)
    config.faces = c.Faces(size=48, clip_length=12, clips=1, every=4)
    config.data = dataclasses.replace(config.data, frames=6, size=40, cache=False)
    config.model = c.Model(
        branches=config.model.branches, backbone=c.Backbone("resnet18", width=4, stages=1), recurrent=(4,), dense=(4,),
        head=(4,), token=4, micro=dataclasses.replace(config.model.micro, inputs=("difference",), size=16, widths=(4,)),
    )
    config.optim = dataclasses.replace(config.optim, warmup=1, groups=())
    config.train = dataclasses.replace(config.train, steps=4, batch_size=4, eval_every=2, log_every=1, patience=0)
    config.evaluate = dataclasses.replace(config.evaluate, batch_size=4, bootstrap=20)
    return config

def get_config(variant=""):
    return small(ORIGINAL["get_config"](variant))

def get_rows(variant, config):
    rows = ORIGINAL.get("get_rows", lambda variant, config: {{}})(variant, config)
    return {{name: small(row) for name, row in list(rows.items())[:2]}}
"""

_SPACE = """
import runpy

def get_space():
    space = runpy.run_path({path!r})["get_space"]()
    return {{name: values for name, values in space.items() if name != "optim.warmup"}}  # longer than four steps
"""

_PEER = """
def make():
    return lambda pictures: (pictures.mean((1, 2, 3)) > 0).astype(float)
"""
"""Somebody else's detector."""


def lay_out(folder: pathlib.Path) -> None:
    """Small configurations, the scripts, and what placeholders of the docs stand for."""
    (folder / "configs").mkdir()
    for path in (ROOT / "configs").glob("*.py"):
        small = _SPACE if path.stem == "sweep" else _SHRINK
        (folder / "configs" / path.name).write_text(small.format(path=str(path)))
    (folder / "scripts").symlink_to(ROOT / "scripts")
    (folder / "mypeer.py").write_text(_PEER)
