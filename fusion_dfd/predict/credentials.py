"""Content Credentials (C2PA) of a file: who says how it was made, and whether that statement still fits the file.

They are a fact beside a verdict and never part of it. Where there are none, this says nothing: most files have none,
and any re-encoding loses them. Read with ``c2pa-python`` (extra ``c2pa``), without network: manifests that a file only
points to are not fetched, and certificates are not looked up. No list of trusted signers comes with this package, so
"valid" says that the file is what was signed, not that the signer tells the truth.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from typing import Any

STATES = ("valid", "invalid", "absent", "unreadable")
"""``unreadable``: the file is of a kind that cannot carry them, or is damaged."""
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
LONGEST, MOST = 200, 20
"""Characters of a text and entries of a list that are kept: strangers wrote them."""


@dataclasses.dataclass(frozen=True)
class Credentials:
    """What the newest manifest of a file states."""

    state: str
    """One of :data:`STATES`. ``invalid``: signature or content do not fit; what is stated then means nothing."""
    signer: str | None = None
    """Names in the certificate, as the signer wrote them."""
    time: str | None = None
    """When it was signed, if a time stamp says so."""
    tool: str | None = None
    """What made the manifest: a camera, a program."""
    actions: tuple[str, ...] = ()
    """What was done to the file, in C2PA's words, e.g. ``c2pa.created``."""
    sources: tuple[str, ...] = ()
    """Kinds of sources, in IPTC's words, e.g. ``trainedAlgorithmicMedia`` for generated pictures."""
    problems: tuple[str, ...] = ()
    """C2PA's codes of what does not fit."""


def read(path: str) -> Credentials | None:
    """Of a file; None where the extra is not installed, and for folders and what is no file."""
    library = _library()
    if library is None or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            reader = library.Reader.try_create(None, file, context=_context())
            if reader is None:
                return Credentials("absent")
            with reader:
                return _stated(json.loads(reader.json()), str(reader.get_validation_state()))
    except (OSError, ValueError, library.C2paError):
        return Credentials("unreadable")


def _stated(store: dict[str, Any], state: str) -> Credentials:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    signed = manifest.get("signature_info") or {}
    done = [
        action
        for assertion in manifest.get("assertions", ())
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", ())
    ]
    generators = [
        f"{one.get('name', '')} {one.get('version', '')}".strip() for one in manifest.get("claim_generator_info") or ()
    ]
    return Credentials(
        state="invalid" if state == "Invalid" else "valid",
        signer=_text(", ".join(str(signed[name]) for name in ("common_name", "issuer") if signed.get(name))),
        time=_text(signed.get("time")),
        tool=_text(", ".join(generators) or manifest.get("claim_generator")),
        actions=_texts(action.get("action") for action in done),
        sources=_texts(str(action.get("digitalSourceType") or "").rpartition("/")[2] for action in done),
        problems=_texts(one.get("code") for one in store.get("validation_status") or ()),
    )


def _text(value: Any) -> str | None:
    return str(value)[:LONGEST] if value else None


def _texts(values) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value)[:LONGEST] for value in values if value))[:MOST]


@functools.cache
def _library():
    try:
        import c2pa
    except ImportError:
        return None
    return c2pa


@functools.cache
def _context():
    return _library().Context.from_dict(OFFLINE)
