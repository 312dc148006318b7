"""What is read: the clips that a training learns from, those that choose its checkpoint, and those that judge it."""

from __future__ import annotations

from fusion_dfd.config import Data
from fusion_dfd.input import forging
from fusion_dfd.shards import clip_index, manifest
from fusion_dfd.shards.clip_index import ClipTable, Split
from fusion_dfd.types import DataError


def open_split(folder: str, split: str, data: Data, seed: int) -> Split:
    """A split of a prepared folder without ``data.exclude_methods``; with ``data.forge``, its real clips and forgeries.

    Of val and test the forgeries are those of ``data.val_forge``, where it names some. Where val or test hold fakes of
    their own, nothing is forged: those judge better. ``seed`` is that of the forgeries.

    Raises DataError as :func:`clip_index.open_split` does, and where no clip can be forged.
    """
    opened = clip_index.open_split(folder, split, data.exclude_methods)
    forgers = data.forge if split == "train" else data.val_forge or data.forge
    if not forgers or (split != "train" and (opened.table.label == 1).any()):
        return opened
    return forging.forge(opened, forgers, seed, f"{folder}, {split}")


def enlarged(folder: str, size: int) -> str:
    """A sentence where the crops of a prepared folder have fewer pixels than a window of ``size``; else empty."""
    found = manifest.load(folder)
    stored = found.options["faces"]["size"] if found else size
    if stored >= size:
        return ""
    return f"{folder}: its crops of {stored} pixels are enlarged to data.size={size}; prepare larger ones, faces.size"


def open_splits(data: Data, folder: str, seed: int) -> tuple[Split, Split]:
    """Train of ``folder``, and what chooses the checkpoint: its val, or what ``data.val_dir`` holds for validation.

    Both are without excluded methods. Train is as it is stored: its forgeries are made window by window. Val is that of
    :func:`open_split`. Of ``data.val_dir`` it is the split val, and everything where it has no such split.

    Raises DataError as :func:`open_split` does, and where ``data.val_dir`` shares groups with train: then it
    would rank checkpoints by how well they remember.
    """
    train = clip_index.open_split(folder, "train", data.exclude_methods)
    if not data.val_dir:
        return train, open_split(folder, "val", data, seed)
    held = "val" in clip_index.find_shards(data.val_dir)
    val = clip_index.open_split(data.val_dir, "val") if held else clip_index.open_whole(data.val_dir)
    known = set(val.table.method[val.table.label == 1].tolist())
    val = clip_index.without(val, [method for method in data.exclude_methods if method in known])
    if shared := sorted(_groups(train.table) & _groups(val.table)):
        raise DataError(
            f"data.val_dir={data.val_dir}: {len(shared)} of its groups are also in train of {folder} "
            f"(e.g. {shared[0]}): take their videos out of one of the two folders"
        )
    return train, val


def _groups(table: ClipTable) -> set[str]:
    return {f"{dataset}/{group}" for dataset, group in zip(table.dataset, table.group, strict=True)}
