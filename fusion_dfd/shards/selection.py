"""What a training reads: the clips that it learns from, and the clips that choose its checkpoint."""

from __future__ import annotations

from fusion_dfd.config import Data
from fusion_dfd.shards import clip_index
from fusion_dfd.shards.clip_index import ClipTable, Split
from fusion_dfd.types import DataError


def open_splits(data: Data, folder: str) -> tuple[Split, Split]:
    """Train of ``folder``; and its val, or what ``data.val_dir`` holds for validation, both without excluded methods.

    Of ``data.val_dir`` that is the split val, and everything where it has no such split.

    Raises DataError as :func:`clip_index.open_split` does, and where ``data.val_dir`` shares groups with train: then it
    would rank checkpoints by how well they remember.
    """
    train = clip_index.open_split(folder, "train", data.exclude_methods)
    if not data.val_dir:
        return train, clip_index.open_split(folder, "val", data.exclude_methods)
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
