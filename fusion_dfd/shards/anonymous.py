"""Videos under other names: shards, tables and reports that say nothing of the source files.

A name is the first 16 hexadecimal digits of the HMAC-SHA-256 of the old one under a secret salt. Equal names stay equal
(a fake keeps its source, a group its members), the same salt gives the same names again, and without the salt nobody
can test a guess. The faces themselves stay what they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac

from fusion_dfd.types import Video


def anonymous(video: Video, salt: str) -> Video:
    """The video with ``id``, ``group`` and ``source`` replaced; ``path`` still says where to read it."""
    names = {field: _hash(getattr(video, field), salt) for field in ("id", "group", "source")}
    return dataclasses.replace(video, **names)


def _hash(name: str, salt: str) -> str:
    return hmac.new(salt.encode(), name.encode(), hashlib.sha256).hexdigest()[:16]
