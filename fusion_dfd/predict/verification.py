"""Compares a record with what the same file, detector and software say now."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fusion_dfd.predict import record, signing
from fusion_dfd.predict.verdict import VERDICTS, Verdict
from fusion_dfd.types import DataError

SAME = 0
CODES = {"signature": 20, "file": 21, "detector": 22, "verdict": 23, "software": 24}
"""What may differ, and the exit code of ``fusion-dfd verify``; of several the first counts."""
WHENCE = "a record is what fusion-dfd predict prints with --json or writes with --out"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Whether one part of a record is as it was."""

    part: str
    """A key of :data:`CODES`."""
    same: bool
    said: str
    """What was compared, or what differs."""


def read(path: str, video: str) -> dict[str, Any]:
    """The verdict, as JSON values, of the one that a file of records holds on ``video``.

    Of several (JSON lines) it is the last one with the video's digest, else the last one with its file name. Raises
    DataError where there is none, and for a file that holds no records.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: this record cannot be read ({error}); {WHENCE}") from error
    verdicts = [_checked(value, path) for value in _values(text, path)]
    if len(verdicts) == 1:
        return verdicts[0]
    known = record.file_facts(video).sha256
    same = [one for one in verdicts if known and one["record"]["file"]["sha256"] == known]
    name = os.path.basename(os.path.normpath(video))
    named = [one for one in verdicts if os.path.basename(os.path.normpath(one["path"])) == name]
    if not (same or named):
        raise DataError(f"{path} holds {len(verdicts)} records, and none of a file with the content or name of {video}")
    return (same or named)[-1]


def _values(text: str, path: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        pass  # several, line by line
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no record ({error}); {WHENCE}") from error


def _checked(value: Any, path: str) -> dict[str, Any]:
    """Raises DataError where ``value`` is no verdict with a record of this form."""
    kept = value.get("record") if isinstance(value, dict) else None
    form = kept.get("form") if isinstance(kept, dict) else None
    if form is None:
        raise DataError(f"{path} holds no record; {WHENCE}")
    if form != record.FORM:
        raise DataError(f"{path}: its record has form {form!r}, this version of fusion_dfd reads form {record.FORM}")
    number, options = value.get("probability"), kept.get("options")
    checks = {
        "path": isinstance(value.get("path"), str),
        "verdict": value.get("verdict") in VERDICTS,
        "probability": number is None or isinstance(number, int | float),
        "record.file": isinstance(kept.get("file"), dict) and {"sha256", "bytes"} <= kept["file"].keys(),
        "record.detector": isinstance(kept.get("detector"), dict)
        and kept["detector"].keys() >= {field.name for field in dataclasses.fields(record.DetectorFacts)},
        "record.options": isinstance(options, dict)
        and isinstance(options.get("clips"), int)
        and all(isinstance(options.get(name), str) for name in ("engine", "tracks")),
        "record.software": isinstance(kept.get("software"), dict),
        "record.windows": isinstance(kept.get("windows"), list),
    }
    if wrong := next((name for name, holds in checks.items() if not holds), None):
        raise DataError(f"{path}: the field {wrong} is not what this version writes; {WHENCE}")
    return value


def compare(stated: Mapping[str, Any], found: Verdict, tolerance: float, key: str | None = None) -> list[Finding]:
    """What of a verdict with its record is as it was.

    Args:
      stated: of :func:`read`.
      found: the verdict of today on the file, with the options of the record.
      tolerance: probabilities that differ by no more are the same; other processors round differently.
      key: file of the public key that must have signed; None checks a signature only where there is one.

    Raises DataError where the key cannot be read or the extra is missing.
    """
    now = json.loads(found.to_json())
    before, after = stated["record"], now["record"]
    file, detector = (
        _differences(before[part], after[part], names)
        for part, names in (
            ("file", ("sha256", "bytes")),
            ("detector", ("weights", "configuration", "calibration", "familiarity", "faces")),
        )
    )
    software = _differences(before["software"], after["software"], sorted({*before["software"], *after["software"]}))
    stamped = f"sha256 {before['file']['sha256']}, {before['file']['bytes']} bytes"
    named = f"{before['detector']['name']}, step {before['detector']['step']}, digest {before['detector']['digest']}"
    return [
        *_signature(stated, key),
        Finding("file", not file, file or stamped),
        Finding("detector", not detector, detector or named),
        _verdict(stated, now, tolerance),
        Finding("software", not software, software or f"fusion_dfd {before['software'].get('fusion_dfd')}"),
    ]


def code(findings: Sequence[Finding]) -> int:
    """The exit code: that of the first part, in the order of :data:`CODES`, that differs."""
    return min((CODES[one.part] for one in findings if not one.same), default=SAME)


def _signature(stated: Mapping[str, Any], key: str | None) -> list[Finding]:
    if stated.get(signing.SIGNATURE) is None and key is None:
        return []
    if why := signing.wrong(stated, key):
        return [Finding("signature", False, why)]
    named = f"the key that it names, {stated[signing.SIGNATURE]['public_key']}; --key says whose"
    return [Finding("signature", True, f"signed with {key or named}")]


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> str:
    """The fields that differ, in words; empty if none does."""
    return "; ".join(
        f"{name} was {before.get(name)}, is {after.get(name)}" for name in names if before.get(name) != after.get(name)
    )


def _verdict(stated: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> Finding:
    was, is_ = (f"{one['verdict']}, probability {one['probability']}" for one in (stated, now))
    same = stated["verdict"] == now["verdict"] and _near(stated["probability"], now["probability"], tolerance)
    windows = stated["record"]["windows"] == now["record"]["windows"]
    said = was if was == is_ else f"was {was}; is {is_}"
    if not windows:
        said += f"; other windows were looked at ({len(stated['record']['windows'])} then)"
    return Finding("verdict", same and windows, f"{said}; tolerance {tolerance:g}")


def _near(a: float | None, b: float | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= tolerance or (math.isnan(a) and math.isnan(b))
