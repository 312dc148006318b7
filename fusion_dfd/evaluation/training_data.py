"""What a run was trained and selected on, kept in its folder, so that an evaluation can report an overlap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fusion_dfd import atomic
from fusion_dfd.shards.clip_index import ClipTable
from fusion_dfd.types import DataError, Score

TrainingData = dict[str, Any]
"""``{train: part, val: part, excluded: [method]}``, a part being ``{sets, methods, groups}``: lists of
``dataset/compression``, of manipulations and of ``dataset/group``."""


def describe(train: ClipTable, val: Sequence[ClipTable], excluded: Sequence[str] = ()) -> TrainingData:
    """What a run learnt from; and all that chose or calibrated it, after ``excluded`` manipulations were left out."""
    return {"train": _part([train]), "val": _part(val), "excluded": sorted(excluded)}


def _part(tables: Sequence[ClipTable]) -> dict[str, list[str]]:
    rows = [
        row
        for table in tables
        for row in zip(table.dataset, table.compression, table.group, table.method, table.label, strict=True)
    ]
    return {
        "sets": sorted({f"{dataset}/{compression}" for dataset, compression, *_ in rows}),
        "methods": sorted({str(method) for *_, method, label in rows if label == 1}),
        "groups": sorted({f"{dataset}/{group}" for dataset, _, group, *_ in rows}),
    }


def save(known: TrainingData, path: str) -> str:
    """Write a JSON file, whole or not at all; returns its path."""
    return atomic.write_text(path, json.dumps(known, indent=1) + "\n")


def load(path: str) -> TrainingData | None:
    """What a file says; None where there is no file. Raises :class:`DataError` for a damaged file."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return {**{name: dict(found[name]) for name in ("train", "val")}, "excluded": list(found["excluded"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read ({error!r}); delete it: evaluations then warn that the training data are unknown"
        ) from error


def warnings(known: TrainingData | None, scores: Iterable[Score]) -> list[str]:
    """What scored rows share with the data of the run that scored them, a sentence for each of train and val."""
    if known is None:
        return ["The run does not say what it was trained on: an overlap with these videos could not be checked."]
    of_group: dict[str, set[str]] = {}
    for row in scores:
        of_group.setdefault(f"{row.dataset}/{row.group}", set()).add(row.video)
    total = len(set().union(*of_group.values()))
    why = {"train": "the run was trained on", "val": "the run was selected and calibrated on"}
    out = []
    for part, words in why.items():
        shared = sorted(set(of_group) & set(known[part]["groups"]))
        if shared:
            count = len(set().union(*(of_group[group] for group in shared)))
            out.append(
                f"{count} of {total} videos share a person or a source clip with what {words} (e.g. {shared[0]}): "
                "these numbers say nothing about unseen videos."
            )
    return out
